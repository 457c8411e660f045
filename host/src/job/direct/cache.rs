//! The cache, as direct calls use it: by what a result is found there, whether a source still is what is known of it, and what of both
//! an answer tells. What one client may have another does not get from here: a source is asked for, or looked at, by the rules that
//! hold for whoever asks, and a result is found by the bytes of its source alone.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use imgserve_base::digest::digest;
use imgserve_base::fair::Flow;
use imgserve_base::fault::Fault;
use imgserve_base::format::Format;
use imgserve_base::job::now_ms;
use imgserve_base::secret::redact;
use imgserve_base::units::KIB;
use imgserve_base::version::Version;
use imgserve_cache::{Cache, Digest, Entry, Figures, KeptResult, Key, KnownSource, Listed, What};
use imgserve_transfer::{Freshness, SourceUrl};
use imgserve_worker::Task;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};

use super::call::{Checked, entity_tag};
use super::product::{Product, Timings};
use super::renders::{Stage, broken_off};
use super::{asked, held_back, waiting};
use crate::job::intake::{self, Held, REPLY_PATIENCE, Wish};
use crate::job::service::Service;
use crate::job::settings::Settings;

/// What is digested on another thread, to hold up nobody else, is longer.
const MUCH_TO_DIGEST: usize = 256 * KIB as usize;
/// Digests that a source had before are remembered, so many of them: what was made of them goes with it.
const EARLIER: usize = 8;

/// What an answer has to do with the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// The result was there.
    Found,
    /// It was made, and is kept.
    Made,
    /// It was made, and is not kept: it is too large, or its source's server lets nobody keep it.
    MadeOnly,
}

/// How it was found out what a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// It was known: nobody was asked.
    Known,
    /// Its server says that it is still the same.
    Unchanged,
    /// It was fetched again.
    Again,
    /// It was fetched for the first time.
    First,
}

/// A source of which is known what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sourced {
    pub(crate) was: Was,
    /// For how many seconds nobody has asked whether it still is.
    pub(crate) age_s: u64,
}

/// The same, with what is known of it.
struct Source {
    known: KnownSource,
    sourced: Sourced,
    /// Its bytes, if they were fetched for that.
    held: Option<Held>,
    may_be_kept: bool,
}

/// SHA-256 of some bytes: other than a digest for entity tags, none that somebody could find other bytes for.
async fn sha256(bytes: &Bytes) -> Result<Digest, Fault> {
    Ok(both_digests(bytes, false).await?.0)
}

/// The same, with the digest for entity tags if that is wanted.
async fn both_digests(bytes: &Bytes, tag: bool) -> Result<(Digest, u128), Fault> {
    let digests = move |bytes: &Bytes| (Sha256::digest(bytes).into(), if tag { digest(bytes) } else { 0 });
    if bytes.len() < MUCH_TO_DIGEST {
        return Ok(digests(bytes));
    }
    let bytes = bytes.clone();
    tokio::task::spawn_blocking(move || digests(&bytes)).await.map_err(|_| broken_off())
}

/// By what is found what is known of the source of a URL.
fn source_key(url: &str) -> Key {
    Key::source(&Sha256::digest(url).into())
}

/// By what a result is found.
fn result_key(checked: &Checked, fingerprint: &[u8; 32], extension: &str, source: &Digest) -> Key {
    let mut made = Sha256::new();
    made.update(fingerprint);
    // What was chosen for a client is given up where it cannot hold the result, and what it asks for is not.
    made.update([u8::from(checked.negotiated)]);
    made.update(extension);
    Key::result(source, &made.finalize().into())
}

/// For how many seconds nobody has asked whether a source is what is known of it, where nobody needs to be.
fn still(settings: &Settings, url: &SourceUrl, known: &KnownSource) -> Option<u64> {
    if url.is_local() {
        let stamp = known.version.stamp.as_ref()?;
        return (settings.transfer.cached_stamp(url).as_ref() == Some(stamp)).then_some(0);
    }
    let age_s = now_ms().checked_sub(known.asked_ms)? / 1000;
    let lasts_s = known.fresh_s.unwrap_or(settings.fresh_s);
    // What was had by other rules has to be had by these.
    (age_s < lasts_s && known.reach == settings.reach).then_some(age_s)
}

/// The extension that stands for the format of a source that is known.
fn extension(checked: &Checked, url: &str, known: &KnownSource) -> Result<String, Fault> {
    let format = known.format.as_deref().and_then(Format::from_name);
    checked.extension(format, Some(url), known.media_type.as_deref())
}

impl Product {
    fn found(result: &KeptResult, checked: &Checked) -> Self {
        Self {
            bytes: result.bytes.clone(),
            media_type: result.media_type.clone(),
            unknown_arguments: checked.unknown_arguments.clone(),
            warnings: result.warnings.clone(),
            timings: Timings::default(),
            cache_use: Some(CacheUse::Found),
        }
    }
}

/// What is known of a render before its source is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    pub(super) url: &'w str,
    pub(super) checked: &'w Checked,
    pub(super) fingerprint: &'w [u8; 32],
    /// Whether its client wants the source's server to be asked.
    pub(super) anew: bool,
}

/// What is told of a render before there is a result: its entity tag.
type Tagged = (String, Sourced);

/// Who waits for a render: what they are told, and that they want the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiters<'w> {
    pub(super) stage: &'w watch::Sender<Stage>,
    pub(super) wanted: &'w Notify,
}

impl Waiters<'_> {
    /// Tells them what the source is; goes on when somebody wants the result.
    async fn tell(self, (entity_tag, sourced): Tagged) {
        self.stage.send_modify(|stage| {
            (stage.entity_tag, stage.sourced) = (Some(entity_tag), Some(sourced));
        });
        self.wanted.notified().await;
        // It is still wanted, should there be more to tell.
        self.wanted.notify_one();
    }
}

impl Service {
    /// What can be answered without waiting for anything: the entity tag, and the result unless the client `has` it.
    pub(super) fn at_hand(
        &self,
        cache: &Cache,
        wanted: Wanted<'_>,
        has: impl Fn(&str) -> bool,
    ) -> Option<(Tagged, Option<Product>)> {
        let Wanted { url, checked, fingerprint, anew } = wanted;
        let entry = if anew { None } else { cache.at_hand(&source_key(url)) };
        let known = entry.as_ref()?.source()?;
        let age_s = still(&self.settings(), &SourceUrl::parse(url).ok()?, known)?;
        let extension = extension(checked, url, known).ok()?;
        let tag = entity_tag(fingerprint, &extension, known.tag_digest);
        let tagged = (tag, Sourced { was: Was::Known, age_s });
        if has(&tagged.0) {
            return Some((tagged, None));
        }
        let entry = cache.at_hand(&result_key(checked, fingerprint, &extension, &known.digest))?;
        Some((tagged, Some(Product::found(entry.result()?, checked))))
    }

    /// A result that is kept.
    async fn kept(&self, cache: &Arc<Cache>, key: Key, checked: &Checked) -> Result<Option<Product>, Fault> {
        if let Some(entry) = cache.at_hand(&key) {
            return Ok(entry.result().map(|result| Product::found(result, checked)));
        }
        if !cache.may_have(&key) {
            return Ok(None);
        }
        // It may be large: of those no more are held at once than there may be calls.
        let slot = self.turns().call(&asked(checked.flow.clone())).await?;
        let entry = self.entry(cache, key).await?;
        Ok(entry.as_ref().and_then(|entry| entry.result()).map(|result| {
            let product = Product::found(result, checked);
            Product { bytes: held_back(product.bytes, slot), ..product }
        }))
    }

    /// An entry, which is read if it is not in memory.
    async fn entry(&self, cache: &Arc<Cache>, key: Key) -> Result<Option<Arc<Entry>>, Fault> {
        match cache.at_hand(&key) {
            None if cache.may_have(&key) => {
                let cache = Arc::clone(cache);
                tokio::task::spawn_blocking(move || cache.read(&key)).await.map_err(|_| broken_off())
            }
            entry => Ok(entry),
        }
    }

    /// The result of a call whose source the client has sent: found, or made and kept.
    pub(super) async fn found_or_made(
        &self,
        cache: &Arc<Cache>,
        (checked, task): (&Checked, Task),
        source: Held,
    ) -> Result<Product, Fault> {
        let digest = sha256(&source.bytes).await?;
        let key = result_key(checked, &checked.fingerprint(), &task.extension, &digest);
        if let Some(product) = self.kept(cache, key, checked).await? {
            return Ok(product);
        }
        checked.admit(&task)?;
        let product = self.perform(checked, task, source, Timings::default()).await?;
        Ok(keep(cache, key, (checked, ""), product))
    }

    /// The result of a render: found, or made and kept.
    pub(super) async fn render_kept(
        &self,
        cache: &Arc<Cache>,
        wanted: Wanted<'_>,
        waiters: Waiters<'_>,
    ) -> Result<Product, Fault> {
        let Wanted { url, checked, fingerprint, .. } = wanted;
        let began = Instant::now();
        let settings = self.settings();
        let parsed = intake::understood(url)?;
        let mut source = self.source(cache, &settings, wanted, &parsed).await?;
        let key = loop {
            let extension = extension(checked, url, &source.known)?;
            let key = result_key(checked, fingerprint, &extension, &source.known.digest);
            let tag = entity_tag(fingerprint, &extension, source.known.tag_digest);
            waiters.tell((tag, source.sourced)).await;
            if let Some(mut product) = self.kept(cache, key, checked).await? {
                product.timings.fetch = Some(began.elapsed()).filter(|_| source.sourced.was != Was::Known);
                return Ok(product);
            }
            if source.held.is_some() {
                break key;
            }
            // It is known what it is, and nothing of that is here; it may have changed since.
            checked.check_suspended()?;
            let held = self.fetched(&settings, &parsed, checked).await?;
            source = learn(cache, &settings, url, held, Some(source.known)).await?;
        };
        let Source { held: Some(held), may_be_kept, .. } = source else { return Err(broken_off()) };
        let timings = Timings { fetch: Some(began.elapsed()), ..Timings::default() };
        let task = checked.task(&held.bytes, Some(url), held.media_type.as_deref())?;
        checked.admit(&task)?;
        let product = self.perform(checked, task, held, timings).await?;
        Ok(match may_be_kept {
            true => keep(cache, key, (checked, url), product),
            false => Product { cache_use: Some(CacheUse::MadeOnly), ..product },
        })
    }

    async fn fetched(&self, settings: &Settings, url: &SourceUrl, checked: &Checked) -> Result<Held, Fault> {
        let wish = wish(&checked.flow);
        intake::fetch_within(&settings.transfer, url, &settings.gate, wish, || self.warm().cool()).await
    }

    /// Finds out what the source of a render is.
    async fn source(
        &self,
        cache: &Arc<Cache>,
        settings: &Settings,
        Wanted { url, checked, anew, .. }: Wanted<'_>,
        parsed: &SourceUrl,
    ) -> Result<Source, Fault> {
        let key = source_key(url);
        let entry = self.entry(cache, key).await?;
        let Some(known) = entry.as_ref().and_then(|entry| entry.source()).cloned() else {
            checked.check_suspended()?;
            let held = self.fetched(settings, parsed, checked).await?;
            return learn(cache, settings, url, held, None).await;
        };
        let same = |known, was, age_s| Source {
            known,
            sourced: Sourced { was, age_s },
            held: None,
            may_be_kept: true,
        };
        if !anew && let Some(age_s) = still(settings, parsed, &known) {
            return Ok(same(known, Was::Known, age_s));
        }
        if !known.version.is_known() {
            let held = self.fetched(settings, parsed, checked).await?;
            return learn(cache, settings, url, held, Some(known)).await;
        }
        let (gate, version) = (&settings.gate, known.version.clone());
        let short = || self.warm().cool();
        let asked =
            intake::fetch_unless(&settings.transfer, (parsed, version), gate, wish(&checked.flow), short)
                .await?;
        match asked {
            Ok(held) => learn(cache, settings, url, held, Some(known)).await,
            Err(freshness) => {
                let was = if parsed.is_local() { Was::Known } else { Was::Unchanged };
                let known = KnownSource { fresh_s: seconds(freshness).or(known.fresh_s), ..known };
                let known = KnownSource { asked_ms: now_ms(), reach: settings.reach, ..known };
                let made_ms = entry.map_or_else(now_ms, |entry| entry.made_ms);
                remember(cache, &key, (made_ms, &known), freshness);
                Ok(Source { may_be_kept: !freshness.is_private, ..same(known, was, 0) })
            }
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    /// What is known of the source of this URL, and all that was made of it.
    Source(String),
    /// Everything.
    All,
}

impl Service {
    /// How the cache is doing, and the results in it that were used last; none where there is no cache.
    pub(crate) async fn list_kept(&self, most: usize) -> Option<(Figures, Vec<Listed>)> {
        let cache = Arc::clone(self.cache()?);
        let listed = tokio::task::spawn_blocking(move || (cache.figures(), cache.list(most)));
        listed.await.ok()
    }

    /// Removes results; says how many they were.
    pub(crate) async fn purge_kept(&self, wanted: Purge) -> usize {
        let Some(cache) = self.cache().cloned() else { return 0 };
        let purged = tokio::task::spawn_blocking(move || match wanted {
            Purge::Source(url) => cache.purge_source(&Sha256::digest(&url).into()),
            Purge::All => cache.purge_all(),
        });
        purged.await.unwrap_or_default()
    }
}

fn wish(flow: &Flow) -> Wish {
    Wish::new(waiting(flow.clone()), REPLY_PATIENCE)
}

fn seconds(freshness: Freshness) -> Option<u64> {
    freshness.lasts.map(|lasts| lasts.as_secs())
}

/// Has in memory what is known of a source, unless its server lets nobody keep anything of it.
fn remember(cache: &Cache, key: &Key, (made_ms, known): (u64, &KnownSource), freshness: Freshness) {
    match freshness.is_private {
        true => cache.forget(key),
        false => cache.remember(key, &Arc::new(Entry { made_ms, what: What::Source(known.clone()) })),
    }
}

/// Keeps what is known of a source that was fetched.
async fn learn(
    cache: &Arc<Cache>,
    settings: &Settings,
    url: &str,
    held: Held,
    before: Option<KnownSource>,
) -> Result<Source, Fault> {
    let (digest, tag_digest) = both_digests(&held.bytes, true).await?;
    let is_same = before.as_ref().is_some_and(|before| before.digest == digest);
    let known = KnownSource {
        url: redact(url),
        digest,
        earlier: earlier(before.as_ref(), &digest),
        tag_digest,
        format: Format::from_content(&held.bytes).map(|format| format.name().to_owned()),
        media_type: held.media_type.clone(),
        bytes: held.bytes.len() as u64,
        version: Version::clone(&held.version),
        asked_ms: now_ms(),
        fresh_s: seconds(held.freshness),
        reach: settings.reach,
    };
    let key = source_key(url);
    // One that is fetched again and again need not be written again and again.
    let is_written = is_same && before.as_ref().is_some_and(|before| before.version == known.version);
    match held.freshness.is_private {
        false if !is_written => {
            cache.keep(key, What::Source(known.clone()));
        }
        _ => remember(cache, &key, (now_ms(), &known), held.freshness),
    }
    let was = match before {
        None => Was::First,
        // A file that has just been written is read to be known: nobody is asked.
        Some(_) if is_same && SourceUrl::parse(url).is_ok_and(|url| url.is_local()) => Was::Known,
        Some(_) => Was::Again,
    };
    let (sourced, may_be_kept) = (Sourced { was, age_s: 0 }, !held.freshness.is_private);
    Ok(Source { known, sourced, held: Some(held), may_be_kept })
}

/// The digests that a source had before it had this one.
fn earlier(before: Option<&KnownSource>, digest: &Digest) -> Vec<Digest> {
    let before = before.into_iter().flat_map(|before| std::iter::once(&before.digest).chain(&before.earlier));
    before.filter(|before| *before != digest).copied().take(EARLIER).collect()
}

/// Keeps a result, if it is not too large for that.
fn keep(cache: &Cache, key: Key, (checked, url): (&Checked, &str), product: Product) -> Product {
    let result = KeptResult {
        operation: checked.operation().to_owned(),
        source: redact(url),
        media_type: product.media_type.clone(),
        warnings: product.warnings.clone(),
        bytes: product.bytes.clone(),
    };
    let kept = cache.keep(key, What::Result(result));
    Product { cache_use: Some(if kept { CacheUse::Made } else { CacheUse::MadeOnly }), ..product }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_was_before_is_remembered_for_a_while() {
        let known = |digest: u8, earlier: &[u8]| KnownSource {
            digest: [digest; 32],
            earlier: earlier.iter().map(|digest| [*digest; 32]).collect(),
            ..KnownSource::default()
        };
        let earlier = |before: Option<&KnownSource>, digest: u8| {
            super::earlier(before, &[digest; 32]).iter().map(|digest| digest[0]).collect::<Vec<_>>()
        };
        assert_eq!(earlier(None, 1), [0_u8; 0]);
        assert_eq!(earlier(Some(&known(1, &[])), 1), [0_u8; 0]);
        assert_eq!(earlier(Some(&known(2, &[1])), 3), [2, 1]);
        assert_eq!(earlier(Some(&known(2, &[1])), 1), [2], "it has come back");
        assert_eq!(earlier(Some(&known(9, &[8, 7, 6, 5, 4, 3, 2, 1])), 10), [9, 8, 7, 6, 5, 4, 3, 2]);
    }
}
