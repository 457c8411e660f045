//! Transfers against real servers on loopback: what they share. Nothing here sleeps; servers hold still on purpose
//! and events tell when.

mod coding;
mod form;
mod ftp;
mod ftp_odd;
mod http;
mod ports;
mod slow;
mod tls;

use imgserve_base::lease::Lease;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::mark::random_name;
use super::{Fetch, PartMark, SourceUrl, Stored, Transfer, TransferConfig, TransferError, What};

/// Loopback opened, and limits that no healthy test comes near.
pub(crate) fn config() -> TransferConfig {
    TransferConfig {
        allow_networks: vec!["127.0.0.0/8".parse::<ipnet::IpNet>().unwrap().into()],
        file_roots: Vec::new(),
        connect_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(60),
        min_rate: 1,
        min_rate_window: Duration::from_secs(30),
        max_source_bytes: 1 << 20,
        user_agent: "imgserve/test".to_owned(),
        extra_ca_pem: Vec::new(),
        max_redirects: 5,
        idle_per_server: 4,
        stores: Vec::new(),
    }
}

/// The same, for tests whose server stays silent.
fn impatient() -> Transfer {
    let short = Duration::from_millis(500);
    Transfer::new(TransferConfig { connect_timeout: short, idle_timeout: short, ..config() }).unwrap()
}

fn transfer() -> Transfer {
    Transfer::new(config()).unwrap()
}

/// One that no other store has.
pub(crate) fn mark() -> PartMark {
    PartMark { own: random_name(), stale: Vec::new(), lease: Lease::endless() }
}

/// A result with these bytes, for a form with this field.
pub(crate) fn stored(body: impl Into<Bytes>, form_field: Option<&'static str>) -> Stored<'static> {
    Stored { what: What::Result, body: body.into(), media_type: "image/png", headers: &[], form_field }
}

/// A source that is one.
pub(crate) fn source(url: impl AsRef<str>) -> SourceUrl {
    SourceUrl::parse(url.as_ref()).unwrap()
}

/// Fetches all of a source.
pub(crate) async fn fetch(transfer: &Transfer, url: &str) -> Result<Vec<u8>, TransferError> {
    read(transfer.fetch(&SourceUrl::parse(url)?).await?).await
}

async fn read(mut fetch: Fetch) -> Result<Vec<u8>, TransferError> {
    let mut all = Vec::new();
    while let Some(chunk) = fetch.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Serves a router until the test ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Answers one request with these bytes, whatever it is, and then keeps the connection open; the task ends when the
/// client closes it.
async fn raw(response: &'static str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_head(&mut peer).await;
        peer.write_all(response.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ended = peer.read_to_end(&mut rest).await;
    });
    (address, served)
}

/// Reads a request up to its empty line.
async fn read_head(peer: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
