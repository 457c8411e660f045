//! What web pages can make a browser send, whom requests are for, and bodies that are refused.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::access::{answer, api_key};
use crate::harness::Server;

/// Status, headers in lower case and body of the answer to a request without a body; `lines` are its headers.
async fn ask(server: &Server, request: &str, lines: &[&str]) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("{request} HTTP/1.1\r\n{lines}connection: close\r\ncontent-length: 0\r\n\r\n");
    let text = answer(server, &request).await;
    (text[9..12].parse().unwrap(), text.to_ascii_lowercase())
}

const SHOP: &str = "origin: https://shop.example.org";

#[tokio::test]
async fn a_strangers_page_can_neither_post_nor_read() {
    let server = Server::start("");
    let port = server.origin.rsplit_once(':').unwrap().1.to_owned();
    let ours = format!("host: localhost:{port}");
    let own_origin = format!("origin: http://localhost:{port}");
    for (request, lines, wanted) in [
        ("POST /", vec![ours.as_str()], 200),
        ("POST /", vec![&ours, &own_origin, "sec-fetch-site: same-origin"], 200),
        ("POST /", vec![&ours, SHOP], 403),
        ("POST /", vec![&ours, SHOP, "content-type: text/plain"], 403),
        ("POST /", vec![&ours, "origin: null"], 403),
        ("POST /v1/jobs", vec![&ours, "sec-fetch-site: cross-site"], 403),
        ("POST /v1/operations/resize", vec![&ours, SHOP], 403),
        ("DELETE /v1/jobs/x", vec![&ours, "sec-fetch-site: same-site"], 403),
        ("OPTIONS /v1/jobs", vec![&ours, SHOP, "access-control-request-method: POST"], 403),
        ("GET /v1/jobs", vec![&ours, "sec-fetch-site: cross-site", "sec-fetch-mode: no-cors"], 403),
        ("GET /v1/jobs", vec![&ours, "sec-fetch-site: none"], 200),
        ("GET /v1/jobs", vec!["host: 127.0.0.1"], 200),
        ("GET /v1/jobs", vec!["host: imgserve"], 200),
        ("GET /v1/jobs", vec!["host: rebound.example"], 403),
        ("GET /readyz", vec!["host: rebound.example"], 403),
        ("POST /", vec!["host: rebound.example"], 403),
        ("GET http://rebound.example/v1/jobs", vec!["host: localhost"], 403),
        ("GET http://localhost/v1/jobs", vec!["host: localhost"], 200),
    ] {
        let (status, text) = ask(&server, request, &lines).await;
        assert_eq!(status, wanted, "{request} {lines:?}: {text}");
        assert!(!text.contains("access-control-allow"), "{text}");
        if wanted == 403 {
            let key = if text.contains("rebound") { "[server] allowed_hosts" } else { "[cors] origins" };
            assert!(text.contains("application/problem+json") && text.contains(key), "{text}");
        }
    }
}

#[tokio::test]
async fn listed_pages_and_hosts_are_let_in_and_told_so_in_every_answer() {
    let server = Server::start(
        "[server]\nallowed_hosts = ['img.example.org']\n[cors]\norigins = ['https://shop.example.org']",
    );
    let host = "host: img.example.org";
    let allowed = "access-control-allow-origin: https://shop.example.org";
    for (request, wanted) in [
        ("POST /", 200),
        ("GET /v1/operations", 200),
        ("GET /v1/nothing", 404),
        ("PUT /v1/jobs", 405),
        ("POST /v1/jobs", 400),
    ] {
        let (status, text) = ask(&server, request, &[host, SHOP, "sec-fetch-site: cross-site"]).await;
        assert_eq!(status, wanted, "{request}: {text}");
        assert!(text.contains(allowed) && text.contains("vary: origin"), "{request}: {text}");
        assert!(!text.contains("allow-credentials"), "{text}");
    }
    let preflight = ["access-control-request-method: POST", "access-control-request-headers: prefer"];
    let (status, text) = ask(&server, "OPTIONS /v1/jobs", &[host, SHOP, preflight[0], preflight[1]]).await;
    assert!(status == 204 && text.contains(allowed) && text.contains("prefer"), "{text}");
    let (status, text) = ask(&server, "GET /v1/jobs", &[host, "origin: https://evil.example"]).await;
    assert!(status == 403 && !text.contains("allow-origin") && text.contains("vary: origin"), "{text}");
    assert_eq!(ask(&server, "GET /v1/jobs", &["host: other.example"]).await.0, 403);
}

#[tokio::test]
async fn who_has_a_key_is_asked_for_nothing_else() {
    let keys = api_key("shop", "one", "['jobs']");
    let server = Server::start(&format!("[cors]\norigins = ['https://shop.example.org']\n{keys}"));
    let key = "authorization: Bearer one";
    let foreign = ["host: any.example", "sec-fetch-site: cross-site", "origin: https://evil.example"];
    assert_eq!(ask(&server, "GET /v1/jobs", &[&foreign[..], &[key]].concat()).await.0, 200);
    assert_eq!(ask(&server, "GET /v1/jobs", &foreign).await.0, 401);
    assert_eq!(ask(&server, "GET /readyz", &foreign).await.0, 200);
    let preflight = "access-control-request-method: GET";
    let (status, text) = ask(&server, "OPTIONS /v1/jobs", &["host: x", SHOP, preflight]).await;
    assert!(status == 204 && text.contains("authorization"), "a browser asks without the key: {text}");
    let (status, text) = ask(&server, "GET /v1/jobs", &["host: x", SHOP]).await;
    assert!(status == 401 && text.contains("access-control-allow-origin: https://shop"), "{text}");
    assert_eq!(ask(&server, "OPTIONS /v1/jobs", &[&foreign[..], &[preflight]].concat()).await.0, 401);
}

#[tokio::test]
async fn a_request_is_for_one_well_formed_host() {
    let server = Server::start("");
    for lines in
        [&[][..], &["host: x", "host: x"], &["host: a b"], &["host: x:y"], &["host: "], &["host: x/"]]
    {
        for request in ["GET /healthz", "POST /", "GET /v1/jobs", "GET /nothing", "GET http://x/v1/jobs"] {
            let (status, text) = ask(&server, request, lines).await;
            assert_eq!(status, 400, "{request} {lines:?}: {text}");
        }
    }
    assert_eq!(ask(&server, "GET http://u@x/v1/jobs", &["host: x"]).await.0, 400);
    let old = answer(&server, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200") || old.starts_with("HTTP/1.1 200"), "{old}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_sent() {
    let server = Server::start("[limits]\nmax_source_mb = 1");
    let length = 3 << 20;
    for (path, told) in [
        ("/v1/jobs", "413"),
        ("/v1/operations/resize?width=1&height=1", "413"),
        ("/", "200"),
        ("/v1/x", "404"),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n");
        let told = format!("HTTP/1.1 {told}");
        let answer = answer(&server, &format!("{head}expect: 100-continue\r\n\r\n")).await;
        assert!(answer.starts_with(&told), "{path}: {answer}");
        // Who does not ask sends it all, and is to see the answer.
        let mut stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
        let sent = [head.as_bytes(), b"connection: close\r\n\r\n", &vec![b'x'; length][..]].concat();
        stream.write_all(&sent).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(&told), "{path}: {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_expected_is_refused() {
    let server = Server::start("");
    for (request, lines, wanted) in [
        ("POST /v1/jobs", ["expect: 200-ok"], 417),
        ("GET /v1/jobs", ["expect: a b"], 417),
        ("POST /", ["expect: x"], 417),
        ("GET /v1/jobs", ["expect: 100-Continue"], 200),
    ] {
        let (status, text) = ask(&server, request, &["host: x", lines[0]]).await;
        assert_eq!(status, wanted, "{request} {lines:?}: {text}");
        assert_eq!(text.contains("\"kind\":\"unknown-expectation\""), wanted == 417, "{text}");
    }
}

#[tokio::test]
async fn who_is_refused_by_a_header_is_told_so_however_long_the_body() {
    let server = Server::start("");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path, header, wanted) in [
        ("POST", "/v1/jobs", ("idempotency-key", ""), 400),
        ("POST", "/v1/jobs", ("content-encoding", "gzip"), 415),
        ("POST", "/v1/operations/resize", ("content-encoding", "br"), 415),
        ("POST", "/", ("content-encoding", "gzip"), 200),
        ("POST", "/", ("origin", "https://evil.example"), 403),
        ("PUT", "/v1/jobs", ("x", "y"), 405),
        ("PUT", "/", ("x", "y"), 404),
    ] {
        for _ in 0..3 {
            let request = client.request(method.parse().unwrap(), format!("{}{path}", server.origin));
            let answer = request.header(header.0, header.1).body("x".repeat(3 << 20)).send().await;
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path} {header:?}: {error:?}"));
            assert_eq!(answer.status(), wanted, "{method} {path} {header:?}");
            if wanted == 415 {
                assert_eq!(answer.headers()["accept-encoding"], "identity");
            }
            if wanted == 200 {
                assert!(answer.headers()["x-imgserve-error"].to_str().unwrap().contains("Content-Encoding"));
                let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
                assert_eq!(body, json!({ "msg": "request parse error" }));
            }
        }
    }
}
