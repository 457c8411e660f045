//! Host names to addresses that the policy permits. Only these are connected to, so what was checked is what is used:
//! by FTP through [`Resolver::addresses`], by reqwest as its resolver.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Host;

use super::config::KEY_ALLOW_NETWORKS;
use super::error::{TransferError, TransferErrorKind};
use super::policy::{Denied, check_address};

/// Names looked up at once. A name server that does not answer holds a thread for longer than anybody waits for it, and what
/// is read from and written to files needs threads as well (tokio has 512).
const MOST_LOOKUPS: usize = 128;

/// Why a host has no address to connect to.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("address {} of host {host} is not public: list its network in {KEY_ALLOW_NETWORKS} to permit it", .denied.address)]
    Denied { host: String, denied: Denied },
    #[error("address {} is not public: list its network in {KEY_ALLOW_NETWORKS} to permit it", .0.address)]
    DeniedLiteral(Denied),
    #[error("host {host} cannot be resolved")]
    Lookup { host: String, source: Arc<io::Error> },
    #[error("host {host} has no address")]
    Empty { host: String },
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
    allow: Arc<[IpNet]>,
    lookups: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new(allow: &[IpNet]) -> Self {
        Self { allow: allow.into(), lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)) }
    }

    /// The permitted addresses of a host; at least one.
    pub(super) async fn addresses(
        &self,
        host: &Host<String>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        match self.check_literal(host)? {
            Some(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            None => self.lookup(&host.to_string(), port).await,
        }
    }

    /// The address of a host that is written as one, if permitted. Needed beside [`Resolve`], since reqwest does not
    /// ask its resolver about those.
    pub(super) fn check_literal<S>(&self, host: &Host<S>) -> Result<Option<std::net::IpAddr>, ResolveError> {
        let ip = match host {
            Host::Domain(_) => return Ok(None),
            Host::Ipv4(v4) => (*v4).into(),
            Host::Ipv6(v6) => (*v6).into(),
        };
        check_address(ip, &self.allow).map_err(ResolveError::DeniedLiteral)?;
        Ok(Some(ip))
    }

    async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let place = Arc::clone(&self.lookups).acquire_owned().await.expect("it is never closed");
        let name = host.to_owned();
        let lookup = move || {
            // Held by the thread, however long nobody waits for it any more.
            let _place = place;
            (name.as_str(), port).to_socket_addrs()
        };
        let found =
            tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other).and_then(|found| found);
        let found = found
            .map_err(|source| ResolveError::Lookup { host: host.to_owned(), source: Arc::new(source) })?;
        self.permitted(host, found)
    }

    fn permitted(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut first_denied = None;
        let mut permitted = Vec::new();
        for address in found {
            match check_address(address.ip(), &self.allow) {
                Ok(()) => permitted.push(address),
                Err(denied) => first_denied = first_denied.or(Some(denied)),
            }
        }
        match (permitted.is_empty(), first_denied) {
            (false, _) => Ok(permitted),
            (true, Some(denied)) => Err(ResolveError::Denied { host: host.to_owned(), denied }),
            (true, None) => Err(ResolveError::Empty { host: host.to_owned() }),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // Port 0 leaves the choice to reqwest: the URL's port, or its scheme's.
            let addresses = resolver.lookup(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> std::vec::IntoIter<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>().into_iter()
    }

    #[test]
    fn only_permitted_addresses_are_left() {
        let resolver = Resolver::new(&[]);
        let mixed = addresses(&["10.0.0.3:80", "8.8.8.8:80", "[::1]:80"]);
        assert_eq!(resolver.permitted("mixed", mixed).unwrap(), addresses(&["8.8.8.8:80"]).as_slice());
        assert!(matches!(resolver.permitted("none", addresses(&[])), Err(ResolveError::Empty { .. })));
    }

    #[test]
    fn a_denied_host_names_address_host_and_key() {
        let error = Resolver::new(&[]).permitted("db.local", addresses(&["10.0.0.3:5432"])).unwrap_err();
        let error = TransferError::from(error);
        assert_eq!(error.kind(), TransferErrorKind::NotAllowed);
        assert_eq!(
            error.to_string(),
            "address 10.0.0.3 of host db.local is not public: list its network in [access] allow_networks to permit it"
        );
    }

    #[tokio::test]
    async fn localhost_is_denied_unless_listed() {
        let host = Host::Domain("localhost".to_owned());
        let denied = Resolver::new(&[]).addresses(&host, 80).await.unwrap_err();
        assert!(matches!(denied, ResolveError::Denied { .. }));
        let loopback = Resolver::new(&["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(loopback.addresses(&host, 80).await.unwrap(), addresses(&["127.0.0.1:80"]).as_slice());
    }

    #[tokio::test]
    async fn literal_addresses_are_checked() {
        let host = Host::Ipv4([169, 254, 169, 254].into());
        assert!(matches!(Resolver::new(&[]).addresses(&host, 80).await, Err(ResolveError::DeniedLiteral(_))));
    }
}
