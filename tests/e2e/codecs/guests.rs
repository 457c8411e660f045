//! Codecs written by hand, for what the sdk makes impossible: each costs the one task that asked for it, which says that the codec is to
//! blame, and nothing else.

use std::path::Path;

use serde_json::json;

use crate::guest::codec::{CodecGuest, DECODE, ENCODE, LOG, PROBE, file};
use crate::guest::{FOREVER, Guest};
use crate::harness::{Server, call, codec_section, section};

/// Codecs in a server of their own, each of its name's format, with `more` in its section.
pub(super) fn server(other: &str, more: &str, guests: &[CodecGuest]) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let section =
        |guest: &CodecGuest| codec_section(guest.format, &guest.write(directory.path(), guest.format), more);
    let sections: Vec<String> = guests.iter().map(section).collect();
    (Server::start(&format!("[workers]\ncount = 1\n{other}{}", sections.concat())), directory)
}

pub(super) fn guest(format: &'static str) -> CodecGuest {
    CodecGuest { format, ..CodecGuest::default() }
}

/// Tells of a file what a good guest does, then runs `code`, which changes that at 4096.
fn telling(format: &'static str, code: &str) -> CodecGuest {
    CodecGuest { probe: format!("(drop {PROBE}) {code} (i32.const 4096)"), ..guest(format) }
}

/// Decodes as a good guest does, then runs `code`, which changes that at 8192 and 12288.
fn giving(format: &'static str, code: &str) -> CodecGuest {
    let write = DECODE.rsplit_once("(i32.const 8192)").unwrap().0;
    CodecGuest { decode: format!("{write} {code} (i32.const 8192)"), ..guest(format) }
}

/// Runs `code` before it decodes.
fn running(format: &'static str, code: &str) -> CodecGuest {
    CodecGuest { decode: format!("{code} {DECODE}"), ..guest(format) }
}

/// Writes a file as a good guest does, then runs `code`, which changes that at 8192.
fn writing(format: &'static str, code: &str) -> CodecGuest {
    let write = ENCODE.rsplit_once("(i32.const 8192)").unwrap().0;
    CodecGuest { encode: format!("{write} {code} (i32.const 8192)"), ..guest(format) }
}

const ASK: &str = "resize?width=6&height=4&enlarge=true";

/// A problem's kind and text.
pub(super) async fn problem(server: &Server, ask: &str, source: &[u8]) -> (String, String) {
    let (status, _, body) = call(server, ask, source).await;
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    assert!(status >= 400, "{status} {}", String::from_utf8_lossy(&body));
    (
        problem["kind"].as_str().unwrap_or_default().to_owned(),
        problem["detail"].as_str().unwrap_or_default().to_owned(),
    )
}

async fn unharmed(server: &Server) {
    let (status, _, body) = call(server, &format!("{ASK}&format=good"), &file("good", 60, 40)).await;
    assert_eq!((status, &body), (200, &file("good", 6, 4)), "{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn what_a_codec_gives_is_not_believed() {
    let refusing = "(i32.store8 (i32.const 8192) (i32.const 1)) (i32.store8 offset=4 (i32.const 8192) (i32.const 0))
        (i32.store offset=8 (i32.const 8192) (i32.const 512)) (i32.store offset=12 (i32.const 8192) (i32.const 16))";
    let reading: [(CodecGuest, &str, &str); 19] = [
        (
            telling("empty", "(i32.store offset=16 (i32.const 4096) (i32.const 0))"),
            "plugin-contract",
            "told of 1 frames of 0x40 pixels",
        ),
        (
            telling("frameless", "(i32.store offset=28 (i32.const 4096) (i32.const 0))"),
            "plugin-contract",
            "told of 0 frames",
        ),
        (
            telling("turned", "(i32.store8 offset=24 (i32.const 4096) (i32.const 9))"),
            "plugin-contract",
            "an orientation of 9",
        ),
        (
            telling("formless", "(i32.store8 offset=32 (i32.const 4096) (i32.const 77))"),
            "plugin-contract",
            "77",
        ),
        // What it says of the file is the file's fault, as far as it is too much.
        (
            telling("vast", "(i64.store offset=16 (i32.const 4096) (i64.const -1))"),
            "limit-exceeded",
            "[codecs.vast] memory_limit_mb = 16",
        ),
        (
            telling("crowded", "(i32.store offset=28 (i32.const 4096) (i32.const 100000))"),
            "limit-exceeded",
            "memory_limit_mb = 16",
        ),
        (
            telling("hungry", "(i64.store offset=40 (i32.const 4096) (i64.const -1))"),
            "limit-exceeded",
            "[codecs.hungry] memory_limit_mb = 16",
        ),
        (
            CodecGuest { probe: FOREVER.to_owned(), ..guest("probing") },
            "plugin-timed-out",
            "not done after 500 ms (time_limit_ms)",
        ),
        (
            running("endless", FOREVER),
            "plugin-timed-out",
            "codec `endless`: plugin guest 1.0.0 not done after 500 ms (time_limit_ms)",
        ),
        (
            running("trapping", "(unreachable)"),
            "plugin-trapped",
            "codec `trapping`: plugin guest 1.0.0 trapped",
        ),
        (
            running("growing", "(drop (memory.grow (i32.const 60000))) (unreachable)"),
            "plugin-out-of-memory",
            "ran out of memory (memory_limit_mb = 16)",
        ),
        (
            giving("wider", "(i32.store (i32.const 12288) (i32.const 61))"),
            "plugin-contract",
            "told of 60x40 Rgb8 and gave 61x40 Rgb8",
        ),
        (
            giving("gray", "(i32.store8 offset=8 (i32.const 12288) (i32.const 0))"),
            "plugin-contract",
            "told of 60x40 Rgb8 and gave 60x40 Gray8",
        ),
        (
            giving("short", "(i32.store offset=16 (i32.const 12288) (i32.const 7199))"),
            "plugin-contract",
            "takes 7200 bytes, got 7199",
        ),
        (
            giving("outside", "(i32.store offset=12 (i32.const 12288) (i32.const 0x7ffffff0))"),
            "plugin-contract",
            "out of bounds",
        ),
        (
            giving("many", "(i32.store offset=8 (i32.const 8192) (i32.const 2))"),
            "plugin-contract",
            "told of 1 frames and gave 2",
        ),
        (
            giving("none", "(i32.store offset=8 (i32.const 8192) (i32.const 0))"),
            "plugin-contract",
            "told of 1 frames and gave 0",
        ),
        (
            giving("endlesslist", "(i32.store offset=8 (i32.const 8192) (i32.const -1))"),
            "plugin-contract",
            "",
        ),
        // What it says that it cannot read is the file's fault; its words are those of a guest.
        (giving("refusing", refusing), "unreadable-source", "broken refusing: refusing........"),
    ];
    let written: [(CodecGuest, &str, &str); 4] = [
        (
            writing("nothing", "(i32.store offset=8 (i32.const 8192) (i32.const 0))"),
            "plugin-contract",
            "gave 0 bytes that do not begin as nothing does",
        ),
        (
            writing("other", "(i32.store8 (i32.const 12288) (i32.const 0))"),
            "plugin-contract",
            "gave 24 bytes that do not begin as other does",
        ),
        (CodecGuest { encode: FOREVER.to_owned(), ..guest("slow") }, "plugin-timed-out", "time_limit_ms"),
        (writing("unwilling", refusing), "operation-failed", "cannot write unwilling: unwilling......."),
    ];
    let guests: Vec<CodecGuest> =
        reading.iter().chain(&written).map(|(guest, ..)| guest.clone()).chain([guest("good")]).collect();
    let (server, _directory) = server("", "time_limit_ms = 500\nmemory_limit_mb = 16", &guests);
    unharmed(&server).await;
    for (guest, kind, text) in reading {
        let (found, said) = problem(&server, ASK, &file(guest.format, 60, 40)).await;
        assert!(found == kind && said.contains(text), "{}: {found}: {said}", guest.format);
        unharmed(&server).await;
    }
    for (guest, kind, text) in written {
        let (found, said) =
            problem(&server, &format!("{ASK}&format={}", guest.format), &file("good", 60, 40)).await;
        assert!(found == kind && said.contains(text), "{}: {found}: {said}", guest.format);
        unharmed(&server).await;
    }
    assert_eq!(server.restarts().await, 0);
    // Of a job, too: it fails, and is not tried again.
    let source = server.write("in.wider", file("wider", 60, 40));
    let job = server
        .submit(
            "resize",
            &source,
            &server.file_url("out.png"),
            json!({ "width": 6, "height": 4, "format": "png" }),
        )
        .await;
    let record = server.ended(&job).await;
    assert_eq!(
        (&record["state"], &record["error"]["kind"]),
        (&json!("failed"), &json!("plugin-contract")),
        "{record}"
    );
    assert!(
        record["error"]["text"].as_str().unwrap().starts_with("codec `wider`: plugin guest 1.0.0"),
        "{record}"
    );
}

#[tokio::test]
async fn a_codec_logs_a_line_and_cannot_fake_another() {
    let log = "(call $log (i32.const 2) (i32.const 16384) (i32.const 21))";
    let logging = CodecGuest {
        imports: LOG.to_owned(),
        more: "(data (i32.const 16384) \"said\\0a2026-01-01 ERROR\")".to_owned(),
        ..running("logging", log)
    };
    let (server, _directory) = server("", "", &[logging]);
    let (status, _, _) = call(&server, ASK, &file("logging", 60, 40)).await;
    assert_eq!(status, 200);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("said")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("said\\n2026-01-01 ERROR") && line.contains("codec logging"), "{line}");
}

#[tokio::test]
async fn what_another_codec_reads_is_another_result() {
    let directory = tempfile::tempdir().unwrap();
    let codecs = directory.path().join("codecs");
    std::fs::create_dir(&codecs).unwrap();
    let write = |more: &str| CodecGuest { more: more.to_owned(), ..guest("good") }.write(&codecs, "good");
    write("");
    // Meant from where the configuration is.
    let section = codec_section("good", Path::new("codecs/good.wasm"), "");
    let server = Server::start_in(directory, &format!("[access]\nfile_roots = [\"FILES\"]\n{section}"));
    let source = server.write("in.good", file("good", 60, 40));
    let tag = async || {
        let asked = format!("resize/render?src={source}&width=6&height=4&format=png");
        let response = reqwest::get(format!("{}/v1/operations/{asked}", server.origin)).await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    let first = tag().await;
    assert_eq!(tag().await, first);
    write("(data (i32.const 20000) \"another\")");
    assert!(server.reload(&section).await.contains("configuration reloaded"));
    assert_ne!(tag().await, first);
}

#[test]
fn built_in_formats_are_not_taken_over() {
    let refused = |guest: CodecGuest| {
        let directory = tempfile::tempdir().unwrap();
        Server::refuses(&codec_section(
            "taking",
            &guest.write(directory.path(), "taking"),
            "time_limit_ms = 300",
        ))
    };
    for (guest, wanted) in [
        (guest("jpeg"), "codec `taking`: `jpeg`: `jpeg` is that of jpeg, which is built in"),
        (guest("tif"), "`tif` is that of tiff, which is built in"),
        (
            CodecGuest { media_type: Some("image/avif"), ..guest("x") },
            "the media type image/avif is that of avif, which is built in",
        ),
        (CodecGuest { magic: Some(b"GIF89a"), ..guest("x") }, "a magic is that of gif, which is built in"),
        (CodecGuest { magic: Some(b"!"), ..guest("x") }, "a magic that is not 2 to 64 bytes"),
        (CodecGuest { media_type: Some("image/x\r\ny: z"), ..guest("x") }, "is no media type"),
        (CodecGuest { describe: FOREVER.to_owned(), ..guest("x") }, "not done after 300 ms (time_limit_ms)"),
        (CodecGuest { describe: "(i32.const -8)".to_owned(), ..guest("x") }, "broke the contract"),
    ] {
        let log = refused(guest);
        assert!(log.contains(wanted), "{wanted:?} is not in {log}");
    }
}

#[test]
fn neither_world_gets_what_is_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let import = |package: &str, function: &str, parameters: &str| {
        format!("(import \"imgserve:{package}\" \"{function}\" (func $it {parameters}))")
    };
    // Of the functions of an operation's host, a codec has the log; an operation none of a codec's.
    for (package, function, parameters) in [
        ("operation/host@0.1.0", "log", "(param i32 i32 i32)"),
        ("codec/host@0.2.0", "progress", "(param f32)"),
        ("codec/host@0.2.0", "random", "(param i32 i32)"),
        ("codec/host@0.2.0", "config", "(param i32)"),
    ] {
        let codec = CodecGuest { imports: import(package, function, parameters), ..guest("crossing") };
        let log = Server::refuses(&codec_section("crossing", &codec.write(directory.path(), "crossing"), ""));
        assert!(log.contains("codec `crossing`: ") && log.contains(package), "{function}: {log}");
    }
    let operation =
        Guest { imports: import("codec/host@0.2.0", "log", "(param i32 i32 i32)"), ..Guest::default() };
    let log = Server::refuses(&section("crossing", &operation.write(directory.path(), "operation"), ""));
    assert!(log.contains("operation `crossing`: ") && log.contains("imgserve:codec/host@0.2.0"), "{log}");
}
