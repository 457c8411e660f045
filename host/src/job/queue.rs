//! How many jobs are accepted and not finished, in all and for each API key: past the bounds new ones are refused. Where nodes share
//! a journal they are counted there: every second as long as there are few, and at every turn where half of a bound may be reached.
//! Until they are counted again each node takes no more than its share of what is left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::Client;

use super::service::Service;

/// Seconds after which a client that was refused should try again.
const RETRY_AFTER_S: u64 = 5;

/// For how long a count is good where there are many.
const FRESH: Duration = Duration::from_millis(20);

/// The places of accepted jobs.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    most_per_client: usize,
    taken: Mutex<Taken>,
    /// Held while they are counted.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Taken {
    jobs: Jobs,
    /// Of those the ones that are not in the journal yet.
    coming: Jobs,
    /// Of several nodes.
    counted: Option<Counted>,
}

/// How many jobs there are.
#[derive(Clone, Debug, Default)]
struct Jobs {
    all: usize,
    by_client: HashMap<Client, usize>,
}

impl Jobs {
    fn of(&self, client: &Client) -> usize {
        self.by_client.get(client).copied().unwrap_or_default()
    }

    fn add(&mut self, client: &Client, jobs: usize) {
        self.all += jobs;
        *self.by_client.entry(client.clone()).or_default() += jobs;
    }

    fn take_one(&mut self, client: &Client) {
        self.all = self.all.saturating_sub(1);
        if let Some(own) = self.by_client.get_mut(client) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_client.remove(client);
            }
        }
    }
}

/// What was counted in the journal last, and what this node has put there since.
#[derive(Debug)]
struct Counted {
    at: Instant,
    nodes: usize,
    jobs: Jobs,
    since: Jobs,
}

impl Counted {
    /// Whether this node may have another one, of which there may be so many, there were so many, and it has taken so many since.
    fn admits(&self, most: usize, before: usize, since: usize) -> Result<(), Wants> {
        let share = |most: usize| most.saturating_sub(before).div_ceil(self.nodes);
        if since < share(most / 2) {
            return Ok(());
        }
        match self.at.elapsed() < FRESH {
            true if before >= most => Err(Wants::Room),
            true if since < share(most) => Ok(()),
            _ => Err(Wants::Count),
        }
    }
}

/// A job that has a place and is on its way into the journal, until this is dropped.
#[derive(Debug)]
pub(super) struct Coming {
    service: Arc<Service>,
    client: Client,
}

impl Coming {
    /// Of one that has just been given a place.
    pub(super) fn new(service: Arc<Service>, client: Client) -> Self {
        Self { service, client }
    }

    /// It is there.
    pub(super) fn arrives(self) {
        self.service.queue().comes(&self.client);
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.service.queue().has_come(&self.client);
    }
}

/// What is missing for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Room,
    Count,
}

/// Why no place is given.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// There is none.
    Full(Fault),
    /// There may be one: it takes another count than this one.
    Uncounted(Instant),
}

impl Queue {
    /// Bounds for all clients together and for each API key; those without a key share the first alone.
    pub(super) fn new(most: usize, most_per_client: usize) -> Self {
        Self { most, most_per_client, taken: Mutex::default(), counting: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts in what the journal holds already, whatever the bounds.
    pub(super) fn restore(&self, client: &Client, jobs: usize) {
        self.lock().jobs.add(client, jobs);
    }

    /// So many jobs of all nodes are unfinished, of which there are so many.
    pub(super) fn counted(&self, unfinished: Vec<(Client, u64)>, nodes: usize) {
        let mut jobs = Jobs::default();
        unfinished.iter().for_each(|(client, count)| jobs.add(client, *count as usize));
        let mut taken = self.lock();
        taken.jobs = jobs.clone();
        let Taken { jobs: all, coming, .. } = &mut *taken;
        coming.by_client.iter().for_each(|(client, count)| all.add(client, *count));
        taken.counted = Some(Counted { at: Instant::now(), nodes, jobs, since: Jobs::default() });
    }

    /// A job that has a place is in the journal.
    fn comes(&self, client: &Client) {
        if let Some(counted) = &mut self.lock().counted {
            counted.since.add(client, 1);
        }
    }

    /// A job that has a place is in the journal, or will not be.
    fn has_come(&self, client: &Client) {
        self.lock().coming.take_one(client);
    }

    /// Whoever has this counts them.
    pub(super) async fn counting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.counting.lock().await
    }

    /// How long it is until a count tells something new that is not that one; none where another one has been made.
    pub(super) fn good_for(&self, count: Instant) -> Option<Duration> {
        let taken = self.lock();
        let same = taken.counted.as_ref().is_some_and(|counted| counted.at == count);
        same.then(|| FRESH.saturating_sub(count.elapsed()))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`FaultKind::Busy`], or [`FaultKind::ClientBusy`] when only this client has too many; or another count is needed.
    pub(super) fn enter(&self, client: &Client) -> Result<(), Refusal> {
        let mut taken = self.lock();
        let has_key = matches!(client, Client::Key(_));
        let (all, own) = match taken.counted.as_ref().filter(|counted| counted.nodes > 1) {
            Some(counted) => {
                let Counted { jobs, since, .. } = counted;
                let all = counted.admits(self.most, jobs.all, since.all + taken.coming.all);
                let own = (jobs.of(client), since.of(client) + taken.coming.of(client));
                let own = if has_key { counted.admits(self.most_per_client, own.0, own.1) } else { Ok(()) };
                if [all, own].contains(&Err(Wants::Count)) && ![all, own].contains(&Err(Wants::Room)) {
                    return Err(Refusal::Uncounted(counted.at));
                }
                (all.is_ok(), own.is_ok())
            }
            None => (taken.jobs.all < self.most, !has_key || taken.jobs.of(client) < self.most_per_client),
        };
        if !all {
            return Err(Refusal::Full(full(FaultKind::Busy, "the queue is full ([limits] max_queue)")));
        }
        if !own {
            let text = "this API key has too many jobs waiting ([limits] max_queue_per_key)";
            return Err(Refusal::Full(full(FaultKind::ClientBusy, text)));
        }
        taken.jobs.add(client, 1);
        taken.coming.add(client, 1);
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn leave(&self, client: &Client) {
        self.lock().jobs.take_one(client);
    }

    /// Jobs accepted and not finished.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.all
    }

    /// Whether a new job would be refused whoever posts it.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.most
    }
}

/// Of a client whose place others have had each time.
pub(super) fn too_many() -> Fault {
    full(FaultKind::Busy, "the queue is nearly full, and many jobs come at once ([limits] max_queue)")
}

fn full(kind: FaultKind, text: &str) -> Fault {
    Fault { retry_after_s: Some(RETRY_AFTER_S), ..Fault::new(kind, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(queue: &Queue, client: &str) -> FaultKind {
        match queue.enter(&Client::parse(client)) {
            Err(Refusal::Full(fault)) => fault.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_key_cannot_take_all_places() {
        let queue = Queue::new(3, 2);
        queue.enter(&Client::parse("a")).unwrap();
        queue.enter(&Client::parse("a")).unwrap();
        assert_eq!(refused(&queue, "a"), FaultKind::ClientBusy);
        queue.enter(&Client::parse("b")).unwrap();
        assert_eq!(refused(&queue, "c"), FaultKind::Busy);
        queue.leave(&Client::parse("a"));
        assert_eq!(queue.len(), 2);
        queue.enter(&Client::parse("a")).unwrap();
    }

    #[test]
    fn clients_without_a_key_share_the_whole_queue_and_old_jobs_count() {
        let queue = Queue::new(3, 1);
        queue.restore(&Client::Anyone, 2);
        queue.enter(&Client::parse("")).unwrap();
        assert!(queue.is_full() && queue.enter(&Client::parse("")).is_err());
    }

    /// How many are taken before another count is needed.
    fn enter(queue: &Queue, client: &Client) -> usize {
        (0..1000).take_while(|_| queue.enter(client).is_ok()).count()
    }

    #[test]
    fn nodes_share_what_is_left_until_it_is_counted_again() {
        let queue = Queue::new(100, 50);
        let key = Client::parse("a");
        queue.counted(vec![(key.clone(), 30), (Client::Anyone, 40)], 3);
        assert_eq!(
            (enter(&queue, &key), enter(&queue, &Client::Anyone)),
            (7, 3),
            "a third of 20 of its own, of 30 in all"
        );
        assert!(matches!(queue.enter(&key), Err(Refusal::Uncounted(_))), "others may not have had theirs");
        queue.counted(vec![(key.clone(), 30), (Client::Anyone, 43)], 3);
        assert_eq!((queue.len(), enter(&queue, &key)), (83, 0), "ten are not in the journal yet");
        (0..7).for_each(|_| queue.has_come(&key));
        (0..3).for_each(|_| queue.has_come(&Client::Anyone));
        queue.counted(vec![(key.clone(), 37), (Client::Anyone, 63)], 3);
        assert_eq!((refused(&queue, "b"), queue.len(), queue.is_full()), (FaultKind::Busy, 100, true));
        queue.counted(vec![(key.clone(), 50)], 3);
        assert_eq!(refused(&queue, "a"), FaultKind::ClientBusy);
        queue.counted(vec![(Client::Anyone, 90)], 1);
        assert_eq!(enter(&queue, &key), 10, "alone it has all that is left");
    }

    #[test]
    fn what_has_come_since_the_count_is_counted() {
        let (queue, key) = (Queue::new(100, 100), Client::parse("a"));
        queue.counted(vec![(key.clone(), 40)], 3);
        assert_eq!(enter(&queue, &key), 20);
        (0..20).for_each(|_| queue.comes(&key));
        (0..20).for_each(|_| queue.has_come(&key));
        assert_eq!(enter(&queue, &key), 0);
    }

    #[test]
    fn an_old_count_is_good_for_a_share_of_half_a_bound() {
        let queue = Queue::new(100, 100);
        queue.counted(vec![(Client::Anyone, 20)], 3);
        let at = queue.lock().counted.as_ref().unwrap().at;
        std::thread::sleep(FRESH);
        assert_eq!(enter(&queue, &Client::Anyone), 10);
        assert!(matches!(queue.enter(&Client::Anyone), Err(Refusal::Uncounted(count)) if count == at));
        assert_eq!(queue.good_for(at), Some(Duration::ZERO));
        queue.counted(vec![(Client::Anyone, 30)], 3);
        assert_eq!(queue.good_for(at), None, "another count has been made");
    }
}
