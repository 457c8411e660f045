//! Whose jobs are handed out: clients take turns, however many jobs one of them has.

use super::*;

impl Place {
    /// So many jobs of a client's, each with this priority and cost.
    async fn wait_of(&self, flow: &str, jobs: usize, priority: Priority, cost: u64) -> Vec<JobId> {
        let mut ids = Vec::new();
        for _ in 0..jobs {
            let record = Record { priority, client: Client::parse(flow), ..record() };
            ids.push(record.id);
            self.journal.submit(Entry { cost, ..entry(record) }).await.unwrap();
            self.journal.release(*ids.last().unwrap());
        }
        ids
    }

    /// Whose jobs are handed out, in order.
    async fn flows(&self, room: Room) -> Vec<String> {
        let claimed = self.claim_at(room, 100, 200).await;
        claimed.claims.into_iter().map(|claim| claim.flow).collect()
    }
}

#[tokio::test]
async fn a_clients_only_job_does_not_wait_behind_many_of_another() {
    let place = Place::new();
    place.wait_of("many", 300, Priority::High, 24_000_000).await;
    assert_eq!(place.flows(room(4)).await, ["many"; 4]);
    let only = place.wait_of("one", 1, Priority::Low, 24_000_000).await;
    let next = place.claim(1).await.remove(0);
    assert_eq!((next.record.id, next.flow.as_str(), next.cost), (only[0], "one", 24_000_000));
    assert_eq!(place.flows(room(2)).await, ["many"; 2], "it has no more to do");
}

#[tokio::test]
async fn clients_take_turns_by_what_their_jobs_cost_and_by_weight() {
    let place = Place::new();
    place.wait_of("large", 40, Priority::Normal, 24_000_000).await;
    place.wait_of("small", 40, Priority::Normal, 2_000_000).await;
    let turns = place.flows(room(26)).await;
    let large = turns.iter().filter(|flow| *flow == "large").count();
    assert_eq!(large, 2, "{turns:?}");

    let place = Place::new();
    place.wait_of("a", 40, Priority::Normal, 1_000_000).await;
    place.wait_of("b", 40, Priority::Normal, 1_000_000).await;
    let weights = [("b".into(), 3)].into();
    let turns = place.flows(Room { weights, ..room(20) }).await;
    assert_eq!(turns.iter().filter(|flow| *flow == "b").count(), 15, "{turns:?}");
}

#[tokio::test]
async fn no_client_has_more_under_way_than_are_free() {
    let place = Place::new();
    place.wait_of("a", 40, Priority::Normal, 1_000_000).await;
    let shared = |free, under_way: &[(&str, usize)]| Room {
        shared: true,
        under_way: under_way.iter().map(|(flow, jobs)| ((*flow).into(), *jobs)).collect(),
        ..room(free)
    };
    let claimed = place.claim_at(shared(20, &[]), 100, 200).await;
    assert_eq!((claimed.claims.len(), claimed.full), (10, true), "more wait for the end of one");
    let again = place.claim_at(shared(10, &[("a", 10)]), 100, 200).await;
    assert_eq!((again.claims.len(), again.full), (0, true));
    place.wait_of("b", 40, Priority::Normal, 1_000_000).await;
    assert_eq!(place.flows(shared(10, &[("a", 10)])).await, ["b"; 5]);
    let rest = place.claim_at(shared(500, &[]), 100, 200).await;
    assert_eq!((rest.claims.len(), rest.full), (65, false));
}

#[tokio::test]
async fn a_client_whose_jobs_are_not_due_keeps_nobody_waiting() {
    let place = Place::new();
    let later = Record { client: Client::parse("a"), due_at_ms: 500, ..record() };
    place.journal.submit(entry(later.clone())).await.unwrap();
    place.journal.release(later.id);
    place.wait_of("b", 2, Priority::Normal, 1_000_000).await;
    let claimed = place.claim_at(room(9), 100, 900).await;
    assert_eq!((claimed.claims.len(), claimed.full, claimed.next_due_ms), (2, false, Some(500)));
    let due = place.claim_at(room(9), 500, 900).await;
    assert_eq!(due.claims[0].record.id, later.id);
}

#[tokio::test]
async fn very_many_clients_are_each_next_once() {
    let place = Place::new();
    for client in 0..300 {
        place.wait_of(&format!("client-{client}"), 2, Priority::Normal, 1_000_000).await;
    }
    let (mut first, mut second) = (place.flows(room(100)).await, place.flows(room(500)).await);
    first.extend(second.drain(..200));
    for mut round in [first, second] {
        round.sort_unstable();
        round.dedup();
        assert_eq!(round.len(), 300, "somebody had two turns before another had one");
    }
}

#[tokio::test]
async fn a_job_that_waits_alone_is_its_clients_turn_and_within_its_share() {
    let place = Place::new();
    let only = place.wait_of("a", 1, Priority::Normal, 24_000_000).await;
    let with = |own| Room { shared: true, under_way: [("a".into(), own)].into(), ..room(4) };
    let none = place.claim_at(with(4), 100, 200).await;
    assert_eq!((none.claims.len(), none.full), (0, true), "it has as much under way as is free");
    let one = place.claim_at(with(3), 100, 200).await;
    assert_eq!((one.claims[0].record.id, one.claims.len()), (only[0], 1));
    let last = place.wait_of("a", 1, Priority::Normal, 1_000_000).await;
    assert_eq!(place.claim(1).await[0].record.id, last[0]);
    place.wait_of("a", 1, Priority::Normal, 1_000_000).await;
    place.wait_of("b", 1, Priority::Normal, 1_000_000).await;
    assert_eq!(place.flows(room(2)).await, ["b", "a"], "its turns before were not counted");
}
