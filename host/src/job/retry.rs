//! Whether and when a job is tried again: by whom is to blame that an attempt failed. Pure.

use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::FailedAttempt;

/// Workers that may die of one job.
const MAX_DEATHS: usize = 3;
/// Attempts whose end nobody could write down, because the server died as well: many, as it need not have died of this job.
pub(super) const MAX_LOST: u32 = 100;
/// After so many of them a job runs alone among its like: should it be to blame, it does not take others with it.
pub(super) const SUSPECT: u32 = 3;
/// The first pause is at most this long.
const BASE: Duration = Duration::from_secs(1);
/// How long a job waits for which there was no time or room.
const LATER: Duration = Duration::from_secs(2);

/// While a client waits for its reply, the first pause is at most this long, and each further one twice as long.
const ACCEPT_FIRST: Duration = Duration::from_millis(150);
/// Those pauses together: most clients of 0.2 wait for some seconds, and what is gone for good must not cost them more.
const ACCEPT_PAUSES: Duration = Duration::from_millis(1500);
/// Nothing is tried again so long after the request, whatever the other server asks for.
const ACCEPT_TIME: Duration = Duration::from_secs(10);

/// `[jobs]`, as far as attempts are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_attempts: u32,
    pub(super) max_pause: Duration,
}

/// What becomes of a job after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It has failed.
    Final,
    /// It is tried again after this time.
    Again(Duration),
}

impl Policy {
    /// What becomes of a job that failed with `fault` after the attempts of `before`. `random` is from 0 to 1.
    pub(super) fn decide(self, fault: &Fault, before: &[FailedAttempt], random: f64) -> Decision {
        let same = |retry: Retry| before.iter().filter(|attempt| attempt.error.retry == retry).count();
        match fault.retry {
            Retry::Never => Decision::Final,
            Retry::Worker if same(Retry::Worker) + 1 >= MAX_DEATHS => Decision::Final,
            Retry::Remote if same(Retry::Remote) + 1 >= self.max_attempts as usize => Decision::Final,
            Retry::Worker => Decision::Again(self.pause(same(Retry::Worker), random)),
            Retry::Remote => Decision::Again(self.pause(same(Retry::Remote), random).max(self.asked(fault))),
            // What is refused until a certain time is so until then.
            Retry::Later if fault.kind == FaultKind::OperationSuspended => {
                Decision::Again(self.asked(fault) + LATER.mul_f64(random))
            }
            Retry::Later => Decision::Again(LATER.mul_f64(0.5 + random)),
        }
    }

    /// How long it is to wait at least, by who could not do it.
    fn asked(self, fault: &Fault) -> Duration {
        fault.retry_after_s.map(Duration::from_secs).unwrap_or_default().min(self.max_pause)
    }

    /// Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
    /// many jobs that fail of one server do not all come back at once.
    fn pause(self, failures: usize, random: f64) -> Duration {
        let most = BASE.saturating_mul(1 << failures.min(20)).min(self.max_pause);
        most.mul_f64(random)
    }
}

/// The pauses between attempts whose client waits for the reply.
#[derive(Debug, Default)]
pub(super) struct AcceptPauses {
    made: u32,
    in_all: Duration,
}

impl AcceptPauses {
    /// The next one after `fault`, `elapsed` after the request; none when it is time to say so. `random` is from 0 to 1.
    pub(super) fn next(&mut self, elapsed: Duration, fault: &Fault, random: f64) -> Option<Duration> {
        let asked = fault.retry_after_s.map(Duration::from_secs).unwrap_or_default();
        let own = ACCEPT_FIRST.saturating_mul(1 << self.made.min(20)).mul_f64(0.5 + random / 2.0);
        // Those that the other end asks for are its own to answer for; ours are few and short.
        if elapsed + asked.max(own) > ACCEPT_TIME || (asked.is_zero() && self.in_all + own > ACCEPT_PAUSES) {
            return None;
        }
        self.made += 1;
        self.in_all += own;
        Some(asked.max(own))
    }
}

/// A random number from 0 to 1.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { max_attempts: 5, max_pause: Duration::from_secs(300) };

    fn fault(retry: Retry) -> Fault {
        Fault::new(FaultKind::SourceUnavailable, "x").retried(retry)
    }

    fn after(retry: Retry, failures: u32) -> Vec<FailedAttempt> {
        (1..=failures).map(|number| FailedAttempt { number, ended_at_ms: 0, error: fault(retry) }).collect()
    }

    fn decide(retry: Retry, failures: u32, random: f64) -> Decision {
        POLICY.decide(&fault(retry), &after(retry, failures), random)
    }

    #[test]
    fn who_is_to_blame_decides() {
        assert_eq!(decide(Retry::Never, 0, 0.5), Decision::Final);
        assert!(matches!(decide(Retry::Remote, 3, 0.5), Decision::Again(_)));
        assert_eq!(decide(Retry::Remote, 4, 0.5), Decision::Final, "the fifth attempt is the last");
        assert!(matches!(decide(Retry::Worker, 1, 0.5), Decision::Again(_)));
        assert_eq!(decide(Retry::Worker, 2, 0.5), Decision::Final, "the third dead worker is the last");
        assert!(matches!(decide(Retry::Later, 1000, 0.5), Decision::Again(_)));
        // What others were to blame for does not count.
        assert!(matches!(
            POLICY.decide(&fault(Retry::Worker), &after(Retry::Remote, 4), 0.5),
            Decision::Again(_)
        ));
    }

    #[test]
    fn what_is_suspended_is_not_tried_before_its_time() {
        let suspended = Fault::new(FaultKind::OperationSuspended, "x").retried(Retry::Later);
        let asks = |seconds| Fault { retry_after_s: Some(seconds), ..suspended.clone() };
        let pause = |seconds| POLICY.decide(&asks(seconds), &[], 0.0);
        assert_eq!(pause(40), Decision::Again(Duration::from_secs(40)));
        assert_eq!(pause(4000), Decision::Again(POLICY.max_pause));
    }

    #[test]
    fn a_client_that_waits_is_not_kept_waiting_for_long() {
        let (mut pauses, mut elapsed, mut made) = (AcceptPauses::default(), Duration::ZERO, 0);
        while let Some(pause) = pauses.next(elapsed, &fault(Retry::Remote), 1.0) {
            elapsed += pause;
            made += 1;
        }
        assert_eq!((made, elapsed), (3, Duration::from_millis(150 + 300 + 600)));
        let asks = |seconds| Fault { retry_after_s: Some(seconds), ..fault(Retry::Remote) };
        let next = |elapsed, seconds| {
            AcceptPauses::default().next(Duration::from_secs(elapsed), &asks(seconds), 1.0)
        };
        assert_eq!(next(0, 3), Some(Duration::from_secs(3)), "as it was asked for");
        assert_eq!((next(0, 30), next(8, 3)), (None, None), "that is for a later request");
    }

    #[test]
    fn pauses_are_random_double_and_end_at_the_cap() {
        for (failures, most) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
            assert_eq!(decide(Retry::Remote, failures, 1.0), Decision::Again(Duration::from_secs(most)));
            assert_eq!(decide(Retry::Remote, failures, 0.0), Decision::Again(Duration::ZERO));
        }
        let long = Policy { max_attempts: 100, ..POLICY };
        let decision = long.decide(&fault(Retry::Remote), &after(Retry::Remote, 50), 1.0);
        assert_eq!(decision, Decision::Again(POLICY.max_pause));
    }

    #[test]
    fn what_the_other_end_asks_for_is_kept_up_to_the_cap() {
        for (asked, wanted) in [(30, 30), (100_000, 300)] {
            let fault = Fault { retry_after_s: Some(asked), ..fault(Retry::Remote) };
            assert_eq!(POLICY.decide(&fault, &[], 0.0), Decision::Again(Duration::from_secs(wanted)));
        }
    }
}
