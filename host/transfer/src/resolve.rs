//! Host names to addresses that the policy permits. Only these are connected to, so what was checked is what is used:
//! by FTP through [`Resolver::addresses`], by reqwest as its resolver, one for each port that a rule names, as it does not
//! say for which port it asks.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustix::event::EventfdFlags;
use url::Host;

use super::config::KEY_ALLOW_NETWORKS;
use super::error::{TransferError, TransferErrorKind};
use super::lookups::{Lookups, look_up, whose};
use super::policy::{Allowed, Asked, Denied, check_address};

/// Names looked up at once for one client while there is no other. What is read from and written to files needs threads as well
/// (tokio has 512).
const MOST_LOOKUPS: usize = 64;

/// Why a host has no address to connect to.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("address {} of host {host} is not public: {}", .denied.address, advice(denied))]
    Denied { host: String, denied: Denied },
    #[error("address {} is not public: {}", .0.address, advice(.0))]
    DeniedLiteral(Denied),
    #[error("host {host} cannot be resolved")]
    Lookup { host: String, source: Arc<io::Error> },
    #[error("host {host} has no address")]
    Empty { host: String },
}

/// What to do to have it permitted.
fn advice(denied: &Denied) -> String {
    match denied.other_ports {
        false => format!("list it or its network in {KEY_ALLOW_NETWORKS} to permit it"),
        true => format!("{KEY_ALLOW_NETWORKS} lists other ports of it alone; list this one to permit it"),
    }
}

impl From<ResolveError> for TransferError {
    fn from(error: ResolveError) -> Self {
        let message = error.to_string();
        match error {
            ResolveError::Denied { denied, .. } | ResolveError::DeniedLiteral(denied) => {
                TransferError::new(TransferErrorKind::NotAllowed, message).with_source(denied)
            }
            ResolveError::Lookup { source, .. } => {
                TransferError::new(TransferErrorKind::Dns, message).with_source(source)
            }
            ResolveError::Empty { .. } => TransferError::new(TransferErrorKind::Dns, message),
        }
    }
}

/// Resolves by the system's resolver and drops what the policy denies.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    allow: Arc<[Allowed]>,
    pub(super) lookups: Lookups,
}

impl Resolver {
    pub(super) fn new(allow: &[Allowed]) -> Self {
        Self { allow: allow.into(), lookups: Lookups::new(MOST_LOOKUPS) }
    }

    /// One that permits every address, for servers that the operator has named.
    pub(super) fn of_operator(&self) -> Self {
        let every = ["0.0.0.0/0", "::/0"].map(|network| network.parse::<IpNet>().expect("it is one").into());
        Self { allow: every.into(), lookups: self.lookups.clone() }
    }

    /// The ports that rules name, each once.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.allow.iter().filter_map(|rule| rule.port).collect()
    }

    /// The permitted addresses of a host; at least one.
    pub(super) async fn addresses(
        &self,
        host: &Host<String>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        match self.check_literal(host, port)? {
            Some(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            None => {
                let host = host.to_string();
                let found = self.lookup(&host, port, &whose()).await?;
                self.permitted(Asked { name: Some(&host), port: Some(port) }, found)
            }
        }
    }

    /// The address of a host that is written as one, if permitted. Needed beside [`Resolve`], since reqwest does not
    /// ask its resolver about those.
    pub(super) fn check_literal<S>(&self, host: &Host<S>, port: u16) -> Result<Option<IpAddr>, ResolveError> {
        let ip = match host {
            Host::Domain(_) => return Ok(None),
            Host::Ipv4(v4) => (*v4).into(),
            Host::Ipv6(v6) => (*v6).into(),
        };
        let asked = Asked { name: None, port: Some(port) };
        check_address(ip, asked, &self.allow).map_err(ResolveError::DeniedLiteral)?;
        Ok(Some(ip))
    }

    async fn lookup(&self, host: &str, port: u16, whose: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let place = self.lookups.take(whose).await;
        look_up(host, port, place).await.map_err(|source| {
            // The system's resolver says that there is no such name, too, when it could open nothing to ask with.
            let source = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).err().map_or(source, Into::into);
            ResolveError::Lookup { host: host.to_owned(), source: Arc::new(source) }
        })
    }

    fn permitted(&self, asked: Asked, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
        let host = || asked.name.unwrap_or_default().to_owned();
        let mut first_denied = None;
        let mut permitted = Vec::new();
        for address in found {
            match check_address(address.ip(), asked, &self.allow) {
                Ok(()) => permitted.push(address),
                Err(denied) => first_denied = first_denied.or(Some(denied)),
            }
        }
        match (permitted.is_empty(), first_denied) {
            (false, _) => Ok(permitted),
            (true, Some(denied)) => Err(ResolveError::Denied { host: host(), denied }),
            (true, None) => Err(ResolveError::Empty { host: host() }),
        }
    }
}

/// The resolver of an HTTP client that connects to one port alone, or to none that a rule names.
#[derive(Debug, Clone)]
pub(super) struct ResolverAt {
    pub(super) resolver: Resolver,
    pub(super) port: Option<u16>,
}

impl Resolve for ResolverAt {
    fn resolve(&self, name: Name) -> Resolving {
        let (Self { resolver, port }, whose) = (self.clone(), whose());
        Box::pin(async move {
            // Port 0 leaves the choice to reqwest: the URL's port, or its scheme's.
            let found = resolver.lookup(name.as_str(), 0, &whose).await?;
            let addresses = resolver.permitted(Asked { name: Some(name.as_str()), port }, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_permitted_addresses_are_left() {
        let resolver = Resolver::new(&[]);
        let asked = |name| Asked { name: Some(name), port: Some(80) };
        let mixed = addresses(&["10.0.0.3:80", "8.8.8.8:80", "[::1]:80"]);
        assert_eq!(resolver.permitted(asked("mixed"), mixed).unwrap(), addresses(&["8.8.8.8:80"]));
        assert!(matches!(resolver.permitted(asked("none"), addresses(&[])), Err(ResolveError::Empty { .. })));
    }

    #[test]
    fn a_denied_host_names_address_host_and_key() {
        let asked = Asked { name: Some("db.local"), port: Some(5432) };
        let error = Resolver::new(&[]).permitted(asked, addresses(&["10.0.0.3:5432"])).unwrap_err();
        let error = TransferError::from(error);
        assert_eq!(error.kind(), TransferErrorKind::NotAllowed);
        assert_eq!(
            error.to_string(),
            "address 10.0.0.3 of host db.local is not public: list it or its network in [access] allow_networks to permit it"
        );
        let rule = Allowed { port: Some(80), .."10.0.0.0/8".parse::<IpNet>().unwrap().into() };
        let error = Resolver::new(&[rule]).permitted(asked, addresses(&["10.0.0.3:5432"])).unwrap_err();
        assert!(error.to_string().contains("lists other ports of it alone"), "{error}");
    }

    #[tokio::test]
    async fn localhost_is_denied_unless_listed() {
        let host = Host::Domain("localhost".to_owned());
        let denied = Resolver::new(&[]).addresses(&host, 80).await.unwrap_err();
        assert!(matches!(denied, ResolveError::Denied { .. }));
        let loopback = Resolver::new(&["127.0.0.0/8".parse::<IpNet>().unwrap().into()]);
        assert_eq!(loopback.addresses(&host, 80).await.unwrap(), addresses(&["127.0.0.1:80"]));
    }

    #[tokio::test]
    async fn literal_addresses_are_checked() {
        let host = Host::Ipv4([169, 254, 169, 254].into());
        assert!(matches!(Resolver::new(&[]).addresses(&host, 80).await, Err(ResolveError::DeniedLiteral(_))));
    }
}
