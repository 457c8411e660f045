//! The client's end of a connection, as the connection and its handlers share it: the handlers can tell when it is gone.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::Shutdown;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::malformed::instead_of;

/// Over how long the rate is measured at which a client takes what is sent to it; one that is slower is left, and what is held
/// for it is free.
const WINDOW: Duration = Duration::from_secs(15);
/// So many bytes are handed to the system ahead of what it can send, at most: what a client has taken shows within these.
const AHEAD: u32 = 32 << 10;

/// A connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    stream: Arc<TcpStream>,
    /// Bytes a second that must be taken at least.
    rate: usize,
    taking: Taking,
    instead: Instead,
}

/// What is being written instead of hyper's own answer, and how much of it is; the connection's alone.
#[derive(Debug, Default)]
struct Instead(Option<(Vec<u8>, usize)>);

impl Clone for Instead {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// How fast the client takes an answer that it does not take at once; the connection's alone, none of its clones writes.
#[derive(Debug, Default)]
struct Taking(Option<Window>);

impl Clone for Taking {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[derive(Debug)]
struct Window {
    ends: Pin<Box<Sleep>>,
    taken: usize,
}

impl Taking {
    /// Whether the client has been too slow; else the task is woken when it will have been.
    fn is_too_slow(&mut self, context: &mut Context<'_>) -> bool {
        let begin = || Window { ends: Box::pin(tokio::time::sleep(WINDOW)), taken: 0 };
        self.0.get_or_insert_with(begin).ends.as_mut().poll(context).is_ready()
    }

    /// The client has taken so many bytes more.
    fn taken(&mut self, bytes: usize, rate: usize) {
        let Some(window) = &mut self.0 else { return };
        window.taken = window.taken.saturating_add(bytes);
        if window.taken as f64 >= rate as f64 * WINDOW.as_secs_f64() {
            self.0 = None;
        }
    }
}

impl Peer {
    /// The client's end of `stream`, which must take so many bytes a second of what is sent to it.
    pub(super) fn new(stream: TcpStream, rate: usize) -> Self {
        // Where the system does not know of it, a slow client is only found out later.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(AHEAD);
        Self { stream: Arc::new(stream), rate, taking: Taking::default(), instead: Instead::default() }
    }

    /// Whether there is what the client has sent and nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&*self.stream).is_ok_and(|bytes| bytes > 0)
    }

    /// Does the work for as long as the client is there; none when it has hung up. One that has only closed its sending
    /// side looks the same from here.
    pub(super) async fn while_there<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.gone() => None,
        }
    }

    /// Where the client is, as far as the system still knows.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.stream.peer_addr().ok().map(|address| address.ip())
    }

    /// Whether the client runs on this very machine, as far as the system knows.
    pub(super) fn is_this_machine(&self) -> bool {
        let (Ok(client), Ok(own)) = (self.stream.peer_addr(), self.stream.local_addr()) else { return false };
        client.ip().to_canonical().is_loopback() || client.ip() == own.ip()
    }

    fn poll_write_out(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_write_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending if self.taking.is_too_slow(context) => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.taking.taken(*written.as_ref().unwrap_or(&0), self.rate);
                    return Poll::Ready(written);
                }
            }
        }
    }

    async fn gone(&self) {
        // The one interest that is met by the client's end alone, and not by what it may have sent as well.
        if self.stream.ready(Interest::PRIORITY).await.is_err() {
            std::future::pending().await
        }
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let begun = self.instead.0.take();
        let Some((bytes, mut done)) = begun.or_else(|| Some((instead_of(slices)?, 0))) else {
            return self.poll_write_out(context, slices);
        };
        while done < bytes.len() {
            match self.poll_write_out(context, &[IoSlice::new(&bytes[done..])]) {
                Poll::Ready(written) => done += written?,
                Poll::Pending => {
                    self.instead.0 = Some((bytes, done));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // All that there was has been taken.
        self.taking.0 = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is shared, and tokio shuts down only one that is its caller's alone.
        Poll::Ready(rustix::net::shutdown(self.stream.as_fd(), Shutdown::Write).map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    const RATE: usize = 1024;

    async fn pair() -> (Peer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Peer::new(listener.accept().await.unwrap().0, RATE), theirs)
    }

    #[tokio::test]
    async fn what_nobody_has_read_is_seen() {
        let (mut peer, mut theirs) = pair().await;
        assert!(!peer.has_unread() && peer.is_this_machine());
        theirs.write_all(b"POST").await.unwrap();
        while !peer.has_unread() {
            tokio::task::yield_now().await;
        }
        peer.read_exact(&mut [0; 4]).await.unwrap();
        assert!(!peer.has_unread());
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_left() {
        let (mut peer, _theirs) = pair().await;
        let answer = vec![0; 64 << 20];
        // What fits into the system's buffers goes.
        assert!(tokio::time::timeout(Duration::from_millis(300), peer.write_all(&answer)).await.is_err());
        tokio::time::pause();
        let began = Instant::now();
        let error = peer.write_all(&answer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() <= WINDOW, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_an_answer_slowly_is_not_left() {
        let too_slow = async |taking: &mut Taking| {
            tokio::time::timeout(
                Duration::ZERO,
                std::future::poll_fn(|context| {
                    if taking.is_too_slow(context) { Poll::Ready(()) } else { Poll::Pending }
                }),
            )
            .await
            .is_ok()
        };
        let mut taking = Taking::default();
        for _ in 0..10 {
            assert!(!too_slow(&mut taking).await);
            tokio::time::advance(WINDOW - Duration::from_secs(1)).await;
            taking.taken(RATE * WINDOW.as_secs() as usize, RATE);
        }
        assert!(!too_slow(&mut taking).await);
        tokio::time::advance(WINDOW).await;
        taking.taken(RATE, RATE);
        assert!(too_slow(&mut taking).await, "a little of it is not enough");
    }
}
