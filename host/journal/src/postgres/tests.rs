//! What is particular to a journal in a database: outages, nodes beside each other, versions. What any store must do is
//! `crate::tests`' to say.

mod nodes;
mod trips;

use std::collections::BTreeSet;

use imgserve_base::job::Priority;
use imgserve_peers::{Postgres as Server, Wire};

use super::*;
use crate::store::Claim;
use crate::store::IdempotencyKey;
use crate::tests::postgres::{Schema, server};
use crate::tests::{KEPT, READER, ended, entry, is_stale, notice, record, room};

const LEASE: Duration = Duration::from_secs(60);

fn open(schema: &Schema, node: &str) -> Arc<Postgres> {
    Arc::new(Postgres::open(&schema.opening(READER, node), Clock::default()).unwrap())
}

/// How a node reaches the tests' server over a wire.
fn over(wire: &Wire, opening: Opening) -> Opening {
    let [direct, over] = [server().url("postgres"), server().url_over(wire, "postgres")];
    Opening { address: opening.address.replace(&direct, &over), ..opening }
}

/// A job that waits.
async fn waiting(journal: &Postgres) -> JobId {
    submitted(journal, entry(due_now())).await
}

async fn submitted(journal: &Postgres, entry: Entry) -> JobId {
    let id = entry.record.id;
    assert_eq!(journal.submit(entry).await.unwrap(), Submitted::New);
    journal.release(id);
    id
}

/// It has been due for so long that any node may have it.
fn due_now() -> Record {
    let now_ms = Clock::default().now() - 2 * HEAD_START.as_millis() as u64;
    Record { due_at_ms: now_ms, accepted_at_ms: now_ms, ..record() }
}

async fn claim(journal: &Postgres, count: usize) -> Vec<Claim> {
    journal.claim(room(count), LEASE).await.unwrap().claims
}

async fn state(journal: &Postgres, id: JobId) -> Option<JobState> {
    journal.get(id).await.unwrap().map(|record| record.state)
}

/// Waits for what comes by itself.
async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let seen = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_database_that_is_away_refuses_clearly_loses_nothing_and_is_found_again() {
    let server = Server::start(true);
    let directory = tempfile::tempdir().unwrap();
    let database =
        Database { node_file: directory.path().join("node"), migrate: true, ..Database::default() };
    let opening = Opening { address: server.url("postgres"), reader: READER.to_owned(), database };
    let journal = Arc::new(Postgres::open(&opening, Clock::default()).unwrap());
    let claimed_id = waiting(&journal).await;
    let claimed = claim(&journal, 1).await.remove(0).record;
    let accepting = due_now();
    journal.submit(entry(accepting.clone())).await.unwrap();

    server.stop();
    until("it is not found out that the database is away", async || journal.health().unwritable.is_some())
        .await;
    let refused = due_now();
    let error = journal.submit(entry(refused.clone())).await.unwrap_err();
    assert!(
        matches!(&error, JournalError::Unwritable { text } if text.contains("cannot connect")),
        "{error}"
    );
    assert!(!error.to_string().contains("sslmode"), "{error}");
    // Nobody waits for it.
    journal.release(accepting.id);
    assert!(matches!(journal.claim(room(9), LEASE).await, Err(JournalError::Unwritable { .. })));
    assert!(matches!(journal.get(claimed_id).await, Err(JournalError::Unreadable { .. })));
    let done = ended(&claimed, JobState::Failed);
    let told = Some(notice("msg", claimed_id));
    let end = journal.end(done.clone(), Ending::Ended(told.clone())).await;
    assert!(matches!(end, Err(JournalError::Unwritable { .. })), "{end:?}");

    server.start_again();
    until("it is not found again", async || journal.health().unwritable.is_none()).await;
    journal.end(done, Ending::Ended(told)).await.unwrap();
    assert_eq!(state(&journal, claimed_id).await, Some(JobState::Failed));
    assert_eq!(state(&journal, refused.id).await, None);
    assert_eq!(claim(&journal, 9).await.remove(0).record.id, accepting.id);
    assert_eq!(journal.counts().await.unwrap().notices, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_and_double_nothing() {
    let (schema, wire) = (Schema::new(), Wire::to(server().port()));
    let journal =
        Arc::new(Postgres::open(&over(&wire, schema.opening(READER, "node")), Clock::default()).unwrap());
    let jobs: Vec<_> = (0..8)
        .map(|_| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let mut taken = BTreeSet::new();
                while taken.len() < 200 {
                    let record = due_now();
                    let id = record.id;
                    match journal.submit(entry(record)).await {
                        Ok(submitted) => {
                            assert_eq!(submitted, Submitted::New);
                            taken.insert(id);
                        }
                        Err(JournalError::Unwritable { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
                taken
            })
        })
        .collect();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = current_schema()";
    let mut all = BTreeSet::new();
    let (mut cuts, mut turn) = (0, 0);
    let mut left = jobs;
    while !left.is_empty() {
        // By the database, on the way, and in the middle of a message.
        turn += 1;
        match turn % 3 {
            0 => cuts += schema.sql(cut).parse::<u32>().unwrap(),
            tears => {
                wire.cut(|| Some(tears == 1));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let (done, more) = left.into_iter().partition::<Vec<_>, _>(tokio::task::JoinHandle::is_finished);
        for job in done {
            all.extend(job.await.unwrap());
        }
        left = more;
    }
    assert!(cuts > 0 && wire.cuts() > 0, "nothing was cut");
    until("what was refused is not withdrawn", async || {
        journal.health().unwritable.is_none() && schema.sql("SELECT count(*) FROM imgserve_jobs") == "1600"
    })
    .await;
    let listed = journal.list(Filter { limit: 2000, ..Filter::default() }).await.unwrap();
    assert_eq!(listed.into_iter().map(|record| record.id).collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn what_a_claim_had_whose_answer_was_lost_is_given_back_by_the_next_heartbeat() {
    let schema = Schema::new();
    let journal = open(&schema, "node");
    let (known, lost) = (waiting(&journal).await, waiting(&journal).await);
    let of_known = claim(&journal, 1).await.remove(0).record;
    assert_eq!((claim(&journal, 1).await.len(), of_known.id), (1, known));
    journal.heartbeat(vec![(known, 1)], LEASE).await.unwrap();
    assert_eq!(state(&journal, lost).await, Some(JobState::Running), "its answer was not lost");
    journal.lost_claim.store(true, Ordering::Release);
    journal.heartbeat(vec![(known, 1)], LEASE).await.unwrap();
    assert_eq!(state(&journal, known).await, Some(JobState::Running));
    let again = claim(&journal, 9).await;
    assert_eq!((again.len(), again[0].record.id, again[0].record.attempt), (1, lost, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_claim_had_whose_connection_was_cut_is_given_back() {
    let (schema, wire) = (Schema::new(), Wire::to(server().port()));
    let journal = Postgres::open(&over(&wire, schema.opening(READER, "node")), Clock::default()).unwrap();
    let (id, state) = (waiting(&journal).await, || schema.sql("SELECT state FROM imgserve_jobs"));
    until("no claim is made whose answer is lost", async || {
        wire.cut(|| Some(true));
        match journal.claim(room(9), LEASE).await {
            Ok(claimed) if claimed.claims.is_empty() => false,
            Ok(_) => journal.give_back(vec![(id, 1)]).await.is_err(),
            Err(_) => state() == "running",
        }
    })
    .await;
    until("it is not given back", async || {
        journal.heartbeat(Vec::new(), LEASE).await.is_ok() && state() == "accepted"
    })
    .await;
    assert_eq!(journal.journal_claim(9).await, [id]);
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_the_rest_goes_on() {
    let schema = Schema::new();
    let journal = open(&schema, "node");
    let strange = Entry { flow: "a\0b".to_owned(), ..entry(due_now()) };
    let (refused, taken) = tokio::join!(journal.submit(strange), journal.submit(entry(due_now())));
    assert!(matches!(&refused, Err(JournalError::Unwritable { .. })), "{refused:?}");
    assert_eq!(taken.unwrap(), Submitted::New);
    assert_eq!(journal.health().unwritable, None);
    schema.sql("ALTER TABLE imgserve_jobs RENAME TO elsewhere");
    let error = journal.submit(entry(due_now())).await.unwrap_err();
    assert!(matches!(&error, JournalError::Unwritable { text } if text.contains("42P01")), "{error}");
    assert!(journal.health().unwritable.is_some());
    schema.sql("ALTER TABLE elsewhere RENAME TO imgserve_jobs");
    until("it is not found again", async || journal.submit(entry(due_now())).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_claim_each_job_once_and_take_over_what_a_lease_has_left() {
    let schema = Schema::new();
    let nodes = ["a", "b", "c"].map(|node| open(&schema, node));
    for _ in 0..300 {
        waiting(&nodes[0]).await;
    }
    nodes[0].writer.settled().await.unwrap();
    let claims = nodes.clone().map(|node| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let claimed = node.journal_claim(16).await;
                if claimed.is_empty() {
                    return ids;
                }
                ids.extend(claimed);
            }
        })
    });
    let mut all = Vec::new();
    for claims in claims {
        all.extend(claims.await.unwrap());
    }
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (300, 300));

    let id = waiting(&nodes[0]).await;
    let first = nodes[0].claim(room(1), Duration::from_millis(1)).await.unwrap().claims.remove(0).record;
    until("nobody takes it over", async || {
        let taken = claim(&nodes[1], 1).await;
        taken.first().is_some_and(|claim| claim.record.id == id && claim.record.attempt == 2)
    })
    .await;
    assert!(is_stale(nodes[0].save(first.clone()).await));
    assert!(is_stale(nodes[0].end(ended(&first, JobState::Succeeded), Ending::Ended(None)).await));
}

impl Postgres {
    async fn journal_claim(&self, count: usize) -> Vec<JobId> {
        claim(self, count).await.into_iter().map(|claim| claim.record.id).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_posts_of_one_key_over_three_nodes_are_one_job() {
    let schema = Schema::new();
    let nodes = ["a", "b", "c"].map(|node| open(&schema, node));
    let posts: Vec<_> = (0..100)
        .map(|number: usize| {
            let node = Arc::clone(&nodes[number % 3]);
            let key = IdempotencyKey {
                client: Client::parse("ada"),
                key: "k".to_owned(),
                digest: [7; 32],
                receipt: number.to_string(),
            };
            tokio::spawn(
                async move { node.submit(Entry { key: Some(key), ..entry(due_now()) }).await.unwrap() },
            )
        })
        .collect();
    let mut new = 0;
    let mut receipts = BTreeSet::new();
    for post in posts {
        match post.await.unwrap() {
            Submitted::New => new += 1,
            Submitted::Known(receipt) => drop(receipts.insert(receipt.receipt)),
        }
    }
    assert_eq!((new, receipts.len()), (1, 1));
    assert_eq!(schema.sql("SELECT count(*) FROM imgserve_jobs"), "1");
}

#[tokio::test]
async fn a_node_that_starts_again_has_its_own_at_once_and_nobody_elses() {
    let schema = Schema::new();
    let (a, b) = (open(&schema, "a"), open(&schema, "b"));
    let mut ids = [waiting(&a).await, waiting(&a).await];
    ids.sort_unstable();
    a.writer.settled().await.unwrap();
    let (of_a, of_b) = (claim(&a, 1).await.remove(0), claim(&b, 1).await.remove(0));
    let accepting = due_now();
    a.submit(entry(accepting.clone())).await.unwrap();
    let second = Postgres::open(&schema.opening(READER, "a"), Clock::default()).unwrap_err();
    assert!(matches!(second, JournalError::InUse { .. }), "{second}");
    drop(a);
    let a = open(&schema, "a");
    assert_eq!(state(&a, of_a.record.id).await, Some(JobState::Accepted));
    assert_eq!(state(&a, accepting.id).await, Some(JobState::Accepted), "its client may have had its reply");
    assert_eq!(state(&a, of_b.record.id).await, Some(JobState::Running));
}

#[tokio::test]
async fn one_node_at_a_time_forgets() {
    let schema = Schema::new();
    let journal = open(&schema, "node");
    let id = waiting(&journal).await;
    let claimed = claim(&journal, 1).await.remove(0).record;
    journal.end(ended(&claimed, JobState::Failed), Ending::Ended(None)).await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext('imgserve prune'))";
    let mut other = Link::open(&address_of(&schema.opening(READER, "x")).unwrap()).await.unwrap();
    other.run("BEGIN").await.unwrap();
    other.query(lock, &[]).await.unwrap();
    journal.prune(0, KEPT).await.unwrap();
    assert!(state(&journal, id).await.is_some(), "two nodes forgot at once");
    other.run("COMMIT").await.unwrap();
    journal.prune(0, KEPT).await.unwrap();
    assert_eq!(state(&journal, id).await, None);
}

#[tokio::test]
async fn very_many_are_forgotten_in_portions() {
    let schema = Schema::new();
    let journal = open(&schema, "node");
    waiting(&journal).await;
    let claimed = claim(&journal, 1).await.remove(0).record;
    journal.end(ended(&claimed, JobState::Failed), Ending::Ended(None)).await.unwrap();
    schema.sql(
        "INSERT INTO imgserve_finished SELECT gen_random_uuid(), nextval('imgserve_came'), node, place, state, priority, due_at_ms, \
         attempt, operation, client, accepted_at_ms, finished_at_ms + n, flow, cost, instructions, record \
         FROM imgserve_finished, generate_series(1, 1700) AS n; INSERT INTO imgserve_changes VALUES ('failed', '', 1700)",
    );
    for keep in [100, 0] {
        journal.prune(keep, KEPT).await.unwrap();
        assert_eq!(schema.sql("SELECT count(*) FROM imgserve_finished"), keep.to_string());
        let counts = journal.counts().await.unwrap();
        assert!(counts.states.contains(&(JobState::Failed, keep as u64)), "{counts:?}");
    }
}

#[test]
fn tables_are_made_once_checked_and_a_later_programs_are_refused() {
    let schema = Schema::new();
    let by_hand = |node: &str| {
        let mut opening = schema.opening(READER, node);
        opening.database.migrate = false;
        opening
    };
    let missing = Postgres::open(&by_hand("a"), Clock::default()).unwrap_err().to_string();
    assert!(missing.contains("tables are missing") && missing.contains("imgserve migrate"), "{missing}");
    assert_eq!(check(&by_hand("a")).unwrap_err().to_string(), missing);
    check(&schema.opening(READER, "a")).unwrap();
    assert_eq!(schema.sql("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"), "0");
    // All at once.
    let threads = ["a", "b", "c"].map(|node| {
        let opening = schema.opening(READER, node);
        std::thread::spawn(move || Postgres::open(&opening, Clock::default()).map(drop))
    });
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    Postgres::open(&by_hand("a"), Clock::default()).unwrap();
    // One that only adds is nobody's trouble.
    schema.sql("UPDATE imgserve_journal SET version = 9; ALTER TABLE imgserve_jobs ADD COLUMN more text");
    Postgres::open(&schema.opening(READER, "a"), Clock::default()).unwrap();
    assert_eq!(schema.sql("SELECT version FROM imgserve_journal"), "9");
    schema.sql("UPDATE imgserve_journal SET needs = 9");
    for refused in [
        Postgres::open(&schema.opening(READER, "a"), Clock::default()).map(drop).unwrap_err(),
        check(&schema.opening(READER, "a")).unwrap_err(),
        migrate(&schema.opening(READER, "a")).map(drop).unwrap_err(),
    ] {
        assert!(matches!(refused, JournalError::TooNew { found: 9, known: schema::KNOWN, .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_job_whose_story_is_a_later_programs_waits_and_hides_no_other() {
    let schema = Schema::new();
    let journal = open(&schema, "node");
    let strange = Record { priority: Priority::High, ..due_now() };
    let id = strange.id;
    journal.submit(entry(strange)).await.unwrap();
    journal.release(id);
    let known = waiting(&journal).await;
    journal.writer.settled().await.unwrap();
    let later = r#"{"version":4,"tale":[]}"#;
    schema.sql(&format!("UPDATE imgserve_jobs SET record = '{later}' WHERE priority = 2"));
    assert_eq!(journal.journal_claim(9).await, [known]);
    assert!(claim(&journal, 9).await.is_empty(), "it comes back");
    let record = journal.get(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt), (JobState::Accepted, 0));
    assert!(record.held.unwrap().why.contains("version 4"));
    assert_eq!(
        schema.sql("SELECT record FROM imgserve_jobs WHERE priority = 2"),
        later,
        "it was written over"
    );
}

#[test]
fn what_cannot_be_reached_is_said_without_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let database =
        Database { node_file: directory.path().join("node"), migrate: true, ..Database::default() };
    let address = "postgresql://ada:s3cret@127.0.0.1:1/jobs".to_owned();
    let opening = Opening { address, reader: READER.to_owned(), database };
    let error = Postgres::open(&opening, Clock::default()).unwrap_err().to_string();
    assert!(error.contains("ada@127.0.0.1:1/jobs") && !error.contains("s3cret"), "{error}");
}
