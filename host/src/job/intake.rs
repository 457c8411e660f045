//! A source on its way in. It is fetched once, by a task of its own, so that planning works on the first bytes while
//! the rest arrives. The bytes of all sources share a memory limit; when that is short the rest is not kept, and the
//! source is fetched again when its turn comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::Client;
use imgserve_base::units::MIB;
use imgserve_config::Config;
use imgserve_transfer::{
    Asks, Blame, Fetch, Place, PlaceKind, PlaceLimits, Places, Server, SourceUrl, Transfer, TransferError,
    TransferErrorKind,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes that every source may hold outside of the shared limit, so that any job can be planned.
const FREE: usize = 64 << 10;
/// One permit of the shared limit stands for this many bytes.
const UNIT: usize = 16 << 10;
/// The most bytes that room is made for because the other end says that they will come.
const MOST_EXPECTED: u64 = 8 * MIB;

/// How long a client's request waits for a place or for memory before it is told "busy".
pub(super) const REPLY_PATIENCE: Duration = Duration::from_secs(20);
/// The same for a client that has not sent its image yet.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// What bounds the sources that are held and the transfers under way.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    memory: Arc<Semaphore>,
    places: Places,
    /// For whom sources are fetched.
    client: Option<Arc<str>>,
    /// All units of the memory.
    all: u32,
    largest: u32,
}

impl Gate {
    /// The bounds that the configuration sets; they hold until the process ends.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            memory: Arc::new(Semaphore::new(
                units(config.limits.source_memory_mb.saturating_mul(MIB)) as usize
            )),
            places: Places::new(PlaceLimits {
                most: config.transfer.max_transfers,
                per_server: config.transfers_per_host(),
                per_client: config.transfers_per_client(),
            }),
            client: None,
            all: units(config.limits.source_memory_mb.saturating_mul(MIB)),
            largest: units(config.limits.max_source_mb * MIB),
        }
    }

    /// The same bounds for sources of up to `bytes`, as far as memory for them can ever be had.
    pub(super) fn for_sources_up_to(&self, bytes: u64) -> Self {
        Self { largest: units(bytes).min(self.all), ..self.clone() }
    }

    /// The same bounds for the sources of a client.
    pub(super) fn of(&self, client: &Client) -> Self {
        Self { client: share_of(client), ..self.clone() }
    }

    /// The places for transfers of all kinds.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Room for a source of `announced` bytes, or of the most that it may have when nobody knows.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`]; [`FaultKind::Busy`] when memory stays short.
    pub(super) async fn room(&self, announced: Option<u64>) -> Result<Room, Fault> {
        let limit = u64::from(self.largest) * UNIT as u64;
        let bytes = announced.unwrap_or(limit);
        if bytes > limit {
            let have = limit / MIB;
            let text =
                format!("the body has {bytes} bytes, more than [limits] max_source_mb = {have} permits");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        let share = match units(bytes.saturating_sub(FREE as u64)) {
            0 => None,
            count => Some(permit(&self.memory, count, ROOM_PATIENCE, "[limits] source_memory_mb").await?),
        };
        Ok(Room { share, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }

    /// A place to fetch `source`. Who waits for it should hold nothing that others wait for.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when it does not come in time.
    pub(super) async fn place(&self, source: &SourceUrl, patience: Duration) -> Result<Place, Fault> {
        let asks = self.asks(source);
        self.places.take_within(&asks, patience).await.ok_or_else(|| no_place(asks.servers.first()))
    }

    fn asks(&self, source: &SourceUrl) -> Asks {
        Asks::new(PlaceKind::Source, source.server(), self.client.clone())
    }

    /// Memory for the largest source, and a place to fetch this one: waits for each without holding the other.
    async fn memory_and_place(
        &self,
        source: &SourceUrl,
        patience: Duration,
    ) -> Result<(OwnedSemaphorePermit, Place), Fault> {
        let end = Instant::now() + patience;
        let left = || end.saturating_duration_since(Instant::now());
        loop {
            let share = permit(&self.memory, self.largest, left(), "[limits] source_memory_mb").await?;
            if let Some(place) = self.places.try_take(&self.asks(source)) {
                return Ok((share, place));
            }
            drop(share);
            let place = self.place(source, left()).await?;
            if let Ok(share) = Arc::clone(&self.memory).try_acquire_many_owned(self.largest) {
                return Ok((share, place));
            }
        }
    }
}

/// Whose share of the places a client's transfers count to. Those without a key have none: what is behind one address may be
/// one client or a proxy's thousands.
pub(super) fn share_of(client: &Client) -> Option<Arc<str>> {
    match client {
        Client::Anyone => None,
        Client::Key(_) | Client::SignedUrl(_) => Some(client.to_string().into()),
    }
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

/// Waits for permits, though not for ever.
pub(super) async fn permit(
    semaphore: &Arc<Semaphore>,
    count: u32,
    patience: Duration,
    key: &str,
) -> Result<OwnedSemaphorePermit, Fault> {
    match tokio::time::timeout(patience, Arc::clone(semaphore).acquire_many_owned(count)).await {
        Ok(permit) => permit.map_err(|_| stopping()),
        Err(_) => {
            Err(Fault::new(FaultKind::Busy, format!("too much is under way ({key})")).retried(Retry::Later))
        }
    }
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
    _share: Option<OwnedSemaphorePermit>,
}

/// A share of the memory limit for a source that a client sends.
#[derive(Debug)]
pub(crate) struct Room {
    share: Option<OwnedSemaphorePermit>,
    limit: usize,
}

impl Room {
    /// The most bytes that may come.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The bytes that came; what they do not need of the share is given back.
    pub(crate) fn hold(mut self, bytes: Bytes, media_type: Option<String>) -> Held {
        shrink(&mut self.share, bytes.len());
        Held { bytes, media_type, _share: self.share }
    }
}

/// Gives back what `bytes` do not need.
fn shrink(share: &mut Option<OwnedSemaphorePermit>, bytes: usize) {
    if let Some(share) = share {
        drop(share.split(share.num_permits().saturating_sub(units(bytes as u64) as usize)));
    }
}

/// A source being fetched. Dropped, the fetch ends.
#[derive(Debug)]
pub(super) struct Intake {
    /// None when planning is done: nobody looks at the first bytes any more.
    progress: Option<watch::Receiver<Arrived>>,
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
        place: Place,
    ) -> Result<Self, Fault> {
        let fetch = transfer.fetch(source).await.map_err(|error| unavailable(&error))?;
        let (sender, progress) = watch::channel(Arrived::default());
        let task = tokio::spawn(download(fetch, Arc::clone(&gate.memory), sender, place));
        Ok(Self { progress: Some(progress), task })
    }

    /// Planning is done: the first bytes need not be shown any more.
    pub(super) fn planned(mut self) -> Self {
        self.progress = None;
        self
    }

    /// The first bytes: at least `wanted` of them, unless there are fewer.
    pub(super) async fn head(&mut self, wanted: usize) -> Head {
        let enough = |arrived: &Arrived| arrived.head.len() >= wanted || arrived.end != End::Coming;
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

/// Understands the URL of a source.
///
/// # Errors
/// [`FaultKind::SourceUnavailable`].
pub(super) fn understood(url: &str) -> Result<SourceUrl, Fault> {
    SourceUrl::parse(url).map_err(|error| unavailable(&error))
}

/// Fetches the whole of `source`, for which it has a place: at once while memory lasts, else when it is its turn. `short` is
/// told when it does not.
///
/// # Errors
/// As [`fetch_whole`].
pub(super) async fn fetch(
    transfer: &Transfer,
    source: &SourceUrl,
    (gate, place): (&Gate, Place),
    patience: Duration,
    short: impl FnOnce(),
) -> Result<Held, Fault> {
    let fetch = transfer.fetch(source).await.map_err(|error| unavailable(&error))?;
    // Nobody looks at it before it is whole.
    let (unseen, _) = watch::channel(Arrived::default());
    let downloaded = download(fetch, Arc::clone(&gate.memory), unseen, place).await;
    match downloaded.map_err(|error| unavailable(&error))? {
        Some(held) => Ok(held),
        None => {
            short();
            fetch_whole(transfer, source, gate, patience).await
        }
    }
}

/// Fetches the whole of `source`, after waiting until memory for it is there.
///
/// # Errors
/// [`FaultKind::SourceUnavailable`]; [`FaultKind::Busy`] when `patience` ends before there is room.
pub(super) async fn fetch_whole(
    transfer: &Transfer,
    source: &SourceUrl,
    gate: &Gate,
    patience: Duration,
) -> Result<Held, Fault> {
    // The size is known for certain only afterwards, so room for the largest source is taken first.
    let (share, _place) = gate.memory_and_place(source, patience).await?;
    let mut fetch = transfer.fetch(source).await.map_err(|error| unavailable(&error))?;
    let (mut bytes, expected) = (BytesMut::new(), fetch.size_hint);
    while let Some(chunk) = fetch.chunk().await.map_err(|error| unavailable(&error))? {
        gather(&mut bytes, chunk, expected);
    }
    let mut share = Some(share);
    shrink(&mut share, bytes.len());
    Ok(Held { bytes: bytes.freeze(), media_type: fetch.media_type, _share: share })
}

async fn download(
    mut fetch: Fetch,
    memory: Arc<Semaphore>,
    progress: watch::Sender<Arrived>,
    _place: Place,
) -> Result<Option<Held>, TransferError> {
    let (mut bytes, expected) = (BytesMut::new(), fetch.size_hint);
    let mut share: Option<OwnedSemaphorePermit> = None;
    let mut shown = 0;
    loop {
        let chunk = match fetch.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                progress.send_modify(|arrived| arrived.end = End::Failed);
                return Err(error);
            }
        };
        if !grow(&mut share, &memory, bytes.len() + chunk.len()) {
            // What was read so far is shown in full: it may be all that planning needs.
            bytes.extend_from_slice(&chunk[..chunk.len().min(FREE.saturating_sub(bytes.len()))]);
            let _ = progress.send(Arrived { head: bytes.freeze(), end: End::Short });
            return Ok(None);
        }
        gather(&mut bytes, chunk, expected);
        // Showing copies, so it is done at doubling sizes: in all no more than twice the source.
        if progress.receiver_count() > 0 && bytes.len() >= shown * 2 {
            shown = bytes.len().max(4096);
            let head = Bytes::copy_from_slice(&bytes);
            let _ = progress.send(Arrived { head, end: End::Coming });
        }
    }
    let bytes = bytes.freeze();
    let _ = progress.send(Arrived { head: bytes.clone(), end: End::Complete });
    Ok(Some(Held { bytes, media_type: fetch.media_type, _share: share }))
}

/// Adds a chunk. One that is all of what is expected is not copied, unless somebody else holds it too.
fn gather(bytes: &mut BytesMut, chunk: Bytes, expected: Option<u64>) {
    let expected = expected.unwrap_or_default().min(MOST_EXPECTED) as usize;
    if bytes.is_empty() && chunk.len() >= expected {
        *bytes = chunk.into();
        return;
    }
    bytes.reserve(expected.saturating_sub(bytes.len()).max(chunk.len()));
    bytes.extend_from_slice(&chunk);
}

/// Makes the share large enough for `needed` bytes; false when memory is short.
fn grow(share: &mut Option<OwnedSemaphorePermit>, memory: &Arc<Semaphore>, needed: usize) -> bool {
    let wanted = units(needed.saturating_sub(FREE) as u64);
    let have = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u32;
    if wanted <= have {
        return true;
    }
    match Arc::clone(memory).try_acquire_many_owned(wanted - have) {
        Ok(more) => {
            match share {
                Some(share) => share.merge(more),
                None => *share = Some(more),
            }
            true
        }
        Err(_) => false,
    }
}

fn unavailable(error: &TransferError) -> Fault {
    transfer_fault(FaultKind::SourceUnavailable, error)
}

/// A failed transfer as a fault of `kind`, unless it exceeded a limit. Only what is wrong with this machine is logged as
/// an error: callers and remote servers fail all the time.
pub(super) fn transfer_fault(kind: FaultKind, error: &TransferError) -> Fault {
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
