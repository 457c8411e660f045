//! A PostgreSQL server of the demo's own, in a temporary directory, where one is installed. Both end with its value.
#![allow(clippy::disallowed_methods, reason = "small files of the demo's own, and nobody else to disturb")]

use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;

/// Where Debian's packages put it, a directory a version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// Who it runs as where the demo is root's: the server does not.
const OWNER: &str = "postgres";
/// What to type where there is none.
const MISSING: &str = "no PostgreSQL is installed here. Type: apt-get install postgresql    (as root)";

/// A running server.
pub(super) struct Temporary {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

impl Temporary {
    /// Makes one and starts it.
    ///
    /// # Errors
    /// What is missing, or its own words.
    pub(super) fn start() -> Result<Self, Failure> {
        let programs = programs().ok_or_else(|| Failure::Other(MISSING.to_owned()))?;
        // Not within the demo's, which another user may not enter.
        let unique = format!("imgserve-demo-pg-{}", &uuid::Uuid::now_v7().simple().to_string()[26..]);
        let own = std::env::temp_dir().join(unique);
        let cannot = || format!("cannot use directory {}", own.display());
        std::fs::DirBuilder::new().mode(0o700).create(&own).map_err(Failure::io(cannot()))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = listener.map_err(Failure::io("loopback has no free port"))?.port();
        let server = Self { programs, directory: own.clone(), port };
        if let Some((user, group)) = owner()? {
            chown(&own, Some(user), Some(group)).map_err(Failure::io(cannot()))?;
        }
        let data = own.join("data");
        let made = server
            .command("initdb")?
            .args(["--no-sync", "--auth=trust", "--username=imgserve", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output();
        succeeded("initdb", made)?;
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nshared_buffers = 32MB\n",
            own.display()
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings).map_err(Failure::io(cannot()))?;
        let mut start = server.command("pg_ctl")?;
        start.arg("-D").arg(&data).args(["start", "-w", "-l"]).arg(own.join("log"));
        // What the server inherits must not be a pipe that is read to its end.
        let started = start.stdout(Stdio::null()).stderr(Stdio::null()).output();
        succeeded("pg_ctl", started)?;
        Ok(server)
    }

    /// How it is reached.
    pub(super) fn address(&self) -> String {
        format!("postgresql://imgserve@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// One of its programs, run by who may.
    fn command(&self, name: &str) -> Result<Command, Failure> {
        let program = self.programs.join(name);
        let mut command = match owner()? {
            Some(_) => {
                let mut command = Command::new("runuser");
                command.args(["-u", OWNER, "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // The directory that this was typed in may not be that user's to see.
        command.current_dir("/").stdin(Stdio::null());
        Ok(command)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Ok(mut stop) = self.command("pg_ctl") {
            stop.arg("-D").arg(self.directory.join("data")).args(["stop", "-m", "immediate"]);
            // What is left is said by whoever looks into the directory.
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn succeeded(what: &str, output: std::io::Result<std::process::Output>) -> Result<(), Failure> {
    let output = output.map_err(Failure::io(format!("cannot run {what}")))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failure::Other(format!("{what} of PostgreSQL: {}", said.trim_end())))
        }
    }
}

/// Of the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let found = std::fs::read_dir(INSTALLED).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let programs = found.max_by_key(version)?.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

/// Which user and group it is to be, where root runs the demo.
fn owner() -> Result<Option<(u32, u32)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let number = |flag: &str| {
        let output = Command::new("id").args([flag, OWNER]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    match (number("-u"), number("-g")) {
        (Some(user), Some(group)) => Ok(Some((user, group))),
        _ => Err(Failure::Other(MISSING.to_owned())),
    }
}
