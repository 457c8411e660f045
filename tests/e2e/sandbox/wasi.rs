//! What a guest finds of WASI: a clock that stands still, the job's random numbers, a log; and what it is told of the rest.

use serde_json::json;
use tempfile::TempDir;

use super::{check, fails, picture, server, unharmed};
use crate::guest::{Guest, RUN};
use crate::harness::{Server, program, section};

const IMPORTS: &str = r#"
    (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $socket (param i32 i32)))"#;

/// Runs `code`, then does what a good guest does; `text` lies at 16384.
fn running(text: &str, code: &str) -> Guest {
    Guest {
        imports: IMPORTS.to_owned(),
        more: format!("(data (i32.const 16384) \"{text}\")"),
        run: format!("{code}\n{RUN}"),
        ..Guest::default()
    }
}

fn guests(guests: &[(&str, Guest)]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let sections = guests.iter().map(|(name, guest)| section(name, &guest.write(directory.path(), name), ""));
    (server(&sections.collect::<String>()), directory)
}

/// Traps unless this is so.
fn must(condition: &str) -> String {
    format!("(if (i32.eqz {condition}) (then (unreachable)))")
}

#[tokio::test]
async fn a_guest_has_a_still_clock_the_jobs_numbers_and_a_log() {
    let clock = [
        must("(i64.eqz (call $now))"),
        must("(i64.eqz (call $now))"),
        // An hour, which is over at once.
        "(call $block (call $sleep (i64.const 3600000000000)))".to_owned(),
        must("(i64.eq (call $now) (i64.const 3600000000000))"),
        "(call $directories (i32.const 20000))".to_owned(),
        must("(i32.eqz (i32.load (i32.const 20004)))"),
    ];
    let said = "(call $write (call $stdout) (i32.const 16384) (i32.const 12) (i32.const 20000))
        (call $write (call $stdout) (i32.const 16396) (i32.const 7) (i32.const 20000))
        (call $write (call $stderr) (i32.const 16384) (i32.const 9) (i32.const 20000))";
    // The first pixels are random.
    let random = "(i64.store (i32.load offset=60 (local.get $in)) (call $random))";
    let (server, _directory) = guests(&[
        ("clock", running("", &clock.concat())),
        ("talks", running("first line\\0athe last", said)),
        ("random", running("", random)),
    ]);
    for name in ["clock", "talks"] {
        unharmed(&server, name).await;
    }
    let log = server.log();
    for line in
        ["INFO first line operation=talks", "INFO the last operation=talks", "WARN first lin operation=talks"]
    {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    let source = picture(&server);
    let mut results = Vec::new();
    for name in ["one.png", "two.png"] {
        server.succeed("random", &source, &server.file_url(name), json!({})).await;
        results.push(server.read(name));
    }
    assert_eq!(results[0], results[1], "the same job has the same numbers");
    assert_ne!(results[0], std::fs::read(server.files().join("in.png")).unwrap());
}

#[tokio::test]
async fn a_guest_is_told_what_it_cannot_have() {
    let refused = "(call $socket (i32.const 0) (i32.const 20000))".to_owned()
        + &must("(i32.eq (i32.load8_u (i32.const 20000)) (i32.const 1))")
        + &must("(i32.eq (i32.load8_u (i32.const 20004)) (i32.const 1))");
    let died =
        "(call $write (call $stderr) (i32.const 16384) (i32.const 16) (i32.const 20000)) (unreachable)";
    let (server, _directory) = guests(&[
        ("goes-on", running("", &refused)),
        ("gives-up", running("", &format!("{refused} (unreachable)"))),
        ("exits", running("", "(call $exit (i32.const 1))")),
        ("greedy", running("", "(call $bytes (i64.const 1048577) (i32.const 20000))")),
        ("waits", running("", "(loop $l (drop (call $sleep (i64.const 1))) (br $l))")),
        ("dies", running("panic: it is so\\0a", died)),
    ]);
    unharmed(&server, "goes-on").await;
    let network = "reached for the network (a socket, or a name's address) by `wasi:sockets/tcp-create-socket` \
        `create-tcp-socket`: a plugin has none: what it is to work on comes as its source, which the host fetches";
    assert!(server.log().contains(network), "{}", server.log());
    for (name, kind, text) in [
        ("gives-up", "plugin-trapped", network),
        ("exits", "plugin-trapped", "ended itself (`exit`) by `wasi:cli/exit` `exit`"),
        ("greedy", "plugin-contract", "wants 1048577 random bytes at once"),
        ("waits", "plugin-contract", "waits for too much at once"),
        ("dies", "plugin-trapped", "panic: it is so"),
    ] {
        let (found_kind, found) = fails(&server, name, json!({})).await;
        check(name, (&found_kind, &found), (kind, &[text]), "guest 1.0.0");
    }
    unharmed(&server, "goes-on").await;
}

#[test]
fn a_guest_that_is_too_large_is_refused_by_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (config, cache) = (directory.path().join("imgserve.toml"), directory.path().join("cache"));
    let tables = "(table 1 funcref) (table 2 funcref) (table 30 funcref)".to_owned();
    let path = Guest { more: tables, ..running("", "") }.write(directory.path(), "large");
    for (bounds, key) in [
        ("", None),
        ("max_core_instances = 2", Some("max_core_instances")),
        ("max_tables = 3", Some("max_tables")),
        ("max_table_elements = 29", Some("max_table_elements")),
    ] {
        let text = format!("[plugins]\ncache_dir = {cache:?}\n{bounds}\n{}", section("large", &path, ""));
        std::fs::write(&config, text).unwrap();
        let output = program().args(["operations", "--config"]).arg(&config).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        match key {
            None => assert!(output.status.success(), "{told}"),
            Some(key) => assert!(told.contains(&format!("([plugins] {key})")), "{bounds}: {told}"),
        }
    }
}
