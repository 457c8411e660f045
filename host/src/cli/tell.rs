//! What becomes of the server's events outside of it: its report for the commands, its starter's terminal, its log file.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use imgserve_config::{Config, Cors};

use super::log::Log;
use super::pid_file::Claim;
use super::report::{Outcome, Report};
use super::{exposure, launch};
use crate::server::Event;

/// Whom a server tells of its events.
#[derive(Debug)]
pub(super) struct Teller {
    pid_file: Claim,
    log: Log,
    /// Whether a starter waits to hear on stdout that it serves.
    starter: bool,
    report: Mutex<Option<Report>>,
    /// The pages that were let in at the start, whom a reload does not change.
    cors: OnceLock<Cors>,
    /// What stands open that should perhaps not, as far as it has been said.
    warnings: Mutex<Vec<String>>,
}

impl Teller {
    pub(super) fn new(pid_file: Claim, log: Log, starter: bool) -> Self {
        let (report, cors, warnings) = (Mutex::default(), OnceLock::new(), Mutex::default());
        Self { pid_file, log, starter, report, cors, warnings }
    }

    /// It listens at `address`, and reads `config_file` for a reload.
    pub(super) fn listens(
        &self,
        address: SocketAddr,
        config_file: Option<PathBuf>,
        config: &Config,
        survives_hangup: bool,
    ) {
        let warnings = exposure::warnings(config, config_file.as_deref(), address);
        let _ = self.cors.set(config.cors.clone());
        let mut begun = Report::new(address, config_file, &config.server);
        begun.survives_hangup = survives_hangup;
        self.write(|report| *report = Some(begun));
        self.warn(warnings);
    }

    /// Something has happened.
    pub(super) fn tell(&self, event: Event) {
        match event {
            Event::Waits(text) => self.waits(&text),
            Event::Reloading(number) => {
                self.reopen_log();
                self.change(|report| report.reloads = number);
            }
            Event::Reloaded(number, outcome) => {
                let (restart, error) = match outcome {
                    Ok(restart) => (restart, None),
                    Err(error) => (Vec::new(), Some(error)),
                };
                self.change(|report| report.last = Some(Outcome { number, error, restart }));
            }
            Event::Stopping => self.change(|report| report.stopping = true),
        }
    }

    /// Something is waited for before it serves.
    pub(super) fn waits(&self, text: &str) {
        tracing::info!("{text}");
        if self.starter {
            let _ = writeln!(std::io::stdout(), "{} {text}", launch::WAIT);
        }
    }

    /// A reload has taken this in.
    pub(super) fn taken_in(&self, config: &Config) {
        self.log.take_in(&config.log);
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(Report { address, config: file, .. }), Some(cors)) = (report, self.cors.get()) {
            let in_force = Config { cors: cors.clone(), ..config.clone() };
            self.warn(exposure::warnings(&in_force, file.as_deref(), address));
        }
    }

    /// Says what has not been said before.
    fn warn(&self, warnings: Vec<String>) {
        let mut said = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for text in warnings.iter().filter(|text| !said.contains(text)) {
            tracing::warn!("{text}");
        }
        *said = warnings;
    }

    fn reopen_log(&self) {
        if let Err(error) = self.log.reopen() {
            tracing::error!("the log cannot be opened anew, the old file is gone on with: {error}");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Report)) {
        self.write(|report| {
            if let Some(report) = report {
                change(report);
            }
        });
    }

    fn write(&self, change: impl FnOnce(&mut Option<Report>)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut report);
        let Some(report) = report.as_ref() else { return };
        // Another server's commands look there by now.
        if !self.pid_file.holds() {
            return;
        }
        let path = self.pid_file.path();
        if let Err(error) = report.write(path) {
            // Commands then know less: it serves all the same.
            tracing::warn!("no report can be written beside {}: {error}", path.display());
        }
    }
}
