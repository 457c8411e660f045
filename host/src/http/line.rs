//! What a connection is doing, as far as the room it has a place in must know: whether its client is waited for, since when,
//! and for how long it may be. A request that is being answered is never cut short from here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::peer::Peer;

/// How long a client may be waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the whole of a request's headers: the first one's from the connection's beginning.
    pub(super) header: Duration,
    /// For the first byte of a further request.
    pub(super) idle: Duration,
}

/// Instead of a time: the client is not waited for.
const SERVED: u64 = u64::MAX;
/// Instead of a time: the connection is being closed, and serves nothing any more.
const CLOSED: u64 = u64::MAX - 1;
/// Instead of a time: nothing has come yet.
const NOTHING: u64 = u64::MAX;

/// A connection. Times are in microseconds since it began.
#[derive(Debug)]
pub(super) struct Line {
    began: Instant,
    /// Since when a request's headers are waited for.
    since: AtomicU64,
    /// When their first byte came.
    begun: AtomicU64,
    /// Whether a request has been answered before.
    again: AtomicBool,
    /// Whether the answer is complete, and the client has only to take what is left of it.
    complete: AtomicBool,
    /// Its other end, where bytes may lie that nobody has read yet.
    peer: OnceLock<Peer>,
    closed: Notify,
}

impl Line {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            since: AtomicU64::new(0),
            begun: AtomicU64::new(NOTHING),
            again: AtomicBool::new(false),
            complete: AtomicBool::new(false),
            peer: OnceLock::new(),
            closed: Notify::new(),
        })
    }

    /// Says whose connection it is.
    pub(super) fn of(&self, peer: Peer) {
        let _ = self.peer.set(peer);
    }

    /// Whether the client has sent what nobody has read yet: it is not the one who is waited for.
    pub(super) fn has_unread(&self) -> bool {
        self.peer.get().is_some_and(Peer::has_unread)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// All that was to be sent is: where that was the end of an answer, the next request is waited for.
    pub(super) fn flushed(&self) {
        if self.complete.swap(false, Relaxed) {
            self.begun.store(NOTHING, Relaxed);
            self.again.store(true, Relaxed);
            self.since.store(self.now(), Relaxed);
        }
    }

    /// Some of a request has come.
    pub(super) fn heard(&self) {
        if self.begun.load(Relaxed) == NOTHING {
            self.begun.store(self.now(), Relaxed);
        }
    }

    fn at(&self, time: u64) -> Instant {
        self.began + Duration::from_micros(time)
    }

    /// Since when the client is waited for, if it is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed);
        (since < CLOSED).then(|| self.at(since))
    }

    /// The same, or since when its request is under way.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let since = self.waiting_since()?;
        match self.begun.load(Relaxed) {
            NOTHING => Some(since),
            begun => Some(since.max(self.at(begun))),
        }
    }

    /// Until when it is waited for, if it is.
    pub(super) fn deadline(&self, patience: Patience) -> Option<Instant> {
        let since = self.waiting_since()?;
        Some(match (self.again.load(Relaxed), self.begun.load(Relaxed)) {
            (false, _) => since + patience.header,
            (true, NOTHING) => since + patience.idle,
            (true, begun) => self.at(begun) + patience.header,
        })
    }

    /// Closes the connection, unless a request has come in the meantime or an answer is still being taken: whether it does.
    pub(super) fn close(&self) -> bool {
        let since = self.since.load(Relaxed);
        // Whichever of the two comes first, a close or a request, decides: no connection is both closed and served.
        let closes = since < CLOSED && self.since.compare_exchange(since, CLOSED, Relaxed, Relaxed).is_ok();
        if closes {
            self.closed.notify_one();
        }
        closes
    }

    /// Resolves when the connection is closed.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// A request begins; when its answer has been sent to the last byte, it ends. None on a connection that is being closed.
    pub(super) fn request(self: &Arc<Self>) -> Option<Request> {
        // It may be here before the answer to the one before it has been taken.
        self.complete.store(false, Relaxed);
        let serve = |since| (since != CLOSED).then_some(SERVED);
        self.since.fetch_update(Relaxed, Relaxed, serve).ok()?;
        Some(Request(Arc::clone(self)))
    }
}

/// A request that is being answered.
pub(super) struct Request(Arc<Line>);

impl Request {
    /// The answer, which ends the request.
    pub(super) fn answer<B>(self, body: B) -> Answer<B> {
        Answer { body, _request: self }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.complete.store(true, Relaxed);
    }
}

/// An answer's body, dropped when all of it has been handed over to be sent, or will not be.
pub(super) struct Answer<B> {
    body: B,
    _request: Request,
}

impl<B: HttpBody + Unpin> HttpBody for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection's bytes, of which its line is told.
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) stream: T,
    pub(super) line: Arc<Line>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.line.heard();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // hyper flushes when it has written all it had.
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.line.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { header: Duration::from_secs(30), idle: Duration::from_secs(5) };

    /// Seconds from now until when the client is waited for.
    fn left(line: &Line) -> Option<u64> {
        line.deadline(PATIENCE).map(|deadline| (deadline - Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_header_an_idle_time_and_a_further_header_have_times_of_their_own() {
        let line = Line::new();
        assert_eq!(left(&line), Some(30));
        tokio::time::advance(Duration::from_secs(10)).await;
        line.heard();
        assert_eq!(left(&line), Some(20), "what trickles in gives no more time");
        assert_eq!(line.quiet_since().unwrap().elapsed(), Duration::ZERO);
        let request = line.request().unwrap();
        assert_eq!(left(&line), None, "it is being served");
        assert!(!line.close(), "it is being served");
        tokio::time::advance(Duration::from_secs(100)).await;
        drop(request.answer(axum::body::Body::empty()));
        line.flushed();
        assert_eq!(left(&line), Some(5));
        tokio::time::advance(Duration::from_secs(3)).await;
        line.heard();
        tokio::time::advance(Duration::from_secs(1)).await;
        line.heard();
        assert_eq!(left(&line), Some(29));
        assert_eq!(line.waiting_since().unwrap().elapsed(), Duration::from_secs(4));
    }

    #[tokio::test]
    async fn a_connection_is_closed_or_served_and_never_both() {
        let line = Line::new();
        let request = line.request().unwrap();
        assert!(!line.close());
        drop(request);
        assert!(!line.close(), "what is left of the answer is still to be sent");
        line.flushed();
        assert!(line.close() && line.request().is_none() && !line.close());
        line.closed().await;
        assert!(line.waiting_since().is_none());
    }

    #[tokio::test]
    async fn an_answer_is_over_when_the_client_has_all_of_it() {
        let line = Line::new();
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut watched = Watched { stream: ours, line: Arc::clone(&line) };
        drop(line.request().unwrap().answer(axum::body::Body::empty()));
        assert!(line.waiting_since().is_none(), "nothing of it has been sent");
        tokio::io::AsyncWriteExt::write_all(&mut watched, b"1234").await.unwrap();
        assert!(line.waiting_since().is_none() && !line.close(), "part of it has");
        let write = tokio::io::AsyncWriteExt::write_all(&mut watched, b"5");
        assert!(tokio::time::timeout(Duration::from_millis(10), write).await.is_err());
        assert!(line.waiting_since().is_none() && !line.close(), "the client takes no more");
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 4]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut watched, b"5").await.unwrap();
        assert!(line.waiting_since().is_none());
        tokio::io::AsyncWriteExt::flush(&mut watched).await.unwrap();
        assert!(line.waiting_since().is_some());
    }

    #[tokio::test]
    async fn a_further_request_that_comes_before_an_answer_was_taken_is_served() {
        let line = Line::new();
        drop(line.request().unwrap());
        let further = line.request().unwrap();
        line.flushed();
        assert!(line.waiting_since().is_none());
        drop(further);
        line.flushed();
        assert!(line.waiting_since().is_some());
    }
}
