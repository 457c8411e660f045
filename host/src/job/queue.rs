//! How many jobs are accepted and not finished, in all and for each API key: past the bounds new ones are refused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::Client;

/// Seconds after which a client that was refused should try again.
const RETRY_AFTER_S: u64 = 5;

/// The places of accepted jobs.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    most_per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Client, usize>,
}

impl Queue {
    /// Bounds for all clients together and for each API key; those without a key share the first alone.
    pub(super) fn new(most: usize, most_per_client: usize) -> Self {
        Self { most, most_per_client, taken: Mutex::default() }
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

    /// Takes a place.
    ///
    /// # Errors
    /// [`FaultKind::Busy`], or [`FaultKind::ClientBusy`] when only this client has too many.
    pub(super) fn enter(&self, client: &Client) -> Result<(), Fault> {
        let mut taken = self.lock();
        if taken.all >= self.most {
            return Err(full(FaultKind::Busy, "the queue is full ([limits] max_queue)"));
        }
        let own = taken.by_client.get(client).copied().unwrap_or_default();
        if matches!(client, Client::Key(_)) && own >= self.most_per_client {
            let text = "this API key has too many jobs waiting ([limits] max_queue_per_key)";
            return Err(full(FaultKind::ClientBusy, text));
        }
        taken.all += 1;
        *taken.by_client.entry(client.clone()).or_default() += 1;
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
}
