//! Errors of a connection's own: what is no HTTP request, and whoever does not wait for its answer.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::is_well_formed;
use crate::harness::Server;
use crate::jobs::gated;

#[tokio::test]
async fn a_request_that_is_none_is_told_so_in_the_same_form() {
    let server = Server::start("");
    let headers = (0..70).fold(String::new(), |all, number| format!("{all}x-{number}: y\r\n"));
    for (sent, status, kind) in [
        ("GET / HTTP/7\r\n\r\n".to_owned(), 400, "malformed-request"),
        ("GET /v1/jobs HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "malformed-request"),
        (format!("GET /v1/jobs HTTP/1.1\r\nhost: x\r\n{headers}\r\n"), 431, "headers-too-large"),
        (
            format!("GET /v1/jobs HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(500_000)),
            431,
            "headers-too-large",
        ),
    ] {
        let mut stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
        // It may close the connection before all is sent.
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        let told = String::from_utf8(told).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{sent:.40}: {told}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
        assert!(head.contains("application/problem+json"), "{told}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["kind"], kind, "{told}");
        is_well_formed(&problem, status);
    }
}

#[tokio::test]
async fn who_closes_its_sending_side_is_told_why_it_gets_no_result() {
    let (origin, _gate) = gated().await;
    let server = Server::start("");
    let request = format!(
        "GET /v1/operations/resize/render?width=3&src={origin}/a.png HTTP/1.1\r\nhost: localhost\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{told}"));
    assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("application/problem+json"), "{told}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["kind"], "client-gone", "{told}");
    is_well_formed(&problem, 408);
}
