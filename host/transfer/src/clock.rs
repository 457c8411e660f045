//! The time of a transfer: the timeouts of its steps (connect, idle, total), and the lowest rate at which its bytes may come
//! and go. Every wait on the network goes through a [`Clock`].

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::config::{KEY_CONNECT_TIMEOUT, KEY_IDLE_TIMEOUT, KEY_MIN_RATE, KEY_TOTAL_TIMEOUT, TransferConfig};
use super::error::{TransferError, TransferErrorKind};

/// Runs from the start of a transfer to its end. Clones are the same clock.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    connect: Duration,
    idle: Duration,
    total: Duration,
    rate: Rate,
    deadline: Instant,
    spent: Arc<Mutex<Spent>>,
}

/// The lowest rate that is put up with, measured over a window of time that was spent waiting for bytes.
#[derive(Debug, Clone, Copy)]
struct Rate {
    bytes_s: u64,
    window: Duration,
}

/// What has been waited for so far.
#[derive(Debug, Default)]
struct Spent {
    window: Came,
    /// Since the transfer began.
    all: Came,
    /// How many bytes come in all, where the other end says so.
    expected: Option<u64>,
    /// How long answers were waited for, all of them together.
    answers: Duration,
}

/// Bytes, and how long they were waited for.
#[derive(Debug, Default, Clone, Copy)]
struct Came {
    bytes: u64,
    waited: Duration,
}

impl Came {
    fn add(&mut self, bytes: u64, waited: Duration) {
        self.bytes += bytes;
        self.waited += waited;
    }
}

impl Clock {
    pub(super) fn start(config: &TransferConfig) -> Self {
        Self {
            connect: config.connect_timeout,
            idle: config.idle_timeout,
            total: config.total_timeout,
            rate: Rate { bytes_s: config.min_rate, window: config.min_rate_window },
            deadline: Instant::now() + config.total_timeout,
            spent: Arc::default(),
        }
    }

    /// Another one of the same limits, which starts now.
    pub(super) fn again(&self) -> Self {
        Self { deadline: Instant::now() + self.total, spent: Arc::default(), ..*self }
    }

    /// So many bytes are to come in all: whoever says so is left once its pace shows that they will not in the time there is.
    /// As much memory may be held for them all the while.
    pub(super) fn expects(&self, bytes: u64) {
        self.spent().expected = Some(bytes);
    }

    /// Which part of the time for the whole transfer bytes were waited for, once that shows their pace.
    pub(super) fn part_waited(&self) -> Option<f64> {
        let waited = self.spent().all.waited;
        let part = waited.as_secs_f64() / self.total.as_secs_f64();
        (waited >= self.rate.window).then_some(part.min(1.0))
    }

    /// Waits for a connection being made.
    pub(super) async fn connect<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        let limit = Instant::now() + self.connect;
        match timeout_at(limit.min(self.deadline), step).await {
            Ok(done) => Ok(done),
            Err(_) if self.is_over() => Err(self.late()),
            Err(_) => Err(expired(KEY_CONNECT_TIMEOUT, self.connect)),
        }
    }

    /// Waits for one answer. Those of one transfer together may take no more than connecting and twice `idle_timeout`: a
    /// server that has many ways to be slow is not slow in each of them.
    pub(super) async fn answer<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        self.answer_within(self.idle, step).await
    }

    /// Waits for the next bytes; `count` says of a step how many came or went, none at the end of them.
    pub(super) async fn data<T>(
        &self,
        step: impl Future<Output = T>,
        count: impl Fn(&T) -> Option<usize>,
    ) -> Result<T, TransferError> {
        let mut step = std::pin::pin!(step);
        let silent = Instant::now() + self.idle;
        loop {
            let began = Instant::now();
            let limit = self.window_ends(began).min(silent).min(self.deadline);
            let done = timeout_at(limit, &mut step).await;
            match &done {
                Ok(done) => {
                    if let Some(bytes) = count(done) {
                        self.passed(began, bytes as u64)?;
                    }
                }
                Err(_) if self.is_over() => return Err(self.late()),
                Err(_) if Instant::now() >= silent => return Err(expired(KEY_IDLE_TIMEOUT, self.idle)),
                Err(_) => self.passed(began, 0)?,
            }
            if let Ok(done) = done {
                return Ok(done);
            }
        }
    }

    /// Waits for whatever has no steps of its own.
    pub(super) async fn total<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        timeout_at(self.deadline, step).await.map_err(|_| self.late())
    }

    /// Waits for a connection to be made, a request to be sent and its answer to begin. `taken` tells how many bytes of the
    /// request's body are on their way; its sender is gone when all are.
    pub(super) async fn exchange<T>(
        &self,
        step: impl Future<Output = T>,
        mut taken: watch::Receiver<u64>,
    ) -> Result<T, TransferError> {
        let mut step = std::pin::pin!(step);
        let mut before = 0;
        while taken.has_changed().is_ok() {
            let sending = before > 0;
            // Until the first piece is taken there is no connection yet.
            let idle = if sending { self.idle } else { self.connect + self.idle };
            let changed = async {
                let mut taken = taken.clone();
                tokio::select! {
                    biased;
                    done = &mut step => Some(done),
                    // An error says that all is taken, as the loop will see.
                    _ = taken.wait_for(|taken| *taken > before) => None,
                }
            };
            let now_taken = |done: &Option<T>| done.is_none().then(|| *taken.borrow());
            let done = match sending {
                true => {
                    let count = |done: &Option<T>| now_taken(done).map(|now| (now - before) as usize);
                    self.data(changed, count).await?
                }
                false => self.answer_within(idle, changed).await?,
            };
            if let Some(done) = done {
                return Ok(done);
            }
            before = *taken.borrow_and_update();
        }
        let idle = if before > 0 { self.idle } else { self.connect + self.idle };
        self.answer_within(idle, step).await
    }

    async fn answer_within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Result<T, TransferError> {
        let (began, all) = (Instant::now(), self.connect + self.idle * 2);
        let left = all.saturating_sub(self.spent().answers);
        let answered = timeout_at((began + limit.min(left)).min(self.deadline), step).await;
        self.spent().answers += began.elapsed();
        match answered {
            Ok(answer) => Ok(answer),
            Err(_) if self.is_over() => Err(self.late()),
            Err(_) if left < limit => {
                let text = format!(
                    "timed out: all answers together took {} s, connecting and twice {KEY_IDLE_TIMEOUT}",
                    all.as_secs_f64()
                );
                Err(TransferError::new(TransferErrorKind::Timeout, text))
            }
            Err(_) => Err(expired(KEY_IDLE_TIMEOUT, self.idle)),
        }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window_ends(&self, now: Instant) -> Instant {
        now + self.rate.window.saturating_sub(self.spent().window.waited)
    }

    /// Some bytes were waited for since `began`.
    ///
    /// # Errors
    /// They were too few for the window that ends with them.
    fn passed(&self, began: Instant, bytes: u64) -> Result<(), TransferError> {
        let (mut spent, waited) = (self.spent(), began.elapsed());
        spent.window.add(bytes, waited);
        spent.all.add(bytes, waited);
        if spent.window.waited < self.rate.window {
            return Ok(());
        }
        let Came { bytes, waited } = std::mem::take(&mut spent.window);
        let seconds = waited.as_secs_f64();
        if (bytes as f64) < self.rate.bytes_s as f64 * seconds {
            let text = format!(
                "too slow: {bytes} bytes in {seconds:.1} s; {KEY_MIN_RATE} is {} (over min_rate_window_s)",
                self.rate.bytes_s
            );
            return Err(TransferError::new(TransferErrorKind::TooSlow, text));
        }
        spent.expected.map_or(Ok(()), |expected| self.comes_in_time(spent.all, expected))
    }

    /// What has come at this pace will be all in the time there is for the whole transfer.
    fn comes_in_time(&self, came: Came, expected: u64) -> Result<(), TransferError> {
        let (seconds, total) = (came.waited.as_secs_f64(), self.total.as_secs_f64());
        if came.bytes as f64 * total >= expected as f64 * seconds {
            return Ok(());
        }
        let text = format!(
            "too slow: {} of {expected} bytes in {seconds:.1} s; at this pace all of them take longer than \
             {KEY_TOTAL_TIMEOUT}, which is {total} s",
            came.bytes
        );
        Err(TransferError::new(TransferErrorKind::TooSlow, text))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn late(&self) -> TransferError {
        expired(KEY_TOTAL_TIMEOUT, self.total)
    }
}

fn expired(key: &str, limit: Duration) -> TransferError {
    let message = format!("timed out: {key} is {} s", limit.as_secs_f64());
    TransferError::new(TransferErrorKind::Timeout, message)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::tests::config;

    fn clock(connect: u64, idle: u64, total: u64) -> Clock {
        let [connect_timeout, idle_timeout, total_timeout] = [connect, idle, total].map(Duration::from_secs);
        Clock::start(&TransferConfig { connect_timeout, idle_timeout, total_timeout, ..config() })
    }

    /// A thousand bytes a second over ten seconds.
    fn paced() -> Clock {
        let seconds = Duration::from_secs;
        Clock::start(&TransferConfig {
            connect_timeout: seconds(5),
            idle_timeout: seconds(60),
            total_timeout: seconds(600),
            min_rate: 1000,
            min_rate_window: seconds(10),
            ..config()
        })
    }

    async fn after<T>(seconds: u64, value: T) -> T {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        value
    }

    #[tokio::test(start_paused = true)]
    async fn each_timeout_names_its_key() {
        let clock = clock(1, 2, 60);
        let connect = clock.connect(pending::<()>()).await.unwrap_err();
        assert_eq!(connect.to_string(), "timed out: [transfer] connect_timeout_s is 1 s");
        let idle = clock.answer(pending::<()>()).await.unwrap_err();
        assert_eq!(idle.to_string(), "timed out: [transfer] idle_timeout_s is 2 s");
        let idle = clock.data(pending::<()>(), |()| None).await.unwrap_err();
        assert_eq!(idle.to_string(), "timed out: [transfer] idle_timeout_s is 2 s");
        let total = clock.total(pending::<()>()).await.unwrap_err();
        assert_eq!(total.to_string(), "timed out: [transfer] total_timeout_s is 60 s");
        assert_eq!(total.kind(), TransferErrorKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_ends_a_step_that_still_had_time() {
        for error in [
            clock(10, 10, 3).answer(pending::<()>()).await.unwrap_err(),
            clock(10, 10, 3).data(pending::<()>(), |()| None).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(KEY_TOTAL_TIMEOUT), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_slow_answers_have_a_limit_together() {
        let clock = clock(1, 10, 600);
        for _ in 0..2 {
            clock.answer(after(9, ())).await.unwrap();
        }
        let error = clock.answer(after(9, ())).await.unwrap_err();
        assert!(error.to_string().contains("twice [transfer] idle_timeout_s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_left_at_the_end_of_its_window() {
        let (clock, began) = (paced(), Instant::now());
        let error = loop {
            match clock.data(after(1, 1), |bytes| Some(*bytes)).await {
                Ok(_) => assert!(began.elapsed() < Duration::from_secs(11)),
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::TooSlow, true));
        assert!(
            error.to_string().starts_with("too slow: 10 bytes in 10.0 s; [transfer] min_rate"),
            "{error}"
        );
        // Silence is no better, whatever came before the window began.
        let clock = paced();
        clock.data(after(10, 1 << 20), |bytes| Some(*bytes)).await.unwrap();
        let silent = clock.data(pending::<usize>(), |bytes| Some(*bytes)).await.unwrap_err();
        assert_eq!(silent.kind(), TransferErrorKind::TooSlow);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_how_much_comes_is_left_once_it_cannot_come_in_time() {
        // Ten minutes for all: a hundred thousand bytes each second are half of what is needed of the first of them.
        for (expected, left) in [(120_000_000, true), (50_000_000, false)] {
            let (clock, began) = (paced(), Instant::now());
            clock.expects(expected);
            let error = loop {
                match clock.data(after(1, 100_000), |bytes| Some(*bytes)).await {
                    Ok(_) if began.elapsed() > Duration::from_secs(400) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error),
                }
            };
            assert_eq!(error.is_some(), left, "{expected}: {error:?}");
            if let Some(error) = error {
                assert_eq!((error.kind(), began.elapsed().as_secs()), (TransferErrorKind::TooSlow, 10));
                let text = "too slow: 1000000 of 120000000 bytes in 10.0 s; at this pace all of them take longer than \
                            [transfer] total_timeout_s, which is 600 s";
                assert_eq!(error.to_string(), text);
            }
        }
        let clock = paced();
        clock.data(after(5, 100_000), |bytes| Some(*bytes)).await.unwrap();
        assert_eq!(clock.part_waited(), None, "it does not show yet");
        clock.data(after(10, 100_000), |bytes| Some(*bytes)).await.unwrap();
        assert_eq!(clock.part_waited(), Some(0.025));
        // Who was fast before may rest, and what was waited for elsewhere is not its pace.
        let clock = paced();
        clock.expects(50_000_000);
        tokio::time::sleep(Duration::from_secs(100)).await;
        clock.data(after(1, 40_000_000), |bytes| Some(*bytes)).await.unwrap();
        for _ in 0..100 {
            clock.data(after(1, 1000), |bytes| Some(*bytes)).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_rate_may_take_all_of_the_time() {
        let clock = paced();
        for _ in 0..50 {
            clock.data(after(2, 2000), |bytes| Some(*bytes)).await.unwrap();
            // What is done with the bytes meanwhile is not the server's slowness.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        // Nor is the end of them, late as it may be.
        clock.data(after(9, 0), |_| None).await.unwrap();
        clock.data(after(9, 0), |_| None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_sent_at_the_rate_and_answered_in_the_idle_time() {
        // Connecting takes its own time.
        let (clock, (sent, taken)) = (paced(), watch::channel(0_u64));
        let exchange = async {
            tokio::time::sleep(Duration::from_secs(64)).await;
            for _ in 0..4 {
                sent.send_modify(|taken| *taken += 20_000);
                tokio::time::sleep(Duration::from_secs(9)).await;
            }
            drop(sent);
            tokio::time::sleep(Duration::from_secs(50)).await;
        };
        clock.exchange(exchange, taken).await.unwrap();

        let (clock, (sent, taken), began) = (paced(), watch::channel(0_u64), Instant::now());
        let trickle = async {
            loop {
                sent.send_modify(|taken| *taken += 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let error = clock.exchange(trickle, taken).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (TransferErrorKind::TooSlow, 10));

        let (_sent, taken) = watch::channel(0_u64);
        let error = paced().exchange(pending::<()>(), taken).await.unwrap_err();
        assert!(error.to_string().contains(KEY_IDLE_TIMEOUT), "{error}");
    }
}
