//! What a running server tells the commands, in a file beside its pid file: where it listens, which configuration it reads,
//! how its last reload went, that it is ending. A reader sees one report or the next, never half of one.
#![allow(clippy::disallowed_methods, reason = "small files of our own, written where that may block")]

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgserve_config::{Hangup, Server};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::own_file::{self, beside};

/// Of the file's form; one of another version is not read.
const VERSION: u32 = 1;
/// How often a report is read that is being written where it cannot be replaced.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// A server's report.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Report {
    version: u32,
    /// Whose report it is.
    pid: i32,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The configuration file that a reload reads, if it reads one.
    pub(super) config: Option<PathBuf>,
    /// Whether SIGHUP does not stop it, as it reloads or is ignored; then SIGQUIT alone stops it gracefully.
    #[serde(rename = "hangup_reloads")]
    pub(super) survives_hangup: bool,
    /// Seconds in which it ends when it is told to stop gracefully: of the configuration that it began with.
    #[serde(default)]
    pub(super) stop_s: Option<u64>,
    /// It has been told to stop.
    pub(super) stopping: bool,
    /// Reloads that have begun.
    pub(super) reloads: u64,
    /// The last reload that has ended.
    pub(super) last: Option<Outcome>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Outcome {
    /// Which one it was, counted from 1.
    pub(super) number: u64,
    /// Why the configuration was not taken in; none when it was.
    pub(super) error: Option<String>,
    /// The keys that it would take a restart to take in.
    #[serde(default)]
    pub(super) restart: Vec<String>,
}

impl Report {
    /// Of this process, which has just begun to listen.
    pub(super) fn new(address: SocketAddr, config: Option<PathBuf>, server: &Server) -> Self {
        let pid = rustix::process::getpid().as_raw_pid();
        Self {
            version: VERSION,
            pid,
            address,
            config,
            survives_hangup: server.hangup == Hangup::Reload,
            stop_s: Some(stop_s(server)),
            stopping: false,
            reloads: 0,
            last: None,
        }
    }

    /// The report of the server of this number beside this pid file, if it gives one that can be read here.
    pub(super) fn read(pid_file: &Path, pid: Pid) -> Option<Self> {
        for _ in 0..TRIES {
            let text = std::fs::read(path(pid_file)).ok()?;
            if let Ok(report) = serde_json::from_slice::<Self>(&text) {
                return Some(report)
                    .filter(|report| (report.version, report.pid) == (VERSION, pid.as_raw_pid()));
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    /// Whether the server reads this configuration file.
    pub(super) fn reads(&self, file: &Path) -> bool {
        let canonical = |path: &Path| std::fs::canonicalize(path).ok();
        let Some(theirs) = self.config.as_deref() else { return false };
        theirs == file || canonical(theirs).is_some_and(|theirs| canonical(file) == Some(theirs))
    }

    /// Puts it beside the pid file.
    ///
    /// # Errors
    /// Neither a new file can be put there, nor the one that is there be written. On a full disk the last one stays.
    pub(super) fn write(&self, pid_file: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let (path, new) = (path(pid_file), beside(pid_file, ".report.new"));
        match own_file::replace(&path, &new, |file| file.write_all(&text)) {
            // Where the directory is another user's (/var/run after -uid) what a start has prepared can only be written over.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => overwrite(&path, &text),
            outcome => outcome,
        }
    }
}

/// Seconds in which a server ends that is told to stop gracefully.
pub(super) fn stop_s(server: &Server) -> u64 {
    server.drain_timeout_s.saturating_add(server.stop_timeout_s)
}

/// Where the report stands beside a pid file.
pub(super) fn path(pid_file: &Path) -> PathBuf {
    beside(pid_file, ".report")
}

/// Takes the report away that a server has left: it is of no use to anybody.
pub(super) fn remove(pid_file: &Path) {
    let path = path(pid_file);
    if std::fs::remove_file(&path).is_err() {
        let _ = own_file::open(OpenOptions::new().write(true).truncate(true), &path);
    }
}

/// Not made empty first: there may be no place for more on the disk.
fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = own_file::open(OpenOptions::new().write(true), path)?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written_and_only_of_the_server_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("imgserve.pid");
        let ours = rustix::process::getpid();
        assert_eq!(Report::read(&pid_file, ours), None);
        let server = imgserve_config::Config::parse("[server]\ndrain_timeout_s = 7\nstop_timeout_s = 2");
        let mut report =
            Report::new("[::1]:80".parse().unwrap(), Some("/c.toml".into()), &server.unwrap().server);
        assert_eq!((report.stop_s, report.survives_hangup), (Some(9), false));
        report.write(&pid_file).unwrap();
        report.last = Some(Outcome { number: 1, error: Some("why".to_owned()), restart: Vec::new() });
        report.write(&pid_file).unwrap();
        assert_eq!(Report::read(&pid_file, ours), Some(report.clone()));
        assert_eq!(Report::read(&pid_file, Pid::from_raw(1).unwrap()), None, "a stranger's");
        Report { version: VERSION + 1, ..report }.write(&pid_file).unwrap();
        assert_eq!(Report::read(&pid_file, ours), None, "of a version that nobody knows yet");
        std::fs::write(path(&pid_file), "{").unwrap();
        assert_eq!(Report::read(&pid_file, ours), None);
        let earlier = serde_json::json!({ "version": 1, "pid": ours.as_raw_pid(), "address": "[::1]:80", "config": null,
            "hangup_reloads": false, "stopping": false, "reloads": 0, "last": null });
        std::fs::write(path(&pid_file), earlier.to_string()).unwrap();
        assert_eq!(Report::read(&pid_file, ours).unwrap().stop_s, None, "of a program that did not say");
        overwrite(&path(&pid_file), b"{}").unwrap();
        assert_eq!(std::fs::read(path(&pid_file)).unwrap(), b"{}", "nothing is left of a longer one");
        remove(&pid_file);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }
}
