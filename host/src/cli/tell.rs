//! What becomes of the server's events outside of it: its report for the commands, its starter's terminal, its log file.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use imgserve_config::Config;

use super::launch;
use super::log::Log;
use super::pid_file::Claim;
use super::report::{Outcome, Report};
use crate::server::Event;

/// Whom a server tells of its events.
#[derive(Debug)]
pub(super) struct Teller {
    pid_file: Claim,
    log: Log,
    /// Whether a starter waits to hear on stdout that it serves.
    starter: bool,
    report: Mutex<Option<Report>>,
}

impl Teller {
    pub(super) fn new(pid_file: Claim, log: Log, starter: bool) -> Self {
        Self { pid_file, log, starter, report: Mutex::new(None) }
    }

    /// It listens at `address`, and reads `config_file` for a reload.
    pub(super) fn listens(&self, address: SocketAddr, config_file: Option<PathBuf>, config: &Config) {
        self.write(|report| *report = Some(Report::new(address, config_file, &config.server)));
    }

    /// Something has happened.
    pub(super) fn tell(&self, event: Event) {
        match event {
            Event::Waits(text) => self.waits(&text),
            Event::Reloading(number) => {
                self.reopen_log();
                self.change(|report| report.reloads = number);
            }
            Event::Reloaded(number, error) => {
                self.change(|report| report.last = Some(Outcome { number, error }))
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
