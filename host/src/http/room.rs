//! Places for connections: `[server] max_connections` of them. When none is free, the client that has been waited for
//! longest gives its place to the one that comes; the more are taken, the shorter is what is waited for headers. One address
//! has a share: it may have more while as many again are left to others, and past that only its own make room for it.

mod taken;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::taken::{Found, Of, Taken};
use super::line::{Line, Patience};

/// Shortest time for headers, where the configuration has no shorter one.
const LEAST: Duration = Duration::from_secs(1);
/// What is left of the times when all places are taken.
const LEAST_SHARE: f64 = 0.1;
/// For how long a client is waited for before its place can go to another: what it sends may be under way.
pub(super) const UNDER_WAY: Duration = Duration::from_millis(50);
/// How often it is looked at most for who has been waited for too long.
const SWEEP: Duration = Duration::from_millis(100);

/// Places, and who has them.
#[derive(Debug)]
pub(super) struct Room {
    places: usize,
    patience: Patience,
    taken: Mutex<Taken>,
    freed: Notify,
}

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    pub(super) line: Arc<Line>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// The client's address has its share already, or more.
    pub(super) for_address: bool,
    /// When the place of one who is waited for can be had, if its request has not come by then.
    pub(super) soon: Option<Instant>,
}

impl Room {
    pub(super) fn new(places: usize, share: usize, patience: Patience) -> Arc<Self> {
        let taken = Mutex::new(Taken::new(share.min(places)));
        Arc::new(Self { places, patience, taken, freed: Notify::new() })
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // What it holds is whole between any two statements.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client, if one is free or another's client has been waited for.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn place(self: &Arc<Self>, client: IpAddr) -> Result<Place, Full> {
        let (address, now) = (whose(client), Instant::now());
        let mut taken = self.taken();
        // Where the share is all there is, nothing is left to others.
        let for_address = taken.share() < self.places && taken.has_share(address);
        let left = self.places.saturating_sub(taken.len());
        let fits = if for_address { left > taken.share() } else { left > 0 };
        if !fits {
            let found = match for_address {
                true => taken.close_longest(Of::Address(address), now),
                false => taken.close_longest(Of::Greedy, now).or_else(|| taken.close_longest(Of::All, now)),
            };
            match found {
                Found::Closed => {}
                Found::Soon(at) => return Err(Full { for_address, soon: Some(at) }),
                Found::Nobody => return Err(Full { for_address, soon: None }),
            }
        }
        self.sweep(&mut taken, now);
        let line = Line::new();
        let number = taken.insert(Arc::clone(&line), address, now);
        drop(taken);
        Ok(Place { room: Arc::clone(self), number, line })
    }

    /// Closes a connection that waits, to have its file descriptor.
    pub(super) fn make_room(&self) {
        self.taken().close_longest(Of::All, Instant::now());
    }

    /// Resolves when a place has become free.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// How long clients are waited for while so many places are taken.
    fn patience(&self, taken: usize) -> Patience {
        let filled = taken as f64 / self.places as f64;
        let left = (1.0 - (filled - 0.5).max(0.0) * 2.0 * (1.0 - LEAST_SHARE)).max(LEAST_SHARE);
        let shorter = |time: Duration| time.mul_f64(left).max(LEAST.min(time));
        Patience { header: shorter(self.patience.header), idle: shorter(self.patience.idle) }
    }

    /// Closes those that have been waited for longer than so full a room allows. At the full times connections end by
    /// themselves.
    fn sweep(&self, taken: &mut Taken, now: Instant) {
        if taken.len() * 2 >= self.places {
            taken.close_late(self.patience(taken.len()), now);
        }
    }
}

impl Place {
    /// Resolves when the connection is to end: others need its place, or its client has had its time.
    pub(super) async fn over(&self) {
        let patience = self.room.patience;
        let shortest = patience.header.min(patience.idle);
        loop {
            // Whatever the connection goes on to wait for, it is waited for as long as this at least.
            let next = Instant::now() + shortest;
            let deadline = self.line.deadline(patience).map_or(next, |deadline| deadline.min(next));
            tokio::select! {
                () = self.line.closed() => return,
                () = tokio::time::sleep_until(deadline) => {
                    let late = self.line.deadline(patience).is_some_and(|deadline| deadline <= Instant::now());
                    if late && self.line.close() {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken().remove(self.number);
        self.room.freed.notify_one();
    }
}

/// Whose connections are counted together: one IPv4 address, or one network of IPv6, of which anyone has 2⁶⁴ addresses.
fn whose(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::peer::Peer;
    use super::*;

    const FOR_ALL: Full = Full { for_address: false, soon: None };
    const PATIENCE: Patience = Patience { header: Duration::from_secs(30), idle: Duration::from_secs(60) };

    fn client(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    /// Whether a connection has been asked to end.
    async fn is_over(place: &Place) -> bool {
        tokio::select! {
            biased;
            () = place.over() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_full_room_the_longest_waiting_makes_room_and_the_served_stay() {
        let room = Room::new(3, 3, PATIENCE);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(room.place(client(1)).unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let served = places[0].line.request().unwrap();
        let _fourth = room.place(client(2)).unwrap();
        assert!(is_over(&places[1]).await, "it has waited longest");
        tokio::time::advance(UNDER_WAY).await;
        assert!(!is_over(&places[0]).await && !is_over(&places[2]).await);
        drop(served);
        places[0].line.flushed();
        let _fifth = room.place(client(2)).unwrap();
        assert!(is_over(&places[2]).await, "the one that was served has waited less");
        let _serving: Vec<_> =
            [&places[0].line, &_fourth.line, &_fifth.line].map(|line| line.request().unwrap()).into();
        assert_eq!(room.place(client(3)).err(), Some(FOR_ALL), "all are being served");
        drop(places.remove(0));
        assert!(room.place(client(3)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_go_is_not_served_and_who_is_served_stays() {
        let room = Room::new(1, 1, PATIENCE);
        let first = room.place(client(1)).unwrap();
        tokio::time::advance(UNDER_WAY).await;
        let second = room.place(client(2)).unwrap();
        assert!(first.line.request().is_none() && is_over(&first).await);
        let request = second.line.request().unwrap();
        assert_eq!(room.place(client(3)).err(), Some(FOR_ALL));
        assert!(!is_over(&second).await && room.taken().len() == 1);
        drop(request);
        drop(first);
        drop(second);
        assert!(room.taken().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_only_just_come_has_a_moment_for_its_request() {
        let room = Room::new(1, 1, PATIENCE);
        let first = room.place(client(1)).unwrap();
        let full = room.place(client(2)).unwrap_err();
        assert_eq!(full.soon, Some(Instant::now() + UNDER_WAY));
        tokio::time::advance(UNDER_WAY).await;
        assert!(room.place(client(2)).is_ok() && is_over(&first).await);
        // Whose request is under way has the moment from its beginning.
        let second = Room::new(1, 1, PATIENCE).place(client(2)).unwrap();
        tokio::time::advance(UNDER_WAY).await;
        second.line.heard();
        assert!(second.room.place(client(3)).is_err());
        tokio::time::advance(UNDER_WAY).await;
        second.line.heard();
        assert!(second.room.place(client(3)).is_ok() && is_over(&second).await);
    }

    #[tokio::test]
    async fn who_has_sent_what_nobody_has_read_yet_does_not_go() {
        let (room, listener) = (Room::new(2, 2, PATIENCE), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut connections = Vec::new();
        for _ in 0..2 {
            let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (ours, place) = (listener.accept().await.unwrap().0, room.place(client(1)).unwrap());
            place.line.of(Peer::new(ours, 1));
            connections.push((theirs, place));
        }
        connections[0].0.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while !connections[0].1.line.has_unread() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(UNDER_WAY * 2).await;
        assert!(room.place(client(2)).is_ok());
        assert!(!is_over(&connections[0].1).await, "it has waited longest, but not for its client");
        assert!(is_over(&connections[1].1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_connection_is_idle_no_longer_than_it_may_be() {
        let patience = Patience { header: Duration::from_secs(60), idle: Duration::from_secs(2) };
        let place = Room::new(1, 1, patience).place(client(1)).unwrap();
        let began = Instant::now();
        let answered = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(place.line.request().unwrap());
            place.line.flushed();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = place.over() => {}
            () = answered => {}
        }
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_leaves_a_share_to_others() {
        let room = Room::new(12, 3, PATIENCE);
        let mut serving = Vec::new();
        let mut serve = |number: u8| {
            let place = room.place(client(number))?;
            serving.push((place.line.request().unwrap(), place));
            Ok::<_, Full>(())
        };
        let of_address = Err(Full { for_address: true, soon: None });
        let greedy = (0..12).filter(|_| serve(1).is_ok()).count();
        assert_eq!(greedy, 9, "a share is left to others");
        assert_eq!(serve(1), of_address);
        assert!((0..3).all(|_| serve(2).is_ok()), "others get their share");
        assert_eq!([serve(1), serve(2), serve(3)], [of_address, of_address, Err(FOR_ALL)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_the_room_makes_its_own_go() {
        let room = Room::new(8, 2, PATIENCE);
        let patient = room.place(client(2)).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut flood = Vec::new();
        for _ in 0..50 {
            flood.push(room.place(client(1)).unwrap());
            tokio::time::advance(UNDER_WAY).await;
        }
        assert!(!is_over(&patient).await, "another address is not touched");
        let mut open = 0;
        for place in &flood {
            open += usize::from(!is_over(place).await);
        }
        assert_eq!(open, 5);
        let newcomers: Vec<Place> = (3..8).map(|number| room.place(client(number)).unwrap()).collect();
        assert!(!is_over(&patient).await, "those who have more than their share go first");
        drop(newcomers);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fuller_the_room_the_shorter_it_waits() {
        let room = Room::new(10, 10, PATIENCE);
        let seconds = |taken| room.patience(taken).header.as_secs();
        assert_eq!([0, 5, 10, 11].map(seconds), [30, 30, 3, 3]);
        assert!((4..30).contains(&seconds(8)), "{}", seconds(8));
        let early = room.place(client(1)).unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let _others: Vec<Place> = (0..8).map(|_| room.place(client(2)).unwrap()).collect();
        tokio::time::advance(SWEEP).await;
        let _last = room.place(client(2)).unwrap();
        assert!(is_over(&early).await);
        let room = Room::new(10, 10, PATIENCE);
        let alone = room.place(client(1)).unwrap();
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!is_over(&alone).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(is_over(&alone).await);
    }

    #[test]
    fn addresses_that_one_client_has_are_one() {
        let whose = |text: &str| whose(text.parse().unwrap()).to_string();
        assert_eq!(whose("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(whose("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(whose("10.0.0.1"), "10.0.0.1");
    }
}
