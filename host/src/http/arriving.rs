//! A request's body on its way: it must come at a least rate, and what no handler wanted of it is read all the same before
//! the answer goes out, as a client that is still sending when the connection is closed never sees the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use imgserve_base::units::MIB;
use tokio::time::{Instant, Sleep};

use super::body::BodyLimit;

/// For how long the least rate is not asked for: a lost packet or two must not cost a request.
const GRACE: Duration = Duration::from_secs(10);
/// The most that is read of a body that nobody wants, in bytes: a client that sends images may be in the middle of a large one.
const MOST_DISCARDED: usize = 256 * MIB as usize;

/// The body came more slowly than it must.
#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly ([server] min_body_rate_kb_s = {})", .0 >> 10)]
pub(super) struct TooSlow(usize);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A body that handlers read.
#[derive(Debug)]
pub(super) struct Arriving<B> {
    /// Taken when it ends or is put back.
    body: Option<B>,
    unread: Arc<Unread<B>>,
    pace: Pace,
    asked: bool,
}

/// How fast it comes, while it is waited for: what the server takes its time with is not the client's.
#[derive(Debug)]
struct Pace {
    /// Bytes a second.
    least: usize,
    received: usize,
    /// For how long it has been waited for, and since when it is.
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(least: usize) -> Self {
        Self { least, received: 0, waited: Duration::ZERO, since: None, timer: None }
    }

    fn received(&mut self, bytes: usize) {
        self.received += bytes;
        self.waited += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// Whether it is too slow by now; else the task is woken when it will be.
    fn is_missed(&mut self, context: &mut Context<'_>) -> bool {
        let earned = Duration::from_secs_f64(self.received as f64 / self.least as f64);
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + (GRACE + earned).saturating_sub(self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

/// What a handler has left of a body.
#[derive(Debug)]
pub(super) struct Unread<B> {
    left: Mutex<Option<B>>,
    limit: BodyLimit,
    /// Whether the client waits to be asked for it (RFC 9110, section 10.1.1): then it has not sent it, and will not.
    expects: bool,
}

/// A request's body for a handler to read, and what will be left of it then.
pub(super) fn arriving<B: HttpBody>(
    body: B,
    headers: &HeaderMap,
    limit: BodyLimit,
) -> (Arriving<B>, Arc<Unread<B>>) {
    let expects = headers.contains_key(header::EXPECT);
    let unread = Arc::new(Unread { left: Mutex::new(None), limit, expects });
    let (body, pace) = (Some(body), Pace::new(limit.rate));
    (Arriving { body, unread: Arc::clone(&unread), pace, asked: false }, unread)
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Arriving<B>
where
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let this = &mut *self;
        this.asked = true;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pace.received(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(ended) => {
                this.body = None;
                Poll::Ready(ended.map(|error| error.map_err(Into::into)))
            }
            Poll::Pending if this.pace.is_missed(context) => {
                this.body = None;
                Poll::Ready(Some(Err(TooSlow(this.pace.least).into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map_or_else(|| http_body::SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        let unsent = self.unread.expects && !self.asked;
        if let Some(body) = self.body.take().filter(|_| !unsent) {
            *self.unread.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Unread<B> {
    /// Reads what is left, within the time that it has, and throws it away.
    pub(super) async fn read_on(&self) {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left.filter(|body| !body.is_end_stream()) else { return };
        let end = Instant::now() + self.limit.time.min(GRACE);
        let read = async {
            let mut more = MOST_DISCARDED;
            // Whether it comes to an end is the client's affair.
            while let Some(Ok(frame)) =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                more = more.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if more == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout_at(end, read).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderValue;

    use super::*;
    use crate::http::body;

    /// A body of pieces that come this many milliseconds apart; how many have been taken of it.
    struct Dripping {
        left: usize,
        piece: usize,
        every: Duration,
        timer: Option<Pin<Box<Sleep>>>,
        taken: Arc<Mutex<usize>>,
    }

    impl HttpBody for Dripping {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let every = self.every;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
            std::task::ready!(timer.as_mut().poll(context));
            self.timer = None;
            self.left -= 1;
            *self.taken.lock().unwrap() += 1;
            Poll::Ready(Some(Ok(http_body::Frame::data(vec![b'x'; self.piece].into()))))
        }
    }

    const LIMIT: BodyLimit = BodyLimit { bytes: 1 << 20, time: Duration::from_secs(300), rate: 1024 };

    fn dripping(left: usize, piece: usize, every_ms: u64) -> (Dripping, Arc<Mutex<usize>>) {
        let taken = Arc::new(Mutex::new(0));
        let every = Duration::from_millis(every_ms);
        (Dripping { left, piece, every, timer: None, taken: Arc::clone(&taken) }, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_and_one_that_is_slow_is_not() {
        let began = Instant::now();
        let (trickling, _) = dripping(1000, 1, 1000);
        let (arriving, _unread) = arriving(trickling, &HeaderMap::new(), LIMIT);
        let unread = body::read(Body::new(arriving), LIMIT).await.unwrap_err();
        assert!(unread.fault().text.contains("[server] min_body_rate_kb_s = 1"), "{unread:?}");
        assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        let (slow, _) = dripping(50, 2100, 2000);
        let (arriving, _unread) = super::arriving(slow, &HeaderMap::new(), LIMIT);
        assert_eq!(body::read(Body::new(arriving), LIMIT).await.unwrap().len(), 50 * 2100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_server_takes_is_not_the_clients() {
        let (body, taken) = dripping(4, 100, 100);
        let (mut arriving, unread) = arriving(body, &HeaderMap::new(), LIMIT);
        for _ in 0..3 {
            let next = std::future::poll_fn(|context| Pin::new(&mut arriving).poll_frame(context)).await;
            assert!(next.unwrap().is_ok());
            tokio::time::sleep(LIMIT.time).await;
        }
        drop(arriving);
        unread.read_on().await;
        assert_eq!(*taken.lock().unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_read_is_read_before_the_answer() {
        for wanted in [0, 3] {
            let (body, taken) = dripping(10, 100, 1);
            let (mut arriving, unread) = arriving(body, &HeaderMap::new(), LIMIT);
            for _ in 0..wanted {
                let next = std::future::poll_fn(|context| Pin::new(&mut arriving).poll_frame(context)).await;
                assert!(next.unwrap().is_ok());
            }
            drop(arriving);
            unread.read_on().await;
            assert_eq!(*taken.lock().unwrap(), 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_has_not_been_asked_for_is_not_waited_for() {
        let expecting = HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static("100-continue"))]);
        let (body, taken) = dripping(10, 100, 1);
        let (arriving, unread) = arriving(body, &expecting, LIMIT);
        drop(arriving);
        unread.read_on().await;
        assert_eq!(*taken.lock().unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_body_is_not_read_for_ever() {
        let (body, taken) = dripping(usize::MAX, 1 << 20, 1);
        let (arriving, unread) = arriving(body, &HeaderMap::new(), LIMIT);
        drop(arriving);
        unread.read_on().await;
        assert_eq!(*taken.lock().unwrap(), MOST_DISCARDED >> 20);
        let (body, _) = dripping(usize::MAX, 1, 1000);
        let (arriving, unread) = super::arriving(body, &HeaderMap::new(), LIMIT);
        drop(arriving);
        let began = Instant::now();
        unread.read_on().await;
        assert_eq!(began.elapsed(), GRACE);
    }
}
