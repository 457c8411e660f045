//! A storm over three nodes that share a database: nodes are killed, stopped past their leases and let go on, connections are cut on
//! the way, also in the middle of a message, the database ends as in a crash and is started again, while jobs are posted to whichever
//! node answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgserve_peers::{Postgres, Wire};
use tokio::sync::{Mutex, watch};

use crate::arena::Arena;
use crate::driver::{Driver, Figures};
use crate::ledger::Ledger;
use crate::random::Random;
use crate::storm::{Watching, histogram};
use crate::victim::{Victim, client};

const NODES: usize = 3;
const LEASE: Duration = Duration::from_secs(3);
/// How often a node is killed, one is stopped, the database is, and connections are cut.
const KILL: Duration = Duration::from_secs(2);
const STOP: Duration = Duration::from_secs(10);
const CRASH: Duration = Duration::from_secs(30);
const CUT: Duration = Duration::from_secs(5);
/// How long what is left may take when nobody disturbs it.
const SETTLE: Duration = Duration::from_secs(300);

/// A node; held by whoever does something to it.
struct Node {
    victim: Mutex<Victim>,
    serving: watch::Sender<bool>,
}

/// What is done to them, and how often.
struct Storm {
    nodes: Vec<Node>,
    database: Postgres,
    /// Over which the nodes reach it.
    wire: Wire,
    ledger: Arc<Ledger>,
    random: Random,
    over: AtomicBool,
    killed: AtomicUsize,
    stopped: AtomicUsize,
    crashed: AtomicUsize,
}

/// Posts `jobs` jobs through the storm; gives what is wrong.
pub(crate) async fn storm(program: &Path, directory: &Path, jobs: usize) -> Result<Vec<String>, String> {
    // The results that must come are an undisturbed server's, on a file.
    let Arena { ledger, peer, victim, work } = Arena::new(program, directory, "").await?;
    let database = Postgres::start(true);
    let wire = Wire::to(database.port());
    let (mut nodes, mut servers) = (Vec::new(), Vec::new());
    for number in 0..NODES {
        let mut node = node(program, directory, &victim, &database.url_over(&wire, "postgres"), number);
        node.start().await?;
        let (serving, watched) = watch::channel(true);
        servers.push((node.url(""), watched));
        nodes.push(Node { victim: Mutex::new(node), serving });
    }
    peer.dawdle();
    let driver = Arc::new(Driver {
        ledger: Arc::clone(&ledger),
        peer: peer.clone(),
        work: Arc::clone(&work),
        files: victim.files(),
        servers,
        doubts: true,
        jobs,
        begun: AtomicUsize::new(0),
        figures: Figures::default(),
        random: Random::new(),
    });
    let storm = Arc::new(Storm {
        nodes,
        database,
        wire,
        ledger: Arc::clone(&ledger),
        random: Random::new(),
        over: AtomicBool::new(false),
        killed: AtomicUsize::new(0),
        stopped: AtomicUsize::new(0),
        crashed: AtomicUsize::new(0),
    });
    let (began, watching) = (Instant::now(), Watching::begin(&driver));
    let raging = storm.rage();
    driver.drive().await;
    storm.over.store(true, Ordering::Relaxed);
    for one in raging {
        one.await.map_err(|error| error.to_string())?;
    }
    let posted = began.elapsed();
    let jobs = storm.settle(&driver).await;
    // Whoever would store something now does it too late.
    tokio::time::sleep(LEASE).await;
    ledger.judge(&jobs);
    watching.end();
    let count = |figure: &AtomicUsize| figure.load(Ordering::Relaxed);
    println!(
        "  {} jobs acknowledged in {:.0} s ({:.0} s with the rest); nodes killed {} times, stopped and let go on {} times; \
         the database ended {} times; {} connections cut",
        driver.figures.acknowledged.load(Ordering::Relaxed),
        posted.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        count(&storm.killed),
        count(&storm.stopped),
        count(&storm.crashed),
        storm.wire.cuts(),
    );
    histogram(&jobs);
    let mut log = String::new();
    for node in &storm.nodes {
        log.push_str(&node.victim.lock().await.log());
    }
    Ok(ledger.problems(&log))
}

fn node(program: &Path, directory: &Path, first: &Victim, database: &str, number: usize) -> Victim {
    let directory = directory.join(format!("node-{number}"));
    let node = Victim::with_files(program, &directory, &first.files());
    let jobs = format!(
        "max_finished = 1000000\nnode_file = {:?}\nnode_name = \"node-{number}\"\nlease_s = {}",
        directory.join("node"),
        LEASE.as_secs()
    );
    node.configure(Path::new(database), &jobs, "[workers]\ncount = 1");
    node
}

impl Storm {
    /// Until it is over.
    fn rage(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        let all = [Strike::Kill, Strike::Stop, Strike::Crash, Strike::Cut];
        let rages = all.into_iter().map(|strike| {
            let storm = Arc::clone(self);
            tokio::spawn(async move {
                while storm.goes_on_after(strike.pause()).await {
                    storm.strike(strike).await;
                }
            })
        });
        rages.collect()
    }

    async fn strike(&self, strike: Strike) {
        match strike {
            Strike::Kill => self.kill().await,
            Strike::Stop => self.stop().await,
            Strike::Crash => self.crash(),
            Strike::Cut => self.cut(),
        }
    }

    async fn goes_on_after(&self, pause: Duration) -> bool {
        let next = Instant::now() + pause;
        while Instant::now() < next && !self.over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        !self.over.load(Ordering::Relaxed)
    }

    fn any(&self) -> &Node {
        &self.nodes[self.random.below(NODES as u64) as usize]
    }

    async fn kill(&self) {
        let node = self.any();
        let Ok(mut victim) = node.victim.try_lock() else { return };
        node.serving.send_replace(false);
        self.ledger.killed();
        victim.kill();
        self.killed.fetch_add(1, Ordering::Relaxed);
        while let Err(text) = victim.start().await {
            // A start waits for a database that is away, and not for ever.
            if !text.contains("database") && !text.contains("journal") {
                self.ledger.problem("", format!("a node does not start again: {text}"));
                break;
            }
        }
        node.serving.send_replace(true);
    }

    /// Stopped past its lease.
    async fn stop(&self) {
        let node = self.any();
        let victim = node.victim.lock().await;
        node.serving.send_replace(false);
        victim.signal("STOP");
        self.stopped.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
        victim.signal("CONT");
        node.serving.send_replace(true);
    }

    fn crash(&self) {
        self.crashed.fetch_add(1, Ordering::Relaxed);
        tokio::task::block_in_place(|| {
            self.database.stop();
            std::thread::sleep(Duration::from_millis(self.random.below(1500)));
            self.database.start_again();
        });
    }

    /// Half of the connections, and half of those in the middle of a message.
    fn cut(&self) {
        self.wire.cut(|| self.random.percent(50).then(|| self.random.percent(50)));
    }

    /// Waits until no node has anything left; gives all jobs that one of them lists.
    async fn settle(&self, driver: &Driver) -> Vec<serde_json::Value> {
        let (http, began) = (client(Duration::from_secs(30)), Instant::now());
        for (origin, _) in &driver.servers {
            loop {
                let left = http.get(format!("{origin}/readyz"));
                let left = crate::victim::Answer::of(left).await.map(|answer| answer.body["jobs"].as_u64());
                if matches!(left, Ok(Some(0))) {
                    break;
                }
                if began.elapsed() > SETTLE {
                    self.ledger.problem("", format!("the jobs do not end: {left:?}"));
                    return Vec::new();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let jobs = crate::arena::all_jobs(&driver.servers[0].0, "").await;
        for job in jobs.iter().filter(|job| job["state"] == "succeeded") {
            self.ledger.succeeded(job["id"].as_str().unwrap_or_default());
        }
        jobs
    }
}

/// What is done to them.
#[derive(Clone, Copy)]
enum Strike {
    Kill,
    Stop,
    Crash,
    Cut,
}

impl Strike {
    fn pause(self) -> Duration {
        match self {
            Self::Kill => KILL,
            Self::Stop => STOP,
            Self::Crash => CRASH,
            Self::Cut => CUT,
        }
    }
}
