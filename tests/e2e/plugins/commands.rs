//! `imgserve operations` and `imgserve plugin`: what they print, and their exit codes.

use std::path::Path;
use std::process::Command;

use super::{is_brown, png, rgb};
use crate::harness::{plugin, program, section, sha256};

/// Runs the program to its end; gives the exit code and everything that it printed.
fn told(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

#[test]
fn operations_are_listed_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    let cache = format!("[plugins]\ncache_dir = {:?}\n", directory.path().join("cache"));
    let sections = section("toned", &plugin("sepia.wasm"), "memory_limit_mb = 64\ntime_limit_ms = 700")
        + &section("native", &plugin("misbehave.so"), "");
    std::fs::write(&config, format!("{cache}{sections}")).unwrap();
    let list = || told(program().args(["operations", "--config"]).arg(&config));
    let (code, text) = list();
    assert_eq!(code, 0, "{text}");
    let row = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(row("toned")[1..5], ["wasm", "sepia", version, "pixels"]);
    assert_eq!(row("toned")[8..12], ["64", "MiB,", "700", "ms,"]);
    assert_eq!(row("native")[1..4], ["native", "misbehave", version]);
    assert_eq!(row("resize")[1..3], ["builtin", version]);
    row("rasterize");
    row("pipeline");

    std::fs::write(&config, format!("{cache}[operations.x]\nkind = 'wasm'\npath = '/no/such/file.wasm'"))
        .unwrap();
    let (code, text) = list();
    assert!(code == 1 && text.contains("operation `x`: cannot read /no/such/file.wasm"), "{code} {text}");
    std::fs::write(&config, "[operations.x]\nkind = 'wasm'").unwrap();
    let (code, text) = list();
    assert!(code == 64 && text.contains("operations.x.path: is missing"), "{code} {text}");
}

#[test]
fn a_plugin_is_checked_run_and_tested_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    std::fs::write(&config, format!("[plugins]\ncache_dir = {:?}", directory.path().join("cache"))).unwrap();
    let path = plugin("sepia.wasm");
    let command = |word: &str| {
        let mut command = program();
        command.args(["plugin", word]).current_dir(directory.path());
        command
    };
    let (code, text) = told(command("check").arg(&path).args(["--args", "{}"]).arg("--config").arg(&config));
    assert_eq!(code, 0, "{text}");
    for line in [
        format!("sha256       {}", sha256(&path)),
        "contract     imgserve:operation@0.1.0".to_owned(),
        format!("operation    sepia {}: ", env!("CARGO_PKG_VERSION")),
        "takes        pixels: rgb8, rgba8, rgba16".to_owned(),
        "gives        pixels, in the source's file format".to_owned(),
        "argument     strength".to_owned(),
        "tried        27 done, 0 refused, 0 mistakes".to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in {text}");
    }
    let bad = plugin("misbehave.wasm");
    let panic = ["--args", "{\"mode\": \"panic\"}"];
    let (code, text) = told(command("check").arg(&bad).arg("--config").arg(&config).args(panic));
    assert!(code == 1 && text.contains("MISTAKE") && text.contains("plugin-trapped"), "{code} {text}");

    std::fs::write(directory.path().join("in.png"), png(60, 40)).unwrap();
    let run = |file: &Path, args: &str| {
        told(
            command("run").arg(file).args(["in.png", "out.png", "--args", args]).arg("--config").arg(&config),
        )
    };
    let (code, text) = run(&path, "{\"strength\": 1}");
    assert!(code == 0 && text.contains("result       out.png: 60x40"), "{code} {text}");
    assert!(is_brown(&rgb(&std::fs::read(directory.path().join("out.png")).unwrap())));
    let (code, text) = run(&path, "{\"strength\": 7}");
    assert!(code == 1 && text.contains("argument `strength`: 7 is not from 0 to 1"), "{code} {text}");
    let (code, text) = run(&bad, panic[1]);
    assert!(
        code == 1 && text.contains("plugin-trapped: plugin misbehave") && text.contains("as asked"),
        "{text}"
    );

    let crate_directory = crate::harness::beside("../plugins/sepia");
    let (code, text) =
        told(command("test").arg(&crate_directory).arg("--file").arg(&path).arg("--config").arg(&config));
    assert_eq!(code, 0, "{text}");
}
