//! The command line: the daemon's life, exit codes, and what is said when something is wrong.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{children, program, signal};

/// A place for a daemon of its own; whatever runs there is killed in the end.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.args(words).arg("-pid").arg(self.path().join("pid"));
        if matches!(words[0], "start" | "restart") {
            command.args(["-host", "127.0.0.1", "-port", "0", "-logdir"]).arg(self.path().join("log"));
            command.arg("-journal").arg(self.path().join("journal.db"));
        }
        command
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        told(&self.command(words).output().unwrap())
    }

    fn pid(&self) -> u32 {
        std::fs::read_to_string(self.path().join("pid")).unwrap().trim().parse().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log/imgserve.log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command(&["stop", "-KILL"]).output();
    }
}

fn told(output: &Output) -> (i32, String) {
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
fn a_living_stranger_in_the_pid_file_needs_force() {
    let place = Place::new();
    std::fs::write(place.path().join("pid"), std::process::id().to_string()).unwrap();
    let (code, text) = place.run(&["start"]);
    assert!(code == 1 && text.contains("-FORCE"), "{text}");
    assert_eq!(place.run(&["stop"]).0, 1, "a stranger must not be stopped");
    assert_eq!(place.run(&["start", "-FORCE"]).0, 0);
}

#[test]
fn what_is_wrong_is_said_where_it_was_typed() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, text) = told(
        &program()
            .args(["start", "-host", "127.0.0.1", "-port", &port, "-pid"])
            .arg(place.path().join("pid"))
            .arg("-logdir")
            .arg(place.path().join("log"))
            .arg("-journal")
            .arg(place.path().join("journal.db"))
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
    assert_eq!(place.run(&["reload"]).0, 1);
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
    // The program itself must be reachable for the other user.
    let copy = place.path().join("imgserve");
    std::fs::copy(program().get_program(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["start", "-uid", "65534", "-gid", "65534", "-host", "127.0.0.1", "-port", "0", "-pid"]);
    command.arg(place.path().join("pid")).arg("-logdir").arg(place.path().join("log"));
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
