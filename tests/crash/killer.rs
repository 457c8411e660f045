//! Kills the server and single workers at random, and starts the server again, until the clients are done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::ledger::Ledger;
use crate::random::Random;
use crate::victim::Victim;

/// The server serves for at most this long, and half of it on average.
const LONGEST_LIFE_MS: u64 = 4000;
/// Longest time between two killed workers, and half of it on average.
const LONGEST_WORKER_LIFE_MS: u64 = 3000;
/// Of a hundred starts so many are killed before they serve.
const KILLED_STARTING: u64 = 15;
/// How long a killed server's workers may outlive it.
const WORKERS_PATIENCE: Duration = Duration::from_secs(5);

/// What there is to count.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    pub(crate) servers: usize,
    pub(crate) starting: usize,
    pub(crate) workers: usize,
    /// From each start that was let be to serving.
    pub(crate) starts: Vec<Duration>,
}

/// The killer; `serving` is what the clients wait for.
pub(crate) struct Killer {
    pub(crate) victim: Victim,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) serving: watch::Sender<bool>,
    pub(crate) random: Random,
    pub(crate) killed: Killed,
}

impl Killer {
    /// Kills until it is told that it is enough; then the server runs.
    pub(crate) async fn kill_until(mut self, mut enough: oneshot::Receiver<()>) -> Self {
        loop {
            let life = Duration::from_millis(self.random.below(LONGEST_LIFE_MS));
            tokio::select! {
                _ = &mut enough => return self,
                () = tokio::time::sleep(life) => {}
                () = kill_workers(&self.victim, &self.random, &mut self.killed.workers) => {}
            }
            self.serving.send_replace(false);
            self.ledger.killed();
            self.killed.servers += 1;
            self.kill().await;
            if !self.start_again().await {
                return self;
            }
        }
    }

    /// Kills it; its workers must not outlive it for long, whatever they are at.
    async fn kill(&mut self) {
        let workers = self.victim.kill();
        let ledger = Arc::clone(&self.ledger);
        tokio::spawn(async move {
            let began = Instant::now();
            while let Some(worker) = workers.iter().find(|worker| is_worker(**worker)) {
                if began.elapsed() > WORKERS_PATIENCE {
                    return ledger.problem("", format!("worker {worker} outlives its killed server"));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// False when it does not start.
    async fn start_again(&mut self) -> bool {
        while self.random.percent(KILLED_STARTING) {
            self.victim.spawn();
            tokio::time::sleep(Duration::from_millis(self.random.below(400))).await;
            self.killed.starting += 1;
            self.kill().await;
        }
        match self.victim.start().await {
            Ok(took) => {
                self.killed.starts.push(took);
                self.serving.send_replace(true);
                true
            }
            Err(text) => {
                self.ledger.problem("", format!("the server does not start again: {text}"));
                // The clients find out by themselves.
                self.serving.send_replace(true);
                false
            }
        }
    }
}

/// Kills one worker after the other, for ever.
async fn kill_workers(victim: &Victim, random: &Random, count: &mut usize) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.below(LONGEST_WORKER_LIFE_MS))).await;
        let workers = victim.workers();
        if workers.is_empty() {
            continue;
        }
        let worker = workers[random.below(workers.len() as u64) as usize];
        let pid = i32::try_from(worker).ok().and_then(rustix::process::Pid::from_raw);
        // It may have ended by itself.
        if pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()) {
            *count += 1;
        }
    }
}

/// Whether this process is (still) a worker of some imgserve.
fn is_worker(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == b"worker")
}
