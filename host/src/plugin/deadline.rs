//! Ends a call that takes too long: a sandboxed one by raising its engine's epoch, any other one with the whole worker.
//! One thread watches; it sleeps for as long as nothing can be late.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is done when the time is over.
#[derive(Clone)]
pub(super) enum Expiry {
    /// Interrupts a guest.
    Interrupt(Arc<dyn Fn() + Send + Sync>),
    /// Ends this process: native code cannot be interrupted.
    EndProcess,
}

/// The clock of one process, in which one call runs at a time.
#[derive(Debug)]
pub(crate) struct Deadline {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    call: Option<(Instant, Duration, Expiry)>,
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
pub(super) struct Armed<'a>(&'a Shared);

impl Deadline {
    /// Starts the thread that watches.
    ///
    /// # Errors
    /// What the system refused.
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watch = {
            let shared = Arc::clone(&shared);
            move || shared.watch()
        };
        std::thread::Builder::new().name("deadline".to_owned()).stack_size(128 << 10).spawn(watch)?;
        Ok(Self { shared })
    }

    /// Watches a call until the returned value is dropped.
    pub(super) fn arm(&self, limit: Duration, expiry: Expiry) -> Armed<'_> {
        let at = Instant::now() + limit;
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

    fn watch(&self) {
        let mut watched = self.lock();
        loop {
            let now = Instant::now();
            watched = match &watched.call {
                // The lock is held while it is interrupted, so that the blow cannot hit the next call.
                Some((at, limit, expiry)) if *at <= now => {
                    expiry.act(*limit);
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
    fn act(&self, limit: Duration) {
        match self {
            Self::Interrupt(interrupt) => interrupt(),
            Self::EndProcess => {
                // The last line is what the server tells of a worker's end.
                eprintln!("not done after {} ms (time_limit_ms)", limit.as_millis());
                std::process::abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn interrupting() -> (Expiry, mpsc::Receiver<Instant>) {
        let (sender, receiver) = mpsc::channel();
        (Expiry::Interrupt(Arc::new(move || sender.send(Instant::now()).unwrap())), receiver)
    }

    #[test]
    fn a_late_call_is_interrupted_in_time_and_an_ended_one_never() {
        let deadline = Deadline::start().unwrap();
        let (expiry, ended) = interrupting();
        drop(deadline.arm(Duration::from_millis(10), expiry));
        let (expiry, late) = interrupting();
        let began = Instant::now();
        let _armed = deadline.arm(Duration::from_millis(60), expiry);
        let at = late.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(at - began >= Duration::from_millis(60));
        assert!(ended.try_recv().is_err(), "an ended call was interrupted");
    }

    #[test]
    fn a_shorter_limit_after_a_longer_one_is_kept() {
        let deadline = Deadline::start().unwrap();
        let (expiry, _long) = interrupting();
        drop(deadline.arm(Duration::from_secs(3600), expiry));
        let (expiry, short) = interrupting();
        let _armed = deadline.arm(Duration::from_millis(20), expiry);
        short.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
