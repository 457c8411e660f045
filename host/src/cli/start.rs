//! `imgserve start`: in the foreground, or as a daemon: a second process, detached, that says over a pipe when it
//! serves or why it cannot.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use imgserve_config::{Config, Paths};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::options::Place;
use super::pid_file::{PidFile, State};
use super::{Failure, exposure, launch, log, pid_file, ui};
use crate::server::{self, Command, Setup};

/// Options of `start` and `restart`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) place: Place,
    /// Address to listen on (default: [server] host)
    #[arg(long)]
    pub(super) host: Option<IpAddr>,
    /// TCP port; 0 takes a free one (default: [server] port)
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// Directory of the log file (default: ~/.imgserve/log, as root /var/log/imgserve)
    #[arg(long, value_name = "DIR")]
    pub(super) logdir: Option<PathBuf>,
    /// File of the journal of accepted jobs (default: [jobs] journal)
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Start even though the pid file names a living process that does not hold it
    #[arg(long)]
    pub(super) force: bool,
    /// Directory to work in (a daemon's default: /)
    #[arg(long, value_name = "DIR")]
    pub(super) chdir: Option<PathBuf>,
    /// User to become, by name or number; root only
    #[arg(long, value_name = "USER")]
    pub(super) uid: Option<String>,
    /// Group to become, by name or number; root only
    #[arg(long, value_name = "GROUP")]
    pub(super) gid: Option<String>,
    /// File mode creation mask, in octal
    #[arg(long, value_name = "OCTAL", value_parser = octal)]
    pub(super) umask: Option<u32>,
    /// Stay in the foreground and log to stderr
    #[arg(long)]
    pub(super) foreground: bool,
    /// The daemon itself: says on stdout when it serves, then closes it
    #[arg(long, hide = true)]
    pub(super) detached: bool,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mask| mask <= 0o777)
        .ok_or_else(|| "must be octal, 0 to 777".to_owned())
}

impl Arguments {
    /// The configuration, with what the command line says over it.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let mut config = self.place.load()?;
        config.server.host = self.host.unwrap_or(config.server.host);
        config.server.port = self.port.unwrap_or(config.server.port);
        if let Some(journal) = &self.journal {
            config.jobs.journal = absolute(journal);
        }
        Ok(config)
    }

    /// The directory of the log file.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.logdir.clone().unwrap_or_else(|| Paths::of_this_user().log_dir)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    // Read here as well, so that its faults are told to whoever types the command.
    let config = arguments.config()?;
    if arguments.detached {
        return Ok(daemon(arguments, config));
    }
    refuse_second(arguments)?;
    if !arguments.foreground {
        return launch::detach(arguments);
    }
    if arguments.uid.is_some() || arguments.gid.is_some() {
        return Err(launch::become_other(arguments));
    }
    log::to_stderr(&config.log);
    serve(arguments, config, |address| {
        tracing::info!("imgserve {} listens on http://{address}", env!("CARGO_PKG_VERSION"))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn refuse_second(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.place.pid_file();
    match pid_file::state(&path)? {
        State::Running(pid) => {
            let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            let text = format!(
                "imgserve is already running{pid}; `imgserve restart` replaces it, another -pid FILE adds one"
            );
            Err(Failure::Other(text))
        }
        State::Foreign(pid) if !arguments.force => {
            let text = format!(
                "{} names process {pid}, which lives and is not this imgserve; if it is no server, start with -FORCE",
                path.display()
            );
            Err(Failure::Other(text))
        }
        State::Stale(_) => {
            ui::complain(&format!("replacing the stale pid file {}", path.display()));
            Ok(())
        }
        State::Foreign(_) | State::Absent => Ok(()),
    }
}

/// The detached process: tells its starter how it went, over stdout.
fn daemon(arguments: &Arguments, config: Config) -> ExitCode {
    let _ = rustix::process::setsid();
    log::to_file(&config.log, &arguments.log_dir());
    let served = serve(arguments, config, |address| {
        tracing::info!("imgserve {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(std::io::stdout(), "{} {address}", launch::READY);
        if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(&null);
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = imgserve_base::fault::chain(&failure);
            tracing::error!("{text}");
            ui::say(&text);
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal says otherwise.
fn serve(arguments: &Arguments, config: Config, ready: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
    if let Some(mask) = arguments.umask {
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask));
    }
    let program = program()?;
    // Paths of the command line are meant from where it was typed.
    let place = Place { config: arguments.place.config.clone().map(absolute), pid: None };
    let read_config = Arc::new(move || Config::load(place.config_file().as_deref()));
    let pid_path = absolute(arguments.place.pid_file());
    if let Some(directory) = &arguments.chdir {
        std::env::set_current_dir(directory)
            .map_err(Failure::io(format!("cannot work in {}", directory.display())))?;
    }
    let _pid_file = PidFile::take(&pid_path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let outcome = runtime.block_on(async {
        let address = SocketAddr::new(config.server.host, config.server.port);
        let listener =
            TcpListener::bind(address).await.map_err(Failure::io(format!("cannot listen on {address}")))?;
        let bound = listener.local_addr().map_err(Failure::io("cannot learn the port"))?;
        if let Some(text) = exposure::warning(&config, bound) {
            tracing::warn!("{text}");
        }
        let commands = signals().map_err(Failure::io("cannot catch signals"))?;
        server::serve(Setup { config, read_config, program }, listener, commands, || ready(bound))
            .await
            .map_err(|fault| Failure::Other(fault.text))
    });
    // Transfers that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// The processors are the workers': what the server does for a picture is a tenth of what they do. Threads that wake each
/// other for it cost more than they gain.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(4)
}

/// imgserve itself, to be started as a worker.
pub(super) fn program() -> Result<PathBuf, Failure> {
    // The same file even after an upgrade has replaced it, so that server and workers always match.
    let same = Some(PathBuf::from("/proc/self/exe")).filter(|path| path.exists());
    same.map_or_else(std::env::current_exe, Ok)
        .map_err(Failure::io("cannot find imgserve's own program file"))
}

fn absolute(path: impl AsRef<Path>) -> PathBuf {
    std::path::absolute(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_owned())
}

fn signals() -> std::io::Result<mpsc::Receiver<Command>> {
    let (sender, receiver) = mpsc::channel(8);
    for (kind, command) in [
        (SignalKind::hangup(), Command::Drain),
        (SignalKind::terminate(), Command::Stop),
        (SignalKind::interrupt(), Command::Stop),
        (SignalKind::user_defined1(), Command::Reload),
    ] {
        tokio::spawn(forward(signal(kind)?, command, sender.clone()));
    }
    Ok(receiver)
}

async fn forward(mut signal: Signal, command: Command, commands: mpsc::Sender<Command>) {
    while signal.recv().await.is_some() {
        if commands.send(command).await.is_err() {
            return;
        }
    }
}
