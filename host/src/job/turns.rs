//! Whose turn it is: how much of each kind may be under way at once.

use std::time::Duration;

use imgserve_base::fair::Turn;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::intake::REPLY_PATIENCE;
use super::shares::{Share, Shares, Wanted};

/// What bounds all of them.
const TRANSFERS: &str = "[transfer] max_transfers";
/// How long a direct call waits for its turn.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// What takes turns. A turn is over when what is returned for it is dropped.
#[derive(Debug)]
pub(super) struct Turns {
    /// Attempts that may be under way at once.
    window: usize,
    /// Jobs during which the server has ended again and again run one at a time.
    suspects: Semaphore,
    /// Placeholders being stored: apart from results, so that slow destinations delay no reply.
    placeholders: Semaphore,
    /// Jobs that run or whose result is being stored: what bounds the results held in memory.
    results: Shares,
    /// Direct calls.
    calls: Shares,
}

impl Turns {
    /// Of each kind as many at once for one client as there may be transfers: a call is one, seen from the client. Nobody has
    /// more than are left, so that whoever comes finds some; there are twice as many for that.
    pub(super) fn new(transfers: usize) -> Self {
        Self {
            // Twice what results there may be: while those of some are stored, the sources of others are fetched.
            window: transfers.saturating_mul(4),
            suspects: Semaphore::new(1),
            placeholders: Semaphore::new(transfers),
            results: Shares::shared(twice(transfers), TRANSFERS),
            calls: Shares::shared(twice(transfers), TRANSFERS),
        }
    }

    /// How many attempts may begin while so many are under way.
    pub(super) fn free(&self, under_way: usize) -> usize {
        self.window.saturating_sub(under_way)
    }

    /// To store placeholders. A client waits for it.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when it does not come in time.
    pub(super) async fn placeholder(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let turn = tokio::time::timeout(REPLY_PATIENCE, taken(&self.placeholders)).await;
        turn.map_err(|_| {
            let text = "too much is under way ([transfer] max_transfers)";
            Fault::new(FaultKind::Busy, text).retried(Retry::Later)
        })
    }

    /// To make results and store them: no more results than turns are ever held.
    pub(super) async fn result(&self, turn: &Turn) -> Result<Share, Fault> {
        self.results.take(turn, ONE, None).await
    }

    /// To run a job that the server may have died of.
    pub(super) async fn suspect(&self) -> SemaphorePermit<'_> {
        taken(&self.suspects).await
    }

    /// To answer a direct call.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when it does not come in time.
    pub(super) async fn call(&self, turn: &Turn) -> Result<Share, Fault> {
        self.calls.take(turn, ONE, Some(CALL_PATIENCE)).await
    }
}

/// Of places nobody wants two at once.
const ONE: Wanted = Wanted::new(1, false);

fn twice(places: usize) -> u32 {
    u32::try_from(places.saturating_mul(2)).unwrap_or(u32::MAX)
}

async fn taken(turns: &Semaphore) -> SemaphorePermit<'_> {
    turns.acquire().await.expect("turns are never closed")
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;

    use super::*;

    #[tokio::test]
    async fn slow_results_keep_no_placeholder_waiting() {
        let turns = Turns::new(1);
        let turn = |flow| Turn { flow: Flow::new(flow, 1), ..Turn::default() };
        let (a, b) = (turn("a"), turn("b"));
        let result = turns.result(&a).await.unwrap();
        assert!(tokio::time::timeout(Duration::ZERO, turns.result(&a)).await.is_err());
        assert!(turns.placeholder().await.is_ok() && turns.call(&a).await.is_ok());
        assert!(turns.result(&b).await.is_ok(), "another client waits for this one's results");
        drop(result);
        assert!(turns.result(&a).await.is_ok());
        assert_eq!((turns.free(0), turns.free(1), turns.free(9)), (4, 3, 0));
    }
}
