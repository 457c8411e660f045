//! Fetching and storing one object. What is stored is there whole or not at all; a placeholder replaces only what stood there when
//! it was begun, so that one that comes late never stands over a result.

use bytes::Bytes;
use imgserve_base::version::Version;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, UpdateVersion,
};

use super::super::clock::Clock;
use super::super::coding::Download;
use super::super::error::{TransferError, TransferErrorKind};
use super::super::freshness::Freshness;
use super::super::mark::PartMark;
use super::Store;
use super::answer::{Answer, failure};
use super::send::{Heard, asking};

/// What is larger goes in parts of this size, in bytes: more than the least that S3 takes, and little to send again.
const PART: usize = 8 << 20;
/// How often what stands at a placeholder's destination is looked at, while others store there.
const LOOKS: usize = 3;
/// What stands before the name of what a result says of itself.
const OWN_HEADER: &str = "x-meta-";

/// An object that is there.
pub(crate) enum Found {
    /// Its body is still to be read.
    Object(Box<Download>),
    /// It is the one that is known.
    Same(Freshness),
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A picture until there is a result: it replaces what it finds, and nothing that comes after that.
    Placeholder,
    /// A result, or the picture that says that there is none.
    Result,
}

/// What is told of an object with its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'t> {
    pub(crate) media_type: &'t str,
    /// Names in lower case, and values.
    pub(crate) headers: &'t [(String, String)],
    pub(crate) what: What,
}

impl Told<'_> {
    fn attributes(&self) -> Attributes {
        let own = self.headers.iter().filter_map(|(name, value)| {
            let attribute = match name.as_str() {
                "cache-control" => Attribute::CacheControl,
                "content-disposition" => Attribute::ContentDisposition,
                "content-language" => Attribute::ContentLanguage,
                name => Attribute::Metadata(name.strip_prefix(OWN_HEADER)?.to_owned().into()),
            };
            Some((attribute, value.clone()))
        });
        let mut attributes = Attributes::from_iter(own);
        attributes.insert(Attribute::ContentType, self.media_type.to_owned().into());
        attributes
    }
}

impl Store {
    /// Starts to fetch an object, unless it is the one of this entity tag.
    pub(crate) async fn fetch(
        &self,
        objects: &dyn ObjectStore,
        (path, version): (&Path, Option<String>),
        unless: Option<Version>,
        clock: &Clock,
    ) -> Result<Found, TransferError> {
        let tag = unless.and_then(|unless| unless.tag);
        let options = GetOptions { version, if_none_match: tag, ..GetOptions::default() };
        let (got, mut heard) = asking(clock, true, objects.get_opts(path, options)).await;
        match (heard.response.take(), got) {
            (Some(response), _) => Ok(Found::Object(Box::new(Download::of(response)?))),
            (None, Err(Error::NotModified { .. })) => {
                Ok(Found::Same(heard.unchanged.as_ref().map(Freshness::of).unwrap_or_default()))
            }
            (None, Err(error)) => Err(failure(self, heard, error)),
            (None, Ok(_)) => Err(TransferError::new(TransferErrorKind::Protocol, "no answer has the object")),
        }
    }

    /// Stores an object.
    pub(crate) async fn store(
        &self,
        objects: &dyn ObjectStore,
        path: &Path,
        (body, told): (Bytes, Told<'_>),
        clock: &Clock,
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        let put = Put { store: self, objects, path, told, clock };
        match told.what {
            What::Placeholder => put.placeholder(body).await,
            What::Result if body.len() > PART => put.parts(body, mark).await,
            What::Result => put.whole(body, PutMode::Overwrite).await.map_err(|failed| failed.told(self)),
        }
    }
}

/// A store that has failed: by the store's own account, and by what was heard.
struct Failed(Box<(Error, Heard)>);

impl Failed {
    fn told(self, store: &Store) -> TransferError {
        let (error, heard) = *self.0;
        failure(store, heard, error)
    }

    /// Whether what stands there is not what was expected.
    fn is_of_condition(&self) -> bool {
        matches!(self.0.0, Error::AlreadyExists { .. } | Error::Precondition { .. })
    }

    fn answer_is(&self, of_a_kind: impl Fn(&Answer) -> bool) -> bool {
        let heard = &self.0.1;
        heard.failed.is_none() && heard.answer.as_ref().is_some_and(of_a_kind)
    }
}

/// What stores an object.
#[derive(Clone, Copy)]
struct Put<'p> {
    store: &'p Store,
    objects: &'p dyn ObjectStore,
    path: &'p Path,
    told: Told<'p>,
    clock: &'p Clock,
}

impl Put<'_> {
    async fn placeholder(self, body: Bytes) -> Result<(), TransferError> {
        for look in 1.. {
            let mode = self.stands_there().await.map_err(|failed| failed.told(self.store))?;
            let is_free = mode == PutMode::Overwrite;
            match self.whole(body.clone(), mode).await {
                Ok(()) => break,
                Err(failed) if failed.answer_is(Answer::is_not_implemented) && !is_free => {
                    let stored = self.whole(body, PutMode::Overwrite).await;
                    return stored.map_err(|failed| failed.told(self.store));
                }
                Err(failed) if failed.is_of_condition() && look < LOOKS => {}
                Err(failed) => return Err(failed.told(self.store)),
            }
        }
        Ok(())
    }

    /// Under which condition what is there now may be replaced.
    async fn stands_there(self) -> Result<PutMode, Failed> {
        match asking(self.clock, false, self.objects.head(self.path)).await {
            (Ok(found), _) => {
                Ok(PutMode::Update(UpdateVersion { e_tag: found.e_tag, version: found.version }))
            }
            (Err(Error::NotFound { .. }), _) => Ok(PutMode::Create),
            (Err(error), heard) => {
                let failed = Failed(Box::new((error, heard)));
                // Who may write and not read is told no more, and some do not tell what they have; what else is wrong, storing will
                // tell.
                let untold = failed.answer_is(|answer| answer.is_refusal() || answer.is_not_implemented());
                match untold || failed.0.1.succeeded {
                    true => Ok(PutMode::Overwrite),
                    false => Err(failed),
                }
            }
        }
    }

    async fn whole(self, body: Bytes, mode: PutMode) -> Result<(), Failed> {
        let options = PutOptions { mode, attributes: self.told.attributes(), ..PutOptions::default() };
        let put = self.objects.put_opts(self.path, body.into(), options);
        match heard(asking(self.clock, false, put).await) {
            Ok(_) => Ok(()),
            // It is stored, though the store does not say under which tag.
            Err(failed) if failed.0.1.succeeded => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    async fn parts(self, body: Bytes, mark: &PartMark) -> Result<(), TransferError> {
        let told = |failed: Failed| failed.told(self.store);
        let options = PutMultipartOptions { attributes: self.told.attributes(), ..Default::default() };
        let begun = self.objects.put_multipart_opts(self.path, options);
        let upload = heard(asking(self.clock, false, begun).await).map_err(told)?;
        let mut upload = Upload { begun: Some(upload), clock: self.clock };
        let mut rest = body;
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(PART));
            let put = upload.begun()?.put_part(part.into());
            if let Err(failed) = heard(asking(self.clock, false, put).await) {
                upload.abort().await;
                return Err(told(failed));
            }
        }
        mark.check()?;
        match heard(asking(self.clock, false, upload.begun()?.complete()).await) {
            Ok(_) => {
                upload.begun = None;
                Ok(())
            }
            Err(failed) => {
                upload.abort().await;
                Err(told(failed))
            }
        }
    }
}

fn heard<T>((done, heard): (object_store::Result<T>, Heard)) -> Result<T, Failed> {
    done.map_err(|error| Failed(Box::new((error, heard))))
}

/// An upload in parts, of which nothing is left behind in the store: neither where it fails nor where nobody waits for it any more.
struct Upload<'c> {
    /// None once it is whole, or aborted.
    begun: Option<Box<dyn MultipartUpload>>,
    clock: &'c Clock,
}

impl Upload<'_> {
    fn begun(&mut self) -> Result<&mut Box<dyn MultipartUpload>, TransferError> {
        let over = || TransferError::new(TransferErrorKind::Connect, "the upload is over");
        self.begun.as_mut().ok_or_else(over)
    }

    async fn abort(&mut self) {
        if let Some(upload) = self.begun.take() {
            abort(upload, self.clock.again()).await;
        }
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.begun.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(abort(upload, self.clock.again()));
    }
}

/// What led here is the failure to report; a store that does not answer drops what is left by its own rules.
async fn abort(mut upload: Box<dyn MultipartUpload>, clock: Clock) {
    let aborted = clock.total(asking(&clock, false, upload.abort())).await;
    if let Ok((Err(error), _)) = aborted {
        tracing::warn!("an upload in parts is left behind in a store: {error}");
    }
}
