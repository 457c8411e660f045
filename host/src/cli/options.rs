//! What several commands take: where the configuration and the pid file are, and how a server is to be started.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use imgserve_base::database::is_database;
use imgserve_config::{Config, Paths};

use super::failure::Failure;

/// Where a server's files are.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Place {
    /// Configuration file (default: ~/.imgserve/imgserve.toml, as root /etc/imgserve/imgserve.toml, if it exists)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Pid file (default: ~/.imgserve/imgserve.pid, as root /var/run/imgserve.pid)
    #[arg(long, value_name = "FILE")]
    pub(super) pid: Option<PathBuf>,
}

impl Place {
    /// The configuration file to read, if there is one.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(Paths::of_this_user().config).filter(|path| path.exists()))
    }

    /// The configuration.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(self.config_file().as_deref())?)
    }

    /// The pid file's path.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.pid.clone().unwrap_or_else(|| Paths::of_this_user().pid_file)
    }
}

/// Options of `start` and `restart`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct StartOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// Address to listen on: 127.0.0.1, ::1, localhost, … (default: [server] host)
    #[arg(long, value_parser = imgserve_config::parse_host)]
    pub(super) host: Option<IpAddr>,
    /// TCP port; 0 takes a free one (default: [server] port)
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// Directory of the log file (default: ~/.imgserve/log, as root /var/log/imgserve)
    #[arg(long, value_name = "DIR")]
    pub(super) logdir: Option<PathBuf>,
    /// File of the journal of accepted jobs (default: [jobs] journal)
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<String>,
    /// Start even though the pid file names a living process that does not hold it
    #[arg(long)]
    pub(super) force: bool,
    /// Directory to work in (a daemon's default: /)
    #[arg(long, value_name = "DIR")]
    pub(super) chdir: Option<PathBuf>,
    /// User to become, by name or number; root only
    #[arg(long, value_name = "USER")]
    pub(super) uid: Option<String>,
    /// Group to become, by name or number; root only
    #[arg(long, value_name = "GROUP")]
    pub(super) gid: Option<String>,
    /// File mode creation mask, in octal
    #[arg(long, value_name = "OCTAL", value_parser = octal)]
    pub(super) umask: Option<u32>,
    /// Stay in the foreground and log to stderr
    #[arg(long)]
    pub(super) foreground: bool,
    /// The daemon itself: says on stdout when it serves, then closes it
    #[arg(long, hide = true)]
    pub(super) detached: bool,
    /// Do all that a start does but serve
    #[arg(long, hide = true)]
    pub(super) check: bool,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mask| mask <= 0o777)
        .ok_or_else(|| "must be octal, 0 to 777".to_owned())
}

impl StartOptions {
    /// The configuration, with what the command line says over it.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let mut config = self.place.load()?;
        config.server.host = self.host.unwrap_or(config.server.host);
        config.server.port = self.port.unwrap_or(config.server.port);
        if let Some(journal) = &self.journal {
            config.jobs.journal = match is_database(journal) {
                true => journal.clone(),
                false => absolute(journal).display().to_string(),
            };
        }
        Ok(config)
    }

    /// The directory of the log file.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.logdir.clone().unwrap_or_else(|| Paths::of_this_user().log_dir)
    }
}

/// A path of the command line, meant from where it was typed.
pub(super) fn absolute(path: impl AsRef<Path>) -> PathBuf {
    std::path::absolute(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_owned())
}
