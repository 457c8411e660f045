//! The journal in a database alone, without a server around it: claims, whole lives, nodes beside each other, what the database
//! computes for a job, and what becomes of it beside a long transaction and after many jobs.
//!
//! `cargo bench -p imgserve-journal --bench journal [-- PART [NUMBER]]`: without a part all of them, in short. The parts, and their
//! numbers:
//! - `claims JOBS`: claims of 16 of so many that wait
//! - `lives JOBS`: so many jobs from the post to the end, posted by 1, 8, 64 and 256 at once, and the processor time for each
//! - `nodes JOBS`: eight nodes that claim so many and end them
//! - `held SECONDS`: claims while another session has a transaction open for so long, at 200 jobs/s
//! - `finished JOBS`: claims, and the size of the tables, while so many jobs come and go and 10,000 are remembered
//!
//! It starts a PostgreSQL server of its own, which waits for the disk.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the bench; peers and files are its own"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgserve_base::clock::steady_ms;
use imgserve_base::job::{Client, JobId, JobState, Priority, Record, now_ms};
use imgserve_journal::{Database, Ending, Entry, Journal, Opening, Room};
use imgserve_peers::Postgres;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const LEASE: Duration = Duration::from_secs(60);
/// Jobs of a claim.
const AT_ONCE: usize = 16;
const CLIENTS: usize = 4;
const NODES: usize = 8;
/// How often a job is posted where claims are timed beside something else.
const PACE: Duration = Duration::from_millis(5);
/// For how long claims are timed before and after that.
const BESIDE: Duration = Duration::from_secs(10);
/// How many finished jobs are remembered, and how often the others are forgotten.
const KEPT: usize = 10_000;
const PRUNE: Duration = Duration::from_secs(5);
/// How long it takes until it is looked again where nobody asks.
const LOOK: Duration = Duration::from_secs(1);
/// How many jobs are under way at most.
const UNDER_WAY: usize = 512;

/// Each part, and its number where nobody says one.
const PARTS: [(&str, usize); 5] =
    [("claims", 100_000), ("lives", 2048), ("nodes", 20_000), ("held", 15), ("finished", 30_000)];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let number = arguments.iter().find_map(|word| word.parse().ok());
    let named = |part: &str| arguments.iter().any(|word| word == part);
    let all = !PARTS.iter().any(|(part, _)| named(part));
    for (part, default) in PARTS.into_iter().filter(|(part, _)| all || named(part)) {
        let (number, place) = (number.unwrap_or(default), Place::new());
        match part {
            "claims" => claims(&place, number).await,
            "lives" => lives(&place, number).await,
            "nodes" => nodes(&place, number).await,
            "held" => held(&place, number).await,
            _ => finished(&place, number).await,
        }
    }
}

/// A database of its own.
struct Place {
    server: Postgres,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { server: Postgres::start(true), directory: tempfile::tempdir().unwrap() }
    }

    fn node(&self, name: &str) -> Arc<dyn Journal> {
        let node_file = self.directory.path().join(name);
        let database = Database { node_file, node_name: name.to_owned(), ..Database::default() };
        let address = self.server.url("postgres");
        imgserve_journal::open(&Opening { address, reader: "bench".to_owned(), database }).unwrap()
    }

    /// Jobs that wait, of several clients. Their ids sort by time, as all do.
    async fn fill(&self, journal: &dyn Journal, jobs: usize) {
        wait(journal).await;
        self.server.sql(
            "postgres",
            &format!(
                "INSERT INTO imgserve_changes VALUES ('', 'ada', {jobs}); \
                 INSERT INTO imgserve_jobs (id, node, place, state, priority, due_at_ms, later, attempt, operation, client, \
                 accepted_at_ms, flow, cost, instructions, record) \
                 SELECT (lpad(to_hex({jobs} + n), 12, '0') || '70008000000000000000')::uuid, gen_random_uuid(), '', 'accepted', 1, \
                 10 + n, false, 0, 'resize', 'ada', 10, 'client ' || n % {CLIENTS}, 1000000, instructions, record \
                 FROM generate_series(1, {jobs}) AS n, (SELECT instructions, record FROM imgserve_jobs LIMIT 1) AS one"
            ),
        );
        self.server.sql("postgres", "CHECKPOINT");
    }

    /// The size of all tables with their indexes, in MiB.
    fn size(&self) -> f64 {
        let sql = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'imgserve%'";
        self.server.sql("postgres", sql).parse::<f64>().unwrap() / f64::from(1 << 20)
    }

    /// The processor time of all its processes so far, those that have ended included.
    fn processor(&self) -> Duration {
        let file = std::fs::read_to_string(self.server.data().join("postmaster.pid")).unwrap();
        let first: u32 = file.lines().next().unwrap().trim().parse().unwrap();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let others = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let of = |pid: u32| ticks(&Path::new("/proc").join(pid.to_string()).join("stat"));
        let own = of(first).map_or(0, |(_, own, ended)| own + ended);
        let children = others.filter_map(of).filter(|(parent, ..)| *parent == first);
        let ticks = own + children.map(|(_, own, _)| own).sum::<u64>();
        // A tick is 10 ms on Linux, whatever the machine.
        Duration::from_millis(10 * ticks)
    }
}

/// Of a process its parent, its own ticks and those of children that have ended (proc(5), stat).
fn ticks(stat: &Path) -> Option<(u32, u64, u64)> {
    let text = std::fs::read_to_string(stat).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((number(1)? as u32, number(11)? + number(12)?, number(13)? + number(14)?))
}

/// Posts jobs one after another, and asks for each to be claimed.
async fn post(journal: Arc<dyn Journal>, asked: Arc<Notify>, jobs: usize) {
    for _ in 0..jobs {
        wait(&*journal).await;
        asked.notify_one();
    }
}

/// A job that waits.
async fn wait(journal: &dyn Journal) {
    let id = take_in(journal).await;
    journal.release(id);
}

/// A job that is being accepted.
async fn take_in(journal: &dyn Journal) -> JobId {
    let record = Record {
        id: JobId::generate(),
        state: JobState::Accepting,
        operation: "resize".to_owned(),
        client: Client::Anyone,
        priority: Priority::Normal,
        source: "http://pictures.example/a.png".to_owned(),
        source_tag: None,
        outputs: Vec::new(),
        accepted_at_ms: now_ms(),
        due_at_ms: steady_ms(),
        finished_at_ms: None,
        attempt: 0,
        attempts: Vec::new(),
        timings: Default::default(),
        notify: false,
        fresh: Default::default(),
        held: None,
        node: None,
    };
    let (id, order) = (record.id, "x".repeat(600));
    let entry = Entry { record, order, flow: "client".to_owned(), cost: 1_000_000, key: None, stays: false };
    journal.submit(entry).await.unwrap();
    id
}

async fn end(journal: Arc<dyn Journal>, record: Record) {
    let done = Record { state: JobState::Succeeded, finished_at_ms: Some(now_ms()), ..record };
    journal.end(done, Ending::Ended(None)).await.unwrap();
}

/// Claims as many as there is room for; the claims, whether there may be more, and how long that took.
async fn claim(journal: &dyn Journal, free: usize) -> (Vec<Record>, bool, Duration) {
    let began = Instant::now();
    let claimed = journal.claim(Room { free, ..Room::default() }, LEASE).await.unwrap();
    (claimed.claims.into_iter().map(|claim| claim.record).collect(), claimed.full, began.elapsed())
}

/// Claims and ends jobs until so many have ended, as a server does; how long each claim took that found some.
async fn work(journal: &Arc<dyn Journal>, asked: &Notify, jobs: usize) -> Vec<Duration> {
    let (mut ends, mut times, mut claimed) = (JoinSet::new(), Vec::new(), 0);
    while claimed < jobs {
        let (records, full, took) = claim(&**journal, AT_ONCE).await;
        times.extend((!records.is_empty()).then_some(took));
        claimed += records.len();
        for record in records {
            ends.spawn(end(Arc::clone(journal), record));
        }
        while ends.len() >= UNDER_WAY {
            ends.join_next().await.unwrap().unwrap();
        }
        if !full && claimed < jobs {
            let _ = tokio::time::timeout(LOOK, asked.notified()).await;
        }
    }
    while let Some(ended) = ends.join_next().await {
        ended.unwrap();
    }
    times
}

/// Median and p99, in milliseconds.
fn of(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: f64| {
        times.get(((times.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default()
    };
    (at(0.5).as_secs_f64() * 1e3, at(0.99).as_secs_f64() * 1e3)
}

fn told(what: &str, times: Vec<Duration>) {
    let (count, (median, p99)) = (times.len(), of(times));
    println!("{what}: {count} claims, median {median:.1} ms, p99 {p99:.1} ms");
}

async fn claims(place: &Place, jobs: usize) {
    let journal = place.node("a");
    place.fill(&*journal, jobs).await;
    let (mut times, mut posts) = (Vec::new(), Vec::new());
    for _ in 0..1000.min(jobs / AT_ONCE) {
        let (records, _, took) = claim(&*journal, AT_ONCE).await;
        assert_eq!(records.len(), AT_ONCE);
        times.push(took);
        let began = Instant::now();
        take_in(&*journal).await;
        posts.push(began.elapsed());
    }
    told(&format!("claims of {AT_ONCE}, {jobs} wait"), times);
    let (median, p99) = of(posts);
    println!("  one job is taken in, in between: median {median:.1} ms, p99 {p99:.1} ms");
    let began = Instant::now();
    journal.counts().await.unwrap();
    println!("  counted in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
}

async fn lives(place: &Place, jobs: usize) {
    let (journal, asked) = (place.node("a"), Arc::new(Notify::new()));
    for posters in [1, 8, 64, 256] {
        let (began, computed, before) = (Instant::now(), place.processor(), journal.health());
        let mut posts = JoinSet::new();
        for _ in 0..posters {
            posts.spawn(post(Arc::clone(&journal), Arc::clone(&asked), jobs / posters));
        }
        let times = work(&journal, &asked, jobs / posters * posters).await;
        let (took, computed, health) = (began.elapsed(), place.processor() - computed, journal.health());
        println!(
            "{posters} post at once: {:.0} jobs/s, posted, claimed and ended; {:.1} changes a commit; a claim takes {:.1} ms; the \
             database computes {:.2} ms for one",
            jobs as f64 / took.as_secs_f64(),
            (health.changes - before.changes) as f64 / (health.commits - before.commits) as f64,
            of(times).0,
            computed.as_secs_f64() * 1e3 / jobs as f64,
        );
    }
}

async fn nodes(place: &Place, jobs: usize) {
    let nodes: Vec<_> = (0..NODES).map(|number| place.node(&number.to_string())).collect();
    place.fill(&*nodes[0], jobs).await;
    let (began, computed, left) = (Instant::now(), place.processor(), Arc::new(AtomicUsize::new(jobs)));
    let mut all = JoinSet::new();
    for node in nodes {
        let left = Arc::clone(&left);
        all.spawn(async move {
            let mut ends = JoinSet::new();
            while left.load(Ordering::Relaxed) > 0 {
                for record in claim(&*node, AT_ONCE).await.0 {
                    let (node, left) = (Arc::clone(&node), Arc::clone(&left));
                    ends.spawn(async move {
                        end(node, record).await;
                        // One more waits, by which the others were made.
                        let _ = left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                    });
                }
                while ends.len() > 4 * AT_ONCE {
                    ends.join_next().await.unwrap().unwrap();
                }
            }
            ends.join_all().await;
        });
    }
    all.join_all().await;
    let (took, computed) = (began.elapsed(), place.processor() - computed);
    println!(
        "{NODES} nodes: {:.0} jobs/s claimed and ended in all; the database computes {:.2} ms for one",
        jobs as f64 / took.as_secs_f64(),
        computed.as_secs_f64() * 1e3 / jobs as f64
    );
}

/// Jobs at an even pace for a while; how long claims took.
async fn paced(journal: &Arc<dyn Journal>, time: Duration) -> Vec<Duration> {
    let (jobs, asked) = (time.div_duration_f64(PACE) as usize, Arc::new(Notify::new()));
    let posted = {
        let (journal, asked) = (Arc::clone(journal), Arc::clone(&asked));
        tokio::spawn(async move {
            let (mut pace, mut posts) = (tokio::time::interval(PACE), JoinSet::new());
            for _ in 0..jobs {
                pace.tick().await;
                posts.spawn(post(Arc::clone(&journal), Arc::clone(&asked), 1));
            }
            posts.join_all().await;
        })
    };
    let times = work(journal, &asked, jobs).await;
    posted.await.unwrap();
    times
}

async fn held(place: &Place, seconds: usize) {
    let journal = place.node("a");
    paced(&journal, BESIDE / 5).await;
    let before = of(paced(&journal, BESIDE).await);
    let hold = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM imgserve_jobs; SELECT pg_sleep({seconds}); COMMIT"
    );
    let beside = std::thread::scope(|scope| {
        let held = scope.spawn(|| place.server.sql("postgres", &hold));
        let beside = tokio::task::block_in_place(|| {
            let journal = &journal;
            tokio::runtime::Handle::current().block_on(async move {
                paced(journal, Duration::from_secs(seconds as u64).saturating_sub(BESIDE)).await;
                of(paced(journal, BESIDE.min(Duration::from_secs(seconds as u64))).await)
            })
        });
        held.join().unwrap();
        beside
    });
    let dead = place.server.sql("postgres", "SELECT sum(n_dead_tup) FROM pg_stat_user_tables");
    let after = of(paced(&journal, BESIDE).await);
    let (rate, told) = (Duration::from_secs(1).div_duration_f64(PACE), |(median, p99)| {
        format!("{median:.1} and {p99:.1} ms")
    });
    println!("claims at {rate:.0} jobs/s, median and p99: {}", told(before));
    println!(
        "  at the end of {seconds} s in which another session has a transaction open ({dead} dead rows): {}, {:.1} and {:.1} times that",
        told(beside),
        beside.0 / before.0,
        beside.1 / before.1
    );
    println!("  right after it: {}", told(after));
}

async fn finished(place: &Place, jobs: usize) {
    let (journal, asked) = (place.node("a"), Arc::new(Notify::new()));
    let is_over = Arc::new(AtomicBool::new(false));
    let pruning = {
        let (journal, is_over) = (Arc::clone(&journal), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut times = Vec::new();
            let mut prune = tokio::time::interval(PRUNE);
            while !is_over.load(Ordering::Relaxed) {
                prune.tick().await;
                let began = Instant::now();
                journal.prune(KEPT, Duration::from_secs(3600)).await.unwrap();
                // As a server's look does.
                journal.shared().unwrap().look(Vec::new()).await.unwrap();
                times.push(began.elapsed());
            }
            times
        })
    };
    for part in 1..=10 {
        let (began, each) = (Instant::now(), jobs / 10);
        let mut posts = JoinSet::new();
        for _ in 0..64 {
            posts.spawn(post(Arc::clone(&journal), Arc::clone(&asked), each / 64));
        }
        let times = work(&journal, &asked, each / 64 * 64).await;
        posts.join_all().await;
        let rate = (each / 64 * 64) as f64 / began.elapsed().as_secs_f64();
        told(
            &format!("after {} jobs, {rate:.0} jobs/s: tables of {:.0} MiB", part * each, place.size()),
            times,
        );
    }
    is_over.store(true, Ordering::Relaxed);
    println!(
        "  the jobs to forget were forgotten, and the rest summed up, within {:.0} ms (p99)",
        of(pruning.await.unwrap()).1
    );
}
