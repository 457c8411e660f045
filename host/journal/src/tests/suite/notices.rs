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
    assert_eq!(place.notices_at(room(9), 49, 80).await, (Vec::new(), Some(50)));
    let (claimed, next) = place.notices_at(room(9), 50, 80).await;
    assert_eq!((claimed.len(), next), (1, Some(81)));
    assert_eq!(claimed[0].notice, Notice { attempt: 1, ..notice("msg", claimed[0].notice.job) });
    assert!(place.notices_at(room(9), 80, 90).await.0.is_empty());

    place.journal.end_notice("msg".to_owned(), 1, Delivery::Again(place.until(100))).await.unwrap();
    assert_eq!(place.notices_at(room(9), 99, 200).await, (Vec::new(), Some(100)));
    assert_eq!(place.notices_at(room(9), 100, 200).await.0[0].notice.attempt, 2);
    place.journal.end_notice("msg".to_owned(), 1, Delivery::Delivered).await.unwrap();
    assert_eq!(place.journal.counts().await.unwrap().notices, 1, "a stale try ended it");
    place.journal.end_notice("msg".to_owned(), 2, Delivery::Delivered).await.unwrap();
    assert_eq!(place.journal.counts().await.unwrap().notices, 0);
    assert_eq!(place.notices_at(room(9), 999, 1000).await, (Vec::new(), None));
}

/// A client's jobs that have ended, each with a webhook of this name and a number, due one after the other.
async fn notices_of(place: &Place, client: &str, count: usize) {
    for number in 0..count {
        let record = Record { client: Client::parse(client), ..record() };
        let id = record.id;
        place.journal.submit(entry(record)).await.unwrap();
        place.journal.release(id);
        let record = place.claim(1).await.remove(0).record;
        let due = Notice { created_ms: number as u64, ..notice(&format!("{client} {number}"), id) };
        place.journal.end(ended(&record, JobState::Failed), Ending::Ended(Some(due))).await.unwrap();
    }
}

#[tokio::test]
async fn a_clients_only_webhook_does_not_wait_behind_many_of_another() {
    let place = Place::new();
    notices_of(&place, "many", 30).await;
    notices_of(&place, "one", 1).await;
    let shared = |free, under_way: &[(&str, usize)]| Room {
        free,
        shared: true,
        under_way: under_way.iter().map(|(flow, count)| ((*flow).into(), *count)).collect(),
        ..Room::default()
    };
    let claim = async |room: Room| {
        let claimed = place.notices_at(room, 50, 80).await.0;
        claimed.into_iter().map(|claimed| (claimed.flow, claimed.notice.id)).collect::<Vec<_>>()
    };
    let claimed = claim(shared(4, &[("many", 4)])).await;
    assert_eq!(claimed, [("one".to_owned(), "one 0".to_owned())], "many has as many as are left");
    let claimed = claim(shared(9, &[])).await;
    let wanted: Vec<_> = (0..5).map(|number| ("many".to_owned(), format!("many {number}"))).collect();
    assert_eq!(claimed, wanted, "half of all, those due first");
    assert_eq!(claim(room(99)).await.len(), 25, "where nothing is shared it has all");
}

#[tokio::test]
async fn of_two_clients_the_one_that_waits_longest_is_first_and_a_forgotten_job_keeps_its_turn() {
    let place = Place::new();
    notices_of(&place, "a", 2).await;
    notices_of(&place, "b", 1).await;
    let first = place.notices_at(room(1), 50, 80).await.0.remove(0).notice;
    place.journal.put_off_notices(vec![(first.id, first.attempt)], place.until(60)).await.unwrap();
    place.journal.prune(0, KEPT).await.unwrap();
    let claimed = place.notices_at(room(9), 70, 80).await.0;
    let flows: Vec<_> = claimed.iter().map(|claimed| claimed.flow.as_str()).collect();
    assert_eq!(flows, ["b", "a", "a"]);
}

#[tokio::test]
async fn a_webhooks_lease_ends_with_its_time() {
    let place = place().await;
    place.notices_at(room(9), 50, 80).await;
    assert_eq!(place.notices_at(room(9), 81, 1000).await.0[0].notice.attempt, 2);
}

#[tokio::test]
async fn a_webhook_that_is_put_off_was_not_tried() {
    let place = place().await;
    let claimed = place.notices_at(room(9), 50, 80).await.0;
    let stale = vec![("msg".to_owned(), 9)];
    place.journal.put_off_notices(stale, place.until(999)).await.unwrap();
    place
        .journal
        .put_off_notices(vec![("msg".to_owned(), claimed[0].notice.attempt)], place.until(70))
        .await
        .unwrap();
    assert_eq!(place.notices_at(room(9), 69, 200).await, (Vec::new(), Some(70)));
    assert_eq!(place.notices_at(room(9), 70, 200).await.0[0].notice.attempt, 1);
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_a_start_holds_no_webhook_back_and_makes_none_older() {
    let pauses = (Duration::from_millis(500), Duration::from_millis(700));
    for tried in [false, true] {
        let place = place().await;
        if tried {
            place.notices_at(room(9), 50, 80).await;
            place.journal.end_notice("msg".to_owned(), 1, Delivery::Again(place.until(9000))).await.unwrap();
        }
        place.at(20).await;
        place.journal.bring_forward(pauses.0, pauses.1).await.unwrap();
        let due = if tried { 720 } else { 20 };
        let early = place.notices_at(room(9), due - 1, 9000).await;
        assert_eq!(early, (Vec::new(), Some(due)), "tried: {tried}");
        let claimed = place.notices_at(room(9), due, 9000).await.0.remove(0);
        assert_eq!(claimed.notice.created_ms, 20);
    }
}

#[tokio::test]
async fn how_far_a_webhook_is_can_be_asked_until_its_job_is_forgotten() {
    let place = place().await;
    let job = place.journal.list(Filter { limit: 9, ..Filter::default() }).await.unwrap()[0].id;
    let how_far =
        async || place.journal.notice(job).await.unwrap().map(|notice| (notice.attempt, notice.due_ms));
    assert_eq!(how_far().await, Some((0, Some(50))));
    place.notices_at(room(9), 50, 80).await;
    place.journal.end_notice("msg".to_owned(), 1, Delivery::GivenUp).await.unwrap();
    assert_eq!(how_far().await, Some((1, None)), "it was given up");
    assert_eq!(place.journal.counts().await.unwrap().notices, 0, "nobody waits for it");
    place.at(20).await;
    place.journal.bring_forward(Duration::from_millis(500), Duration::from_millis(700)).await.unwrap();
    assert_eq!(place.notices_at(room(9), 1 << 60, 1 << 61).await, (Vec::new(), None));
    place.journal.prune(1, KEPT).await.unwrap();
    assert!(how_far().await.is_some());
    place.journal.prune(0, KEPT).await.unwrap();
    assert_eq!(how_far().await, None);
}

#[tokio::test]
async fn a_webhook_that_is_given_up_after_its_job_is_forgotten_goes_with_it() {
    let place = place().await;
    let job = place.notices_at(room(9), 50, 80).await.0[0].notice.job;
    place.journal.prune(0, KEPT).await.unwrap();
    assert_eq!(place.journal.counts().await.unwrap().notices, 1, "it is still to be sent");
    place.journal.end_notice("msg".to_owned(), 1, Delivery::Again(place.until(90))).await.unwrap();
    place.notices_at(room(9), 90, 99).await;
    place.journal.end_notice("msg".to_owned(), 2, Delivery::GivenUp).await.unwrap();
    assert_eq!(place.journal.notice(job).await.unwrap(), None);
}

#[tokio::test]
async fn a_webhook_from_before_the_machines_clock_was_set_is_as_new() {
    const NOW: u64 = 1_800_000_000_000;
    let place = place().await;
    let hour = Duration::from_secs(3600);
    place.at(NOW).await;
    place.journal.bring_forward(hour, hour).await.unwrap();
    assert_eq!(place.notices_at(room(9), NOW, NOW + 9).await.0[0].notice.created_ms, NOW);
}

#[tokio::test]
async fn a_webhook_that_is_delivered_is_no_more() {
    let place = place().await;
    let job = place.notices_at(room(9), 50, 80).await.0[0].notice.job;
    place.journal.end_notice("msg".to_owned(), 1, Delivery::Delivered).await.unwrap();
    assert_eq!(place.journal.notice(job).await.unwrap(), None);
}
