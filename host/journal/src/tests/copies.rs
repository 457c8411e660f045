//! Journals that are copied: from a file into a database and back, whatever stands in them.

use imgserve_base::job::{Output, OutputState};

use super::postgres::Schema;
use super::*;
use crate::store::{IdempotencyKey, Receipt};

const LEASE: Duration = Duration::from_secs(60);

fn file(path: &std::path::Path) -> Opening {
    let database = Database { node_file: path.with_extension("node"), ..Database::default() };
    Opening { address: path.display().to_string(), reader: READER.to_owned(), database }
}

/// A job with a key that stays with its files.
fn keyed() -> Entry {
    let output = Output {
        operation: "resize".to_owned(),
        destination: "file:///pictures/a.png".to_owned(),
        state: OutputState::Waiting,
        width: 1,
        height: 1,
        format: "png".to_owned(),
        bytes: None,
        warnings: Vec::new(),
        error: None,
    };
    let key = IdempotencyKey {
        client: Client::parse("ada"),
        key: "k".to_owned(),
        digest: [7; 32],
        receipt: "receipt".to_owned(),
    };
    let due_at_ms = imgserve_base::clock::steady_ms() + 3_600_000;
    let record = Record { outputs: vec![output], client: Client::parse("ada"), due_at_ms, ..record() };
    Entry { key: Some(key), ..entry(record) }
}

/// Jobs in all states, a key and webhooks.
async fn fill(journal: &dyn Journal) {
    for _ in 0..4 {
        let record = record();
        let id = record.id;
        journal.submit(entry(record)).await.unwrap();
        journal.release(id);
    }
    let claims = journal.claim(room(4), LEASE).await.unwrap().claims;
    let records: Vec<Record> = claims.into_iter().map(|claim| claim.record).collect();
    for (record, state) in records.iter().zip([JobState::Succeeded, JobState::Failed]) {
        let told = notice(&format!("msg-{state}"), record.id);
        journal.end(ended(record, state), Ending::Ended(Some(told))).await.unwrap();
    }
    let claimed = journal.claim_notices(room(1), LEASE).await.unwrap().0.remove(0).notice;
    journal.end_notice(claimed.id, claimed.attempt, Delivery::GivenUp).await.unwrap();
    journal.hold(records[2].id, records[2].attempt, "why".to_owned());
    let keyed = keyed();
    let id = keyed.record.id;
    journal.submit(keyed).await.unwrap();
    journal.release(id);
    journal.counts().await.unwrap();
}

/// What there is to see; moments but for their order, and nodes, are each store's own.
async fn seen(journal: &dyn Journal) -> (Vec<Record>, Counts, Option<Receipt>) {
    let records = journal.list(Filter { limit: 100, ..Filter::default() }).await.unwrap();
    let now_ms = imgserve_base::clock::steady_ms();
    let told =
        |record: Record| Record { due_at_ms: u64::from(record.due_at_ms > now_ms), node: None, ..record };
    let mut counts = journal.counts().await.unwrap();
    counts.unfinished.retain(|(_, jobs)| *jobs > 0);
    counts.unfinished.sort_by_key(|(client, _)| client.to_string());
    let receipt = journal.receipt(&Client::parse("ada"), "k").await.unwrap();
    (records.into_iter().map(told).collect(), counts, receipt)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_is_the_same_in_a_database_and_back_in_a_file() {
    let (directory, schema) = (tempfile::tempdir().unwrap(), Schema::new());
    let at = |name: &str| file(&directory.path().join(name));
    let (first, second, database) = (at("first.db"), at("second.db"), schema.opening(READER, "node"));
    let journal = open(&first).unwrap();
    fill(&*journal).await;
    let in_use = copied(&first, &database).unwrap_err();
    assert!(matches!(in_use, JournalError::InUse { .. }), "{in_use}");
    drop(journal);
    let journal = open(&first).unwrap();
    let before = seen(&*journal).await;
    assert_eq!((before.0.len(), before.1.notices), (5, 1));
    drop(journal);

    let there = Copied { jobs: 5, keys: 1, notices: 2, known: 0 };
    assert_eq!(copied(&first, &database).unwrap(), there);
    let journal = open(&database).unwrap();
    assert_eq!(seen(&*journal).await, before);
    let stays =
        journal.list(Filter { client: Some(Client::parse("ada")), limit: 9, ..Filter::default() }).await;
    assert!(stays.unwrap()[0].node.as_ref().unwrap().stays, "its files are this node's");
    let in_use = copied(&database, &second).unwrap_err();
    assert!(matches!(in_use, JournalError::InUse { .. }), "{in_use}");
    drop(journal);

    assert_eq!(copied(&database, &second).unwrap(), there);
    // As if it had been broken off.
    let again = Copied { known: 8, ..Copied::default() };
    assert_eq!(copied(&database, &second).unwrap(), again);
    assert_eq!(copied(&second, &database).unwrap(), again);
    assert_eq!(seen(&*open(&second).unwrap()).await, before);
    assert_eq!(seen(&*open(&database).unwrap()).await, before);
}

fn copied(from: &Opening, to: &Opening) -> Result<Copied, JournalError> {
    let (from, to) = (from.clone(), to.clone());
    // As a program without a runtime does it.
    std::thread::spawn(move || copy(&from, &to, false, |_| {})).join().unwrap()
}
