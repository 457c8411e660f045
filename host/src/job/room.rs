//! A source that a client sends: its bytes as they come, and their share of the memory, which is taken in steps and not when
//! they are announced. A client that sends none holds none.

use std::time::Duration;

use bytes::Bytes;
use imgserve_base::fair::Turn;
use imgserve_base::fault::Fault;
use tokio::time::Instant;

use super::gathered::{Gathered, NoMemory};
use super::intake::{Gate, Held, REPLY_PATIENCE, refused};
use super::shares::{Need, Share};

/// In such steps the share grows, in bytes.
const STEP: u64 = 128 << 10;
/// How long a client waits for some memory before it is told "busy"; for all of it, no longer than for anything.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

impl Gate {
    /// Room for a source that a client sends, of `announced` bytes if anybody knows. It is taken as they come.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`]; [`FaultKind::Busy`] when memory stays short.
    pub(super) async fn room(
        &self,
        turn: &Turn,
        announced: Option<u64>,
        short: impl FnOnce(),
    ) -> Result<Room, Fault> {
        let limit = self.limit();
        if let Some(bytes) = announced.filter(|bytes| *bytes > limit) {
            return Err(self.too_large(&format!("the body has {bytes} bytes")));
        }
        let (share, gathered) = (self.share(turn), Gathered::new(announced));
        let (limit, patience) = (limit as usize, REPLY_PATIENCE);
        let mut room = Room { gate: self.clone(), share, announced, limit, gathered, patience };
        let first = room.wanted(announced.unwrap_or(STEP).min(STEP) as usize);
        match room.share.try_grow(first) {
            // There is some, and none is held before there is what for.
            true => {
                room.share.shrink(0);
            }
            false => room.grow(first, short).await?,
        }
        Ok(room)
    }
}

/// A source that a client sends, and its share of the memory limit.
#[derive(Debug)]
pub(crate) struct Room {
    gate: Gate,
    share: Share,
    announced: Option<u64>,
    limit: usize,
    gathered: Gathered,
    /// For how much longer the client waits.
    patience: Duration,
}

impl Room {
    /// The most bytes that may come.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes some bytes in; false when they are more than may come. `short` is told when they have to wait.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when memory for them stays short.
    pub(super) async fn take(&mut self, bytes: Bytes, short: impl FnOnce()) -> Result<bool, Fault> {
        let needed = self.gathered.len() + bytes.len();
        if needed > self.limit {
            return Ok(false);
        }
        let wanted = self.wanted(needed);
        if !self.share.try_grow(wanted) {
            self.grow(wanted, short).await?;
        }
        self.gathered.add(bytes).map_err(|NoMemory| refused())?;
        Ok(true)
    }

    /// Waits for memory.
    async fn grow(&mut self, wanted: Need, short: impl FnOnce()) -> Result<(), Fault> {
        short();
        let began = Instant::now();
        let grown = self.share.grow(wanted, self.patience.min(ROOM_PATIENCE)).await;
        self.patience = self.patience.saturating_sub(began.elapsed());
        grown
    }

    /// In steps, so that nobody is asked for each piece.
    fn wanted(&self, bytes: usize) -> Need {
        let most = self.announced.unwrap_or(u64::MAX).max(bytes as u64).min(self.limit as u64);
        self.gate.part((bytes as u64).next_multiple_of(STEP).min(most), self.announced)
    }

    /// The bytes that came; what they do not need of the share is given back.
    pub(crate) fn hold(mut self, media_type: Option<String>) -> Held {
        Held::new(self.gathered.whole(), media_type, self.share)
    }
}
