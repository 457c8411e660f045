//! The durable job store: what is asked of it, whatever keeps it. What is in a job's order is none of its business, and
//! which state may follow which is `job`'s to say.
//!
//! # Layout
//! - `store`: the trait, and what goes in and out
//! - `story`: a job's story as text, of every version
//! - `sqlite`: the store in a file
//!
//! A claim carries its attempt's number, and what a stale attempt says is refused. Every answer comes after the change
//! is on disk (`fsync`), except for those that promise nothing but that the process may die: claims, plans, leases, what is
//! given back, webhooks' ends, and what is forgotten.

#![forbid(unsafe_code)]

mod sqlite;
mod store;
mod story;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use store::{
    Answer, COMMIT_BOUNDS, Claim, Claimed, ClaimedNotice, Counts, Ending, Entry, Filter, Health,
    IdempotencyKey, Journal, JournalError, NEVER_MS, Notice, Receipt, Room, Submitted, Undelivered, rank,
};

use sqlite::Sqlite;

/// Whether this process could open the store at `address`. Nothing is made or changed; that another server has it is no error.
/// Not for the process that has it open. Blocks.
///
/// # Errors
/// As of [`open`], but for [`JournalError::InUse`].
pub fn check(address: &str) -> Result<(), JournalError> {
    match address.split_once("://") {
        Some((scheme, _)) => Err(JournalError::Address { scheme: scheme.to_owned() }),
        None => sqlite::check::check(Path::new(address)),
    }
}

/// The file that the server holds open which has the store at `address`; none where no server has it, as far as this process
/// can see. Blocks.
pub fn held(address: &str) -> Option<PathBuf> {
    match address.split_once("://") {
        Some(_) => None,
        None => sqlite::check::held(Path::new(address)),
    }
}

/// Opens the store at `address`, the path of a file; it is made where there is none. Blocks. What a predecessor had claimed is
/// claimable again, and so is what a program could not read that does not call itself `reader`.
///
/// # Errors
/// [`JournalError::Address`], [`JournalError::InUse`] where another server has it, [`JournalError::TooNew`],
/// [`JournalError::Open`].
pub fn open(address: &str, reader: &str) -> Result<Arc<dyn Journal>, JournalError> {
    match address.split_once("://") {
        Some((scheme, _)) => Err(JournalError::Address { scheme: scheme.to_owned() }),
        None => Ok(Arc::new(Sqlite::open(Path::new(address), reader)?)),
    }
}
