//! `imgserve reload`: tells the running server, waits, and says what came of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use imgserve_config::Config;
use rustix::process::Signal;

use super::failure::Failure;
use super::options::Place;
use super::pid_file::{self, State};
use super::process::Process;
use super::report::{Outcome, Report};
use super::{exposure, ui};

const HELP: &str = "\
The server reads its configuration file again, checks it as a start does (files, certificates, plugins, arguments of presets)
and takes it in, or goes on with the one it has. `imgserve config check` finds the same faults without a server.

Some keys, the port's for one, are taken in by a restart alone: it says which of them have changed since the start.

Exit codes: 0 it is taken in, 1 it is not (the message says why; the server goes on with the one it has), or no server runs,
64 the configuration is refused.";

/// What a server may take beside the compiling of plugins.
const EXTRA_WAIT: Duration = Duration::from_secs(60);
/// How often it is looked whether the server has said how it went.
const LOOK: Duration = Duration::from_millis(20);

/// Options of `reload`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let place = &arguments.place;
    let path = place.pid_file();
    let not_running = || Failure::Other(format!("imgserve is not running (pid file {})", path.display()));
    let State::Running(Some(pid)) = pid_file::state(&path)? else {
        // What is wrong with the file is said all the same.
        place.load()?;
        return Err(not_running());
    };
    let Some(before) = Report::read(&path, pid) else {
        return Err(Failure::Other(format!(
            "imgserve (pid {pid}) has not said yet that it serves, or is of an earlier version: `kill -USR1 {pid}` reloads that, \
             and its log says how it went"
        )));
    };
    let config = check(place, &before)?;
    if let Some(text) = before.config.as_deref().and_then(|file| exposure::readable_secrets(&config, file)) {
        ui::complain(&text);
    }
    let process = Process::open(pid).filter(|_| pid_file::is_held_by(&path, pid) != Some(false));
    let process = process.ok_or_else(not_running)?;
    process.signal(Signal::USR1).map_err(Failure::io(format!("cannot signal process {pid}")))?;
    let patience = patience(&config);
    let outcome = outcome(&path, &process, before.reloads, patience, || Report::read(&path, pid))?;
    match outcome.error {
        None => {
            ui::say(&format!("imgserve (pid {pid}) has reloaded its configuration"));
            if !outcome.restart.is_empty() {
                ui::complain(&format!(
                    "`imgserve restart` is needed to take in {}",
                    outcome.restart.join(", ")
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(error) => {
            Err(Failure::Other(format!("not reloaded, imgserve (pid {pid}) goes on as it was: {error}")))
        }
    }
}

/// Reads the file that the server reads; what is wrong with its text is told without asking the server.
fn check(place: &Place, report: &Report) -> Result<Config, Failure> {
    let theirs = report.config.as_deref();
    if let Some(ours) = &place.config
        && !report.reads(ours)
    {
        let theirs = theirs.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        let text = format!(
            "the running imgserve reads {theirs}, not {}: `imgserve restart --config {0}` would change that",
            ours.display()
        );
        return Err(Failure::Other(text));
    }
    Ok(Config::load(theirs)?)
}

/// How long a reload may take: each plugin may have to be compiled.
fn patience(config: &Config) -> Duration {
    let plugins = config.operations.values().filter(|operation| operation.path.is_some()).count() as u64;
    Duration::from_secs(config.plugins.compile_timeout_s.saturating_mul(plugins)).saturating_add(EXTRA_WAIT)
}

/// How the reload went that was asked for after so many had begun.
fn outcome(
    path: &Path,
    process: &Process,
    begun: u64,
    patience: Duration,
    report: impl Fn() -> Option<Report>,
) -> Result<Outcome, Failure> {
    let began = Instant::now();
    loop {
        let last = report().and_then(|report| report.last);
        if let Some(last) = last.filter(|last| last.number > begun) {
            return Ok(last);
        }
        if process.ends_within(LOOK) {
            let text = format!("imgserve ended before it had reloaded (pid file {})", path.display());
            return Err(Failure::Other(text));
        }
        if began.elapsed() > patience {
            let text =
                format!("no answer after {} s; the server's log says what it does", patience.as_secs());
            return Err(Failure::Other(text));
        }
    }
}
