//! By which file a server is known among those that share a database: it holds the node's id, and its lock is the process's that
//! is the node. So whoever has it knows that its predecessor has ended, and that what that one had claimed is free.
#![allow(clippy::disallowed_methods, reason = "a journal is opened once, on a thread that may block")]

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

use crate::store::JournalError;

/// A node that this process is.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: Uuid,
    _lock: File,
}

impl Node {
    /// Takes the file, and makes it where there is none.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where another process is that node; [`JournalError::Open`] where the file cannot be had.
    pub(super) fn take(path: &Path, journal: &str) -> Result<Self, JournalError> {
        let file = path.display();
        let cannot = |error: io::Error| JournalError::Open {
            journal: journal.to_owned(),
            text: format!("[jobs] node_file {file}: {error}"),
        };
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(cannot)?;
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::InUse {
                    journal: format!("{journal} as the node of {file} ([jobs] node_file)"),
                });
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let id = id(&mut lock).map_err(cannot)?;
        Ok(Self { id, _lock: lock })
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
        let node = Node::take(&path, "postgresql://db").unwrap();
        let second = Node::take(&path, "postgresql://db").unwrap_err();
        assert!(matches!(second, JournalError::InUse { .. }), "{second}");
        assert!(second.to_string().contains("node_file"), "{second}");
        let id = node.id;
        drop(node);
        assert_eq!(Node::take(&path, "postgresql://db").unwrap().id, id);
        std::fs::write(&path, "something else").unwrap();
        let strange = Node::take(&path, "postgresql://db").unwrap_err().to_string();
        assert!(strange.contains("remove it"), "{strange}");
    }
}
