//! What there is a limited number of, and is given in turns: memory for sources, places for results and calls. Clients take
//! turns by what they have had; a part is in reserve for what is small, and where it is shared out, nobody may have more than
//! is left, so that whoever comes finds some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::fair::{Lines, Ticket, Turn, may_have_more};
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
    wanted: Need,
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
    /// What its turn has cost; nothing where there was no need to wait for it.
    paid: Option<u64>,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) units: u32,
    /// Whether it may be of the reserve.
    pub(super) small: bool,
    /// What whoever wants it has already, and does not give back before there is more.
    holds: u32,
}

impl Need {
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
    pub(super) fn try_take(&self, turn: &Turn, wanted: Need) -> Option<Share> {
        let mut state = self.lock();
        let fits = match (state.lines.is_empty(), wanted.small && state.lines.first(true).is_none()) {
            (true, _) => self.fits(&state, turn, wanted, false),
            (false, true) => self.fits(&state, turn, wanted, true),
            (false, false) => None,
        };
        fits.map(|parts| self.give(&mut state, turn, parts))
    }

    /// A share, when it is its turn.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when that takes longer than `patience`.
    pub(super) async fn take(
        &self,
        turn: &Turn,
        wanted: Need,
        patience: Option<Duration>,
    ) -> Result<Share, Fault> {
        self.wait(turn, wanted, patience).await.ok_or_else(|| self.busy())
    }

    /// The fault of who waits in vain.
    pub(super) fn busy(&self) -> Fault {
        let text = format!("too much is under way ({})", self.0.key);
        Fault::new(FaultKind::Busy, text).retried(Retry::Later)
    }

    async fn wait(&self, turn: &Turn, wanted: Need, patience: Option<Duration>) -> Option<Share> {
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

    /// Whether a client may have more, whoever waits.
    fn may_have_more(&self, state: &State, flow: &str) -> bool {
        let own = state.had.get(flow).copied().unwrap_or_default();
        !self.0.shared || may_have_more(own as usize, (self.0.total - state.used) as usize)
    }

    /// Whether there is room, or in the reserve, whoever waits: how much of each there is for it.
    fn fits(&self, state: &State, turn: &Turn, wanted: Need, in_reserve: bool) -> Option<(u32, u32)> {
        let Inner { total, reserve: in_all, .. } = *self.0;
        let Need { units, small, holds } = wanted;
        let general = state.used - state.reserve;
        if !self.may_have_more(state, turn.flow.name()) {
            return None;
        }
        // What is larger than all that is no reserve has it alone, and of the reserve what it needs.
        let alone = state.used <= holds && state.used.saturating_add(units) <= total;
        if !in_reserve && (alone || general.saturating_add(units) <= total - in_all) {
            Some((units, 0))
        } else if small && state.reserve.saturating_add(units) <= in_all.min(total - general) {
            Some((0, units))
        } else {
            None
        }
    }

    fn give(&self, state: &mut State, turn: &Turn, (general, reserve): (u32, u32)) -> Share {
        if self.0.shared {
            *state.had.entry(Arc::clone(turn.flow.name())).or_default() += general + reserve;
        }
        state.used += general + reserve;
        state.reserve += reserve;
        Share { of: self.clone(), turn: turn.clone(), general, reserve, paid: None }
    }

    /// Gives what is free to those whose turn it is.
    fn serve(&self) {
        let mut given = Vec::new();
        let mut state = self.lock();
        while let Some((ticket, parts)) = self.next(&state).or_else(|| self.next_of_those_who_hold(&state)) {
            if let Some(Waits { tell, turn, .. }) = state.lines.take(&ticket) {
                let mut share = self.give(&mut state, &turn, parts);
                share.paid = Some(turn.cost);
                given.push((tell, Some(share)));
            }
        }
        if self.nobody_goes_on(&state)
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

    fn next(&self, state: &State) -> Option<(Ticket, (u32, u32))> {
        [false, true].into_iter().find_map(|small_only| {
            let ticket = state.lines.first_of(small_only, |flow| self.may_have_more(state, flow))?;
            let Waits { wanted, turn, .. } = state.lines.get(&ticket)?;
            self.fits(state, turn, *wanted, small_only).map(|parts| (ticket, parts))
        })
    }

    /// All that is used is held by those who wait for more: unless one of them gets it or goes, none would go on.
    fn nobody_goes_on(&self, state: &State) -> bool {
        let held: u32 = state.lines.iter().map(|waits| waits.wanted.holds).sum();
        held > 0 && held >= state.used
    }

    /// Then whoever there is room for has it, whoever else it would be the turn of.
    fn next_of_those_who_hold(&self, state: &State) -> Option<(Ticket, (u32, u32))> {
        if !self.nobody_goes_on(state) {
            return None;
        }
        let fits = |waits: &Waits| self.fits(state, &waits.turn, waits.wanted, false);
        let ticket = state.lines.next_of(|waits| waits.wanted.holds > 0 && fits(waits).is_some())?;
        let parts = fits(state.lines.get(&ticket)?)?;
        Some((ticket, parts))
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
        Self { of: of.clone(), turn: turn.clone(), general: 0, reserve: 0, paid: None }
    }

    /// Gives it back as if it had not been: it came to nothing.
    pub(super) fn give_up(self) {
        if let Some(cost) = self.paid {
            self.of.lock().lines.refund(&self.turn.flow, cost);
        }
    }

    fn units(&self) -> u32 {
        self.general + self.reserve
    }

    /// What is missing to be as large as is wanted.
    fn more(&self, wanted: Need) -> Need {
        Need { units: wanted.units.saturating_sub(self.units()), holds: self.units(), ..wanted }
    }

    /// Makes it as large as is wanted, if there is room and nobody waits for that; false when not.
    pub(super) fn try_grow(&mut self, wanted: Need) -> bool {
        let more = self.more(wanted);
        more.units == 0 || self.of.try_take(&self.turn, more).is_some_and(|more| self.merge(more))
    }

    /// The same, when it is its turn.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when that takes longer than `patience`, or everybody who has some waits for more.
    pub(super) async fn grow(&mut self, wanted: Need, patience: Duration) -> Result<(), Fault> {
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

    /// Gives back what is more than so many units; whether that is anything.
    pub(super) fn shrink(&mut self, units: u32) -> bool {
        let general = self.general.min(self.units().saturating_sub(units));
        self.general -= general;
        let reserve = self.reserve.min(self.units().saturating_sub(units));
        self.reserve -= reserve;
        self.of.give_back(&self.turn, general, reserve);
        general + reserve > 0
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

    fn large(units: u32) -> Need {
        Need::new(units, false)
    }

    fn small(units: u32) -> Need {
        Need::new(units, true)
    }

    const SHORT: Duration = Duration::from_millis(20);

    type Waiting = tokio::task::JoinHandle<Result<Share, Fault>>;

    async fn waits(shares: &Shares, turn: Turn, wanted: Need) -> Waiting {
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
    async fn of_those_who_all_wait_for_more_whoever_there_is_room_for_has_it() {
        let shares = Shares::reserved(80, 0, "key");
        let holds = |flow: &str, units| {
            let mut share = Share::nothing(&shares, &turn(flow, 0));
            assert!(share.try_grow(large(units)));
            share
        };
        let (mut much, mut little) = (holds("a", 50), holds("b", 10));
        let more =
            tokio::spawn(async move { much.grow(large(80), Duration::from_secs(60)).await.map(|()| much) });
        tokio::task::yield_now().await;
        for units in [11, 12, 30] {
            little.grow(large(units), SHORT).await.unwrap();
        }
        assert!(!more.is_finished());
        drop(little);
        assert_eq!(more.await.unwrap().unwrap().units(), 80);
    }

    #[tokio::test]
    async fn what_came_to_nothing_costs_nothing() {
        let shares = Shares::reserved(80, 0, "key");
        let mut held = shares.try_take(&turn("c", 0), large(80)).unwrap();
        for _ in 0..9 {
            let waiting = waits(&shares, turn("a", 0), large(80)).await;
            drop(held);
            waiting.await.unwrap().unwrap().give_up();
            held = shares.try_take(&turn("c", 0), large(80)).unwrap();
        }
        // Neither has had anything, and who came first is next.
        let again = waits(&shares, turn("a", 0), large(80)).await;
        let other = waits(&shares, turn("b", 0), large(80)).await;
        drop(held);
        let again = again.await.unwrap();
        assert!(!other.is_finished());
        drop(again);
        other.await.unwrap().unwrap();
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
