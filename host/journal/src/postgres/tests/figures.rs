//! How fast it is (`--ignored --nocapture`), on a server that waits for the disk.

use std::time::Instant;

use super::*;

/// A journal on a server of its own.
struct Place {
    journal: Arc<Postgres>,
    server: Server,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let (server, directory) = (Server::start(true), tempfile::tempdir().unwrap());
        let database =
            Database { node_file: directory.path().join("node"), migrate: true, ..Database::default() };
        let opening = Opening { address: server.url("postgres"), reader: READER.to_owned(), database };
        let journal = Arc::new(Postgres::open(&opening, Clock::default()).unwrap());
        Self { journal, server, _directory: directory }
    }

    /// Jobs that wait, of so many clients. Their ids sort by time, as all do.
    fn fill(&self, jobs: usize, clients: usize) {
        let record = rows::text(&record()).unwrap();
        let order = "x".repeat(600);
        self.server.sql(
            "postgres",
            &format!(
                "INSERT INTO imgserve_changes VALUES ('', 'ada', {jobs}); \
                 INSERT INTO imgserve_jobs (id, node, place, state, priority, due_at_ms, later, attempt, operation, client, \
                 accepted_at_ms, flow, cost, instructions, record) SELECT (lpad(to_hex({jobs} + n), 12, '0') || '70008000000000000000')::uuid, \
                 gen_random_uuid(), '', 'accepted', 1, \
                 10 + n, false, 0, 'resize', 'ada', 10, 'client ' || n % {clients}, 1000000, '{order}', '{record}' \
                 FROM generate_series(1, {jobs}) AS n"
            ),
        );
        self.server.sql("postgres", "CHECKPOINT");
    }
}

fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: median {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}

#[ignore = "figures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_sixteen_of_a_million() {
    let place = Place::new();
    for (jobs, clients) in [(1000, 4), (1_000_000, 4)] {
        place.fill(jobs, clients);
        let mut times = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            let claimed = claim(&place.journal, 16).await;
            times.push(began.elapsed());
            assert!(claimed.len() == 16 || jobs == 1000);
        }
        told(&format!("claims of 16, {jobs} wait"), times);
    }
    let began = Instant::now();
    place.journal.counts().await.unwrap();
    println!("counted in {:?}", began.elapsed());
}

/// As a server does: many post, one claims, and what is claimed ends by itself.
#[ignore = "figures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_lives() {
    let place = Place::new();
    for clients in [1, 8, 64, 256] {
        let (began, before) = (Instant::now(), place.journal.health());
        let each = 2048 / clients;
        let posts: Vec<_> = (0..clients)
            .map(|_| {
                let journal = Arc::clone(&place.journal);
                tokio::spawn(async move {
                    for _ in 0..each {
                        waiting(&journal).await;
                    }
                })
            })
            .collect();
        let mut ends = Vec::new();
        while ends.len() < 2048 {
            for claim in claim(&place.journal, 16).await {
                let journal = Arc::clone(&place.journal);
                let done = ended(&claim.record, JobState::Succeeded);
                ends.push(tokio::spawn(async move { journal.end(done, Ending::Ended(None)).await.unwrap() }));
            }
        }
        for task in posts.into_iter().chain(ends) {
            task.await.unwrap();
        }
        let health = place.journal.health();
        println!(
            "{clients} post at once: {:.0} jobs/s, submitted, released, claimed and ended; {:.1} changes a commit",
            2048.0 / began.elapsed().as_secs_f64(),
            (health.changes - before.changes) as f64 / (health.commits - before.commits) as f64,
        );
    }
}
