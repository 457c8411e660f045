//! Until when something may be done that somebody else may do afterwards, as far as this process's own clock tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::steady_ms;

/// Until when. Clones are the same one: it may be extended while others go by it.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// Without an end: nobody else is there.
    pub fn endless() -> Self {
        Self::until(u64::MAX)
    }

    /// Until this moment of the steady clock.
    pub fn until(until_ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(until_ms)))
    }

    /// Lasts until this moment at least.
    pub fn extend(&self, until_ms: u64) {
        self.0.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// It is over now, unless it is extended.
    pub fn end(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Its end, by the steady clock; none where there is none.
    pub fn end_ms(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|end| *end < u64::MAX)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.end_ms().is_some_and(|end| steady_ms() >= end)
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self::endless()
    }
}

impl PartialEq for Lease {
    fn eq(&self, other: &Self) -> bool {
        self.end_ms() == other.end_ms()
    }
}

impl Eq for Lease {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_the_steady_clock_and_is_only_ever_extended() {
        assert!(!Lease::endless().is_over() && Lease::endless().end_ms().is_none());
        let lease = Lease::until(steady_ms());
        let other = lease.clone();
        assert!(lease.is_over());
        other.extend(steady_ms() + 60_000);
        assert!(!lease.is_over(), "its clones are the same one");
        other.extend(1);
        assert!(!lease.is_over());
        other.end();
        assert!(lease.is_over());
    }
}
