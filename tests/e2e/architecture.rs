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
fn the_readme_lists_every_configuration_section() {
    let readme = std::fs::read_to_string(beside("../README.md")).unwrap();
    let defaults = std::fs::read_to_string(beside("../host/config/src/defaults.toml")).unwrap();
    for line in defaults.lines() {
        let key = line.split(" = ").next().unwrap_or_default();
        if !line.starts_with('#') && line.contains(" = ") {
            assert!(readme.contains(&format!("`{key}`")), "README's configuration table lacks `{key}`");
        }
    }
}
