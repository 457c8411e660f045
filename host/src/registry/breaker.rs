//! Refuses a plugin, of an operation or a codec, for a while after it has failed several times in a row, so that a broken one does
//! not take the workers from all others. Then one job tries it: a success ends the refusal, a failure doubles it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A refusal is doubled no more often than this.
const MAX_DOUBLINGS: u32 = 5;

/// The breaker of one plugin, in one generation of workers.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Failures in a row after which it opens; 0 means never.
    limit: u32,
    pause: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    in_a_row: u32,
    /// How often it has opened since the last success.
    opened: u32,
    until: Option<Instant>,
    /// Whether a job is trying it.
    trial: bool,
}

/// A breaker as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BreakerState {
    /// Whether it is refused.
    pub open: bool,
    /// The plugin's failures in a row.
    pub failures: u32,
    /// Seconds until it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Breaker {
    /// One that opens after `limit` failures in a row, never when that is 0, for `pause` at first.
    pub(crate) fn new(limit: u32, pause: Duration) -> Self {
        Self { limit, pause, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job could be taken now; else how long the refusal lasts.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let now = Instant::now();
        match self.lock().until {
            Some(until) if until > now => Err(until - now),
            _ => Ok(()),
        }
    }

    /// Takes a job, if one may be taken now; else says how long the refusal lasts.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        self.admit_at(Instant::now())
    }

    /// A job has succeeded. One that was taken before the refusal began does not end it.
    pub(crate) fn succeeded(&self) {
        let mut inner = self.lock();
        if inner.until.is_none() || inner.trial {
            *inner = Inner::default();
        }
    }

    /// The plugin has failed a job. Gives for how long it is refused, when this has opened the breaker.
    pub(crate) fn failed(&self) -> Option<Duration> {
        self.failed_at(Instant::now())
    }

    /// The state now.
    pub(crate) fn state(&self) -> BreakerState {
        let inner = self.lock();
        let left = inner.until.and_then(|until| until.checked_duration_since(Instant::now()));
        BreakerState { open: left.is_some(), failures: inner.in_a_row, retry_after_s: left.map(seconds) }
    }

    fn admit_at(&self, now: Instant) -> Result<(), Duration> {
        let mut inner = self.lock();
        match inner.until {
            None => Ok(()),
            Some(until) if until > now => Err(until - now),
            Some(_) => {
                // This job tries it; the others wait for what becomes of it, or for another try.
                inner.trial = true;
                inner.until = Some(now + self.pause);
                Ok(())
            }
        }
    }

    fn failed_at(&self, now: Instant) -> Option<Duration> {
        let mut inner = self.lock();
        inner.in_a_row = inner.in_a_row.saturating_add(1);
        // Jobs that were accepted before it opened say nothing new.
        let opens =
            self.limit > 0 && (inner.trial || (inner.until.is_none() && inner.in_a_row >= self.limit));
        if !opens {
            return None;
        }
        let pause = self.pause.saturating_mul(1 << inner.opened.min(MAX_DOUBLINGS));
        inner.opened = inner.opened.saturating_add(1);
        inner.trial = false;
        inner.until = Some(now + pause);
        Some(pause)
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let (breaker, now) = (Breaker::new(3, SECOND), Instant::now());
        assert_eq!((breaker.failed_at(now), breaker.failed_at(now)), (None, None));
        breaker.succeeded();
        assert_eq!((breaker.failed_at(now), breaker.failed_at(now)), (None, None));
        assert_eq!(breaker.admit_at(now), Ok(()));
        assert_eq!(breaker.failed_at(now), Some(SECOND));
        assert_eq!(breaker.admit_at(now), Err(SECOND));
        assert_eq!(breaker.failed_at(now), None, "a job from before it opened");
    }

    #[test]
    fn one_job_tries_it_and_decides() {
        let (breaker, now) = (Breaker::new(1, SECOND), Instant::now());
        breaker.failed_at(now);
        let later = now + SECOND;
        assert_eq!(breaker.admit_at(later), Ok(()));
        assert_eq!(breaker.admit_at(later), Err(SECOND), "a second job beside the trial");
        assert_eq!(breaker.failed_at(later), Some(2 * SECOND), "the trial failed");
        assert_eq!(breaker.admit_at(later + SECOND), Err(SECOND));
        assert_eq!(breaker.admit_at(later + 2 * SECOND), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.admit_at(later + 2 * SECOND), Ok(()));
        assert_eq!(breaker.failed_at(later), Some(SECOND), "all is forgotten");
    }

    #[test]
    fn a_success_from_before_the_refusal_does_not_end_it() {
        let (breaker, now) = (Breaker::new(1, SECOND), Instant::now());
        breaker.failed_at(now);
        breaker.succeeded();
        assert_eq!(breaker.admit_at(now), Err(SECOND));
    }

    #[test]
    fn the_pause_has_an_end_and_zero_means_never() {
        let (breaker, mut now) = (Breaker::new(1, SECOND), Instant::now());
        let mut longest = SECOND;
        for _ in 0..20 {
            if let Some(pause) = breaker.failed_at(now) {
                longest = pause;
            }
            now += longest;
            assert_eq!(breaker.admit_at(now), Ok(()));
        }
        assert_eq!(longest, 32 * SECOND);
        let never = Breaker::new(0, SECOND);
        (0..100).for_each(|_| assert_eq!(never.failed_at(now), None));
        assert_eq!(never.admit_at(now), Ok(()));
    }
}
