//! Results of direct calls, kept in a directory by what made them, and what is known of their sources. The directory is bounded in size
//! and age, and what has not been used for longest goes first; the latest of it is in memory too. Nothing of it is needed: what is
//! damaged, cannot be written or is gone is made again. Who may have what, and what makes a result, is others' to say.
//!
//! # Layout
//! - this file: what is kept is found, kept, and removed
//! - `keeper`: the thread that writes and removes files
//! - `key`, `entry`: by what entries are found, and what they are
//! - `file`: an entry as the bytes of a file, of every version; `folder`: the directory
//! - `lru`: what was used last

#![forbid(unsafe_code)]

mod entry;
mod file;
mod folder;
mod keeper;
mod key;
mod lru;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use imgserve_base::job::now_ms;
use imgserve_base::units::MIB;

use self::folder::Folder;
use self::keeper::{Keeper, Order};
use self::lru::Lru;

pub use self::entry::{Entry, KeptResult, KnownSource, What};
pub use self::key::{Digest, Key};

/// A larger result is on disk alone, in bytes: who reads it has a place to hold it.
pub const MOST_IN_MEMORY: usize = MIB as usize;
/// One of the entries in memory has this part of it at most.
const SHARE: u64 = 8;
/// What an entry takes in memory besides its bytes.
const BESIDES: u64 = 1 << 10;
/// What files take of a disk is a multiple of this.
const BLOCK: u64 = 4 << 10;
/// Orders that wait for the thread that writes, and their bytes, at most: more is not kept.
const MOST_ORDERS: usize = 1024;
const MOST_WAITING: u64 = 64 * MIB;
/// So many entries are looked at before others may have their turn.
const AT_ONCE: usize = 4096;

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory cannot be used.
    #[error("[cache] dir: {} cannot be used: {text}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// Another process has it.
    #[error("[cache] dir: {} is another imgserve's: each has a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// What a cache is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its directory.
    pub dir: PathBuf,
    /// What its files may take, in bytes.
    pub max_bytes: u64,
    /// For how long an entry is kept.
    pub max_age: Duration,
    /// What is kept in memory as well, in bytes.
    pub memory_bytes: u64,
}

/// The cache. Its thread ends with it, when all is written that was to be.
#[derive(Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// How the cache is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries on disk.
    pub entries: usize,
    /// What their files take, in bytes.
    pub bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
    /// Bytes of entries in memory.
    pub memory_bytes: u64,
    /// Entries that were removed to make room, since the start.
    pub evicted: u64,
    /// Entries that were not as they were written.
    pub damaged: u64,
    /// Entries that were not written: the disk is full, or slower than they come.
    pub unwritten: u64,
    /// Whether the last one could not be written.
    pub unwritable: bool,
}

/// A result as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// By what it is found.
    pub key: Key,
    /// Without its bytes.
    pub result: KeptResult,
    /// How many it has.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
}

/// What is known of a file without looking at it.
#[derive(Clone, Copy, Debug)]
struct Filed {
    made_ms: u64,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    settings: Settings,
    files: Mutex<Lru<Key, Filed>>,
    memory: Mutex<Lru<Key, Arc<Entry>>>,
    /// Whether all that lay in the directory at the start is known.
    is_known: AtomicBool,
    /// Bytes that wait to be written.
    waiting: AtomicU64,
    evicted: AtomicU64,
    damaged: AtomicU64,
    unwritten: AtomicU64,
    unwritable: AtomicBool,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a file of so many bytes takes of a disk.
fn on_disk(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// Whether a directory can be a cache's, as far as shows without taking it.
///
/// # Errors
/// [`CacheError::Unusable`].
pub fn check(dir: &Path) -> Result<(), CacheError> {
    folder::check(dir)
}

impl Cache {
    /// Opens the directory, and sets a thread going that looks at what lies there and keeps it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(settings: Settings) -> Result<Arc<Self>, CacheError> {
        let folder = Folder::open(&settings.dir)?;
        let shared = Arc::new(Shared {
            folder,
            settings,
            files: Mutex::default(),
            memory: Mutex::default(),
            is_known: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            unwritable: AtomicBool::new(false),
        });
        let (orders, taken) = sync_channel(MOST_ORDERS);
        let keeper = Keeper::new(Arc::clone(&shared), taken);
        let started = std::thread::Builder::new().name("cache".to_owned()).spawn(|| keeper.run());
        let thread = started.map_err(|error| CacheError::Unusable {
            path: shared.settings.dir.clone(),
            text: format!("no thread can be had: {error}"),
        })?;
        Ok(Arc::new(Self { shared, orders, thread: Some(thread) }))
    }

    /// An entry that is in memory.
    pub fn at_hand(&self, key: &Key) -> Option<Arc<Entry>> {
        let entry = lock(&self.shared.memory).used(key).cloned()?;
        if self.shared.is_over(entry.made_ms) {
            self.forget(key);
            return None;
        }
        lock(&self.shared.files).used(key);
        Some(entry)
    }

    /// Whether there may be a file of this entry: whether [`Self::read`] is worth it.
    pub fn may_have(&self, key: &Key) -> bool {
        !self.shared.is_known.load(Ordering::Acquire) || lock(&self.shared.files).peek(key).is_some()
    }

    /// An entry that is in memory or on disk, where it is read; this blocks.
    pub fn read(&self, key: &Key) -> Option<Arc<Entry>> {
        if let Some(entry) = self.at_hand(key) {
            return Some(entry);
        }
        if !self.may_have(key) {
            return None;
        }
        let entry = match file::read(key, self.shared.folder.read(key).ok()?) {
            Ok(entry) if !self.shared.is_over(entry.made_ms) => Arc::new(entry),
            Ok(_) => {
                self.forget(key);
                return None;
            }
            Err(file::Damaged) => {
                self.shared.damaged.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("[cache] dir: an entry is damaged, and made anew: {key}");
                self.forget(key);
                return None;
            }
        };
        lock(&self.shared.files).used(key);
        self.remember(key, &entry);
        // Whoever has no time for it has forgotten no more than the order of use.
        let _ = self.orders.try_send(Order::Used(*key));
        Some(entry)
    }

    /// Keeps an entry: in memory from now on, on disk as soon as it is written. False for one that is too large to be kept.
    pub fn keep(&self, key: Key, mut what: What) -> bool {
        if let What::Result(result) = &mut what
            && result.bytes.len() <= MOST_IN_MEMORY
        {
            // They may be a part of something larger.
            result.bytes = Bytes::copy_from_slice(&result.bytes);
        }
        let entry = Arc::new(Entry { made_ms: now_ms(), what });
        let bytes = entry.body().len() as u64 + BESIDES;
        if on_disk(bytes) > self.shared.settings.max_bytes {
            return false;
        }
        self.remember(&key, &entry);
        let before = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before > MOST_WAITING || self.orders.try_send(Order::Write(key, entry, bytes)).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Has an entry in memory, as far as there is room for it, and does not write it.
    pub fn remember(&self, key: &Key, entry: &Arc<Entry>) {
        let bytes = entry.body().len() as u64 + BESIDES;
        let room = self.shared.settings.memory_bytes;
        if bytes > room / SHARE || entry.body().len() > MOST_IN_MEMORY {
            lock(&self.shared.memory).remove(key);
            return;
        }
        let mut memory = lock(&self.shared.memory);
        memory.put(*key, Arc::clone(entry), bytes);
        while memory.cost() > room {
            memory.pop();
        }
    }

    /// Removes an entry.
    pub fn forget(&self, key: &Key) {
        lock(&self.shared.memory).remove(key);
        lock(&self.shared.files).remove(key);
        // The file of one that is not written off here is found by the next start, and is as good as any.
        let _ = self.orders.try_send(Order::Remove(*key));
    }

    /// Removes all results of sources that this one has or had, and what is known of it; returns how many results. Blocks.
    pub fn purge_source(&self, url: &Digest) -> usize {
        self.settle();
        let key = Key::source(url);
        let known = self.read(&key);
        let Some(source) = known.as_ref().and_then(|entry| entry.source()) else { return 0 };
        let mut digests = source.earlier.clone();
        digests.push(source.digest);
        self.shared.remove(&key);
        self.purge(|key| key.made_of().is_some_and(|digest| digests.contains(digest)))
    }

    /// Removes everything; returns how many results that were. Blocks.
    pub fn purge_all(&self) -> usize {
        self.settle();
        self.purge(|_| true)
    }

    /// Removes the entries that `is_meant`; returns how many results.
    fn purge(&self, is_meant: impl Fn(&Key) -> bool) -> usize {
        let meant = self.shared.all(|key, _| is_meant(key));
        meant.iter().for_each(|key| self.shared.remove(key));
        meant.iter().filter(|key| !key.is_source()).count()
    }

    /// The results that were used last, up to `most` of them. Blocks.
    pub fn list(&self, most: usize) -> Vec<Listed> {
        let keys: Vec<Key> = {
            let files = lock(&self.shared.files);
            files.newest().map(|(key, _)| *key).filter(|key| !key.is_source()).take(most).collect()
        };
        keys.into_iter().filter_map(|key| self.listed(key)).collect()
    }

    fn listed(&self, key: Key) -> Option<Listed> {
        let (entry, bytes) = file::peek(&key, &self.shared.folder.beginning(&key).ok()?).ok()?;
        Some(Listed { key, result: entry.result()?.clone(), bytes: bytes as u64, made_ms: entry.made_ms })
    }

    /// How it is doing.
    pub fn figures(&self) -> Figures {
        let shared = &self.shared;
        let (entries, bytes) = {
            let files = lock(&shared.files);
            (files.len(), files.cost())
        };
        Figures {
            entries,
            bytes,
            max_bytes: shared.settings.max_bytes,
            memory_bytes: lock(&shared.memory).cost(),
            evicted: shared.evicted.load(Ordering::Relaxed),
            damaged: shared.damaged.load(Ordering::Relaxed),
            unwritten: shared.unwritten.load(Ordering::Relaxed),
            unwritable: shared.unwritable.load(Ordering::Relaxed),
        }
    }

    /// Waits until all is written and removed that was to be. Blocks.
    pub fn settle(&self) {
        let (done, is_done) = sync_channel(1);
        if self.orders.send(Order::Tell(done)).is_ok() {
            // It has ended otherwise, and nothing is written any more.
            let _ = is_done.recv();
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// Whether what was made then is too old.
    fn is_over(&self, made_ms: u64) -> bool {
        now_ms().saturating_sub(made_ms) > self.settings.max_age.as_millis() as u64
    }

    /// The entries on disk and in memory that `is_meant`, by when they were made.
    fn all(&self, is_meant: impl Fn(&Key, u64) -> bool) -> Vec<Key> {
        let mut meant = Vec::new();
        for from in (0..).step_by(AT_ONCE) {
            let files = lock(&self.files);
            let Some(some) = files.some(from, AT_ONCE) else { break };
            meant.extend(some.filter(|(key, filed)| is_meant(key, filed.made_ms)).map(|(key, _)| *key));
        }
        for from in (0..).step_by(AT_ONCE) {
            let memory = lock(&self.memory);
            let Some(some) = memory.some(from, AT_ONCE) else { break };
            meant.extend(some.filter(|(key, entry)| is_meant(key, entry.made_ms)).map(|(key, _)| *key));
        }
        meant.sort_unstable();
        meant.dedup();
        meant
    }

    /// Removes an entry with its file; blocks.
    fn remove(&self, key: &Key) {
        lock(&self.memory).remove(key);
        lock(&self.files).remove(key);
        self.folder.remove(key);
    }
}
