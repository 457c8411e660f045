//! How many jobs are accepted and not finished, in all and for each API key: past the bounds new ones are refused. Where nodes share
//! a journal they are counted there now and then, and until they are counted again each node takes no more than its share of
//! what is left.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::Client;

/// Seconds after which a client that was refused should try again.
const RETRY_AFTER_S: u64 = 5;

/// For how long a count is as good as another.
const FRESH: Duration = Duration::from_millis(100);

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
    all: usize,
    by_client: HashMap<Client, usize>,
    /// Of several nodes.
    counted: Option<Counted>,
}

/// What was counted last, and what this node has taken since.
#[derive(Debug)]
struct Counted {
    at: Instant,
    nodes: usize,
    all: usize,
    by_client: HashMap<Client, usize>,
    since: usize,
    since_by_client: HashMap<Client, usize>,
}

impl Counted {
    /// Whether this node has taken its share of what was left of so many places.
    fn has_share(&self, most: usize, counted: usize, since: usize) -> bool {
        self.nodes > 1 && since >= most.saturating_sub(counted).div_ceil(self.nodes)
    }
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
        let mut taken = self.lock();
        taken.all += jobs;
        *taken.by_client.entry(client.clone()).or_default() += jobs;
    }

    /// So many jobs of all nodes are unfinished, of which there are so many.
    pub(super) fn counted(&self, unfinished: Vec<(Client, u64)>, nodes: usize) {
        let by_client: HashMap<Client, usize> =
            unfinished.into_iter().map(|(client, jobs)| (client, jobs as usize)).collect();
        let all = by_client.values().sum();
        let (at, since_by_client) = (Instant::now(), HashMap::new());
        let counted = Counted { at, nodes, all, by_client: by_client.clone(), since: 0, since_by_client };
        *self.lock() = Taken { all, by_client, counted: Some(counted) };
    }

    /// Whoever has this counts them.
    pub(super) async fn counting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.counting.lock().await
    }

    /// Whether counting them again tells nothing new.
    pub(super) fn is_fresh(&self) -> bool {
        self.lock().counted.as_ref().is_none_or(|counted| counted.at.elapsed() < FRESH)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`FaultKind::Busy`], or [`FaultKind::ClientBusy`] when only this client has too many.
    pub(super) fn enter(&self, client: &Client) -> Result<(), Fault> {
        let mut taken = self.lock();
        let own = taken.by_client.get(client).copied().unwrap_or_default();
        let (mut all_full, mut own_full) = (taken.all >= self.most, own >= self.most_per_client);
        if let Some(counted) = &taken.counted {
            let of = |by_client: &HashMap<Client, usize>| by_client.get(client).copied().unwrap_or_default();
            all_full |= counted.has_share(self.most, counted.all, counted.since);
            let (before, since) = (of(&counted.by_client), of(&counted.since_by_client));
            own_full |= counted.has_share(self.most_per_client, before, since);
        }
        if all_full {
            return Err(full(FaultKind::Busy, "the queue is full ([limits] max_queue)"));
        }
        if matches!(client, Client::Key(_)) && own_full {
            let text = "this API key has too many jobs waiting ([limits] max_queue_per_key)";
            return Err(full(FaultKind::ClientBusy, text));
        }
        taken.all += 1;
        *taken.by_client.entry(client.clone()).or_default() += 1;
        if let Some(counted) = &mut taken.counted {
            counted.since += 1;
            *counted.since_by_client.entry(client.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn leave(&self, client: &Client) {
        let mut taken = self.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_client.get_mut(client) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_client.remove(client);
            }
        }
    }

    /// Jobs accepted and not finished.
    pub(super) fn len(&self) -> usize {
        self.lock().all
    }

    /// Whether a new job would be refused whoever posts it.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.most
    }
}

fn full(kind: FaultKind, text: &str) -> Fault {
    Fault { retry_after_s: Some(RETRY_AFTER_S), ..Fault::new(kind, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_cannot_take_all_places() {
        let queue = Queue::new(3, 2);
        queue.enter(&Client::parse("a")).unwrap();
        queue.enter(&Client::parse("a")).unwrap();
        assert_eq!(queue.enter(&Client::parse("a")).unwrap_err().kind, FaultKind::ClientBusy);
        queue.enter(&Client::parse("b")).unwrap();
        assert_eq!(queue.enter(&Client::parse("c")).unwrap_err().kind, FaultKind::Busy);
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

    #[test]
    fn nodes_share_what_is_left_until_it_is_counted_again() {
        let queue = Queue::new(100, 50);
        let key = Client::parse("a");
        queue.counted(vec![(key.clone(), 30), (Client::Anyone, 40)], 3);
        let enter = |client: &Client| (0..100).take_while(|_| queue.enter(client).is_ok()).count();
        assert_eq!(
            (enter(&key), enter(&Client::Anyone)),
            (7, 3),
            "a third of 20 of its own, and of 30 in all"
        );
        assert_eq!((queue.len(), queue.is_full()), (80, false));
        queue.counted(vec![(key.clone(), 37), (Client::Anyone, 63)], 3);
        assert_eq!((enter(&key), queue.len()), (0, 100));
        queue.counted(vec![(Client::Anyone, 90)], 1);
        assert_eq!(enter(&key), 10, "alone it has all that is left");
        assert!(queue.is_fresh());
    }
}
