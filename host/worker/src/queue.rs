//! Which task a worker takes next: short tasks before long ones, long ones by client in turns, and only when they fit the
//! memory budget. An express worker takes short tasks alone, so that a reply never waits behind a long job; but while every
//! general worker is at a large task, it takes small ones as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imgserve_base::fair::{Flow, Lines, Turn};
use tokio::sync::Notify;

use super::budget::{Budget, Share};

/// How many short tasks go before a long one that waits: who posts without a rest keeps no work from being done.
const PATIENCE: usize = 32;

/// What a worker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Short tasks first, then long ones.
    General,
    /// Short tasks, and small ones while no general worker will soon be free.
    Express,
}

/// What a long task wants of the memory budget, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of that for tasks of any size.
    pub(super) general: u64,
    /// Of the reserve; only small tasks have one.
    pub(super) reserve: Option<u64>,
}

/// What a task has while a worker is at it; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Place {
    share: Option<Share>,
    /// There while the worker counts as one that will soon be free.
    ready: Option<Ready>,
}

impl Place {
    /// Whether its memory is of the reserve.
    pub(super) fn is_reserve(&self) -> bool {
        self.share.as_ref().is_some_and(Share::is_reserve)
    }

    /// The task turns out to be a large one.
    pub(super) fn is_large(&mut self) {
        self.ready = None;
    }
}

/// Tasks waiting for a worker.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    /// A short task has come, for one worker.
    short: Notify,
    /// A long one has, for one general worker; or all of them are to look.
    long: Notify,
    generals: Arc<Generals>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Waiting<T> {
    short: Lines<T>,
    long: Lines<(Wanted, T)>,
    /// How many short tasks have gone before the long ones that wait.
    passed: usize,
    closed: bool,
}

/// The general workers, as the express worker looks at them.
#[derive(Debug, Default)]
struct Generals {
    /// How many of them wait, or are at what is short or small.
    ready: AtomicUsize,
    /// For the express worker: one less is, or a small task has come.
    small: Notify,
}

/// A general worker that is free or soon will be.
#[derive(Debug)]
struct Ready(Arc<Generals>);

impl Ready {
    fn new(generals: &Arc<Generals>) -> Self {
        generals.ready.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(generals))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.ready.fetch_sub(1, Ordering::AcqRel);
        self.0.small.notify_one();
    }
}

impl<T> Queue<T> {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let waiting = Waiting { short: Lines::default(), long: Lines::default(), passed: 0, closed: false };
        let (short, long, generals) = (Notify::new(), Notify::new(), Arc::default());
        Self { waiting: Mutex::new(waiting), short, long, generals, budget }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a short task.
    pub(super) fn push_short(&self, flow: &Flow, task: T) {
        let turn = Turn { flow: flow.clone(), ..Turn::default() };
        self.lock().short.push(&turn, true, task);
        self.short.notify_one();
    }

    /// Adds a long task, which is to have its turn as `turn` says.
    pub(super) fn push_long(&self, turn: &Turn, wanted: Wanted, task: T) {
        self.lock().long.push(turn, wanted.reserve.is_some(), (wanted, task));
        self.long.notify_one();
        if wanted.reserve.is_some() {
            self.generals.small.notify_one();
        }
    }

    /// Forgets the long tasks that `dead` says nobody waits for: what they hold is needed by others.
    pub(super) fn forget(&self, dead: impl Fn(&T) -> bool) {
        // What is first now may fit the budget.
        if self.lock().long.retain(|(_, task)| !dead(task)) > 0 {
            self.long.notify_waiters();
            self.generals.small.notify_one();
        }
    }

    /// A task has cost its flow so much more than was planned.
    pub(super) fn charge(&self, flow: &Flow, cost: u64) {
        self.lock().long.charge(flow, cost);
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

    /// The next task for a worker of this role; none when the queue is closed and empty.
    pub(super) async fn take(&self, role: Role) -> Option<(T, Place)> {
        let mut ready = (role == Role::General).then(|| Ready::new(&self.generals));
        loop {
            // Registered before looking, so that a change in between is not missed.
            let (short, freed) = (self.short.notified(), self.budget.freed());
            let more = match role {
                Role::General => self.long.notified(),
                Role::Express => self.generals.small.notified(),
            };
            tokio::pin!(short, more, freed);
            short.as_mut().enable();
            more.as_mut().enable();
            freed.as_mut().enable();
            let no_room = match self.try_take(role) {
                Next::Task { task, share, small } => {
                    let place = Place { share, ready: ready.take().filter(|_| small) };
                    self.pass_on();
                    return Some((task, place));
                }
                Next::Closed => return None,
                Next::NoRoom => true,
                Next::Nothing => false,
            };
            tokio::select! {
                () = short => {}
                () = more => {}
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
        let overdue = role == Role::General && waiting.passed >= PATIENCE && !waiting.long.is_empty();
        if !overdue && let Some(next) = waiting.take_short(role) {
            return next;
        }
        let next = match role {
            Role::General => waiting.take_long(&self.budget),
            Role::Express if self.generals.ready.load(Ordering::Acquire) > 0 => None,
            Role::Express => waiting.take_small(&self.budget),
        };
        // A long one that is overdue and finds no room keeps nobody from a short one.
        if let Some(next) = next.or_else(|| waiting.take_short(role)) {
            return next;
        }
        match role {
            Role::General if !waiting.long.is_empty() => Next::NoRoom,
            // What waits still the general workers do.
            _ if waiting.closed => Next::Closed,
            Role::Express if waiting.long.first(true).is_some() => Next::NoRoom,
            _ => Next::Nothing,
        }
    }
}

impl<T> Waiting<T> {
    fn take_short(&mut self, role: Role) -> Option<Next<T>> {
        let task = self.short.first(false).and_then(|first| self.short.take(&first))?;
        if role == Role::General && !self.long.is_empty() {
            self.passed += 1;
        }
        Some(Next::Task { task, share: None, small: true })
    }

    /// Whose turn it is, if there is room for it; otherwise a small one, which there is a reserve for.
    fn take_long(&mut self, budget: &Arc<Budget>) -> Option<Next<T>> {
        let first = self.long.first(false)?;
        let bytes = self.long.get(&first)?.0.general;
        let Some(share) = budget.try_take(bytes) else { return self.take_small(budget) };
        let (_, task) = self.long.take(&first)?;
        self.passed = 0;
        Some(Next::Task { task, share: Some(share), small: first.is_small() })
    }

    fn take_small(&mut self, budget: &Arc<Budget>) -> Option<Next<T>> {
        let first = self.long.first(true)?;
        let share = budget.try_take_reserve(self.long.get(&first)?.0.reserve?)?;
        let (_, task) = self.long.take(&first)?;
        self.passed = 0;
        Some(Next::Task { task, share: Some(share), small: true })
    }
}

enum Next<T> {
    Task {
        task: T,
        share: Option<Share>,
        small: bool,
    },
    /// What is first does not fit the budget.
    NoRoom,
    Nothing,
    Closed,
}

#[cfg(test)]
mod tests;
