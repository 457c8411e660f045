//! Whose turn it is among the receivers of webhooks: a place each, a few more for one that takes what it is sent, and what is
//! claimed for one that is busy. Those of one machine share some places, under however many names and ports. One that does not
//! answer keeps none but its own waiting, and is asked less and less often. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_journal::Notice;
use imgserve_transfer::Server;

/// Webhooks sent at once.
pub(crate) const MOST: usize = 64;
/// Of these to a receiver that has taken the last one.
const MOST_EACH: usize = 8;
/// Of these to all receivers of one machine, which differ by their names and ports.
const MOST_EACH_MACHINE: usize = 2 * MOST_EACH;
/// Webhooks that wait here for their receiver. More of them are put off.
const MOST_WAITING: usize = 128;
/// Webhooks that wait here, of all receivers.
const MOST_HELD: usize = 1024;
/// How long one waits here: then its lease is not to end before it is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long it is known of a receiver that it has not answered: longer than what waits for it is put off.
const MEMORY: Duration = Duration::from_secs(1800);
/// Of how many receivers that is known.
const MOST_SILENT: usize = 4096;
/// What waits for one that is busy is put off as after so many failures.
const BUSY: u32 = 3;

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
    /// Being sent, by machine.
    machines: HashMap<Arc<str>, usize>,
    under_way: usize,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Line {
    under_way: usize,
    /// Where it is, once that is known.
    at: Where,
    /// Whether it took the last one.
    well: bool,
    /// How many it has not answered in a row, and when it did not answer the last one.
    failures: u32,
    silent: Option<Instant>,
    waiting: VecDeque<(Instant, Notice)>,
}

/// Where a receiver is.
#[derive(Debug, Default)]
enum Where {
    #[default]
    Unknown,
    /// Somebody is to say so.
    Asked,
    On(Vec<Arc<str>>),
}

impl Line {
    /// The machines that it is on; none while nobody knows.
    fn machines(&self) -> Option<&[Arc<str>]> {
        match &self.at {
            Where::On(machines) => Some(machines),
            Where::Unknown | Where::Asked => None,
        }
    }

    fn has_place(&self) -> bool {
        self.under_way < if self.well { MOST_EACH } else { 1 }
    }

    fn is_idle(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }

    /// How many may wait here: of one that did not answer, the one that it is asked with next.
    fn most_waiting(&self) -> usize {
        if self.failures > 0 { 1 } else { MOST_WAITING }
    }
}

/// One that is to be put off, as after so many failures.
pub(super) type PutOff = (Notice, u32);

impl Receivers {
    /// How many more may be claimed.
    pub(super) fn room(&self) -> usize {
        MOST_HELD.saturating_sub(self.waiting)
    }

    /// Takes one that is due; gives it back when too many wait for its receiver.
    pub(super) fn offer(&mut self, to: Receiver, notice: Notice, now: Instant) -> Option<PutOff> {
        // What leads nowhere is nowhere.
        let at = if to.is_some() { Where::Unknown } else { Where::On(Vec::new()) };
        let line = self.known.entry(to).or_insert_with(|| Line { at, ..Line::default() });
        if line.waiting.len() >= line.most_waiting() {
            return Some((notice, line.failures.max(BUSY)));
        }
        line.waiting.push_back((now, notice));
        self.waiting += 1;
        None
    }

    /// Those of which somebody is to say where they are, each once: before that nothing is sent to them.
    pub(super) fn unlocated(&mut self) -> Vec<Server> {
        let unknown = self.known.iter_mut().filter(|(_, line)| matches!(line.at, Where::Unknown));
        let asked = unknown.filter_map(|(to, line)| {
            line.at = Where::Asked;
            to.clone()
        });
        asked.collect()
    }

    /// On which machines a receiver is.
    pub(super) fn located(&mut self, server: Server, machines: Vec<Arc<str>>) {
        if let Some(line) = self.known.get_mut(&Some(server))
            && line.machines().is_none()
        {
            line.at = Where::On(machines);
        }
    }

    /// One that is to be sent now.
    pub(super) fn next(&mut self) -> Option<(Receiver, Notice)> {
        if self.under_way >= MOST {
            return None;
        }
        let has_room =
            |machine: &Arc<str>| self.machines.get(machine).is_none_or(|sent| *sent < MOST_EACH_MACHINE);
        // The one with the fewest under way: those that take many take turns with those that take few. Of those the one that has
        // waited longest.
        let first = |(_, line): &(&Receiver, &mut Line)| {
            (line.under_way, line.waiting.front().map(|(since, _)| *since))
        };
        let ready = self.known.iter_mut().filter(|(_, line)| {
            let machines_have_room = line.machines().is_some_and(|machines| machines.iter().all(has_room));
            line.has_place() && machines_have_room && !line.waiting.is_empty()
        });
        let (to, line) = ready.min_by_key(first)?;
        let (_, notice) = line.waiting.pop_front()?;
        line.under_way += 1;
        let to = to.clone();
        for machine in line.machines().unwrap_or_default() {
            *self.machines.entry(Arc::clone(machine)).or_default() += 1;
        }
        self.under_way += 1;
        self.waiting -= 1;
        Some((to, notice))
    }

    /// A try is over. When it was not answered, what waits for the same receiver is given.
    pub(super) fn over(&mut self, to: &Receiver, tried: Tried, now: Instant) -> Vec<PutOff> {
        self.under_way = self.under_way.saturating_sub(1);
        let remembers = self.known.len() <= MOST_SILENT;
        let Some(line) = self.known.get_mut(to) else { return Vec::new() };
        for machine in line.machines().unwrap_or_default() {
            let sent = self.machines.get(machine).copied().unwrap_or_default();
            match sent {
                0 | 1 => drop(self.machines.remove(machine)),
                more => drop(self.machines.insert(Arc::clone(machine), more - 1)),
            }
        }
        line.under_way = line.under_way.saturating_sub(1);
        line.well = tried == Tried::Taken;
        let silent = tried == Tried::Unanswered;
        line.failures = if silent { line.failures.saturating_add(1) } else { 0 };
        line.silent = silent.then_some(now);
        let failures = line.failures;
        let given: Vec<PutOff> = match silent {
            true => line.waiting.drain(..).map(|(_, notice)| (notice, failures)).collect(),
            false => Vec::new(),
        };
        if line.is_idle() && !(silent && remembers) {
            self.known.remove(to);
        }
        self.waiting -= given.len();
        given
    }

    /// Those that have waited too long.
    pub(super) fn late(&mut self, now: Instant) -> Vec<PutOff> {
        let mut late = Vec::new();
        for line in self.known.values_mut() {
            while line.waiting.front().is_some_and(|(since, _)| now.duration_since(*since) > PATIENCE) {
                late.extend(line.waiting.pop_front().map(|(_, notice)| (notice, line.failures.max(1))));
            }
        }
        self.waiting -= late.len();
        let is_known = |line: &Line| line.silent.is_some_and(|silent| now.duration_since(silent) < MEMORY);
        self.known.retain(|_, line| !line.is_idle() || is_known(line));
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

    /// Offers one, of a receiver that is where its name says.
    fn offer(receivers: &mut Receivers, host: &str, id: usize, now: Instant) -> Option<PutOff> {
        let back = receivers.offer(to(host), notice(id), now);
        for server in receivers.unlocated() {
            let machine = Arc::clone(server.host());
            receivers.located(server, vec![machine]);
        }
        back
    }

    fn with(host: &str, count: usize) -> Receivers {
        let mut receivers = Receivers::default();
        for id in 0..count {
            assert!(offer(&mut receivers, host, id, Instant::now()).is_none());
        }
        receivers
    }

    #[test]
    fn the_names_of_a_machine_together_have_no_more_than_one_has() {
        let (mut receivers, now) = (Receivers::default(), Instant::now());
        for id in 0..200 {
            receivers.offer(to(&format!("{id}.example")), notice(id), now);
        }
        assert!(receivers.next().is_none(), "nobody knows yet where they are");
        let asked = receivers.unlocated();
        assert!(asked.len() == 200 && receivers.unlocated().is_empty(), "each is asked for once");
        asked.into_iter().for_each(|server| receivers.located(server, vec!["192.0.2.1".into()]));
        let sent: Vec<_> = std::iter::from_fn(|| receivers.next()).collect();
        assert_eq!(sent.len(), MOST_EACH_MACHINE);
        offer(&mut receivers, "other", 0, now);
        assert_eq!(receivers.next().unwrap().0, to("other"));
        receivers.over(&sent[0].0, Tried::Unanswered, now);
        assert!(receivers.next().is_some() && receivers.next().is_none());
    }

    #[test]
    fn of_those_with_as_many_under_way_the_one_that_has_waited_longest_is_next() {
        let (mut receivers, began) = (Receivers::default(), Instant::now());
        let name = |id: usize| format!("{id}.example");
        for id in 0..2 * MOST {
            offer(&mut receivers, &name(id), id, began + Duration::from_millis(id as u64));
        }
        for id in 0..MOST {
            assert_eq!(receivers.next().unwrap().1.id, id.to_string());
        }
        // Who has had a turn and wants another one is behind who has had none.
        for id in 0..MOST {
            offer(&mut receivers, &name(id), 1000 + id, began + Duration::from_secs(1));
            receivers.over(&to(&name(id)), Tried::Taken, began);
            assert_eq!(receivers.next().unwrap().1.id, (MOST + id).to_string());
        }
    }

    #[test]
    fn one_that_hangs_holds_one_place_and_one_that_answers_gets_more() {
        let mut receivers = with("hangs", 100);
        assert_eq!(receivers.next().unwrap().1.id, "0");
        assert!(receivers.next().is_none(), "a second place for one that has not answered");
        offer(&mut receivers, "well", 7, Instant::now());
        offer(&mut receivers, "well", 8, Instant::now());
        assert_eq!(receivers.next().unwrap().1.id, "7");
        assert!(receivers.next().is_none());
        receivers.over(&to("well"), Tried::Taken, Instant::now());
        assert_eq!(receivers.next().unwrap().1.id, "8");
        receivers.over(&to("hangs"), Tried::Taken, Instant::now());
        assert_eq!(std::iter::from_fn(|| receivers.next()).count(), MOST_EACH, "it has answered");
        // One that answered and then hangs has what it had.
        let put_off = receivers.over(&to("hangs"), Tried::Unanswered, Instant::now());
        assert_eq!((put_off.len(), put_off[0].1), (100 - 1 - MOST_EACH, 1));
        offer(&mut receivers, "hangs", 9, Instant::now());
        assert!(receivers.next().is_none());
    }

    #[test]
    fn one_that_refuses_is_asked_one_at_a_time_and_keeps_its_turn() {
        let mut receivers = with("refuses", 3);
        receivers.next().unwrap();
        assert!(receivers.over(&to("refuses"), Tried::Refused, Instant::now()).is_empty());
        assert_eq!(receivers.next().unwrap().1.id, "1");
        assert!(receivers.next().is_none());
    }

    #[test]
    fn too_many_of_one_are_given_back_and_leave_room_for_others() {
        let mut receivers = with("busy", MOST_WAITING);
        assert_eq!(offer(&mut receivers, "busy", 1, Instant::now()).unwrap().0.id, "1");
        assert!(offer(&mut receivers, "other", 2, Instant::now()).is_none());
        assert_eq!(receivers.room(), MOST_HELD - MOST_WAITING - 1);
        let late = receivers.late(Instant::now() + PATIENCE * 2);
        assert_eq!((late.len(), receivers.room()), (MOST_WAITING + 1, MOST_HELD));
    }

    #[test]
    fn nothing_is_kept_of_a_receiver_that_has_nothing_to_come() {
        let mut receivers = with("one", 1);
        let (to, _) = receivers.next().unwrap();
        receivers.over(&to, Tried::Taken, Instant::now());
        assert!(receivers.known.is_empty() && receivers.machines.is_empty());
        assert!(receivers.under_way == 0 && receivers.room() == MOST_HELD);
    }

    #[test]
    fn a_host_with_many_ports_leaves_places_to_others() {
        let mut receivers = Receivers::default();
        for port in 1..100 {
            offer(&mut receivers, &format!("many:{port}"), port, Instant::now());
        }
        let had = std::iter::from_fn(|| receivers.next()).count();
        assert_eq!(had, MOST_EACH_MACHINE);
        offer(&mut receivers, "other", 0, Instant::now());
        assert_eq!(receivers.next().unwrap().0, to("other"));
    }

    #[test]
    fn what_waits_for_one_that_is_silent_is_put_off_for_longer_and_longer() {
        let (mut receivers, mut now) = (Receivers::default(), Instant::now());
        for failures in 1..9 {
            // One is tried, and nothing of what is behind it is kept here.
            let back = (0..50).filter_map(|id| offer(&mut receivers, "dead", id, now)).collect::<Vec<_>>();
            if failures > 1 {
                assert_eq!((back.len(), back[0].1), (49, BUSY.max(failures - 1)));
            }
            receivers.next().unwrap();
            let put_off = receivers.over(&to("dead"), Tried::Unanswered, now);
            assert!(put_off.iter().all(|(_, after)| *after == failures));
            now += Duration::from_secs(60);
            receivers.late(now);
        }
        receivers.late(now + MEMORY);
        assert!(receivers.known.is_empty(), "what is long ago is forgotten");
    }
}
