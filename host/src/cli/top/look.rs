//! What `top` asks of the server at each look.

use serde::Deserialize;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::nodes::Node;
use crate::cli::story::{Line, Story};
use imgserve_base::job::now_ms;

/// Over how many milliseconds jobs per second are counted.
const WINDOW_MS: u64 = 10_000;
/// How many of the newest jobs that have ended are looked at for that.
const ENDED: usize = 200;
/// Most running jobs that are shown.
const RUNNING: usize = 100;
/// Most jobs that are shown of those that wait, and of those that failed.
const FEW: usize = 10;

/// The server at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) numbers: Numbers,
    pub(super) pace: Pace,
    /// Those that share the journal; none where who asks may not know, and is not to ask again.
    pub(super) nodes: Option<Vec<Node>>,
    pub(super) running: Vec<Story>,
    pub(super) waiting: Vec<Story>,
    pub(super) failed: Vec<Story>,
}

/// `GET /readyz`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Numbers {
    pub(super) jobs: u64,
    pub(super) running: u64,
    pub(super) waiting_short: u64,
    pub(super) waiting_long: u64,
    pub(super) workers: u64,
    pub(super) workers_busy: u64,
    pub(super) worker_restarts: u64,
    pub(super) memory_used_bytes: u64,
    pub(super) accepting: bool,
    pub(super) journal_error: Option<Line>,
}

/// How many jobs ended within the last `ms` milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) ms: u64,
    pub(super) ended: usize,
    pub(super) failed: usize,
}

#[derive(Debug, Deserialize)]
struct Jobs {
    jobs: Vec<Story>,
}

impl Look {
    /// Looks; `with_nodes` where who asks may know of them, as far as the look before tells.
    pub(super) async fn take(client: &Client, with_nodes: bool) -> Result<Self, Failure> {
        let numbers = client.readiness().await?;
        let ended = list(client, "succeeded,failed,cancelled", ENDED).await?;
        Ok(Self {
            numbers,
            pace: Pace::of(&ended, now_ms()),
            nodes: if with_nodes { Node::all(client).await.ok() } else { None },
            running: list(client, "running", RUNNING).await?,
            waiting: list(client, "accepted", FEW).await?,
            failed: list(client, "failed", FEW).await?,
        })
    }
}

async fn list(client: &Client, states: &str, limit: usize) -> Result<Vec<Story>, Failure> {
    let jobs: Jobs = client.get(&format!("/v1/jobs?state={states}&limit={limit}")).await?;
    Ok(jobs.jobs)
}

impl Pace {
    fn of(ended: &[Story], now_ms: u64) -> Self {
        let since = now_ms.saturating_sub(WINDOW_MS);
        let late: Vec<&Story> = ended.iter().filter(|job| job.finished_at_ms >= Some(since)).collect();
        // When all that were looked at are within it, there are more; it is counted since the first of these.
        let first = late.iter().filter_map(|job| job.finished_at_ms).min();
        let ms = match first.filter(|_| late.len() == ENDED) {
            Some(first) => now_ms.saturating_sub(first).max(1),
            None => WINDOW_MS,
        };
        let failed = late.iter().filter(|job| job.state.as_str() == "failed").count();
        Self { ms, ended: late.len(), failed }
    }

    pub(super) fn jobs_per_second(&self) -> f64 {
        if self.ms == 0 { 0.0 } else { self.ended as f64 * 1e3 / self.ms as f64 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(count: u64, state: &str, from_ms: u64, step_ms: u64) -> Vec<Story> {
        let job = |n| json!({ "state": state, "finished_at_ms": from_ms + n * step_ms });
        (0..count).map(|n| serde_json::from_value(job(n)).unwrap()).collect()
    }

    #[test]
    fn what_ended_within_the_window_is_counted() {
        let mut jobs = ended(30, "succeeded", 1_000_000, 1);
        jobs.extend(ended(5, "failed", 1_000_000, 1));
        jobs.extend(ended(50, "succeeded", 900_000, 1));
        let pace = Pace::of(&jobs, 1_010_000);
        assert_eq!(pace, Pace { ms: 10_000, ended: 35, failed: 5 });
        assert!((pace.jobs_per_second() - 3.5).abs() < 1e-9);
        assert_eq!(Pace::of(&[], 1_010_000).jobs_per_second(), 0.0);
    }

    #[test]
    fn a_fast_server_is_counted_over_as_long_as_the_jobs_reach() {
        let pace = Pace::of(&ended(200, "succeeded", 1_000_000, 5), 1_001_000);
        assert_eq!((pace.ms, pace.jobs_per_second()), (1000, 200.0));
    }
}
