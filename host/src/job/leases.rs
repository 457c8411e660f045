//! For how long a claim, and what is being accepted, is this node's alone. Who shares the journal stores nothing later: it goes by its
//! own clock, from before the journal was asked, so that neither a lost connection nor a process that was stopped and went on puts
//! something old over another node's result.

use std::future::{Future as _, pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use imgserve_base::clock::steady_ms;
use imgserve_base::lease::Lease;

/// The share of a lease at its end in which nothing is stored any more: what was sent is on its way.
const MARGIN: u32 = 8;

/// How leases are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leases {
    length: Duration,
    is_shared: bool,
}

impl Leases {
    /// So long each; where the journal is shared they end.
    pub(super) fn new(length: Duration, is_shared: bool) -> Self {
        Self { length, is_shared }
    }

    /// As the journal is told.
    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// When one has to be extended.
    pub(super) fn renewal(&self) -> Duration {
        self.length / 3
    }

    /// Until when what the journal is asked for from now on may be stored, by the steady clock.
    pub(super) fn until_ms(&self) -> u64 {
        let usable = (self.length - self.length / MARGIN).as_millis() as u64;
        if self.is_shared { steady_ms().saturating_add(usable) } else { u64::MAX }
    }
}

/// Resolves when it is over. The clock is looked at whenever it is polled: in a process that was stopped and goes on, timers fire
/// after other things, and nothing of those must be done any more.
pub(super) async fn over(lease: &Lease) {
    while !lease.is_over() {
        let Some(end_ms) = lease.end_ms() else { return pending().await };
        let left = end_ms.saturating_sub(steady_ms());
        let sleep = tokio::time::sleep(Duration::from_millis(left));
        tokio::pin!(sleep);
        poll_fn(|context| match lease.is_over() {
            true => Poll::Ready(()),
            false => sleep.as_mut().poll(context),
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shared_one_ends_before_the_journal_says_so_and_any_other_never() {
        let (alone, shared) =
            (Leases::new(Duration::from_millis(80), false), Leases::new(Duration::from_millis(80), true));
        assert_eq!(alone.until_ms(), u64::MAX);
        let (began, lease) = (steady_ms(), Lease::until(shared.until_ms()));
        assert!((began..=steady_ms() + 70).contains(&lease.end_ms().unwrap()));
        over(&lease).await;
        assert!(lease.is_over());
        lease.extend(u64::MAX);
        // Another wait than for its end: no timer fires.
        let ends = Lease::until(steady_ms() + 60_000);
        let ending = over(&ends);
        tokio::pin!(ending);
        let mut poll =
            async || poll_fn(|context| Poll::Ready(ending.as_mut().poll(context).is_ready())).await;
        assert!(!poll().await);
        ends.end();
        assert!(poll().await, "the timer is waited for");
        assert!(tokio::time::timeout(Duration::from_millis(1), over(&lease)).await.is_err());
    }
}
