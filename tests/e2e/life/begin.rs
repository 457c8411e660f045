//! What reaches a server before it serves, and what a check finds before there is one.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::configure;
use crate::cli::{Place, told};
use crate::harness::{binary, program, program_that_hears_hangups, signal};

/// A server in the foreground, and the lines of its log.
fn foreground(place: &Place, config: &std::path::Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = program_that_hears_hangups();
    command.args(["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "--config"]).arg(config);
    command.arg("-pid").arg(place.path().join("pid"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

#[test]
fn a_start_that_waits_for_a_plugin_can_be_stopped() {
    let place = Place::new();
    let config = configure(&place, "");
    // A plugin's file that never ends.
    let pipe = place.path().join("pipe.wasm");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let section = format!("[operations.x]\nkind = 'wasm'\npath = {pipe:?}\n");
    let text = std::fs::read_to_string(&config).unwrap() + &section;
    std::fs::write(&config, text).unwrap();
    for name in ["TERM", "INT", "HUP"] {
        let (mut child, mut lines) = foreground(&place, &config);
        let compiler = |pid: u32| {
            let words = |child: &u32| std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            crate::harness::children(pid).iter().any(|child| words(child).ends_with(b"\0compile\0"))
        };
        let began = Instant::now();
        while !compiler(child.id()) {
            assert!(began.elapsed().as_secs() < 60, "its plugin is not looked at");
        }
        let told = Instant::now();
        signal(child.id(), name);
        assert!(lines.any(|line| line.contains(&format!("SIG{name}: stopped before it served"))));
        assert!(child.wait().unwrap().success());
        assert!(told.elapsed().as_secs() < 20, "{:?}", told.elapsed());
        assert!(!place.path().join("pid").exists());
    }
}

#[test]
fn a_start_that_waits_for_a_port_can_be_stopped_and_is_not_killed_by_a_reload() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = configure(&place, &format!("port = {port}"));
    let mut command = program();
    command
        .args(["start", "--foreground", "--config"])
        .arg(&config)
        .arg("-pid")
        .arg(place.path().join("pid"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(&format!("waiting up to 10 s for 127.0.0.1:{port}"))));
    signal(child.id(), "USR1");
    assert!(lines.any(|line| line.contains("SIGUSR1: reloading the configuration once it serves")));
    signal(child.id(), "TERM");
    assert!(lines.any(|line| line.contains("SIGTERM: stopped before it served")));
    assert!(child.wait().unwrap().success());
    assert!(!place.path().join("pid").exists());
}

#[test]
fn a_reload_that_is_asked_for_before_a_server_serves_is_done_then() {
    let place = Place::new();
    let config = configure(&place, "");
    let lock = File::create(place.path().join("journal.db.lock")).unwrap();
    lock.lock().unwrap();
    let (mut child, mut lines) = foreground(&place, &config);
    assert!(lines.any(|line| line.contains("waiting up to 10 s for the journal")));
    let preset =
        "[operations.small]\nkind = 'builtin'\nplugin = 'resize'\nargs = { width = 8, height = 8 }\n";
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + preset).unwrap();
    let reload = place.command(&["reload"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(lines.any(|line| line.contains("SIGUSR1: reloading the configuration once it serves")));
    drop(lock);
    let (code, said) = told(&reload.wait_with_output().unwrap());
    assert!(code == 0 && said.contains("has reloaded"), "{said}");
    assert!(lines.any(|line| line.contains("listens on")));
    assert!(lines.any(|line| line.contains("configuration reloaded")));
    signal(child.id(), "TERM");
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_check_finds_what_a_start_could_not_write_and_what_there_would_be_less_of() {
    let place = Place::new();
    let config = configure(&place, "");
    let check = |limit: &str, pid: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit} exec \"$0\" config check --config \"$1\" -pid \"$2\"")]);
        told(&command.arg(binary()).arg(&config).arg(pid).output().unwrap())
    };
    let pid = place.path().join("new/pid");
    let (code, said) = check("", pid.to_str().unwrap());
    assert!(code == 0 && !pid.parent().unwrap().exists() && !said.contains("open files"), "{said}");
    let (code, said) = check("", "/dev/null/pid");
    assert!(code == 1 && said.contains("cannot write the pid file: /dev/null is no directory"), "{said}");
    let (code, said) = check("ulimit -n 256;", pid.to_str().unwrap());
    assert!(code == 0 && said.contains("[server] max_connections = 1024 needs more open files"), "{said}");
    let mut restart = Command::new(binary());
    restart.args(["restart", "-logdir", "/dev/null/log", "-pid"]).arg(&pid).arg("--config").arg(&config);
    let (code, said) = told(&restart.output().unwrap());
    assert!(code == 1 && said.contains("/dev/null/log"), "{said}");
}

#[test]
fn what_is_logged_changes_with_a_reload() {
    let place = Place::new();
    let config = configure(&place, "");
    let run = |word: &str| super::run(&place, &[word], &config);
    assert_eq!(run("start").0, 0);
    let good = std::fs::read_to_string(&config).unwrap();
    let count = || place.log().matches("SIGUSR1: reloading the configuration").count();
    std::fs::write(&config, format!("{good}[log]\nlevel = 'error'\n")).unwrap();
    assert_eq!((run("reload").0, count()), (0, 1));
    assert_eq!((run("reload").0, count()), (0, 1), "that is no error");
    std::fs::write(&config, format!("{good}[log]\nlevel = 'info'\n")).unwrap();
    assert_eq!((run("reload").0, count()), (0, 1), "it is said as before until it is taken in");
    assert_eq!((run("reload").0, count()), (0, 2));
    // What is refused changes nothing.
    let refused = "[log]\nlevel = 'error'\n[operations.x]\nkind = 'wasm'\npath = '/no/such.wasm'\n";
    std::fs::write(&config, format!("{good}{refused}")).unwrap();
    assert_eq!((run("reload").0, count()), (1, 3));
    std::fs::write(&config, good).unwrap();
    assert_eq!((run("reload").0, count()), (0, 4));
}
