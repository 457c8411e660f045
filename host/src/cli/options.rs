//! What several commands take: where the configuration and the pid file are.

use std::path::PathBuf;

use clap::Args;
use imgserve_config::{Config, Paths};

use super::Failure;

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
