//! A wire between a client and a server: it can be cut, also in the middle of a message, and tells how often something was asked.
//! Threads of its own carry it, whatever runtime its user has.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A wire to a port of loopback. It carries what it has begun to for as long as both ends do.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    strands: Arc<Strands>,
}

/// Its connections, and what is counted of them.
#[derive(Debug, Default)]
struct Strands {
    all: Mutex<Vec<Arc<Strand>>>,
    cut: AtomicU64,
    trips: AtomicU64,
    is_over: AtomicBool,
}

/// One connection.
#[derive(Debug)]
struct Strand {
    ends: [TcpStream; 2],
    fate: AtomicU8,
    /// Whether the server has said something since the client did.
    answered: AtomicBool,
}

/// What becomes of a connection.
const HOLDS: u8 = 0;
/// Half of the next message goes through.
const TEARS: u8 = 1;
const IS_CUT: u8 = 2;

impl Wire {
    /// One to this port.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let strands = Arc::<Strands>::default();
        let known = Arc::clone(&strands);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if known.is_over.load(Ordering::Acquire) {
                    return;
                }
                // Where the server is away the client is, too.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    known.begin(client, server);
                }
            }
        });
        Self { port, strands }
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts some connections: `chooses` says which, and of those which in the middle of the next message.
    pub fn cut(&self, mut chooses: impl FnMut() -> Option<bool>) {
        let mut all = self.strands.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|strand| strand.fate.load(Ordering::Acquire) != IS_CUT);
        for strand in all.iter() {
            match chooses() {
                Some(true) => {
                    // It may be cut meanwhile.
                    let _ = strand.fate.compare_exchange(HOLDS, TEARS, Ordering::AcqRel, Ordering::Acquire);
                }
                Some(false) => self.strands.ends(strand),
                None => {}
            }
        }
    }

    /// How many connections it has cut.
    pub fn cuts(&self) -> u64 {
        self.strands.cut.load(Ordering::Acquire)
    }

    /// How often clients have said something after the server had: round trips, as far as they wait for answers.
    pub fn trips(&self) -> u64 {
        self.strands.trips.load(Ordering::Acquire)
    }
}

impl Strands {
    fn begin(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let copies = (client.try_clone(), server.try_clone());
        let (Ok(from_client), Ok(from_server)) = copies else { return };
        // What is said goes on at once, as without it.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let strand = Arc::new(Strand {
            ends: [client, server],
            fate: AtomicU8::new(HOLDS),
            answered: AtomicBool::new(true),
        });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&strand));
        for (from, to) in [(from_client, 1), (from_server, 0)] {
            let (strands, strand) = (Arc::clone(self), Arc::clone(&strand));
            std::thread::spawn(move || strands.carry(from, to, &strand));
        }
    }

    /// Carries one direction until either end has enough.
    fn carry(&self, mut from: TcpStream, to: usize, strand: &Strand) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            match to {
                1 if strand.answered.swap(false, Ordering::AcqRel) => {
                    self.trips.fetch_add(1, Ordering::AcqRel);
                }
                1 => {}
                _ => strand.answered.store(true, Ordering::Release),
            }
            let tears = strand.fate.load(Ordering::Acquire) == TEARS;
            let part = if tears { read / 2 } else { read };
            if (&strand.ends[to]).write_all(&bytes[..part]).is_err() {
                break;
            }
            if tears {
                self.ends(strand);
            }
        }
        for end in &strand.ends {
            // It may have ended by itself.
            let _ = end.shutdown(Shutdown::Both);
        }
        strand.fate.store(IS_CUT, Ordering::Release);
    }

    /// Cuts it, unless that is done.
    fn ends(&self, strand: &Strand) {
        if strand.fate.swap(IS_CUT, Ordering::AcqRel) != IS_CUT {
            self.cut.fetch_add(1, Ordering::AcqRel);
            for end in &strand.ends {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.strands.is_over.store(true, Ordering::Release);
        self.cut(|| Some(false));
        // It waits for somebody to connect.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
