//! Whose job is handed out next: the flows take turns by what their jobs cost. It asks for what it needs to know step by step, so
//! that a store may look where and how it keeps its jobs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use imgserve_base::fair::{Clock, Flow, may_have_more};

use crate::store::Room;

/// What a claim needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Flows of which jobs are due, by name, from the first one after this on, some at once; none when there are no more.
    Flows(Option<Arc<str>>),
    /// The best of this flow's jobs that are due: what it costs, or that there is none.
    Job(Arc<str>),
    /// Nothing: there is no more room, or nobody has more to do.
    Done,
}

/// A flow of which jobs are due.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    /// How many of its jobs are under way.
    under_way: usize,
}

/// When a flow's turn comes, and which flow it is.
type Later = Reverse<(u128, usize)>;

/// A claim in the making.
#[derive(Debug)]
pub(crate) struct Claiming<'c> {
    room: &'c Room,
    clock: &'c mut Clock,
    taken: usize,
    /// Whether a flow has as much as it may, and perhaps more to do.
    held_back: bool,
    /// Those that were found and not looked at yet.
    found: VecDeque<Arc<str>>,
    /// The last one that was found.
    last: Option<Arc<str>>,
    all_found: bool,
    /// Those whose turn comes later, the earliest first.
    later: BinaryHeap<Later>,
    flows: Vec<Waiting>,
    /// Whose job was asked for.
    asked: Option<usize>,
}

impl<'c> Claiming<'c> {
    pub(crate) fn new(room: &'c Room, clock: &'c mut Clock) -> Self {
        Self {
            room,
            clock,
            taken: 0,
            held_back: false,
            found: VecDeque::new(),
            last: None,
            all_found: false,
            later: BinaryHeap::new(),
            flows: Vec::new(),
            asked: None,
        }
    }

    /// Whether there may be more due than was taken.
    pub(crate) fn is_full(&self) -> bool {
        self.taken >= self.room.free || self.held_back
    }

    /// What is to be found out next.
    pub(crate) fn step(&mut self) -> Step {
        while self.taken < self.room.free {
            // Those before whose turn there is no other's have it as they are found: there may be very many.
            if let Some(name) = self.found.pop_front() {
                let (index, start) = (self.add(&name), self.clock.start(&name));
                if start > self.clock.now() {
                    self.later.push(Reverse((start, index)));
                } else if self.may(index) {
                    return Step::Job(name);
                }
            } else if !self.all_found {
                return Step::Flows(self.last.clone());
            } else if let Some(Reverse((_, index))) = self.later.pop() {
                if self.may(index) {
                    return Step::Job(Arc::clone(self.flows[index].flow.name()));
                }
            } else {
                break;
            }
        }
        Step::Done
    }

    /// These were found.
    pub(crate) fn flows(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        self.found.extend(names);
        match self.found.back() {
            Some(last) => self.last = Some(Arc::clone(last)),
            None => self.all_found = true,
        }
    }

    /// The job that was asked for costs so much and is taken, or there is none.
    pub(crate) fn job(&mut self, cost: Option<u64>) {
        if let (Some(index), Some(cost)) = (self.asked.take(), cost) {
            let Waiting { flow, under_way } = &mut self.flows[index];
            self.clock.turn(flow, cost);
            *under_way += 1;
            self.taken += 1;
            self.later.push(Reverse((self.clock.start(flow.name()), index)));
        }
    }

    fn add(&mut self, name: &Arc<str>) -> usize {
        let under_way = self.room.under_way.get(name).copied().unwrap_or_default();
        let weight = self.room.weights.get(name).copied().unwrap_or(1);
        self.flows.push(Waiting { under_way, flow: Flow::new(Arc::clone(name), weight) });
        self.flows.len() - 1
    }

    /// Whether a flow may have its turn: less and less is left. Then its job is asked for.
    fn may(&mut self, index: usize) -> bool {
        let left = self.room.free - self.taken;
        let may = !self.room.shared || may_have_more(self.flows[index].under_way, left);
        if may {
            self.asked = Some(index);
        } else {
            self.held_back = true;
        }
        may
    }
}
