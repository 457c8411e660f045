//! The thread that looks at what a start finds, writes entries and removes them: nobody who answers a client waits for a disk. It is one,
//! so that no two do anything to the same file.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::key::Key;
use super::{Filed, Shared, file, lock, on_disk};

/// How often what is too old is looked for.
const ROUND: Duration = Duration::from_secs(60);
/// Of so many entries it is noted then that they are used.
const NOTED: usize = 1000;
/// How long nothing is written where something could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub(super) enum Order {
    /// Write this entry, counted as so many bytes that wait.
    Write(Key, Arc<Entry>, u64),
    /// Remove the file of one.
    Remove(Key),
    /// One was used that is not in memory.
    Used(Key),
    /// Say that all before it is done.
    Tell(SyncSender<()>),
    /// That was all.
    End,
}

/// The thread.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// When something could last not be written.
    failed: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, orders: Receiver<Order>) -> Self {
        Self { shared, orders, failed: None }
    }

    /// Goes on until the cache is gone.
    pub(super) fn run(mut self) {
        self.take_in();
        let mut round = Instant::now();
        loop {
            match self.orders.recv_timeout(ROUND.saturating_sub(round.elapsed())) {
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return self.note_uses(),
                Ok(order) => self.follow(order),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if round.elapsed() >= ROUND {
                self.keep_house();
                self.note_uses();
                round = Instant::now();
            }
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Write(key, entry, bytes) => {
                self.write(&key, &entry);
                self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            }
            Order::Remove(key) => {
                // It may have been made anew meanwhile.
                if lock(&self.shared.files).peek(&key).is_none() {
                    self.shared.folder.remove(&key);
                }
            }
            Order::Used(key) => self.shared.folder.used(&key),
            Order::Tell(done) => {
                let _ = done.send(());
            }
            Order::End => {}
        }
    }

    /// Takes in what lies in the directory, in the order of its use.
    fn take_in(&self) {
        let mut lies = self.shared.folder.look();
        if lies.later > 0 {
            tracing::warn!("[cache] dir: {} files of a later imgserve's are left as they are", lies.later);
        }
        lies.entries.sort_unstable_by_key(|found| found.used_ms);
        for some in lies.entries.chunks(super::AT_ONCE) {
            let mut files = lock(&self.shared.files);
            for found in some {
                files.put(found.key, Filed { made_ms: found.made_ms }, on_disk(found.bytes));
            }
        }
        self.shared.is_known.store(true, Ordering::Release);
        self.keep_house();
    }

    /// Removes what is too old or too much.
    fn keep_house(&self) {
        for key in self.shared.all(|_, made_ms| self.shared.is_over(made_ms)) {
            self.shared.remove(&key);
        }
        self.make_room();
    }

    /// Notes on disk of what was used last of what is in memory that it was: its files were not read for that.
    fn note_uses(&self) {
        let keys: Vec<Key> = lock(&self.shared.memory).newest().map(|(key, _)| *key).take(NOTED).collect();
        keys.iter().rev().for_each(|key| self.shared.folder.used(key));
    }

    fn make_room(&self) {
        loop {
            let popped = {
                let mut files = lock(&self.shared.files);
                if files.cost() <= self.shared.settings.max_bytes {
                    return;
                }
                files.pop()
            };
            let Some((key, _)) = popped else { return };
            lock(&self.shared.memory).remove(&key);
            self.shared.folder.remove(&key);
            self.shared.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&mut self, key: &Key, entry: &Entry) {
        if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            self.shared.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match self.shared.folder.write(key, &file::head(key, entry), entry.body()) {
            Ok(bytes) => {
                lock(&self.shared.files).put(*key, Filed { made_ms: entry.made_ms }, on_disk(bytes));
                if self.failed.take().is_some() {
                    self.shared.unwritable.store(false, Ordering::Relaxed);
                    tracing::info!("[cache] dir: results are kept again");
                }
                self.make_room();
            }
            Err(error) => {
                self.shared.unwritten.fetch_add(1, Ordering::Relaxed);
                if self.failed.replace(Instant::now()).is_none() {
                    self.shared.unwritable.store(true, Ordering::Relaxed);
                    tracing::warn!(
                        "[cache] dir: results are not kept at present, and answered all the same: {error}"
                    );
                }
            }
        }
    }
}
