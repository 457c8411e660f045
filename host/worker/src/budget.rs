//! Admission by memory: the estimates of all running tasks never add up to more than the budget.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The memory that running tasks may take, shared by all generations of workers.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: Mutex<u64>,
    freed: Notify,
}

/// A running task's share; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, used: Mutex::new(0), freed: Notify::new() })
    }

    /// A share of `bytes`, or none when it does not fit beside what runs. A task larger than the whole budget
    /// runs alone rather than never: its worker's own limit is what bounds it.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used > 0 && used.saturating_add(bytes) > self.total {
            return None;
        }
        *used = used.saturating_add(bytes);
        Some(Share { budget: Arc::clone(self), bytes })
    }

    /// All bytes that there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when a share is given back after this call.
    pub fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        {
            let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
            *used = used.saturating_sub(self.bytes);
        }
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_never_exceeds_the_budget() {
        let budget = Budget::new(100);
        let first = budget.try_take(60).unwrap();
        assert!(budget.try_take(41).is_none());
        let second = budget.try_take(40).unwrap();
        drop(first);
        assert!(budget.try_take(61).is_none());
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_task_larger_than_the_budget_runs_alone() {
        let budget = Budget::new(100);
        let small = budget.try_take(1).unwrap();
        assert!(budget.try_take(500).is_none());
        drop(small);
        let large = budget.try_take(500).unwrap();
        assert!(budget.try_take(1).is_none());
        drop(large);
        assert!(budget.try_take(1).is_some());
    }
}
