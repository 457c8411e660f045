//! A PostgreSQL server in a temporary directory, on a free loopback port. It ends with its value, or with the process that has it:
//! a shell waits for that, as a test program ends without a word to what it has in statics.
#![allow(clippy::disallowed_methods, reason = "a test's own files and programs")]

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::Wire;

/// What to type where there is none.
const MISSING: &str = "PostgreSQL is not installed. Type: apt-get install postgresql    (as root)";
/// Who it runs as where the tests run as root: the server does not.
const OWNER: &str = "postgres";

/// A running server, or one that is stopped for a while.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    /// Ends it when this process has ended.
    guard: Child,
}

impl Postgres {
    /// Makes one and starts it. Nothing of it outlives it, so it does not wait for the disk, unless `durable`: then it is there again
    /// after it was stopped immediately.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, with what to type.
    pub fn start(durable: bool) -> Self {
        let programs = programs().expect(MISSING);
        let directory =
            tempfile::Builder::new().prefix("imgserve-pg-").tempdir().expect("a temporary directory").keep();
        if let Some((user, group)) = owner() {
            chown(&directory, Some(user), Some(group)).expect("root may give it away");
        }
        let port = free_port();
        let data = directory.join("data");
        let made = run(&programs, "initdb")
            .args(["--no-sync", "--auth=trust", "--username=imgserve", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .expect("it is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let guard = guard(&programs, &directory);
        let server = Self { programs, directory, port, guard };
        let sync = if durable { "on" } else { "off" };
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = {sync}\n\
             max_connections = 400\nshared_buffers = 64MB\nlog_min_messages = warning\n",
            server.directory.display()
        );
        let file = data.join("postgresql.auto.conf");
        std::fs::write(file, settings).expect("the directory is ours");
        server.start_again();
        server
    }

    /// Starts it after it was stopped.
    pub fn start_again(&self) {
        let log = self.directory.join("log");
        let started =
            self.control(&["start", "-w", "-t", "60", "-l"]).arg(&log).output().expect("it is installed");
        assert!(started.status.success(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Stops it as a crash would.
    pub fn stop(&self) {
        let stopped = self.control(&["stop", "-m", "immediate"]).output().expect("it is installed");
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    }

    /// How to reach a database of it.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The same over a wire.
    pub fn url_over(&self, wire: &Wire, database: &str) -> String {
        url(wire.port(), database)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Runs statements in a database, by `psql`; what they give.
    ///
    /// # Panics
    /// Where they fail.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn psql(&self, database: &str, sql: &str) -> Output {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "-tA",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &self.url(database),
            "-c",
            sql,
        ]);
        psql.output().expect("it is installed")
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = run(&self.programs, "pg_ctl");
        // What the server inherits must not be a pipe that somebody reads to its end.
        command.arg("-D").arg(self.data()).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgresql://imgserve@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until nobody holds the other end of its input; then ends the server, and what it had.
fn guard(programs: &Path, directory: &Path) -> Child {
    let stop = run(programs, "pg_ctl");
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("trap '' INT TERM HUP; read _; d=$1; shift; \"$@\" >/dev/null 2>&1; rm -rf \"$d\"")
        .arg("sh");
    command.arg(directory).arg(stop.get_program()).args(stop.get_args());
    command.arg("-D").arg(directory.join("data")).args(["stop", "-m", "immediate"]);
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("there is a shell")
}

/// A program of PostgreSQL's, by the user that its server runs as.
fn run(programs: &Path, name: &str) -> Command {
    let program = programs.join(name);
    let mut command = match owner() {
        Some(_) => {
            let mut command = Command::new("runuser");
            command.args(["-u", OWNER, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    // The directory that the tests run in may not be that user's to see.
    command.current_dir("/");
    command
}

/// The newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let found = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version);
    let programs = found?.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

/// Which user and group that is, where it is not the one of the tests.
fn owner() -> Option<(u32, u32)> {
    let number = |flag: &str, name: &[&str]| {
        let output = Command::new("id").arg(flag).args(name).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    (number("-u", &[])? == 0).then(|| {
        let of_owner = |flag| number(flag, &[OWNER]).expect(MISSING);
        (of_owner("-u"), of_owner("-g"))
    })
}
