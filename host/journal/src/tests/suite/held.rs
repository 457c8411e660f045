//! Jobs that a program cannot read: they wait for one that can, and nothing of them is lost.

use super::*;

#[tokio::test]
async fn a_job_that_cannot_be_read_waits_for_another_program() {
    let place = Place::new();
    let id = place.waiting(Priority::High, 10).await;
    let claim = place.claim(1).await.remove(0);
    place.journal.hold(id, claim.record.attempt, "its order is of version 9".to_owned());

    assert!(place.claim(9).await.is_empty());
    let held = place.journal.get(id).await.unwrap().unwrap();
    assert_eq!((held.state, held.attempt), (JobState::Accepted, 0), "it counts as an attempt");
    assert_eq!(held.held, Some(Held { why: "its order is of version 9".to_owned(), story: false }));
    let unfinished = place.journal.counts().await.unwrap().unfinished;
    assert!(unfinished.iter().all(|(_, jobs)| *jobs == 0), "it takes a place");
    let later = place.claim_at(room(9), 1_000_000, 2_000_000).await;
    assert_eq!((later.claims.len(), later.next_due_ms), (0, None), "it comes back");
    assert!(is_stale(place.journal.save(claim.record).await), "its attempt goes on");

    let same = place.reopened(READER);
    assert!(same.claim(9).await.is_empty(), "the same program is asked again");
    let other = same.reopened("another");
    let claim = other.claim(9).await.remove(0);
    assert_eq!((claim.record.id, claim.record.attempt, claim.record.held), (id, 1, None));
    assert_eq!(claim.order, "{\"how\":1}");
}

#[tokio::test]
async fn a_held_job_can_be_cancelled_and_tried_again() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    place.claim(1).await;
    place.journal.hold(id, 1, "why".to_owned());
    place.journal.counts().await.unwrap();
    assert!(place.claim(1).await.is_empty());
    let held = place.journal.get(id).await.unwrap().unwrap();
    assert!(place.journal.cancel(ended(&held, JobState::Cancelled), None).await.unwrap());
    let cancelled = place.journal.get(id).await.unwrap().unwrap();
    assert_eq!((cancelled.state, &cancelled.held), (JobState::Cancelled, &None));
    assert!(place.journal.replay(cancelled).await.unwrap());
    assert_eq!(place.claim(1).await.len(), 1);
}

#[tokio::test]
async fn only_the_current_attempt_holds_its_job() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    place.claim(1).await;
    place.journal.hold(id, 7, "stale".to_owned());
    let record = place.journal.get(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.held), (JobState::Running, None));
}
