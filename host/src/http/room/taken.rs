//! Who has places, in the order of how long they have been waited for: looked up, not searched for, however many there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::{SWEEP, UNDER_WAY};
use crate::http::line::{Line, Patience};

/// So many are looked at for one that waits, of those who have not been waited for long enough.
const LOOK: usize = 64;

/// A connection, and what it is known to have been waited for since, or later: it is looked at again when that counts.
type Since = (Instant, u64);

/// Places that are taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// How many of them one address may have for certain.
    share: usize,
    lines: HashMap<u64, Held>,
    all: BTreeSet<Since>,
    by_address: HashMap<IpAddr, BTreeSet<Since>>,
    /// The addresses that have more than their share: never more than there are shares.
    greedy: HashSet<IpAddr>,
    next: u64,
    swept: Instant,
}

#[derive(Debug)]
struct Held {
    line: Arc<Line>,
    address: IpAddr,
    since: Instant,
}

/// Of whose connections one is to go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// Anyone's.
    All,
    /// This address's.
    Address(IpAddr),
    /// Those of addresses that have more than their share.
    Greedy,
}

/// What became of the search for one that can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has been closed.
    Closed,
    /// There is none before this time.
    Soon(Instant),
    /// There is none.
    Nobody,
}

impl Found {
    /// This, or what else there is where nothing was closed.
    pub(super) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Closed => self,
            Self::Soon(_) | Self::Nobody => other(),
        }
    }
}

impl Taken {
    pub(super) fn new(share: usize) -> Self {
        Self {
            share,
            lines: HashMap::new(),
            all: BTreeSet::new(),
            by_address: HashMap::new(),
            greedy: HashSet::new(),
            next: 0,
            swept: Instant::now(),
        }
    }

    pub(super) fn share(&self) -> usize {
        self.share
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.all.is_empty() && self.by_address.is_empty() && self.greedy.is_empty()
    }

    /// Whether an address has its share.
    pub(super) fn has_share(&self, address: IpAddr) -> bool {
        self.by_address.get(&address).map_or(0, BTreeSet::len) >= self.share
    }

    /// Closes the connection whose client has been waited for longest, if that is long enough and nothing of it lies unread.
    pub(super) fn close_longest(&mut self, of: Of, now: Instant) -> Found {
        while let Some((since, number)) = self.longest(of) {
            if since + UNDER_WAY > now {
                return self.soon(of);
            }
            let Some(Held { line, .. }) = self.lines.get(&number) else { return Found::Nobody };
            match line.quiet_since() {
                Some(quiet) if quiet > since => self.look_again(number, quiet),
                Some(_) if !line.has_unread() && line.close() => {
                    self.remove(number);
                    return Found::Closed;
                }
                // It is served, or will be: it may be waited for from now on at the earliest.
                _ => self.look_again(number, now),
            }
        }
        Found::Nobody
    }

    /// When one may have to go, of those who have not been waited for long enough. The others are served.
    fn soon(&self, of: Of) -> Found {
        let waits =
            |number: &u64| self.lines.get(number).is_some_and(|held| held.line.waiting_since().is_some());
        let first = |own: &BTreeSet<Since>| {
            own.iter().take(LOOK).find(|(_, number)| waits(number)).map(|(since, _)| *since + UNDER_WAY)
        };
        let of_address = |address: &IpAddr| first(self.by_address.get(address)?);
        let found = match of {
            Of::All => first(&self.all),
            Of::Address(address) => of_address(&address),
            Of::Greedy => self.greedy.iter().filter_map(of_address).min(),
        };
        found.map_or(Found::Nobody, Found::Soon)
    }

    fn longest(&self, of: Of) -> Option<Since> {
        let first = |address: &IpAddr| self.by_address.get(address)?.first();
        match of {
            Of::All => self.all.first(),
            Of::Address(address) => first(&address),
            Of::Greedy => self.greedy.iter().filter_map(first).min(),
        }
        .copied()
    }

    /// Closes those that have been waited for longer than this, if nobody has looked just now.
    pub(super) fn close_late(&mut self, patience: Patience, now: Instant) {
        if now.duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let shortest = patience.header.min(patience.idle);
        let old = self.all.iter().take_while(|(since, _)| *since + shortest <= now);
        for number in old.map(|(_, number)| *number).collect::<Vec<_>>() {
            let Some(Held { line, .. }) = self.lines.get(&number) else { continue };
            match line.deadline(patience) {
                // Its place is free when it has ended.
                Some(deadline) if deadline <= now => drop(line.close()),
                _ => {
                    let quiet = line.quiet_since().unwrap_or(now);
                    self.look_again(number, quiet);
                }
            }
        }
    }

    /// A connection is not to be looked at again before others that have been waited for since then.
    fn look_again(&mut self, number: u64, since: Instant) {
        let Some(held) = self.lines.get_mut(&number) else { return };
        let before = (std::mem::replace(&mut held.since, since), number);
        self.all.remove(&before);
        self.all.insert((since, number));
        if let Some(own) = self.by_address.get_mut(&held.address) {
            own.remove(&before);
            own.insert((since, number));
        }
    }

    /// A connection of this address begins; gives its number.
    pub(super) fn insert(&mut self, line: Arc<Line>, address: IpAddr, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.lines.insert(number, Held { line, address, since: now });
        self.all.insert((now, number));
        let own = self.by_address.entry(address).or_default();
        own.insert((now, number));
        if own.len() > self.share {
            self.greedy.insert(address);
        }
        number
    }

    /// A connection has ended, or is to end.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(Held { address, since, .. }) = self.lines.remove(&number) else { return };
        self.all.remove(&(since, number));
        let Some(own) = self.by_address.get_mut(&address) else { return };
        own.remove(&(since, number));
        if own.len() <= self.share {
            self.greedy.remove(&address);
        }
        if own.is_empty() {
            self.by_address.remove(&address);
        }
    }
}
