//! Who is let in: API keys and their scopes, signed URLs, and how many connections.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Server, program, until};

/// A section of `[[access.api_keys]]`.
pub(crate) fn api_key(name: &str, key: &str, scopes: &str) -> String {
    let digest: String = sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = {scopes}\n")
}

/// Sends a request with this API key, or with none when it is empty.
async fn send(server: &Server, method: &str, path: &str, key: &str, body: String) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method.parse().unwrap(), format!("{}{path}", server.origin)).body(body);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    request.send().await.unwrap()
}

async fn status(server: &Server, method: &str, path: &str, key: &str) -> u16 {
    send(server, method, path, key, String::new()).await.status().as_u16()
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say() {
    let keys = [api_key("shop", "one", "['jobs']"), api_key("site", "two", "['operations']")].concat();
    let server = Server::start(&keys);
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let job = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("out.png"),
                      "args": { "width": 20, "height": 10 } })
    .to_string();

    let refused = send(&server, "POST", "/", "", job.clone()).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"imgserve\"");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("Authorization: Bearer"), "{problem}");
    let refused = send(&server, "POST", "/some/path", "two", job.clone()).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("scope=\"jobs\""));
    assert!(!server.files().join("out.png").exists(), "a job was done for nobody");

    let accepted = send(&server, "POST", "/", "one", job).await;
    assert_eq!(accepted.status(), 200);
    let id = accepted.headers()["x-job-id"].to_str().unwrap().to_owned();
    for (path, key, wanted) in [
        ("/", "", 200),
        ("/healthz", "", 200),
        ("/readyz", "wrong", 200),
        ("/v1/operations", "", 401),
        ("/v1/operations", "wrong", 401),
        ("/v1/operations", "one", 200),
        ("/v1/operations/resize", "two", 200),
        (&format!("/v1/jobs/{id}"), "one", 200),
        (&format!("/v1/jobs/{id}"), "two", 403),
        (&format!("/v1/jobs/{id}"), "", 401),
        ("/metrics", "one", 403),
        ("/nothing", "", 401),
        ("/nothing", "one", 404),
    ] {
        assert_eq!(status(&server, "GET", path, key).await, wanted, "{path} with {key:?}");
    }
    assert_eq!(status(&server, "POST", "/v1/operations/resize", "one").await, 403);
    assert!(!server.log().contains("without which it is refused"), "{}", server.log());
}

#[tokio::test]
async fn a_reload_takes_in_new_keys_and_forgets_old_ones() {
    let server = Server::start(&api_key("old", "one", "['jobs']"));
    assert_eq!(status(&server, "GET", "/v1/operations", "one").await, 200);
    assert_eq!(status(&server, "GET", "/v1/operations", "two").await, 401);
    let line = server.reload(&api_key("new", "two", "['admin']")).await;
    assert!(line.contains("configuration reloaded"), "{line}");
    assert_eq!(status(&server, "GET", "/v1/operations", "one").await, 401);
    assert_eq!(status(&server, "GET", "/v1/operations", "two").await, 200);
    let counted = send(&server, "GET", "/metrics", "two", String::new()).await.text().await.unwrap();
    let line = "imgserve_refusals_total{kind=\"unknown-key\"} 2";
    assert!(counted.lines().any(|found| found == line), "{line}:\n{counted}");
    let line = server.reload("[[access.url_keys]]\nname = 'web'\nsecret = 'c2hvcnQgc2VjcmV0'\n").await;
    assert!(line.contains("access.url_keys[0].secret: must be") && !line.contains("c2hvcnQ"), "{line}");
    assert_eq!(status(&server, "GET", "/v1/operations", "two").await, 200, "the old keys stay");
}

#[tokio::test]
async fn who_is_refused_in_the_middle_of_a_body_is_told_so() {
    let server = Server::start(&api_key("shop", "one", "['jobs']"));
    for _ in 0..5 {
        let refused = send(&server, "POST", "/", "", "x".repeat(3 << 20)).await;
        assert_eq!(refused.status(), 401);
    }
}

#[tokio::test]
async fn a_render_needs_a_signed_url_once_there_are_keys_for_them() {
    const PATH: &str = "/v1/operations/resize/render?src=http://127.0.0.1:1/a.png&width=20&height=10";
    let made = program().args(["key", "url", "web"]).output().unwrap();
    let section = String::from_utf8(made.stdout).unwrap();
    let server = Server::start(&section);
    let config = server.directory.path().join("imgserve.toml");
    let sign = |url: &str| {
        let output = program().args(["sign", url, "--config"]).arg(&config).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    let url = sign(&format!("{}{PATH}", server.origin));
    let signed = url.strip_prefix(&server.origin).expect("the same host");
    assert_eq!(signed, sign(PATH), "the host does not matter");
    for (path, allowed) in [
        (PATH, false),
        (signed, true),
        (&signed.replace("width=20", "width=21"), false),
        (&signed.replace("key=web", "key=wob"), false),
    ] {
        assert_eq!(status(&server, "GET", path, "").await != 403, allowed, "{path}");
    }
    assert_eq!(status(&server, "GET", "/v1/operations", "").await, 200, "they are for render alone");
}

#[test]
fn keys_are_made_to_be_appended_to_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("imgserve.toml");
    let mut text = "[server]\nport = 1\n".to_owned();
    for words in [&["api", "shop", "--scopes", "jobs,admin"][..], &["url", "web"], &["webhook"]] {
        let made = program().arg("key").args(words).output().unwrap();
        assert!(made.status.success());
        text.push_str(&String::from_utf8(made.stdout).unwrap());
    }
    std::fs::write(&path, &text).unwrap();
    let config = |more: &[&str]| {
        let output = program().args(["config", "--config"]).arg(&path).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let secrets: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("secret = \"")?.strip_suffix('"')).collect();
    assert_eq!(secrets.len(), 2);
    let (shown, whole) = (config(&[]), config(&["--secrets"]));
    assert!(shown.contains("scopes = [\"jobs\", \"admin\"]"), "{shown}");
    for secret in secrets {
        assert!(!shown.contains(secret) && whole.contains(secret), "{shown}");
    }
}

/// A connection that has sent part of a request.
async fn held(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Its body is asked for: it is being served.
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{").await.unwrap();
    stream
}

/// What is answered on a new connection, which the server closes by itself.
pub(crate) async fn answer(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut text)).await;
    assert!(ended.is_ok(), "the connection stays open: {text}");
    text
}

#[tokio::test]
async fn a_server_with_all_its_connections_in_use_says_so_at_once() {
    let server = Server::start("[server]\nmax_connections = 2");
    let (first, _second) = (held(&server).await, held(&server).await);
    let mut times = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        let told = answer(&server, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        times.push(began.elapsed());
        assert!(told.starts_with("HTTP/1.1 200 OK") && told.ends_with("ok\n"), "{told}");
    }
    times.sort();
    println!("/healthz with all connections in use: {times:?}");
    // The middle one: other tests have the cores too.
    assert!(times[4] < Duration::from_millis(50), "{times:?}");
    let told = answer(&server, "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 200 OK") && told.contains("\"accepting\":true"), "{told}");
    for (path, parts) in [
        ("/v1/jobs", ["application/problem+json", "[server] max_connections", "\"kind\":\"busy\""]),
        // As 0.2's clients know it.
        (
            "/",
            [
                "application/json",
                "x-imgserve-error: busy; ",
                "\r\n\r\n{\"code\":301,\"msg\":\"request invalid\"}",
            ],
        ),
        (
            "/healthz",
            [
                "application/json",
                "x-imgserve-error: busy; ",
                "\r\n\r\n{\"code\":301,\"msg\":\"request invalid\"}",
            ],
        ),
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
        let told = answer(&server, &request).await.to_ascii_lowercase();
        for part in ["http/1.1 503 ", "retry-after: 5", "connection: close"].iter().chain(&parts) {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
    drop(first);
    until("there is room again", async || {
        let request = "GET /v1/operations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        answer(&server, request).await.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[test]
fn secrets_that_all_can_read_are_told_to_whoever_starts_or_checks() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let config = place("imgserve.toml");
    let text = String::from_utf8(program().args(["key", "webhook"]).output().unwrap().stdout).unwrap();
    let cache = place("cache");
    std::fs::write(&config, format!("{text}[plugins]\ncache_dir = {cache:?}\n")).unwrap();
    let told = |words: &[&str]| {
        let mut command = program();
        command.args(words).arg("--config").arg(&config);
        if words[0] != "config" {
            command.arg("-pid").arg(place("pid"));
        }
        if words[0] == "start" {
            command.args(["-host", "127.0.0.1", "-port", "0", "-logdir"]).arg(place("log"));
            command.arg("-journal").arg(place("journal.db"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
        for words in [&["config"][..], &["start"]] {
            let text = told(words);
            let found = text.contains("[webhooks] secret") && text.contains("chmod 600");
            assert_eq!(found, warned, "{mode:o} {words:?}: {text}");
        }
        told(&["stop", "-KILL"]);
    }
}
