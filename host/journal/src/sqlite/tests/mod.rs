//! The journal in files of temporary directories.
#![allow(clippy::disallowed_methods, reason = "files of the tests' own")]

mod faults;
mod files;
mod keys;
mod life;
mod load;
mod notices;

use std::collections::BTreeMap;
use std::path::PathBuf;

use imgserve_base::job::{JobState, Priority};

use super::*;

/// A journal, and the directory that goes with it.
struct Place {
    journal: Sqlite,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { journal: Sqlite::open(&directory.path().join("journal.db")).unwrap(), directory }
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
        Self { journal: Sqlite::open(&directory.path().join("journal.db")).unwrap(), directory }
    }

    /// A job that waits, due at `due_at_ms`.
    async fn waiting(&self, priority: Priority, due_at_ms: u64) -> JobId {
        let record = Record { priority, due_at_ms, ..record() };
        let id = record.id;
        assert_eq!(self.journal.submit(entry(record)).await.unwrap(), Submitted::New);
        self.journal.release(id);
        id
    }

    /// Claims at time 100, with a lease until 200.
    async fn claim(&self, count: usize) -> Vec<Claim> {
        self.journal.claim(count, 100, 200).await.unwrap().claims
    }

    async fn state(&self, id: JobId) -> JobState {
        self.journal.get(id).await.unwrap().unwrap().state
    }
}

fn record() -> Record {
    Record {
        id: JobId::generate(),
        state: JobState::Accepting,
        operation: "resize".to_owned(),
        client: String::new(),
        priority: Priority::Normal,
        source: "http://pictures.example/a.png".to_owned(),
        parts: Vec::new(),
        accepted_at_ms: 10,
        due_at_ms: 10,
        finished_at_ms: None,
        attempt: 0,
        attempts: Vec::new(),
        timings: BTreeMap::new(),
        notify: false,
        fresh: Default::default(),
    }
}

fn entry(record: Record) -> Entry {
    Entry { record, order: "{\"how\":1}".to_owned(), key: None }
}

fn notice(id: &str, job: JobId) -> Notice {
    Notice {
        id: id.to_owned(),
        job,
        url: "http://hook.example/".to_owned(),
        body: "{}".to_owned(),
        created_ms: 50,
        attempt: 0,
    }
}

fn ended(record: &Record, state: JobState) -> Record {
    Record { state, finished_at_ms: Some(150), ..record.clone() }
}

fn is_stale<T: std::fmt::Debug>(answer: Result<T, JournalError>) -> bool {
    matches!(answer, Err(JournalError::Stale { .. }))
}
