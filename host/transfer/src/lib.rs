//! Fetching sources and storing destinations: http, https, ftp, ftps, file. Only public addresses and configured
//! directories are reached (`policy`); everything is bounded in time and size. Decoding what was fetched, and
//! retrying, are left to others.
//!
//! # Layout
//!
//! | file | owns |
//! | --- | --- |
//! | `url`, `tags` | what URLs and the tags in them mean |
//! | `policy`, `resolve`, `lookups` | which addresses and paths are permitted; names to permitted addresses; for whom names are looked up |
//! | `clock`, `tls`, `config`, `error` | timeouts, the one TLS configuration, settings, failures |
//! | `clients`, `http`, `coding`, `body`, `form`, `html` | idle connections, GET and PUT, encoded responses, request bodies, form uploads, reading a page's form |
//! | `ftp`, `ftp_store`, `file` | the other two protocols |
//! | `mark` | what a file is called until it is whole |
//! | `peer`, `machines` | which server a URL leads to, and on which machine that is |
//! | `places` | how many transfers may be under way, with each of them and for each client |

#![forbid(unsafe_code)]

mod body;
mod clients;
mod clock;
mod coding;
mod config;
mod error;
mod file;
mod form;
mod ftp;
mod ftp_store;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod html;
mod http;
mod length;
mod lookups;
mod machines;
mod mark;
mod peer;
mod places;
mod policy;
mod resolve;
mod tags;
mod tls;
mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use imgserve_base::fair::Flow;

pub use self::config::{IDLE_SERVERS, TransferConfig};
pub use self::error::{Blame, TransferError, TransferErrorKind};
pub use self::file::CachedFile;
pub use self::mark::PartMark;
pub use self::peer::Server;
pub use self::places::{Asks, Place, PlaceKind, PlaceLimits, Places, PlacesNow};
pub use self::policy::{Allowed, AllowedHost};
pub use self::tags::{Tags, substitute_tags};
pub use self::url::{
    Destination, HttpUrl, SourceUrl, basename, destination_extension, extension, scheme_of, split_form,
};

use self::body::{FilePart, Upload};
use self::clock::Clock;
use self::coding::Download;
use self::config::KEY_MAX_SOURCE;
use self::file::FileReader;
use self::ftp::{Ftp, FtpDownload};
use self::http::Http;
use self::lookups::on_behalf_of;
use self::machines::Machines;
use self::resolve::Resolver;

/// Fetches and stores, under one configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transfer {
    config: Arc<TransferConfig>,
    http: Arc<Http>,
    ftp: Ftp,
    roots: Arc<[PathBuf]>,
    machines: Arc<Machines>,
    /// For which client.
    whose: Arc<str>,
    /// Transfers that were too slow.
    slow: Arc<AtomicU64>,
}

impl Transfer {
    /// Prepares the clients. Reads the system's certificate authorities, which blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// `Config`, if an extra authority is no certificate or the user agent cannot be sent.
    pub fn new(config: TransferConfig) -> Result<Self, TransferError> {
        let tls = tls::client_config(&config.extra_ca_pem)?;
        let resolver = Resolver::new(&config.allow_networks);
        let roots = config.file_roots.clone().into();
        let config = Arc::new(config);
        let http = Arc::new(Http::new(config.clone(), resolver.clone(), tls.clone())?);
        let (ftp, machines) = (Ftp { resolver, tls: Arc::new(tls) }, Arc::default());
        Ok(Self { config, http, ftp, roots, machines, whose: Arc::default(), slow: Arc::default() })
    }

    /// The same, counting on where `other` has counted.
    #[must_use]
    pub fn counting_on(self, other: &Self) -> Self {
        Self { slow: Arc::clone(&other.slow), ..self }
    }

    /// The same on behalf of this client: names that are looked up for it are its own.
    #[must_use]
    pub fn on_behalf_of(&self, flow: &Flow) -> Self {
        Self { whose: Arc::clone(flow.name()), ..self.clone() }
    }

    /// How many transfers were ended as too slow.
    pub fn too_slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    /// The same with where its servers are, by the addresses that their names lead to: those of one address have one share.
    pub async fn located(&self, asks: Asks) -> Asks {
        let machines = self.machines.of(&asks.servers, asks.turn.flow.name()).await;
        Asks { machines, ..asks }
    }

    /// The machines of one server.
    pub async fn machines(&self, server: &Server) -> Vec<Arc<str>> {
        self.machines.of(std::slice::from_ref(server), &self.whose).await
    }

    /// Starts to fetch a source. Returns once its first bytes can be asked for; the clock of `total_timeout` runs on
    /// until the last of them.
    ///
    /// # Errors
    ///
    /// Whatever is known before the first byte, naming the URL without its password.
    pub async fn fetch(&self, source: &SourceUrl) -> Result<Fetch, TransferError> {
        let clock = Clock::start(&self.config);
        // What all protocols remember on their way is kilobytes, which whoever awaits this would hand on and on.
        let opening = Box::pin(self.open(clock.clone(), source.clone()));
        let opened = on_behalf_of(&self.whose, opening).await;
        let body = opened.map_err(|error| failed(error, source.as_str(), &self.slow))?;
        let fetch = Fetch {
            size_hint: body.size(),
            media_type: body.media_type(),
            url: source.as_str().to_owned(),
            received: 0,
            limit: self.config.max_source_bytes,
            clock,
            slow: Arc::clone(&self.slow),
            state: State::Open(body),
        };
        match fetch.size_hint {
            Some(size) if size > fetch.limit => return Err(fetch.too_large()),
            Some(size) => fetch.clock.expects(size),
            None => {}
        }
        Ok(fetch)
    }

    /// A source that is a permitted file, if it can be had without waiting; none means that it is to be fetched, and is no
    /// failure.
    pub fn cached_file(&self, source: &SourceUrl) -> Option<CachedFile> {
        match source {
            SourceUrl::File(url) => {
                let file = CachedFile::open(url, &self.roots)?;
                (file.size <= self.config.max_source_bytes).then_some(file)
            }
            _ => None,
        }
    }

    async fn open(&self, clock: Clock, source: SourceUrl) -> Result<Body, TransferError> {
        match source {
            SourceUrl::Http(url) => Ok(Body::Http(Box::new(Download::of(self.http.get(clock, url).await?)?))),
            SourceUrl::Ftp(url) => {
                let session = self.ftp.open(clock, &url).await?;
                Ok(Body::Ftp(Box::new(session.retrieve(&url).await?)))
            }
            SourceUrl::File(url) => Ok(Body::File(FileReader::open(&clock, url, self.roots.clone()).await?)),
        }
    }

    /// Stores `body` at `destination`, over what may be there; doing so again changes nothing. `media_type` is told to
    /// HTTP servers. `form_field` names the file field of a form upload, and is ignored by all other destinations. `mark`
    /// is for destinations that are files.
    ///
    /// # Errors
    ///
    /// As for fetching; `InvalidUrl` if a form upload lacks its field.
    pub async fn store(
        &self,
        destination: &Destination,
        body: Bytes,
        media_type: &str,
        form_field: Option<&str>,
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        let clock = Clock::start(&self.config);
        let storing =
            Box::pin(self.store_by(clock.clone(), destination, body, (media_type, form_field), mark));
        let stored = on_behalf_of(&self.whose, clock.total(storing)).await.and_then(|stored| stored);
        stored.map_err(|error| failed(error, &destination.to_string(), &self.slow))
    }

    /// Posts JSON, a webhook; nothing but a 2xx is success, and no redirect is followed.
    ///
    /// # Errors
    ///
    /// As for fetching.
    pub async fn post_json(
        &self,
        url: &HttpUrl,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), TransferError> {
        let clock = Clock::start(&self.config);
        let posting = Box::pin(self.http.post_json(clock, url.0.clone(), headers, body));
        let posted = on_behalf_of(&self.whose, posting).await;
        posted.map_err(|error| failed(error, url.as_str(), &self.slow))
    }

    async fn store_by(
        &self,
        clock: Clock,
        destination: &Destination,
        body: Bytes,
        (media_type, form_field): (&str, Option<&str>),
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        mark.check()?;
        match destination {
            Destination::Put { url } => {
                self.http.put(clock, url.clone(), Upload::plain(body, media_type)?).await
            }
            Destination::Form { page, file_name } => {
                let field = form_field.ok_or_else(|| {
                    TransferError::new(
                        TransferErrorKind::InvalidUrl,
                        "a form upload needs the name of its file field",
                    )
                })?;
                let (file_name, media_type) = (file_name.clone(), media_type.to_owned());
                form::upload(&self.http, clock, page.clone(), field, FilePart { file_name, media_type, body })
                    .await
            }
            Destination::Ftp(url) => self.ftp.open(clock, url).await?.store(&url.path, &body, mark).await,
            Destination::File(url) => {
                file::store(&clock, url.clone(), self.roots.clone(), body, mark.clone()).await
            }
        }
    }
}

/// A failed transfer, counted if it was too slow, with the URL that it is about.
fn failed(error: TransferError, url: &str, slow: &AtomicU64) -> TransferError {
    if error.kind() == TransferErrorKind::TooSlow {
        slow.fetch_add(1, Ordering::Relaxed);
    }
    error.at(url)
}

/// A source on its way. Dropping it closes its connection.
pub struct Fetch {
    /// The source's size in bytes, if the other end told it; not to be relied on.
    pub size_hint: Option<u64>,
    /// The source's media type, if the other end told it; not to be relied on.
    pub media_type: Option<String>,
    url: String,
    received: u64,
    limit: u64,
    clock: Clock,
    slow: Arc<AtomicU64>,
    state: State,
}

enum State {
    Open(Body),
    Ended,
    Failed,
}

enum Body {
    Http(Box<Download>),
    Ftp(Box<FtpDownload>),
    File(FileReader),
}

impl Body {
    fn size(&self) -> Option<u64> {
        match self {
            Self::Http(download) => download.size(),
            Self::Ftp(download) => download.size,
            Self::File(reader) => Some(reader.size),
        }
    }

    fn media_type(&self) -> Option<String> {
        match self {
            Self::Http(download) => http::media_type(&download.response),
            Self::Ftp(_) | Self::File(_) => None,
        }
    }

    async fn chunk(&mut self, clock: &Clock) -> Result<Option<Bytes>, TransferError> {
        match self {
            Self::Http(download) => download.chunk(clock).await,
            Self::Ftp(download) => Box::pin(download.chunk()).await,
            Self::File(reader) => reader.chunk(clock).await,
        }
    }
}

impl Fetch {
    /// The next bytes; none at the end, once the source is known to be whole.
    ///
    /// # Errors
    ///
    /// A timeout, a broken connection, or more bytes than `max_source_bytes`. The connection is closed then, and
    /// every later call fails too.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransferError> {
        // Taken out while waiting: a call that is cancelled or fails leaves nothing half-read behind.
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(mut body) => {
                let chunk =
                    body.chunk(&self.clock).await.map_err(|error| failed(error, &self.url, &self.slow))?;
                self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                if self.received > self.limit {
                    return Err(self.too_large());
                }
                self.state = if chunk.is_some() { State::Open(body) } else { State::Ended };
                Ok(chunk)
            }
            State::Ended => {
                self.state = State::Ended;
                Ok(None)
            }
            State::Failed => {
                let error = TransferError::new(TransferErrorKind::Connect, "the fetch has failed before");
                Err(error.at(&self.url))
            }
        }
    }

    /// How many bytes all of it can be at its pace so far, as there is no more time; none while that does not show.
    pub fn most_in_time(&self) -> Option<u64> {
        self.clock.part_waited().map(|part| (self.received as f64 / part) as u64)
    }

    fn too_large(&self) -> TransferError {
        let message = format!("the source is larger than {KEY_MAX_SOURCE} ({} bytes) permits", self.limit);
        TransferError::new(TransferErrorKind::TooLarge, message).at(&self.url)
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("size_hint", &self.size_hint).field("received", &self.received).finish()
    }
}
