//! What is known of jobs under way beyond the journal: how far they are, that somebody wants them cancelled, and who
//! waits to hear of them. Nothing here needs to survive the process.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imgserve_base::fair::Flow;
use imgserve_base::job::JobId;
use imgserve_base::lease::Lease;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::leases;

/// Jobs under way, and watchers of any.
#[derive(Debug, Default)]
pub(super) struct Live {
    running: Mutex<HashMap<JobId, Arc<Running>>>,
    /// Jobs whose placeholders are being stored.
    accepting: Mutex<HashMap<JobId, (CancellationToken, Lease)>>,
    watchers: Mutex<HashMap<JobId, watch::Sender<()>>>,
    census: Arc<Mutex<Census>>,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Running {
    attempt: u32,
    /// Whose turn it is in.
    flow: Arc<str>,
    /// Bits of an `f32`, 0 to 1.
    progress: AtomicU32,
    stage: AtomicU8,
    standing: Mutex<Standing>,
    /// It is counted here.
    census: Arc<Mutex<Census>>,
    /// Somebody wants the job cancelled.
    cancel: CancellationToken,
    /// For how long it is this node's.
    lease: Lease,
    /// It is another node's by now.
    lost: CancellationToken,
}

/// How an attempt is to be counted.
#[derive(Debug, Default)]
struct Standing {
    /// For how many places it waits.
    waits: u32,
    is_over: bool,
}

impl Standing {
    fn counts(&self) -> Counts {
        let waits = self.waits > 0;
        Counts {
            under_way: usize::from(!self.is_over && !waits),
            waiting: usize::from(!self.is_over && waits),
        }
    }
}

/// How many attempts there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those that keep others from beginning.
    pub(super) under_way: usize,
    /// Those that wait for a place.
    pub(super) waiting: usize,
}

/// How many attempts there are, in all and by flow.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) all: Counts,
    flows: HashMap<Arc<str>, Counts>,
}

impl Census {
    /// One of a flow's attempts stands otherwise than before.
    fn change(&mut self, flow: &Arc<str>, before: Counts, now: Counts) {
        let own = self.flows.entry(Arc::clone(flow)).or_default();
        for counts in [&mut self.all, &mut *own] {
            counts.under_way = counts.under_way + now.under_way - before.under_way;
            counts.waiting = counts.waiting + now.waiting - before.waiting;
        }
        if *own == Counts::default() {
            self.flows.remove(flow);
        }
    }

    /// Those of a flow.
    pub(super) fn of(&self, flow: &str) -> Counts {
        self.flows.get(flow).copied().unwrap_or_default()
    }

    /// The flows that have any.
    pub(super) fn flows(&self) -> impl Iterator<Item = &Arc<str>> {
        self.flows.keys()
    }
}

/// What an attempt is at, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// It waits for its source.
    Fetching,
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Working,
    /// Results are being stored.
    Storing,
}

const STAGES: [Stage; 4] = [Stage::Fetching, Stage::Queued, Stage::Working, Stage::Storing];

impl Running {
    /// How much of the work is done, 0 to 1.
    pub(super) fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }

    pub(super) fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::Relaxed)) % STAGES.len()]
    }

    /// It waits for a place, and does not count as under way, until what is returned is dropped.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.stand(|standing| standing.waits += 1);
        Waits(self)
    }

    /// It stands otherwise from now on.
    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = lock(&self.standing);
        let before = standing.counts();
        change(&mut standing);
        lock(&self.census).change(&self.flow, before, standing.counts());
    }

    /// Whose turn it is in.
    pub(super) fn flow(&self) -> &Arc<str> {
        &self.flow
    }

    /// Somebody wants the job cancelled.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves when somebody wants the job cancelled.
    pub(super) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// For how long it is this node's.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Resolves when it may be another node's by now.
    pub(super) async fn lost(&self) {
        tokio::select! {
            () = leases::over(&self.lease) => {}
            () = self.lost.cancelled() => {}
        }
    }
}

/// An attempt that waits for a place.
#[derive(Debug)]
pub(super) struct Waits<'r>(&'r Running);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.stand(|standing| standing.waits -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// An attempt begins, which is this node's for as long as the lease lasts.
    pub(super) fn begin(&self, id: JobId, attempt: u32, flow: &Flow, lease: Lease) -> Arc<Running> {
        let running = Arc::new(Running {
            attempt,
            flow: Arc::clone(flow.name()),
            progress: AtomicU32::new(0),
            stage: AtomicU8::new(0),
            standing: Mutex::default(),
            census: Arc::clone(&self.census),
            cancel: CancellationToken::new(),
            lease,
            lost: CancellationToken::new(),
        });
        lock(&self.census).change(&running.flow, Counts::default(), Standing::default().counts());
        let before = lock(&self.running).insert(id, Arc::clone(&running));
        before.iter().for_each(|before| before.stand(|standing| standing.is_over = true));
        self.changed(id);
        running
    }

    /// It is over, and the journal knows.
    pub(super) fn end(&self, id: JobId, attempt: u32) {
        let mut running = lock(&self.running);
        let is_it = running.get(&id).is_some_and(|running| running.attempt == attempt);
        let ended = is_it.then(|| running.remove(&id)).flatten();
        drop(running);
        ended.iter().for_each(|ended| ended.stand(|standing| standing.is_over = true));
        self.changed(id);
    }

    /// How much of an attempt's work is done, 0 to 1.
    pub(super) fn progress(&self, id: JobId, running: &Running, done: f32) {
        running.progress.store(done.to_bits(), Ordering::Relaxed);
        self.changed(id);
    }

    pub(super) fn enter(&self, id: JobId, running: &Running, stage: Stage) {
        let index = STAGES.iter().position(|known| *known == stage).unwrap_or_default();
        running.stage.store(index as u8, Ordering::Relaxed);
        self.changed(id);
    }

    pub(super) fn get(&self, id: JobId) -> Option<Arc<Running>> {
        lock(&self.running).get(&id).cloned()
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.running).len()
    }

    /// How many are under way and how many wait, whose they are; none begins or ends while it is held.
    pub(super) fn census(&self) -> MutexGuard<'_, Census> {
        lock(&self.census)
    }

    /// The attempts under way.
    pub(super) fn attempts(&self) -> Vec<(JobId, u32)> {
        lock(&self.running).iter().map(|(id, running)| (*id, running.attempt)).collect()
    }

    /// Tells of every change of a job from now on.
    pub(super) fn watch(&self, id: JobId) -> watch::Receiver<()> {
        let mut watchers = lock(&self.watchers);
        // No more than are watched: who watches a job that has ended is told of no further change.
        watchers.retain(|_, sender| sender.receiver_count() > 0);
        watchers.entry(id).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Of the attempts that were to be extended, those that are `kept` last until then; the others are another node's by now.
    pub(super) fn extend(&self, asked: &[(JobId, u32)], kept: &[(JobId, u32)], until_ms: u64) {
        let kept: HashSet<&(JobId, u32)> = kept.iter().collect();
        let running = lock(&self.running);
        for (id, attempt) in asked {
            let Some(running) = running.get(id).filter(|running| running.attempt == *attempt) else {
                continue;
            };
            if kept.contains(&(*id, *attempt)) {
                running.lease.extend(until_ms);
            } else {
                running.lease.end();
                running.lost.cancel();
            }
        }
        let accepting = lock(&self.accepting);
        let still = accepting.iter().filter(|(id, _)| kept.contains(&(**id, 0)));
        still.for_each(|(_, (_, lease))| lease.extend(until_ms));
    }

    /// Those that are watched and are not under way here: what becomes of them another node knows.
    pub(super) fn watched_elsewhere(&self) -> Vec<JobId> {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|_, sender| sender.receiver_count() > 0);
        let running = lock(&self.running);
        watchers.keys().copied().filter(|id| !running.contains_key(id)).collect()
    }

    /// A job's placeholders are about to be stored, which is this node's to do as long as the lease lasts: what says that somebody wants
    /// it cancelled.
    pub(super) fn accept(&self, id: JobId, lease: Lease) -> CancellationToken {
        lock(&self.accepting).entry(id).or_insert_with(|| (CancellationToken::new(), lease)).0.clone()
    }

    /// They are stored, or will not be.
    pub(super) fn accepted(&self, id: JobId) {
        lock(&self.accepting).remove(&id);
    }

    /// Somebody wants a job cancelled that this node has in hand.
    pub(super) fn cancel(&self, id: JobId) {
        if let Some(running) = self.get(id) {
            running.cancel();
        }
        self.cancel_accepting(id);
    }

    /// Somebody wants a job cancelled whose placeholders are being stored.
    pub(super) fn cancel_accepting(&self, id: JobId) {
        if let Some((token, _)) = lock(&self.accepting).get(&id) {
            token.cancel();
        }
    }

    /// Whether this node has the job in hand.
    pub(super) fn has(&self, id: JobId) -> bool {
        lock(&self.running).contains_key(&id) || lock(&self.accepting).contains_key(&id)
    }

    /// Something of a job has changed.
    pub(super) fn changed(&self, id: JobId) {
        let mut watchers = lock(&self.watchers);
        let Some(sender) = watchers.get(&id) else { return };
        if sender.send(()).is_err() {
            // The last one has gone.
            watchers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::clock::steady_ms;

    use super::*;

    #[tokio::test]
    async fn watchers_hear_of_changes_and_are_forgotten_when_gone() {
        let live = Live::default();
        let id = JobId::generate();
        let mut watcher = live.watch(id);
        let running = live.begin(id, 1, &Flow::new("shop", 1), Lease::endless());
        let counts = || {
            let census = live.census();
            (census.all, census.of("shop"), census.of(""))
        };
        let one = Counts { under_way: 1, waiting: 0 };
        assert_eq!(counts(), (one, one, Counts::default()));
        let waits = (running.wait(), running.wait());
        let one = Counts { under_way: 0, waiting: 1 };
        assert_eq!((live.len(), counts()), (1, (one, one, Counts::default())));
        drop(waits);
        assert_eq!(live.census().all.under_way, 1);
        watcher.changed().await.unwrap();
        live.progress(id, &running, 0.5);
        live.enter(id, &running, Stage::Storing);
        watcher.changed().await.unwrap();
        let running = live.get(id).unwrap();
        assert_eq!((running.progress(), running.stage()), (0.5, Stage::Storing));
        drop(watcher);
        live.end(id, 2);
        assert_eq!(live.len(), 1, "a stale attempt ends nothing");
        let waits = running.wait();
        live.end(id, 1);
        assert!(live.get(id).is_none() && lock(&live.watchers).is_empty());
        drop(waits);
        assert_eq!((counts().0, live.census().flows().count()), (Counts::default(), 0));
    }

    #[test]
    fn of_two_attempts_of_a_job_the_later_counts() {
        let (live, id) = (Live::default(), JobId::generate());
        let [first, last] =
            [1, 2].map(|attempt| live.begin(id, attempt, &Flow::new("shop", 1), Lease::endless()));
        let _waits = first.wait();
        assert_eq!(live.census().of("shop"), Counts { under_way: 1, waiting: 0 });
        let _waits = last.wait();
        assert_eq!(live.census().of("shop"), Counts { under_way: 0, waiting: 1 });
    }

    #[tokio::test]
    async fn what_is_not_kept_is_lost_and_what_is_accepted_is_kept_too() {
        let (live, [kept, lost, accepting]) = (Live::default(), [(); 3].map(|()| JobId::generate()));
        let lease = || Lease::until(steady_ms() + 60_000);
        let flow = Flow::new("shop", 1);
        let [of_kept, of_lost] = [kept, lost].map(|id| live.begin(id, 1, &flow, lease()));
        let of_accepting = lease();
        live.accept(accepting, of_accepting.clone());
        let later = steady_ms() + 90_000;
        live.extend(&[(kept, 1), (lost, 1)], &[(kept, 1), (accepting, 0)], later);
        of_lost.lost().await;
        assert_eq!((of_kept.lease().end_ms(), of_accepting.end_ms()), (Some(later), Some(later)));
        assert!(live.has(accepting) && !live.has(JobId::generate()));
        live.extend(&[(kept, 7)], &[], later);
        assert!(!of_kept.lease().is_over(), "another attempt");
    }

    #[test]
    fn what_is_under_way_here_is_not_looked_for_elsewhere() {
        let (live, [here, elsewhere, gone]) = (Live::default(), [(); 3].map(|()| JobId::generate()));
        let _watchers = [here, elsewhere].map(|id| live.watch(id));
        drop(live.watch(gone));
        live.begin(here, 1, &Flow::new("shop", 1), Lease::endless());
        assert_eq!(live.watched_elsewhere(), [elsewhere]);
    }
}
