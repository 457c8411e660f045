//! What there is a limited number of, and is given in turns: memory for sources, places for results and calls. Clients take
//! turns by what they have had; a part is in reserve for what is small, and where it is shared out, nobody may have more than
//! is left, so that whoever comes finds some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::{Lines, Ticket, Turn};
use imgserve_base::fault::{Fault, FaultKind, Retry};
use tokio::sync::oneshot;

/// What a unit is worth beside another client's, as turns are counted: of memory, its bytes.
const COST: u64 = 16 << 10;

/// All there is. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: u32,
    /// For what is small alone.
    reserve: u32,
    /// Whether nobody may have more than is left.
    shared: bool,
    /// The configuration's key, for who is refused.
    key: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u32,
    /// Of that what is of the reserve.
    reserve: u32,
    /// By flow, where it is shared.
    had: HashMap<Arc<str>, u32>,
    lines: Lines<Waits>,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waits {
    wanted: Wanted,
    turn: Turn,
    tell: oneshot::Sender<Option<Share>>,
}

/// A share; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Shares,
    turn: Turn,
    general: u32,
    reserve: u32,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) units: u32,
    /// Whether it may be of the reserve.
    pub(super) small: bool,
    /// What whoever wants it has already, and does not give back before there is more.
    holds: u32,
}

impl Wanted {
    /// So many units, of the reserve too if it is `small`.
    pub(super) const fn new(units: u32, small: bool) -> Self {
        Self { units, small, holds: 0 }
    }
}

impl Shares {
    /// So many units, of which some are in reserve; `key` is where the configuration says how many.
    pub(super) fn reserved(total: u32, reserve: u32, key: &'static str) -> Self {
        Self::new(total, reserve, false, key)
    }

    /// So many units, of which nobody may have more than are left.
    pub(super) fn shared(total: u32, key: &'static str) -> Self {
        Self::new(total, 0, true, key)
    }

    fn new(total: u32, reserve: u32, shared: bool, key: &'static str) -> Self {
        Self(Arc::new(Inner { total, reserve, shared, key, state: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All units.
    pub(super) fn total(&self) -> u32 {
        self.0.total
    }

    /// A share, unless somebody else would have to wait longer for it.
    pub(super) fn try_take(&self, turn: &Turn, wanted: Wanted) -> Option<Share> {
        let mut state = self.lock();
        match (state.lines.is_empty(), wanted.small && state.lines.first(true).is_none()) {
            (true, _) => self.fit(&mut state, turn, wanted, false),
            (false, true) => self.fit(&mut state, turn, wanted, true),
            (false, false) => None,
        }
    }

    /// A share, when it is its turn.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when that takes longer than `patience`.
    pub(super) async fn take(
        &self,
        turn: &Turn,
        wanted: Wanted,
        patience: Option<Duration>,
    ) -> Result<Share, Fault> {
        self.wait(turn, wanted, patience).await.ok_or_else(|| self.busy())
    }

    /// The fault of who waits in vain.
    pub(super) fn busy(&self) -> Fault {
        let text = format!("too much is under way ({})", self.0.key);
        Fault::new(FaultKind::Busy, text).retried(Retry::Later)
    }

    async fn wait(&self, turn: &Turn, wanted: Wanted, patience: Option<Duration>) -> Option<Share> {
        if let Some(share) = self.try_take(turn, wanted) {
            return Some(share);
        }
        let (tell, told) = oneshot::channel();
        let turn = Turn { cost: u64::from(wanted.units) * COST, ..turn.clone() };
        let waits = Waits { wanted, turn: turn.clone(), tell };
        let ticket = self.lock().lines.push(&turn, wanted.small, waits);
        // It may be the one whom the others wait for.
        let _leaves = Leaves { shares: self, ticket };
        self.serve();
        match patience {
            None => told.await.ok().flatten(),
            Some(patience) => tokio::time::timeout(patience, told).await.ok()?.ok().flatten(),
        }
    }

    /// A share if there is room for it, or in the reserve, whoever waits.
    fn fit(&self, state: &mut State, turn: &Turn, wanted: Wanted, in_reserve: bool) -> Option<Share> {
        let Inner { total, reserve: in_all, shared, .. } = *self.0;
        let Wanted { units, small, holds } = wanted;
        let (flow, general) = (turn.flow.name(), state.used - state.reserve);
        if shared && state.had.get(flow).is_some_and(|own| *own >= total - state.used) {
            return None;
        }
        // What is larger than all that is no reserve has it alone, and of the reserve what it needs.
        let alone = state.used <= holds && state.used.saturating_add(units) <= total;
        let (general, reserve) = if !in_reserve && (alone || general.saturating_add(units) <= total - in_all)
        {
            (units, 0)
        } else if small && state.reserve.saturating_add(units) <= in_all.min(total - general) {
            (0, units)
        } else {
            return None;
        };
        if shared {
            *state.had.entry(Arc::clone(flow)).or_default() += units;
        }
        state.used += units;
        state.reserve += reserve;
        Some(Share { of: self.clone(), turn: turn.clone(), general, reserve })
    }

    /// Gives what is free to those whose turn it is.
    fn serve(&self) {
        let mut given = Vec::new();
        let mut state = self.lock();
        while let Some((ticket, share)) = self.next(&mut state) {
            if let Some(Waits { tell, .. }) = state.lines.take(&ticket) {
                given.push((tell, Some(share)));
            }
        }
        // All that is used is held by those who wait for more: one of them goes, or none would go on.
        let held: u32 = state.lines.iter().map(|waits| waits.wanted.holds).sum();
        if held > 0
            && held >= state.used
            && let Some(last) = state.lines.last_of(|waits| waits.wanted.holds > 0)
            && let Some(Waits { tell, .. }) = state.lines.remove(&last)
        {
            given.push((tell, None));
        }
        drop(state);
        // Not while it is locked: a share that nobody waits for any more is given back.
        for (tell, share) in given {
            drop(tell.send(share));
        }
    }

    fn next(&self, state: &mut State) -> Option<(Ticket, Share)> {
        let left = self.0.total - state.used;
        for small_only in [false, true] {
            let may = |flow: &str| !self.0.shared || state.had.get(flow).is_none_or(|own| *own < left);
            let Some(ticket) = state.lines.first_of(small_only, may) else { continue };
            let Some(Waits { wanted, turn, .. }) = state.lines.get(&ticket) else { continue };
            let (wanted, turn) = (*wanted, turn.clone());
            if let Some(share) = self.fit(state, &turn, wanted, small_only) {
                return Some((ticket, share));
            }
        }
        None
    }

    fn give_back(&self, turn: &Turn, general: u32, reserve: u32) {
        if general + reserve == 0 {
            return;
        }
        {
            let mut state = self.lock();
            state.used -= general + reserve;
            state.reserve -= reserve;
            if self.0.shared
                && let Some(own) = state.had.get_mut(turn.flow.name())
            {
                *own -= general + reserve;
                if *own == 0 {
                    state.had.remove(turn.flow.name());
                }
            }
        }
        self.serve();
    }
}

/// Who waits no more leaves the line.
struct Leaves<'a> {
    shares: &'a Shares,
    ticket: Ticket,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let left = self.shares.lock().lines.remove(&self.ticket);
        // Who stood behind it may fit.
        if left.is_some() {
            drop(left);
            self.shares.serve();
        }
    }
}

impl Share {
    /// A share of nothing, which can grow.
    pub(super) fn nothing(of: &Shares, turn: &Turn) -> Self {
        Self { of: of.clone(), turn: turn.clone(), general: 0, reserve: 0 }
    }

    fn units(&self) -> u32 {
        self.general + self.reserve
    }

    /// What is missing to be as large as is wanted.
    fn more(&self, wanted: Wanted) -> Wanted {
        Wanted { units: wanted.units.saturating_sub(self.units()), holds: self.units(), ..wanted }
    }

    /// Makes it as large as is wanted, if there is room and nobody waits for that; false when not.
    pub(super) fn try_grow(&mut self, wanted: Wanted) -> bool {
        let more = self.more(wanted);
        more.units == 0 || self.of.try_take(&self.turn, more).is_some_and(|more| self.merge(more))
    }

    /// The same, when it is its turn.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when that takes longer than `patience`, or everybody who has some waits for more.
    pub(super) async fn grow(&mut self, wanted: Wanted, patience: Duration) -> Result<(), Fault> {
        let more = self.more(wanted);
        if more.units > 0 {
            let more = self.of.wait(&self.turn, more, Some(patience)).await;
            self.merge(more.ok_or_else(|| self.of.busy())?);
        }
        Ok(())
    }

    fn merge(&mut self, mut more: Self) -> bool {
        self.general += std::mem::take(&mut more.general);
        self.reserve += std::mem::take(&mut more.reserve);
        true
    }

    /// Gives back what is more than so many units.
    pub(super) fn shrink(&mut self, units: u32) {
        let general = self.general.min(self.units().saturating_sub(units));
        self.general -= general;
        let reserve = self.reserve.min(self.units().saturating_sub(units));
        self.reserve -= reserve;
        self.of.give_back(&self.turn, general, reserve);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.give_back(&self.turn, self.general, self.reserve);
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::Flow;

    use super::*;

    fn turn(flow: &str, rank: i64) -> Turn {
        Turn { flow: Flow::new(flow, 1), rank, cost: 0 }
    }

    fn large(units: u32) -> Wanted {
        Wanted::new(units, false)
    }

    fn small(units: u32) -> Wanted {
        Wanted::new(units, true)
    }

    const SHORT: Duration = Duration::from_millis(20);

    type Waiting = tokio::task::JoinHandle<Result<Share, Fault>>;

    async fn waits(shares: &Shares, turn: Turn, wanted: Wanted) -> Waiting {
        let shares = shares.clone();
        let waiting = tokio::spawn(async move { shares.take(&turn, wanted, None).await });
        tokio::task::yield_now().await;
        waiting
    }

    #[tokio::test]
    async fn what_is_small_has_a_reserve_and_what_is_largest_has_all() {
        let shares = Shares::reserved(80, 10, "[limits] source_memory_mb");
        let a = turn("a", 0);
        let first = shares.try_take(&a, large(70)).unwrap();
        assert!(shares.try_take(&a, large(1)).is_none());
        let second = shares.try_take(&a, small(10)).unwrap();
        assert!(shares.try_take(&a, small(1)).is_none());
        drop((first, second));
        let all = shares.try_take(&a, large(80)).unwrap();
        assert!(shares.try_take(&a, small(1)).is_none());
        drop(all);
        let small = shares.try_take(&a, small(70)).unwrap();
        assert_eq!((small.general, small.reserve), (70, 0), "the reserve is for when there is no other");
        let busy = shares.take(&a, large(1), Some(SHORT)).await.unwrap_err();
        assert_eq!((busy.kind, busy.retry), (FaultKind::Busy, Retry::Later));
        assert!(busy.text.contains("[limits] source_memory_mb"), "{busy}");
    }

    #[tokio::test]
    async fn clients_have_it_in_turns_and_each_by_its_own_priorities() {
        let shares = Shares::reserved(80, 10, "key");
        let held = shares.try_take(&turn("a", 0), large(70)).unwrap();
        let low = waits(&shares, turn("a", 0), large(70)).await;
        let high = waits(&shares, turn("a", 2), large(70)).await;
        let other = waits(&shares, turn("b", 0), large(70)).await;
        // Nobody comes before who waits, but for the small ones in the reserve.
        assert!(shares.try_take(&turn("c", 9), large(1)).is_none());
        let reserve = shares.try_take(&turn("a", 0), small(5)).unwrap();
        drop(held);
        let high = high.await.unwrap();
        assert!(!low.is_finished() && !other.is_finished());
        drop(high);
        let other = other.await.unwrap();
        assert!(!low.is_finished());
        drop(other);
        drop((low.await.unwrap(), reserve));
        assert_eq!(shares.lock().used, 0);
    }

    #[tokio::test]
    async fn where_it_is_shared_nobody_has_more_than_is_left() {
        let shares = Shares::shared(8, "key");
        let one = small(1);
        let mut had: Vec<_> = (0..8).filter_map(|_| shares.try_take(&turn("a", 0), one)).collect();
        assert_eq!(had.len(), 4);
        let more = waits(&shares, turn("a", 0), one).await;
        // Whoever waits of another client, the newcomer does not.
        let others = [waits(&shares, turn("b", 0), one).await, waits(&shares, turn("b", 0), one).await];
        for other in others {
            had.push(other.await.unwrap().unwrap());
        }
        assert!(!more.is_finished());
        had.truncate(2);
        more.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_waits_no_more_is_passed_over() {
        let shares = Shares::reserved(80, 0, "key");
        let held = shares.try_take(&turn("a", 0), large(40)).unwrap();
        let gone = waits(&shares, turn("a", 0), large(80)).await;
        let behind = waits(&shares, turn("a", 0), large(40)).await;
        assert!(!behind.is_finished());
        gone.abort();
        assert!(gone.await.is_err());
        let behind = behind.await.unwrap();
        drop((held, behind));
        assert_eq!(shares.lock().used, 0);
    }

    #[tokio::test]
    async fn what_grows_alone_has_the_reserve_too() {
        let shares = Shares::reserved(80, 10, "key");
        let mut share = Share::nothing(&shares, &turn("a", 0));
        for units in [30, 70, 80] {
            share.grow(large(units), SHORT).await.unwrap();
        }
        assert!(share.grow(large(81), SHORT).await.is_err(), "more than there is");
    }

    #[tokio::test]
    async fn of_those_who_all_wait_for_more_one_goes_and_the_others_go_on() {
        let shares = Shares::reserved(80, 0, "key");
        let halves = ["a", "b"].map(|flow| {
            let mut share = Share::nothing(&shares, &turn(flow, 0));
            assert!(share.try_grow(large(40)));
            share
        });
        let [first, last] = halves.map(|mut share| {
            tokio::spawn(async move { share.grow(large(70), Duration::from_secs(60)).await.map(|()| share) })
        });
        assert_eq!(last.await.unwrap().unwrap_err().kind, FaultKind::Busy);
        let mut first = first.await.unwrap().unwrap();
        assert_eq!(shares.lock().used, 70);
        first.shrink(10);
        assert_eq!(shares.lock().used, 10);
        drop(first);
        assert_eq!(shares.lock().used, 0);
    }
}
