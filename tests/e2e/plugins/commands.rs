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

#[test]
fn what_a_plugin_logs_and_what_means_nothing_to_it_is_shown_to_its_author() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    std::fs::write(&config, format!("[plugins]\ncache_dir = {:?}", directory.path().join("cache"))).unwrap();
    std::fs::write(directory.path().join("in.png"), png(60, 40)).unwrap();
    let run = |file: &str, args: &str| {
        let mut command = program();
        command.args(["plugin", "run"]).arg(plugin(file)).args(["in.png", "out.png", "--args", args]);
        told(command.arg("--config").arg(&config).current_dir(directory.path()))
    };
    let (code, text) = run("misbehave.wasm", "{\"mode\": \"chatter\"}");
    let lines = text.lines().filter(|line| line.trim_start().starts_with("INFO ")).count();
    assert!(
        code == 0 && lines == 101 && text.contains("further lines of this task are dropped"),
        "{lines} {text}"
    );
    assert!(text.contains("operation=misbehave") && text.contains("planned      "), "{text}");

    let (code, text) = run("sepia.wasm", "{\"strenght\": 1, \"quality\": 50}");
    let warning = "warning: argument `strenght` means nothing to it: it has strength";
    assert!(code == 0 && text.contains(warning) && !text.contains("`quality`"), "{code} {text}");
    // As a server checks them, before the plugin sees them.
    for (args, wanted) in [
        ("{\"strength\": \"much\"}", "wrong-type: argument `strength`"),
        ("{\"quality\": 0}", "invalid-argument: argument `quality`: 0 is not in 1 to 100"),
    ] {
        let (code, text) = run("sepia.wasm", args);
        assert!(code == 1 && text.contains(wanted), "{args}: {code} {text}");
    }
}

#[test]
fn a_plugin_is_measured_beside_another_build_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    std::fs::write(&config, format!("[plugins]\ncache_dir = {:?}", directory.path().join("cache"))).unwrap();
    std::fs::write(directory.path().join("in.png"), png(60, 40)).unwrap();
    let bench = |options: &[&str]| {
        let mut command = program();
        command.args(["plugin", "bench"]).arg(plugin("sepia.wasm")).args(["in.png", "--runs", "3"]);
        command.arg("--against").arg(plugin("sepia.so")).args(options);
        command.arg("--config").arg(&config).current_dir(directory.path()).output().unwrap()
    };
    let output = bench(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    for (line, columns) in [("whole", 7), ("operation", 7), ("instantiation", 7), ("codecs", 7)] {
        let found = text.lines().find(|found| found.starts_with(line)).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.split_whitespace().count(), columns + 1, "{found}");
    }
    assert!(
        output.status.success() && text.contains("(3 runs, ms)") && text.contains(" at its peak"),
        "{text}"
    );
    let told: serde_json::Value = serde_json::from_slice(&bench(&["--json"]).stdout).unwrap();
    let median = |of: &str, part: &str| told[of]["parts_ms"][part]["median"].as_f64().unwrap();
    // The operation is a part of the whole, and only a sandboxed one is instantiated.
    assert!(median("plugin", "whole") > median("plugin", "operation") && median("plugin", "operation") > 0.0);
    assert!(median("plugin", "instantiation") > 0.0 && median("against", "instantiation") == 0.0, "{told}");
    assert!(told["ratios"]["whole"].as_f64().unwrap() > 0.0 && told["runs"] == 3, "{told}");
}

#[test]
fn a_plugin_in_another_language_begins_with_a_folder_and_names_its_tool() {
    let directory = tempfile::tempdir().unwrap();
    let command = |words: &[&str]| {
        let mut command = program();
        command.arg("plugin").args(words).current_dir(directory.path()).env_remove("NODE_PATH");
        command
    };
    let tools = [
        ("c", "plugin.c", "apt-get install clang lld"),
        ("javascript", "plugin.js", "npm install --save-dev @bytecodealliance/componentize-js"),
        ("python", "plugin.py", ".venv/bin/pip install componentize-py"),
    ];
    for (language, source, typed) in tools {
        let (code, text) = told(&mut command(&["new", language, "--language", language]));
        assert!(code == 0 && text.contains(&format!("{language}/src/{source}")), "{code} {text}");
        let folder = directory.path().join(language);
        for file in [&format!("src/{source}"), "README.md", "golden/cases.toml", "sample.png"] {
            assert!(folder.join(file).is_file(), "{language} has no {file}");
        }
        let (code, text) = told(command(&["build", language]).env("PATH", "/nowhere"));
        assert!(code == 1 && text.contains(typed), "{code} {text}");
        let (code, text) = told(&mut command(&["build", language, "--native"]));
        assert!(code == 1 && text.contains("are for Rust"), "{code} {text}");
        let (code, text) = told(&mut command(&["new", "other", "--language", language, "--codec"]));
        assert!(code == 1 && text.contains("codecs in other languages are not offered"), "{code} {text}");
        assert!(!directory.path().join("other").exists());
    }
}

#[test]
fn a_plugin_in_c_is_built_once_and_tested() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("imgserve.toml");
    std::fs::write(&config, format!("[plugins]\ncache_dir = {:?}", directory.path().join("cache"))).unwrap();
    let command = |words: &[&str]| told(program().arg("plugin").args(words).current_dir(directory.path()));
    assert_eq!(command(&["new", "mine", "--language", "c"]).0, 0);
    let (code, text) = command(&["build", "mine"]);
    assert!(
        code == 0 && text.contains("[operations.mine]") && text.contains("simd       yes"),
        "{code} {text}"
    );
    let (code, text) = command(&["build", "mine"]);
    assert!(code == 0 && text.contains("nothing has changed since it was built with"), "{code} {text}");
    let config = config.to_str().unwrap();
    for words in
        [&["test", "mine", "--update", "--config", config][..], &["test", "mine", "--config", config]]
    {
        let (code, text) = command(words);
        assert_eq!(code, 0, "{text}");
    }
    let source = directory.path().join("mine/src/plugin.c");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("0x00ffffff : 0xffffffff", "0 : 0")).unwrap();
    let (code, text) = command(&["test", "mine", "--config", config]);
    assert!(code == 1 && !text.contains("nothing has changed"), "{code} {text}");
    std::fs::write(&source, "no C at all").unwrap();
    let (code, text) = command(&["build", "mine"]);
    assert!(code == 1 && text.contains("plugin.c:1:") && text.contains("clang failed"), "{code} {text}");
}
