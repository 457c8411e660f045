//! What is particular to a journal in a file: its files, its faults, how fast it is. What any store must do is
//! `crate::tests`' to say.
#![allow(clippy::disallowed_methods, reason = "files of the tests' own")]

mod faults;
mod files;
mod load;

use std::path::PathBuf;

use imgserve_base::job::{JobState, Priority};

use super::*;
use crate::store::Claim;
use crate::tests::{KEPT, READER, ended, entry, is_stale, notice, record, room};

/// Of claims.
const LEASE: Duration = Duration::from_millis(100);

/// A journal, and the directory that goes with it.
struct Place {
    journal: Sqlite,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { journal: open(&directory.path().join("journal.db")).unwrap(), directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    /// What a process that is killed now leaves behind, opened by the next one.
    fn after_kill(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["journal.db", "journal.db-wal"] {
            std::fs::copy(self.directory.path().join(name), directory.path().join(name)).unwrap();
        }
        Self { journal: open(&directory.path().join("journal.db")).unwrap(), directory }
    }

    /// A job that waits, due at `due_at_ms`.
    async fn waiting(&self, priority: Priority, due_at_ms: u64) -> JobId {
        let record = Record { priority, due_at_ms, ..record() };
        let id = record.id;
        assert_eq!(self.journal.submit(entry(record)).await.unwrap(), Submitted::New);
        self.journal.release(id);
        id
    }

    /// Claims at the time of these tests, which is 100.
    async fn claim(&self, count: usize) -> Vec<Claim> {
        self.journal.claim(room(count), LEASE).await.unwrap().claims
    }

    async fn state(&self, id: JobId) -> JobState {
        self.journal.get(id).await.unwrap().unwrap().state
    }
}

fn open(path: &Path) -> Result<Sqlite, JournalError> {
    Sqlite::open(path, READER, Clock::set_to(Arc::new(100.into())))
}
