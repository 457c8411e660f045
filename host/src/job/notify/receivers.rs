//! Whose turn it is among the receivers of webhooks: a place each, a few more for one that takes what it is sent, and what is
//! claimed for one that is busy. Clients take turns, and none has more than are left, however many receivers it names; a receiver
//! that two of them name is one for each of them. Those of one machine share some places, under however many names and ports. One
//! that does not answer keeps none but its own waiting, and is asked less and less often. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::fair::{Clock, Counts, Flow, may_have_more};
use imgserve_journal::{Notice, Room};
use imgserve_transfer::Server;

/// Webhooks sent at once; of one client half as many while there is no other.
pub(crate) const MOST: usize = 64;
/// Of these to a receiver that has taken the last one.
const MOST_EACH: usize = 8;
/// Of these to all receivers of one machine, which differ by their names and ports; of one client half as many.
const MOST_EACH_MACHINE: usize = 2 * MOST_EACH;
/// Webhooks that wait here for their receiver. More of them are put off.
const MOST_WAITING: usize = 128;
/// Webhooks that wait here, of all receivers; of one client half as many while there is no other.
const MOST_HELD: usize = 1024;
/// How long one waits here: then its lease is not to end before it is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long it is known of a receiver that it has not answered: longer than what waits for it is put off.
const MEMORY: Duration = Duration::from_secs(1800);
/// Of how many receivers that is known.
const MOST_SILENT: usize = 4096;
/// What waits for one that is busy is put off as after so many failures.
const BUSY: u32 = 3;

/// Where a client's webhooks go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Receiver {
    /// Whose turn it is: the name of the client's flow.
    pub(super) flow: Arc<str>,
    /// None for a URL that leads nowhere.
    pub(super) server: Option<Server>,
}

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
    /// Being sent.
    sent: Sent,
    /// Waiting here, by client.
    held: Counts<Arc<str>>,
    waiting: usize,
    /// Whose turn it is.
    clock: Clock,
}

/// What is being sent.
#[derive(Debug, Default)]
struct Sent {
    all: usize,
    flows: Counts<Arc<str>>,
    machines: Counts<Arc<str>>,
    /// By machine and client.
    each: Counts<(Arc<str>, Arc<str>)>,
}

#[derive(Debug)]
struct Line {
    flow: Flow,
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
#[derive(Debug)]
enum Where {
    Unknown,
    /// Somebody is to say so.
    Asked,
    On(Arc<[Arc<str>]>),
}

impl Sent {
    /// Whether one more of this client may be sent to these machines.
    fn has_room(&self, flow: &Arc<str>, machines: &[Arc<str>]) -> bool {
        let on_machine = |machine: &Arc<str>| {
            let own = self.each.of(&(Arc::clone(machine), Arc::clone(flow)));
            may_have_more(own, MOST_EACH_MACHINE.saturating_sub(self.machines.of(machine)))
        };
        may_have_more(self.flows.of(flow), MOST.saturating_sub(self.all)) && machines.iter().all(on_machine)
    }

    fn count(&mut self, flow: &Arc<str>, machines: &[Arc<str>], by: isize) {
        self.all = self.all.saturating_add_signed(by);
        self.flows.add(flow, by);
        for machine in machines {
            self.machines.add(machine, by);
            self.each.add(&(Arc::clone(machine), Arc::clone(flow)), by);
        }
    }
}

impl Line {
    fn new(flow: Flow, at: Where) -> Self {
        let waiting = VecDeque::new();
        Self { flow, under_way: 0, at, well: false, failures: 0, silent: None, waiting }
    }

    /// The machines that it is on; none while nobody knows.
    fn machines(&self) -> Option<&[Arc<str>]> {
        match &self.at {
            Where::On(machines) => Some(machines.as_ref()),
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
    /// How many more may be claimed, and who has how many of those that are.
    pub(super) fn room(&self) -> Room {
        let under_way = self.held.iter().map(|(flow, count)| (Arc::clone(flow), count)).collect();
        Room { free: self.left(), shared: true, under_way, ..Room::default() }
    }

    fn left(&self) -> usize {
        MOST_HELD.saturating_sub(self.waiting)
    }

    /// Takes one that is due; gives it back when too many wait for its receiver, or are its client's.
    pub(super) fn offer(
        &mut self,
        server: Option<Server>,
        flow: Flow,
        notice: Notice,
        now: Instant,
    ) -> Option<PutOff> {
        let name = Arc::clone(flow.name());
        let may_wait = may_have_more(self.held.of(&name), self.left());
        // What leads nowhere is nowhere.
        let at = if server.is_some() { Where::Unknown } else { Where::On(Arc::default()) };
        let to = Receiver { flow: Arc::clone(&name), server };
        let line = self.known.entry(to).or_insert_with(|| Line::new(flow.clone(), at));
        // A reload may have changed its weight.
        line.flow = flow;
        if !may_wait || line.waiting.len() >= line.most_waiting() {
            return Some((notice, line.failures.max(BUSY)));
        }
        line.waiting.push_back((now, notice));
        self.hold(&name, 1);
        None
    }

    fn hold(&mut self, flow: &Arc<str>, by: isize) {
        self.held.add(flow, by);
        self.waiting = self.waiting.saturating_add_signed(by);
    }

    /// Those of which somebody is to say where they are, each once: before that nothing is sent to them.
    pub(super) fn unlocated(&mut self) -> Vec<(Receiver, Server)> {
        let unknown = self.known.iter_mut().filter(|(_, line)| matches!(line.at, Where::Unknown));
        let asked = unknown.filter_map(|(to, line)| {
            line.at = Where::Asked;
            Some((to.clone(), to.server.clone()?))
        });
        asked.collect()
    }

    /// On which machines a receiver is.
    pub(super) fn located(&mut self, to: &Receiver, machines: Vec<Arc<str>>) {
        if let Some(line) = self.known.get_mut(to)
            && line.machines().is_none()
        {
            line.at = Where::On(machines.into());
        }
    }

    /// One that is to be sent now.
    pub(super) fn next(&mut self) -> Option<(Receiver, Notice)> {
        // The client whose turn it is. Of its receivers the one with the fewest under way: those that take many take turns with
        // those that take few. Of those the one that has waited longest.
        let first = |(to, line): &(&Receiver, &Line)| {
            (self.clock.start(&to.flow), line.under_way, line.waiting.front().map(|(since, _)| *since))
        };
        let ready = self.known.iter().filter(|(to, line)| {
            let has_room = || line.machines().is_some_and(|machines| self.sent.has_room(&to.flow, machines));
            !line.waiting.is_empty() && line.has_place() && has_room()
        });
        let (to, _) = ready.min_by_key(first)?;
        let to = to.clone();
        let line = self.known.get_mut(&to)?;
        let (_, notice) = line.waiting.pop_front()?;
        line.under_way += 1;
        self.sent.count(&to.flow, line.machines().unwrap_or_default(), 1);
        // A place costs the same, whatever is sent.
        self.clock.turn(&line.flow, 0);
        self.hold(&to.flow, -1);
        Some((to, notice))
    }

    /// A try is over. When it was not answered, what waits for the same receiver is given.
    pub(super) fn over(&mut self, to: &Receiver, tried: Tried, now: Instant) -> Vec<PutOff> {
        let remembers = self.known.len() <= MOST_SILENT;
        let Some(line) = self.known.get_mut(to) else { return Vec::new() };
        self.sent.count(&to.flow, line.machines().unwrap_or_default(), -1);
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
        self.hold(&to.flow, -(given.len() as isize));
        given
    }

    /// Those that have waited too long.
    pub(super) fn late(&mut self, now: Instant) -> Vec<PutOff> {
        let mut late = Vec::new();
        for (to, line) in &mut self.known {
            let before = late.len();
            while line.waiting.front().is_some_and(|(since, _)| now.duration_since(*since) > PATIENCE) {
                late.extend(line.waiting.pop_front().map(|(_, notice)| (notice, line.failures.max(1))));
            }
            self.held.add(&to.flow, -((late.len() - before) as isize));
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

    fn server(host: &str) -> Option<Server> {
        HttpUrl::parse(&format!("http://{host}/hook")).unwrap().server()
    }

    /// A receiver of the one client that most of these tests have.
    fn to(host: &str) -> Receiver {
        Receiver { flow: "".into(), server: server(host) }
    }

    fn notice(id: usize) -> Notice {
        let (id, url, body) = (id.to_string(), String::new(), String::new());
        Notice { id, job: JobId::generate(), url, body, created_ms: 0, attempt: 1 }
    }

    /// Offers one, of a receiver that is where its name says.
    fn offer(receivers: &mut Receivers, host: &str, id: usize, now: Instant) -> Option<PutOff> {
        offer_of(receivers, "", host, id, now)
    }

    /// The same, of this client.
    fn offer_of(
        receivers: &mut Receivers,
        client: &str,
        host: &str,
        id: usize,
        now: Instant,
    ) -> Option<PutOff> {
        let back = receivers.offer(server(host), Flow::new(client, 1), notice(id), now);
        for (to, server) in receivers.unlocated() {
            receivers.located(&to, vec![Arc::clone(server.host())]);
        }
        back
    }

    fn sent(receivers: &mut Receivers) -> Vec<Receiver> {
        std::iter::from_fn(|| receivers.next()).map(|(to, _)| to).collect()
    }

    fn with(host: &str, count: usize) -> Receivers {
        let mut receivers = Receivers::default();
        for id in 0..count {
            assert!(offer(&mut receivers, host, id, Instant::now()).is_none());
        }
        receivers
    }

    #[test]
    fn a_client_of_many_receivers_that_hang_leaves_places_to_others() {
        let (mut receivers, now) = (Receivers::default(), Instant::now());
        for id in 0..2 * MOST {
            assert!(offer_of(&mut receivers, "many", &format!("{id}.example"), id, now).is_none());
        }
        assert_eq!(sent(&mut receivers).len(), MOST / 2);
        // Whoever comes finds some, and what waits of the first one's does not come before it.
        offer_of(&mut receivers, "few", "0.example", 0, now);
        offer_of(&mut receivers, "few", "other", 0, now);
        assert!(sent(&mut receivers).iter().all(|to| &*to.flow == "few"));
        assert_eq!((receivers.sent.flows.of("few"), receivers.sent.flows.of("many")), (2, MOST / 2));
    }

    #[test]
    fn clients_take_turns() {
        let (mut receivers, began) = (Receivers::default(), Instant::now());
        for id in 0..8 {
            offer_of(&mut receivers, "many", &format!("{id}.example"), id, began);
        }
        for id in 0..4 {
            let later = began + Duration::from_secs(1);
            offer_of(&mut receivers, "few", &format!("{id}.example"), id, later);
        }
        let sent = sent(&mut receivers);
        assert_eq!(sent[..8].iter().filter(|to| &*to.flow == "few").count(), 4, "{sent:?}");
    }

    #[test]
    fn a_receiver_that_two_name_is_one_for_each_and_its_machine_has_places_for_both() {
        let (mut receivers, now) = (Receivers::default(), Instant::now());
        for port in 1..100 {
            let later = now + Duration::from_millis(port as u64);
            offer_of(&mut receivers, "many", &format!("shared:{port}"), port, later);
        }
        assert_eq!(sent(&mut receivers).len(), MOST_EACH_MACHINE / 2);
        offer_of(&mut receivers, "few", "shared:1", 0, now);
        let to = sent(&mut receivers).remove(0);
        assert_eq!(&*to.flow, "few");
        // It does not answer the one, and is asked by the other all the same.
        (0..9).for_each(|id| drop(offer_of(&mut receivers, "few", "shared:1", id, now)));
        receivers.over(&Receiver { flow: "many".into(), ..to.clone() }, Tried::Unanswered, now);
        receivers.over(&to, Tried::Taken, now);
        assert!(sent(&mut receivers).iter().filter(|to| &*to.flow == "few").count() > 1);
    }

    #[test]
    fn a_client_has_half_of_what_waits_here_while_there_is_no_other() {
        let (mut receivers, now) = (Receivers::default(), Instant::now());
        let back = (0..2 * MOST_HELD)
            .filter(|id| offer_of(&mut receivers, "many", &format!("{id}.example"), *id, now).is_some());
        assert_eq!(back.count(), 2 * MOST_HELD - MOST_HELD / 2);
        assert!(offer_of(&mut receivers, "few", "other", 0, now).is_none());
        let room = receivers.room();
        assert_eq!((room.free, room.shared), (MOST_HELD / 2 - 1, true));
        assert_eq!((room.under_way["many"], room.under_way["few"]), (MOST_HELD / 2, 1));
        assert_eq!(receivers.late(now + 2 * PATIENCE).len(), MOST_HELD / 2 + 1);
        assert!(receivers.room().under_way.is_empty() && receivers.known.is_empty());
    }

    #[test]
    fn the_names_of_a_machine_together_have_no_more_than_one_has() {
        let (mut receivers, now) = (Receivers::default(), Instant::now());
        for id in 0..200 {
            receivers.offer(server(&format!("{id}.example")), Flow::default(), notice(id), now);
        }
        assert!(receivers.next().is_none(), "nobody knows yet where they are");
        let asked = receivers.unlocated();
        assert!(asked.len() == 200 && receivers.unlocated().is_empty(), "each is asked for once");
        asked.iter().for_each(|(to, _)| receivers.located(to, vec!["192.0.2.1".into()]));
        let sent = sent(&mut receivers);
        assert_eq!(sent.len(), MOST_EACH_MACHINE / 2);
        offer(&mut receivers, "other", 0, now);
        assert_eq!(receivers.next().unwrap().0, to("other"));
        receivers.over(&sent[0], Tried::Unanswered, now);
        assert!(receivers.next().is_some() && receivers.next().is_none());
    }

    #[test]
    fn of_those_with_as_many_under_way_the_one_that_has_waited_longest_is_next() {
        const ALONE: usize = MOST / 2;
        let (mut receivers, began) = (Receivers::default(), Instant::now());
        let name = |id: usize| format!("{id}.example");
        for id in 0..2 * ALONE {
            offer(&mut receivers, &name(id), id, began + Duration::from_millis(id as u64));
        }
        for id in 0..ALONE {
            assert_eq!(receivers.next().unwrap().1.id, id.to_string());
        }
        // Who has had a turn and wants another one is behind who has had none.
        for id in 0..ALONE {
            offer(&mut receivers, &name(id), 1000 + id, began + Duration::from_secs(1));
            receivers.over(&to(&name(id)), Tried::Taken, began);
            assert_eq!(receivers.next().unwrap().1.id, (ALONE + id).to_string());
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
        assert_eq!(receivers.room().free, MOST_HELD - MOST_WAITING - 1);
        let late = receivers.late(Instant::now() + PATIENCE * 2);
        assert_eq!((late.len(), receivers.room().free), (MOST_WAITING + 1, MOST_HELD));
    }

    #[test]
    fn nothing_is_kept_of_a_receiver_that_has_nothing_to_come() {
        let mut receivers = with("one", 1);
        let (to, _) = receivers.next().unwrap();
        receivers.over(&to, Tried::Taken, Instant::now());
        let Sent { all, flows, machines, each } = &receivers.sent;
        assert!(*all == 0 && flows.is_empty() && machines.is_empty() && each.is_empty());
        assert!(receivers.known.is_empty() && receivers.room().free == MOST_HELD);
    }

    #[test]
    fn a_host_with_many_ports_leaves_places_to_others() {
        let mut receivers = Receivers::default();
        for port in 1..100 {
            offer(&mut receivers, &format!("many:{port}"), port, Instant::now());
        }
        assert_eq!(sent(&mut receivers).len(), MOST_EACH_MACHINE / 2);
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
