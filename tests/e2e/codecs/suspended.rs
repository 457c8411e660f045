//! A codec that keeps failing: what needs it is refused for a while, and nothing else is.

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use super::guests::{guest, problem, server};
use crate::direct::{Reply, operation};
use crate::guest::codec::{CodecGuest, DECODE, ENCODE, file};
use crate::harness::{Server, call, look, until};

/// One that traps on files of this width, and on pictures of this height that it is to write.
const BAD: u8 = 61;

fn moody() -> CodecGuest {
    let traps = |side: &str| format!("(if (i32.eq {side} (i32.const {BAD})) (then (unreachable)))");
    let (width, height) = (traps("(i32.load8_u offset=16 (local.get $bytes))"), traps("(local.get $height)"));
    CodecGuest { decode: format!("{width} {DECODE}"), encode: format!("{height} {ENCODE}"), ..guest("moody") }
}

const ASK: &str = "resize?width=6&height=4&format=png";

async fn breaker(server: &Server) -> Value {
    let (_, codecs) = server.get("/v1/codecs").await;
    codecs.as_array().unwrap().iter().find(|codec| codec["name"] == "moody").unwrap()["breaker"].clone()
}

async fn is_open(server: &Server) -> bool {
    breaker(server).await["open"] == true
}

#[tokio::test]
async fn what_needs_a_codec_that_keeps_failing_is_refused_for_a_while() {
    let more =
        "[codec]\nauto = [\"moody\", \"webp\"]\n[plugins]\nbreaker_failures = 3\nbreaker_pause_s = 2\n";
    let (server, _directory) = server(more, "", &[moody(), guest("good")]);
    let (well, ill) = (file("moody", 60, 40), file("moody", BAD, 40));
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let source = server.write("in.moody", &ill);
    let job = async |source: &str, out: &str| {
        let args = json!({ "width": 6, "height": 4, "format": "png" });
        server.post("resize", source, &server.file_url(out), args).await
    };
    let fails = async |failures: u64| {
        let id = job(&source, "out.png").await.job().to_owned();
        assert_eq!(server.ended(&id).await["error"]["kind"], "plugin-trapped");
        assert_eq!(breaker(&server).await["failures"], failures);
    };
    // By a success between them they are not in a row. Reading and writing are one codec's.
    assert_eq!(problem(&server, ASK, &ill).await.0, "plugin-trapped");
    assert_eq!(call(&server, ASK, &well).await.0, 200);
    assert_eq!(breaker(&server).await, json!({ "open": false, "failures": 0 }));
    fails(1).await;
    assert_eq!(problem(&server, ASK, &ill).await.0, "plugin-trapped");
    assert!(!is_open(&server).await);
    let writes = format!("resize?width=6&height={BAD}&enlarge=always&format=moody");
    assert_eq!(problem(&server, &writes, &png).await.0, "plugin-trapped");
    assert!(is_open(&server).await);

    // What would be read, and what would be written; by jobs, too.
    let (kind, text) = problem(&server, ASK, &well).await;
    assert_eq!(kind, "operation-suspended");
    assert!(text.starts_with("the codec `moody` has failed repeatedly: it is tried again in "), "{text}");
    assert!(text.ends_with(" s ([plugins] breaker_failures)"), "{text}");
    let (status, headers, _) = call(&server, "resize?width=6&height=4&format=moody", &png).await;
    assert!(status == 503 && ["1", "2"].contains(&headers["retry-after"].to_str().unwrap()), "{headers:?}");
    let named = server.write("called.png", &well);
    let reply = job(&named, "out.png").await;
    assert!(reply.status == 503 && reply.body["code"] == 301, "by what the source is: {reply:?}");
    assert!(reply.header("x-imgserve-error").contains("the codec `moody`"), "{reply:?}");
    let sink = server.file_url("out.moody");
    let plain = server.write("in.png", &png);
    let reply =
        server.post("resize", &plain, &sink, json!({ "width": 6, "height": 4, "format": "moody" })).await;
    assert!(reply.status == 503 && reply.body["code"] == 301, "{reply:?}");

    // Nothing else is, and what may be written otherwise is.
    assert_eq!(call(&server, &format!("{ASK}&enlarge=true"), &file("good", 60, 40)).await.0, 200);
    let auto = async || {
        let asked = operation(&server, "resize?width=6&height=4&format=auto").body(png.clone());
        Reply::to(asked.header("accept", "image/x-moody,image/webp")).await
    };
    let reply = auto().await;
    assert_eq!((reply.status, look(&reply.body).2), (200, ImageFormat::WebP));

    // One job tries it, and its failure doubles the pause.
    until("the pause is over", async || !is_open(&server).await).await;
    fails(4).await;
    let left = breaker(&server).await["retry_after_s"].as_u64();
    assert!(left.is_some_and(|left| (3..=4).contains(&left)), "{left:?}");
    until("the pause is over", async || !is_open(&server).await).await;
    let reply = auto().await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "image/x-moody"));
    assert_eq!(breaker(&server).await, json!({ "open": false, "failures": 0 }));
    let id = job(&named, "again.png").await.job().to_owned();
    assert_eq!(server.ended(&id).await["state"], "succeeded");
    let metrics = reqwest::get(format!("{}/metrics", server.origin)).await.unwrap().text().await.unwrap();
    let counted = "imgserve_codec_failures_total{codec=\"moody\",kind=\"plugin-trapped\"} 5";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}

#[tokio::test]
async fn a_job_that_needs_a_codec_twice_is_one_try() {
    let (server, _directory) =
        server("[plugins]\nbreaker_failures = 1\nbreaker_pause_s = 1\n", "", &[moody()]);
    assert_eq!(problem(&server, ASK, &file("moody", BAD, 40)).await.0, "plugin-trapped");
    assert!(is_open(&server).await);
    until("the pause is over", async || !is_open(&server).await).await;
    let source = server.write("in.moody", file("moody", 60, 40));
    let output = |name: &str| {
        let args = json!({ "width": 6, "height": 4, "format": "moody" });
        json!({ "operationType": "resize", "dstURL": server.file_url(name), "args": args })
    };
    let job = json!({ "srcURL": source, "outputs": [output("1.moody"), output("2.moody")] });
    let (status, _, body) = server.post_job(&job, &[]).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(server.ended(body["id"].as_str().unwrap()).await["state"], "succeeded");
    assert_eq!(breaker(&server).await, json!({ "open": false, "failures": 0 }));
}
