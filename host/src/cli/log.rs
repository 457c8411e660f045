//! Where the log goes: stderr in the foreground, a rotated file for a daemon, which is opened anew when others have rotated
//! it; and how much of it, which a reload may change. `line`: how the fields of an event are written.
#![allow(
    clippy::disallowed_methods,
    reason = "the log blocks whoever writes it, and is opened where that may block"
)]

mod line;

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
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use self::line::Fields;
use super::own_file::append_to;

/// The log file's name in its directory.
pub(super) const FILE: &str = "imgserve.log";

/// Where the log goes, and how much of it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    level: reload::Handle<Targets, Registry>,
    /// None on stderr.
    file: Option<LogFile>,
}

/// Logs to stderr from now on.
pub(super) fn to_stderr(config: &config::Log) -> Log {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // Escape sequences are for a terminal that knows them, whatever else reads.
    let colors = io::stderr().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb");
    let (filter, level) = reload::Layer::new(filter(config));
    let layer = fmt::layer().with_target(false).with_ansi(colors).fmt_fields(Fields);
    let layer = layer.with_writer(io::stderr).with_filter(filter);
    // A second call is a test's; the first one's log goes on.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Log { level, file: None }
}

/// Logs to `directory/imgserve.log` from now on, rotated by size.
pub(super) fn to_file(config: &config::Log, directory: &Path) -> io::Result<Log> {
    let file = LogFile::open(config, directory.join(FILE))?;
    let writer = file.clone();
    let (filter, level) = reload::Layer::new(filter(config));
    let layer = fmt::layer().with_target(false).with_ansi(false).fmt_fields(Fields);
    let layer = layer.with_writer(move || writer.clone()).with_filter(filter);
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(Log { level, file: Some(file) })
}

impl Log {
    /// Goes on in the file that has the log's name now: another program may have moved away the one that is written to.
    ///
    /// # Errors
    /// It cannot be opened; the old one is gone on with.
    pub(super) fn reopen(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), LogFile::reopen)
    }

    /// Logs from now on what a changed configuration says, and rotates so.
    pub(super) fn take_in(&self, config: &config::Log) {
        // The log is there as long as the process.
        let _ = self.level.reload(filter(config));
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.rotate_by(Rotation::of(config))) {
            tracing::error!("the log is rotated as before: {error}");
        }
    }
}

/// When the log file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rotation {
    /// Largest size in bytes.
    size: usize,
    /// Files that are kept beside it.
    max_files: usize,
}

impl Rotation {
    fn of(config: &config::Log) -> Self {
        let size = usize::try_from(config.max_size_mb.saturating_mul(MIB)).unwrap_or(usize::MAX);
        Self { size, max_files: config.max_files }
    }
}

/// The log file of a daemon.
#[derive(Clone)]
struct LogFile {
    path: PathBuf,
    written: Arc<Mutex<(FileRotate<AppendCount>, Rotation)>>,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LogFile {
    fn open(config: &config::Log, path: PathBuf) -> io::Result<Self> {
        let rotation = Rotation::of(config);
        let written = Arc::new(Mutex::new((open(&path, rotation)?, rotation)));
        Ok(Self { path, written })
    }

    fn reopen(&self) -> io::Result<()> {
        let rotation = self.lock().1;
        self.go_on(rotation)?;
        // What a crash says goes to stderr, which a start made the same file.
        rustix::stdio::dup2_stderr(append_to(&self.path)?)?;
        Ok(())
    }

    fn rotate_by(&self, rotation: Rotation) -> io::Result<()> {
        if self.lock().1 == rotation { Ok(()) } else { self.go_on(rotation) }
    }

    fn go_on(&self, rotation: Rotation) -> io::Result<()> {
        let file = open(&self.path, rotation)?;
        *self.lock() = (file, rotation);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (FileRotate<AppendCount>, Rotation)> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().0.flush()
    }
}

fn open(path: &Path, rotation: Rotation) -> io::Result<FileRotate<AppendCount>> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // file-rotate says nothing of a file that it cannot open.
    append_to(path)?;
    let (count, limit) = (AppendCount::new(rotation.max_files), ContentLimit::BytesSurpassed(rotation.size));
    Ok(FileRotate::new(path, count, limit, Compression::None, None))
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
        let config = imgserve_config::Config::parse("").unwrap().log;
        let mut log = LogFile::open(&config, path.clone()).unwrap();
        log.write_all(b"one\n").unwrap();
        let moved = directory.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        log.write_all(b"two\n").unwrap();
        log.go_on(Rotation { size: 10, max_files: 1 }).unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        for text in ["four\n", "five\n", "six\n"] {
            log.write_all(text.as_bytes()).unwrap();
        }
        assert!(directory.path().join("imgserve.log.1").exists(), "rotated by the size that it was told");
        let nowhere = LogFile { path: "/dev/null/imgserve.log".into(), ..log };
        assert!(nowhere.reopen().is_err());
    }
}
