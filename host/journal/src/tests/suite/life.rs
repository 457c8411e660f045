//! A job's way through the journal: claims, leases, stale attempts, ends.

use super::*;

#[tokio::test]
async fn the_best_jobs_are_claimed_first_and_none_before_it_is_due() {
    let place = Place::new();
    let low = place.waiting(Priority::Low, 10).await;
    let late = place.waiting(Priority::Normal, 30).await;
    let early = place.waiting(Priority::Normal, 20).await;
    let same_time = place.waiting(Priority::Normal, 20).await;
    let high = place.waiting(Priority::High, 90).await;
    let _future = place.waiting(Priority::High, 170).await;
    let accepting = record();
    place.journal.submit(entry(accepting.clone())).await.unwrap();

    let first = place.claim_at(room(3), 100, 200).await;
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.record.id).collect::<Vec<_>>();
    assert_eq!(ids(&first.claims), [high, early, same_time]);
    assert_eq!(first.next_due_ms, Some(170));
    for claim in &first.claims {
        assert_eq!((claim.record.state, claim.record.attempt), (JobState::Running, 1));
        assert_eq!(claim.order, "{\"how\":1}");
        assert_eq!(place.journal.get(claim.record.id).await.unwrap(), Some(claim.record.clone()));
    }
    assert_eq!(ids(&place.claim(10).await), [late, low]);
    assert!(place.claim(10).await.is_empty());
    assert_eq!(place.state(accepting.id).await, JobState::Accepting);
}

#[tokio::test]
async fn a_lease_that_ends_makes_its_job_claimable_and_its_attempt_stale() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let first = place.claim(1).await.remove(0).record;
    // Extended, it is still held after its first lease.
    place.journal.heartbeat(vec![(id, 1), (JobId::generate(), 1), (id, 7)], place.until(300)).await.unwrap();
    let none = place.claim_at(room(1), 300, 400).await;
    assert_eq!((none.claims.len(), none.next_due_ms), (0, Some(301)));

    let second = place.claim_at(room(1), 301, 400).await.claims.remove(0).record;
    assert_eq!((second.id, second.attempt), (id, 2));
    assert!(is_stale(place.journal.save(first.clone()).await));
    let done = ended(&first, JobState::Succeeded);
    assert!(is_stale(place.journal.end(done, Ending::Ended(Some(notice("n", id)))).await));
    assert!(is_stale(place.journal.end(first, Ending::Again(Duration::ZERO)).await));
    assert_eq!(place.journal.get(id).await.unwrap().unwrap(), second, "a stale attempt changed something");
    assert_eq!(place.journal.counts().await.unwrap().notices, 0);
}

#[tokio::test]
async fn what_an_attempt_has_planned_is_the_next_ones_and_a_stale_one_plans_nothing() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let planned = Record { source: "planned".to_owned(), ..place.claim(1).await.remove(0).record };
    place.journal.plan(planned.clone(), "{\"how\":2}".to_owned(), 7).await.unwrap();
    assert_eq!(place.journal.get(id).await.unwrap().unwrap(), planned);
    // Killed, and begun anew.
    let place = place.reopened(READER);
    let next = place.claim(1).await.remove(0);
    assert_eq!((next.order.as_str(), next.cost, next.record.source.as_str()), ("{\"how\":2}", 7, "planned"));
    assert!(is_stale(place.journal.plan(planned, "{}".to_owned(), 9).await));
    assert_eq!(place.journal.order(id).await.unwrap().as_deref(), Some("{\"how\":2}"));
}

#[tokio::test]
async fn an_attempt_saves_its_story_and_ends_once() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let claimed = place.claim(1).await.remove(0).record;
    let saved = Record { source: "changed".to_owned(), ..claimed };
    place.journal.save(saved.clone()).await.unwrap();
    assert_eq!(place.journal.get(id).await.unwrap().unwrap(), saved);

    let done = ended(&saved, JobState::Succeeded);
    place.journal.end(done.clone(), Ending::Ended(Some(notice("n", id)))).await.unwrap();
    assert_eq!(place.journal.get(id).await.unwrap().unwrap(), done);
    assert_eq!(place.journal.counts().await.unwrap().notices, 1);
    assert!(is_stale(place.journal.save(saved.clone()).await));
    assert!(is_stale(place.journal.end(done.clone(), Ending::Ended(None)).await), "it ended twice");
    assert!(!place.journal.replay(done).await.unwrap(), "a job that succeeded was done again");
    assert!(!place.journal.cancel(ended(&saved, JobState::Cancelled), None).await.unwrap());
    assert_eq!(place.state(id).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_state_that_is_not_final_ends_nothing() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let claimed = place.claim(1).await.remove(0).record;
    for state in [JobState::Accepting, JobState::Accepted, JobState::Running] {
        let wrong = ended(&claimed, state);
        assert!(is_stale(place.journal.end(wrong, Ending::Ended(None)).await), "{state:?}");
    }
    assert_eq!(place.state(id).await, JobState::Running);
}

#[tokio::test]
async fn a_job_is_tried_again_when_it_is_due() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let first = place.claim(1).await.remove(0).record;
    place.journal.end(first, Ending::Again(place.until(500))).await.unwrap();
    let waiting = place.journal.get(id).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.due_at_ms, waiting.attempt), (JobState::Accepted, 500, 1));
    let none = place.claim_at(room(1), 499, 600).await;
    assert_eq!((none.claims.len(), none.next_due_ms), (0, Some(500)));
    let second = place.claim_at(room(1), 500, 600).await.claims.remove(0).record;
    assert_eq!(second.attempt, 2);
}

#[tokio::test]
async fn what_is_given_back_is_as_if_it_had_not_been_claimed() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let first = place.claim(1).await.remove(0).record;
    place.journal.give_back(vec![(id, 7), (id, 1)]).await.unwrap();
    assert!(is_stale(place.journal.save(first).await));
    assert_eq!(place.journal.get(id).await.unwrap().unwrap().attempt, 0);
    assert_eq!(place.claim(1).await.remove(0).record.attempt, 1);
}

#[tokio::test]
async fn only_a_job_that_waits_is_cancelled_and_it_can_be_replayed() {
    let place = Place::new();
    let running = place.waiting(Priority::Normal, 10).await;
    let claimed = place.claim(1).await.remove(0).record;
    let waiting = place.waiting(Priority::Normal, 10).await;
    let cancelled = |record: &Record| ended(record, JobState::Cancelled);
    assert!(!place.journal.cancel(cancelled(&claimed), Some(notice("a", running))).await.unwrap());
    let record = place.journal.get(waiting).await.unwrap().unwrap();
    assert!(place.journal.cancel(cancelled(&record), Some(notice("b", waiting))).await.unwrap());
    assert!(!place.journal.cancel(cancelled(&record), Some(notice("c", waiting))).await.unwrap());
    assert_eq!(place.journal.counts().await.unwrap().notices, 1);
    assert!(place.claim(9).await.is_empty());

    let again = Record { due_at_ms: 60, ..cancelled(&record) };
    assert!(place.journal.replay(again.clone()).await.unwrap());
    assert!(!place.journal.replay(again).await.unwrap(), "it waits already");
    let story = place.journal.get(waiting).await.unwrap().unwrap();
    assert_eq!((story.state, story.due_at_ms, story.finished_at_ms), (JobState::Accepted, 60, None));
    assert_eq!(place.claim(9).await.len(), 1);
    assert_eq!(place.journal.order(waiting).await.unwrap().as_deref(), Some("{\"how\":1}"));
}

#[tokio::test]
async fn a_cancelled_job_is_not_released() {
    let place = Place::new();
    let record = record();
    place.journal.submit(entry(record.clone())).await.unwrap();
    assert!(place.journal.cancel(ended(&record, JobState::Cancelled), None).await.unwrap());
    place.journal.release(record.id);
    assert!(place.claim(1).await.is_empty());
    assert_eq!(place.state(record.id).await, JobState::Cancelled);
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged() {
    let place = Place::new();
    let mut ids = Vec::new();
    for number in 0..9 {
        let (operation, client) = if number % 3 == 0 { ("rasterize", "ada") } else { ("resize", "") };
        let record = Record { operation: operation.to_owned(), client: Client::parse(client), ..record() };
        ids.push(record.id);
        if number == 8 {
            // Nobody is told when this is done, but that it is before what is asked for next.
            ids[..4].iter().for_each(|id| place.journal.release(*id));
        }
        place.journal.submit(entry(record)).await.unwrap();
    }
    ids.reverse();
    let list = async |filter: Filter| {
        let records = place.journal.list(filter).await.unwrap();
        records.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let all = Filter { limit: 100, ..Filter::default() };
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(Filter { limit: 4, ..all.clone() }).await, ids[..4]);
    assert_eq!(list(Filter { before: Some(ids[3]), limit: 4, ..all.clone() }).await, ids[4..8]);
    let waiting = Filter { states: vec![JobState::Accepted, JobState::Failed], ..all.clone() };
    assert_eq!(list(waiting.clone()).await, ids[5..]);
    assert_eq!(list(Filter { operation: Some("rasterize".to_owned()), ..waiting }).await, [ids[5], ids[8]]);
    let ada = Filter { client: Some(Client::parse("ada")), ..all.clone() };
    assert_eq!(list(ada.clone()).await, [ids[2], ids[5], ids[8]]);
    let digits = |id: JobId| id.to_string().replace('-', "");
    let part = |part: &str, filter: &Filter| Filter { id: Some(part.to_owned()), ..filter.clone() };
    for id in [ids[0], ids[5], ids[8]] {
        assert_eq!(list(part(&digits(id)[20..], &all)).await, [id]);
        assert_eq!(list(part(&digits(id), &all)).await, [id]);
    }
    assert!(list(part(&digits(ids[0])[20..], &ada)).await.is_empty());
    assert_eq!(
        list(part(&digits(ids[2])[..4], &ada)).await,
        [ids[2], ids[5], ids[8]],
        "a time that they share"
    );

    let counts = place.journal.counts().await.unwrap();
    let of = |state| counts.states.iter().find(|(found, _)| *found == state).unwrap().1;
    assert_eq!((of(JobState::Accepting), of(JobState::Accepted), of(JobState::Failed)), (5, 4, 0));
    let mut unfinished = counts.unfinished;
    unfinished.sort_by_key(|(client, _)| client.to_string());
    assert_eq!(unfinished, [(Client::Anyone, 6), (Client::parse("ada"), 3)]);
}

#[tokio::test]
async fn the_last_finished_jobs_are_kept() {
    let place = Place::new();
    let mut ids = Vec::new();
    for _ in 0..450 {
        ids.push(place.waiting(Priority::Normal, 10).await);
    }
    let waiting = place.waiting(Priority::Low, 10).await;
    for claim in place.claim(450).await {
        place.journal.end(ended(&claim.record, JobState::Failed), Ending::Ended(None)).await.unwrap();
    }
    let left = async || {
        let all = place.journal.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap();
        all.into_iter().map(|record| record.id).rev().collect::<Vec<_>>()
    };
    place.journal.prune(450, KEPT).await.unwrap();
    assert_eq!(left().await.len(), 451);
    place.journal.prune(5, KEPT).await.unwrap();
    assert_eq!(left().await[..5], ids[445..]);
    place.journal.prune(0, KEPT).await.unwrap();
    assert_eq!(left().await, [waiting]);
}

#[tokio::test]
async fn a_job_that_ends_by_a_clock_that_was_set_back_is_not_the_first_to_be_forgotten() {
    let place = Place::new();
    let mut ids = Vec::new();
    for finished in [150, 150, 150, 50] {
        ids.push(place.waiting(Priority::Normal, 10).await);
        let record = place.claim(1).await.remove(0).record;
        let record = Record { finished_at_ms: Some(finished), ..ended(&record, JobState::Succeeded) };
        place.journal.end(record, Ending::Ended(None)).await.unwrap();
    }
    place.journal.prune(2, KEPT).await.unwrap();
    assert!(place.journal.get(ids[0]).await.unwrap().is_none());
    for id in &ids[1..] {
        assert!(place.journal.get(*id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_job_that_is_put_off_waits_for_its_time_and_was_not_tried() {
    let place = Place::new();
    let (off, next) = (place.waiting(Priority::Normal, 10).await, place.waiting(Priority::Normal, 20).await);
    assert_eq!(place.claim(1).await[0].record.id, off);
    place.journal.put_off(vec![(off, 1), (next, 1)], place.until(150)).await.unwrap();
    let claimed = place.claim(9).await;
    assert_eq!((claimed.len(), claimed[0].record.id), (1, next), "it keeps nobody waiting");
    let again = place.claim_at(room(9), 150, 200).await.claims;
    assert_eq!((again[0].record.id, again[0].record.attempt), (off, 1));
}

#[tokio::test]
async fn a_clock_that_was_set_back_before_a_start_holds_nothing_back() {
    const HOUR: u64 = 3_600_000;
    let pauses = (Duration::from_millis(500), Duration::from_millis(700));
    let place = Place::new();
    let tried = place.waiting(Priority::High, 10).await;
    let record = place.claim(1).await.remove(0).record;
    place.journal.end(record, Ending::Again(place.until(3 * HOUR))).await.unwrap();
    let soon = place.waiting(Priority::Normal, 10).await;
    let record = place.claim(1).await.remove(0).record;
    place.journal.end(record, Ending::Again(place.until(1300))).await.unwrap();
    let new = place.waiting(Priority::Low, 3 * HOUR).await;
    place.at(1000).await;
    place.journal.bring_forward(pauses.0, pauses.1).await.unwrap();

    let due = async |now_ms| {
        let claimed = place.claim_at(room(10), now_ms, 4 * HOUR).await.claims;
        claimed.into_iter().map(|claim| claim.record.id).collect::<Vec<_>>()
    };
    assert_eq!(due(1000).await, [new], "what was never tried is due");
    assert_eq!(due(1299).await, []);
    assert_eq!(due(1300).await, [soon], "a pause that is possible is kept");
    assert_eq!((due(1499).await, due(1500).await), (vec![], vec![tried]));
}
