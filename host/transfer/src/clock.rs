//! The three timeouts of a transfer (connect, idle, total), applied to its steps. Every wait on the network goes
//! through a [`Clock`].

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::config::{KEY_CONNECT_TIMEOUT, KEY_IDLE_TIMEOUT, KEY_TOTAL_TIMEOUT, TransferConfig};
use super::error::{TransferError, TransferErrorKind};

/// Runs from the start of a transfer to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    connect: Duration,
    idle: Duration,
    total: Duration,
    deadline: Instant,
}

impl Clock {
    pub(super) fn start(config: &TransferConfig) -> Self {
        Self {
            connect: config.connect_timeout,
            idle: config.idle_timeout,
            total: config.total_timeout,
            deadline: Instant::now() + config.total_timeout,
        }
    }

    /// Waits for a connection being made.
    pub(super) async fn connect<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        self.within(self.connect, KEY_CONNECT_TIMEOUT, step).await
    }

    /// Waits for one answer or one piece of data.
    pub(super) async fn idle<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        self.within(self.idle, KEY_IDLE_TIMEOUT, step).await
    }

    /// Waits for whatever has no steps of its own.
    pub(super) async fn total<T>(&self, step: impl Future<Output = T>) -> Result<T, TransferError> {
        timeout_at(self.deadline, step).await.map_err(|_| self.expired(self.total, KEY_TOTAL_TIMEOUT))
    }

    /// Waits for a connection to be made and a request to be sent and answered, as long as `progress` keeps changing.
    pub(super) async fn progressing<T>(
        &self,
        step: impl Future<Output = T>,
        mut progress: watch::Receiver<u64>,
    ) -> Result<T, TransferError> {
        let mut step = std::pin::pin!(step);
        let mut limit = Instant::now() + self.connect + self.idle;
        let mut sending = true;
        loop {
            tokio::select! {
                biased;
                done = &mut step => return Ok(done),
                changed = progress.changed(), if sending => {
                    sending = changed.is_ok();
                    limit = Instant::now() + self.idle;
                }
                () = sleep_until(self.deadline) => return Err(self.expired(self.total, KEY_TOTAL_TIMEOUT)),
                () = sleep_until(limit) => return Err(self.expired(self.idle, KEY_IDLE_TIMEOUT)),
            }
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        key: &str,
        step: impl Future<Output = T>,
    ) -> Result<T, TransferError> {
        let at = Instant::now() + limit;
        if at < self.deadline {
            timeout_at(at, step).await.map_err(|_| self.expired(limit, key))
        } else {
            self.total(step).await
        }
    }

    fn expired(&self, limit: Duration, key: &str) -> TransferError {
        let message = format!("timed out: {key} is {} s", limit.as_secs_f64());
        TransferError::new(TransferErrorKind::Timeout, message)
    }
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

    #[tokio::test(start_paused = true)]
    async fn each_timeout_names_its_key() {
        let clock = clock(1, 2, 60);
        let connect = clock.connect(pending::<()>()).await.unwrap_err();
        assert_eq!(connect.to_string(), "timed out: [transfer] connect_timeout_s is 1 s");
        let idle = clock.idle(pending::<()>()).await.unwrap_err();
        assert_eq!(idle.to_string(), "timed out: [transfer] idle_timeout_s is 2 s");
        let total = clock.total(pending::<()>()).await.unwrap_err();
        assert_eq!(total.to_string(), "timed out: [transfer] total_timeout_s is 60 s");
        assert_eq!(total.kind(), TransferErrorKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_ends_a_step_that_still_had_time() {
        let error = clock(10, 10, 3).idle(pending::<()>()).await.unwrap_err();
        assert!(error.to_string().contains(KEY_TOTAL_TIMEOUT), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn progress_extends_the_idle_limit_but_not_the_total() {
        let clock = clock(1, 2, 9);
        let (sent, progress) = watch::channel(0);
        let started = Instant::now();
        let feed = async {
            for beat in 1..=3 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                sent.send_replace(beat);
            }
            pending::<()>().await;
        };
        let error = clock.progressing(feed, progress.clone()).await.unwrap_err();
        assert!(error.to_string().contains(KEY_IDLE_TIMEOUT), "{error}");
        assert_eq!(started.elapsed().as_secs(), 8);
        let error = clock.progressing(pending::<()>(), progress).await.unwrap_err();
        assert!(error.to_string().contains(KEY_TOTAL_TIMEOUT), "{error}");
    }
}
