//! On which machines servers are, as far as their names tell: those of one address are on one, under however many names and
//! ports. Only for sharing places out: what is connected to is resolved by itself, and checked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::network;
use tokio::time::{Instant, timeout_at};

use super::lookups::{Lookups, look_up};
use super::peer::Server;

/// How long a place is waited for no longer because nobody knows where its servers are.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long it is remembered where a name leads.
const MEMORY: Duration = Duration::from_secs(60);
/// Of how many names.
const MOST: usize = 1024;
/// How many addresses of a name count.
const MOST_EACH: usize = 8;
/// Names looked up at once for one client while there is no other, beside those that are connected to.
const MOST_AT_ONCE: usize = 32;

/// The machines of one name.
type Found = Arc<[Arc<str>]>;

/// What is known of names.
#[derive(Debug)]
pub(super) struct Machines {
    known: Mutex<HashMap<Arc<str>, (Instant, Found)>>,
    looking: Lookups,
}

impl Default for Machines {
    fn default() -> Self {
        Self { known: Mutex::default(), looking: Lookups::new(MOST_AT_ONCE) }
    }
}

impl Machines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, (Instant, Found)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machines of these servers. Those of which nobody says in time where they are are taken for one, of `whose`.
    pub(super) async fn of(&self, servers: &[Server], whose: &str) -> Vec<Arc<str>> {
        let until = Instant::now() + PATIENCE;
        let mut machines: Vec<Arc<str>> = Vec::new();
        for server in servers {
            let found = match self.of_host(server.host(), until, whose).await {
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
    async fn of_host(&self, host: &Arc<str>, until: Instant, whose: &str) -> Option<Found> {
        if let Ok(address) = host.parse() {
            return Some(Arc::from([machine(address)]));
        }
        let before = match self.lock().get(host).cloned() {
            Some((since, found)) if since.elapsed() < MEMORY => return Some(found),
            before => before.map(|(_, found)| found),
        };
        let place = match before {
            Some(_) => self.looking.try_take(whose),
            None => timeout_at(until, self.looking.take(whose)).await.ok(),
        };
        // It is likely to lead still where it led before.
        let Some(place) = place else { return before };
        let Ok(addresses) = timeout_at(until, look_up(host, 0, place)).await else { return before };
        let found: Found = match addresses {
            Ok(addresses) if !addresses.is_empty() => {
                addresses.into_iter().take(MOST_EACH).map(|address| machine(address.ip())).collect()
            }
            // It leads nowhere, as whoever connects to it is told.
            _ => Arc::from([Arc::clone(host)]),
        };
        self.remember(host, &found);
        Some(found)
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
}

fn machine(address: IpAddr) -> Arc<str> {
    network(address).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceUrl;

    async fn located(machines: &Machines, hosts: &[&str]) -> Vec<String> {
        let server = |host: &&str| SourceUrl::parse(&format!("http://{host}/")).unwrap().server().unwrap();
        let servers: Vec<Server> = hosts.iter().map(server).collect();
        machines.of(&servers, "ann").await.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn names_and_ports_of_one_address_are_one_machine() {
        let machines = Machines::default();
        let hosts = ["127.0.0.1:1", "127.0.0.1:2", "[::ffff:127.0.0.1]", "localhost:3"];
        let found = located(&machines, &hosts).await;
        // The system may know localhost by its other address as well.
        assert!(found.contains(&"127.0.0.1".to_owned()) && found.len() <= 2, "{found:?}");
        assert_eq!(located(&machines, &["[2001:db8::1]", "[2001:db8::2:0:0:1]"]).await, ["2001:db8::"]);
        assert!(located(&machines, &[]).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clients_names_of_which_nobody_says_where_they_lead_are_one_machine() {
        let machines = Machines::default();
        let _all: Vec<_> = std::iter::from_fn(|| machines.looking.try_take("ann")).collect();
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
    async fn a_client_whose_names_nobody_knows_has_others_find_theirs() {
        let machines = Machines::default();
        let _all: Vec<_> = std::iter::from_fn(|| machines.looking.try_take("many")).collect();
        let found = located(&machines, &["localhost"]).await;
        assert!(found.contains(&"127.0.0.1".to_owned()), "{found:?}");
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
