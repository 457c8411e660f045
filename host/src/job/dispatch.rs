//! Which jobs run: claims them from the journal, no more than can be under way at once, and extends the leases of those
//! that are. A job that was just accepted brings along what acceptance has of it already; any other begins anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::clock::steady_ms;
use imgserve_base::fair::Turn;
use imgserve_base::job::Client;
use imgserve_base::lease::Lease;
use imgserve_journal::{Claim, JournalError, Room, rank};

use super::nodes;
use super::parking::Parking;
use super::run::Attempt;
use super::service::Service;
use super::stored;
use super::warm::Warmth;

/// Pause after the journal could not be asked.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How often finished jobs beyond those that are remembered are forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(5);
/// How long idempotency keys are remembered.
const KEY_AGE: Duration = Duration::from_secs(24 * 3600);

/// Claims and starts jobs until the server stops, and extends the leases of attempts under way.
pub(super) async fn dispatch(service: Arc<Service>) {
    let (mut next_due_ms, mut trouble, mut leased_ms) = (None, false, steady_ms());
    loop {
        // Before the room is looked at: an attempt that ends meanwhile asks again.
        let look = service.wakeups().begin_look();
        let (mut room, holds_back) = room(&service);
        if service.leaves_jobs() {
            room.free = 0;
        }
        let free = room.free;
        // Leases first, also after a time in which the journal could not be written or the machine slept: an attempt under way must
        // not be claimed once more.
        let leases = service.leases();
        if trouble || steady_ms().saturating_sub(leased_ms) >= leases.renewal().as_millis() as u64 {
            trouble = lease_again(&service).await.is_err();
            leased_ms = steady_ms();
        }
        if free > 0 && !trouble {
            let until_ms = leases.until_ms();
            match service.journal().claim(room, leases.length()).await {
                Ok(claimed) => {
                    if !claimed.claims.is_empty() {
                        imgserve_base::crash::point("job-after-claim");
                    }
                    // More may wait than there was room for: then the end of each attempt asks again.
                    service.wakeups().found(claimed.full);
                    next_due_ms = claimed.next_due.map(|due| steady_ms() + due.as_millis() as u64);
                    let mut held = claimed.held;
                    held.extend(
                        claimed.claims.into_iter().filter_map(|claim| start(&service, claim, until_ms)),
                    );
                    // No attempt ends that would ask for those behind them.
                    if !held.is_empty() {
                        held.iter().for_each(|client| service.queue().leave(client));
                        service.wakeups().ask();
                    }
                }
                Err(error) => {
                    tracing::error!("no job can be started: {error}");
                    trouble = true;
                }
            }
        }
        if free == 0 {
            next_due_ms = service.leave_to_others(next_due_ms);
        }
        service.wakeups().end_look(look, next_due_ms);
        let due = next_due_ms.map(|due| Duration::from_millis(due.saturating_sub(steady_ms())));
        let sleep = due.filter(|_| free > 0).unwrap_or(leases.renewal()).min(leases.renewal());
        let sleep = if service.has_others() { sleep.min(nodes::LOOK) } else { sleep };
        let sleep = if holds_back { sleep.min(Parking::look_after()) } else { sleep };
        let sleep = if trouble { TROUBLE_PAUSE } else { sleep };
        tokio::select! {
            () = service.lifecycle().stopping() => return,
            () = service.wakeups().asked(), if !trouble => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// What there is room for: no client has more under way than are free, and no more begin of those of whom some wait than may wait
/// too. Whether that keeps any from beginning.
fn room(service: &Service) -> (Room, bool) {
    let census = service.live().census();
    let free = match service.has_others() {
        true => service.turns().free_beside_others(&census),
        false => service.turns().free(&census),
    };
    let mut under_way: HashMap<_, _> =
        census.flows().map(|flow| (Arc::clone(flow), census.of(flow).under_way)).collect();
    let mut holds_back = false;
    for (flow, more) in service.turns().parking().held_back(&census) {
        let own = under_way.entry(flow).or_default();
        holds_back |= *own < own_for(free, more);
        *own = own_for(free, more).max(*own);
    }
    (Room { free, shared: true, under_way, weights: service.keys().weights() }, holds_back)
}

/// How many a client would have under way that may have so many more of those that are free.
fn own_for(free: usize, more: usize) -> usize {
    free.saturating_sub(2 * more)
}

/// Extends the leases of all attempts under way, and of what is being accepted; what is another node's by now is let go.
async fn lease_again(service: &Service) -> Result<(), JournalError> {
    let (attempts, until_ms) = (service.live().attempts(), service.leases().until_ms());
    let kept = service.journal().heartbeat(attempts.clone(), service.leases().length()).await?;
    service.live().extend(&attempts, &kept, until_ms);
    Ok(())
}

impl Service {
    /// Whether it begins no more jobs, as it stops and other nodes do them.
    fn leaves_jobs(&self) -> bool {
        !self.lifecycle().is_open() && self.has_others()
    }

    /// Nothing is claimed as there is no room: others are told that something may wait. When this node looks for the next one.
    fn leave_to_others(&self, next_due_ms: Option<u64>) -> Option<u64> {
        if let Some(shared) = self.journal().shared() {
            shared.offer();
        }
        if !self.leaves_jobs() {
            return next_due_ms;
        }
        self.wakeups().found(false);
        None
    }
}

/// Begins an attempt, which is this node's until then. Another program's order is that program's to do: then it is held, and whose job it is is given.
fn start(service: &Arc<Service>, claim: Claim, until_ms: u64) -> Option<Client> {
    let Claim { record, order, flow, cost } = claim;
    let turn = Turn { flow: service.flow(&flow), rank: rank(record.priority), cost };
    let (id, attempt) = (record.id, record.attempt);
    let none = || Warmth::none(service.generation(), service.settings());
    let warmth = service.warm().take(id).unwrap_or_else(none);
    match stored::read_order(&order, record.outputs.len()) {
        Ok(order) => {
            let running = service.live().begin(id, attempt, &turn.flow, Lease::until(until_ms));
            let attempt = Attempt::new(Arc::clone(service), record, running, turn, warmth);
            service.lifecycle().spawn(attempt.run_to_end(order));
            None
        }
        Err(error) => {
            service.journal().hold(id, attempt, format!("its order cannot be read: {error}"));
            service.live().changed(id);
            Some(record.client)
        }
    }
}

/// Forgets what is too old: finished jobs beyond `max_finished`, and idempotency keys.
pub(super) async fn keep_house(service: Arc<Service>) {
    let mut prune = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        tokio::select! {
            () = service.lifecycle().stopping() => return,
            _ = prune.tick() => {}
        }
        if service.tally().take_written_down() {
            let most = service.settings().max_finished;
            if let Err(error) = service.journal().prune(most, KEY_AGE).await {
                tracing::warn!("finished jobs are not forgotten: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::fair::may_have;

    use super::own_for;

    #[test]
    fn who_may_have_so_many_more_is_given_no_others() {
        for free in [1_usize, 2, 7, 256] {
            for more in 0..=free.div_ceil(2) {
                assert_eq!(may_have(own_for(free, more), free), more, "{more} of {free}");
            }
            assert_eq!(own_for(free, free), 0);
        }
    }
}
