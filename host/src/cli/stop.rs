//! `imgserve stop` and `imgserve restart`.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::failure::Failure;
use super::options::{Place, StartOptions};
use super::pid_file::{self, State};
use super::{start, ui};

/// How long a killed process may take to go.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// What a server may take beyond the time its jobs have.
const EXTRA_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

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
    // A running server is not given up for a configuration that would not start.
    arguments.config()?;
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

/// Ends the server and waits until it has let go of its pid file.
fn end(place: &Place, path: &Path, pid: Pid, kill: bool) -> Result<(), Failure> {
    let signal = if kill { Signal::KILL } else { Signal::HUP };
    kill_process(pid, signal)
        .map_err(|error| Failure::io(format!("cannot stop process {pid}"))(error.into()))?;
    let limit = if kill {
        KILL_WAIT
    } else {
        // A configuration that is broken by now must not keep the server from being stopped.
        let drain = place.load().map_or(60, |config| config.server.drain_timeout_s);
        Duration::from_secs(drain) + EXTRA_WAIT
    };
    let began = Instant::now();
    let mut said = Duration::ZERO;
    while matches!(pid_file::state(path)?, State::Running(_)) {
        if began.elapsed() > limit {
            return Err(Failure::Other(format!(
                "imgserve (pid {pid}) is still running; `imgserve stop -KILL` ends it"
            )));
        }
        if began.elapsed() > said + Duration::from_secs(2) {
            said = began.elapsed();
            ui::say(&format!("waiting for accepted jobs to finish ({} s)", said.as_secs()));
        }
        std::thread::sleep(POLL);
    }
    if kill {
        // It may be gone by now, or a new server's.
        let _ = pid_file::remove(path);
    }
    Ok(())
}
