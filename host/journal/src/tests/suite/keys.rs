//! Idempotency keys: one key, one job.

use super::*;
use crate::IdempotencyKey;

fn keyed(client: &str, key: &str, receipt: &str) -> Entry {
    let key = IdempotencyKey {
        client: Client::parse(client),
        key: key.to_owned(),
        digest: [7; 32],
        receipt: receipt.to_owned(),
    };
    Entry { key: Some(key), ..entry(record()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_submissions_of_one_key_are_one_job() {
    let place = Arc::new(Place::new());
    let submissions: Vec<_> = (0..100)
        .map(|number| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let receipt = format!("receipt {number}");
                (receipt.clone(), place.journal.submit(keyed("ada", "k", &receipt)).await.unwrap())
            })
        })
        .collect();
    let (mut new, mut known) = (Vec::new(), Vec::new());
    for submission in submissions {
        match submission.await.unwrap() {
            (receipt, Submitted::New) => new.push(receipt),
            (_, Submitted::Known(receipt)) => known.push(receipt),
        }
    }
    assert_eq!((new.len(), known.len()), (1, 99));
    let receipt = Receipt { digest: [7; 32], receipt: new.remove(0) };
    assert!(known.iter().all(|known| *known == receipt));
    assert_eq!(place.journal.list(Filter { limit: 9, ..Filter::default() }).await.unwrap().len(), 1);
    assert_eq!(place.journal.receipt(&Client::parse("ada"), "k").await.unwrap(), Some(receipt));
}

#[tokio::test]
async fn a_key_is_its_clients_own_and_goes_with_a_withdrawn_job() {
    let place = Place::new();
    let first = keyed("ada", "k", "1");
    let id = first.record.id;
    assert_eq!(place.journal.submit(first).await.unwrap(), Submitted::New);
    assert_eq!(place.journal.submit(keyed("bob", "k", "2")).await.unwrap(), Submitted::New);
    assert_eq!(place.journal.receipt(&Client::parse("ada"), "other").await.unwrap(), None);
    place.journal.withdraw(id).await.unwrap();
    assert_eq!(place.journal.get(id).await.unwrap(), None);
    assert_eq!(place.journal.receipt(&Client::parse("ada"), "k").await.unwrap(), None);
    assert_eq!(place.journal.receipt(&Client::parse("bob"), "k").await.unwrap().unwrap().receipt, "2");
    assert_eq!(place.journal.submit(keyed("ada", "k", "3")).await.unwrap(), Submitted::New);
}

#[tokio::test]
async fn an_accepted_job_is_not_withdrawn() {
    let place = Place::new();
    let entry = keyed("ada", "k", "1");
    let id = entry.record.id;
    place.journal.submit(entry).await.unwrap();
    place.journal.release(id);
    place.journal.withdraw(id).await.unwrap();
    assert_eq!(place.state(id).await, JobState::Accepted);
    assert!(place.journal.receipt(&Client::parse("ada"), "k").await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_outlives_its_job_and_is_forgotten_when_it_is_old() {
    let place = Place::new();
    let entry = keyed("ada", "k", "1");
    let id = entry.record.id;
    place.at(10).await;
    place.journal.submit(entry).await.unwrap();
    let record = place.journal.get(id).await.unwrap().unwrap();
    assert!(place.journal.cancel(ended(&record, JobState::Cancelled), None).await.unwrap());
    place.at(100).await;
    place.journal.prune(0, Duration::from_millis(90)).await.unwrap();
    assert_eq!(place.journal.get(id).await.unwrap(), None);
    assert!(place.journal.receipt(&Client::parse("ada"), "k").await.unwrap().is_some());
    place.journal.prune(0, Duration::from_millis(89)).await.unwrap();
    assert_eq!(place.journal.receipt(&Client::parse("ada"), "k").await.unwrap(), None);
}
