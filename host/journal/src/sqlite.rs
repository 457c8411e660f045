//! The journal in an SQLite file (WAL). One thread writes, several read, and one server uses the file.
//!
//! # Layout
//! - `file`: the files, their modes, the lock; `schema`: the tables and their versions; `check`: whether it could be opened
//! - `writer`, `change`, `batch`: the thread that writes, what it is asked for, and group commit; `trouble`: what an error means
//! - `claims`: which jobs are handed out; `jobs`, `notices`: other changes; `read`: questions; `rows`: jobs as rows; `copy`: all of it,
//!   to be copied from or to

mod batch;
mod change;
pub(crate) mod check;
mod claims;
mod copy;
mod file;
mod jobs;
mod notices;
mod read;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod trouble;
mod writer;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fault::chain;
use imgserve_base::job::{Client, JobId, Record};
use imgserve_base::lock::Lock;
use rusqlite::Connection;

use crate::clock::{Clock, ms};
use crate::rows::handed_out;
use crate::store::{
    Answer, Claimed, ClaimedNotice, Counts, Delivery, Ending, Entry, Filter, Health, Journal, JournalError,
    NEVER_MS, Notice, Receipt, Room, Submitted, Undelivered,
};
use crate::story;
use change::Promise;
use claims::{Found, Turns};
pub(crate) use copy::Copying;
use jobs::Written;
use read::Readers;
use rows::Row;
use trouble::Trouble;
use writer::Writer;

/// How many rows are forgotten in one change, so that others do not wait for it long.
const FORGOTTEN_AT_ONCE: usize = 200;

/// The journal in a file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    // Dropped in this order: whoever takes the lock next finds the file closed.
    writer: Writer,
    readers: Arc<Readers>,
    turns: Arc<Turns>,
    /// What this program calls itself where it cannot read a job.
    reader: Arc<str>,
    clock: Clock,
    _lock: Lock,
}

impl Sqlite {
    /// Opens the journal, or makes it where there is none. Blocks. What a predecessor had claimed is claimable again.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where another server has it, [`JournalError::TooNew`], [`JournalError::Open`].
    pub(crate) fn open(path: &Path, reader: &str, clock: Clock) -> Result<Self, JournalError> {
        let lock = file::take(path)?;
        let reader = story::reader(reader);
        let connection = schema::open(path, &reader)?;
        let writer = Writer::start(connection, path).map_err(|error| JournalError::Open {
            journal: path.display().to_string(),
            text: chain(&error),
        })?;
        let (readers, turns) = (Readers::new(path), Arc::default());
        Ok(Self { writer, readers, turns, reader: reader.into(), clock, _lock: lock })
    }

    /// Asks for a change now, and answers when it is made.
    fn change<T: Send + 'static>(
        &self,
        promise: Promise,
        make: impl Fn(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(self.writer.change(promise, make))
    }

    /// The same, for a change that writes a story. It is made into text here, as the writer's time is everybody's.
    fn write<T: Send + 'static>(
        &self,
        promise: Promise,
        record: Record,
        make: impl Fn(&Connection, &Written) -> Result<T, Trouble> + Send + 'static,
    ) -> Answer<'_, T> {
        match rows::text(&record) {
            Ok(text) => {
                let written = Written { record, text };
                self.change(promise, move |db| make(db, &written))
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(Arc::clone(&self.readers).run(query))
    }

    /// Changes in small portions, until one is not full.
    async fn in_portions(
        &self,
        make: impl Fn(&Connection, usize) -> Result<usize, Trouble> + Clone + Send + 'static,
    ) -> Result<(), JournalError> {
        loop {
            let make = make.clone();
            let made = self.change(Promise::Process, move |db| make(db, FORGOTTEN_AT_ONCE)).await?;
            if made < FORGOTTEN_AT_ONCE {
                return Ok(());
            }
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The last one to close the file, the writer, tidies it up.
        self.readers.close_idle();
    }
}

impl Journal for Sqlite {
    fn submit(&self, entry: Entry) -> Answer<'_, Submitted> {
        match rows::text(&entry.record) {
            Ok(text) => {
                let now_ms = self.clock.now();
                self.change(Promise::Disk, move |db| jobs::submit(db, &entry, &text, now_ms))
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn withdraw(&self, id: JobId) -> Answer<'_, ()> {
        self.change(Promise::Disk, move |db| jobs::withdraw(db, id))
    }

    fn bring_forward(&self, job_pause: Duration, notice_pause: Duration) -> Answer<'_, ()> {
        let now_ms = self.clock.now();
        let (jobs, notices) = (self.clock.after(job_pause), self.clock.after(notice_pause));
        self.change(Promise::Process, move |db| {
            claims::bring_forward(db, now_ms, jobs)?;
            notices::bring_forward(db, now_ms, notices)
        })
    }

    fn release(&self, id: JobId) {
        drop(self.writer.change(Promise::Silent, move |db| jobs::release(db, id)));
    }

    fn claim(&self, room: Room, lease: Duration) -> Answer<'_, Claimed> {
        let turns = Arc::clone(&self.turns);
        let (now_ms, lease_until_ms) = (self.clock.now(), self.clock.after(lease));
        let found = self.change(Promise::Process, move |db| turns.claim(db, &room, now_ms, lease_until_ms));
        Box::pin(async move {
            let Found { taken, full, next_due_ms } = found.await?;
            let (claims, held) = handed_out(taken, |id, attempt, why| self.hold(id, attempt, why));
            let next_due = next_due_ms.map(|due| self.clock.until(due));
            Ok(Claimed { full, claims, held, next_due })
        })
    }

    fn heartbeat(&self, attempts: Vec<(JobId, u32)>, lease: Duration) -> Answer<'_, Vec<(JobId, u32)>> {
        if attempts.is_empty() {
            return Box::pin(ready(Ok(attempts)));
        }
        let lease_until_ms = self.clock.after(lease);
        // Nobody else is there to take one over.
        self.change(Promise::Process, move |db| {
            jobs::heartbeat(db, &attempts, lease_until_ms).map(|()| attempts.clone())
        })
    }

    fn plan(&self, record: Record, order: String, cost: u64) -> Answer<'_, ()> {
        self.write(Promise::Process, record, move |db, written| jobs::plan(db, written, &order, cost))
    }

    fn save(&self, record: Record) -> Answer<'_, ()> {
        self.write(Promise::Disk, record, jobs::save)
    }

    fn end(&self, record: Record, outcome: Ending) -> Answer<'_, ()> {
        match outcome {
            Ending::Ended(notice) => {
                self.write(Promise::Disk, record, move |db, written| jobs::end(db, written, notice.as_ref()))
            }
            Ending::Again(pause) => {
                let due_at_ms = self.clock.after(pause);
                self.write(Promise::Disk, record, move |db, written| jobs::again(db, written, due_at_ms))
            }
        }
    }

    fn give_back(&self, attempts: Vec<(JobId, u32)>) -> Answer<'_, ()> {
        self.change(Promise::Process, move |db| jobs::give_back(db, &attempts))
    }

    fn put_off(&self, attempts: Vec<(JobId, u32)>, pause: Duration) -> Answer<'_, ()> {
        let due_at_ms = self.clock.after(pause);
        self.change(Promise::Process, move |db| jobs::put_off(db, &attempts, due_at_ms))
    }

    fn hold(&self, id: JobId, attempt: u32, why: String) {
        tracing::warn!(job = %id, "left in the journal for a program that can read it: {why}");
        let reader = Arc::clone(&self.reader);
        drop(self.writer.change(Promise::Silent, move |db| jobs::hold(db, (id, attempt), &reader, &why)));
    }

    fn cancel(&self, record: Record, notice: Option<Notice>) -> Answer<'_, bool> {
        self.write(Promise::Disk, record, move |db, written| jobs::cancel(db, written, notice.as_ref()))
    }

    fn replay(&self, record: Record) -> Answer<'_, bool> {
        self.write(Promise::Disk, record, jobs::replay)
    }

    fn order(&self, id: JobId) -> Answer<'_, Option<String>> {
        self.read(move |db| read::order(db, id))
    }

    fn get(&self, id: JobId) -> Answer<'_, Option<Record>> {
        let row = self.read(move |db| read::job(db, id));
        Box::pin(async move { row.await?.map(Row::record).transpose() })
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Record>> {
        let rows = self.read(move |db| read::list(db, &filter));
        Box::pin(async move { Ok(rows.await?.into_iter().filter_map(|row| logged(row.record())).collect()) })
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.read(read::counts)
    }

    fn receipt(&self, client: &Client, key: &str) -> Answer<'_, Option<Receipt>> {
        let (client, key) = (client.to_string(), key.to_owned());
        self.read(move |db| jobs::receipt(db, &client, &key))
    }

    fn prune(&self, keep: usize, key_age: Duration) -> Answer<'_, ()> {
        let keys_before_ms = self.clock.now().saturating_sub(ms(key_age));
        Box::pin(async move {
            if let Some(kept) = self.read(move |db| read::kept(db, keep)).await? {
                self.in_portions(move |db, count| jobs::forget(db, kept, count)).await?;
            }
            self.in_portions(move |db, count| jobs::forget_keys(db, keys_before_ms, count)).await
        })
    }

    fn claim_notices(
        &self,
        room: Room,
        lease: Duration,
    ) -> Answer<'_, (Vec<ClaimedNotice>, Option<Duration>)> {
        let (now_ms, lease_until_ms) = (self.clock.now(), self.clock.after(lease));
        let claimed =
            self.change(Promise::Process, move |db| notices::claim(db, &room, now_ms, lease_until_ms));
        Box::pin(async move {
            let (claimed, next) = claimed.await?;
            Ok((claimed, next.map(|due| self.clock.until(due))))
        })
    }

    fn end_notice(&self, id: String, attempt: u32, delivery: Delivery) -> Answer<'_, ()> {
        let again_at_ms = match delivery {
            Delivery::Delivered => None,
            Delivery::Again(pause) => Some(self.clock.after(pause)),
            Delivery::GivenUp => Some(NEVER_MS),
        };
        // After a power cut it is sent once more, with the same id.
        self.change(Promise::Process, move |db| notices::end(db, &id, attempt, again_at_ms))
    }

    fn put_off_notices(&self, claims: Vec<(String, u32)>, pause: Duration) -> Answer<'_, ()> {
        let due_at_ms = self.clock.after(pause);
        self.change(Promise::Process, move |db| notices::put_off(db, &claims, due_at_ms))
    }

    fn notice(&self, job: JobId) -> Answer<'_, Option<Undelivered>> {
        self.read(move |db| notices::of_job(db, job))
    }

    fn health(&self) -> Health {
        self.writer.health()
    }
}

fn logged(record: Result<Record, JournalError>) -> Option<Record> {
    record.inspect_err(|error| tracing::error!("{error}")).ok()
}
