//! Nodes beside each other: whose a job is first, what they hear of each other, and what is counted of all.

use super::*;
use crate::store::{Look, News, Presence};

/// Nodes of these names that have seen each other.
async fn together<const N: usize>(schema: &Schema, names: [&str; N]) -> [Arc<Postgres>; N] {
    let nodes = names.map(|name| {
        let mut opening = schema.opening(READER, name);
        opening.database.node_name = name.to_owned();
        Arc::new(Postgres::open(&opening, Clock::default()).unwrap())
    });
    for node in &nodes {
        node.look(Vec::new()).await.unwrap();
        assert_eq!(node.others(), N - 1);
    }
    nodes
}

/// Waits until a node hears this.
async fn hears(node: &Postgres, wanted: News) {
    let heard = async { while !node.heard().await.contains(&wanted) {} };
    tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap_or_else(|_| panic!("{wanted:?}"));
}

/// Until both have begun to listen.
async fn listening(nodes: &[Arc<Postgres>]) {
    for node in nodes {
        hears(node, News::Waiting).await;
    }
}

#[tokio::test]
async fn a_job_is_first_the_one_nodes_that_took_it_in_and_then_anybodys() {
    let schema = Schema::new();
    let [a, b] = together(&schema, ["a", "b"]).await;
    let now = Record { due_at_ms: Clock::default().now() + 60_000, ..due_now() };
    let id = submitted(&a, entry(now)).await;
    a.writer.settled().await.unwrap();
    schema.sql("UPDATE imgserve_jobs SET due_at_ms = imgserve_now_ms()");
    assert!(claim(&b, 1).await.is_empty(), "it is fresh");
    until("another node never has it", async || {
        claim(&b, 1).await.first().is_some_and(|claim| claim.record.id == id)
    })
    .await;
    let fresh = Record { due_at_ms: Clock::default().now(), ..due_now() };
    let own = submitted(&a, entry(fresh)).await;
    assert_eq!(claim(&a, 1).await.remove(0).record.id, own);
}

#[tokio::test]
async fn a_job_that_stays_is_no_other_nodes_and_takes_its_turn_with_others() {
    let schema = Schema::new();
    let [a, b] = together(&schema, ["a", "b"]).await;
    let low = Record { priority: Priority::Low, ..due_now() };
    let high = Record { priority: Priority::High, ..due_now() };
    let stays = submitted(&a, Entry { stays: true, ..entry(due_now()) }).await;
    let (low, high) = (submitted(&a, entry(low)).await, submitted(&a, entry(high)).await);
    a.writer.settled().await.unwrap();
    let told = b.get(stays).await.unwrap().unwrap().node.unwrap();
    assert_eq!((told.name.as_str(), told.stays), ("a", true));
    assert_eq!(claim(&b, 9).await.len(), 2);
    b.give_back(vec![(low, 1), (high, 1)]).await.unwrap();
    assert_eq!(a.journal_claim(9).await, [high, stays, low]);
    let claimed = a.get(stays).await.unwrap().unwrap();
    a.end(ended(&claimed, JobState::Failed), Ending::Ended(None)).await.unwrap();
    // Whoever has it tried again, it is done where its files are.
    let again = Record { state: JobState::Accepted, due_at_ms: due_now().due_at_ms, ..claimed };
    assert!(b.replay(again).await.unwrap());
    assert!(claim(&b, 9).await.is_empty());
    until("it is not done again", async || a.journal_claim(9).await == [stays]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_hear_of_ends_of_wishes_to_cancel_and_of_what_waits() {
    let schema = Schema::new();
    let nodes = together(&schema, ["a", "b"]).await;
    listening(&nodes).await;
    let [a, b] = nodes;
    let id = waiting(&a).await;
    let claimed = claim(&a, 1).await.remove(0).record;
    hears(&b, News::Changed(id)).await;
    assert!(b.ask_to_cancel(id).await.unwrap());
    hears(&a, News::Cancel(id)).await;
    // Who has not heard it sees it.
    assert_eq!(a.look(Vec::new()).await.unwrap().cancel, [id]);
    assert_eq!(
        b.look(vec![id, JobId::generate()]).await.unwrap(),
        Look {
            watched: vec![(id, JobState::Running, 1)],
            unfinished: vec![(Client::Anyone, 1)],
            ..Look::default()
        }
    );
    a.end(ended(&claimed, JobState::Cancelled), Ending::Ended(None)).await.unwrap();
    hears(&b, News::Changed(id)).await;
    assert_eq!(b.look(vec![id]).await.unwrap().watched, [(id, JobState::Cancelled, 1)]);
    assert!(!b.ask_to_cancel(id).await.unwrap(), "nobody has it");
    a.offer();
    hears(&b, News::Waiting).await;
    // A connection that is cut is made again.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = current_schema()";
    schema.sql(cut);
    hears(&b, News::Waiting).await;
    let other = waiting(&a).await;
    until("it is not claimed", async || a.journal_claim(1).await == [other]).await;
}

#[tokio::test]
async fn a_node_that_was_away_for_its_lease_keeps_nothing_that_another_has() {
    let schema = Schema::new();
    let [a, b] = together(&schema, ["a", "b"]).await;
    let (taken, kept) = (waiting(&a).await, waiting(&a).await);
    assert_eq!(claim(&a, 2).await.len(), 2);
    let accepting = due_now();
    a.submit(entry(accepting.clone())).await.unwrap();
    schema.sql(&format!("UPDATE imgserve_jobs SET lease_until_ms = 1 WHERE id = '{taken}'"));
    until("nobody takes it over", async || b.journal_claim(1).await == [taken]).await;
    let mut still = a.heartbeat(vec![(taken, 1), (kept, 1)], LEASE).await.unwrap();
    still.sort_unstable();
    assert_eq!(still, [(kept, 1), (accepting.id, 0)]);
}

#[tokio::test]
async fn nodes_are_told_by_whoever_is_asked() {
    let schema = Schema::new();
    let [a, b] = together(&schema, ["a", "b"]).await;
    b.present(Presence { workers: 3, running: 2 });
    until("it is not told", async || a.nodes().await.unwrap()[1].presence.workers == 3).await;
    let told = |node: &crate::store::NodeSeen| (node.name.clone(), node.is_there, node.is_this);
    let seen: Vec<_> = a.nodes().await.unwrap().iter().map(told).collect();
    assert_eq!(seen, [("a".to_owned(), true, true), ("b".to_owned(), true, false)]);
    drop(b);
    let seen = a.nodes().await.unwrap();
    assert!(!seen[1].is_there && seen[1].presence == Presence::default());
    a.look(Vec::new()).await.unwrap();
    assert_eq!(a.others(), 0);
    // One that has said nothing for a while is not there either.
    schema.sql("UPDATE imgserve_nodes SET has_ended = false, seen_at_ms = imgserve_now_ms() - 16000 WHERE name = 'b'");
    assert!(!a.nodes().await.unwrap()[1].is_there);
}

/// What is counted as it changes, and what there is.
async fn counted(schema: &Schema, journal: &Postgres) -> [String; 2] {
    let counts = journal.counts().await.unwrap();
    let of = |state: JobState| {
        counts.states.iter().find(|(known, _)| *known == state).map_or(0, |(_, jobs)| *jobs)
    };
    let states: Vec<u64> = JobState::ALL.map(of).to_vec();
    let unfinished: u64 = counts.unfinished.iter().map(|(_, jobs)| jobs).sum();
    let rows = |state: JobState| {
        let table = if state.is_final() { "imgserve_finished" } else { "imgserve_jobs" };
        schema.sql(&format!("SELECT count(*) FROM {table} WHERE state = '{state}'")).parse::<u64>().unwrap()
    };
    let there: Vec<u64> = JobState::ALL.map(rows).to_vec();
    let not_held = schema.sql("SELECT count(*) FROM imgserve_jobs WHERE held_by IS NULL");
    [format!("{states:?} {unfinished}"), format!("{there:?} {not_held}")]
}

#[tokio::test]
async fn what_is_counted_is_what_there_is_whatever_becomes_of_jobs() {
    let schema = Schema::new();
    let [a, b] = together(&schema, ["a", "b"]).await;
    let check = async || {
        a.writer.settled().await.unwrap();
        b.writer.settled().await.unwrap();
        let [told, there] = counted(&schema, &a).await;
        assert_eq!(told, there);
    };
    let key = || {
        Some(IdempotencyKey {
            client: Client::parse("ada"),
            key: "k".to_owned(),
            digest: [7; 32],
            receipt: String::new(),
        })
    };
    let withdrawn = due_now();
    a.submit(Entry { key: key(), ..entry(withdrawn.clone()) }).await.unwrap();
    b.submit(Entry { key: key(), ..entry(due_now()) }).await.unwrap();
    check().await;
    a.withdraw(withdrawn.id).await.unwrap();
    let ids = [waiting(&a).await, waiting(&a).await, waiting(&b).await];
    check().await;
    let claims = claim(&b, 9).await;
    assert_eq!(claims.len(), ids.len());
    check().await;
    let [failed, succeeded, held] = [0, 1, 2].map(|at| claims[at].record.clone());
    b.end(ended(&failed, JobState::Failed), Ending::Ended(None)).await.unwrap();
    b.end(ended(&succeeded, JobState::Succeeded), Ending::Ended(None)).await.unwrap();
    assert!(is_stale(b.end(ended(&succeeded, JobState::Failed), Ending::Ended(None)).await));
    b.hold(held.id, held.attempt, "why".to_owned());
    check().await;
    assert!(a.replay(Record { state: JobState::Accepted, ..failed.clone() }).await.unwrap());
    check().await;
    let cancelled = |record: &Record, attempt| Record { attempt, ..ended(record, JobState::Cancelled) };
    assert!(a.cancel(cancelled(&failed, 1), None).await.unwrap());
    check().await;
    let mut other = schema.opening("another program", "c");
    other.database.node_name = "c".to_owned();
    let other = Postgres::open(&other, Clock::default()).unwrap();
    check().await;
    assert_eq!(other.journal_claim(9).await, [held.id]);
    until("it is not summed up", async || {
        a.look(Vec::new()).await.unwrap();
        schema.sql("SELECT count(*) FROM imgserve_changes") == "0"
    })
    .await;
    check().await;
    a.prune(0, KEPT).await.unwrap();
    check().await;
    assert_eq!(a.counts().await.unwrap().unfinished, [(Client::Anyone, 1)]);
}
