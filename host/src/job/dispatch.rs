//! Which jobs run: claims them from the journal, no more than can be under way at once, and extends the leases of those
//! that are. A job that was just accepted brings along what acceptance has of it already; any other begins anew.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::generation::Generation;
use super::instructions::Instructions;
use super::record::{JobId, now_ms};
use super::run::{Attempt, Supply};
use super::service::{Service, Settings};
use crate::journal::Claim;

/// How long a claim holds without being extended.
const LEASE: Duration = Duration::from_secs(60);
/// Pause after the journal could not be asked.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How often finished jobs beyond those that are remembered are forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(5);
/// How long idempotency keys are remembered.
const KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// Most jobs whose sources are kept while they wait: each may hold some bytes that no limit counts.
const MOST_WARM: usize = 512;

/// What acceptance leaves behind for the job's first attempt.
#[derive(Debug)]
pub(super) struct Warmth {
    pub(super) supply: Supply,
    pub(super) generation: Arc<Generation>,
    pub(super) settings: Arc<Settings>,
    /// How long storing the placeholders took.
    pub(super) placeholder: Duration,
    /// Whether the job comes from the journal alone: an attempt before may have left something behind.
    pub(super) cold: bool,
}

impl Warmth {
    /// Nothing: the job is taken up again.
    pub(super) fn none(service: &Service) -> Self {
        Self {
            supply: Supply::Again,
            generation: service.generation(),
            settings: service.settings(),
            placeholder: Duration::ZERO,
            cold: true,
        }
    }
}

/// Accepted jobs that have not begun.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<HashMap<JobId, Warmth>>);

impl Warm {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Warmth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it, unless there is too much already: then the source is fetched again.
    pub(super) fn keep(&self, id: JobId, warmth: Warmth) {
        let mut warm = self.lock();
        if warm.len() < MOST_WARM {
            warm.insert(id, warmth);
        }
    }

    pub(super) fn take(&self, id: JobId) -> Option<Warmth> {
        self.lock().remove(&id)
    }
}

/// Lease of a claim made now, in milliseconds since 1970.
fn lease() -> u64 {
    now_ms() + LEASE.as_millis() as u64
}

/// Claims and starts jobs until the server stops.
pub(super) async fn dispatch(service: Arc<Service>) {
    let mut next_due_ms = None;
    let mut trouble = false;
    loop {
        let free = service.window.saturating_sub(service.live.len());
        let mut pause = None;
        if free > 0 {
            match service.journal.claim(free, now_ms(), lease()).await {
                Ok(claimed) => {
                    trouble = false;
                    if !claimed.claims.is_empty() {
                        crate::crash::point("job-after-claim");
                    }
                    // More may wait than there was room for: then the end of each attempt asks again.
                    service.backlog.store(claimed.claims.len() >= free, Ordering::Release);
                    next_due_ms = claimed.next_due_ms;
                    claimed.claims.into_iter().for_each(|claim| start(&service, claim));
                }
                Err(error) => {
                    // Once, and not every second.
                    if !std::mem::replace(&mut trouble, true) {
                        tracing::error!("no job can be started: {error}");
                    }
                    pause = Some(TROUBLE_PAUSE);
                }
            }
        } else {
            service.backlog.store(true, Ordering::Release);
        }
        service.next_due_ms.store(next_due_ms.unwrap_or(u64::MAX), Ordering::Release);
        service.idle.notify_waiters();
        let due = next_due_ms.map(|due| Duration::from_millis(due.saturating_sub(now_ms())));
        // Whatever becomes of clocks: it is looked again now and then.
        let sleep = pause.or(due.filter(|_| free > 0)).unwrap_or(LEASE).min(LEASE);
        tokio::select! {
            () = service.stopping.cancelled() => return,
            () = service.wake.notified(), if pause.is_none() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

fn start(service: &Arc<Service>, claim: Claim) {
    let Claim { record, order } = claim;
    let running = service.live.begin(record.id, record.attempt);
    let warmth = service.warm.take(record.id).unwrap_or_else(|| Warmth::none(service));
    let instructions = Instructions::parse(&order, &record);
    let attempt = Attempt::new(Arc::clone(service), record, running, warmth);
    service.attempts.spawn(attempt.run_to_end(instructions));
}

/// Extends the leases of attempts under way, and forgets what is too old.
pub(super) async fn keep_house(service: Arc<Service>) {
    let mut heartbeat = tokio::time::interval(LEASE / 3);
    let mut prune = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        let done = tokio::select! {
            () = service.stopping.cancelled() => return,
            _ = heartbeat.tick() => {
                let attempts = service.live.attempts();
                if attempts.is_empty() { continue }
                service.journal.heartbeat(attempts, lease()).await
            }
            _ = prune.tick() => {
                if !service.ended.swap(false, Ordering::AcqRel) { continue }
                let keys_before = now_ms().saturating_sub(KEY_AGE.as_millis() as u64);
                service.journal.prune(service.keep_finished, keys_before).await
            }
        };
        if let Err(error) = done {
            tracing::error!("{error}");
        }
    }
}
