//! `/v1`, `/healthz` and `/readyz`.

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::Server;

#[tokio::test]
async fn a_jobs_record_tells_its_whole_way() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let record = server
        .succeed("resize", &source, &server.file_url("{$width}.png"), json!({ "width": 20, "height": 10 }))
        .await;
    assert_eq!(record["operationType"], "resize");
    assert_eq!(record["srcURL"], json!(source));
    assert_eq!(record["dstURL"], json!(server.file_url("20.png")));
    assert_eq!(record["output"]["format"], "png");
    assert_eq!(record["output"]["bytes"], json!(server.read("20.png").len()));
    assert!(record["finished_at_ms"].as_u64() >= record["accepted_at_ms"].as_u64());
    for phase in ["plan_ms", "placeholder_ms", "queue_ms", "work_ms", "store_ms"] {
        assert!(record["timings"][phase].as_f64().is_some_and(|ms| ms >= 0.0), "{phase}: {record}");
    }
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let server = Server::start("");
    for path in
        ["/v1/jobs/nonsense", "/v1/jobs/01890000-0000-7000-8000-000000000000", "/v1/operations/x", "/v1/x"]
    {
        let response = reqwest::get(format!("{}{path}", server.origin)).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(problem["status"] == 404 && problem["detail"].is_string() && problem["title"].is_string());
    }
    let response =
        reqwest::Client::new().post(format!("{}/v1/operations", server.origin)).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn operations_are_described_with_their_schemas() {
    let server = Server::start(
        "[operations.thumb]\nkind='builtin'\nplugin='resize'\nargs={width=9}\n[operations.rasterize]\nenabled=false",
    );
    let (status, operations) = server.get("/v1/operations").await;
    let names: Vec<&str> =
        operations.as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!((status, names), (200, vec!["pipeline", "resize", "thumb"]));
    let (_, thumb) = server.get("/v1/operations/thumb").await;
    assert_eq!(thumb["defaults"], json!({ "width": 9 }));
    assert_eq!(thumb["plugin"]["name"], "resize");
    let schema = &thumb["plugin"]["arguments"];
    assert_eq!(
        schema["required"],
        Value::Null,
        "who says nothing has another format or less about the source"
    );
    assert!(
        schema["properties"]["fit"].is_object() && schema["properties"]["width"]["description"].is_string()
    );
}

#[tokio::test]
async fn health_and_readiness() {
    let server = Server::start("");
    assert_eq!(server.get("/healthz").await, (200, json!("ok\n")));
    let (status, overview) = server.get("/readyz").await;
    assert!(
        status == 200 && overview["accepting"] == true && overview["workers"].as_u64() > Some(0),
        "{overview}"
    );
}

#[tokio::test]
async fn a_client_that_dawdles_is_left() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start("[server]\nheader_timeout_s = 1\nbody_timeout_s = 1");
    for (sent, answer) in [
        ("POST / HTT", ""),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", "did not come in time"),
    ] {
        let mut stream =
            tokio::net::TcpStream::connect(server.origin.trim_start_matches("http://")).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut told = String::new();
        let ended =
            tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_string(&mut told)).await;
        assert!(ended.is_ok(), "the connection stays open after {sent:?}");
        assert!(told.contains(answer), "{told}");
    }
}
