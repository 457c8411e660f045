//! Which task a worker takes next: short tasks before long ones, long ones by rank, in order, and only when they fit
//! the memory budget. An express worker takes short tasks alone, so that a reply never waits behind a long job.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::budget::{Budget, Share};

/// What a worker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Short tasks first, then long ones.
    General,
    /// Short tasks only.
    Express,
}

/// Tasks waiting for a worker.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Waiting<T> {
    short: VecDeque<T>,
    /// By rank, highest first, and by when they came: how many bytes, and what.
    long: BTreeMap<(Reverse<i64>, u64), (u64, T)>,
    /// How many long tasks there have been.
    came: u64,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let waiting = Waiting { short: VecDeque::new(), long: BTreeMap::new(), came: 0, closed: false };
        Self { waiting: Mutex::new(waiting), changed: Notify::new(), budget }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a short task.
    pub(super) fn push_short(&self, task: T) {
        self.lock().short.push_back(task);
        self.changed.notify_waiters();
    }

    /// Adds a long task of estimated `bytes`, before those of a lower rank.
    pub(super) fn push_long(&self, rank: i64, bytes: u64, task: T) {
        {
            let mut waiting = self.lock();
            waiting.came += 1;
            let place = (Reverse(rank), waiting.came);
            waiting.long.insert(place, (bytes, task));
        }
        self.changed.notify_waiters();
    }

    /// Forgets the long tasks that `dead` says nobody waits for: what they hold is needed by others.
    pub(super) fn forget(&self, dead: impl Fn(&T) -> bool) {
        self.lock().long.retain(|_, (_, task)| !dead(task));
        self.changed.notify_waiters();
    }

    /// Takes no more tasks in; workers end when what waits is done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// Whether it is closed and empty.
    pub(super) fn is_done(&self) -> bool {
        let waiting = self.lock();
        waiting.closed && waiting.short.is_empty() && waiting.long.is_empty()
    }

    /// Waiting tasks, short and long.
    pub(super) fn len(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.short.len(), waiting.long.len())
    }

    /// The next task for a worker of this role, with its share of the budget when it is a long one; none when
    /// the queue is closed and empty.
    pub(super) async fn take(&self, role: Role) -> Option<(T, Option<Share>)> {
        loop {
            // Registered before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            let freed = self.budget.freed();
            tokio::pin!(changed, freed);
            changed.as_mut().enable();
            freed.as_mut().enable();
            match self.try_take(role) {
                Next::Task(task, share) => return Some((task, share)),
                Next::Closed => return None,
                Next::Nothing => {}
            }
            tokio::select! { () = changed => {}, () = freed => {} }
        }
    }

    fn try_take(&self, role: Role) -> Next<T> {
        let mut waiting = self.lock();
        if let Some(task) = waiting.short.pop_front() {
            return Next::Task(task, None);
        }
        let share = match waiting.long.first_key_value() {
            Some((_, (bytes, _))) if role == Role::General => self.budget.try_take(*bytes),
            _ => None,
        };
        if let Some(share) = share
            && let Some((_, (_, task))) = waiting.long.pop_first()
        {
            return Next::Task(task, Some(share));
        }
        let done = waiting.closed && (role == Role::Express || waiting.long.is_empty());
        if done { Next::Closed } else { Next::Nothing }
    }
}

enum Next<T> {
    Task(T, Option<Share>),
    Nothing,
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_tasks_go_first_and_express_takes_only_those() {
        let queue = Queue::new(Budget::new(100));
        queue.push_long(0, 10, "long");
        queue.push_short("short");
        assert_eq!(queue.take(Role::General).await.unwrap().0, "short");
        queue.push_short("short 2");
        assert_eq!(queue.take(Role::Express).await.unwrap().0, "short 2");
        let express = tokio::time::timeout(std::time::Duration::from_millis(20), queue.take(Role::Express));
        assert!(express.await.is_err(), "express took a long task");
        assert_eq!(queue.take(Role::General).await.unwrap().0, "long");
    }

    #[tokio::test]
    async fn a_long_task_waits_until_it_fits() {
        let queue = Arc::new(Queue::new(Budget::new(100)));
        queue.push_long(0, 80, 1);
        queue.push_long(0, 80, 2);
        let (_, share) = queue.take(Role::General).await.unwrap();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.take(Role::General).await.map(|(task, _)| task) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(share);
        assert_eq!(waiting.await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_higher_rank_goes_first_and_equals_go_in_order() {
        let queue = Queue::new(Budget::new(100));
        for (rank, task) in [(0, "first"), (-1, "last"), (5, "urgent"), (0, "second"), (5, "urgent too")] {
            queue.push_long(rank, 1, task);
        }
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(queue.take(Role::General).await.unwrap().0);
        }
        assert_eq!(taken, ["urgent", "urgent too", "first", "second", "last"]);
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_first() {
        let queue = Queue::new(Budget::new(100));
        queue.push_long(0, 1, 1);
        queue.close();
        assert!(queue.take(Role::Express).await.is_none());
        assert!(queue.take(Role::General).await.is_some());
        assert!(queue.take(Role::General).await.is_none());
    }
}
