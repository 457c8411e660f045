//! Files that are no plugins, or not the one that was meant, or that nothing can be made of within the limits: the server
//! says which and why, and does not start.

use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::StringEncoding;

use crate::guest::{FOREVER, Guest};
use crate::harness::{Server, plugin, section, sha256};

#[tokio::test]
async fn a_file_that_is_no_plugin_refuses_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let text = |name: &str, text: &str| at(name, &wat::parse_str(text).unwrap());
    let guest = |name: &str, guest: Guest| guest.write(directory.path(), name);
    let good = Guest::default().module();
    let export = "(instance $i) (export \"imgserve:operation/plugin@0.1.0\" (instance $i))";
    let wasi = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))";
    let memory = |text: &str| Guest { memory: text.to_owned(), ..Guest::default() };
    for (path, texts) in [
        (at("garbage.wasm", b"this is no wasm"), &["garbage.wasm", "not a valid WebAssembly file"][..]),
        (at("empty.wasm", b""), &["not a valid WebAssembly file"]),
        (at("cut.wasm", &good[..good.len() / 2]), &["cut.wasm", "not a valid WebAssembly file"]),
        (directory.path().join("absent.wasm"), &["cannot read", "absent.wasm"]),
        (text("core.wasm", "(module)"), &["carries no component type"]),
        (
            text("other.wasm", &format!("(component {})", export.replace("0.1.0", "7.8.9"))),
            &["built against imgserve:operation/plugin@7.8.9", "takes 0.1.0"],
        ),
        (
            guest("wasi", Guest { imports: wasi.to_owned(), ..Guest::default() }),
            &["imports `wasi_snapshot_preview1::fd_write`", "wasm32-unknown-unknown"],
        ),
        (
            text("wide.wasm", &format!("(component (core module (memory i64 1)) {export})")),
            &["the sandbox does not take it", "memory64"],
        ),
        (
            text("threads.wasm", &format!("(component (core module (memory 1 1 shared)) {export})")),
            &["the sandbox does not take it", "threads"],
        ),
        (
            text("gc.wasm", &format!("(component (core module (type (struct (field i32)))) {export})")),
            &["the sandbox does not take it", "gc"],
        ),
        (
            text(
                "relaxed.wasm",
                &format!(
                    "(component (core module (func (param v128 v128 v128) (result v128)
                     (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))) {export})"
                ),
            ),
            &["the sandbox does not take it", "relaxed"],
        ),
        // Texts of another encoding would have to be copied to be read, however long they are.
        (
            guest("wide-text", Guest { encoding: StringEncoding::UTF16, ..Guest::default() }),
            &["the sandbox does not take it", "string encoding"],
        ),
        (guest("nameless", Guest { name: "", ..Guest::default() }), &["its name"]),
        (guest("lines", Guest { name: "two\nlines", ..Guest::default() }), &["its name"]),
        (guest("escape", Guest { version: "1.0\x1b[2J", ..Guest::default() }), &["its version"]),
        (guest("formless", Guest { formats: &[], ..Guest::default() }), &["no pixel format"]),
        (guest("big", memory("(memory (export \"memory\") 300)")), &["memory_limit_mb = 16"]),
        (
            guest("loop", Guest { describe: FOREVER.to_owned(), ..Guest::default() }),
            &["not done after 500 ms (time_limit_ms)"],
        ),
        (
            guest(
                "starts",
                Guest { more: format!("(func $main {FOREVER}) (start $main)"), ..Guest::default() },
            ),
            &["not done after 500 ms (time_limit_ms)"],
        ),
    ] {
        let log = Server::refuses(&section("third", &path, "time_limit_ms = 500\nmemory_limit_mb = 16"));
        let last = log.lines().last().unwrap();
        for text in texts.iter().chain(&["operation `third`: "]) {
            assert!(last.contains(text), "{}: {text:?} is not in {last:?}", path.display());
        }
    }
}

/// A function of so many operations, each on what the one before it gave, that compiling it takes its time.
fn long_function() -> Guest {
    let steps = "(local.set $x (i32.xor (i32.mul (local.get $x) (i32.const 77)) (i32.rotl (local.get $x) (i32.const 9))))";
    let more = format!("(func $long (param $x i32) (result i32) {} (local.get $x))", steps.repeat(200_000));
    Guest { more, ..Guest::default() }
}

#[test]
fn compiling_has_limits() {
    let directory = tempfile::tempdir().unwrap();
    let section = section("third", &long_function().write(directory.path(), "long"), "");
    for (limit, wanted) in [
        ("compile_timeout_s = 1", &["not compiled after 1 s", "[plugins] compile_timeout_s"][..]),
        ("compile_memory_mb = 256", &["the compiler died of its plugin", "[plugins] compile_memory_mb"]),
    ] {
        let log = Server::refuses(&format!("[plugins]\n{limit}\n{section}"));
        let last = log.lines().last().unwrap();
        for text in ["operation `third`: "].iter().chain(wanted) {
            assert!(last.contains(text), "{text:?} is not in {last:?}");
        }
    }
}

/// A shared library out of a few lines of C.
fn library(directory: &Path, name: &str, code: &str) -> PathBuf {
    let (source, path) = (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
    std::fs::write(&source, code).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&path).arg(&source).status();
    assert!(compiled.unwrap().success());
    path
}

#[test]
fn a_library_that_is_no_plugin_refuses_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let table = |fields: &str| {
        format!(
            "static const struct {{ char magic[8]; unsigned short major, minor; unsigned size; void *functions[4]; }}
             table = {{ {fields} }};
             const void *imgserve_operation(void) {{ return &table; }}"
        )
    };
    let describing = |code: &str| {
        let table = table("\"IMGSRVOP\", 1, 0, 48, { describe }");
        format!(
            "#include <stdlib.h>\n#include <unistd.h>\nstatic void describe(void *reply) {{ {code} }}\n{table}"
        )
    };
    let c = |name: &str, code: &str| library(directory.path(), name, code);
    let text = directory.path().join("text.so");
    std::fs::write(&text, "this is no library").unwrap();
    for (path, texts) in [
        (c("magic", &table("\"NOTMAGIC\", 1, 0, 48")), &["not an imgserve operation: wrong magic"][..]),
        (c("version", &table("\"IMGSRVOP\", 9, 0, 48")), &["built for plugin ABI 9.x", "speaks 1.x"]),
        (c("size", &table("\"IMGSRVOP\", 1, 0, 16")), &["its table says 16 bytes"]),
        (
            c("null", "const void *imgserve_operation(void) { return 0; }"),
            &["not a native plugin", "it has no table"],
        ),
        (c("other", "int other;"), &["not a native plugin", "imgserve_operation"]),
        (text, &["not a native plugin"]),
        // The code of a library runs when it is opened, and when it is asked what it is.
        (c("aborts", &describing("abort();")), &["SIGABRT"]),
        (c("loops", &describing("for (;;) pause();")), &["not done after 300 ms (time_limit_ms)"]),
        (
            c(
                "initialiser",
                "#include <stdlib.h>\n__attribute__((constructor)) static void now(void) { abort(); }",
            ),
            &["SIGABRT"],
        ),
    ] {
        let log = Server::refuses(&section("third", &path, "time_limit_ms = 300"));
        let last = log.lines().last().unwrap();
        for text in texts.iter().chain(&["operation `third`: "]) {
            assert!(last.contains(text), "{}: {text:?} is not in {last:?}", path.display());
        }
    }
}

#[test]
fn another_file_than_the_one_that_was_trusted_refuses_the_start() {
    for file in ["misbehave.so", "misbehave.wasm"] {
        let path = plugin(file);
        let wanted = "0".repeat(64);
        let mut section = section("third", &path, "");
        section = match section.contains("sha256") {
            true => section.replace(&sha256(&path), &wanted),
            false => format!("{section}sha256 = \"{wanted}\"\n"),
        };
        let log = Server::refuses(&section);
        let last = log.lines().last().unwrap();
        for text in ["operation `third`: ", &wanted, &sha256(&path), path.to_str().unwrap()] {
            assert!(last.contains(text), "{text:?} is not in {last:?}");
        }
    }
}
