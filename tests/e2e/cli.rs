//! The command line: the daemon's life, exit codes, and what is said when something is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{children, program, signal};

/// A place for a daemon of its own, with all its files; whatever runs there is killed in the end.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.config(), place.own_files()).unwrap();
        place
    }

    /// The configuration of its daemons, unless a command names another.
    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("imgserve.toml")
    }

    /// What of a configuration keeps a daemon from this machine's own files.
    pub(crate) fn own_files(&self) -> String {
        let root = self.path().display();
        std::fs::create_dir_all(self.path().join("files")).unwrap();
        format!(
            "[access]\nfile_roots = ['{root}/files']\n[jobs]\njournal = '{root}/journal.db'\n[plugins]\n\
             cache_dir = '{root}/cache'\n"
        )
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.args(words).arg("-pid").arg(self.path().join("pid"));
        if !words.contains(&"--config") {
            command.arg("--config").arg(self.config());
        }
        if matches!(words[0], "start" | "restart") {
            command.args(["-host", "127.0.0.1", "-port", "0", "-logdir"]).arg(self.path().join("log"));
            command.arg("-journal").arg(self.path().join("journal.db"));
        }
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> (i32, String) {
        told(&self.command(words).output().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        std::fs::read_to_string(self.path().join("pid")).unwrap().trim().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log/imgserve.log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command(&["stop", "-KILL"]).output();
    }
}

pub(crate) fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

#[test]
fn a_daemons_life() {
    let place = Place::new();
    assert_eq!(place.run(&["status"]), (3, "imgserve is not running\n".to_owned()));
    let (code, text) = place.run(&["start"]);
    assert!(code == 0 && text.contains("http://127.0.0.1:"), "{text}");
    let pid = place.pid();
    assert_eq!(place.run(&["status"]), (0, format!("imgserve is running (pid {pid})\n")));
    let (code, text) = place.run(&["start"]);
    assert!(code == 1 && text.contains("already running"), "{text}");
    let (code, _) = place.run(&["restart"]);
    assert!(code == 0 && place.pid() != pid);
    assert_eq!(place.run(&["stop"]).0, 0);
    assert_eq!(place.run(&["status"]).0, 3);
    assert!(place.log().contains("listens on") && place.log().contains("stopped"));
    assert_eq!(place.run(&["stop"]).0, 0, "stopping what is stopped is no error");
}

#[test]
fn a_daemon_is_detached() {
    let place = Place::new();
    place.run(&["start"]);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", place.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(fields[3], place.pid().to_string(), "not the leader of its session: {stat}");
    assert_eq!(std::fs::read_link(format!("/proc/{}/cwd", place.pid())).unwrap(), Path::new("/"));
}

#[test]
fn a_crash_leaves_a_stale_file_and_nothing_else() {
    let place = Place::new();
    place.run(&["start"]);
    signal(place.pid(), "KILL");
    // The lock goes with the process, a moment after the signal.
    let died = std::time::Instant::now();
    while place.run(&["status"]).0 == 0 {
        assert!(died.elapsed().as_secs() < 30, "a killed server still counts as running");
    }
    let (code, text) = place.run(&["status"]);
    assert!(code == 1 && text.contains("stale"), "{text}");
    let (code, text) = place.run(&["start"]);
    assert!(code == 0 && text.contains("replacing the stale pid file"), "{text}");
    assert_eq!(place.run(&["stop", "-KILL"]).0, 0);
    assert_eq!(place.run(&["status"]).0, 3);
}

#[test]
fn a_pid_file_that_names_another_program_is_stale_and_the_program_is_left_alone() {
    let place = Place::new();
    let pid_file = place.path().join("pid");
    // A number that this test has by now, and that of the first process.
    for pid in [std::process::id(), 1] {
        std::fs::write(&pid_file, pid.to_string()).unwrap();
        let (code, text) = place.run(&["status"]);
        assert!(code == 1 && text.contains("stale"), "{text}");
        let (code, text) = place.run(&["stop"]);
        assert!(code == 0 && text.contains("was not running") && !pid_file.exists(), "{text}");
    }
    std::fs::write(&pid_file, std::process::id().to_string()).unwrap();
    let (code, text) = place.run(&["start"]);
    assert!(code == 0 && text.contains("replacing the stale pid file"), "{text}");
}

#[test]
fn a_killed_container_starts_again() {
    // In a container every start has the same few numbers: the file names the very process that starts.
    let place = Place::new();
    let script = "echo $$ > \"$0\"; exec \"$@\"";
    let mut first = place.command(&["start", "--foreground"]);
    let words: Vec<_> = first.get_args().map(std::ffi::OsStr::to_owned).collect();
    first = Command::new("sh");
    first.args(["-c", script]).arg(place.path().join("pid")).arg(program().get_program()).args(words);
    let mut child = first.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let listens = lines.map_while(Result::ok).find(|line| line.contains("listens on"));
    assert!(listens.is_some(), "it did not start");
    assert_eq!(place.pid(), child.id());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_server_of_0_2_in_the_pid_file_needs_force() {
    let place = Place::new();
    let script = place.path().join("imgserve");
    std::fs::write(&script, "read line").unwrap();
    let mut old = Command::new("sh").arg(&script).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::fs::write(place.path().join("pid"), old.id().to_string()).unwrap();
    let (code, text) = place.run(&["start"]);
    assert!(code == 1 && text.contains("-FORCE"), "{text}");
    assert_eq!(place.run(&["stop"]).0, 1, "it is stopped by hand");
    assert_eq!(place.run(&["start", "-FORCE"]).0, 0);
    assert!(old.try_wait().unwrap().is_none());
    drop(old.stdin.take());
    old.wait().unwrap();
}

#[test]
fn what_is_wrong_is_said_where_it_was_typed() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let impatient = place.path().join("impatient.toml");
    std::fs::write(&impatient, format!("{}[server]\nstart_wait_s = 0\n", place.own_files())).unwrap();
    let (code, text) = told(
        &program()
            .args(["start", "-host", "127.0.0.1", "-port", &port, "-pid"])
            .arg(place.path().join("pid"))
            .arg("-logdir")
            .arg(place.path().join("log"))
            .arg("-journal")
            .arg(place.path().join("journal.db"))
            .arg("--config")
            .arg(&impatient)
            .output()
            .unwrap(),
    );
    assert!(code == 1 && text.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{text}");
    assert_eq!(place.run(&["status"]).0, 3);

    let config = place.path().join("bad.toml");
    std::fs::write(&config, "[server]\nprot = 1\n").unwrap();
    let config = config.to_str().unwrap();
    let (code, text) = place.run(&["start", "--config", config]);
    assert!(code == 64 && text.contains("did you mean `server.port`?"), "{text}");
    let (code, text) = place.run(&["start", "--config", "/no/such/file.toml"]);
    assert!(code == 64 && text.contains("/no/such/file.toml"), "{text}");
    assert_eq!(place.run(&["reload", "--config", place.config().to_str().unwrap()]).0, 1);
    assert_eq!(told(&program().arg("strat").output().unwrap()).0, 2);
}

#[test]
fn help_and_version() {
    let (code, text) = told(&program().arg("help").output().unwrap());
    for word in ["start", "stop", "restart", "status", "reload", "config", "demo"] {
        assert!(code == 0 && text.contains(word), "{text}");
    }
    assert!(!text.contains("worker "), "the hidden command is shown: {text}");
    let version = format!("imgserve {}\n", env!("CARGO_PKG_VERSION"));
    for words in [["version"], ["--version"], ["-V"]] {
        assert_eq!(told(&program().args(words).output().unwrap()), (0, version.clone()));
    }
}

#[test]
fn another_user_serves_when_root_says_so() {
    if !Path::new("/proc/self").metadata().is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0) {
        eprintln!("needs root: not checked");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // What root would have prepared for it.
    for name in ["journal", "cache"] {
        std::fs::create_dir(place.path().join(name)).unwrap();
        std::os::unix::fs::chown(place.path().join(name), Some(65534), Some(65534)).unwrap();
    }
    // The program itself must be reachable for the other user.
    let copy = place.path().join("imgserve");
    std::fs::copy(program().get_program(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["start", "-uid", "65534", "-gid", "65534", "-host", "127.0.0.1", "-port", "0", "-pid"]);
    command.arg(place.path().join("pid")).arg("-logdir").arg(place.path().join("log"));
    command.arg("--config").arg(place.config()).arg("-journal").arg(place.path().join("journal/jobs.db"));
    let output = loop {
        match command.output() {
            // A process that another test has just forked may still hold the copy open for writing.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            output => break output.unwrap(),
        }
    };
    let (code, text) = told(&output);
    assert_eq!(code, 0, "{text}");
    let owner =
        |pid: u32| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{pid}")).unwrap());
    assert_eq!(owner(place.pid()), 65534);
    assert!(children(place.pid()).into_iter().all(|worker| owner(worker) == 65534));
    assert_eq!(place.run(&["stop"]).0, 0);
    assert_eq!(place.run(&["status"]).0, 3);
}

#[test]
fn the_demo_is_right() {
    let place = Place::new();
    let results = place.path().join("demo");
    let (code, text) = told(&program().args(["demo", "--dir"]).arg(&results).output().unwrap());
    assert_eq!(code, 0, "{text}");
    assert!(results.join("demo.html").exists());
}
