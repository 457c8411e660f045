//! A source that stops halfway: a job on it is accepted by its first bytes and cannot begin.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server of one file, whose second half it keeps back until it is told to go on.
pub(crate) struct Stall {
    pub(crate) url: String,
    go: watch::Sender<bool>,
}

impl Stall {
    /// `name`: with the extension that tells the format.
    pub(crate) async fn start(name: &str, bytes: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{name}", listener.local_addr().unwrap());
        let (go, going) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(give(stream, bytes.clone(), going.clone()));
            }
        });
        Self { url, go }
    }

    /// From now on it gives all.
    pub(crate) fn go_on(&self) {
        self.go.send_replace(true);
    }
}

async fn give(mut stream: TcpStream, bytes: Vec<u8>, mut going: watch::Receiver<bool>) -> Option<()> {
    // One read holds the whole request of such a client.
    let mut request = [0; 4096];
    let _length = stream.read(&mut request).await.ok()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    stream.write_all(first).await.ok()?;
    going.wait_for(|going| *going).await.ok()?;
    stream.write_all(second).await.ok()?;
    stream.shutdown().await.ok()
}
