//! Whose turn it is: clients with a key are one flow each, clients without one flow for each address.

use std::net::IpAddr;

use imgserve_base::fair::{Flow, Turn, may_have_more, network};
use imgserve_base::job::{Client, JobId};

use super::live::{Running, Waits};
use super::service::Service;
use super::shares::Share;

/// The name of a client's flow. No key is called so.
pub(crate) fn flow(client: &Client, address: Option<IpAddr>) -> String {
    match (client, address) {
        (Client::Anyone, Some(address)) => format!("ip:{}", network(address)),
        _ => client.to_string(),
    }
}

impl Service {
    /// The flow of this name, with the weight that is in force.
    pub(super) fn flow(&self, name: &str) -> Flow {
        Flow::new(name, self.keys().weight(name))
    }

    /// Whether another of a flow's jobs could begin now.
    pub(super) fn may_begin(&self, flow: &Flow) -> bool {
        let census = self.live().census();
        may_have_more(census.of(flow.name()).under_way, self.turns().free(&census))
    }

    /// An attempt waits for a place and keeps no other from beginning, until what is returned is dropped. None where too many of
    /// its client's do.
    pub(super) fn park<'r>(&self, running: &'r Running) -> Option<Waits<'r>> {
        let room = self.turns().parking().has_room(&self.live().census(), running.flow());
        let waits = room.then(|| running.wait())?;
        self.wakeups().over();
        Some(waits)
    }

    /// A place to show a job's end at its destinations while nobody waits for that, as somebody has cancelled it. None where too
    /// many of its client's are to be shown.
    pub(super) fn shows(&self, id: JobId, turn: &Turn) -> Option<Share> {
        let place = self.turns().try_show(turn);
        if place.is_none() {
            tracing::warn!(job = %id, "its end is not shown: too much else is to be");
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_flow_and_without_keys_an_address() {
        for (client, address, name) in [
            ("shop", "192.0.2.1", "shop"),
            ("url:web", "192.0.2.1", "url:web"),
            ("", "192.0.2.1", "ip:192.0.2.1"),
            ("", "::ffff:192.0.2.1", "ip:192.0.2.1"),
            ("", "2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::"),
        ] {
            assert_eq!(flow(&Client::parse(client), Some(address.parse().unwrap())), name);
        }
        assert_eq!(flow(&Client::Anyone, None), "");
    }
}
