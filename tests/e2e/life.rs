//! A server's life as an operator rules it: restarts under load, reloads with their outcome, configurations that are checked
//! before anything is stopped, signals, the log, output that cannot be written.

mod begin;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::json;

use crate::cli::{Place, told};
use crate::harness::{Server, client, program, signal, until};
use crate::jobs::gated;

/// A configuration for daemons of `place`, which may read and write its files; `more` goes on in `[server]`.
fn configure(place: &Place, more: &str) -> PathBuf {
    let own = place.own_files();
    let text = format!("{own}[workers]\ncount = 1\n[server]\nhost = '127.0.0.1'\n{more}\n");
    std::fs::write(place.config(), text).unwrap();
    place.config()
}

fn run(place: &Place, words: &[&str], config: &Path) -> (i32, String) {
    told(&place.command(&[words, &["--config", config.to_str().unwrap()]].concat()).output().unwrap())
}

/// Where a daemon listens, by what its start said.
fn origin(said: &str) -> String {
    let url = said.split("http://").nth(1).unwrap_or_else(|| panic!("no address in: {said}"));
    format!("http://{}", url.split(',').next().unwrap().trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_restarts_under_load_never_fail() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The port is the same each time; `-port 0` of the helper would take another.
    let config = configure(&place, &format!("port = {port}"));
    let source = place.path().join("files/a.png");
    std::fs::write(&source, samples::encoded(300, 200, ImageFormat::Png)).unwrap();
    let command = |word: &str| {
        let mut command = program();
        command.arg(word).arg("--config").arg(&config).arg("-pid").arg(place.path().join("pid"));
        command.arg("-logdir").arg(place.path().join("log"));
        told(&command.output().unwrap())
    };
    let (code, said) = command("start");
    assert_eq!(code, 0, "{said}");
    let (over, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (over, accepted) = (Arc::clone(&over), Arc::clone(&accepted));
            let destination = place.path().join(format!("files/{number}.png"));
            let body = json!({ "operationType": "resize", "srcURL": format!("file://{}", source.display()),
                "dstURL": format!("file://{}", destination.display()), "args": { "width": 30, "height": 20 } });
            tokio::spawn(async move {
                let client = client();
                while !over.load(Ordering::Relaxed) {
                    let posted = client.post(format!("http://127.0.0.1:{port}/")).body(body.to_string()).send().await;
                    if posted.is_ok_and(|reply| reply.headers().contains_key("x-job-id")) {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    let mut before = place.pid();
    for number in 1..=20 {
        let seen = accepted.load(Ordering::Relaxed);
        until("jobs are taken", async || accepted.load(Ordering::Relaxed) > seen).await;
        let (code, said) = tokio::task::block_in_place(|| command("restart"));
        assert_eq!(code, 0, "restart {number}: {said}\n{}", place.log());
        let pid = place.pid();
        assert_ne!(pid, before);
        before = pid;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(place.run(&["stop"]).0, 0);
}

#[test]
fn a_start_waits_for_the_port_and_the_journal_of_one_that_is_ending() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configure(&place, "");
    let lock = File::create(place.path().join("journal.db.lock")).unwrap();
    lock.lock().unwrap();
    let mut start = program();
    start.arg("start").arg("--config").arg(&config).arg("-pid").arg(place.path().join("pid"));
    start.arg("-logdir").arg(place.path().join("log"));
    let number = port.local_addr().unwrap().port().to_string();
    let mut starting = start.args(["-port", &number]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(starting.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.next().unwrap();
    assert!(said.starts_with(&format!("waiting up to 10 s for 127.0.0.1:{number}")), "{said}");
    drop(port);
    let said = lines.next().unwrap();
    assert!(said.contains("waiting up to 10 s for the journal") && said.contains("journal.db"), "{said}");
    drop(lock);
    let said = lines.next().unwrap();
    assert!(said.starts_with("imgserve started"), "{said}");
    assert!(starting.wait().unwrap().success());
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_was_told_to_stop() {
    let place = Place::new();
    let config = configure(&place, "");
    assert_eq!(run(&place, &["start"], &config).0, 0);
    let pid = place.pid();
    // Not by `stop`, which would wait itself.
    signal(pid, "HUP");
    let (code, said) = run(&place, &["start"], &config);
    assert_eq!(code, 0, "{said}");
    assert_ne!(place.pid(), pid);
}

#[test]
fn a_configuration_that_would_not_start_is_found_before_anything_is_stopped() {
    let place = Place::new();
    let config = configure(&place, "port = 0");
    assert_eq!(run(&place, &["start"], &config).0, 0);
    let pid = place.pid();
    let good = std::fs::read_to_string(&config).unwrap();
    let root = place.path().display().to_string();
    let preset =
        |args: &str| format!("{good}[operations.x]\nkind = 'builtin'\nplugin = 'resize'\nargs = {args}\n");
    std::fs::write(place.path().join("ca.pem"), "nonsense").unwrap();
    let check = |file: &Path| {
        let mut command = program();
        command.args(["config", "check"]).arg(file).arg("-pid").arg(place.path().join("pid"));
        told(&command.output().unwrap())
    };
    for (text, code, wanted) in [
        (format!("{good}[operations.x]\nkind = 'wasm'\npath = '/no/such.wasm'\n"), 1, "/no/such.wasm"),
        (
            format!("{good}[operations.x]\nkind = 'builtin'\nplugin = 'resise'\n"),
            1,
            "no builtin plugin `resise`",
        ),
        (preset("{ widht = 3 }"), 1, "default argument `widht` is none of"),
        (preset("{ width = 'x' }"), 1, "argument `width`"),
        (preset("{ width = -3 }"), 1, "argument `width`"),
        (preset("{ fit = 'tight' }"), 1, "argument `fit`"),
        (preset("{ quality = 1000 }"), 1, "argument `quality`"),
        (preset("{ format = 'heic' }"), 1, "argument `format`"),
        (preset("{ width = inf }"), 64, "operations.x.args.width: inf is no number"),
        (
            format!("{good}[operations.\"a/b\"]\nkind = 'builtin'\nplugin = 'resize'\n"),
            64,
            "\"a/b\" is no name",
        ),
        (format!("{good}[operations.\"\"]\nkind = 'builtin'\nplugin = 'resize'\n"), 64, "\"\" is no name"),
        (
            format!("{good}drain_timeout_s = 9000000000000000000\n"),
            64,
            "server.drain_timeout_s: is absurdly large",
        ),
        (format!("{good}[transfer]\nca_file = '/no/ca.pem'\n"), 1, "ca_file: cannot read /no/ca.pem"),
        (format!("{good}[transfer]\nca_file = '{root}/ca.pem'\n"), 1, "holds no certificate"),
        (good.replace("/files'", "/no-files'"), 1, "[access] file_roots: "),
        (good.replace("/files'", "/imgserve.toml'"), 1, "is no directory"),
        (good.replace("/journal.db'", "/imgserve.toml'"), 1, "file is not a database"),
        (good.replace("127.0.0.1", "192.0.2.1"), 1, "cannot listen on 192.0.2.1"),
        (
            good.replace("/cache'", "/imgserve.toml/cache'")
                + "[operations.x]\nkind = 'wasm'\npath = '/dev/null'\n",
            1,
            "cache_dir",
        ),
    ] {
        let other = place.path().join("other.toml");
        std::fs::write(&other, text).unwrap();
        let (checked, said) = check(&other);
        assert!(checked == code && said.contains(wanted), "{wanted}: {checked} {said}");
        let mut restart = program();
        restart.arg("restart").arg("--config").arg(&other).arg("-pid").arg(place.path().join("pid"));
        let (restarted, said) = told(&restart.arg("-logdir").arg(place.path().join("log")).output().unwrap());
        assert!(restarted == code && said.contains(wanted), "{wanted}: {restarted} {said}");
        assert_eq!(place.run(&["status"]), (0, format!("imgserve is running (pid {pid})\n")), "{wanted}");
    }
    let checked = check(&config);
    assert!(
        checked.0 == 0 && checked.1.contains("a server would start with it, with 3 operations"),
        "{checked:?}"
    );
    let (code, said) = run(&place, &["restart", "-uid", "no-such-user"], &config);
    assert!(code == 1 && said.contains("no-such-user"), "{said}");
    let (code, said) = run(&place, &["restart", "-chdir", "/no/such/folder"], &config);
    assert!(code == 1 && said.contains("cannot work in /no/such/folder"), "{said}");
    assert_eq!(place.pid(), pid);
}

#[test]
fn a_restart_on_the_journal_of_another_server_stops_nothing() {
    let (place, other) = (Place::new(), Place::new());
    let (config, others) = (configure(&place, "port = 0"), configure(&other, "port = 0"));
    assert_eq!((run(&place, &["start"], &config).0, run(&other, &["start"], &others).0), (0, 0));
    let pid = place.pid();
    let text = std::fs::read_to_string(&config).unwrap();
    let (ours, theirs) = (place.path().join("journal.db"), other.path().join("journal.db"));
    let text = text.replace(ours.to_str().unwrap(), theirs.to_str().unwrap());
    let moved = place.path().join("moved.toml");
    std::fs::write(&moved, text).unwrap();
    let mut restart = program();
    restart.arg("restart").arg("--config").arg(&moved).arg("-pid").arg(place.path().join("pid"));
    let (code, said) = told(&restart.arg("-logdir").arg(place.path().join("log")).output().unwrap());
    assert!(
        code == 1
            && said.contains("another imgserve has the journal")
            && said.contains("nothing was stopped"),
        "{said}"
    );
    assert_eq!(place.run(&["status"]), (0, format!("imgserve is running (pid {pid})\n")));
    // A check says so of both, as far as it is not the server's own.
    let check = |config: &Path, pid: &str| {
        let mut check = program();
        check.args(["config", "check"]).arg(config).arg("-pid").arg(place.path().join(pid));
        told(&check.output().unwrap())
    };
    let (code, said) = check(&config, "pid");
    assert!(code == 0 && !said.contains("another imgserve") && !said.contains("in use"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("port = {}", taken.local_addr().unwrap().port());
    std::fs::write(&moved, std::fs::read_to_string(&moved).unwrap().replace("port = 0", &port)).unwrap();
    let (code, said) = check(&moved, "no-pid");
    assert!(code == 0 && said.contains("another imgserve has the journal"), "{said}");
    assert!(said.contains("is in use: a start waits for it"), "{said}");
}

#[tokio::test]
async fn a_reload_says_how_it_went_to_whoever_asks() {
    let server = Server::start("");
    let pid_file = server.directory.path().join("imgserve.pid");
    let reload = || told(&program().args(["reload", "-pid"]).arg(&pid_file).output().unwrap());
    let metric = async |name: &str| -> f64 {
        let (_, text) = server.get("/metrics").await;
        let text = text.as_str().unwrap().to_owned();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (ok, time) =
        ("imgserve_config_last_reload_successful", "imgserve_config_last_reload_success_timestamp_seconds");
    let began = metric(time).await;
    assert!(metric(ok).await == 1.0 && began > 1e9);
    let (code, said) = reload();
    assert!(code == 0 && said.contains("has reloaded"), "{said}");
    let taken = metric(time).await;
    assert!(taken > began && server.get("/readyz").await.1.get("config_error").is_none());

    // By hand, and by a command that does not know of the one before.
    let refused = server.reload("[operations.x]\nkind = 'wasm'\npath = '/no/such.wasm'").await;
    assert!(refused.contains("not reloaded") && refused.contains("/no/such.wasm"), "{refused}");
    until("it is told", async || metric(ok).await == 0.0).await;
    assert_eq!(metric(time).await, taken, "nothing was taken in");
    let (status, ready) = server.get("/readyz").await;
    assert!(status == 200 && ready["config_error"].as_str().unwrap().contains("/no/such.wasm"), "{ready}");
    let (code, said) = reload();
    assert!(code == 1 && said.contains("/no/such.wasm") && said.contains("goes on as it was"), "{said}");
    let path = server.directory.path().join("imgserve.toml");
    std::fs::write(&path, "[server]\nprot = 1").unwrap();
    let (code, said) = reload();
    assert!(code == 64 && said.contains("did you mean `server.port`?"), "{said}");
    let other = server.directory.path().join("other.toml");
    std::fs::write(&other, "").unwrap();
    let (code, said) = told(
        &program().args(["reload", "--config"]).arg(&other).arg("-pid").arg(&pid_file).output().unwrap(),
    );
    assert!(code == 1 && said.contains("the running imgserve reads"), "{said}");
    assert!(server.reload("").await.contains("configuration reloaded"));
    until("it is told", async || metric(ok).await == 1.0).await;
    assert!(server.get("/readyz").await.1.get("config_error").is_none());
}

#[tokio::test]
async fn a_reload_says_what_a_restart_alone_takes_in_and_what_stands_open_by_then() {
    let server = Server::start("[jobs]\nmax_finished = 10");
    let pid_file = server.directory.path().join("imgserve.pid");
    let reload = || told(&program().args(["reload", "-pid"]).arg(&pid_file).output().unwrap());
    let config = server.directory.path().join("imgserve.toml");
    std::fs::set_permissions(config, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = reload();
    assert!(code == 0 && !said.contains("restart") && !said.contains("every user"), "{said}");
    let changed = "[server]\nkeep_alive_idle_s = 7\n[limits]\nmax_queue = 7\n[jobs]\nmax_finished = 7\n\
                   [webhooks]\nsecret = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='\n[cors]\norigins = ['*']";
    server.reload(changed).await;
    let keys = "[cors] origins, [limits] max_queue, [server] keep_alive_idle_s";
    let (restart, secret) = (
        format!("it takes a restart to take in {keys}"),
        "imgserve.toml, which holds secrets ([webhooks] secret)",
    );
    until("all is said", async || server.log().contains(&restart) && server.log().contains(secret)).await;
    assert!(!server.log().contains("every web page"), "which is not in force");
    let (code, said) = reload();
    assert!(code == 0 && said.contains("has reloaded") && said.contains(secret), "{said}");
    assert!(said.contains(&format!("`imgserve restart` is needed to take in {keys}\n")), "{said}");
    assert_eq!(server.log().matches(secret).count(), 1, "what stood open before is not said at each reload");
    // As it was at the start.
    server.reload("[jobs]\nmax_finished = 10").await;
    let (code, said) = reload();
    assert!(code == 0 && !said.contains("restart"), "{said}");
}

/// `stop` ends one gracefully that SIGHUP does not end.
async fn stop_by_quit(server: &mut Server) {
    let pid_file = server.directory.path().join("imgserve.pid");
    let stop = tokio::task::spawn_blocking(move || {
        told(&program().args(["stop", "-pid"]).arg(pid_file).output().unwrap())
    });
    assert!(server.wait_end().success());
    assert_eq!(stop.await.unwrap().0, 0);
    assert!(server.log().contains("(SIGQUIT)"), "{}", server.log());
}

#[tokio::test]
async fn a_hangup_that_was_ignored_at_the_start_does_not_stop_a_server_in_the_foreground() {
    let mut server = Server::start_ignoring_hangup("");
    assert_eq!(server.log().matches("SIGHUP is ignored, as it was").count(), 1, "{}", server.log());
    server.signal("HUP");
    // Would come after it.
    server.reload("[jobs]\nmax_finished = 10").await;
    assert!(!server.log().contains("stopping"), "{}", server.log());
    stop_by_quit(&mut server).await;

    // What ends nothing is done, and nobody hears of what is not ignored.
    let server = Server::start_ignoring_hangup("[server]\nhangup = 'reload'");
    server.signal("HUP");
    until("it reloads", async || server.log().contains("configuration reloaded")).await;
    assert!(!server.log().contains("SIGHUP is ignored"), "{}", server.log());
}

#[tokio::test]
async fn a_daemon_is_stopped_by_a_hangup_whoever_started_it() {
    let place = Place::new();
    let config = configure(&place, "");
    let start = place.command(&["start", "--config", config.to_str().unwrap()]);
    let mut command = std::process::Command::new("env");
    command.arg("--ignore-signal=HUP").arg(start.get_program()).args(start.get_args());
    let (code, said) = told(&command.output().unwrap());
    assert_eq!(code, 0, "{said}");
    signal(place.pid(), "HUP");
    until("it has ended", async || !place.path().join("pid").exists()).await;
}

#[tokio::test]
async fn a_hangup_stops_or_reloads_as_the_configuration_says_and_the_log_says_which_signal_did_what() {
    let mut server = Server::start("");
    server.signal("HUP");
    assert!(server.wait_end().success());
    let log = server.log();
    assert!(log.contains("(SIGHUP; SIGUSR1 reloads") && log.contains("[server] hangup"), "{log}");

    let mut server = Server::start("[server]\nhangup = 'reload'");
    server.signal("HUP");
    until("it reloads", async || server.log().contains("configuration reloaded")).await;
    assert!(server.log().contains("SIGHUP: reloading the configuration"), "{}", server.log());
    stop_by_quit(&mut server).await;
    assert_eq!(
        std::fs::read_dir(server.directory.path())
            .unwrap()
            .flatten()
            .filter(|file| file.file_name().to_str().unwrap().starts_with("imgserve.pid"))
            .count(),
        0
    );
}

#[test]
fn a_log_that_others_have_rotated_is_begun_anew() {
    let place = Place::new();
    let config = configure(&place, "");
    assert_eq!(run(&place, &["start"], &config).0, 0);
    let (log, moved) = (place.path().join("log/imgserve.log"), place.path().join("log/imgserve.log.moved"));
    std::fs::rename(&log, &moved).unwrap();
    assert_eq!(run(&place, &["reload"], &config).0, 0);
    assert!(place.log().contains("configuration reloaded"), "{}", place.log());
    let old = std::fs::read_to_string(&moved).unwrap();
    assert!(old.contains("listens on") && !old.contains("configuration reloaded"), "{old}");
    assert!(!old.contains('\u{1b}') && !place.log().contains('\u{1b}'));
    // What a crash would say goes there too.
    let stderr = std::fs::read_link(format!("/proc/{}/fd/2", place.pid())).unwrap();
    assert_eq!(stderr, log.canonicalize().unwrap());
}

#[tokio::test]
async fn a_log_that_goes_to_no_terminal_has_no_escape_sequences() {
    let place = Place::new();
    let config = configure(&place, "");
    let mut command = program();
    command.args(["start", "--foreground", "-host", "localhost", "-port", "0", "-pid"]);
    command.arg(place.path().join("pid")).arg("--config").arg(config);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("listens on")).unwrap();
    assert!(line.contains("http://127.0.0.1:") && !line.contains('\u{1b}'), "{line:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_address_may_be_written_as_people_write_it() {
    let ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for (host, wanted) in
        [("localhost", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("[::1]", "http://[::1]:")]
    {
        if wanted.contains("::1") && !ipv6 {
            eprintln!("this machine has no IPv6: {host} not checked");
            continue;
        }
        let place = Place::new();
        let mut command = program();
        command.args(["start", "-host", host, "-port", "0", "-pid"]).arg(place.path().join("pid"));
        command.arg("-logdir").arg(place.path().join("log")).arg("--config").arg(place.config());
        let (code, said) = told(&command.output().unwrap());
        assert!(code == 0 && said.contains(wanted), "{said}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let place = Place::new();
    let config = configure(&place, "port = 0").display().to_string();
    let pid = place.path().join("pid").display().to_string();
    for words in [
        vec!["config", "--config", &config],
        vec!["version"],
        vec!["--version"],
        vec!["help"],
        vec!["start", "--help"],
        vec!["status", "-pid", &pid],
        vec!["stop", "-pid", &pid],
        vec!["operations", "--config", &config],
        vec!["config", "check", &config],
        vec!["key", "webhook"],
        vec!["key", "api", "a", "--scopes", "jobs"],
    ] {
        let output = program().args(&words).stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("cannot write to stdout: No space left"),
            "{words:?}: {said}"
        );
        let mut child = program().args(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("cannot write") && !said.contains("panicked"), "{words:?}: {said}");
    }
}

#[tokio::test]
async fn commands_find_the_server_that_start_port_started_and_take_the_ids_that_they_show() {
    let place = Place::new();
    let config = configure(&place, "port = 1");
    let (code, said) = run(&place, &["start"], &config);
    assert_eq!(code, 0, "{said}");
    let source = place.path().join("files/a.png");
    std::fs::write(&source, "no picture").unwrap();
    std::fs::write(place.path().join("files/good.png"), samples::encoded(60, 40, ImageFormat::Png)).unwrap();
    let root = place.path().display();
    let client = client();
    let body = json!({ "operationType": "resize", "srcURL": format!("file://{root}/files/good.png"),
        "dstURL": format!("file://{root}/files/out-{{$width}}.png"), "args": { "width": 30, "height": 20 } });
    let posted = client.post(origin(&said)).body(body.to_string()).send().await.unwrap();
    let id = posted.headers()["x-job-id"].to_str().unwrap().to_owned();
    let short = &id[id.len() - 8..];
    let ask = |words: &[&str]| {
        let mut command = program();
        command.args(words).arg("-pid").arg(place.path().join("pid")).env("COLUMNS", "80");
        told(&command.env_remove("IMGSERVE_KEY").output().unwrap())
    };
    let (code, out) = ask(&["jobs", "show", short, "--follow"]);
    assert!(code == 0 && out.contains(&format!("job          {id}")), "{out}");
    let (code, out) = ask(&["jobs", "list"]);
    assert!(code == 0 && out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let row = out.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("{short} succeeded")) && row.ends_with("30.png"), "{out}");
    let (code, out) = ask(&["top", "--once"]);
    assert!(code == 0 && out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for words in [["jobs", "cancel", short], ["jobs", "retry", short]] {
        let (code, out) = ask(&words);
        assert!(code == 1 && out.contains(&id), "the job that is meant is found: {out}");
    }
    // By the configuration too, which says another port.
    let mut command = program();
    command.args(["jobs", "list", "--config"]).arg(&config).arg("-pid").arg(place.path().join("pid"));
    assert!(told(&command.output().unwrap()).1.contains(&id));
    let (code, out) = told(&program().args(["jobs", "list", "-pid", "/no/such/pid"]).output().unwrap());
    assert!(code == 1 && out.contains("/no/such/pid"), "{out}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_a_start_holds_no_attempt_back() {
    const HOURS: i64 = 3 * 3_600_000;
    let (origin, gate) = gated().await;
    let mut server = Server::start("[jobs]\nmax_retry_pause_s = 1");
    let args = json!({ "width": 30, "height": 20 });
    let job = server.submit("resize", &format!("{origin}/a.png"), &server.file_url("o.png"), args).await;
    until("it runs", async || server.get(&format!("/v1/jobs/{job}")).await.1["state"] == "running").await;
    server.kill();
    // As if these times had been written by a clock three hours ahead.
    let journal = rusqlite::Connection::open(server.directory.path().join("journal.db")).unwrap();
    let shifted = journal
        .execute("UPDATE jobs SET due_at_ms = due_at_ms + ?1, lease_until_ms = lease_until_ms + ?1", [HOURS]);
    assert_eq!(shifted.unwrap(), 1);
    drop(journal);
    gate.add_permits(10);
    server.restart();
    assert_eq!(server.ended(&job).await["state"], "succeeded");
}
