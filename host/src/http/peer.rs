//! The client's end of a connection, as the connection and its handlers share it: the handlers can tell when it is gone.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::malformed::instead_of;

/// How long a client may take nothing of what is sent to it; then the connection is closed, and what it holds is free.
const STALL: Duration = Duration::from_secs(60);

/// A connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<TcpStream>, Stalled, Instead);

/// What is being written instead of hyper's own answer, and how much of it is; the connection's alone.
#[derive(Debug, Default)]
struct Instead(Option<(Vec<u8>, usize)>);

impl Clone for Instead {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Since when nothing could be written; the connection's alone, none of its clones writes.
#[derive(Debug, Default)]
struct Stalled(Option<Pin<Box<Sleep>>>);

impl Clone for Stalled {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Stalled {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL))).as_mut().poll(context).is_ready()
    }
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream), Stalled::default(), Instead::default())
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
        self.0.peer_addr().ok().map(|address| address.ip())
    }

    fn poll_write_out(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.poll_write_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending if self.1.is_over(context) => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.1.0 = None;
                    return Poll::Ready(written);
                }
            }
        }
    }

    async fn gone(&self) {
        // The one interest that is met by the client's end alone, and not by what it may have sent as well.
        if self.0.ready(Interest::PRIORITY).await.is_err() {
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
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read_buf(buffer) {
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
        let begun = self.2.0.take();
        let Some((bytes, mut done)) = begun.or_else(|| Some((instead_of(slices)?, 0))) else {
            return self.poll_write_out(context, slices);
        };
        while done < bytes.len() {
            match self.poll_write_out(context, &[IoSlice::new(&bytes[done..])]) {
                Poll::Ready(written) => done += written?,
                Poll::Pending => {
                    self.2.0 = Some((bytes, done));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is shared, and tokio shuts down only one that is its caller's alone.
        Poll::Ready(rustix::net::shutdown(self.0.as_fd(), Shutdown::Write).map_err(Into::into))
    }
}
