//! Clients that ask one server for pictures, and what it took meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::memory::{self, Memory};

/// Longer than any picture takes here; who does not answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_SAMPLES: Duration = Duration::from_millis(200);

/// One connection that is kept, as browsers and proxies keep theirs.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// One that connects when it is first used.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// The body of what `path` answers with 200.
    ///
    /// # Errors
    /// Any other status and its text, no answer in time, a broken connection; the next request makes a new one.
    pub async fn get(&mut self, path: &str) -> Result<Bytes, String> {
        self.ask(path, Request::get(path).body(Full::default())).await
    }

    /// What a job that is posted to `path` has come to: the answer is waited for until it has ended.
    ///
    /// # Errors
    /// As [`get`](Self::get)'s.
    pub async fn post(&mut self, path: &str, job: &str) -> Result<Bytes, String> {
        let wait = format!("wait={}", PATIENCE.as_secs());
        let body = Full::new(Bytes::copy_from_slice(job.as_bytes()));
        self.ask(path, Request::post(path).header("prefer", wait).body(body)).await
    }

    async fn ask(
        &mut self,
        path: &str,
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<Bytes, String> {
        let request = request.map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(PATIENCE, self.exchange(path, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, path: &str, mut request: Request<Full<Bytes>>) -> Result<Bytes, String> {
        let host = HeaderValue::from_str(&self.address.to_string()).map_err(|error| error.to_string())?;
        let connection = match &mut self.connection {
            Some(connection) if !connection.is_closed() => connection,
            connection => connection.insert(connect(self.address).await?),
        };
        request.headers_mut().insert(header::HOST, host);
        connection.ready().await.map_err(|error| error.to_string())?;
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What a server did in one round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Pictures for each second.
    pub rate: f64,
    /// What a client has waited for a picture: each time, in milliseconds.
    pub waits: Vec<f64>,
    /// Milliseconds of all its processes' time for each picture.
    pub cpu_ms: f64,
    /// The processors' time that was neither the server's nor the clients', for each second: from 0.1 on the round is worth
    /// little.
    pub others: f64,
    /// The most memory of all its processes together.
    pub peak: Memory,
    /// Requests that were not answered with a picture.
    pub errors: usize,
    /// What the first of them was answered with.
    pub complaint: Option<String>,
}

/// `clients` at once ask the server at `address` for what `path` says for each number from `first` on, for so long; gives
/// the number that comes next too.
pub async fn round(
    (address, process): (SocketAddr, u32),
    path: &dyn Fn(usize) -> String,
    first: usize,
    (clients, time): (usize, Duration),
) -> (Round, usize) {
    let (began, before) = (Instant::now(), Processors::now(process));
    let (mut next, mut round) = (first, Round::default());
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(ask(Client::new(address), path(next)));
        next += 1;
    }
    let mut samples = tokio::time::interval(BETWEEN_SAMPLES);
    loop {
        tokio::select! {
            _ = samples.tick() => round.peak = round.peak.max(memory::of(process)),
            done = running.join_next() => match done {
                Some(Ok((client, answer))) => {
                    match answer {
                        Ok(wait) => round.waits.push(wait.as_secs_f64() * 1e3),
                        Err(complaint) => {
                            round.errors += 1;
                            round.complaint.get_or_insert(complaint);
                        }
                    }
                    if began.elapsed() < time {
                        running.spawn(ask(client, path(next)));
                        next += 1;
                    }
                }
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                None => break,
            }
        }
    }
    let (took, spent) = (began.elapsed().as_secs_f64(), Processors::now(process).since(&before));
    let answered = round.waits.len() as f64;
    round.rate = answered / took;
    round.cpu_ms = spent.server.as_secs_f64() * 1e3 / answered;
    round.others = spent.others().as_secs_f64() / took;
    (round, next)
}

/// Processors' time until now: the server's, the clients', everyone's.
struct Processors {
    server: Duration,
    clients: Duration,
    all: Duration,
}

impl Processors {
    fn now(server: u32) -> Self {
        let clients = memory::cpu_time_of_one(std::process::id());
        Self { server: memory::cpu_time(server), clients, all: memory::busy_time() }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            clients: self.clients.saturating_sub(before.clients),
            all: self.all.saturating_sub(before.all),
        }
    }

    fn others(&self) -> Duration {
        self.all.saturating_sub(self.server + self.clients)
    }
}

async fn ask(mut client: Client, path: String) -> (Client, Result<Duration, String>) {
    let began = Instant::now();
    let answer = client.get(&path).await.map(|_| began.elapsed());
    (client, answer)
}
