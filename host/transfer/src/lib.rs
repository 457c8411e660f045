//! Fetching sources and storing destinations: http, https, ftp, ftps, file, and stores of objects. Only public addresses, configured
//! directories and configured stores are reached (`policy`, `stores`); everything is bounded in time and size. Decoding what was fetched, and
//! retrying, are left to others.
//!
//! # Layout
//!
//! | file | owns |
//! | --- | --- |
//! | `url`, `tags` | what URLs and the tags in them mean |
//! | `policy`, `resolve`, `lookups` | which addresses and paths are permitted; names to permitted addresses; for whom names are looked up |
//! | `clock`, `tls`, `config`, `error` | timeouts, the one TLS configuration, settings, failures |
//! | `freshness` | by what a source is told from a later one, and for how long there is none |
//! | `clients`, `http`, `coding`, `body`, `form`, `html` | idle connections, GET and PUT, encoded responses, request bodies, form uploads, reading a page's form |
//! | `ftp`, `ftp_store`, `file` | the other two protocols |
//! | `stores` | buckets of S3, Google Cloud Storage and Azure, and directories called by a name |
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
mod freshness;
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
mod stores;
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
use imgserve_base::version::Version;
use reqwest::StatusCode;

pub use self::config::{IDLE_SERVERS, TransferConfig};
pub use self::error::{Blame, TransferError, TransferErrorKind};
pub use self::file::CachedFile;
pub use self::freshness::Freshness;
pub use self::mark::PartMark;
pub use self::peer::Server;
pub use self::places::{Asks, Place, PlaceKind, PlaceLimits, Places, PlacesNow};
pub use self::policy::{Allowed, AllowedHost};
pub use self::stores::{StoreConfig, StoreKind, StoreUrl, What};
pub use self::tags::{Tags, substitute_tags};
use self::url::FileUrl;
pub use self::url::{
    Destination, HttpUrl, SCHEMES, Scheme, SourceUrl, basename, destination_extension, extension, scheme_of,
    split_form,
};

use self::body::{FilePart, Upload};
use self::clients::Clients;
use self::clock::Clock;
use self::coding::Download;
use self::config::KEY_MAX_SOURCE;
use self::file::FileReader;
use self::ftp::{Ftp, FtpDownload};
use self::http::Http;
use self::lookups::on_behalf_of;
use self::machines::Machines;
use self::resolve::Resolver;
use self::stores::{Found, Reached, Stores, Told};

/// Fetches and stores, under one configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transfer {
    config: Arc<TransferConfig>,
    http: Arc<Http>,
    ftp: Ftp,
    roots: Arc<[PathBuf]>,
    stores: Stores,
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
    /// `Config`, if an extra authority is no certificate, the user agent cannot be sent, or of a section no store can be made.
    pub fn new(config: TransferConfig) -> Result<Self, TransferError> {
        let tls = tls::client_config(&config.extra_ca_pem)?;
        let resolver = Resolver::new(&config.allow_networks);
        let roots = config.file_roots.clone().into();
        let config = Arc::new(config);
        let http = Arc::new(Http::new(config.clone(), resolver.clone(), tls.clone())?);
        let of_stores = Arc::new(Clients::new(config.clone(), resolver.of_operator(), tls.clone())?);
        let stores = Stores::new(&config.stores, &of_stores)?;
        let (ftp, machines) = (Ftp { resolver, tls: Arc::new(tls) }, Arc::default());
        Ok(Self { config, http, ftp, roots, stores, machines, whose: Arc::default(), slow: Arc::default() })
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
        let machines = self.machines.of(&self.behind(&asks.servers), asks.turn.flow.name()).await;
        Asks { machines, ..asks }
    }

    /// The machines of one server.
    pub async fn machines(&self, server: &Server) -> Vec<Arc<str>> {
        self.machines.of(&self.behind(std::slice::from_ref(server)), &self.whose).await
    }

    /// The servers themselves, also of buckets; of those that there are not none.
    fn behind(&self, servers: &[Server]) -> Vec<Server> {
        let behind = servers.iter().filter_map(|server| match server.is_bucket() {
            true => self.stores.server_of(server),
            false => Some(server),
        });
        behind.cloned().collect()
    }

    /// The names of the stores that a URL leads to, or may lead to where it is a template with tags; none of what is in no store.
    ///
    /// # Errors
    /// `NotAllowed` where it is in a store that is not configured; `InvalidUrl`.
    pub fn stores_of(&self, url: &str) -> Result<Vec<&str>, TransferError> {
        self.stores.named_by(url).map_err(|error| error.at(url))
    }

    /// Starts to fetch a source. Returns once its first bytes can be asked for; the clock of `total_timeout` runs on
    /// until the last of them.
    ///
    /// # Errors
    ///
    /// Whatever is known before the first byte, naming the URL without its password.
    pub async fn fetch(&self, source: &SourceUrl) -> Result<Fetch, TransferError> {
        match Box::pin(self.ask(source, None)).await? {
            Asked::Changed(fetch) => Ok(*fetch),
            Asked::Same(_) => {
                let text = "it is said to be the same, and was not asked whether it is";
                Err(TransferError::new(TransferErrorKind::Protocol, text).at(source.as_str()))
            }
        }
    }

    /// The same, unless the source is still what it was when it had this version.
    ///
    /// # Errors
    ///
    /// As of [`Self::fetch`].
    pub async fn fetch_unless(&self, source: &SourceUrl, known: Version) -> Result<Asked, TransferError> {
        self.ask(source, Some(known)).await
    }

    async fn ask(&self, source: &SourceUrl, unless: Option<Version>) -> Result<Asked, TransferError> {
        let clock = Clock::start(&self.config);
        // What all protocols remember on their way is kilobytes, which whoever awaits this would hand on and on.
        let opening = Box::pin(self.open(clock.clone(), source.clone(), unless));
        let opened = on_behalf_of(&self.whose, opening).await;
        let (body, version, freshness) =
            match opened.map_err(|error| failed(error, source.as_str(), &self.slow))? {
                Opened::Body(body, version, freshness) => (body, version, freshness),
                Opened::Same(freshness) => return Ok(Asked::Same(freshness)),
            };
        let fetch = Fetch {
            version: Box::new(version),
            freshness,
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
        Ok(Asked::Changed(Box::new(fetch)))
    }

    /// The stamp by which a permitted file is told from another one, if it is had without waiting; see [`Version::stamp`].
    pub fn cached_stamp(&self, source: &SourceUrl) -> Option<String> {
        match source {
            SourceUrl::File(url) => file::cached_stamp(url, &self.roots),
            SourceUrl::Store(url) => match self.stores.reach(url).ok()? {
                Reached::File(url, root) => file::cached_stamp(&url, &[root]),
                Reached::Object(..) => None,
            },
            SourceUrl::Http(_) | SourceUrl::Ftp(_) => None,
        }
    }

    /// A source that is a permitted file, if it can be had without waiting; none means that it is to be fetched, and is no
    /// failure.
    pub fn cached_file(&self, source: &SourceUrl) -> Option<CachedFile> {
        match source {
            SourceUrl::File(url) => self.cached(url, &self.roots),
            SourceUrl::Store(url) => match self.stores.reach(url).ok()? {
                Reached::File(url, root) => self.cached(&url, &[root]),
                Reached::Object(..) => None,
            },
            SourceUrl::Http(_) | SourceUrl::Ftp(_) => None,
        }
    }

    fn cached(&self, url: &FileUrl, roots: &[PathBuf]) -> Option<CachedFile> {
        CachedFile::open(url, roots).filter(|file| file.size <= self.config.max_source_bytes)
    }

    async fn open(
        &self,
        clock: Clock,
        source: SourceUrl,
        unless: Option<Version>,
    ) -> Result<Opened, TransferError> {
        match source {
            SourceUrl::Http(url) => {
                let response = self.http.get(clock, url, unless).await?;
                match response.status() {
                    StatusCode::NOT_MODIFIED => Ok(Opened::Same(Freshness::of(response.headers()))),
                    _ => Ok(Opened::response(Box::new(Download::of(response)?))),
                }
            }
            SourceUrl::Ftp(url) => {
                let session = self.ftp.open(clock, &url).await?;
                let body = Body::Ftp(Box::new(session.retrieve(&url).await?));
                Ok(Opened::Body(body, Version::default(), Freshness::default()))
            }
            SourceUrl::File(url) => Self::open_file(&clock, (url, self.roots.clone()), unless).await,
            SourceUrl::Store(url) => match self.stores.reach(&url)? {
                Reached::File(url, root) => Self::open_file(&clock, (url, [root].into()), unless).await,
                Reached::Object(store, objects, path) => {
                    let found = store.fetch(objects, (&path, url.version()), unless, &clock).await?;
                    Ok(match found {
                        Found::Object(download) => Opened::response(download),
                        Found::Same(freshness) => Opened::Same(freshness),
                    })
                }
            },
        }
    }

    async fn open_file(
        clock: &Clock,
        (url, roots): (FileUrl, Arc<[PathBuf]>),
        unless: Option<Version>,
    ) -> Result<Opened, TransferError> {
        let opened = FileReader::open(clock, url, roots, unless.and_then(|unless| unless.stamp)).await?;
        Ok(match opened {
            Some(reader) => {
                let version = Version { stamp: reader.stamp.clone(), ..Version::default() };
                Opened::Body(Body::File(reader), version, Freshness::default())
            }
            None => Opened::Same(Freshness::default()),
        })
    }

    /// Stores `upload` at `destination`, over what may be there; doing so again changes nothing. `mark` is for destinations that
    /// are files, and for how long it may be stored.
    ///
    /// # Errors
    ///
    /// As for fetching; `InvalidUrl` if a form upload lacks its field.
    pub async fn store(
        &self,
        destination: &Destination,
        upload: Stored<'_>,
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        let clock = Clock::start(&self.config);
        let storing = Box::pin(self.store_by(clock.clone(), destination, upload, mark));
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
        Stored { what, body, media_type, headers, form_field }: Stored<'_>,
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        mark.check()?;
        match destination {
            Destination::Put { url } => {
                self.http.put(clock, url.clone(), Upload::plain(body, media_type)?, headers).await
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
            Destination::Store(url) => match self.stores.reach(url)? {
                Reached::File(url, root) => file::store(&clock, url, [root].into(), body, mark.clone()).await,
                Reached::Object(store, objects, path) => {
                    let told = Told { media_type, headers, what };
                    store.store(objects, &path, (body, told), &clock, mark).await
                }
            },
        }
    }
}

/// What is to be stored, and what is told of it.
#[derive(Clone, Debug)]
pub struct Stored<'s> {
    /// What it is.
    pub what: What,
    /// Its bytes.
    pub body: Bytes,
    /// Its media type, for HTTP servers and stores.
    pub media_type: &'s str,
    /// Further headers, for PUT and stores: names in lower case, and values.
    pub headers: &'s [(String, String)],
    /// The file field of a form upload; ignored by all other destinations.
    pub form_field: Option<&'s str>,
}

/// What became of a source that was asked whether it is still the same.
#[derive(Debug)]
pub enum Asked {
    /// It is.
    Same(Freshness),
    /// It is not, or does not say: here it is.
    Changed(Box<Fetch>),
}

/// A source that is there.
enum Opened {
    /// Its first bytes can be asked for.
    Body(Body, Version, Freshness),
    /// It is the one that is known.
    Same(Freshness),
}

impl Opened {
    fn response(download: Box<Download>) -> Self {
        let (headers, url) = (download.response.headers(), download.response.url());
        let (version, freshness) = (freshness::version(headers, url), Freshness::of(headers));
        Self::Body(Body::Http(download), version, freshness)
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
    /// By what it is told from other bytes at its place.
    pub version: Box<Version>,
    /// For how long it is what it is.
    pub freshness: Freshness,
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
