//! Whose turn it is among the receivers of webhooks: a place each, a few more for one that takes what it is sent, and what is
//! claimed for one that is busy. One that does not answer keeps none but its own waiting. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use imgserve_journal::Notice;
use imgserve_transfer::Server;

/// Webhooks sent at once.
pub(crate) const MOST: usize = 64;
/// Of these to a receiver that has taken the last one.
const MOST_EACH: usize = 8;
/// Webhooks that wait here for their receiver. More of them are put off.
const MOST_WAITING: usize = 128;
/// Webhooks that wait here, of all receivers.
const MOST_HELD: usize = 1024;
/// How long one waits here: then its lease is not to end before it is sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a webhook goes; none for a URL that leads nowhere.
pub(super) type Receiver = Option<Server>;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was taken.
    Taken,
    /// The receiver answered, and did not take it: the next one it may.
    Refused,
    /// It did not answer: the next one would fare no better now.
    Unanswered,
}

/// All receivers that have something to come.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    known: HashMap<Receiver, Line>,
    under_way: usize,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Line {
    under_way: usize,
    /// Whether it took the last one.
    well: bool,
    /// How many it has not answered in a row.
    failures: u32,
    waiting: VecDeque<(Instant, Notice)>,
}

impl Line {
    fn has_place(&self) -> bool {
        self.under_way < if self.well { MOST_EACH } else { 1 }
    }
}

impl Receivers {
    /// How many more may be claimed.
    pub(super) fn room(&self) -> usize {
        MOST_HELD.saturating_sub(self.waiting)
    }

    /// Takes one that is due; gives it back when too many wait for its receiver.
    pub(super) fn offer(&mut self, to: Receiver, notice: Notice, now: Instant) -> Option<Notice> {
        let line = self.known.entry(to).or_default();
        if line.waiting.len() >= MOST_WAITING {
            return Some(notice);
        }
        line.waiting.push_back((now, notice));
        self.waiting += 1;
        None
    }

    /// One that is to be sent now.
    pub(super) fn next(&mut self) -> Option<(Receiver, Notice)> {
        if self.under_way >= MOST {
            return None;
        }
        let ready = |(_, line): &(&Receiver, &mut Line)| line.has_place() && !line.waiting.is_empty();
        // The one with the fewest under way: those that take many take turns with those that take few.
        let (to, line) = self.known.iter_mut().filter(ready).min_by_key(|(_, line)| line.under_way)?;
        let (_, notice) = line.waiting.pop_front()?;
        line.under_way += 1;
        let to = to.clone();
        self.under_way += 1;
        self.waiting -= 1;
        Some((to, notice))
    }

    /// A try is over. When it was not answered, what waits for the same receiver is given, and how often it was so in a row.
    pub(super) fn over(&mut self, to: &Receiver, tried: Tried) -> (Vec<Notice>, u32) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(line) = self.known.get_mut(to) else { return (Vec::new(), 0) };
        line.under_way = line.under_way.saturating_sub(1);
        line.well = tried == Tried::Taken;
        let silent = tried == Tried::Unanswered;
        line.failures = if silent { line.failures.saturating_add(1) } else { 0 };
        let failures = line.failures;
        let given =
            if silent { line.waiting.drain(..).map(|(_, notice)| notice).collect() } else { Vec::new() };
        if line.under_way == 0 && line.waiting.is_empty() {
            self.known.remove(to);
        }
        self.waiting -= given.len();
        (given, failures)
    }

    /// Those that have waited too long.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Notice> {
        let mut late = Vec::new();
        for line in self.known.values_mut() {
            while line.waiting.front().is_some_and(|(since, _)| now.duration_since(*since) > PATIENCE) {
                late.extend(line.waiting.pop_front().map(|(_, notice)| notice));
            }
        }
        self.waiting -= late.len();
        late
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::job::JobId;
    use imgserve_transfer::HttpUrl;

    use super::*;

    fn to(host: &str) -> Receiver {
        HttpUrl::parse(&format!("http://{host}/hook")).unwrap().server()
    }

    fn notice(id: usize) -> Notice {
        let (id, url, body) = (id.to_string(), String::new(), String::new());
        Notice { id, job: JobId::generate(), url, body, created_ms: 0, attempt: 1 }
    }

    fn with(host: &str, count: usize) -> Receivers {
        let mut receivers = Receivers::default();
        for id in 0..count {
            assert!(receivers.offer(to(host), notice(id), Instant::now()).is_none());
        }
        receivers
    }

    #[test]
    fn one_that_hangs_holds_one_place_and_one_that_answers_gets_more() {
        let mut receivers = with("hangs", 100);
        assert_eq!(receivers.next().unwrap().1.id, "0");
        assert!(receivers.next().is_none(), "a second place for one that has not answered");
        receivers.offer(to("well"), notice(7), Instant::now());
        receivers.offer(to("well"), notice(8), Instant::now());
        assert_eq!(receivers.next().unwrap().1.id, "7");
        assert!(receivers.next().is_none());
        receivers.over(&to("well"), Tried::Taken);
        assert_eq!(receivers.next().unwrap().1.id, "8");
        receivers.over(&to("hangs"), Tried::Taken);
        assert_eq!(std::iter::from_fn(|| receivers.next()).count(), MOST_EACH, "it has answered");
        // One that answered and then hangs has what it had.
        let (put_off, failures) = receivers.over(&to("hangs"), Tried::Unanswered);
        assert_eq!((put_off.len(), failures), (100 - 1 - MOST_EACH, 1));
        receivers.offer(to("hangs"), notice(9), Instant::now());
        assert!(receivers.next().is_none());
    }

    #[test]
    fn one_that_refuses_is_asked_one_at_a_time_and_keeps_its_turn() {
        let mut receivers = with("refuses", 3);
        receivers.next().unwrap();
        assert_eq!(receivers.over(&to("refuses"), Tried::Refused), (Vec::new(), 0));
        assert_eq!(receivers.next().unwrap().1.id, "1");
        assert!(receivers.next().is_none());
    }

    #[test]
    fn too_many_of_one_are_given_back_and_leave_room_for_others() {
        let mut receivers = with("busy", MOST_WAITING);
        assert_eq!(receivers.offer(to("busy"), notice(1), Instant::now()).unwrap().id, "1");
        assert!(receivers.offer(to("other"), notice(2), Instant::now()).is_none());
        assert_eq!(receivers.room(), MOST_HELD - MOST_WAITING - 1);
        let late = receivers.late(Instant::now() + PATIENCE * 2);
        assert_eq!((late.len(), receivers.room()), (MOST_WAITING + 1, MOST_HELD));
    }

    #[test]
    fn nothing_is_kept_of_a_receiver_that_has_nothing_to_come() {
        let mut receivers = with("one", 1);
        let (to, _) = receivers.next().unwrap();
        receivers.over(&to, Tried::Taken);
        assert!(receivers.known.is_empty() && receivers.under_way == 0 && receivers.room() == MOST_HELD);
    }
}
