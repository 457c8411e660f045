//! Where imgserve keeps its files: system places as root, `~/.imgserve` otherwise (as 0.2 did).

use std::path::PathBuf;

/// The default places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Read when it exists and no `--config` is given.
    pub config: PathBuf,
    /// Directory of `imgserve.log`.
    pub log_dir: PathBuf,
    /// The pid file.
    pub pid_file: PathBuf,
    /// What `file://` URLs may name when the configuration lists nothing.
    pub files: PathBuf,
    /// The journal when the configuration names no other.
    pub journal: PathBuf,
    /// By which file a server is known among those that share a journal, when the configuration names no other.
    pub node: PathBuf,
    /// Compiled plugins when the configuration names no other directory.
    pub cache: PathBuf,
}

impl Paths {
    /// The places of the user that runs this process.
    pub fn of_this_user() -> Self {
        if rustix::process::geteuid().is_root() { Self::root() } else { Self::user(home()) }
    }

    fn root() -> Self {
        Self {
            config: "/etc/imgserve/imgserve.toml".into(),
            log_dir: "/var/log/imgserve".into(),
            pid_file: "/var/run/imgserve.pid".into(),
            files: "/var/lib/imgserve/files".into(),
            journal: "/var/lib/imgserve/journal/jobs.db".into(),
            node: "/var/lib/imgserve/node".into(),
            cache: "/var/cache/imgserve".into(),
        }
    }

    fn user(home: PathBuf) -> Self {
        let base = home.join(".imgserve");
        Self {
            config: base.join("imgserve.toml"),
            log_dir: base.join("log"),
            pid_file: base.join("imgserve.pid"),
            files: base.join("files"),
            journal: base.join("journal/jobs.db"),
            node: base.join("node"),
            cache: base.join("cache"),
        }
    }
}

fn home() -> PathBuf {
    std::env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"))
}
