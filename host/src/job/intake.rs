//! A source on its way in. It is fetched once, by a task of its own, so that planning works on the first bytes while
//! the rest arrives. The bytes of all sources share a memory limit, which is given in turns; when that is short the rest is
//! not kept, and the source is fetched again when its turn comes. How it is to be fetched, `wish` says.

mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use imgserve_base::fair::Turn;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::units::MIB;
use imgserve_base::version::Version;
use imgserve_config::Config;
use imgserve_transfer::{
    Asked, Asks, Blame, Fetch, Freshness, Place, PlaceKind, PlaceLimits, Places, Server, SourceUrl, Transfer,
    TransferError, TransferErrorKind,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) use self::wish::Wish;

use super::gathered::Gathered;
use super::shares::{Need, Share, Shares};

/// Bytes that every source may hold outside of the shared limit, so that any job can be planned.
const FREE: usize = 64 << 10;
/// So many of the first bytes are shown before they are asked for; nearly all planning takes fewer.
const SHOWN_UNASKED: usize = 256 << 10;
/// One unit of the shared limit stands for this many bytes.
const UNIT: usize = 16 << 10;
/// What part of the memory is in reserve for small sources, and what part of that one of them has at most.
const RESERVE: u32 = 8;
/// The shared limit's key.
const MEMORY: &str = "[limits] source_memory_mb";

/// How often those that hold memory for later are asked for it, while somebody waits for it.
const SHORT_AGAIN: Duration = Duration::from_millis(250);

/// How long a client's request waits for a place or for memory before it is told "busy".
pub(super) const REPLY_PATIENCE: Duration = Duration::from_secs(20);

/// What bounds the sources that are held and the transfers under way.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    memory: Shares,
    places: Places,
    largest: u32,
    /// The key that says so.
    largest_key: &'static str,
}

impl Gate {
    /// The bounds that the configuration sets; they hold until the process ends.
    pub(super) fn new(config: &Config) -> Self {
        let all = units(config.source_memory());
        let gate = Self {
            memory: Shares::reserved(all, all / RESERVE, MEMORY),
            places: Places::new(PlaceLimits {
                most: config.transfer.max_transfers,
                per_server: config.transfers_per_host(),
                per_client: config.transfers_per_client(),
            }),
            largest: all,
            largest_key: MEMORY,
        };
        gate.for_sources_up_to(config.limits.max_source_mb * MIB)
    }

    /// The same bounds for sources of up to `bytes`, as far as memory for them can ever be had.
    pub(super) fn for_sources_up_to(&self, bytes: u64) -> Self {
        let (all, bytes) = (self.memory.total(), units(bytes));
        let largest_key = if bytes <= all { "[limits] max_source_mb" } else { MEMORY };
        Self { largest: bytes.min(all), largest_key, ..self.clone() }
    }

    /// The places for transfers of all kinds.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// The most bytes that a source may have.
    pub(super) fn limit(&self) -> u64 {
        u64::from(self.largest) * UNIT as u64
    }

    /// A share of the memory, of nothing yet.
    pub(super) fn share(&self, turn: &Turn) -> Share {
        Share::nothing(&self.memory, turn)
    }

    /// The fault of a source that is larger than it may be.
    pub(super) fn too_large(&self, what: &str) -> Fault {
        let (key, have) = (self.largest_key, self.limit() / MIB);
        Fault::new(FaultKind::LimitExceeded, format!("{what}, more than {key} = {have} permits"))
    }

    /// What is wanted for a source of so many bytes, if anybody knows.
    fn whole(&self, bytes: Option<u64>) -> Need {
        match bytes {
            Some(bytes) => Need::new(needed(bytes).min(self.largest), self.is_small(bytes)),
            None => Need::new(self.largest, false),
        }
    }

    /// What is wanted for so many bytes of a source that has so many in all, if anybody knows.
    pub(super) fn part(&self, bytes: u64, whole: Option<u64>) -> Need {
        Need::new(needed(bytes), self.is_small(bytes.max(whole.unwrap_or_default())))
    }

    /// Whether there is a reserve for a source of so many bytes.
    fn is_small(&self, bytes: u64) -> bool {
        needed(bytes) <= self.memory.total() / RESERVE / RESERVE
    }

    /// A place to fetch `source`. Who waits for it should hold nothing that others wait for.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when it does not come in time.
    pub(super) async fn place(
        &self,
        transfer: &Transfer,
        (source, turn): (&SourceUrl, &Turn),
        patience: Duration,
    ) -> Result<Place, Fault> {
        let asks = asks(transfer, source, turn).await;
        self.places.take_within(&asks, patience).await.ok_or_else(|| no_place(asks.servers.first()))
    }

    /// Memory for a source, and a place to fetch it: waits for memory without holding the place, and for the place not at
    /// all. None when that is gone meanwhile. Where nobody knows how large the source is, room for the largest is taken.
    async fn memory_and_place(
        &self,
        transfer: &Transfer,
        (source, place): (&SourceUrl, Place),
        wish: &Wish,
        mut short: impl FnMut(),
    ) -> Result<Option<(Share, Place)>, Fault> {
        let wanted = self.whole(wish.expected);
        if let Some(share) = self.memory.try_take(&wish.turn, wanted) {
            return Ok(Some((share, place)));
        }
        place.give_up();
        let taken = self.memory.take(&wish.turn, wanted, Some(wish.left()));
        tokio::pin!(taken);
        let share = loop {
            short();
            tokio::select! {
                share = &mut taken => break share?,
                // What others have put by meanwhile is to be had as well.
                () = tokio::time::sleep(SHORT_AGAIN) => {}
            }
        };
        match self.places.try_take(&asks(transfer, source, &wish.turn).await) {
            Some(place) => Ok(Some((share, place))),
            None => {
                share.give_up();
                Ok(None)
            }
        }
    }
}

async fn asks(transfer: &Transfer, source: &SourceUrl, turn: &Turn) -> Asks {
    transfer.located(Asks::new(PlaceKind::Source, source.server(), turn)).await
}

/// The fault of a transfer for which there is no place.
pub(super) fn no_place(server: Option<&Server>) -> Fault {
    let text = match server {
        None => "too much is under way ([transfer] max_transfers)".to_owned(),
        Some(server) => format!(
            "too much is under way, with {server} or in all ([transfer] max_transfers_per_host, max_transfers)"
        ),
    };
    Fault::new(FaultKind::Busy, text).retried(Retry::Later)
}

/// Units for so many bytes, but for those that every source may hold.
pub(super) fn needed(bytes: u64) -> u32 {
    units(bytes.saturating_sub(FREE as u64))
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT as u64)).unwrap_or(u32::MAX)
}

fn stopping() -> Fault {
    Fault::new(FaultKind::Busy, "the server is stopping").retried(Retry::Later)
}

/// A source's bytes and their share of the memory limit.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) bytes: Bytes,
    /// What the other end says that they are; not to be relied on.
    pub(super) media_type: Option<String>,
    /// By what they are told from others at their place.
    pub(super) version: Box<Version>,
    /// For how long they are what they are.
    pub(super) freshness: Freshness,
    _share: Share,
}

impl Held {
    /// These bytes with their share, of which is given back what they do not need.
    pub(super) fn new(bytes: Bytes, media_type: Option<String>, mut share: Share) -> Self {
        share.shrink(needed(bytes.len() as u64));
        let (version, freshness) = (Box::default(), Freshness::default());
        Self { bytes, media_type, version, freshness, _share: share }
    }
}

/// The system gives no memory.
pub(super) fn refused() -> Fault {
    let text = format!("the system gives no memory for the source ({MEMORY})");
    tracing::warn!("{text}");
    Fault::new(FaultKind::Busy, text).retried(Retry::Later)
}

/// A source being fetched. Dropped, the fetch ends.
#[derive(Debug)]
pub(super) struct Intake {
    /// None when planning is done: nobody looks at the first bytes any more.
    progress: Option<watch::Receiver<Arrived>>,
    /// How many of the first bytes are wanted.
    wanted: Arc<AtomicUsize>,
    size_hint: Option<u64>,
    task: JoinHandle<Result<Option<Held>, TransferError>>,
}

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
struct Arrived {
    /// Grows by doubling, as [`Intake::head`] is asked for more.
    head: Bytes,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Coming,
    /// `head` is the whole source.
    Complete,
    /// Memory was short: no more than `head` was kept.
    Short,
    /// The fetch failed; the task has the error.
    Failed,
}

/// The first bytes of a source.
#[derive(Debug)]
pub(super) enum Head {
    /// These, and more will come.
    Part(Bytes),
    /// All of it.
    Whole(Bytes),
    /// These, and no more for lack of memory.
    Short(Bytes),
    /// The fetch failed; [`Intake::finish`] says why.
    Failed,
}

impl Intake {
    /// Begins to fetch `source`, for which it has a place.
    ///
    /// # Errors
    /// [`FaultKind::SourceUnavailable`].
    pub(super) async fn start(
        transfer: &Transfer,
        source: &SourceUrl,
        gate: &Gate,
        turn: &Turn,
        place: Place,
    ) -> Result<Self, Fault> {
        let fetch = begin(transfer, source, turn).await?;
        let (sender, progress) = watch::channel(Arrived::default());
        let share = gate.share(turn);
        let (size_hint, wanted) = (fetch.size_hint, Arc::new(AtomicUsize::new(0)));
        let shown = (sender, Arc::clone(&wanted));
        let coming = download(fetch, (gate.clone(), share), shown, place);
        let task = tokio::spawn(async { coming.await.map(Downloaded::whole) });
        Ok(Self { progress: Some(progress), wanted, size_hint, task })
    }

    /// How many bytes the source has, as far as the other end tells.
    pub(super) fn size_hint(&self) -> Option<u64> {
        self.size_hint
    }

    /// Planning is done: the first bytes need not be shown any more.
    pub(super) fn planned(mut self) -> Self {
        self.progress = None;
        self
    }

    /// The first bytes: at least `wanted` of them, unless there are fewer.
    pub(super) async fn head(&mut self, wanted: usize) -> Head {
        let enough = |arrived: &Arrived| arrived.head.len() >= wanted || arrived.end != End::Coming;
        self.wanted.store(wanted, Ordering::Relaxed);
        let Some(progress) = &mut self.progress else { return Head::Failed };
        match progress.wait_for(enough).await {
            Ok(arrived) => match arrived.end {
                End::Coming => Head::Part(arrived.head.clone()),
                End::Complete => Head::Whole(arrived.head.clone()),
                End::Short => Head::Short(arrived.head.clone()),
                End::Failed => Head::Failed,
            },
            // The sender is dropped only after the end was said.
            Err(_) => Head::Failed,
        }
    }

    /// The whole source, or none when memory was short.
    ///
    /// # Errors
    /// [`FaultKind::SourceUnavailable`] when the fetch broke off.
    pub(super) async fn finish(mut self) -> Result<Option<Held>, Fault> {
        match (&mut self.task).await {
            Ok(Ok(held)) => Ok(held),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(stopping()),
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to fetch a source on behalf of the client whose turn it is.
async fn begin(transfer: &Transfer, source: &SourceUrl, turn: &Turn) -> Result<Fetch, Fault> {
    transfer.on_behalf_of(&turn.flow).fetch(source).await.map_err(|error| unavailable(&error))
}

/// Understands the URL of a source.
///
/// # Errors
/// [`FaultKind::SourceUnavailable`].
pub(super) fn understood(url: &str) -> Result<SourceUrl, Fault> {
    SourceUrl::parse(url).map_err(|error| unavailable(&error))
}

/// Fetches the whole of `source`, when there are a place and memory for it; `short` is told while memory is waited for.
///
/// # Errors
/// [`FaultKind::SourceUnavailable`]; [`FaultKind::Busy`] when the patience ends before there is room.
pub(super) async fn fetch_within(
    transfer: &Transfer,
    source: &SourceUrl,
    gate: &Gate,
    mut wish: Wish,
    mut short: impl FnMut(),
) -> Result<Held, Fault> {
    loop {
        let place = gate.place(transfer, (source, &wish.turn), wish.left()).await?;
        if let Some(held) = fetch(transfer, source, (gate, place), &mut wish, &mut short).await? {
            return Ok(held);
        }
    }
}

/// The same, unless it is still what it was when it had this version.
///
/// # Errors
/// As [`fetch_within`].
pub(super) async fn fetch_unless(
    transfer: &Transfer,
    (source, known): (&SourceUrl, Version),
    gate: &Gate,
    mut wish: Wish,
    mut short: impl FnMut(),
) -> Result<Result<Held, Freshness>, Fault> {
    let place = gate.place(transfer, (source, &wish.turn), wish.left()).await?;
    let asked = transfer.on_behalf_of(&wish.turn.flow).fetch_unless(source, known).await;
    let held = match asked.map_err(|error| unavailable(&error))? {
        Asked::Same(freshness) => return Ok(Err(freshness)),
        Asked::Changed(fetch) => {
            begun(transfer, source, *fetch, (gate, place), &mut wish, &mut short).await?
        }
    };
    match held {
        Some(held) => Ok(Ok(held)),
        None => fetch_within(transfer, source, gate, wish, short).await.map(Ok),
    }
}

/// Fetches the whole of `source`, for which it has a place: at once while memory lasts, else when it is its turn. None when
/// the place is gone, and another one is to be waited for before it is fetched again.
///
/// # Errors
/// As [`fetch_within`].
pub(super) async fn fetch(
    transfer: &Transfer,
    source: &SourceUrl,
    (gate, place): (&Gate, Place),
    wish: &mut Wish,
    short: impl FnMut(),
) -> Result<Option<Held>, Fault> {
    // Whose size is known is not asked for before there is memory for it.
    if wish.expected.is_none() && !wish.was_asked {
        let fetch = begin(transfer, source, &wish.turn).await?;
        return Box::pin(begun(transfer, source, fetch, (gate, place), wish, short)).await;
    }
    fetch_whole(transfer, source, (gate, place), wish, short).await
}

/// The same of one that has been asked for.
async fn begun(
    transfer: &Transfer,
    source: &SourceUrl,
    fetch: Fetch,
    (gate, place): (&Gate, Place),
    wish: &mut Wish,
    short: impl FnMut(),
) -> Result<Option<Held>, Fault> {
    wish.was_asked = true;
    wish.expected = fetch.size_hint;
    // Of what will not fit nothing is fetched.
    let fits = fetch
        .size_hint
        .is_none_or(|bytes| gate.memory.try_take(&wish.turn, gate.whole(Some(bytes))).is_some());
    if fits {
        // Nobody looks at it before it is whole.
        let share = gate.share(&wish.turn);
        let downloaded = download(fetch, (gate.clone(), share), unseen(), place).await;
        return downloaded.map(Downloaded::whole).map_err(|error| unavailable(&error));
    }
    drop(fetch);
    fetch_whole(transfer, source, (gate, place), wish, short).await
}

/// The same, with memory for all of it taken first.
async fn fetch_whole(
    transfer: &Transfer,
    source: &SourceUrl,
    (gate, place): (&Gate, Place),
    wish: &mut Wish,
    short: impl FnMut(),
) -> Result<Option<Held>, Fault> {
    if let Some(bytes) = wish.expected.filter(|bytes| needed(*bytes) > gate.largest) {
        return Err(gate.too_large(&format!("the source has {bytes} bytes")));
    }
    wish.was_asked = true;
    let Some((share, place)) = gate.memory_and_place(transfer, (source, place), wish, short).await? else {
        return Ok(None);
    };
    let fetch = begin(transfer, source, &wish.turn).await?;
    let may_be = fetch.size_hint.is_some_and(|bytes| needed(bytes) <= gate.largest);
    let downloaded = download(fetch, (gate.clone(), share), unseen(), place).await;
    match downloaded.map_err(|error| unavailable(&error))? {
        Downloaded::Whole(held) => Ok(Some(held)),
        Downloaded::Slow => Err(gate.memory.busy()),
        // It has grown since, and there is no room for more just now.
        Downloaded::Short if wish.expected.take().is_some() => Ok(None),
        // What the gate has given the system has not.
        Downloaded::Short if may_be => Err(refused()),
        Downloaded::Short if gate.largest == gate.memory.total() => {
            Err(gate.too_large("the source has more MiB"))
        }
        Downloaded::Short => Err(refused()),
    }
}

/// Where the first bytes are shown, and how many are wanted.
type Shown = (watch::Sender<Arrived>, Arc<AtomicUsize>);

/// Nobody looks at the first bytes.
fn unseen() -> Shown {
    (watch::channel(Arrived::default()).0, Arc::default())
}

/// What came of a fetch.
enum Downloaded {
    Whole(Held),
    /// Memory was short.
    Short,
    /// It was short, as some that there was had been given back while the other end was slow.
    Slow,
}

impl Downloaded {
    fn whole(self) -> Option<Held> {
        match self {
            Self::Whole(held) => Some(held),
            Self::Short | Self::Slow => None,
        }
    }
}

/// The whole source, if memory lasts.
async fn download(
    mut fetch: Fetch,
    (gate, mut share): (Gate, Share),
    (progress, wanted): Shown,
    _place: Place,
) -> Result<Downloaded, TransferError> {
    let expected = fetch.size_hint;
    let mut gathered = Gathered::new(expected);
    let (mut shown, mut slow) = (0, false);
    loop {
        let chunk = match fetch.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                progress.send_modify(|arrived| arrived.end = End::Failed);
                return Err(error);
            }
        };
        let fits = share.try_grow(gate.part((gathered.len() + chunk.len()) as u64, expected));
        let visible = chunk.slice(..chunk.len().min(FREE.saturating_sub(gathered.len())));
        if !fits || gathered.add(chunk).is_err() {
            // What was read so far is shown in full: it may be all that planning needs.
            let head = if gathered.add(visible).is_ok() { gathered.whole() } else { Bytes::new() };
            let _ = progress.send(Arrived { head, end: End::Short });
            return Ok(if slow { Downloaded::Slow } else { Downloaded::Short });
        }
        // Of one that is slow no more memory is held than can come of it, twice over.
        if let Some(most) = fetch.most_in_time() {
            slow |= share.shrink(needed(most.saturating_mul(2)));
        }
        // Showing copies, so it is done at doubling sizes, and of many bytes only when so many are wanted: no limit counts
        // the copies.
        let many = gathered.len() > SHOWN_UNASKED && wanted.load(Ordering::Relaxed) <= shown;
        if progress.receiver_count() > 0 && gathered.len() >= shown * 2 && !many {
            shown = gathered.len().max(4096);
            if let Ok(head) = gathered.copy() {
                let _ = progress.send(Arrived { head, end: End::Coming });
            }
        }
    }
    let bytes = gathered.whole();
    let _ = progress.send(Arrived { head: bytes.clone(), end: End::Complete });
    let held = Held::new(bytes, fetch.media_type, share);
    Ok(Downloaded::Whole(Held { version: fetch.version, freshness: fetch.freshness, ..held }))
}

fn unavailable(error: &TransferError) -> Fault {
    transfer_fault(FaultKind::SourceUnavailable, error)
}

/// A failed transfer as a fault of `kind`, unless it exceeded a limit. Only what is wrong with this machine is logged as
/// an error: callers and remote servers fail all the time.
pub(super) fn transfer_fault(kind: FaultKind, error: &TransferError) -> Fault {
    if error.kind() == TransferErrorKind::Exhausted {
        // Neither the request nor the other server is to blame, and it passes.
        tracing::warn!("{}", imgserve_base::fault::chain(error));
        return Fault::of(FaultKind::Busy, error).retried(Retry::Later);
    }
    let kind = if error.kind() == TransferErrorKind::TooLarge { FaultKind::LimitExceeded } else { kind };
    let mut fault = Fault::of(kind, error);
    if error.is_transient() {
        fault.retry = Retry::Remote;
        fault.retry_after_s = error.wait().map(|wait| wait.as_secs());
    }
    if error.blame() == Blame::Us {
        tracing::error!("{fault}");
    }
    fault
}

#[cfg(test)]
mod tests;
