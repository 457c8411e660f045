//! Whose turn it is: how much of each kind may be under way at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use imgserve_base::clock::steady_ms;
use imgserve_base::fair::Turn;
use imgserve_base::fault::Fault;
use imgserve_base::job::Client;
use imgserve_transfer::{Asks, Destination, Place, PlaceKind, Places};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::intake::{no_place, share_of};
use super::shares::{Share, Shares, Wanted};

/// What bounds all of them.
const TRANSFERS: &str = "[transfer] max_transfers";
/// How long a direct call waits for its turn.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// How many times as many attempts as may be under way may wait for a server that is full, beside them.
const PARKED: usize = 8;
/// When none of those has got its place for so long, what waits behind them in the journal is looked at too.
const STUCK_MS: u64 = 250;
/// Jobs that cannot even wait for their server here are put off for from so long, a little longer each, to so long.
const PUT_OFF_MS: (u64, u64, u64) = (2_000, 5, 60_000);

/// What takes turns. A turn is over when what is returned for it is dropped.
#[derive(Debug)]
pub(super) struct Turns {
    /// Attempts that may be under way at once, but for those that wait for a place.
    window: usize,
    /// Those.
    parked: AtomicUsize,
    /// When the last of them got its place, by the steady clock.
    moved_ms: AtomicU64,
    /// Until when the last job was put off, by the steady clock.
    put_off_ms: AtomicU64,
    /// Jobs during which the server has ended again and again run one at a time.
    suspects: Semaphore,
    /// Transfers. Placeholders have places apart from results, so that slow destinations delay no reply; those of results
    /// are held by jobs that run or whose result is being stored, and so bound the results held in memory.
    places: Places,
    /// Direct calls.
    calls: Shares,
}

impl Turns {
    /// Of each kind as many at once for one client as there are places for transfers: a call is one, seen from the client.
    /// Nobody has more than are left, so that whoever comes finds some; there are twice as many for that.
    pub(super) fn new(places: Places) -> Self {
        let transfers = places.limits().most;
        Self {
            // Twice what results there may be: while those of some are stored, the sources of others are fetched.
            window: transfers.saturating_mul(4),
            parked: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
            put_off_ms: AtomicU64::new(0),
            suspects: Semaphore::new(1),
            places,
            calls: Shares::shared(twice(transfers), TRANSFERS),
        }
    }

    /// How many attempts may begin while so many are under way.
    pub(super) fn free(&self, under_way: usize) -> usize {
        let parked = self.parked.load(Ordering::Acquire);
        let room = self.window.saturating_sub(under_way.saturating_sub(parked));
        // As long as those that wait get their places, more of them would only wait as well.
        match self.most_parked().saturating_sub(parked) {
            0 if self.is_stuck() => room,
            more => room.min(more),
        }
    }

    fn most_parked(&self) -> usize {
        self.window.saturating_mul(PARKED)
    }

    fn is_stuck(&self) -> bool {
        steady_ms().abs_diff(self.moved_ms.load(Ordering::Acquire)) > STUCK_MS
    }

    /// How long it takes at most until [`Self::free`] may change by time alone; none when it does not.
    pub(super) fn look_after(&self) -> Option<Duration> {
        let full = self.parked.load(Ordering::Acquire) >= self.most_parked();
        (full && !self.is_stuck()).then_some(Duration::from_millis(STUCK_MS))
    }

    /// An attempt waits for a place, until what is returned is dropped: meanwhile another one may begin. None when too many
    /// do: then its job is to be put off.
    pub(super) fn park(&self) -> Option<Parked<'_>> {
        (self.parked.load(Ordering::Acquire) < self.most_parked()).then(|| self.park_all_the_same())
    }

    /// The same for an attempt that cannot be put off.
    pub(super) fn park_all_the_same(&self) -> Parked<'_> {
        self.parked.fetch_add(1, Ordering::AcqRel);
        Parked(&self.parked)
    }

    /// An attempt that waited has got its place.
    pub(super) fn moved(&self) {
        self.moved_ms.store(steady_ms(), Ordering::Release);
    }

    /// Until when a job is put off, by the steady clock. Not all come back at once.
    pub(super) fn put_off_until_ms(&self) -> u64 {
        let (least, step, most) = PUT_OFF_MS;
        let now = steady_ms();
        let next = |last: u64| (last + step).clamp(now + least, now + most);
        let last = self.put_off_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    /// The places for transfers.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// To store a placeholder. A client waits for it.
    ///
    /// # Errors
    /// `Busy` when it does not come within `patience`.
    pub(super) async fn placeholder(
        &self,
        destination: &Destination,
        client: &Client,
        patience: Duration,
    ) -> Result<Place, Fault> {
        let asks = Asks::new(PlaceKind::Placeholder, destination.server(), share_of(client));
        let place = self.places.take_within(&asks, patience).await;
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

/// What the results for these destinations need, in this turn.
pub(super) fn results<'d>(
    destinations: impl Iterator<Item = &'d Destination>,
    client: &Client,
    turn: &Turn,
) -> Asks {
    let servers = destinations.filter_map(Destination::server);
    Asks::new(PlaceKind::Result, servers, share_of(client)).in_turn(turn)
}

/// Of places nobody wants two at once.
const ONE: Wanted = Wanted::new(1, false);

fn twice(places: usize) -> u32 {
    u32::try_from(places.saturating_mul(2)).unwrap_or(u32::MAX)
}

/// An attempt that waits for a place.
#[derive(Debug)]
pub(super) struct Parked<'t>(&'t AtomicUsize);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn taken(turns: &Semaphore) -> SemaphorePermit<'_> {
    turns.acquire().await.expect("turns are never closed")
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;
    use imgserve_transfer::{PlaceLimits, Tags};

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
        let asks = results([&to].into_iter(), &Client::Anyone, &a);
        let result = turns.result(&asks).await;
        assert!(turns.try_result(&asks).is_none());
        assert!(
            turns.placeholder(&to, &Client::Anyone, Duration::ZERO).await.is_ok()
                && turns.call(&a).await.is_ok()
        );
        let elsewhere = destination("http://b.example/x.png");
        let other = |turn| results([&elsewhere].into_iter(), &Client::Anyone, turn);
        assert!(turns.try_result(&other(&a)).is_none());
        assert!(turns.try_result(&other(&b)).is_some(), "another client waits for this one's results");
        drop(result);
        assert!(turns.try_result(&asks).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_full_server_keeps_no_other_attempt_from_beginning() {
        let turns = turns(4);
        assert_eq!((turns.free(0), turns.free(15), turns.free(16), turns.free(99)), (16, 1, 0, 0));
        let mut parked: Vec<_> = (0..124).filter_map(|_| turns.park()).collect();
        assert_eq!((turns.free(124), turns.free(139), turns.free(140)), (4, 1, 0));
        parked.extend((0..9).filter_map(|_| turns.park()));
        assert_eq!(parked.len(), 128, "no more than can be kept wait");
        turns.moved();
        assert_eq!((turns.free(129), turns.look_after().is_some()), (0, true));
        turns.moved_ms.fetch_sub(STUCK_MS * 2, Ordering::AcqRel);
        assert_eq!((turns.free(129), turns.look_after()), (15, None), "what is behind them may be others'");
        drop(parked);
        assert_eq!(turns.free(16), 0);
    }

    #[test]
    fn jobs_that_are_put_off_do_not_all_come_back_at_once() {
        let turns = turns(4);
        let (least, step, most) = PUT_OFF_MS;
        let before = steady_ms();
        let times: Vec<u64> = (0..20_000).map(|_| turns.put_off_until_ms()).collect();
        assert!(times[0] >= before + least && times[1] >= times[0] + step);
        assert!(*times.last().unwrap() <= steady_ms() + most && times.is_sorted());
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
        let asks = |to: &[Destination]| results(to.iter(), &Client::Anyone, &Turn::default());
        assert_eq!(asks(&to).servers.len(), 2);
        assert!(asks(&to[2..3]).servers.is_empty());
    }
}
