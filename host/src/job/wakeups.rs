//! Who is to look again: the dispatcher, as there may be a job to claim; the sender of webhooks; and whoever waits for the
//! last job to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// What the dispatcher was asked for and has seen.
#[derive(Debug)]
pub(super) struct Wakeups {
    /// There may be a job to claim.
    job: Notify,
    /// How often it was said so, and how often the dispatcher has heard it.
    asked: AtomicU64,
    seen: AtomicU64,
    /// More jobs wait than there was room for.
    backlog: AtomicBool,
    /// When the next job that waits for its time is due, by the steady clock; `u64::MAX` for none.
    next_due_ms: AtomicU64,
    /// There may be a webhook to send.
    notice: Notify,
    /// Something is over: a stop looks whether all is.
    over: Notify,
}

/// One look of the dispatcher for jobs: what is asked for from its beginning on is the next one's.
#[derive(Debug)]
pub(super) struct Look {
    asked: u64,
}

impl Wakeups {
    pub(super) fn new() -> Self {
        Self {
            job: Notify::new(),
            asked: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            backlog: AtomicBool::new(false),
            next_due_ms: AtomicU64::new(u64::MAX),
            notice: Notify::new(),
            over: Notify::new(),
        }
    }

    /// There may be a job to claim.
    pub(super) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.job.notify_one();
    }

    /// Resolves when there may be a job to claim.
    pub(super) async fn asked(&self) {
        self.job.notified().await;
    }

    /// The dispatcher is about to see how much room there is. An attempt that ends from now on asks again, until it is known
    /// that nothing waits for its room.
    pub(super) fn begin_look(&self) -> Look {
        let asked = self.asked.load(Ordering::Acquire);
        self.backlog.store(true, Ordering::Release);
        Look { asked }
    }

    /// Whether more may wait than there was room for: then the end of each attempt asks again.
    pub(super) fn found(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Release);
    }

    /// Whatever was asked for before the look has been seen to; a job that waits for its time is due then, if there is one.
    pub(super) fn end_look(&self, look: Look, next_due_ms: Option<u64>) {
        self.next_due_ms.store(next_due_ms.unwrap_or(u64::MAX), Ordering::Release);
        self.seen.store(look.asked, Ordering::Release);
        self.over.notify_waiters();
    }

    /// An attempt is over: there is room for another.
    pub(super) fn over(&self) {
        if self.backlog.load(Ordering::Acquire) {
            self.ask();
        }
        self.over.notify_waiters();
    }

    /// Whether, as far as the dispatcher has seen, no job is there to be claimed before `end_ms`, by the steady clock.
    pub(super) fn nothing_until(&self, end_ms: u64) -> bool {
        let backlog = self.backlog.load(Ordering::Acquire)
            || self.asked.load(Ordering::Acquire) != self.seen.load(Ordering::Acquire);
        !backlog && self.next_due_ms.load(Ordering::Acquire) > end_ms
    }

    /// Waits until `done`, looking again whenever something is over.
    pub(super) async fn until(&self, done: impl Fn() -> bool) {
        loop {
            let changed = self.over.notified();
            tokio::pin!(changed);
            // Before looking: what is over meanwhile is not missed.
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }

    /// There may be a webhook to send.
    pub(super) fn ask_to_notify(&self) {
        self.notice.notify_one();
    }

    /// Resolves when there may be a webhook to send.
    pub(super) async fn asked_to_notify(&self) {
        self.notice.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether the dispatcher has been asked to look again.
    async fn asked(wakeups: &Wakeups) -> bool {
        tokio::time::timeout(Duration::ZERO, wakeups.asked()).await.is_ok()
    }

    #[test]
    fn what_is_asked_for_during_a_look_is_the_next_ones() {
        let wakeups = Wakeups::new();
        wakeups.ask();
        assert!(!wakeups.nothing_until(1), "nobody has looked");
        let look = wakeups.begin_look();
        wakeups.ask();
        wakeups.found(false);
        wakeups.end_look(look, None);
        assert!(!wakeups.nothing_until(1));
        let look = wakeups.begin_look();
        assert!(!wakeups.nothing_until(1), "more may wait");
        wakeups.found(false);
        wakeups.end_look(look, Some(5));
        assert!(wakeups.nothing_until(4) && !wakeups.nothing_until(5));
    }

    #[tokio::test]
    async fn the_end_of_an_attempt_asks_again_only_while_more_may_wait() {
        let wakeups = Wakeups::new();
        wakeups.over();
        assert!(!asked(&wakeups).await);
        let look = wakeups.begin_look();
        wakeups.over();
        assert!(asked(&wakeups).await);
        wakeups.found(false);
        wakeups.end_look(look, None);
        wakeups.over();
        assert!(!asked(&wakeups).await);
    }

    #[tokio::test]
    async fn who_waits_for_the_last_one_looks_after_each() {
        let wakeups = Wakeups::new();
        let left = AtomicU64::new(2);
        let end = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                left.fetch_sub(1, Ordering::AcqRel);
                wakeups.over();
            }
        };
        let waited = async { tokio::join!(wakeups.until(|| left.load(Ordering::Acquire) == 0), end) };
        tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap();
    }
}
