//! What an endpoint of the demo holds: every version of every file, with the moment it arrived, so that a placeholder
//! can still be shown after the result has replaced it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

/// One state of a file.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) at: Instant,
    pub(super) bytes: Bytes,
}

/// Files by name; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Mutex<HashMap<String, Vec<Version>>>>);

impl Shelf {
    /// Adds a version that arrives now.
    pub(super) fn put(&self, name: &str, bytes: Bytes) {
        self.lock().entry(name.to_owned()).or_default().push(Version { at: Instant::now(), bytes });
    }

    /// What `read` finds now becomes a version, unless it is the one already known. The lock is held meanwhile, so
    /// that versions stay in their order whoever looks.
    pub(super) fn notice(&self, name: &str, read: impl FnOnce() -> Option<Vec<u8>>) {
        let mut files = self.lock();
        let Some(bytes) = read() else { return };
        let versions = files.entry(name.to_owned()).or_default();
        if versions.last().is_none_or(|last| last.bytes != bytes) {
            versions.push(Version { at: Instant::now(), bytes: bytes.into() });
        }
    }

    /// The newest version's bytes.
    pub(super) fn latest(&self, name: &str) -> Option<Bytes> {
        self.lock().get(name).and_then(|versions| versions.last()).map(|version| version.bytes.clone())
    }

    /// All versions, the oldest first.
    pub(super) fn versions(&self, name: &str) -> Vec<Version> {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// The newest version of `from` becomes the newest of `to`, as of now. False if there is no `from`.
    pub(super) fn rename(&self, from: &str, to: &str) -> bool {
        let taken = self.lock().remove(from).and_then(|mut versions| versions.pop());
        let found = taken.is_some();
        if let Some(version) = taken {
            self.put(to, version.bytes);
        }
        found
    }

    /// Forgets a file. False if there is none.
    pub(super) fn remove(&self, name: &str) -> bool {
        self.lock().remove(name).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Version>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_adds_a_version_and_looking_twice_adds_none() {
        let shelf = Shelf::default();
        shelf.put("a", Bytes::from_static(b"1"));
        shelf.put("part", Bytes::from_static(b"2"));
        assert!(shelf.rename("part", "a") && !shelf.rename("part", "a"));
        shelf.notice("a", || Some(b"2".to_vec()));
        shelf.notice("a", || None);
        shelf.notice("a", || Some(b"3".to_vec()));
        let found: Vec<_> = shelf.versions("a").into_iter().map(|version| version.bytes).collect();
        assert_eq!(found, ["1", "2", "3"]);
        assert!(shelf.remove("a") && shelf.latest("a").is_none());
    }
}
