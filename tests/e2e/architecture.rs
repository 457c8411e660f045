//! What CONTRIBUTING says of every file, kept by a machine: that it says what it owns, and how long it may be. Who may use
//! whom is the crates' to keep; where `unsafe` may stand the compiler keeps, but not where it may be allowed.

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
    let folders = ["host", "sdk/src", "ops", "plugins", "tests"];
    let files = folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.exists());
    files
        .flat_map(|folder| sources(&folder))
        .map(|(path, text)| (path.strip_prefix(&root).unwrap().to_str().unwrap().replace("../", ""), text))
        .collect()
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
fn unsafe_is_allowed_where_it_belongs() {
    let homes = [
        "sdk/src/",
        "host/codec/src/formats/webp/libwebp.rs",
        "host/worker/src/plugin/native.rs",
        "host/worker/src/plugin/wasm/engine.rs",
        "tests/",
    ];
    for (path, text) in all() {
        let allows = text
            .lines()
            .any(|line| line.trim_start().starts_with('#') && line.contains("unsafe_code, reason"));
        let test = path.contains("/tests/");
        assert!(
            !allows || test || homes.iter().any(|home| path.starts_with(home)),
            "{path} allows unsafe code"
        );
    }
}
