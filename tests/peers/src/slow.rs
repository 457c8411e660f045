//! A server that takes its time, by HTTP: what it is asked for comes a byte at a time, late or never. To an FTP client it is
//! one that never says a word.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long it takes for each byte.
const A_BYTE: Duration = Duration::from_millis(50);

/// What it is slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It reads what it is sent, and never answers.
    Silent,
    /// Its answer's header comes a byte at a time.
    Header,
    /// Its answer's body does, after so many bytes of it that come at once.
    Body(usize),
    /// The same with all of it, and nothing says how long it is.
    Unmeasured,
    /// It takes what it is sent a byte at a time, and answers then.
    Taking,
}

/// A running server.
#[derive(Debug)]
pub struct Slow {
    /// Where it listens.
    pub address: SocketAddr,
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Slow {
    /// Starts one that answers everything with `body`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(pace: Pace, body: impl Into<Vec<u8>>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), pace, body).await
    }

    /// Starts one at this address of the machine.
    ///
    /// # Panics
    /// When no port can be had there.
    pub async fn start_at(address: IpAddr, pace: Pace, body: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, highest, body) = (Arc::clone(&open), Arc::clone(&most), Arc::new(body.into()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, body) = (Arc::clone(&counted), Arc::clone(&body));
                highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // A client that hangs up is what is hoped for.
                    let _ = serve(stream, pace, &body).await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, origin: format!("http://{address}"), open, most }
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The most connections that were open at once.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// The URL of a file of this name.
    pub fn file(&self, name: &str) -> String {
        format!("{}/files/{name}", self.origin)
    }
}

async fn serve(mut stream: TcpStream, pace: Pace, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    match pace {
        Pace::Silent => gone(&mut stream).await,
        Pace::Taking => loop {
            tokio::time::sleep(A_BYTE).await;
            if stream.read(&mut [0]).await? == 0 {
                return Ok(());
            }
        },
        Pace::Header => {
            let _request = stream.read(&mut [0; 4096]).await?;
            // One that never ends.
            let trickle =
                head.replace("connection", &format!("x-long: {}\r\nconnection", "x".repeat(10_000)));
            one_by_one(&mut stream, trickle.as_bytes()).await
        }
        Pace::Unmeasured => {
            let _request = stream.read(&mut [0; 4096]).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            one_by_one(&mut stream, body).await
        }
        Pace::Body(at_once) => {
            let _request = stream.read(&mut [0; 4096]).await?;
            stream.write_all(head.as_bytes()).await?;
            let (first, rest) = body.split_at(at_once.min(body.len()));
            stream.write_all(first).await?;
            one_by_one(&mut stream, rest).await
        }
    }
}

async fn one_by_one(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        tokio::select! {
            ended = stream.read_u8() => return ended.map(drop),
            () = tokio::time::sleep(A_BYTE) => {}
        }
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

async fn gone(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
