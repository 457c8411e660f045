//! Renders: an operation on a source that is named by URL. Clients that ask for the same at the same time share one
//! computation, whose result `renders` hands to all of them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use imgserve_base::digest::digest;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_base::job::Client;
use imgserve_base::units::MIB;
use imgserve_transfer::CachedFile;
use imgserve_worker::{Payload, Task};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};

use super::cache::{CacheUse, Sourced, Waiters, Wanted};
use super::call::{Call, Checked, entity_tag};
use super::product::{Product, Timings};
use super::renders::{Key, Stage, broken_off};
use super::{asked, cached, waiting};
use crate::access::StoreRights;
use crate::job::intake::{self, REPLY_PATIENCE, Wish};
use crate::job::request;
use crate::job::service::Service;
use crate::job::settings::Settings;
use crate::job::stores::Wants;
use crate::metrics;

/// A longer source, which takes more than a millisecond, is digested on another thread, to hold up nobody else.
const MUCH_TO_DIGEST: usize = 8 * MIB as usize;

/// A call whose source is named by URL.
#[derive(Clone, Debug)]
pub(crate) struct Render {
    /// What is asked for.
    pub(crate) call: Call,
    /// Where the source is.
    pub(crate) source: String,
    /// Who asks for it, and what it may do with stores.
    pub(crate) client: Client,
    pub(crate) stores: StoreRights,
    /// Whether the client may have the result already: then its entity tag is wanted before anything is computed.
    pub(crate) conditional: bool,
    /// Whether the client wants the source's server to be asked, whatever is known of the source.
    pub(crate) anew: bool,
}

/// What a render gives.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The result's entity tag, without quotes.
    pub(crate) entity_tag: String,
    /// Whether the result's format depends on what the client takes.
    pub(crate) negotiated: bool,
    /// None when the client has it.
    pub(crate) product: Option<Product>,
    /// How the source was found out; none where there is no cache.
    pub(crate) sourced: Option<Sourced>,
    /// Whether somebody else had asked for it already, and it was being computed.
    pub(crate) joined: bool,
}

impl Service {
    /// Runs an operation on a source, unless `has` says of the result's entity tag that the client has it. Dropped, it is
    /// not run any more unless others wait for the same.
    ///
    /// # Errors
    /// The fault for which there is no result.
    pub(crate) async fn render(
        self: &Arc<Self>,
        render: Render,
        has: impl Fn(&str) -> bool,
    ) -> Result<Answer, Fault> {
        let operation = render.call.operation.clone();
        let answered = self.render_once(render, has).await;
        self.called(&operation, answered.is_ok());
        self.tally().metrics().rendered(match &answered {
            Err(_) => metrics::Render::Failed,
            Ok(Answer { product: None, .. }) => metrics::Render::NotModified,
            Ok(Answer { product: Some(Product { cache_use: Some(CacheUse::Found), .. }), .. }) => {
                metrics::Render::Cached
            }
            Ok(Answer { joined: true, .. }) => metrics::Render::Coalesced,
            Ok(_) => metrics::Render::Computed,
        });
        if let Ok(Answer { sourced: Some(sourced), product, .. }) = &answered {
            let cache_use = product.as_ref().and_then(|product| product.cache_use);
            self.tally().metrics().cached(cached(Some(*sourced), cache_use));
        }
        answered.inspect_err(|fault| self.tally().refused(fault))
    }

    async fn render_once(
        self: &Arc<Self>,
        render: Render,
        has: impl Fn(&str) -> bool,
    ) -> Result<Answer, Fault> {
        let _counted = self.lifecycle().call()?;
        if render.source.is_empty() {
            return Err(Fault::new(FaultKind::EmptySource, "`src` is missing: it names the source's URL"));
        }
        request::scheme(&render.source, "src", FaultKind::SourceScheme)?;
        let settings = self.settings();
        let wants = Wants { client: &render.client, rights: &render.stores, transfer: &settings.transfer };
        wants.check_source(&render.source)?;
        let checked = Checked::new(&render.call, self.flow(&render.call.flow), self.generation())?;
        let (negotiated, fingerprint) = (checked.negotiated, checked.fingerprint());
        if let Some(cache) = self.cache() {
            let wanted = Wanted::of(&render, &checked, &fingerprint);
            if let Some(((entity_tag, sourced), product)) = self.at_hand(cache, wanted, &has) {
                let sourced = Some(sourced);
                return Ok(Answer { entity_tag, negotiated, product, sourced, joined: false });
            }
        }
        let key = key(&render, &checked, &fingerprint);
        let mut joined = true;
        let under_way = self.renders().join(key, |stage, wanted| {
            joined = false;
            let service = Arc::clone(self);
            let computing = async move {
                let outcome = service.compute(render, checked, fingerprint, &stage, &wanted).await;
                stage.send_modify(|stage| stage.outcome = Some(outcome));
            };
            tokio::spawn(computing).abort_handle()
        });
        let (entity_tag, sourced) = under_way.entity_tag().await?;
        if has(&entity_tag) {
            return Ok(Answer { entity_tag, negotiated, product: None, sourced, joined });
        }
        let (product, entity_tag, sourced) = under_way.product().await?;
        Ok(Answer { entity_tag, negotiated, product: Some(product), sourced, joined })
    }

    async fn compute(
        &self,
        render: Render,
        checked: Checked,
        fingerprint: [u8; 32],
        stage: &watch::Sender<Stage>,
        wanted: &Notify,
    ) -> Result<Product, Fault> {
        if let Some(cache) = self.cache() {
            let waiters = Waiters { stage, wanted };
            let wanted = Wanted::of(&render, &checked, &fingerprint);
            return Box::pin(self.render_kept(cache, wanted, waiters)).await;
        }
        let began = Instant::now();
        checked.check_suspended()?;
        let settings = self.settings();
        let Settings { transfer, gate, .. } = &*settings;
        let known = |digest, task: &Task| {
            let entity_tag = entity_tag(&fingerprint, &task.extension, digest);
            stage.send_modify(|stage| stage.entity_tag = Some(entity_tag));
        };
        // A file stays open until it is its turn: no more of them than calls may have their turn at once.
        let source = intake::understood(&render.source)?;
        let unread = !render.conditional && source.is_local();
        let turn = if unread { Some(self.turns().call(&asked(checked.flow.clone())).await?) } else { None };
        let file = turn.as_ref().and_then(|_| transfer.cached_file(&source));
        // What is not recognised by its first bytes is looked at as a whole.
        let file = file.filter(|file| Format::from_content(&file.head).is_some());
        if let (Some(CachedFile { file, size, head }), Some(turn)) = (&file, turn) {
            let timings = Timings { fetch: Some(began.elapsed()), ..Timings::default() };
            let task = checked.task(head, Some(&render.source), None)?;
            checked.admit(&task)?;
            let payload = Payload::File { file: Arc::clone(file), size: *size };
            let unread = self.perform_unread(&checked, &task, payload, (timings, turn)).await?;
            if let Some((product, digest)) = unread {
                known(digest, &task);
                return Ok(product);
            }
        }
        let wish = Wish::new(waiting(checked.flow.clone()), REPLY_PATIENCE);
        let held = intake::fetch_within(transfer, &source, gate, wish, || self.warm().cool()).await?;
        let timings = Timings { fetch: Some(began.elapsed()), ..Timings::default() };
        let task = checked.task(&held.bytes, Some(&render.source), held.media_type.as_deref())?;
        known(digested(&held.bytes).await?, &task);
        wanted.notified().await;
        // Else it has been admitted before.
        if file.is_none() {
            checked.admit(&task)?;
        }
        self.perform(&checked, task, held, timings).await
    }
}

/// The digest of a source.
async fn digested(source: &Bytes) -> Result<u128, Fault> {
    if source.len() < MUCH_TO_DIGEST {
        return Ok(digest(source));
    }
    let source = source.clone();
    tokio::task::spawn_blocking(move || digest(&source)).await.map_err(|_| broken_off())
}

impl<'w> Wanted<'w> {
    fn of(render: &'w Render, checked: &'w Checked, fingerprint: &'w [u8; 32]) -> Self {
        Self { url: &render.source, checked, fingerprint, anew: render.anew }
    }
}

fn key(render: &Render, checked: &Checked, fingerprint: &[u8; 32]) -> Key {
    let mut digest = Sha256::new();
    digest.update(fingerprint);
    // Of a reload's renders none is shared with those from before it: other rules hold for them.
    digest.update((Arc::as_ptr(&checked.generation) as usize).to_le_bytes());
    digest.update([u8::from(checked.negotiated), u8::from(render.anew)]);
    digest.update(&render.source);
    digest.finalize().into()
}
