//! Webhooks: claimed like jobs, gone when they are delivered.

use super::*;

/// A journal with a failed job's webhook.
async fn place() -> Place {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let record = place.claim(1).await.remove(0).record;
    let outcome = Ending::Ended(Some(notice("msg", id)));
    place.journal.end(ended(&record, JobState::Failed), outcome).await.unwrap();
    place
}

#[tokio::test]
async fn a_webhook_is_claimed_until_it_is_delivered() {
    let place = place().await;
    assert_eq!(place.journal.claim_notices(9, 49, 80).await.unwrap(), (Vec::new(), Some(50)));
    let (claimed, next) = place.journal.claim_notices(9, 50, 80).await.unwrap();
    assert_eq!((claimed.len(), next), (1, Some(81)));
    assert_eq!(claimed[0], Notice { attempt: 1, ..notice("msg", claimed[0].job) });
    assert!(place.journal.claim_notices(9, 80, 90).await.unwrap().0.is_empty());

    place.journal.end_notice("msg".to_owned(), 1, Some(100)).await.unwrap();
    assert_eq!(place.journal.claim_notices(9, 99, 200).await.unwrap(), (Vec::new(), Some(100)));
    assert_eq!(place.journal.claim_notices(9, 100, 200).await.unwrap().0[0].attempt, 2);
    place.journal.end_notice("msg".to_owned(), 1, None).await.unwrap();
    assert_eq!(place.journal.counts().await.unwrap().notices, 1, "a stale try ended it");
    place.journal.end_notice("msg".to_owned(), 2, None).await.unwrap();
    assert_eq!(place.journal.counts().await.unwrap().notices, 0);
    assert_eq!(place.journal.claim_notices(9, 999, 1000).await.unwrap(), (Vec::new(), None));
}

#[tokio::test]
async fn a_webhooks_lease_ends_with_its_time() {
    let place = place().await;
    place.journal.claim_notices(9, 50, 80).await.unwrap();
    assert_eq!(place.journal.claim_notices(9, 81, 1000).await.unwrap().0[0].attempt, 2);
}

#[tokio::test]
async fn a_webhook_that_is_put_off_was_not_tried() {
    let place = place().await;
    let claimed = place.journal.claim_notices(9, 50, 80).await.unwrap().0;
    let stale = vec![("msg".to_owned(), 9)];
    place.journal.put_off_notices(stale, 999).await.unwrap();
    place.journal.put_off_notices(vec![("msg".to_owned(), claimed[0].attempt)], 70).await.unwrap();
    assert_eq!(place.journal.claim_notices(9, 69, 200).await.unwrap(), (Vec::new(), Some(70)));
    assert_eq!(place.journal.claim_notices(9, 70, 200).await.unwrap().0[0].attempt, 1);
}
