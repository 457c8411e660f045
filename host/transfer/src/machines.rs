//! On which machines servers are, as far as their names tell: those of one address are on one, under however many names and
//! ports. Only for sharing places out: what is connected to is resolved by itself, and checked.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::{may_have_more, network};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::peer::Server;

/// How long a place is waited for no longer because nobody knows where its servers are.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long it is remembered where a name leads.
const MEMORY: Duration = Duration::from_secs(60);
/// Of how many names.
const MOST: usize = 1024;
/// How many addresses of a name count.
const MOST_EACH: usize = 8;
/// Names looked up at once, beside those that are connected to; of one client never more than are left.
const MOST_AT_ONCE: usize = 64;

/// The machines of one name.
type Found = Arc<[Arc<str>]>;

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Machines {
    known: Mutex<HashMap<Arc<str>, (Instant, Found)>>,
    looking: Arc<Looking>,
}

impl Machines {
    /// The machines of these servers. Those of which nobody says in time where they are are taken for one, of `whose`.
    pub(super) async fn of(self: &Arc<Self>, servers: &[Server], whose: &Arc<str>) -> Vec<Arc<str>> {
        let until = Instant::now() + PATIENCE;
        let mut machines: Vec<Arc<str>> = Vec::new();
        for server in servers {
            let found = match self.of_host(server.host(), whose, until).await {
                Some(found) => found,
                None => Arc::from([Arc::from(format!("? {whose}"))]),
            };
            for machine in found.iter() {
                if !machines.contains(machine) {
                    machines.push(Arc::clone(machine));
                }
            }
        }
        machines
    }

    /// The machines of this host; none where nobody says so in time.
    async fn of_host(self: &Arc<Self>, host: &Arc<str>, whose: &Arc<str>, until: Instant) -> Option<Found> {
        if let Ok(address) = host.parse() {
            return Some(Arc::from([machine(address)]));
        }
        let before = match self.lock().get(host).cloned() {
            Some((since, found)) if since.elapsed() < MEMORY => return Some(found),
            before => before.map(|(_, found)| found),
        };
        let place = match before {
            Some(_) => self.looking.try_place(whose),
            None => timeout_at(until, self.looking.place(whose)).await.ok(),
        };
        // It is likely to lead still where it led before.
        let Some(place) = place else { return before };
        match timeout_at(until, self.look_up(host, place)).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(_)) | Err(_) => before,
        }
    }

    /// Looks a host up, and remembers what it finds even where nobody waits for it any more. The thread holds the place as long.
    fn look_up(self: &Arc<Self>, host: &Arc<str>, place: Place) -> JoinHandle<Found> {
        let (machines, host) = (Arc::clone(self), Arc::clone(host));
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let addresses = (&*host, 0).to_socket_addrs().into_iter().flatten();
            let mut found: Vec<_> = addresses.take(MOST_EACH).map(|address| machine(address.ip())).collect();
            if found.is_empty() {
                // It leads nowhere, as whoever connects to it is told.
                found.push(Arc::clone(&host));
            }
            let found = Found::from(found);
            machines.remember(&host, &found);
            found
        })
    }

    fn remember(&self, host: &Arc<str>, found: &Found) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, (since, _)| since.elapsed() < MEMORY);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(Arc::clone(host), (Instant::now(), Arc::clone(found)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, (Instant, Found)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn machine(address: IpAddr) -> Arc<str> {
    network(address).to_string().into()
}

/// Names that are being looked up, by whose they are.
#[derive(Debug, Default)]
struct Looking {
    clients: Mutex<HashMap<Arc<str>, usize>>,
    /// One is over.
    over: Notify,
}

/// A place to look a name up.
struct Place {
    looking: Arc<Looking>,
    whose: Arc<str>,
}

impl Looking {
    /// A place, if there is one at once.
    fn try_place(self: &Arc<Self>, whose: &Arc<str>) -> Option<Place> {
        let mut clients = self.lock();
        let left = MOST_AT_ONCE.saturating_sub(clients.values().sum());
        let own = clients.get(whose).copied().unwrap_or_default();
        if !may_have_more(own, left) {
            return None;
        }
        clients.insert(Arc::clone(whose), own + 1);
        Some(Place { looking: Arc::clone(self), whose: Arc::clone(whose) })
    }

    /// A place, as soon as there is one.
    async fn place(self: &Arc<Self>, whose: &Arc<str>) -> Place {
        loop {
            let over = self.over.notified();
            tokio::pin!(over);
            // Before looking: what is over meanwhile is not missed.
            over.as_mut().enable();
            if let Some(place) = self.try_place(whose) {
                return place;
            }
            over.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.looking.lock();
        match clients.get(&self.whose).copied().unwrap_or_default() {
            0 | 1 => drop(clients.remove(&self.whose)),
            more => drop(clients.insert(Arc::clone(&self.whose), more - 1)),
        }
        drop(clients);
        self.looking.over.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceUrl;

    async fn located(machines: &Arc<Machines>, hosts: &[&str]) -> Vec<String> {
        let server = |host: &&str| SourceUrl::parse(&format!("http://{host}/")).unwrap().server().unwrap();
        let servers: Vec<Server> = hosts.iter().map(server).collect();
        machines.of(&servers, &"ann".into()).await.iter().map(ToString::to_string).collect()
    }

    /// All places that there are for a client.
    fn taken(machines: &Machines, whose: &str) -> Vec<Place> {
        std::iter::from_fn(|| machines.looking.try_place(&whose.into())).collect()
    }

    #[tokio::test]
    async fn names_and_ports_of_one_address_are_one_machine() {
        let machines = Arc::default();
        let hosts = ["127.0.0.1:1", "127.0.0.1:2", "[::ffff:127.0.0.1]", "localhost:3"];
        let found = located(&machines, &hosts).await;
        // The system may know localhost by its other address as well.
        assert!(found.contains(&"127.0.0.1".to_owned()) && found.len() <= 2, "{found:?}");
        assert_eq!(located(&machines, &["[2001:db8::1]", "[2001:db8::2:0:0:1]"]).await, ["2001:db8::"]);
        assert!(located(&machines, &[]).await.is_empty());
        assert!(machines.looking.lock().is_empty(), "nothing is being looked up any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clients_names_of_which_nobody_says_where_they_lead_are_one_machine() {
        let machines = Arc::<Machines>::default();
        let all: Vec<Place> =
            (0..MOST_AT_ONCE).flat_map(|client| taken(&machines, &client.to_string())).collect();
        assert_eq!(all.len(), MOST_AT_ONCE);
        let began = Instant::now();
        assert_eq!(
            located(&machines, &["a.example", "b.example", "127.0.0.1"]).await,
            ["? ann", "127.0.0.1"]
        );
        assert!(began.elapsed() < 2 * PATIENCE, "{:?} for all of them together", began.elapsed());
        // What was known is good enough.
        let host: Arc<str> = "c.example".into();
        machines.remember(&host, &Arc::from([Arc::from("192.0.2.1")]));
        tokio::time::advance(2 * MEMORY).await;
        assert_eq!(located(&machines, &["c.example"]).await, ["192.0.2.1"]);
    }

    #[tokio::test]
    async fn a_client_whose_names_take_long_leaves_look_ups_to_others() {
        let machines = Arc::<Machines>::default();
        let slow = taken(&machines, "slow");
        assert_eq!(slow.len(), MOST_AT_ONCE / 2);
        assert_eq!(taken(&machines, "other").len(), MOST_AT_ONCE / 4);
        let (looking, whose) = (Arc::clone(&machines.looking), "slow".into());
        let waits = tokio::spawn(async move { looking.place(&whose).await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(slow);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_found_is_remembered_when_nobody_waits_for_it_any_more() {
        let (machines, host) = (Arc::<Machines>::default(), Arc::from("localhost"));
        let place = machines.looking.try_place(&"ann".into()).unwrap();
        drop(machines.look_up(&host, place));
        let known = async {
            while machines.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), known).await.unwrap();
        assert!(machines.lock().contains_key(&host));
    }

    #[test]
    fn no_more_than_so_many_names_are_remembered() {
        let machines = Machines::default();
        for number in 0..3 * MOST {
            machines.remember(&Arc::from(number.to_string()), &Arc::from([]));
            assert!(machines.lock().len() <= MOST);
        }
    }
}
