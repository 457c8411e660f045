//! `imgserve jobs` and `imgserve top`: what an operator types against a running server.

use std::process::Output;

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, program, sha256, until};
use crate::jobs::gated;

/// Runs a command that asks `server`; gives its exit code and what it said on stdout and stderr.
async fn ask(server: &Server, words: &[&str]) -> (i32, String, String) {
    ask_at(&server.origin, words, None).await
}

async fn ask_at(url: &str, words: &[&str], key: Option<&str>) -> (i32, String, String) {
    let mut command = program();
    command.args(words).args(["--url", url]).env_remove("IMGSERVE_KEY").env("HOME", "/nonexistent");
    if let Some(key) = key {
        command.env("IMGSERVE_KEY", key);
    }
    told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let code = output.status.code().unwrap_or(-1);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(!out.chars().chain(err.chars()).any(|c| c.is_control() && c != '\n'), "{out:?} {err:?}");
    (code, out, err)
}

/// A server with a job that succeeded, one that failed and one that waits for its source.
struct Scene {
    server: Server,
    succeeded: String,
    failed: String,
    waiting: String,
    gate: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Scene {
    async fn set(extra: &str) -> Self {
        let (origin, gate) = gated().await;
        let server = Server::start(extra);
        let args = json!({ "width": 20, "height": 10 });
        let whole = samples::encoded(60, 40, ImageFormat::Png);
        let (good, bad) =
            (server.write("good.png", &whole), server.write("bad.png", &whole[..whole.len() / 2]));
        let good = server.succeed("resize", &good, &server.file_url("good-out.png"), args.clone()).await;
        let failed = server.submit("resize", &bad, &server.file_url("bad-out.png"), args.clone()).await;
        assert_eq!(server.ended(&failed).await["state"], "failed");
        let (source, destination) = (format!("{origin}/slow.png"), server.file_url("slow-out.png"));
        let waiting = server.submit("resize", &source, &destination, args).await;
        until("it runs", async || server.get(&format!("/v1/jobs/{waiting}")).await.1["state"] == "running")
            .await;
        let succeeded = good["id"].as_str().unwrap().to_owned();
        Self { server, succeeded, failed, waiting, gate }
    }
}

#[tokio::test]
async fn jobs_are_listed_the_newest_first() {
    let Scene { server, succeeded, failed, waiting, .. } = Scene::set("").await;
    let (code, out, err) = ask(&server, &["jobs", "list"]).await;
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!((code, rows.len(), err.as_str()), (0, 4, ""), "{out}");
    assert!(rows[0].starts_with("ID ") && rows[0].contains("STATE"), "{out}");
    for (row, words) in [
        (rows[1], [waiting.as_str(), "running", "/slow.png → file://"]),
        (rows[2], [&failed, "failed", "unreadable-source: "]),
        (rows[3], [&succeeded, "succeeded", "100 %"]),
    ] {
        assert!(words.iter().all(|word| row.contains(word)), "{row} lacks one of {words:?}");
    }

    let (_, out, _) = ask(&server, &["jobs", "list", "--state", "failed,running", "--limit", "1"]).await;
    assert!(out.lines().count() == 2 && out.contains(&waiting), "{out}");
    let (_, out, _) = ask(&server, &["jobs", "list", "--operation", "rasterize"]).await;
    assert_eq!(out.lines().count(), 1, "{out}");
    let (code, out, _) = ask(&server, &["jobs", "list", "--all", "--json"]).await;
    let jobs: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!((code, ids), (0, vec![waiting.as_str(), &failed, &succeeded]));
    let (code, _, err) = ask(&server, &["jobs", "list", "--state", "lost"]).await;
    assert!(code == 2 && err.contains("succeeded"), "{err}");
}

#[tokio::test]
async fn all_pages_are_followed() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(6, 4, ImageFormat::Png));
    let mut posted = Vec::new();
    for number in 0..501 {
        let destination = server.file_url(&format!("{number}.png"));
        posted.push(server.submit("resize", &source, &destination, json!({ "width": 3, "height": 2 })).await);
    }
    posted.reverse();
    let (_, out, _) = ask(&server, &["jobs", "list", "--all"]).await;
    let listed: Vec<&str> = out.lines().skip(1).map(|row| row.split(' ').next().unwrap()).collect();
    assert_eq!(listed, posted);
    assert_eq!(ask(&server, &["jobs", "list", "--limit", "501"]).await.1.lines().count(), 502);
}

#[tokio::test]
async fn a_jobs_story_is_told_and_followed_to_its_end() {
    let Scene { server, succeeded, failed, waiting, gate } = Scene::set("").await;
    let (code, out, _) = ask(&server, &["jobs", "show", &succeeded]).await;
    for words in ["state        succeeded", "good.png", "good-out.png", "20×10 png, ", "work "] {
        assert!(code == 0 && out.contains(words), "{words} is not in\n{out}");
    }
    let (code, out, _) = ask(&server, &["jobs", "show", &failed]).await;
    assert!(code == 0 && out.contains("failed       attempt 1, 20"), "{out}");
    assert!(out.contains("error        unreadable-source: "), "{out}");
    let (_, out, _) = ask(&server, &["jobs", "show", &waiting, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["stage"], "fetching");

    let following = tokio::spawn({
        let (url, waiting) = (server.origin.clone(), waiting.clone());
        async move { ask_at(&url, &["jobs", "show", &waiting, "--follow"], None).await }
    });
    gate.add_permits(1);
    let (code, out, err) = following.await.unwrap();
    assert!(code == 0 && out.contains("state        succeeded"), "{out}{err}");
    let (code, out, _) = ask(&server, &["jobs", "show", &failed, "--follow", "--json"]).await;
    assert_eq!((code, out.lines().count()), (1, 1), "{out}");
    let nobody = "01890000-0000-7000-8000-000000000000";
    let (code, _, err) = ask(&server, &["jobs", "show", nobody]).await;
    assert!(code == 1 && err.contains("no job of yours has this id"), "{err}");
    assert_eq!(ask(&server, &["jobs", "show", "../operations"]).await.0, 2);
}

#[tokio::test]
async fn a_follower_waits_for_a_server_that_restarts() {
    let Scene { mut server, waiting, gate, .. } = Scene::set("").await;
    let listens = server.origin.rsplit(':').next().unwrap().to_owned();
    let follower = program()
        .args(["jobs", "show", &waiting, "--follow", "--url", &server.origin])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut follower = Guarded(follower);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follower.0.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("running, attempt 1"), "{first}");
    server.signal("KILL");
    server.wait_end();
    let mut again = Guarded(
        program()
            .args(["start", "--foreground", "-host", "127.0.0.1", "-port", &listens, "--config"])
            .arg(server.directory.path().join("imgserve.toml"))
            .arg("-pid")
            .arg(server.directory.path().join("imgserve.pid"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    gate.add_permits(10);
    let rest = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let rest = rest.await.unwrap().join("\n");
    assert!(rest.contains("state        succeeded at attempt 2"), "{rest}");
    assert!(follower.0.wait().unwrap().success());
    let _ = again.0.kill();
}

/// A process that does not outlive the test.
struct Guarded(std::process::Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn jobs_are_cancelled_and_tried_again() {
    let Scene { server, succeeded, failed, waiting, gate } = Scene::set("").await;
    let (code, out, err) = ask(&server, &["jobs", "cancel", &waiting, &succeeded]).await;
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains(&format!("{waiting}  cancelled")) && out.contains("1 job cancelled, 1 not"),
        "{out}"
    );
    assert!(err.contains(&format!("{succeeded}  not cancelled: the job is succeeded")), "{err}");

    // The connection that was given up waits at the gate as well.
    gate.add_permits(10);
    let (code, out, _) = ask(&server, &["jobs", "retry", &waiting]).await;
    assert_eq!((code, out), (0, format!("{waiting}  to be tried again\n")));
    assert_eq!(server.ended(&waiting).await["state"], "succeeded");
    let (code, _, err) = ask(&server, &["jobs", "retry", &waiting]).await;
    assert!(code == 1 && err.contains("only a job that has failed or was cancelled"), "{err}");

    // What made it fail is mended.
    server.write("bad.png", samples::encoded(60, 40, ImageFormat::Png));
    let (code, out, _) = ask(&server, &["jobs", "retry", "--state", "failed", "--all"]).await;
    assert_eq!((code, out), (0, format!("{failed}  to be tried again\n")));
    assert_eq!(server.ended(&failed).await["state"], "succeeded");
    let (code, out, _) = ask(&server, &["jobs", "retry", "--state", "failed,cancelled", "--all"]).await;
    assert_eq!((code, out.as_str()), (0, "0 jobs to be tried again\n"));
    for wrong in [&["--state", "succeeded", "--all"][..], &["--all"], &[], &[&failed, "--all"]] {
        let (code, _, _) = ask(&server, &[&["jobs", "retry"], wrong].concat()).await;
        assert_ne!(code, 0, "{wrong:?}");
    }
}

#[tokio::test]
async fn top_prints_once_where_there_is_no_terminal() {
    let Scene { server, failed, waiting, .. } = Scene::set("[workers]\ncount = 1").await;
    for words in [&["top"][..], &["top", "--once"]] {
        let (code, out, err) = ask(&server, words).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("takes jobs") && out.contains("queue    1 jobs, 1 running"), "{out}");
        assert!(out.contains("jobs/s, 1 failed (the last 10 s)"), "{out}");
        let (above, below) = out.split_once("LAST FAILURES").unwrap();
        let row = above.lines().find(|line| line.contains(&waiting)).unwrap();
        assert!(row.starts_with('░') && row.contains("fetching resize"), "{row}");
        assert!(below.contains(&failed) && below.contains("unreadable-source"), "{below}");
    }
    assert_eq!(ask(&server, &["top", "--interval", "0"]).await.0, 2);
}

#[tokio::test]
async fn whoever_cannot_be_asked_is_said_and_what_to_do() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = "01890000-0000-7000-8000-000000000000";
    for words in [&["jobs", "list"][..], &["jobs", "show", nobody], &["jobs", "retry", nobody], &["top"]] {
        let (code, _, err) = ask_at(&format!("http://{unused}"), words, None).await;
        assert_eq!(code, 1, "{err}");
        assert!(err.contains(&format!("http://{unused}")) && err.contains("imgserve start"), "{err}");
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    std::fs::write(&config, format!("[server]\nhost = '0.0.0.0'\nport = {}\n", unused.port())).unwrap();
    let (code, _, err) = told(program().args(["jobs", "list", "--config"]).arg(&config).output().unwrap());
    assert!(code == 1 && err.contains(&format!("http://{unused}")), "{err}");
    std::fs::write(&config, "[server]\nprot = 1\n").unwrap();
    let (code, _, err) = told(program().args(["top", "--config"]).arg(&config).output().unwrap());
    assert!(code == 64 && err.contains("did you mean"), "{err}");

    let server = Server::start("");
    // A server, but no imgserve there.
    let (code, _, err) = ask_at(&format!("{}/elsewhere", server.origin), &["jobs", "list"], None).await;
    assert_eq!(code, 1, "{err}");
}

#[tokio::test]
async fn keys_come_from_a_file_or_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let mut section = String::new();
    for (name, scope) in [("operator", "admin"), ("shop", "jobs"), ("page", "operations")] {
        let file = directory.path().join(name);
        std::fs::write(&file, name).unwrap();
        let digest = sha256(&file);
        section +=
            &format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = ['{scope}']\n");
    }
    let server = Server::start(&section);
    let list = &["jobs", "list"][..];
    let (code, _, err) = ask(&server, list).await;
    assert!(code == 1 && err.contains("--key-file") && err.contains("IMGSERVE_KEY"), "{err}");
    for key in ["nonsense", "page"] {
        let (code, _, err) = ask_at(&server.origin, list, Some(key)).await;
        assert!(code == 1 && err.contains("--key-file"), "{err}");
    }
    for key in ["operator", "shop"] {
        assert_eq!(ask_at(&server.origin, list, Some(key)).await.0, 0);
        assert_eq!(ask_at(&server.origin, &["top"], Some(key)).await.0, 0);
    }
    let file = directory.path().join("with-newline");
    std::fs::write(&file, "operator\n").unwrap();
    let words = ["jobs", "list", "--key-file", file.to_str().unwrap()];
    assert_eq!(
        ask_at(&server.origin, &words, Some("nonsense")).await.0,
        0,
        "the file goes before the environment"
    );
    let (code, _, err) = ask(&server, &["jobs", "list", "--key-file", "/no/such/key"]).await;
    assert!(code == 1 && err.contains("/no/such/key"), "{err}");
}
