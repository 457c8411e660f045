//! What every store of jobs must do: one suite, run through the trait. `IMGSERVE_TEST_JOURNAL` names the address of another
//! store than a file of the tests' own.

mod held;
mod keys;
mod life;
mod notices;
mod stories;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::job::{Client, Held, JobId, JobState, Priority, Record};

use super::*;

/// What a program of these tests calls itself.
pub(crate) const READER: &str = "tests";

/// A journal, and the directory that goes with it.
struct Place {
    journal: Arc<dyn Journal>,
    address: String,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal.db").display().to_string();
        let address = std::env::var("IMGSERVE_TEST_JOURNAL").unwrap_or(file);
        Self { journal: open(&address, READER).unwrap(), address, _directory: directory }
    }

    /// The same, opened by a program that calls itself so.
    fn reopened(self, reader: &str) -> Self {
        let Self { journal, address, _directory } = self;
        drop(journal);
        Self { journal: open(&address, reader).unwrap(), address, _directory }
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
        self.journal.claim(room(count), 100, 200).await.unwrap().claims
    }

    async fn state(&self, id: JobId) -> JobState {
        self.journal.get(id).await.unwrap().unwrap().state
    }
}

pub(crate) fn record() -> Record {
    Record {
        id: JobId::generate(),
        state: JobState::Accepting,
        operation: "resize".to_owned(),
        client: Client::Anyone,
        priority: Priority::Normal,
        source: "http://pictures.example/a.png".to_owned(),
        outputs: Vec::new(),
        accepted_at_ms: 10,
        due_at_ms: 10,
        finished_at_ms: None,
        attempt: 0,
        attempts: Vec::new(),
        timings: BTreeMap::new(),
        notify: false,
        fresh: Default::default(),
        held: None,
    }
}

pub(crate) fn entry(record: Record) -> Entry {
    let flow = record.client.to_string();
    Entry { record, order: "{\"how\":1}".to_owned(), flow, cost: 1_000_000, key: None }
}

/// Room for so many jobs, whosever they are.
pub(crate) fn room(free: usize) -> Room {
    Room { free, ..Room::default() }
}

pub(crate) fn notice(id: &str, job: JobId) -> Notice {
    Notice {
        id: id.to_owned(),
        job,
        url: "http://hook.example/".to_owned(),
        body: "{}".to_owned(),
        created_ms: 50,
        attempt: 0,
    }
}

pub(crate) fn ended(record: &Record, state: JobState) -> Record {
    Record { state, finished_at_ms: Some(150), ..record.clone() }
}

pub(crate) fn is_stale<T: std::fmt::Debug>(answer: Result<T, JournalError>) -> bool {
    matches!(answer, Err(JournalError::Stale { .. }))
}
