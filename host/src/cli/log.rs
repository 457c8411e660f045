//! Where the log goes: stderr in the foreground, a rotated file for a daemon.

use std::path::Path;
use std::sync::Mutex;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use imgserve_base::units::MIB;
use imgserve_config as config;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// The log file's name in its directory.
pub(super) const FILE: &str = "imgserve.log";

/// Logs to stderr from now on.
pub(super) fn to_stderr(config: &config::Log) {
    let layer = fmt::layer().with_target(false).with_writer(std::io::stderr).with_filter(filter(config));
    // A second call is a test's; the first one's log goes on.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Logs to `directory/imgserve.log` from now on, rotated by size.
pub(super) fn to_file(config: &config::Log, directory: &Path) {
    let size = usize::try_from(config.max_size_mb * MIB).unwrap_or(usize::MAX);
    let file = FileRotate::new(
        directory.join(FILE),
        AppendCount::new(config.max_files),
        ContentLimit::BytesSurpassed(size),
        Compression::None,
        None,
    );
    let layer = fmt::layer().with_target(false).with_ansi(false).with_writer(Mutex::new(file));
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter(config))).try_init();
}

/// Our own events at the configured level, libraries' only when something is wrong.
fn filter(config: &config::Log) -> Targets {
    let level = config.level.parse().unwrap_or(LevelFilter::INFO);
    Targets::new().with_target("imgserve", level).with_default(LevelFilter::WARN.min(level))
}
