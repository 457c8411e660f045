//! What every store of jobs must do: one suite, run through the trait against each of them. Its tests say moments; the stores
//! are told durations, by a clock that the tests set.

mod copies;
pub(crate) mod postgres;
mod sqlite;
mod stories;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use imgserve_base::job::{Client, Held, JobId, JobState, Priority, Record};

use super::*;
use crate::clock::Clock;

/// What a program of these tests calls itself.
pub(crate) const READER: &str = "tests";
/// No idempotency key is as old as this.
pub(crate) const KEPT: Duration = Duration::MAX;

/// Where a store of one kind is.
trait Stored: Sized {
    fn new() -> Self;
    /// Opens it, by a program that calls itself so.
    fn open(&self, reader: &str, clock: Clock) -> Arc<dyn Journal>;
    /// Sets what clock the store has of its own.
    async fn set(&self, now_ms: u64);
}

/// A journal, and what goes with it.
struct Place<S> {
    journal: Arc<dyn Journal>,
    now_ms: Arc<AtomicU64>,
    stored: S,
}

/// What came of a claim, by moments.
struct Found {
    claims: Vec<Claim>,
    full: bool,
    next_due_ms: Option<u64>,
}

impl<S: Stored> Place<S> {
    fn new() -> Self {
        let (stored, now_ms) = (S::new(), Arc::new(AtomicU64::new(100)));
        Self { journal: stored.open(READER, Clock::set_to(Arc::clone(&now_ms))), now_ms, stored }
    }

    /// The same, opened by a program that calls itself so.
    fn reopened(self, reader: &str) -> Self {
        let Self { journal, now_ms, stored } = self;
        drop(journal);
        Self { journal: stored.open(reader, Clock::set_to(Arc::clone(&now_ms))), now_ms, stored }
    }

    /// It is now so late.
    async fn at(&self, now_ms: u64) {
        if self.now_ms.swap(now_ms, Ordering::AcqRel) != now_ms {
            self.stored.set(now_ms).await;
        }
    }

    /// How long it is until then.
    fn until(&self, moment: u64) -> Duration {
        Duration::from_millis(moment - self.now_ms.load(Ordering::Acquire))
    }

    /// When that is.
    fn moment(&self, after: Option<Duration>) -> Option<u64> {
        after.map(|after| self.now_ms.load(Ordering::Acquire) + after.as_millis() as u64)
    }

    /// A job that waits, due at `due_at_ms`.
    async fn waiting(&self, priority: Priority, due_at_ms: u64) -> JobId {
        let record = Record { priority, due_at_ms, ..record() };
        let id = record.id;
        assert_eq!(self.journal.submit(entry(record)).await.unwrap(), Submitted::New);
        self.journal.release(id);
        id
    }

    async fn claim_at(&self, room: Room, now_ms: u64, lease_until_ms: u64) -> Found {
        self.at(now_ms).await;
        let claimed = self.journal.claim(room, self.until(lease_until_ms)).await.unwrap();
        Found { claims: claimed.claims, full: claimed.full, next_due_ms: self.moment(claimed.next_due) }
    }

    async fn notices_at(
        &self,
        room: Room,
        now_ms: u64,
        lease_until_ms: u64,
    ) -> (Vec<ClaimedNotice>, Option<u64>) {
        self.at(now_ms).await;
        let (claimed, next) = self.journal.claim_notices(room, self.until(lease_until_ms)).await.unwrap();
        (claimed, self.moment(next))
    }

    /// Claims at time 100, with a lease until 200.
    async fn claim(&self, count: usize) -> Vec<Claim> {
        self.claim_at(room(count), 100, 200).await.claims
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
        source_tag: None,
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
        node: None,
    }
}

pub(crate) fn entry(record: Record) -> Entry {
    let flow = record.client.to_string();
    Entry { record, order: "{\"how\":1}".to_owned(), flow, cost: 1_000_000, key: None, stays: false }
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
