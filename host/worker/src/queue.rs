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
    /// A short task has come, for one worker.
    short: Notify,
    /// A long one has, for one general worker; or all of them are to look.
    long: Notify,
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
        Self { waiting: Mutex::new(waiting), short: Notify::new(), long: Notify::new(), budget }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a short task.
    pub(super) fn push_short(&self, task: T) {
        self.lock().short.push_back(task);
        self.short.notify_one();
    }

    /// Adds a long task of estimated `bytes`, before those of a lower rank.
    pub(super) fn push_long(&self, rank: i64, bytes: u64, task: T) {
        {
            let mut waiting = self.lock();
            waiting.came += 1;
            let place = (Reverse(rank), waiting.came);
            waiting.long.insert(place, (bytes, task));
        }
        self.long.notify_one();
    }

    /// Forgets the long tasks that `dead` says nobody waits for: what they hold is needed by others.
    pub(super) fn forget(&self, dead: impl Fn(&T) -> bool) {
        let forgotten = {
            let mut waiting = self.lock();
            let before = waiting.long.len();
            waiting.long.retain(|_, (_, task)| !dead(task));
            before - waiting.long.len()
        };
        // What is first now may fit the budget.
        if forgotten > 0 {
            self.long.notify_waiters();
        }
    }

    /// Takes no more tasks in; workers end when what waits is done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.short.notify_waiters();
        self.long.notify_waiters();
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
            let (short, long, freed) = (self.short.notified(), self.long.notified(), self.budget.freed());
            tokio::pin!(short, long, freed);
            short.as_mut().enable();
            if role == Role::General {
                long.as_mut().enable();
                freed.as_mut().enable();
            }
            let no_room = match self.try_take(role) {
                Next::Task(task, share) => {
                    self.pass_on();
                    return Some((task, share));
                }
                Next::Closed => return None,
                Next::NoRoom => true,
                Next::Nothing => false,
            };
            tokio::select! {
                () = short => {}
                () = long, if role == Role::General => {}
                () = freed, if no_room => {}
            }
        }
    }

    /// Each task that comes wakes one worker, which may have taken another task than that: the next one then looks for it.
    fn pass_on(&self) {
        let (short, long) = self.len();
        if short > 0 {
            self.short.notify_one();
        }
        if long > 0 {
            self.long.notify_one();
        }
    }

    fn try_take(&self, role: Role) -> Next<T> {
        let mut waiting = self.lock();
        if let Some(task) = waiting.short.pop_front() {
            return Next::Task(task, None);
        }
        let first = waiting.long.first_key_value().filter(|_| role == Role::General);
        let waits = first.is_some();
        let share = first.and_then(|(_, (bytes, _))| self.budget.try_take(*bytes));
        if let Some(share) = share
            && let Some((_, (_, task))) = waiting.long.pop_first()
        {
            return Next::Task(task, Some(share));
        }
        match waits {
            true => Next::NoRoom,
            false if waiting.closed => Next::Closed,
            false => Next::Nothing,
        }
    }
}

enum Next<T> {
    Task(T, Option<Share>),
    /// What is first does not fit the budget.
    NoRoom,
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

    type Waits = tokio::task::JoinHandle<Option<&'static str>>;

    /// A worker that waits already when tasks come.
    async fn waits(queue: &Arc<Queue<&'static str>>, role: Role) -> Waits {
        let queue = Arc::clone(queue);
        let waits = tokio::spawn(async move { queue.take(role).await.map(|(task, _)| task) });
        tokio::task::yield_now().await;
        waits
    }

    #[tokio::test]
    async fn a_worker_that_waits_is_woken_for_each_task_whoever_takes_which() {
        let queue = Arc::new(Queue::new(Budget::new(100)));
        // One general worker is woken for both; the other one has to look for what that left.
        let (one, other) = (waits(&queue, Role::General).await, waits(&queue, Role::General).await);
        queue.push_short("short");
        queue.push_long(0, 1, "long");
        assert_eq!([one.await.unwrap(), other.await.unwrap()], [Some("short"), Some("long")]);
        // The express worker is woken, and a general one comes before it.
        let express = waits(&queue, Role::Express).await;
        queue.push_short("short");
        queue.push_short("short 2");
        assert_eq!(queue.take(Role::General).await.unwrap().0, "short");
        assert_eq!(express.await.unwrap(), Some("short 2"));
        // A long task alone does not wake it, the end does.
        let (express, general) = (waits(&queue, Role::Express).await, waits(&queue, Role::General).await);
        queue.push_long(0, 1, "long");
        assert_eq!(general.await.unwrap(), Some("long"));
        let general = waits(&queue, Role::General).await;
        queue.close();
        assert_eq!((express.await.unwrap(), general.await.unwrap()), (None, None));
    }

    #[tokio::test]
    async fn what_waits_behind_a_forgotten_task_gets_its_turn() {
        let queue = Arc::new(Queue::new(Budget::new(100)));
        queue.push_long(0, 50, "runs");
        let running = queue.take(Role::General).await.unwrap();
        queue.push_long(0, 80, "dead");
        queue.push_long(0, 50, "alive");
        let general = waits(&queue, Role::General).await;
        assert!(!general.is_finished());
        queue.forget(|task| *task == "dead");
        assert_eq!(general.await.unwrap(), Some("alive"));
        drop(running);
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
