//! How often the database is asked for one job, and in which words.

use super::*;

/// How many round trips the whole life of a job takes that is alone.
async fn trips(listen: bool) -> u64 {
    let (schema, wire) = (Schema::new(), Wire::to(server().port()));
    let mut opening = over(&wire, schema.opening(READER, "node"));
    opening.database.listen = listen;
    let journal = Postgres::open(&opening, Clock::default()).unwrap();
    let mut trips = Vec::new();
    for _ in 0..20 {
        let before = wire.trips();
        let id = waiting(&journal).await;
        let claimed = claim(&journal, 16).await.remove(0).record;
        assert_eq!((claimed.id, claimed.attempt), (id, 1));
        journal.end(ended(&claimed, JobState::Succeeded), Ending::Ended(None)).await.unwrap();
        trips.push(wire.trips() - before);
    }
    assert_eq!(journal.counts().await.unwrap().unfinished, []);
    // Statements are prepared at first, and what is said now and then comes between.
    trips.into_iter().min().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_alone_takes_four_round_trips() {
    assert_eq!(trips(true).await, 4, "it is taken in, made claimable, claimed and ended");
    assert_eq!(trips(false).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_others_are_claiming_cost_no_further_trip_once_that_is_known() {
    let (schema, wire) = (Schema::new(), Wire::to(server().port()));
    let journal = Postgres::open(&over(&wire, schema.opening(READER, "node")), Clock::default()).unwrap();
    let mut ids = Vec::new();
    for (number, flow) in (1..).zip(["ada", "ada", "ada", "ada", "ada", "ada", "bob", "bob"]) {
        // So far apart that their order is theirs whenever the database hears of them.
        let due = due_now();
        let due = Record { due_at_ms: due.due_at_ms - 8000 / number, ..due };
        ids.push(submitted(&journal, Entry { flow: flow.to_owned(), ..entry(due) }).await);
    }
    journal.writer.settled().await.unwrap();
    // Another node is about to have the first ones.
    let mut other = Link::open(&address_of(&schema.opening(READER, "other")).unwrap()).await.unwrap();
    other.query("BEGIN", &[]).await.unwrap();
    let locked = other.query(
        "SELECT id FROM imgserve_jobs WHERE flow = 'ada' ORDER BY due_at_ms, id LIMIT 2 FOR UPDATE",
        &[],
    );
    assert_eq!(locked.await.unwrap().len(), 2);
    assert_eq!(journal.journal_claim(4).await, [ids[6], ids[7], ids[2], ids[3]]);
    let mut trips = Vec::new();
    for _ in 0..4 {
        for id in &ids[2..4] {
            schema.sql(&format!(
                "UPDATE imgserve_jobs SET state = 'accepted', lease_until_ms = NULL WHERE id = '{id}'"
            ));
        }
        let before = wire.trips();
        assert_eq!(journal.journal_claim(2).await, [ids[2], ids[3]]);
        trips.push(wire.trips() - before);
    }
    // A look and a claim; statements are prepared at first.
    assert_eq!(trips.iter().min(), Some(&2), "{trips:?}");
    other.query("COMMIT", &[]).await.unwrap();
    assert_eq!(journal.journal_claim(9).await, [ids[0], ids[1], ids[4], ids[5]]);
}

#[tokio::test]
async fn what_is_answered_is_on_disk_and_what_nobody_waits_for_is_so_later() {
    let (server, directory) = (Server::start(true), tempfile::tempdir().unwrap());
    let database = Database { node_file: directory.path().join("node"), ..Database::default() };
    let opening = Opening { address: server.url("postgres"), reader: READER.to_owned(), database };
    let journal = Postgres::open(&opening, Clock::default()).unwrap();
    let is_on_disk =
        || server.sql("postgres", "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()") == "t";
    let (mut on_disk, mut later) = (Vec::new(), 0);
    for _ in 0..10 {
        let record = due_now();
        journal.submit(entry(record.clone())).await.unwrap();
        on_disk.push(is_on_disk());
        journal.release(record.id);
        journal.writer.settled().await.unwrap();
        later += u32::from(!is_on_disk());
        let claimed = claim(&journal, 1).await.remove(0).record;
        on_disk.push(is_on_disk());
        journal.end(ended(&claimed, JobState::Succeeded), Ending::Ended(None)).await.unwrap();
        on_disk.push(is_on_disk());
    }
    // The server writes something of its own now and then.
    assert!(on_disk.iter().filter(|on_disk| **on_disk).count() >= 27, "{on_disk:?}");
    assert!(later > 0, "a job's release is waited for");
}

#[tokio::test]
async fn behind_a_pooler_no_connection_knows_a_statement_of_another() {
    let schema = Schema::new();
    let mut opening = schema.opening(READER, "node");
    opening.database.listen = false;
    let known = "SELECT count(*) FROM pg_prepared_statements";
    let mut link = Link::open(&address_of(&opening).unwrap()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(link.query(known, &[]).await.unwrap()[0].get::<_, i64>(0), 0);
    }
    let mut link = Link::open(&address_of(&schema.opening(READER, "node")).unwrap()).await.unwrap();
    assert_eq!(link.query(known, &[]).await.unwrap()[0].get::<_, i64>(0), 1);
}

#[test]
fn what_is_not_on_disk_is_refused_where_a_pooler_lets_nobody_change_that() {
    let schema = Schema::new();
    let mut opening = schema.opening(READER, "node");
    opening.address = opening
        .address
        .replace("&options=-csearch_path", "&options=-csynchronous_commit%3Doff%20-csearch_path");
    Postgres::open(&opening, Clock::default()).unwrap();
    opening.database.listen = false;
    let error = Postgres::open(&opening, Clock::default()).unwrap_err().to_string();
    assert!(error.contains("ALTER ROLE imgserve SET synchronous_commit = on"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_jobs_are_found_while_it_is_seldom_looked_at_all_there_is() {
    let schema = Schema::new();
    let (a, b) = (open(&schema, "a"), open(&schema, "b"));
    let of =
        |flow: &str, priority| Entry { flow: flow.to_owned(), ..entry(Record { priority, ..due_now() }) };
    let rest = async || a.turns.lock().await.rest(Duration::from_secs(3600));
    let first = submitted(&b, of("seen", Priority::Low)).await;
    b.writer.settled().await.unwrap();
    assert_eq!(a.journal_claim(9).await, [first]);
    rest().await;
    // It knows the flows that it has seen, and those of its own jobs.
    let own = submitted(&a, of("own", Priority::Low)).await;
    let (high, low) =
        (submitted(&b, of("seen", Priority::High)).await, submitted(&b, of("seen", Priority::Low)).await);
    let unseen = submitted(&b, of("unseen", Priority::Normal)).await;
    b.writer.settled().await.unwrap();
    let claimed: BTreeSet<_> = a.journal_claim(9).await.into_iter().collect();
    assert_eq!(claimed, BTreeSet::from([own, high, low]));
    // Until it has looked again nobody takes it that nothing is left.
    let none = a.claim(room(9), LEASE).await.unwrap();
    assert!(
        none.claims.is_empty() && none.next_due.is_some_and(|due| due > Duration::from_secs(60)),
        "{none:?}"
    );
    // Where a lease has ended, what it was of may be older than what has come since.
    schema.sql(&format!(
        "UPDATE imgserve_jobs SET lease_until_ms = imgserve_now_ms() - 1, due_at_ms = 1 WHERE id = '{low}'"
    ));
    let freed = a.claim(room(9), LEASE).await.unwrap();
    assert!(freed.claims.is_empty() && freed.next_due == Some(Duration::ZERO), "{freed:?}");
    let rest: BTreeSet<_> = a.journal_claim(9).await.into_iter().collect();
    assert_eq!(rest, BTreeSet::from([low, unseen]));
}
