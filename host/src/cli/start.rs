//! `imgserve start`: in the foreground, or as a daemon: a second process, detached, that says over a pipe when it
//! serves or why it cannot.

use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_config::{Config, Hangup};
use rustix::process::Pid;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::log::Log;
use super::options::{Place, StartOptions, absolute};
use super::pid_file::{PidFile, State};
use super::process::{self, Process};
use super::tell::Teller;
use super::{check, exposure, launch, log, pid_file, ui};
use crate::server::{self, Command, Setup};

/// How long a server that was just told to stop may take until it says so itself.
const TOLD: Duration = Duration::from_secs(1);
/// Pause between two looks for what another server still has.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(arguments: &StartOptions) -> Result<ExitCode, Failure> {
    // Read here as well, so that its faults are told to whoever types the command.
    let config = arguments.config()?;
    if arguments.check {
        enter(arguments)?;
        check::run(&config, &arguments.place, true)?;
        if !arguments.foreground {
            check::log_directory(&arguments.log_dir())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.detached {
        return Ok(daemon(arguments, config));
    }
    refuse_second(arguments, &config)?;
    if !arguments.foreground {
        let address = launch::detach(arguments)?;
        // What the daemon says in its log is to be seen by whoever starts it, too.
        for text in exposure::warnings(&config, arguments.place.config_file().as_deref(), address) {
            ui::complain(&text);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.uid.is_some() || arguments.gid.is_some() {
        return Err(launch::become_other(arguments));
    }
    let log = log::to_stderr(&config.log);
    serve(arguments, config, log, listening)?;
    Ok(ExitCode::SUCCESS)
}

fn listening(address: SocketAddr) {
    tracing::info!("imgserve {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
}

/// Until when what a server that is ending still has is waited for.
fn patience(config: &Config) -> Instant {
    Instant::now() + Duration::from_secs(config.server.start_wait_s)
}

fn refuse_second(arguments: &StartOptions, config: &Config) -> Result<(), Failure> {
    let path = arguments.place.pid_file();
    match pid_file::state(&path)? {
        State::Running(pid) => wait_for_end(&path, pid, config),
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

/// Waits for a server that has been told to stop; one that goes on is not waited for.
fn wait_for_end(path: &Path, pid: Option<Pid>, config: &Config) -> Result<(), Failure> {
    let shown = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let told = Instant::now() + TOLD;
    while !pid_file::is_ending(path) {
        if Instant::now() > told {
            let text = format!(
                "imgserve is already running{shown}; `imgserve restart` replaces it, another -pid FILE adds one"
            );
            return Err(Failure::Other(text));
        }
        std::thread::sleep(LOOK);
    }
    let seconds = config.server.start_wait_s;
    ui::say(&format!("waiting up to {seconds} s for the imgserve that is ending{shown}"));
    let wait = Duration::from_secs(seconds);
    match pid.and_then(Process::open) {
        Some(process) if !process.ends_within(wait) => Err(Failure::Other(format!(
            "imgserve{shown} is still ending after {seconds} s ([server] start_wait_s); `imgserve stop` waits for it, \
             `imgserve stop -KILL` ends it"
        ))),
        _ => Ok(()),
    }
}

/// The detached process: tells its starter how it went, over stdout.
fn daemon(arguments: &StartOptions, config: Config) -> ExitCode {
    let _ = rustix::process::setsid();
    let directory = arguments.log_dir();
    let cannot = Failure::io(format!("cannot open the log in {}", directory.display()));
    let served = log::to_file(&config.log, &directory).map_err(cannot).and_then(|log| {
        serve(arguments, config, log, |address| {
            listening(address);
            let _ = writeln!(std::io::stdout(), "{} {address}", launch::READY);
            if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
                let _ = rustix::stdio::dup2_stdout(&null);
            }
        })
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
fn serve(
    arguments: &StartOptions,
    config: Config,
    log: Log,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Failure> {
    if let Some(mask) = arguments.umask {
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask));
    }
    let (program, file) = (program()?, arguments.place.load()?);
    // Paths of the command line are meant from where it was typed.
    let place = Place { config: arguments.place.config.clone().map(absolute), pid: None };
    let config_file = place.config_file();
    let read_config = Arc::new(move || Config::load(place.config_file().as_deref()));
    let pid_path = absolute(arguments.place.pid_file());
    enter(arguments)?;
    let (patience, hangup) = (patience(&config), hangup(config.server.hangup, arguments.detached));
    let pid_file = PidFile::take(&pid_path, patience)?;
    let teller = Arc::new(Teller::new(pid_file.claim(), log, arguments.detached));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let outcome = runtime.block_on(async {
        // Before anything is waited for, and before the report is there by which commands send them.
        let commands = signals(hangup).map_err(Failure::io("cannot catch signals"))?;
        let (began, hears, takes_in) = (config.clone(), Arc::clone(&teller), Arc::clone(&teller));
        let listening = async move {
            let listener = listen(&began, patience, &teller).await?;
            let bound = listener.local_addr().map_err(Failure::io("cannot learn the port"))?;
            teller.listens(bound, config_file, &began, !matches!(hangup, Some(Command::Drain(_))));
            Ok(listener)
        };
        let listening = async {
            let listener: Result<_, Failure> = listening.await;
            listener.map_err(|failure| Fault::of(FaultKind::OperationFailed, &failure))
        };
        let tell = Arc::new(move |event| hears.tell(event));
        let taken_in = Arc::new(move |config: &Config| takes_in.taken_in(config));
        let setup = Setup { config, file, read_config, program, patience, tell, taken_in };
        let served = server::serve(setup, listening, commands, ready).await;
        served.map_err(|fault| Failure::Other(fault.text))
    });
    // Transfers that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Goes to the directory to work in.
fn enter(arguments: &StartOptions) -> Result<(), Failure> {
    let Some(directory) = &arguments.chdir else { return Ok(()) };
    let entered = std::env::set_current_dir(directory);
    entered.map_err(Failure::io(format!("cannot work in {}", directory.display())))
}

/// Takes the port; one that another process has until `deadline`, as it may be a server that is ending.
async fn listen(config: &Config, deadline: Instant, teller: &Teller) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.server.host, config.server.port);
    let mut said = false;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                if !std::mem::replace(&mut said, true) {
                    let seconds = config.server.start_wait_s;
                    teller.waits(&format!(
                        "waiting up to {seconds} s for {address}, which another process has"
                    ));
                }
                tokio::time::sleep(LOOK).await;
            }
            bound => return bound.map_err(Failure::io(format!("cannot listen on {address}"))),
        }
    }
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

/// What SIGHUP means; none where it would stop the server and whoever started that has it ignored (nohup), so that the end of a
/// terminal does not end it. A daemon has no terminal: there only one sends it who means it.
fn hangup(configured: Hangup, detached: bool) -> Option<Command> {
    match configured {
        Hangup::Reload => Some(Command::Reload("SIGHUP")),
        Hangup::Stop if !detached && process::ignores_hangup() => {
            tracing::info!(
                "SIGHUP is ignored, as it was when this server was started; `imgserve stop` and SIGQUIT stop it"
            );
            None
        }
        Hangup::Stop => Some(Command::Drain("SIGHUP")),
    }
}

fn signals(hangup: Option<Command>) -> std::io::Result<mpsc::Receiver<Command>> {
    let (sender, receiver) = mpsc::channel(8);
    let others = [
        (SignalKind::quit(), Command::Drain("SIGQUIT")),
        (SignalKind::terminate(), Command::Stop("SIGTERM")),
        (SignalKind::interrupt(), Command::Stop("SIGINT")),
        (SignalKind::user_defined1(), Command::Reload("SIGUSR1")),
    ];
    let hangup = hangup.map(|command| (SignalKind::hangup(), command));
    for (kind, command) in hangup.into_iter().chain(others) {
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
