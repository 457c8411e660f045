//! The renders under way. Each goes on until its end or until nobody waits for it any more; then it is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::cache::Sourced;
use super::product::Product;

/// Everything that decides a render's result before its source is here.
pub(super) type Key = [u8; 32];

/// The renders under way.
#[derive(Debug, Default)]
pub(in crate::job) struct Renders(Mutex<HashMap<Key, Weak<UnderWay>>>);

/// A render under way, held by those who wait for it. Dropped, it ends.
#[derive(Debug)]
pub(super) struct UnderWay {
    key: Key,
    stage: watch::Receiver<Stage>,
    /// Told when somebody wants the result, and not only its entity tag.
    wanted: Arc<Notify>,
    task: AbortHandle,
    renders: Arc<Renders>,
}

/// How far a render has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// Known as soon as the source is here; at the end, where only the worker reads it.
    pub(super) entity_tag: Option<String>,
    /// How its source was found out, where there is a cache.
    pub(super) sourced: Option<Sourced>,
    /// Known at the end.
    pub(super) outcome: Option<Result<Product, Fault>>,
}

/// A render that came to no end.
pub(super) fn broken_off() -> Fault {
    Fault::new(FaultKind::OperationFailed, "the render was broken off").retried(Retry::Later)
}

impl Renders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<UnderWay>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The render under way of this key, or a new one.
    pub(super) fn join(
        self: &Arc<Self>,
        key: Key,
        start: impl FnOnce(watch::Sender<Stage>, Arc<Notify>) -> AbortHandle,
    ) -> Arc<UnderWay> {
        // Declared before the lock, and so dropped after it: who is dropped last takes the lock.
        let ended;
        let mut under_way = self.lock();
        match under_way.get(&key).and_then(Weak::upgrade) {
            Some(found) if found.stage.borrow().outcome.is_none() => return found,
            found => ended = found,
        }
        let (sender, stage) = watch::channel(Stage::default());
        let wanted = Arc::new(Notify::new());
        let task = start(sender, Arc::clone(&wanted));
        let started = Arc::new(UnderWay { key, stage, wanted, task, renders: Arc::clone(self) });
        under_way.insert(key, Arc::downgrade(&started));
        drop(under_way);
        drop(ended);
        started
    }
}

impl UnderWay {
    /// The result's entity tag, as soon as it is known, and how its source was found out.
    pub(super) async fn entity_tag(&self) -> Result<(String, Option<Sourced>), Fault> {
        let stage = self.reached(|stage| stage.entity_tag.is_some()).await?;
        match (stage.entity_tag, stage.outcome) {
            (_, Some(Err(fault))) => Err(fault),
            (Some(entity_tag), _) => Ok((entity_tag, stage.sourced)),
            (None, _) => Err(broken_off()),
        }
    }

    /// The result, with its entity tag: the source may have changed since that was told.
    pub(super) async fn product(&self) -> Result<(Product, String, Option<Sourced>), Fault> {
        self.wanted.notify_one();
        let stage = self.reached(|_| false).await?;
        let product = stage.outcome.unwrap_or_else(|| Err(broken_off()))?;
        Ok((product, stage.entity_tag.ok_or_else(broken_off)?, stage.sourced))
    }

    /// The stage once it is far enough, or at the end.
    async fn reached(&self, enough: impl Fn(&Stage) -> bool) -> Result<Stage, Fault> {
        let mut stage = self.stage.clone();
        let reached = stage.wait_for(|stage| enough(stage) || stage.outcome.is_some()).await;
        reached.map(|stage| stage.clone()).map_err(|_| broken_off())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.task.abort();
        let mut under_way = self.renders.lock();
        // Another one may have taken its place.
        if under_way.get(&self.key).is_some_and(|found| found.strong_count() == 0) {
            under_way.remove(&self.key);
        }
    }
}
