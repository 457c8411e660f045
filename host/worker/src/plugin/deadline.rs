//! Ends a call that takes too long: a sandboxed one by raising its engine's epoch, any other one with the whole worker.
//! No call gets more than what is left of its task's time, so that it is ended here, and blamed, before the server ends the
//! worker. One thread watches; it sleeps for as long as nothing can be late.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imgserve_base::units::KIB;

/// What is done when the time is over.
#[derive(Clone)]
pub(crate) enum Expiry {
    /// Interrupts a guest.
    Interrupt(Arc<dyn Fn() + Send + Sync>),
    /// Ends this process: native code cannot be interrupted.
    EndProcess,
}

/// The clock of one process, in which one call runs at a time.
#[derive(Debug)]
pub struct Deadline {
    shared: Arc<Shared>,
    /// When the task's time is over, and what says so.
    task_ends: Cell<Option<(Instant, &'static str)>>,
}

/// How long a call may take, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    pub time: Duration,
    pub key: &'static str,
}

impl TimeLimit {
    /// To probe and plan, by the configuration.
    pub(crate) const fn to_prepare(ms: u64) -> Self {
        Self { time: Duration::from_millis(ms), key: "[workers] prepare_timeout_ms" }
    }

    /// To run, by the configuration.
    pub(crate) const fn to_run(ms: u64) -> Self {
        Self { time: Duration::from_millis(ms), key: "[workers] run_timeout_ms" }
    }
}

/// What is said when it is over.
impl std::fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not done after {} ms ({})", self.time.as_millis(), self.key)
    }
}

#[derive(Debug, Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    call: Option<(Instant, TimeLimit, Expiry)>,
    /// When the thread wakes up by itself; none when it waits to be woken.
    wakes: Option<Instant>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("wakes", &self.wakes).finish_non_exhaustive()
    }
}

/// A call under way; dropped, it is watched no more.
#[derive(Debug)]
pub(crate) struct Armed<'a>(&'a Shared);

impl Deadline {
    /// Starts the thread that watches. `last_word` is called before it ends the process, for whoever waits for that.
    ///
    /// # Errors
    /// What the system refused.
    pub fn start(last_word: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watch = {
            let shared = Arc::clone(&shared);
            move || shared.watch(&last_word)
        };
        std::thread::Builder::new()
            .name("deadline".to_owned())
            .stack_size(128 * KIB as usize)
            .spawn(watch)?;
        Ok(Self { shared, task_ends: Cell::new(None) })
    }

    /// A task begins, all calls of which together may take this long.
    pub fn begin_task(&self, limit: TimeLimit) {
        self.task_ends.set(Some((Instant::now() + limit.time, limit.key)));
    }

    /// A call's own limit, or what is left of its task's time.
    pub(super) fn limit(&self, own: Duration) -> TimeLimit {
        let left =
            self.task_ends.get().map(|(ends, key)| (ends.saturating_duration_since(Instant::now()), key));
        match left {
            Some((time, key)) if time < own => TimeLimit { time, key },
            _ => TimeLimit { time: own, key: "time_limit_ms" },
        }
    }

    /// Watches a call until the returned value is dropped.
    pub(crate) fn arm(&self, limit: TimeLimit, expiry: Expiry) -> Armed<'_> {
        let at = Instant::now() + limit.time;
        let mut watched = self.shared.lock();
        watched.call = Some((at, limit, expiry));
        // A thread that wakes up in time anyway looks for itself: most calls end long before, and cost no switch.
        if watched.wakes.is_none_or(|wakes| wakes > at) {
            self.shared.changed.notify_one();
        }
        Armed(&self.shared)
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.0.lock().call = None;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, last_word: &dyn Fn()) {
        let mut watched = self.lock();
        loop {
            let now = Instant::now();
            watched = match &watched.call {
                // The lock is held while it is interrupted, so that the blow cannot hit the next call.
                Some((at, limit, expiry)) if *at <= now => {
                    expiry.act(*limit, last_word);
                    watched.call = None;
                    watched
                }
                Some((at, ..)) => {
                    let at = *at;
                    watched.wakes = Some(at);
                    self.changed.wait_timeout(watched, at - now).unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    watched.wakes = None;
                    self.changed.wait(watched).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}

impl Expiry {
    fn act(&self, limit: TimeLimit, last_word: &dyn Fn()) {
        match self {
            Self::Interrupt(interrupt) => interrupt(),
            Self::EndProcess => {
                eprintln!("{limit}");
                last_word();
                // Not `exit`: its handlers would wait for locks that the late code holds.
                std::process::abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn limit(milliseconds: u64) -> TimeLimit {
        TimeLimit { time: Duration::from_millis(milliseconds), key: "time_limit_ms" }
    }

    fn interrupting() -> (Expiry, mpsc::Receiver<Instant>) {
        let (sender, receiver) = mpsc::channel();
        // A test that is over does not listen any more.
        let interrupt = move || {
            let _ = sender.send(Instant::now());
        };
        (Expiry::Interrupt(Arc::new(interrupt)), receiver)
    }

    #[test]
    fn a_late_call_is_interrupted_in_time_and_an_ended_one_never() {
        let (watched, clock) = (Deadline::start(|| {}).unwrap(), Deadline::start(|| {}).unwrap());
        let (expiry, ended) = interrupting();
        drop(watched.arm(limit(10), expiry));
        let (expiry, late) = interrupting();
        let began = Instant::now();
        // Another one, so that nothing but its end stops the first call from being interrupted meanwhile.
        let _armed = clock.arm(limit(60), expiry);
        let at = late.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(at - began >= Duration::from_millis(60));
        assert!(ended.try_recv().is_err(), "an ended call was interrupted");
    }

    #[test]
    fn a_call_gets_no_more_than_its_task_has_left() {
        let deadline = Deadline::start(|| {}).unwrap();
        let own = Duration::from_secs(5);
        assert_eq!(deadline.limit(own), TimeLimit { time: own, key: "time_limit_ms" });
        let task = TimeLimit { time: Duration::from_secs(1), key: "run_timeout_ms" };
        deadline.begin_task(task);
        let left = deadline.limit(own);
        assert!(left.time <= task.time && left.key == task.key, "{left:?}");
        let short = Duration::from_millis(1);
        assert_eq!(deadline.limit(short), TimeLimit { time: short, key: "time_limit_ms" });
    }

    #[test]
    fn a_shorter_limit_after_a_longer_one_is_kept() {
        let deadline = Deadline::start(|| {}).unwrap();
        let (expiry, _long) = interrupting();
        drop(deadline.arm(limit(3_600_000), expiry));
        let (expiry, short) = interrupting();
        let _armed = deadline.arm(limit(20), expiry);
        short.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
