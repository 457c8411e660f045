//! The configured stores: which there are, and which of them a URL leads to. Whoever is in none of them is not reached; where a
//! store's server is, is the operator's word, and may be a private address.
//!
//! # Layout
//! - `address`: what URLs of objects mean
//! - `open`: a section of the configuration made to what signs requests and finds credentials
//! - `send`: how its requests are sent, in the time and at the rate of all transfers
//! - `answer`: what a store answers, and whose fault that is
//! - `object`: fetching and storing one object

mod address;
mod answer;
mod object;
mod open;
mod send;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

pub use self::address::{StoreKind, StoreUrl};

pub use self::object::What;

pub(super) use self::address::head_of_template;
pub(super) use self::object::{Found, Told};

use super::clients::Clients;
use super::error::{TransferError, TransferErrorKind};
use super::peer::Server;
use super::url::{FileUrl, store_of};

/// A section `[stores.NAME]`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Its name.
    pub name: String,
    /// What sort of store it is.
    pub kind: StoreKind,
    /// The bucket; a container of Azure's; an absolute directory.
    pub bucket: String,
    /// What the keys that are reached begin with: nothing, or names that each end in `/`.
    pub prefix: String,
    /// The server; none: the kind's own.
    pub endpoint: Option<Url>,
    /// The region of S3.
    pub region: Option<String>,
    /// Whether S3's bucket stands in paths and not in the host's name.
    pub path_style: bool,
    /// Whether requests are not signed, as a public bucket wants none of that.
    pub anonymous: bool,
    /// Credentials and where they come from, by the names that `object_store` has for them, such as `aws_access_key_id`.
    pub credentials: Vec<(String, String)>,
}

/// Without the credentials.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}

/// All of them. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Stores(Arc<[Store]>);

/// One of them.
#[derive(Debug)]
pub(super) struct Store {
    config: StoreConfig,
    place: Place,
}

/// Where a store is.
#[derive(Debug)]
enum Place {
    /// Behind a server of this origin.
    Remote { objects: Arc<dyn ObjectStore>, server: Server },
    /// In a directory.
    Directory(PathBuf),
}

/// An object, and how it is reached.
pub(super) enum Reached<'s> {
    /// Over the network.
    Object(&'s Store, &'s dyn ObjectStore, Path),
    /// As a file beneath this directory.
    File(FileUrl, PathBuf),
}

impl Stores {
    /// # Errors
    /// [`TransferErrorKind::Config`] for a section of which no store can be made, naming it.
    pub(super) fn new(configs: &[StoreConfig], clients: &Arc<Clients>) -> Result<Self, TransferError> {
        configs.iter().map(|config| Store::new(config.clone(), clients)).collect::<Result<_, _>>().map(Self)
    }

    /// How the object of a URL is reached.
    ///
    /// # Errors
    /// [`TransferErrorKind::NotAllowed`] where no store has it.
    pub(super) fn reach(&self, url: &StoreUrl) -> Result<Reached<'_>, TransferError> {
        let store = self.of_key(url.kind, &url.bucket, &url.key())?;
        let part = |error: object_store::path::Error| {
            TransferError::new(TransferErrorKind::InvalidUrl, "invalid URL: its key is none")
                .with_source(error)
        };
        Ok(match &store.place {
            Place::Remote { objects, .. } => {
                Reached::Object(store, &**objects, Path::parse(url.key()).map_err(part)?)
            }
            Place::Directory(directory) => {
                let root = directory.join(&store.config.prefix);
                let names = directory.iter().skip(1).map(Into::into);
                let names = names.chain(url.key.iter().map(Into::into));
                Reached::File(FileUrl::at(names.collect()), root)
            }
        })
    }

    /// Of the stores that have a bucket and a key, the one that says most of it.
    fn of_key(&self, kind: StoreKind, bucket: &str, key: &str) -> Result<&Store, TransferError> {
        let of_bucket = || self.of_bucket(kind, bucket);
        let found = of_bucket().filter(|store| key.starts_with(&store.config.prefix));
        let found = found.max_by_key(|store| store.config.prefix.len());
        found.ok_or_else(|| unreachable(kind, bucket, of_bucket()))
    }

    fn of_bucket<'s>(&'s self, kind: StoreKind, bucket: &str) -> impl Iterator<Item = &'s Store> {
        self.0.iter().filter(move |store| store.config.kind == kind && store.called() == bucket)
    }

    /// The names of the stores that a URL may lead to, or that a template may, whatever its tags stand for; none of what is in no
    /// store.
    ///
    /// # Errors
    /// [`TransferErrorKind::NotAllowed`] where it is in a store that there is not.
    pub(super) fn named_by(&self, template: &str) -> Result<Vec<&str>, TransferError> {
        let Some(kind) = store_of(template) else { return Ok(Vec::new()) };
        let (bucket, head, is_whole) = head_of_template(template)?;
        if is_whole {
            return Ok(vec![&self.of_key(kind, bucket, &head)?.config.name]);
        }
        let perhaps = self.of_bucket(kind, bucket).filter(|store| {
            let prefix = &store.config.prefix;
            head.starts_with(prefix) || prefix.starts_with(&head)
        });
        let perhaps: Vec<&str> = perhaps.map(|store| store.config.name.as_str()).collect();
        match perhaps.is_empty() {
            false => Ok(perhaps),
            true => Err(unreachable(kind, bucket, self.of_bucket(kind, bucket))),
        }
    }

    /// The server behind what [`Server`] calls a bucket; none of what is no bucket.
    pub(super) fn server_of(&self, bucket: &Server) -> Option<&Server> {
        self.0.iter().find_map(|store| match &store.place {
            Place::Remote { server, .. } if store.bucket_url() == **bucket.host() => Some(server),
            _ => None,
        })
    }
}

impl Store {
    fn new(config: StoreConfig, clients: &Arc<Clients>) -> Result<Self, TransferError> {
        let place = match config.kind {
            StoreKind::File => Place::Directory(PathBuf::from(&config.bucket)),
            StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure => {
                let origin = open::origin(&config)?;
                let server = Server::of_http(&origin);
                let server = server.ok_or_else(|| open::refused(&config, "its endpoint has no host"))?;
                let sender = send::Sender::new(Arc::clone(clients), &origin);
                Place::Remote { objects: open::open(&config, &origin, sender)?, server }
            }
        };
        Ok(Self { config, place })
    }

    /// What stands for its bucket in URLs.
    fn called(&self) -> &str {
        match self.config.kind {
            StoreKind::File => &self.config.name,
            StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure => &self.config.bucket,
        }
    }

    fn bucket_url(&self) -> String {
        format!("{}://{}", self.config.kind.scheme(), self.called())
    }

    /// Its section, for errors.
    fn section(&self) -> String {
        format!("[stores.{}]", self.config.name)
    }
}

/// The error of a URL that no store has; `stores` are those of its bucket.
fn unreachable<'s>(kind: StoreKind, bucket: &str, stores: impl Iterator<Item = &'s Store>) -> TransferError {
    let prefixes: Vec<String> =
        stores.map(|store| format!("{:?} ({})", store.config.prefix, store.section())).collect();
    let text = match (prefixes.is_empty(), kind) {
        (false, _) => {
            format!("of bucket `{bucket}` only keys are reached that begin with {}", prefixes.join(" or "))
        }
        (true, StoreKind::File) => format!(
            "no store is called `{bucket}`, and a file that is in none has no host but localhost: write a section [stores.{bucket}] with kind = \"file\" and its directory as bucket"
        ),
        (true, kind) => format!(
            "no store has the bucket `{bucket}`: write a section [stores.NAME] with kind = {:?} and bucket = {bucket:?}",
            kind.name()
        ),
    };
    TransferError::new(TransferErrorKind::NotAllowed, text)
}

#[cfg(test)]
#[path = "stores/tests.rs"]
mod tests;
