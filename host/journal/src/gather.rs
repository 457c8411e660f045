//! When the next transaction begins. Where changes come many at a time, transactions keep a distance, so that what each costs is
//! shared by several jobs, on disks too whose sync takes no longer than one job's work. One job alone waits for nothing.

use std::time::{Duration, Instant};

/// How long after the end of one the next begins.
const DISTANCE: Duration = Duration::from_millis(2);
/// So many changes at once come of one job alone.
const FEW: usize = 2;

/// The transaction before.
#[derive(Debug)]
pub(crate) struct Gather {
    changes: usize,
    ended: Instant,
}

impl Gather {
    pub(crate) fn new() -> Self {
        Self { changes: 0, ended: Instant::now() }
    }

    /// A transaction of so many changes has ended.
    pub(crate) fn ended(&mut self, changes: usize) {
        *self = Self { changes, ended: Instant::now() };
    }

    /// How long to wait for more changes, if at all, now that there is one.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let pause = DISTANCE.saturating_sub(self.ended.elapsed());
        (self.changes > FEW && !pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_many_changes_and_for_a_moment_is_there_a_wait() {
        let mut gather = Gather::new();
        assert_eq!(gather.pause(), None);
        gather.ended(FEW);
        assert_eq!(gather.pause(), None);
        let after = |ms| Gather { changes: 64, ended: Instant::now() - Duration::from_millis(ms) };
        assert!(after(0).pause().is_some_and(|pause| pause <= DISTANCE));
        assert_eq!(after(2).pause(), None);
    }
}
