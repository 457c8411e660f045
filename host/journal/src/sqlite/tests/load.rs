//! Many jobs: shared commits, many that wait, and figures (`--ignored --nocapture`).

use std::time::{Duration, Instant};

use rusqlite::{StatementStatus, params};

use super::*;

/// Submits `each` jobs by each of `clients` at once.
async fn submit_by(place: &Arc<Place>, clients: usize, each: usize) {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let place = Arc::clone(place);
            tokio::spawn(async move {
                for _ in 0..each {
                    let order = "x".repeat(600);
                    place.journal.submit(Entry { order, ..entry(record()) }).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn jobs_that_come_at_once_share_a_commit() {
    let place = Arc::new(Place::new());
    submit_by(&place, 64, 4).await;
    let health = place.journal.health();
    assert_eq!(health.changes, 256);
    assert!(health.commits <= 32, "{} commits", health.commits);
    assert_eq!(health.buckets.iter().sum::<u64>(), health.commits);
}

#[tokio::test]
async fn a_claim_is_prepared_once_whoever_it_is_for() {
    let place = Place::new();
    for priority in [Priority::Low, Priority::High, Priority::Normal, Priority::High] {
        place.waiting(priority, 10).await;
        assert_eq!(place.claim(1).await.len(), 1);
    }
    let again = |db: &Connection| {
        let statement = db.prepare_cached(&claims::claim_sql())?;
        Ok((statement.get_status(StatementStatus::RePrepare), statement.get_status(StatementStatus::Run)))
    };
    let (prepared_again, run) = place.journal.writer.change(Promise::Process, again).await.unwrap();
    assert_eq!(prepared_again, 0);
    assert!(run >= 4, "it ran {run} times");
}

/// Writes rows as `submit` would, without its commits.
fn fill(path: &Path, jobs: usize) {
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    let sql = "INSERT INTO jobs (id, state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, \
               instructions, record) VALUES (?1, 'accepted', ?2, ?3, 0, 'resize', 'ada', 10, ?4, ?5)";
    for number in 0..jobs {
        let record = record();
        // A third of them waits for a later time, and is of the highest priority.
        let (priority, due) = if number % 3 == 0 { (2, 1000) } else { (1, 10) };
        let text = rows::text(&record).unwrap();
        let values = params![record.id.as_bytes(), priority, due, "x".repeat(600), text];
        transaction.prepare_cached(sql).unwrap().execute(values).unwrap();
    }
    transaction.commit().unwrap();
}

/// A journal in which so many jobs wait, and how long it took to open it.
fn filled(jobs: usize) -> (Place, Duration) {
    let Place { journal, directory } = Place::new();
    drop(journal);
    let path = directory.path().join("journal.db");
    fill(&path, jobs);
    let began = Instant::now();
    let journal = open(&path).unwrap();
    (Place { journal, directory }, began.elapsed())
}

#[tokio::test]
async fn with_many_that_wait_it_opens_and_claims_at_once() {
    let (place, opened) = filled(100_000);
    let began = Instant::now();
    let claimed = place.journal.claim(room(100), LEASE).await.unwrap();
    let took = began.elapsed();
    assert_eq!((claimed.claims.len(), claimed.next_due), (100, Some(LEASE + Duration::from_millis(1))));
    println!("100,000 wait: opened in {opened:?}, 100 claimed in {took:?}");
    assert!(opened + took < Duration::from_secs(1), "{opened:?} + {took:?}");

    let began = Instant::now();
    let counts = place.journal.counts().await.unwrap();
    println!("counted in {:?}", began.elapsed());
    assert_eq!(counts.unfinished, [(Client::parse("ada"), 100_000)]);
    let began = Instant::now();
    let rare = Filter { operation: Some("rasterize".to_owned()), limit: 10, ..Filter::default() };
    assert!(place.journal.list(rare).await.unwrap().is_empty());
    println!("a filter that nothing passes: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn with_very_many_clients_a_claim_takes_no_longer() {
    for due in [true, false] {
        let place = Place::new();
        let fill = move |db: &Connection| {
            let sql = "INSERT INTO jobs (id, state, priority, due_at_ms, attempt, operation, client, accepted_at_ms, \
                       instructions, record, flow) VALUES (?1, 'accepted', 1, ?2, 0, 'resize', '', 10, '{}', ?3, ?4)";
            for number in 0..20_000 {
                let (record, flow) =
                    (record(), format!("ip:10.0.{}.{}", number % 10_000 / 250, number % 250));
                let text = rows::text(&record).unwrap();
                let due_ms = if due || number == 0 { 10 } else { 1000 };
                let values = params![record.id.as_bytes(), due_ms, text, flow];
                db.prepare_cached(sql)?.execute(values)?;
            }
            Ok(())
        };
        place.journal.writer.change(Promise::Process, fill).await.unwrap();
        for free in [1, 256] {
            let began = Instant::now();
            let claimed = place.journal.claim(room(free), LEASE).await.unwrap();
            let took = began.elapsed();
            println!("10,000 clients, due: {due}: {} claimed in {took:?}", claimed.claims.len());
            assert!(claimed.claims.len() == if due { free } else { usize::from(free == 1) });
            assert!(took < Duration::from_millis(800), "due: {due}, free: {free}: {took:?}");
        }
    }
}

/// Syncs of one file per second, each after a page is written over: what a commit costs at least.
fn syncs_per_second(directory: &Path) -> f64 {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::create(directory.join("sync")).unwrap();
    file.write_all_at(&[0; 1 << 16], 0).unwrap();
    let began = Instant::now();
    for number in 0..500u64 {
        file.write_all_at(&[number as u8; 4096], number % 16 * 4096).unwrap();
        file.sync_all().unwrap();
    }
    500.0 / began.elapsed().as_secs_f64()
}

#[ignore = "figures"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures() {
    let place = Arc::new(Place::new());
    println!("fsync/s {:.0}", syncs_per_second(place.directory.path()));
    for (clients, each) in [(1, 2000), (8, 1000), (64, 400), (64, 400), (256, 100)] {
        let before = place.journal.health();
        let began = Instant::now();
        submit_by(&place, clients, each).await;
        let seconds = began.elapsed().as_secs_f64();
        let (jobs, health) = ((clients * each) as f64, place.journal.health());
        let commits = (health.commits - before.commits) as f64;
        let commit_ms = (health.commit_seconds - before.commit_seconds) / commits * 1000.0;
        println!(
            "{clients} clients: {:.0} jobs/s, {:.0} commits/s of {:.1} jobs, {commit_ms:.2} ms each",
            jobs / seconds,
            commits / seconds,
            jobs / commits
        );
    }
    let released = |db: &Connection| Ok(db.execute("UPDATE jobs SET state = 'accepted'", [])?);
    assert!(place.journal.writer.change(Promise::Process, released).await.unwrap() > 2000);
    let began = Instant::now();
    for _ in 0..2000 {
        place.claim(1).await;
    }
    println!("1 client: {:.0} claims/s", 2000.0 / began.elapsed().as_secs_f64());
    whole_lives(&place).await;
    println!("fsync/s {:.0}", syncs_per_second(place.directory.path()));
}

/// Submitted, released, claimed in fours, saved, ended.
async fn whole_lives(place: &Arc<Place>) {
    let began = Instant::now();
    let before = place.journal.health();
    let clients = (0..64).map(|_| {
        let place = Arc::clone(place);
        tokio::spawn(async move {
            for _ in 0..20 {
                place.waiting(Priority::Normal, 10).await;
                for claim in place.claim(1).await {
                    place.journal.save(claim.record.clone()).await.unwrap();
                    let done = ended(&claim.record, JobState::Succeeded);
                    place.journal.end(done, Ending::Ended(None)).await.unwrap();
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let commits = place.journal.health().commits - before.commits;
    println!("whole lives: {:.0} jobs/s, {commits} commits", 1280.0 / began.elapsed().as_secs_f64());
}
