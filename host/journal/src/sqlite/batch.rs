//! Group commit: several changes, one transaction, one sync. A change that is refused leaves the others alone; a
//! transaction that fails fails for all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::crash;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};

use super::change::{Change, Promise};
use super::trouble::verdict;
use crate::pulse::Pulse;
use crate::store::JournalError;

/// Most changes of one transaction: its time is what the first of them waits.
const MOST: usize = 512;

/// After so many rows the log is written back to the journal. Its pages are then written over, which syncs faster than a
/// file that grows.
const WRITE_BACK_ROWS: u64 = 2000;

/// When a change that nobody waits for is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Makes changes, many at a time.
#[derive(Debug)]
pub(super) struct Batches {
    db: Connection,
    place: String,
    pulse: Arc<Pulse>,
    /// Whether a commit waits for the disk, as SQLite is set now.
    syncs: bool,
    rows_written_back: u64,
    /// Changes that nobody waits for and that could not be made.
    kept: Vec<Change>,
    /// Whether the last transaction failed; told once.
    failing: bool,
}

impl Batches {
    pub(super) fn new(db: Connection, path: &Path, pulse: Arc<Pulse>) -> Self {
        let rows_written_back = db.total_changes();
        let place = path.display().to_string();
        Self { db, place, pulse, syncs: true, rows_written_back, kept: Vec::new(), failing: false }
    }

    /// When to go on although no change comes: nobody posts jobs where it is known that none are taken.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        (self.failing && self.pulse.broken().is_none()).then_some(RETRY)
    }

    /// Makes what waits, up to a limit, and answers; how many changes it were.
    pub(super) fn make(&mut self, waiting: impl Iterator<Item = Change>) -> usize {
        let mut batch = std::mem::take(&mut self.kept);
        batch.extend(waiting.take(MOST));
        let count = batch.len();
        if let Some(error) = self.pulse.broken() {
            batch.into_iter().for_each(|change| change.work.answer(Some(error.clone())));
            return count;
        }
        let began = Instant::now();
        let rows = self.db.total_changes();
        match self.transact(&mut batch) {
            Ok(()) => {
                if self.db.total_changes() != rows {
                    self.pulse.committed(count, began.elapsed());
                }
                self.succeeded();
                batch.into_iter().for_each(|change| change.work.answer(None));
                self.write_back();
            }
            Err(error) => self.failed(batch, &error),
        }
        count
    }

    fn transact(&mut self, batch: &mut [Change]) -> rusqlite::Result<()> {
        self.sync(batch.iter().any(|change| change.promise == Promise::Disk))?;
        self.run("BEGIN IMMEDIATE")?;
        for change in batch {
            self.run("SAVEPOINT change")?;
            if let Err(trouble) = change.work.apply(&self.db) {
                change.work.refuse(trouble.own()?);
                self.run("ROLLBACK TO change")?;
            }
            self.run("RELEASE change")?;
        }
        if self.failing {
            self.prove()?;
        }
        if self.syncs {
            crash::point("journal-before-commit");
        }
        self.fail_if_told()?;
        self.run("COMMIT")?;
        if self.syncs {
            crash::point("journal-after-commit");
        }
        Ok(())
    }

    /// Writes what is there already: a transaction that changes nothing would say nothing of the disk.
    fn prove(&self) -> rusqlite::Result<()> {
        let version: i64 = self.db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        self.db.pragma_update(None, "user_version", version)
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Changes that promise nothing of the disk (claims, leases) do not wait for it: they are in the log, which outlives
    /// this process, and what a power cut takes of the log is its end. A job is then claimable again, as if its
    /// attempt had not begun. The next commit that waits for the disk syncs the whole log, these included (SQLite,
    /// "PRAGMA synchronous").
    fn sync(&mut self, syncs: bool) -> rusqlite::Result<()> {
        if self.syncs != syncs {
            // It takes effect when it is prepared: a cached statement would do it once.
            let level = if syncs { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.db.execute_batch(level)?;
            self.syncs = syncs;
        }
        Ok(())
    }

    fn fail_if_told(&self) -> rusqlite::Result<()> {
        let code = if crash::fails("journal-full", &self.place) {
            ffi::SQLITE_FULL
        } else if crash::fails("journal-read-only", &self.place) {
            ffi::SQLITE_READONLY
        } else if self.syncs && crash::fails("journal-fsync", &self.place) {
            ffi::SQLITE_IOERR_FSYNC
        } else {
            return Ok(());
        };
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.pulse.unwritable(None);
            tracing::info!("the journal can be written again");
        }
    }

    fn failed(&mut self, batch: Vec<Change>, error: &rusqlite::Error) {
        let mut error = verdict(error);
        if !self.db.is_autocommit()
            && let Err(rollback) = self.db.execute_batch("ROLLBACK")
        {
            error = JournalError::Broken { text: rollback.to_string() };
        }
        self.tell(&error);
        for change in batch {
            match (&error, change.promise) {
                (JournalError::Unwritable { .. }, Promise::Silent) => self.kept.push(change),
                _ => change.work.answer(Some(error.clone())),
            }
        }
    }

    fn tell(&mut self, error: &JournalError) {
        match error {
            JournalError::Broken { text } => {
                self.pulse.give_up(text);
                // Closing must not write either.
                if let Err(error) = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                    tracing::error!("{error}");
                }
                tracing::error!("{error}");
            }
            _ if self.failing => {}
            _ => {
                self.failing = true;
                self.pulse.unwritable(Some(error.to_string()));
                tracing::error!("{error}; trying again");
            }
        }
    }

    /// SQLite would do this by itself, but tell nobody of a sync that failed.
    fn write_back(&mut self) {
        let rows = self.db.total_changes();
        if rows - self.rows_written_back < WRITE_BACK_ROWS {
            return;
        }
        self.rows_written_back = rows;
        // Readers go on meanwhile: what they still need stays in the log for the next time.
        if let Err(error) = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            self.tell(&verdict(&error));
        }
    }
}
