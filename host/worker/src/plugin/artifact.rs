//! A plugin file that is ready to load, and the digest that it is known by.
#![allow(clippy::disallowed_methods, reason = "files are marked on a thread that may block")]

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A plugin file, ready to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What is loaded.
    pub file: PathBuf,
    /// SHA-256 of the plugin file, in hexadecimal.
    pub sha256: String,
    /// Size of the plugin file, in bytes.
    pub bytes: u64,
}

impl Artifact {
    /// Keeps the file from being removed as unused.
    pub fn mark_used(&self) {
        for file in [self.file.clone(), self.file.with_extension("sha256")] {
            // What cannot be marked is compiled again when it is missing.
            let _ = File::open(file).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }
}

/// A digest as the configuration has it.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
