//! Where the log goes: stderr in the foreground, a rotated file for a daemon, which is opened anew when others have rotated
//! it. `line`: how the fields of an event are written.
#![allow(
    clippy::disallowed_methods,
    reason = "the log blocks whoever writes it, and is opened where that may block"
)]

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use imgserve_base::units::MIB;
use imgserve_config as config;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use self::line::Fields;

/// The log file's name in its directory.
pub(super) const FILE: &str = "imgserve.log";

/// Logs to stderr from now on.
pub(super) fn to_stderr(config: &config::Log) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // Escape sequences are for a terminal that knows them, whatever else reads.
    let colors = io::stderr().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb");
    let layer = fmt::layer().with_target(false).with_ansi(colors).fmt_fields(Fields);
    let layer = layer.with_writer(io::stderr).with_filter(filter(config));
    // A second call is a test's; the first one's log goes on.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Logs to `directory/imgserve.log` from now on, rotated by size.
pub(super) fn to_file(config: &config::Log, directory: &Path) -> io::Result<LogFile> {
    let size = usize::try_from(config.max_size_mb * MIB).unwrap_or(usize::MAX);
    let path = directory.join(FILE);
    let file = Arc::new(Mutex::new(open(&path, size, config.max_files)?));
    let log = LogFile { path, size, max_files: config.max_files, file };
    let writer = log.clone();
    let layer = fmt::layer().with_target(false).with_ansi(false).fmt_fields(Fields);
    let layer = layer.with_writer(move || writer.clone()).with_filter(filter(config));
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(log)
}

/// The log file of a daemon.
#[derive(Clone)]
pub(super) struct LogFile {
    path: PathBuf,
    size: usize,
    max_files: usize,
    file: Arc<Mutex<FileRotate<AppendCount>>>,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LogFile {
    /// Goes on in the file that has the log's name now: another program may have moved away the one that is written to.
    ///
    /// # Errors
    /// It cannot be opened; the old one is gone on with.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path, self.size, self.max_files)?;
        *self.lock() = file;
        // What a crash says goes to stderr, which a start made the same file.
        rustix::stdio::dup2_stderr(append_to(&self.path)?)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, FileRotate<AppendCount>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

fn open(path: &Path, size: usize, max_files: usize) -> io::Result<FileRotate<AppendCount>> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // file-rotate says nothing of a file that it cannot open.
    append_to(path)?;
    let (count, limit) = (AppendCount::new(max_files), ContentLimit::BytesSurpassed(size));
    Ok(FileRotate::new(path, count, limit, Compression::None, None))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Our own events at the configured level, libraries' only when something is wrong.
fn filter(config: &config::Log) -> Targets {
    let level = config.level.parse().unwrap_or(LevelFilter::INFO);
    Targets::new().with_target("imgserve", level).with_default(LevelFilter::WARN.min(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_moved_away_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let file = Arc::new(Mutex::new(open(&path, 1000, 1).unwrap()));
        let mut log = LogFile { path: path.clone(), size: 1000, max_files: 1, file };
        log.write_all(b"one\n").unwrap();
        let moved = directory.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        log.write_all(b"two\n").unwrap();
        *log.lock() = open(&path, 1000, 1).unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "three\n");
        let nowhere = LogFile { path: "/dev/null/imgserve.log".into(), ..log };
        assert!(nowhere.reopen().is_err());
    }
}
