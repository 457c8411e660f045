//! Whose turn it is: how much of each kind may be under way at once.

use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fair::Turn;
use imgserve_base::fault::Fault;
use imgserve_transfer::{Asks, Destination, Place, PlaceKind, Places};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::intake::no_place;
use super::live::Census;
use super::parking::Parking;
use super::shares::{Need, Share, Shares};

/// What bounds all of them.
const TRANSFERS: &str = "[transfer] max_transfers";
/// How long a direct call waits for its turn.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// What takes turns. A turn is over when what is returned for it is dropped.
#[derive(Debug)]
pub(super) struct Turns {
    /// Attempts that may be under way at once, but for those that wait for a place.
    window: usize,
    /// Those.
    parking: Parking,
    /// Jobs during which the server has ended again and again run one at a time.
    suspects: Arc<Semaphore>,
    /// Transfers. Placeholders have places apart from results, so that slow destinations delay no reply; those of results
    /// are held by jobs that run or whose result is being stored, and so bound the results held in memory.
    places: Places,
    /// Direct calls.
    calls: Shares,
    /// Jobs that somebody has cancelled and whose end is being shown.
    shows: Shares,
}

impl Turns {
    /// Of each kind as many at once for one client as there are places for transfers: a call is one, seen from the client.
    /// Nobody has more than are left, so that whoever comes finds some; there are twice as many for that.
    pub(super) fn new(places: Places) -> Self {
        let transfers = places.limits().most;
        // Twice what results there may be: while those of some are stored, the sources of others are fetched.
        let window = transfers.saturating_mul(4);
        let parking = Parking::new(window);
        Self {
            window,
            shows: Shares::shared(units(parking.most()), TRANSFERS),
            parking,
            suspects: Arc::new(Semaphore::new(1)),
            places,
            calls: Shares::shared(units(transfers.saturating_mul(2)), TRANSFERS),
        }
    }

    /// How many attempts may begin.
    pub(super) fn free(&self, census: &Census) -> usize {
        self.window.saturating_sub(census.all.under_way)
    }

    /// The same where other nodes do what this one leaves: no more than may be under way wait beside those.
    pub(super) fn free_beside_others(&self, census: &Census) -> usize {
        let left = self.window.saturating_mul(2).saturating_sub(census.all.under_way + census.all.waiting);
        self.free(census).min(left)
    }

    /// Those that wait for a place.
    pub(super) fn parking(&self) -> &Parking {
        &self.parking
    }

    /// The places for transfers.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// To store a placeholder. A client waits for it.
    ///
    /// # Errors
    /// `Busy` when it does not come within `patience`.
    pub(super) async fn placeholder(&self, asks: &Asks, patience: Duration) -> Result<Place, Fault> {
        let place = self.places.take_within(asks, patience).await;
        place.ok_or_else(|| no_place(asks.servers.first()))
    }

    /// To make results for these destinations and store them, if it is the turn: no more results than turns are ever held.
    pub(super) fn try_result(&self, asks: &Asks) -> Option<Place> {
        self.places.try_take(asks)
    }

    /// The same, when it is the turn.
    pub(super) async fn result(&self, asks: &Asks) -> Place {
        self.places.take(asks).await
    }

    /// To run a job that the server may have died of, if no other one is.
    pub(super) fn try_suspect(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.suspects).try_acquire_owned().ok()
    }

    /// The same, when it is the turn.
    pub(super) async fn suspect(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.suspects).acquire_owned().await.expect("turns are never closed")
    }

    /// To show at its destinations how a job ended that somebody has cancelled, unless too many of its client's are to be shown so.
    pub(super) fn try_show(&self, turn: &Turn) -> Option<Share> {
        self.shows.try_take(turn, ONE)
    }

    /// To answer a direct call.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when it does not come in time.
    pub(super) async fn call(&self, turn: &Turn) -> Result<Share, Fault> {
        self.calls.take(turn, ONE, Some(CALL_PATIENCE)).await
    }
}

/// What the results for these destinations need, in this turn.
pub(super) fn results<'d>(destinations: impl IntoIterator<Item = &'d Destination>, turn: &Turn) -> Asks {
    Asks::new(PlaceKind::Result, destinations.into_iter().filter_map(Destination::server), turn)
}

/// What a placeholder for this one needs.
pub(super) fn placeholder(destination: &Destination, turn: &Turn) -> Asks {
    Asks::new(PlaceKind::Placeholder, destination.server(), turn)
}

/// Of places nobody wants two at once.
const ONE: Need = Need::new(1, false);

fn units(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;
    use imgserve_base::job::JobId;
    use imgserve_base::lease::Lease;
    use imgserve_transfer::{PlaceLimits, Tags};

    use super::super::live::Live;
    use super::*;

    fn turns(most: usize) -> Turns {
        Turns::new(Places::new(PlaceLimits { most, per_server: most.div_ceil(4), per_client: most }))
    }

    fn destination(url: &str) -> Destination {
        Destination::from_template(url, &Tags::default()).unwrap().1
    }

    #[tokio::test]
    async fn slow_results_keep_no_placeholder_waiting() {
        let (turns, to) = (turns(1), destination("http://a.example/x.png"));
        let turn = |flow| Turn { flow: Flow::new(flow, 1), ..Turn::default() };
        let (a, b) = (turn("a"), turn("b"));
        let asks = results([&to], &a);
        let result = turns.result(&asks).await;
        assert!(turns.try_result(&asks).is_none());
        assert!(turns.placeholder(&placeholder(&to, &a), Duration::ZERO).await.is_ok());
        assert!(turns.call(&a).await.is_ok());
        let elsewhere = destination("http://b.example/x.png");
        let other = |turn| results([&elsewhere], turn);
        assert!(turns.try_result(&other(&a)).is_none());
        assert!(turns.try_result(&other(&b)).is_some(), "another client waits for this one's results");
        drop(result);
        assert!(turns.try_result(&asks).is_some());
    }

    #[test]
    fn who_waits_for_a_full_server_keeps_no_other_attempt_from_beginning() {
        let (turns, live) = (turns(4), Live::default());
        let running: Vec<_> =
            (0..15).map(|_| live.begin(JobId::generate(), 1, &Flow::new("a", 1), Lease::endless())).collect();
        assert_eq!(turns.free(&live.census()), 1);
        let _wait: Vec<_> = running.iter().map(|running| running.wait()).collect();
        assert_eq!(turns.free(&live.census()), 16);
        assert_eq!(turns.free_beside_others(&live.census()), 16);
        let more: Vec<_> =
            (0..11).map(|_| live.begin(JobId::generate(), 1, &Flow::new("a", 1), Lease::endless())).collect();
        let _waits: Vec<_> = more.iter().map(|running| running.wait()).collect();
        let next = live.begin(JobId::generate(), 1, &Flow::new("a", 1), Lease::endless());
        assert_eq!(turns.free(&live.census()), 15);
        assert_eq!(turns.free_beside_others(&live.census()), 5, "27 of twice 16 are there");
        drop(next);
    }

    #[test]
    fn results_for_one_server_count_there_once() {
        let to = [
            "http://a.example/1.png",
            "http://A.example:80/2.png",
            "file:///3.png",
            "http://b.example/:4.png",
        ];
        let to = to.map(destination);
        let asks = |to: &[Destination]| results(to, &Turn::default());
        assert_eq!(asks(&to).servers.len(), 2);
        assert!(asks(&to[2..3]).servers.is_empty());
    }
}
