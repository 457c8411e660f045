//! Sandboxed plugins written by hand, for what the sdk makes impossible: results and plans that lie, texts without end,
//! descriptions that nobody can work with.

use serde_json::json;
use tempfile::TempDir;

use super::{check, fails, no_line_is_faked, picture, refused, server, unharmed};
use crate::guest::{FOREVER, Guest, LOG, PLAN, RUN};
use crate::harness::{Server, memory_kib, section};

/// Guests in a server of their own, each an operation of its name.
fn guests(more: &str, guests: &[(&str, Guest)]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let sections: Vec<String> = guests
        .iter()
        .map(|(name, guest)| section(name, &guest.write(directory.path(), name), more))
        .collect();
    (server(&sections.concat()), directory)
}

/// Runs `code`, then does what a good guest does.
fn running(code: &str) -> Guest {
    Guest { run: format!("{code}\n{RUN}"), ..Guest::default() }
}

/// What a good guest does, then `code`, which changes its result at 8192.
fn giving(code: &str) -> Guest {
    let write = RUN.rsplit_once("(i32.const 8192)").unwrap().0;
    Guest { run: format!("{write}\n{code}\n(i32.const 8192)"), ..Guest::default() }
}

/// The same for the plan at 4096.
fn planning(code: &str) -> Guest {
    let write = PLAN.rsplit_once("(i32.const 4096)").unwrap().0;
    Guest { plan: format!("{write}\n{code}\n(i32.const 4096)"), ..Guest::default() }
}

#[tokio::test]
async fn what_a_guest_gives_is_not_believed() {
    let logging = |text: &str, address: u32, length: u32| Guest {
        imports: LOG.to_owned(),
        more: format!("(data (i32.const 16384) \"{text}\")"),
        ..running(&format!("(call $log (i32.const 1) (i32.const {address}) (i32.const {length}))"))
    };
    let out_of_memory = "(drop (memory.grow (i32.const 60000)))";
    let cases: [(&str, Guest, &str, &[&str]); 14] = [
        ("loop", running(FOREVER), "plugin-timed-out", &["not done after 500 ms (time_limit_ms)"]),
        (
            "short",
            giving("(i32.store offset=24 (i32.const 8192) (i32.const 9596))"),
            "plugin-contract",
            &["60x40 Rgba8 takes 9600 bytes, got 9596"],
        ),
        (
            "long",
            giving("(i32.store offset=24 (i32.const 8192) (i32.const 9604))"),
            "plugin-contract",
            &["60x40 Rgba8 takes 9600 bytes, got 9604"],
        ),
        (
            "outside",
            giving("(i32.store offset=20 (i32.const 8192) (i32.const 0x7ffffff0))"),
            "plugin-contract",
            &["out of bounds"],
        ),
        (
            "endless-list",
            giving("(i32.store offset=24 (i32.const 8192) (i32.const -1))"),
            "plugin-contract",
            &["out of bounds"],
        ),
        ("nowhere", Guest { run: "(i32.const -8)".to_owned(), ..Guest::default() }, "plugin-contract", &[]),
        (
            "no-format",
            giving("(i32.store8 offset=16 (i32.const 8192) (i32.const 77))"),
            "plugin-contract",
            &["77"],
        ),
        (
            "encoded",
            // The list<u8> of `encoded` stands where the image's width and height do.
            giving(
                "(i32.store8 offset=4 (i32.const 8192) (i32.const 2)) (i32.store offset=8 (i32.const 8192) (i32.const 0))",
            ),
            "plugin-contract",
            &["gave encoded bytes where pixels were described"],
        ),
        (
            "no-frames",
            giving(
                "(i32.store8 offset=4 (i32.const 8192) (i32.const 1)) (i32.store offset=8 (i32.const 8192) (i32.const 0))
                 (i32.store offset=12 (i32.const 8192) (i32.const 0))",
            ),
            "plugin-contract",
            &["run gave no result"],
        ),
        ("log-not-text", logging("ab\\ff\\fecd", 16384, 6), "plugin-contract", &["utf-8"]),
        ("log-outside", logging("", 0x7fff_0000, 0x7fff_0000), "plugin-contract", &["out of bounds"]),
        ("division", running("(drop (i32.div_u (i32.const 1) (i32.const 0)))"), "plugin-trapped", &["divide"]),
        (
            "read-outside",
            running("(drop (i32.load (i32.const 0x7ffffff0)))"),
            "plugin-trapped",
            &["out of bounds memory access"],
        ),
        // It was refused memory and went on without; what it fails of is another thing.
        (
            "refused-then-loop",
            running(&format!("{out_of_memory} {FOREVER}")),
            "plugin-timed-out",
            &["not done after 500 ms (time_limit_ms)"],
        ),
    ];
    let mut all: Vec<_> = cases.iter().map(|(name, guest, ..)| (*name, guest.clone())).collect();
    all.push(("good", Guest::default()));
    all.push(("refused-and-good", running(out_of_memory)));
    let (server, _directory) = guests("time_limit_ms = 500\nmemory_limit_mb = 16", &all);
    unharmed(&server, "good").await;
    for (name, _, kind, texts) in cases {
        let (found_kind, text) = fails(&server, name, json!({})).await;
        check(name, (&found_kind, &text), (kind, texts), "plugin guest 1.0.0 ");
        unharmed(&server, "good").await;
    }
    unharmed(&server, "refused-and-good").await;
}

#[tokio::test]
async fn what_a_guest_plans_is_not_believed() {
    let cases: [(&str, Guest, u64, &[&str]); 9] = [
        ("loop", Guest { plan: FOREVER.to_owned(), ..Guest::default() }, 206, &["plugin-timed-out", "500 ms"]),
        (
            "scale-nan",
            planning("(i32.store8 offset=24 (i32.const 4096) (i32.const 1)) (f64.store offset=32 (i32.const 4096) (f64.const nan))"),
            207,
            &["plugin-contract", "a decode hint of NaN"],
        ),
        (
            "region-infinite",
            planning("(i32.store8 offset=40 (i32.const 4096) (i32.const 1)) (f64.store offset=64 (i32.const 4096) (f64.const inf))"),
            207,
            &["plugin-contract", "a decode hint of inf"],
        ),
        (
            "empty",
            planning("(i64.store offset=8 (i32.const 4096) (i64.const 0))"),
            207,
            &["plugin-contract", "planned 0x0 pixels"],
        ),
        (
            "huge",
            planning("(i64.store offset=8 (i32.const 4096) (i64.const -1))"),
            206,
            &["limit-exceeded", "[limits] max_output_pixels"],
        ),
        (
            "greedy",
            planning("(i64.store offset=80 (i32.const 4096) (i64.const -1))"),
            206,
            &["limit-exceeded", "[operations.greedy] memory_limit_mb = 16"],
        ),
        ("nowhere", Guest { plan: "(i32.const -8)".to_owned(), ..Guest::default() }, 207, &["plugin-contract"]),
        (
            // A refusal whose text is not there.
            "no-text",
            planning(
                "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store offset=8 (i32.const 4096) (i32.const 6))
                 (i32.store offset=12 (i32.const 4096) (i32.const 0x7ffffff0)) (i32.store offset=16 (i32.const 4096) (i32.const 0x7ffffff0))",
            ),
            207,
            &["plugin-contract", "out of bounds"],
        ),
        (
            "hungry",
            Guest { plan: format!("(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (unreachable))) {PLAN}"), ..Guest::default() },
            206,
            &["plugin-out-of-memory", "memory_limit_mb = 16"],
        ),
    ];
    let mut all: Vec<_> = cases.iter().map(|(name, guest, ..)| (*name, guest.clone())).collect();
    all.push(("good", Guest::default()));
    let (server, _directory) = guests("time_limit_ms = 500\nmemory_limit_mb = 16", &all);
    for (name, _, code, texts) in cases {
        let (found, text) = refused(&server, name, json!({})).await;
        check(name, (&found.to_string(), &text), (&code.to_string(), texts), "guest 1.0.0 ");
        unharmed(&server, "good").await;
    }
}

#[tokio::test]
async fn the_reason_of_a_trap_is_one_line() {
    let fake = "misbehave\\0a2026-01-01T00:00:00Z ERROR faked";
    let code = "(call $log (i32.const 3) (i32.const 16384) (i32.const 42)) (unreachable)";
    let guest = Guest {
        imports: LOG.to_owned(),
        more: format!("(data (i32.const 16384) \"{fake}\")"),
        ..running(code)
    };
    let (server, _directory) = guests("", &[("guest", guest)]);
    let (kind, text) = fails(&server, "guest", json!({})).await;
    check("trap", (&kind, &text), ("plugin-trapped", &["faked"]), "plugin guest 1.0.0 ");
    assert!(no_line_is_faked(&server) > 0 && !text.contains(char::is_control), "{text:?}");
}

/// Lists and texts as long as the guest's memory: what the host made of them would be several times as long.
#[tokio::test]
async fn what_a_guest_gives_is_not_copied_without_end() {
    let all = "(i32.const 400000000)";
    let large = |guest: Guest| Guest { memory: "(memory (export \"memory\") 8000)".to_owned(), ..guest };
    let refusing = |at: u32| {
        format!(
            "(i32.store8 (i32.const {at}) (i32.const 1)) (i32.store offset=8 (i32.const {at}) (i32.const 6))
             (i32.store offset=12 (i32.const {at}) (i32.const 1000000)) (i32.store offset=16 (i32.const {at}) {all})"
        )
    };
    // A `result<output, error>` has its error at 4, a `result<plan, error>` at 8.
    let cases: [(&str, Guest, &str); 3] = [
        (
            "frames",
            giving(
                "(i32.store8 offset=4 (i32.const 8192) (i32.const 1)) (i32.store offset=8 (i32.const 8192) (i32.const 1000000))
                 (i32.store offset=12 (i32.const 8192) (i32.const 20000000))",
            ),
            "plugin-contract",
        ),
        (
            "refusal",
            giving(&format!(
                "(i32.store8 (i32.const 8192) (i32.const 1)) (i32.store offset=4 (i32.const 8192) (i32.const 6))
                 (i32.store offset=8 (i32.const 8192) (i32.const 1000000)) (i32.store offset=12 (i32.const 8192) {all})
                 (i32.store8 offset=16 (i32.const 8192) (i32.const 0))"
            )),
            "operation-failed",
        ),
        (
            "argument",
            giving(&format!(
                "(i32.store8 (i32.const 8192) (i32.const 1)) (i32.store offset=4 (i32.const 8192) (i32.const 6))
                 (i32.store offset=8 (i32.const 8192) (i32.const 0)) (i32.store offset=12 (i32.const 8192) (i32.const 0))
                 (i32.store8 offset=16 (i32.const 8192) (i32.const 1))
                 (i32.store offset=20 (i32.const 8192) (i32.const 1000000)) (i32.store offset=24 (i32.const 8192) {all})"
            )),
            "operation-failed",
        ),
    ];
    let mut all: Vec<_> = cases.iter().map(|(name, guest, _)| (*name, large(guest.clone()))).collect();
    all.push(("plan", large(planning(&refusing(4096)))));
    all.push(("good", Guest::default()));
    let (server, _directory) = guests("", &all);
    for (name, _, kind) in cases {
        let (found, text) = fails(&server, name, json!({})).await;
        assert_eq!(found, kind, "{name}: {}", &text[..text.len().min(500)]);
        unharmed(&server, "good").await;
    }
    let (code, text) = refused(&server, "plan", json!({})).await;
    assert_eq!(code, 207, "{text}");
    unharmed(&server, "good").await;
    assert!(memory_kib(server.pid(), "VmHWM") < 120 << 10, "the server grew");
}

#[tokio::test]
async fn a_schema_of_a_plugin_cannot_harm_the_server() {
    let directory = tempfile::tempdir().unwrap();
    for (name, schema) in [
        ("refers-to-itself", r##"{ "type": "object", "properties": {}, "allOf": [{ "$ref": "#" }] }"##),
        (
            "slow",
            r#"{ "type": "object", "properties": { "a": { "type": "string", "pattern": "^(a|a|aa)+$" } } }"#,
        ),
        ("elsewhere", r#"{ "type": "object", "properties": { "a": { "$ref": "http://127.0.0.1:1/x" } } }"#),
        ("a-file", r#"{ "type": "object", "properties": { "a": { "$ref": "file:///etc/passwd" } } }"#),
        ("text", "no JSON"),
        ("number", "5"),
    ] {
        let path = Guest { schema, ..Guest::default() }.write(directory.path(), name);
        // It may be refused at the start, or be of no harm.
        let server = match Server::try_start(&section("third", &path, "")) {
            Ok(server) => server,
            Err(log) => {
                assert!(log.lines().last().unwrap().contains("operation `third`: "), "{name}: {log}");
                continue;
            }
        };
        let source = picture(&server);
        let args = json!({ "a": format!("{}b", "a".repeat(60)) });
        let began = std::time::Instant::now();
        server.post("third", &source, &server.file_url("out.png"), args).await;
        assert!(began.elapsed().as_secs() < 10, "{name}: {:?}", began.elapsed());
        assert_eq!(server.get("/healthz").await.0, 200, "{name}");
    }
}
