//! By which file a server is known among those that share a database: it holds the node's id, and its lock is the process's that
//! is the node. So whoever has it knows that its predecessor has ended, and that what that one had claimed is free.
#![allow(clippy::disallowed_methods, reason = "a journal is opened once, on a thread that may block")]

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use imgserve_base::lock::Lock;
use uuid::Uuid;

use super::change::Sql;
use super::rows::integer;
use super::value::values;
use crate::store::{JournalError, Presence};

/// How often what has changed is summed up.
const SUM_UP: Duration = Duration::from_secs(1);

/// The node that this process is.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: Uuid,
    /// What it calls itself.
    pub(super) name: String,
    /// How it is doing.
    pub(super) presence: Mutex<Presence>,
    /// How many others were there when it was last looked.
    pub(super) others: AtomicUsize,
    /// When it last summed up what has changed.
    summed_up: Mutex<Option<Instant>>,
    _lock: Lock,
}

impl Node {
    /// Takes the file, and makes it where there is none.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where another process is that node; [`JournalError::Open`] where the file cannot be had.
    pub(super) fn take(path: &Path, name: &str, journal: &str) -> Result<Self, JournalError> {
        let file = path.display();
        let cannot = |error: io::Error| JournalError::Open {
            journal: journal.to_owned(),
            text: format!("[jobs] node_file {file}: {error}"),
        };
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(cannot)?;
        }
        let mut lock = Lock::take(path).map_err(cannot)?.ok_or_else(|| JournalError::InUse {
            journal: format!("{journal} as the node of {file} ([jobs] node_file)"),
        })?;
        let id = id(lock.file()).map_err(cannot)?;
        let name = if name.is_empty() { id.to_string() } else { name.to_owned() };
        Ok(Self {
            id,
            name,
            presence: Mutex::default(),
            others: AtomicUsize::new(0),
            summed_up: Mutex::default(),
            _lock: lock,
        })
    }

    /// Whether it is time that what has changed is summed up, which is noted as done.
    pub(super) fn sums_up(&self) -> bool {
        let mut last = self.summed_up.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| last.elapsed() >= SUM_UP);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }

    /// Writes down that this node has come.
    pub(super) fn comes(&self) -> Sql {
        self.told(
            "INSERT INTO imgserve_nodes (id, name, version, began_at_ms, seen_at_ms, has_ended, workers, running) \
             VALUES ($1, $2, $3, imgserve_now_ms(), imgserve_now_ms(), false, $4, $5) ON CONFLICT (id) DO UPDATE \
             SET name = excluded.name, version = excluded.version, began_at_ms = excluded.began_at_ms, \
             seen_at_ms = excluded.seen_at_ms, has_ended = false, workers = excluded.workers, running = excluded.running",
        )
    }

    /// Writes down that this node is there, and how it is doing; which shows that the database can be written.
    pub(super) fn is_there(&self) -> Sql {
        self.told(
            "INSERT INTO imgserve_nodes (id, name, version, began_at_ms, seen_at_ms, has_ended, workers, running) \
             VALUES ($1, $2, $3, imgserve_now_ms(), imgserve_now_ms(), false, $4, $5) ON CONFLICT (id) DO UPDATE \
             SET seen_at_ms = excluded.seen_at_ms, has_ended = false, workers = excluded.workers, running = excluded.running",
        )
    }

    /// Writes down that this node has ended.
    pub(super) fn ends(&self) -> Sql {
        let sql = "UPDATE imgserve_nodes SET seen_at_ms = imgserve_now_ms(), has_ended = true, workers = 0, running = 0 \
                   WHERE id = $1";
        Sql::new(sql, values![self.id])
    }

    fn told(&self, sql: &'static str) -> Sql {
        let Presence { workers, running } = *self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let version = env!("CARGO_PKG_VERSION");
        let (workers, running) = (integer(workers as u64), integer(running as u64));
        Sql::new(sql, values![self.id, self.name.clone(), version, workers, running])
    }
}

/// The id that the file holds; a new one where it holds none.
fn id(file: &mut File) -> io::Result<Uuid> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text)?;
    if text.is_empty() {
        let id = Uuid::now_v7();
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        return Ok(id);
    }
    Uuid::parse_str(text.trim_end()).map_err(|_| io::Error::other("it holds no node's id: remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stays_the_same_and_is_one_process_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/node");
        let node = Node::take(&path, "a", "postgresql://db").unwrap();
        let second = Node::take(&path, "a", "postgresql://db").unwrap_err();
        assert!(matches!(second, JournalError::InUse { .. }), "{second}");
        assert!(second.to_string().contains("node_file"), "{second}");
        let id = node.id;
        drop(node);
        let again = Node::take(&path, "a", "postgresql://db").unwrap();
        assert_eq!(again.id, id);
        drop(again);
        std::fs::write(&path, "something else").unwrap();
        let strange = Node::take(&path, "a", "postgresql://db").unwrap_err().to_string();
        assert!(strange.contains("remove it"), "{strange}");
    }
}
