//! HTTP clients, one for each of the servers that were asked of late: connections are kept alive between transfers, and how many
//! are idle is bounded, though there may be any number of servers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Client;
use rustls::ClientConfig;
use url::{Origin, Url};

use super::config::{IDLE_SERVERS, TransferConfig};
use super::error::{TransferError, TransferErrorKind};
use super::resolve::{Resolver, ResolverAt};

/// The clients.
#[derive(Debug)]
pub(super) struct Clients {
    config: Arc<TransferConfig>,
    resolver: Resolver,
    tls: ClientConfig,
    /// The one that was asked for last is the last.
    recent: Mutex<Vec<(Origin, Client)>>,
}

impl Clients {
    /// # Errors
    /// [`TransferErrorKind::Config`] when none can be made.
    pub(super) fn new(
        config: Arc<TransferConfig>,
        resolver: Resolver,
        tls: ClientConfig,
    ) -> Result<Self, TransferError> {
        let clients = Self { config, resolver, tls, recent: Mutex::default() };
        // Whatever is wrong with the configuration is told now, and not by each transfer.
        clients.make(0)?;
        Ok(clients)
    }

    fn recent(&self) -> MutexGuard<'_, Vec<(Origin, Client)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for the server of a URL. Idle connections to whom nobody has asked for longest are closed.
    ///
    /// # Errors
    /// [`TransferErrorKind::Config`].
    pub(super) fn of(&self, url: &Url) -> Result<Client, TransferError> {
        let origin = url.origin();
        let mut recent = self.recent();
        let known = recent.iter().position(|(known, _)| *known == origin);
        let (origin, client) = match known {
            Some(index) => recent.remove(index),
            None => (origin, self.make(url.port_or_known_default().unwrap_or_default())?),
        };
        if recent.len() == IDLE_SERVERS {
            recent.remove(0);
        }
        recent.push((origin, client.clone()));
        Ok(client)
    }

    /// One for a server's port, of which the rules of the policy may say something of its own.
    fn make(&self, port: u16) -> Result<Client, TransferError> {
        let port = self.resolver.ports().into_iter().find(|named| *named == port);
        let resolver = ResolverAt { resolver: self.resolver.clone(), port };
        Client::builder()
            .user_agent(&self.config.user_agent)
            .connect_timeout(self.config.connect_timeout)
            .pool_max_idle_per_host(self.config.idle_per_server)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy would resolve names itself, past the policy.
            .no_proxy()
            .http1_only()
            .dns_resolver(Arc::new(resolver))
            .tls_backend_preconfigured(self.tls.clone())
            .build()
            .map_err(|error| {
                TransferError::new(TransferErrorKind::Config, "the HTTP client cannot be built")
                    .with_source(error)
            })
    }
}
