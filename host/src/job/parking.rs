//! Attempts that wait for a place: how many of them there may be beside those under way, and what becomes of the jobs behind
//! them. Clients share it out: none keeps another's jobs from beginning or waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::clock::steady_ms;
use imgserve_base::fair::may_have;

use super::live::Census;

/// How many times as many attempts as may be under way may wait for a place, beside them.
const PARKED: usize = 8;
/// When none of a client's has got its place for so long, what waits behind them in the journal is looked at too.
const STUCK_MS: u64 = 250;
/// Jobs that cannot even wait for their server here are put off for from so long, a little longer each, to so long.
const PUT_OFF_MS: (u64, u64, u64) = (2_000, 5, 60_000);

/// Who waits is [`Live`](super::live::Live)'s to know.
#[derive(Debug)]
pub(super) struct Parking {
    most: usize,
    /// When the last attempt of a client's that waited has got its place, by the steady clock. Of clients of whom some wait.
    moved_ms: Mutex<HashMap<Arc<str>, u64>>,
    /// Until when the last job was put off, by the steady clock.
    put_off_ms: AtomicU64,
}

impl Parking {
    /// Beside so many attempts that may be under way.
    pub(super) fn new(window: usize) -> Self {
        let most = window.saturating_mul(PARKED);
        Self { most, moved_ms: Mutex::default(), put_off_ms: AtomicU64::new(0) }
    }

    /// How many may wait in all.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether another attempt of a client's may wait. Else its job is to be put off.
    pub(super) fn has_room(&self, census: &Census, flow: &str) -> bool {
        self.room(census, flow) > 0
    }

    /// How many more of a client's may wait.
    fn room(&self, census: &Census, flow: &str) -> usize {
        may_have(census.of(flow).waiting, self.most.saturating_sub(census.all.waiting))
    }

    /// An attempt that waited has got its place.
    pub(super) fn moved(&self, flow: &Arc<str>) {
        self.lock().insert(Arc::clone(flow), steady_ms());
    }

    /// The clients of whom some wait and get their places, and how many more of each may wait: no more are to begin, as those too
    /// might only wait. Where those who wait get no place, what is behind them may be for another server, and is looked at.
    pub(super) fn held_back(&self, census: &Census) -> Vec<(Arc<str>, usize)> {
        let (mut moved, now) = (self.lock(), steady_ms());
        moved.retain(|flow, _| census.of(flow).waiting > 0);
        let moves = |flow: &Arc<str>| moved.get(flow).is_some_and(|ms| now.abs_diff(*ms) <= STUCK_MS);
        let flows = census.flows().filter(|flow| moves(flow));
        flows.map(|flow| (Arc::clone(flow), self.room(census, flow))).collect()
    }

    /// How long it takes at most until that changes by time alone.
    pub(super) const fn look_after() -> Duration {
        Duration::from_millis(STUCK_MS)
    }

    /// For how long a job is put off. Not all come back at once.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(self.put_off_until_ms().saturating_sub(steady_ms()))
    }

    fn put_off_until_ms(&self) -> u64 {
        let (least, step, most) = PUT_OFF_MS;
        let now = steady_ms();
        let next = |last: u64| (last + step).clamp(now + least, now + most);
        let last = self.put_off_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
        self.moved_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;
    use imgserve_base::job::JobId;
    use imgserve_base::lease::Lease;

    use super::super::live::Live;
    use super::*;

    /// So many of a client's that wait.
    fn wait(live: &Live, flow: &str, count: usize) {
        for _ in 0..count {
            let running = live.begin(JobId::generate(), 1, &Flow::new(flow, 1), Lease::endless());
            // It waits for as long as the test does.
            std::mem::forget(running.wait());
        }
    }

    #[test]
    fn one_client_that_waits_keeps_no_other_from_beginning_or_waiting() {
        let (parking, live) = (Parking::new(4), Live::default());
        let all = (0..99).find(|_| {
            let room = parking.has_room(&live.census(), "many");
            wait(&live, "many", usize::from(room));
            !room
        });
        assert_eq!((all, live.census().of("many").waiting), (Some(16), 16), "half of all");
        assert!(parking.has_room(&live.census(), "other"));
        assert!(
            parking.held_back(&live.census()).is_empty(),
            "none of them moves: others may be behind them"
        );
        parking.moved(&"many".into());
        assert_eq!(parking.held_back(&live.census()), [("many".into(), 0)]);
        assert_eq!(parking.held_back(&live.census()).len(), 1, "none of `other` waits");
        // Others' moves are not its own.
        parking.moved_ms.lock().unwrap().insert("many".into(), steady_ms() - 2 * STUCK_MS);
        wait(&live, "other", 1);
        assert!(parking.held_back(&live.census()).is_empty(), "nor does any of these");
        parking.moved(&"other".into());
        let held_back = parking.held_back(&live.census());
        assert_eq!(held_back, [("other".into(), 7)], "half of what is left to wait");
    }

    #[test]
    fn of_clients_of_whom_none_waits_nothing_is_kept() {
        let (parking, live) = (Parking::new(4), Live::default());
        parking.moved(&"gone".into());
        parking.held_back(&live.census());
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn jobs_that_are_put_off_do_not_all_come_back_at_once() {
        let parking = Parking::new(4);
        let (least, step, most) = PUT_OFF_MS;
        let before = steady_ms();
        let times: Vec<u64> = (0..20_000).map(|_| parking.put_off_until_ms()).collect();
        assert!(times[0] >= before + least && times[1] >= times[0] + step);
        assert!(*times.last().unwrap() <= steady_ms() + most && times.is_sorted());
    }
}
