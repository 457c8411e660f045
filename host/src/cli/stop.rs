//! `imgserve stop` and `imgserve restart`.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use imgserve_config::{Config, Hangup, Server};
use rustix::process::{Pid, Signal};

use super::failure::Failure;
use super::options::{Place, StartOptions};
use super::pid_file::{self, State};
use super::process::Process;
use super::report::{self, Report};
use super::{launch, start, ui};

/// How long a killed process may take to go.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// What a server may take beyond the time its jobs have.
const EXTRA_WAIT: Duration = Duration::from_secs(10);
/// What its pid file may still be held for after its end: by a worker that was just being started.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often it is said that jobs are waited for.
const SAY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// Options of `stop`.
#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Stop at once, by SIGKILL, without waiting for accepted jobs
    #[arg(long)]
    kill: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.place.pid_file();
    match pid_file::state(&path)? {
        State::Running(Some(pid)) => {
            end(&arguments.place, &path, pid, arguments.kill)?;
            ui::say(&format!("imgserve stopped (pid {pid})"));
            Ok(ExitCode::SUCCESS)
        }
        State::Running(None) => Err(no_pid(&path)),
        State::Stale(_) => {
            pid_file::remove(&path)?;
            ui::say(&format!("imgserve was not running; removed its stale pid file {}", path.display()));
            Ok(ExitCode::SUCCESS)
        }
        State::Foreign(pid) => Err(Failure::Other(format!(
            "{} names process {pid}, which is not this imgserve; stop it by hand if it is to be stopped",
            path.display()
        ))),
        State::Absent => {
            ui::say("imgserve is not running");
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(super) fn restart(arguments: &StartOptions) -> Result<ExitCode, Failure> {
    // A running server is not given up for one that would not start.
    arguments.config()?;
    let code = launch::check(arguments)?;
    if code != 0 {
        ui::complain("nothing was stopped: this configuration would not start");
        return Ok(ExitCode::from(code));
    }
    let path = arguments.place.pid_file();
    match pid_file::state(&path)? {
        State::Running(Some(pid)) => end(&arguments.place, &path, pid, false)?,
        State::Running(None) => return Err(no_pid(&path)),
        _ => {}
    }
    start::run(arguments)
}

fn no_pid(path: &Path) -> Failure {
    Failure::Other(format!("a server holds {} and has not written its pid; try again", path.display()))
}

/// How a server is to be stopped gracefully.
#[derive(Debug, PartialEq, Eq)]
struct Manner {
    /// SIGHUP does not stop it.
    survives_hangup: bool,
    stops_within: Duration,
}

impl Manner {
    /// As the running server says it: it may have begun with another configuration than the file's. Of one that says nothing,
    /// an earlier one, the file's; a file that is broken by now must not keep it from being stopped.
    fn of(place: &Place, path: &Path, pid: Pid) -> Self {
        let report = Report::read(path, pid);
        let configured = || place.load().map_or_else(|_| defaults(), |config| config.server);
        let said = report.as_ref().and_then(|report| Some((report.survives_hangup, report.stop_s?)));
        let (survives_hangup, stop_s) = said.unwrap_or_else(|| {
            let server = configured();
            let survives = report.map_or(server.hangup == Hangup::Reload, |report| report.survives_hangup);
            (survives, report::stop_s(&server))
        });
        Self { survives_hangup, stops_within: Duration::from_secs(stop_s) }
    }
}

fn defaults() -> Server {
    Config::parse("").expect("the defaults are a configuration: a test parses them").server
}

/// Ends the server, and waits until its process has ended and with it all that it held: pid file, journal, port.
fn end(place: &Place, path: &Path, pid: Pid, kill: bool) -> Result<(), Failure> {
    let Some(process) = Process::open(pid) else { return gone(path, pid) };
    // Held on to, the number cannot come to mean another process any more; does it mean the server?
    if pid_file::is_held_by(path, pid) == Some(false) {
        return gone(path, pid);
    }
    let manner = Manner::of(place, path, pid);
    let signal = match kill {
        true => Signal::KILL,
        false if manner.survives_hangup => Signal::QUIT,
        false => Signal::HUP,
    };
    process.signal(signal).map_err(Failure::io(format!("cannot stop process {pid}")))?;
    let limit = if kill { KILL_WAIT } else { manner.stops_within + EXTRA_WAIT };
    let began = Instant::now();
    while !process.ends_within(SAY.min(limit.saturating_sub(began.elapsed()))) {
        if began.elapsed() >= limit {
            return Err(Failure::Other(format!(
                "imgserve (pid {pid}) is still running; `imgserve stop -KILL` ends it"
            )));
        }
        ui::say(&format!("waiting for accepted jobs to finish ({} s)", began.elapsed().as_secs()));
    }
    gone(path, pid)?;
    if kill {
        // It may be gone by now, or a new server's.
        let _ = pid_file::remove(path);
    }
    Ok(())
}

/// The process that the file names is no more, or not the server; then its lock goes too.
fn gone(path: &Path, pid: Pid) -> Result<(), Failure> {
    let began = Instant::now();
    while pid_file::state(path)? == State::Running(Some(pid)) {
        if began.elapsed() > LAST_WAIT {
            return Err(Failure::Other(format!(
                "a server holds {} that is not process {pid} here: it runs where this command does not see it, such as in \
                 another container; stop it there",
                path.display()
            )));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_waited_for_as_it_began_and_not_as_the_file_says_by_now() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (pid_file, ours) = (directory.path().join("pid"), rustix::process::getpid());
        let began = "[server]\ndrain_timeout_s = 300\nstop_timeout_s = 20\nhangup = 'reload'";
        let server = Config::parse(began).unwrap().server;
        Report::new("127.0.0.1:1".parse().unwrap(), None, &server).write(&pid_file).unwrap();
        let by_now = Place { config: Some(file("c.toml", "[server]\ndrain_timeout_s = 1")), pid: None };
        let manner = |survives_hangup: bool, seconds: u64| Manner {
            survives_hangup,
            stops_within: Duration::from_secs(seconds),
        };
        assert_eq!(Manner::of(&by_now, &pid_file, ours), manner(true, 320));
        // One that does not say: its time for results that are being stored counts as well.
        let nowhere = directory.path().join("other");
        assert_eq!(Manner::of(&by_now, &nowhere, ours), manner(false, 2));
        let broken = Place { config: Some(file("b.toml", "[sever]")), pid: None };
        assert_eq!(Manner::of(&broken, &nowhere, ours), manner(false, 26));
    }
}
