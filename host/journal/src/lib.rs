//! The durable job store: what is asked of it, whatever keeps it. What is in a job's order is none of its business, and
//! which state may follow which is `job`'s to say.
//!
//! # Layout
//! - `store`: the trait, and what goes in and out
//! - `story`: a job's story as text, of every version
//! - `turns`, `clock`, `gather`, `pulse`, `rows`: what stores have alike: whose job is next, what time it is, when to write, how the
//!   writer is doing, jobs as rows
//! - `copy`: all of one store into another
//! - `sqlite`: the store in a file
//! - `postgres`: the store in a database, which many nodes may share
//!
//! A claim carries its attempt's number, and what a stale attempt says is refused. Every answer comes after the change
//! is on disk (`fsync`), except for those of a file that promise nothing but that the process may die: claims, plans, leases,
//! what is given back, webhooks' ends, and what is forgotten.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::duplicate_mod, reason = "the suite is there once for each store"))]

mod clock;
mod copy;
mod gather;
mod postgres;
mod pulse;
mod rows;
mod sqlite;
mod store;
mod story;
#[cfg(test)]
mod tests;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use store::{
    Answer, COMMIT_BOUNDS, Claim, Claimed, ClaimedNotice, Counts, Delivery, Ending, Entry, Filter, Health,
    IdempotencyKey, Journal, JournalError, Look, News, NodeSeen, Notice, Presence, Receipt, Room, Shared,
    Submitted, Undelivered, rank,
};

use clock::Clock;
pub use copy::{Copied, copy};
use imgserve_base::database::is_database;
use postgres::Postgres;
pub use postgres::{Database, HEAD_START};
use sqlite::Sqlite;

/// Which store, and who opens it.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The path of a file, or how to reach a database.
    pub address: String,
    /// What this program calls itself where it cannot read a job.
    pub reader: String,
    /// What matters where the address is a database's.
    pub database: Database,
}

/// Whether this process could open the store. Nothing is made or changed; that another server has it is no error. Not for the
/// process that has it open. Blocks.
///
/// # Errors
/// As of [`open`], but for [`JournalError::InUse`].
pub fn check(opening: &Opening) -> Result<(), JournalError> {
    match Place::of(&opening.address)? {
        Place::File(path) => sqlite::check::check(path),
        Place::Database => postgres::check(opening),
    }
}

/// The file that the server holds open which has the store at `address`; none where no server has it, as far as this process
/// can see, or where it is a database's. Blocks.
pub fn held(address: &str) -> Option<PathBuf> {
    match Place::of(address) {
        Ok(Place::File(path)) => sqlite::check::held(path),
        Ok(Place::Database) | Err(_) => None,
    }
}

/// Opens the store: a file is made where there is none, and in a database the tables. Blocks. What a predecessor had claimed is
/// claimable again, and so is what a program could not read that does not call itself as this one does.
///
/// # Errors
/// [`JournalError::Address`], [`JournalError::InUse`] where another server has it, [`JournalError::TooNew`],
/// [`JournalError::Open`]; [`JournalError::Unwritable`] where a database is away.
pub fn open(opening: &Opening) -> Result<Arc<dyn Journal>, JournalError> {
    let clock = Clock::default();
    match Place::of(&opening.address)? {
        Place::File(path) => Ok(Arc::new(Sqlite::open(path, &opening.reader, clock)?)),
        Place::Database => Ok(Arc::new(Postgres::open(opening, clock)?)),
    }
}

/// Makes the tables of this version in a database, and tells which version that is; a file's are its server's to make: none. Blocks.
///
/// # Errors
/// [`JournalError::Address`], [`JournalError::TooNew`], [`JournalError::Open`].
pub fn migrate(opening: &Opening) -> Result<Option<i64>, JournalError> {
    match Place::of(&opening.address)? {
        Place::File(_) => Ok(None),
        Place::Database => postgres::migrate(opening).map(Some),
    }
}

/// What an address is.
enum Place<'a> {
    File(&'a Path),
    Database,
}

impl<'a> Place<'a> {
    fn of(address: &'a str) -> Result<Self, JournalError> {
        match address.split_once("://") {
            _ if is_database(address) => Ok(Self::Database),
            Some((scheme, _)) => Err(JournalError::Address { scheme: scheme.to_owned() }),
            None => Ok(Self::File(Path::new(address))),
        }
    }
}
