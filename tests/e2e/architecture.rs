//! The invariants of README's architecture section, kept by a machine: who may use whom, where library names may stand,
//! where `unsafe` may stand, how long a file may be.

use std::path::{Path, PathBuf};

use crate::harness::beside;

fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn all() -> Vec<(String, String)> {
    let root = beside("..");
    let folders = ["host/src", "sdk/src", "ops", "plugins", "tests"];
    let files = folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.exists());
    files
        .flat_map(|folder| sources(&folder))
        .map(|(path, text)| (path.strip_prefix(&root).unwrap().to_str().unwrap().replace("../", ""), text))
        .collect()
}

/// Whether a file holds nothing but tests.
fn only_tests(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

/// A file's code without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn modules_use_only_whom_they_may() {
    // module → what it must not name
    let rules: [(&str, &[&str]); 14] = [
        ("job", &["http", "cli", "server", "codec", "plugin"]),
        ("journal", &["http", "cli", "server", "worker", "transfer", "codec", "plugin"]),
        ("registry.rs", &["http", "cli", "server", "job", "journal", "transfer"]),
        ("plugin", &["http", "cli", "server", "job", "journal", "transfer", "worker", "codec"]),
        (
            "transfer",
            &["http", "cli", "server", "job", "journal", "worker", "codec", "plugin", "registry", "config"],
        ),
        (
            "codec",
            &[
                "http", "cli", "server", "job", "journal", "worker", "transfer", "plugin", "registry",
                "config",
            ],
        ),
        ("worker", &["http", "cli", "server", "job", "journal", "transfer", "registry"]),
        (
            "config",
            &["http", "cli", "server", "job", "journal", "worker", "transfer", "codec", "plugin", "registry"],
        ),
        (
            "fault.rs",
            &["http", "cli", "server", "job", "journal", "worker", "transfer", "codec", "plugin", "registry"],
        ),
        (
            "access",
            &["http", "cli", "server", "job", "journal", "worker", "transfer", "codec", "plugin", "registry"],
        ),
        (
            "metrics",
            &["http", "cli", "server", "job", "worker", "transfer", "codec", "plugin", "registry", "config"],
        ),
        ("http", &["cli", "server", "worker", "transfer", "codec", "plugin", "journal"]),
        ("server.rs", &["cli", "codec", "plugin", "worker"]),
        ("cli", &["journal"]),
    ];
    for (path, text) in all() {
        let Some(inner) = path.strip_prefix("host/src/").filter(|_| !only_tests(&path)) else { continue };
        let top = inner.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        let Some((_, forbidden)) = rules.iter().find(|(module, _)| top == module.trim_end_matches(".rs"))
        else {
            continue;
        };
        for module in *forbidden {
            assert!(
                !code(&text).contains(&format!("crate::{module}")),
                "{path} must not use crate::{module}"
            );
        }
    }
}

#[test]
fn library_names_stand_where_they_belong() {
    let rules = [
        ("axum", &["host/src/http/", "host/src/cli/demo/"][..]),
        ("hyper", &["host/src/http/"]),
        ("reqwest", &["host/src/transfer/", "host/src/cli/"]),
        ("suppaftp", &["host/src/transfer/"]),
        ("rusqlite", &["host/src/journal/sqlite"]),
        ("jpeg_decoder", &["host/src/codec/"]),
        ("zune_jpeg", &["host/src/codec/"]),
        ("image_webp", &["host/src/codec/"]),
        ("moxcms", &["host/src/codec/"]),
        ("resvg", &["ops/rasterize/"]),
        ("vello_cpu", &["ops/rasterize/src/vello/"]),
        ("fast_image_resize", &["ops/resize/", "plugins/smartcrop/"]),
        ("wasmtime", &["host/src/plugin/wasm"]),
        ("libloading", &["host/src/plugin/native"]),
        ("hmac", &["host/src/access/"]),
        ("subtle", &["host/src/access"]),
        ("prometheus_client", &["host/src/metrics"]),
    ];
    for (path, text) in all().into_iter().filter(|(path, _)| !only_tests(path)) {
        for (library, homes) in rules {
            let named = code(&text).contains(&format!("{library}::"));
            assert!(!named || homes.iter().any(|home| path.starts_with(home)), "{path} names {library}");
        }
    }
}

#[test]
fn unsafe_stands_where_it_belongs() {
    let homes = [
        "sdk/src/abi/",
        "host/src/plugin/native.rs",
        "host/src/plugin/wasm/engine.rs",
        "host/src/codec/webp/",
    ];
    for (path, text) in all() {
        let holds = code(&text).contains("unsafe {") || code(&text).contains("unsafe fn");
        assert!(
            !holds || only_tests(&path) || homes.iter().any(|home| path.starts_with(home)),
            "{path} holds unsafe"
        );
    }
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    for (path, text) in all() {
        assert!(text.starts_with("//!"), "{path} does not say what it owns");
        let lines = text.lines().count();
        assert!(lines <= 600, "{path} has {lines} lines: look for the second thing in it");
    }
}

#[test]
fn the_readme_lists_every_configuration_section() {
    let readme = std::fs::read_to_string(beside("../README.md")).unwrap();
    let defaults = std::fs::read_to_string(beside("../host/src/config/defaults.toml")).unwrap();
    for line in defaults.lines() {
        let key = line.split(" = ").next().unwrap_or_default();
        if !line.starts_with('#') && line.contains(" = ") {
            assert!(readme.contains(&format!("`{key}`")), "README's configuration table lacks `{key}`");
        }
    }
}
