//! Admission by memory: the estimates of all running tasks never add up to more than the budget. An eighth of it is a reserve
//! for small tasks, which then wait for no large one's end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// What part of the budget is in reserve.
const RESERVE: u64 = 8;

/// The memory that running tasks may take, shared by all generations of workers.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    used: Mutex<Used>,
    freed: Notify,
}

/// What is taken, in bytes.
#[derive(Debug, Default)]
struct Used {
    general: u64,
    reserve: u64,
}

/// A running task's share; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
    reserve: bool,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, used: Mutex::default(), freed: Notify::new() })
    }

    /// A share of `bytes`, or none when it does not fit beside what runs. A task larger than all that is no reserve
    /// runs alone rather than never, but for small ones in the reserve: its worker's own limit is what bounds it.
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.general > 0 && used.general.saturating_add(bytes) > self.general() {
            return None;
        }
        used.general = used.general.saturating_add(bytes);
        Some(Share { budget: Arc::clone(self), bytes, reserve: false })
    }

    /// The same of the reserve, never beyond it.
    pub(super) fn try_take_reserve(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = used.reserve.saturating_add(bytes);
        if sum > self.reserve() {
            return None;
        }
        used.reserve = sum;
        Some(Share { budget: Arc::clone(self), bytes, reserve: true })
    }

    /// What is there for tasks of any size, in bytes.
    pub(super) fn general(&self) -> u64 {
        self.total - self.reserve()
    }

    /// What is there for small ones alone, in bytes.
    pub(super) fn reserve(&self) -> u64 {
        self.total / RESERVE
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.general.saturating_add(used.reserve)
    }

    /// Resolves when a share is given back after this call.
    pub fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }
}

impl Share {
    /// Whether it is of the reserve.
    pub(super) fn is_reserve(&self) -> bool {
        self.reserve
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        {
            let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
            let part = if self.reserve { &mut used.reserve } else { &mut used.general };
            *part = part.saturating_sub(self.bytes);
        }
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_never_exceeds_the_budget() {
        let budget = Budget::new(800);
        let first = budget.try_take(500).unwrap();
        assert!(budget.try_take(201).is_none());
        let second = budget.try_take(200).unwrap();
        drop(first);
        assert!(budget.try_take(501).is_none());
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_task_larger_than_the_budget_runs_alone() {
        let budget = Budget::new(800);
        let small = budget.try_take(1).unwrap();
        assert!(budget.try_take(900).is_none());
        drop(small);
        let large = budget.try_take(900).unwrap();
        assert!(budget.try_take(1).is_none());
        drop(large);
        assert!(budget.try_take(1).is_some());
    }

    #[test]
    fn the_reserve_is_there_whatever_runs_and_never_grows() {
        let budget = Budget::new(800);
        let _large = budget.try_take(900).unwrap();
        let small = budget.try_take_reserve(60).unwrap();
        assert!(budget.try_take_reserve(41).is_none() && budget.used() == 960);
        drop(small);
        assert!(budget.try_take_reserve(100).is_some() && budget.try_take_reserve(101).is_none());
    }
}
