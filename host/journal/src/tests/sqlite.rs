//! The suite against the store in a file.

use super::*;
use crate::sqlite::Sqlite;

#[path = "suite/mod.rs"]
mod suite;

/// A file in a directory of its own.
struct File(tempfile::TempDir);

type Place = super::Place<File>;

impl Stored for File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, reader: &str, clock: Clock) -> Arc<dyn Journal> {
        let path = self.0.path().join("journal.db");
        Arc::new(Sqlite::open(&path, reader, clock.clone()).unwrap())
    }

    async fn set(&self, _: u64) {}
}
