//! What must hold beside the storm: stops under load, a long journal at the start, one key posted many times at once.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::arena::Arena;
use crate::driver::{self, Reply};
use crate::ledger::Named;
use crate::peer::Step;
use crate::points::PATIENCE;
use crate::stall::Stall;
use crate::victim::client;

/// Jobs that wait at the start.
const PENDING: usize = 100_000;
/// How soon a server with so many must serve.
const START_LIMIT: Duration = Duration::from_secs(2);
/// How soon SIGHUP and SIGTERM must have ended it.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Requests with one key at once.
const SAME: usize = 100;
/// Clients that post while the server is told to stop.
const CLIENTS: usize = 8;
/// How long they post before.
const LOAD: Duration = Duration::from_secs(2);

/// Gives what is wrong.
pub(crate) async fn limits(program: &Path, directory: &Path) -> Result<Vec<String>, String> {
    let mut arena = Arena::new(program, directory, "[limits]\nmax_queue = 200000").await?;
    arena.victim.start().await?;
    for v1 in [true, false] {
        one_key(&arena, v1).await?;
    }
    for (signal, limit) in [("HUP", DRAIN_LIMIT), ("TERM", STOP_LIMIT)] {
        stop_under_load(&mut arena, signal, limit).await?;
    }
    let jobs = arena.settle().await;
    let problems = arena.judge(&jobs).await;
    pending(&mut arena).await?;
    Ok(problems)
}

/// One key, posted many times at once, makes one job.
async fn one_key(arena: &Arena, v1: bool) -> Result<(), String> {
    let name = format!("same-{v1}");
    let post = Arc::new(arena.post(&name, v1, Some(&name), false));
    arena.ledger.posted(&post.named, "many times at once");
    let origin = arena.victim.url("");
    let posts: Vec<_> = (0..SAME)
        .map(|_| {
            let (post, origin) = (Arc::clone(&post), origin.clone());
            tokio::spawn(async move {
                driver::post(&client(PATIENCE), &origin, v1, post.key.as_deref(), None, &post.body).await.id()
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for post in posts {
        ids.insert(post.await.unwrap()?);
    }
    if ids.len() != 1 {
        return Err(format!("one key gave {} jobs", ids.len()));
    }
    for id in &ids {
        arena.ledger.acknowledged(&post.named, id, "many times at once");
        arena.reaches(id, "succeeded", PATIENCE).await?;
    }
    println!("  one Idempotency-Key posted {SAME} times at once: 1 job");
    Ok(())
}

/// Clients post all the time, some wait for outcomes, a source stalls and a destination hangs; then the signal.
async fn stop_under_load(arena: &mut Arena, signal: &str, limit: Duration) -> Result<(), String> {
    let source = arena.work.large();
    let stall = Stall::start(&source.name, arena.victim.read(&source.name)).await;
    let stalled = arena.post_from(&stall.url, source, &format!("stalled-{signal}"), &Value::Null);
    arena.send(&stalled, "its source stalls").await?;
    let hanging = arena.post_to_peer(&format!("hanging-{signal}"), &Value::Null);
    arena.peer.plan(&hanging.named[0].name, &[Step::Take, Step::Hold]);
    arena.send(&hanging, "its destination hangs").await?;
    if signal == "HUP" {
        // What can end must end; what cannot would be left to the next start.
        stall.go_on();
        arena.peer.release();
    }
    let clients = post_all_the_time(arena, signal);
    tokio::time::sleep(LOAD).await;
    let unfinished = arena.get("/readyz").await?.body["jobs"].clone();
    let began = Instant::now();
    arena.victim.signal(signal);
    let status = arena.victim.end_within(limit + Duration::from_secs(10)).await;
    let took = began.elapsed();
    clients.iter().for_each(|client| client.abort());
    stall.go_on();
    match status {
        Some(status) if status.success() && took <= limit => {}
        _ => arena.ledger.problem("", format!("SIG{signal} under load: {status:?} after {took:?}")),
    }
    let acknowledged = arena.ledger.outstanding();
    println!(
        "  SIG{signal} under load: ended after {:.2} s, with {unfinished} jobs unfinished and {acknowledged} of all \
         acknowledged ones to be looked at",
        took.as_secs_f64()
    );
    if status.is_none() {
        arena.victim.kill();
    }
    arena.victim.start().await?;
    arena.settle().await;
    Ok(())
}

/// Clients that never rest; what they are told goes into the ledger.
fn post_all_the_time(arena: &Arena, signal: &str) -> Vec<tokio::task::JoinHandle<()>> {
    let count = Arc::new(AtomicUsize::new(0));
    let one = |_| {
        let (ledger, work, peer) = (Arc::clone(&arena.ledger), Arc::clone(&arena.work), arena.peer.clone());
        let (origin, count, signal) = (arena.victim.url(""), Arc::clone(&count), signal.to_owned());
        async move {
            let http = client(PATIENCE);
            loop {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let source = &work.sources[number % work.sources.len()];
                let menu = &source.menus[0];
                let dish = source.dishes(menu).next().unwrap();
                let name = format!("load-{signal}-{number}.{}", dish.extension);
                let named = [Named { name, file: None, made: Arc::clone(&menu.made[0]) }];
                let to = [peer.file(&named[0].name)];
                let body = crate::work::body(&peer.file(&source.name), source, menu, &to);
                let wait = (number % 16 == 0).then_some(30);
                ledger.posted(&named, "under load");
                match driver::post(&http, &origin, true, None, wait, &body).await {
                    Reply::Acknowledged { id, .. } => drop(ledger.acknowledged(&named, &id, "under load")),
                    Reply::Refused(why) => {
                        ledger.not_acknowledged(&named, true, &why);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Reply::BrokenOff(why) => {
                        ledger.not_acknowledged(&named, false, &why);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    };
    (0..CLIENTS).map(one).map(tokio::spawn).collect()
}

/// A journal with very many jobs that are due: copies of one that the server has accepted itself.
async fn pending(arena: &mut Arena) -> Result<(), String> {
    arena.victim.start().await?;
    let post = arena.post_to_peer("pending", &Value::Null);
    arena.peer.plan(&post.named[0].name, &[Step::Take, Step::Refuse(503, 300)]);
    let id = arena.submit(&post).await.id()?;
    arena.reaches(&id, "accepted", PATIENCE).await?;
    arena.victim.kill();
    let copied = copy(&arena.victim.directory.join("journal.db")).map_err(|error| error.to_string())?;
    let took = arena.victim.start().await?;
    let began = Instant::now();
    let next = arena.submit(&arena.post_to_peer("next", &Value::Null)).await.id();
    let accepted = began.elapsed();
    arena.victim.kill();
    next?;
    println!(
        "  {copied} pending jobs at the start: serving after {} ms, the next job accepted after {} ms more",
        took.as_millis(),
        accepted.as_millis()
    );
    match took <= START_LIMIT {
        true => Ok(()),
        false => Err(format!("{copied} pending jobs at the start: it served after {took:?}")),
    }
}

fn copy(journal: &Path) -> rusqlite::Result<usize> {
    let db = Connection::open(journal)?;
    let columns =
        "state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, instructions, record";
    let values = columns.replace("due_at_ms", "accepted_at_ms");
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PENDING}) \
         INSERT INTO jobs (id, {columns}) SELECT randomblob(16), {values} FROM n, \
         (SELECT * FROM jobs WHERE state = 'accepted' LIMIT 1)"
    );
    db.execute(&sql, [])
}
