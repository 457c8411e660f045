//! Where the log goes: stderr in the foreground, a rotated file for a daemon, which is opened anew when others have rotated
//! it; and how much of it, which a reload may change. `line`: how the fields of an event are written; `rotated`: the file.
#![allow(
    clippy::disallowed_methods,
    reason = "the log blocks whoever writes it, and is opened where that may block"
)]

mod line;
mod rotated;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imgserve_config as config;
use imgserve_worker::PLUGIN_LINES;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use self::line::Fields;
use self::rotated::{Rotated, Rotation};

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
    let (filter, level) = reload::Layer::new(filter(config));
    let layer = fmt::layer().with_target(false).with_ansi(has_colors()).fmt_fields(Fields);
    let layer = layer.with_writer(io::stderr).with_filter(filter);
    // A second call is a test's; the first one's log goes on.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Log { level, file: None }
}

/// Shows on stderr what plugins log, all of it, and of others what is wrong.
pub(super) fn plugins_to_stderr() {
    let filter = Targets::new().with_target(PLUGIN_LINES, LevelFilter::DEBUG).with_default(LevelFilter::WARN);
    let layer = fmt::layer().without_time().with_target(false).with_ansi(has_colors()).fmt_fields(Fields);
    let _ = tracing_subscriber::registry().with(layer.with_writer(io::stderr).with_filter(filter)).try_init();
}

/// Whether stderr shows escape sequences: they are for a terminal that knows them, whatever else reads.
fn has_colors() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stderr().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Logs to `directory/imgserve.log` from now on, rotated by size.
pub(super) fn to_file(config: &config::Log, directory: &Path) -> io::Result<Log> {
    let file = Rotated::open(directory.join(FILE), Rotation::of(config), true)?;
    let file = LogFile(Arc::new(Mutex::new(file)));
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
        self.file.as_ref().map_or(Ok(()), |file| file.lock().reopen())
    }

    /// Logs from now on what a changed configuration says, and rotates so.
    pub(super) fn take_in(&self, config: &config::Log) {
        // The log is there as long as the process.
        let _ = self.level.reload(filter(config));
        if let Some(file) = &self.file {
            file.lock().rotate_by(Rotation::of(config));
        }
    }
}

/// The log file of a daemon. Clones are the same one.
#[derive(Clone, Debug)]
struct LogFile(Arc<Mutex<Rotated>>);

impl LogFile {
    fn lock(&self) -> MutexGuard<'_, Rotated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Our own events at the configured level, libraries' only when something is wrong.
fn filter(config: &config::Log) -> Targets {
    let level = config.level.parse().unwrap_or(LevelFilter::INFO);
    Targets::new().with_target("imgserve", level).with_default(LevelFilter::WARN.min(level))
}
