//! `imgserve start`: in the foreground, or as a daemon: a second process, detached, that says over a pipe when it
//! serves or why it cannot.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use imgserve_config::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::options::{Place, StartOptions, absolute};
use super::pid_file::{PidFile, State};
use super::{exposure, launch, log, pid_file, ui};
use crate::server::{self, Command, Setup};

pub(super) fn run(arguments: &StartOptions) -> Result<ExitCode, Failure> {
    // Read here as well, so that its faults are told to whoever types the command.
    let config = arguments.config()?;
    if arguments.detached {
        return Ok(daemon(arguments, config));
    }
    refuse_second(arguments)?;
    if !arguments.foreground {
        let started = launch::detach(arguments)?;
        // What the daemon says in its log is to be seen by whoever starts it, too.
        let address = SocketAddr::new(config.server.host, config.server.port);
        for text in exposure::warnings(&config, arguments.place.config_file().as_deref(), address) {
            ui::complain(&text);
        }
        return Ok(started);
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

fn refuse_second(arguments: &StartOptions) -> Result<(), Failure> {
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
fn daemon(arguments: &StartOptions, config: Config) -> ExitCode {
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
fn serve(arguments: &StartOptions, config: Config, ready: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
    if let Some(mask) = arguments.umask {
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask));
    }
    let program = program()?;
    // Paths of the command line are meant from where it was typed.
    let place = Place { config: arguments.place.config.clone().map(absolute), pid: None };
    let config_file = place.config_file();
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
        for text in exposure::warnings(&config, config_file.as_deref(), bound) {
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
