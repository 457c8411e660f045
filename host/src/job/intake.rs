//! A source on its way in. It is fetched once, by a task of its own, so that planning works on the first bytes while
//! the rest arrives. The bytes of all sources share a memory limit; when that is short the rest is not kept, and the
//! source is fetched again when its turn comes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::fault::{Fault, FaultKind};
use crate::transfer::{Blame, Fetch, Transfer, TransferError, TransferErrorKind};

/// Bytes that every source may hold outside of the shared limit, so that any job can be planned.
const FREE: usize = 64 << 10;
/// One permit of the shared limit stands for this many bytes.
const UNIT: usize = 16 << 10;

/// What bounds the sources that are held and the transfers under way.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    memory: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    largest: u32,
}

impl Gate {
    /// `memory` bytes for all held sources, none of which is larger than `largest` bytes; `transfers` at once.
    pub(super) fn new(memory: u64, largest: u64, transfers: usize) -> Self {
        Self {
            memory: Arc::new(Semaphore::new(units(memory) as usize)),
            transfers: Arc::new(Semaphore::new(transfers)),
            largest: units(largest),
        }
    }

    async fn transfer(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.transfers).acquire_owned().await.map_err(|_| stopping())
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT as u64)).unwrap_or(u32::MAX)
}

fn stopping() -> Fault {
    Fault::new(FaultKind::Busy, "the server is stopping")
}

/// A source's bytes and their share of the memory limit.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// A source being fetched. Dropped, the fetch ends.
#[derive(Debug)]
pub(super) struct Intake {
    progress: watch::Receiver<Arrived>,
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
    /// Begins to fetch `url`.
    ///
    /// # Errors
    /// [`FaultKind::SourceUnavailable`].
    pub(super) async fn start(transfer: &Transfer, url: &str, gate: &Gate) -> Result<Self, Fault> {
        let permit = gate.transfer().await?;
        let fetch = transfer.fetch(url).await.map_err(|error| unavailable(&error))?;
        let (sender, progress) = watch::channel(Arrived::default());
        let task = tokio::spawn(download(fetch, Arc::clone(&gate.memory), sender, permit));
        Ok(Self { progress, task })
    }

    /// The first bytes: at least `wanted` of them, unless there are fewer.
    pub(super) async fn head(&mut self, wanted: usize) -> Head {
        let enough = |arrived: &Arrived| arrived.head.len() >= wanted || arrived.end != End::Coming;
        match self.progress.wait_for(enough).await {
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

/// Fetches the whole of `url`, after waiting until memory for it is there.
///
/// # Errors
/// [`FaultKind::SourceUnavailable`].
pub(super) async fn fetch_whole(transfer: &Transfer, url: &str, gate: &Gate) -> Result<Held, Fault> {
    // The size is known for certain only afterwards, so room for the largest source is taken first.
    let mut share =
        Arc::clone(&gate.memory).acquire_many_owned(gate.largest).await.map_err(|_| stopping())?;
    let _permit = gate.transfer().await?;
    let mut fetch = transfer.fetch(url).await.map_err(|error| unavailable(&error))?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = fetch.chunk().await.map_err(|error| unavailable(&error))? {
        bytes.extend_from_slice(&chunk);
    }
    let unused = share.num_permits().saturating_sub(units(bytes.len() as u64) as usize);
    drop(share.split(unused));
    Ok(Held { bytes: bytes.freeze(), _share: Some(share) })
}

async fn download(
    mut fetch: Fetch,
    memory: Arc<Semaphore>,
    progress: watch::Sender<Arrived>,
    _permit: OwnedSemaphorePermit,
) -> Result<Option<Held>, TransferError> {
    let mut bytes = BytesMut::new();
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
        bytes.extend_from_slice(&chunk);
        // Showing copies, so it is done at doubling sizes: in all no more than twice the source.
        if bytes.len() >= shown * 2 {
            shown = bytes.len().max(4096);
            let head = Bytes::copy_from_slice(&bytes);
            let _ = progress.send(Arrived { head, end: End::Coming });
        }
    }
    let bytes = bytes.freeze();
    let _ = progress.send(Arrived { head: bytes.clone(), end: End::Complete });
    Ok(Some(Held { bytes, _share: share }))
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
    let fault = Fault::of(kind, error);
    if error.blame() == Blame::Us {
        tracing::error!("{fault}");
    }
    fault
}
