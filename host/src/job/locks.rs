//! Locks by name: those who hold the same one go one after the other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use imgserve_base::job::{Client, JobId};
use tokio::sync::OwnedMutexGuard;

/// What goes one after the other.
#[derive(Debug, Default)]
pub(super) struct Locks {
    keys: ByName<(Client, String)>,
    shown: ByName<JobId>,
}

/// Held as long as nobody else is to hold the same lock.
pub(super) type Alone = OwnedMutexGuard<()>;

impl Locks {
    /// Requests of one client with the same idempotency key.
    pub(super) async fn key(&self, client: &Client, key: &str) -> Alone {
        self.keys.of((client.clone(), key.to_owned())).lock_owned().await
    }

    /// Showing at the destinations of a job that somebody has cancelled how it ended, and whatever comes after that.
    pub(super) async fn shown(&self, id: JobId) -> Alone {
        self.shown.of(id).lock_owned().await
    }
}

#[derive(Debug)]
struct ByName<N>(Mutex<HashMap<N, Weak<Lock>>>);

type Lock = tokio::sync::Mutex<()>;

impl<N> Default for ByName<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<N: Eq + Hash> ByName<N> {
    /// The lock of this name. Those that nobody holds or waits for are forgotten.
    fn of(&self, name: N) -> Arc<Lock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(name, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether the lock of this name is free.
    async fn free(lock: impl Future<Output = Alone>) -> bool {
        tokio::time::timeout(Duration::ZERO, lock).await.is_ok()
    }

    #[tokio::test]
    async fn the_same_name_is_the_same_lock_until_it_is_let_go() {
        let (locks, client) = (Locks::default(), Client::parse("shop"));
        let alone = locks.key(&client, "a").await;
        assert!(!free(locks.key(&client, "a")).await);
        assert!(free(locks.key(&client, "b")).await && free(locks.key(&Client::Anyone, "a")).await);
        assert_eq!(locks.keys.0.lock().unwrap().len(), 2, "those that nobody holds are forgotten");
        drop(alone);
        assert!(free(locks.key(&client, "a")).await);
    }
}
