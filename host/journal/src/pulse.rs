//! How a store's writer is doing, for whoever watches the server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::{COMMIT_BOUNDS, Health, JournalError};

/// What is known of the writer by all.
#[derive(Debug)]
pub(crate) struct Pulse(Mutex<Health>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Health { buckets: vec![0; COMMIT_BOUNDS.len() + 1], ..Health::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> Health {
        self.lock().clone()
    }

    /// A commit of so many changes took so long.
    pub(crate) fn committed(&self, changes: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut health = self.lock();
        health.commits += 1;
        health.changes += changes as u64;
        health.commit_seconds += seconds;
        let bucket = COMMIT_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(COMMIT_BOUNDS.len());
        if let Some(count) = health.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Nothing is written any more; the first reason stands.
    pub(crate) fn give_up(&self, text: &str) {
        self.lock().broken.get_or_insert_with(|| text.to_owned());
    }

    /// Why the last transaction failed, if it did.
    pub(crate) fn unwritable(&self, text: Option<String>) {
        self.lock().unwritable = text;
    }

    pub(crate) fn broken(&self) -> Option<JournalError> {
        self.lock().broken.clone().map(|text| JournalError::Broken { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_in_the_bucket_of_its_time() {
        let pulse = Pulse::new();
        pulse.committed(3, Duration::from_micros(500));
        pulse.committed(1, Duration::from_millis(3));
        pulse.committed(1, Duration::from_secs(2));
        let health = pulse.health();
        assert_eq!(health.buckets, [1, 0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!((health.commits, health.changes), (3, 5));
        assert!((health.commit_seconds - 2.0035).abs() < 1e-9);
    }
}
