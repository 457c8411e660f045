//! The storm: jobs are posted all the time while the server is killed, and at the end the destinations are compared with
//! what an undisturbed server gives.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use crate::arena::Arena;
use crate::driver::{Driver, Figures};
use crate::killer::{Killed, Killer};
use crate::random::Random;
use crate::victim::{Answer, client};

/// How often it is said how far things are.
const PROGRESS: Duration = Duration::from_secs(5);
/// How often the API is asked what has succeeded.
const POLL: Duration = Duration::from_millis(250);
/// Jobs on a page of the API's list.
const PAGE: usize = 400;

/// Posts `jobs` jobs through the storm; gives what is wrong.
pub(crate) async fn storm(program: &Path, directory: &Path, jobs: usize) -> Result<Vec<String>, String> {
    let Arena { ledger, peer, mut victim, work } = Arena::new(program, directory, "").await?;
    victim.start().await?;
    peer.dawdle();
    let (serving, watched) = watch::channel(true);
    let driver = Arc::new(Driver {
        ledger: Arc::clone(&ledger),
        peer: peer.clone(),
        work: Arc::clone(&work),
        files: victim.files(),
        servers: vec![(victim.url(""), watched)],
        doubts: false,
        jobs,
        begun: AtomicUsize::new(0),
        figures: Figures::default(),
        random: Random::new(),
    });
    let (began, watching) = (Instant::now(), Watching::begin(&driver));
    let killer = Killer {
        victim,
        ledger: Arc::clone(&ledger),
        serving,
        random: Random::new(),
        killed: Killed::default(),
    };
    let (enough, told) = oneshot::channel();
    let killing = tokio::spawn(killer.kill_until(told));
    driver.drive().await;
    let _ = enough.send(());
    let Killer { victim, killed, .. } = killing.await.unwrap();
    let posted = began.elapsed();

    let mut arena = Arena { ledger, peer, victim, work };
    let jobs = arena.settle().await;
    let took = began.elapsed();
    let problems = arena.judge(&jobs).await;
    watching.end();
    tell(&driver, &killed, posted, took);
    histogram(&jobs);
    Ok(problems)
}

/// Those that look all the time.
pub(crate) struct Watching {
    over: Arc<AtomicBool>,
    files: std::thread::JoinHandle<()>,
}

impl Watching {
    pub(crate) fn begin(driver: &Arc<Driver>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        tokio::spawn(poll(Arc::clone(driver), Arc::clone(&over)));
        tokio::spawn(progress(Arc::clone(driver), Arc::clone(&over)));
        let (ledger, ended) = (Arc::clone(&driver.ledger), Arc::clone(&over));
        let files = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for (name, path) in ledger.watched() {
                    ledger.read(&name, std::fs::read(path).ok().as_deref());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { over, files }
    }

    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.files.join().unwrap();
    }
}

/// Asks what has succeeded: from then on nothing may change there.
async fn poll(driver: Arc<Driver>, over: Arc<AtomicBool>) {
    let http = client(Duration::from_secs(5));
    while !over.load(Ordering::Relaxed) {
        for (state, well) in [("succeeded", true), ("failed,cancelled", false)] {
            let (origin, _) = &driver.servers[driver.random.below(driver.servers.len() as u64) as usize];
            let url = format!("{origin}/v1/jobs?state={state}&limit={PAGE}");
            // The server may be dead.
            let Ok(answer) = Answer::of(http.get(url)).await else { continue };
            for job in answer.body["jobs"].as_array().into_iter().flatten().filter(|_| well) {
                driver.ledger.succeeded(job["id"].as_str().unwrap_or_default());
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn progress(driver: Arc<Driver>, over: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        if over.load(Ordering::Relaxed) {
            return;
        }
        let acknowledged = driver.figures.acknowledged.load(Ordering::Relaxed);
        let (at, open) = (driver.ledger.now(), driver.ledger.outstanding());
        println!("  {at:6.0} s: {acknowledged} of {} acknowledged, {open} of them unfinished", driver.jobs);
    }
}

/// How many attempts the jobs took.
pub(crate) fn histogram(jobs: &[Value]) {
    let mut attempts: BTreeMap<u64, usize> = BTreeMap::new();
    for job in jobs {
        *attempts.entry(job["attempt"].as_u64().unwrap_or_default()).or_default() += 1;
    }
    let bars: Vec<String> = attempts.iter().map(|(attempts, jobs)| format!("{attempts}: {jobs}")).collect();
    println!("  jobs by number of attempts: {}", bars.join(", "));
}

fn tell(driver: &Driver, killed: &Killed, posted: Duration, took: Duration) {
    let figure = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let figures = &driver.figures;
    let mut starts = killed.starts.clone();
    starts.sort();
    let ms = |start: Option<&Duration>| start.map_or(0, Duration::as_millis);
    println!(
        "  {} jobs acknowledged in {:.0} s ({:.0} s with the rest), {} posts refused, {} broken off, {} answered as known",
        figure(&figures.acknowledged),
        posted.as_secs_f64(),
        took.as_secs_f64(),
        figure(&figures.refused),
        figure(&figures.broken_off),
        figure(&figures.replayed),
    );
    println!(
        "  {} servers killed while serving (one per {:.1} s) and {} while starting, {} workers; from start to serving: \
         median {} ms, worst {} ms",
        killed.servers,
        posted.as_secs_f64() / killed.servers.max(1) as f64,
        killed.starting,
        killed.workers,
        ms(starts.get(starts.len() / 2)),
        ms(starts.last()),
    );
    let [acknowledged, refused, unknown] = driver.ledger.count();
    println!(
        "  destinations: {acknowledged} acknowledged, {refused} refused, {unknown} without an answer; {} PUTs broken off; \
         {} acknowledged by their key or at once, before a placeholder stood there",
        driver.peer.broken_off(),
        figure(&figures.without_placeholder),
    );
}
