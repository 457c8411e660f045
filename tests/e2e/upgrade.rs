//! What an earlier program left in its journal is done by this one, and what a later one left waits for it.
//! `journals/1.sql` is a journal of imgserve 0.3, from before what is stored had versions: 200 jobs in every state, as
//! `fill` makes them. Never changed.

mod fill;
mod peers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::Digest as _;

use crate::harness::{Server, beside, is_placeholder, look, until};
use fill::{JOBS, KEY, config, keyed};
use peers::{Peers, picture};

/// The journal of version 1.
const JOURNAL_1: &str = "e2e/upgrade/journals/1.sql";

/// A job as it stands in a journal.
#[derive(Debug)]
struct Stored {
    id: String,
    state: String,
    story: Value,
}

impl Stored {
    fn outputs(&self) -> &[Value] {
        self.story["parts"].as_array().unwrap()
    }

    fn waits(&self) -> bool {
        matches!(self.state.as_str(), "accepting" | "accepted" | "running")
    }
}

fn stored(path: &Path) -> Vec<Stored> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT id, state, record FROM jobs ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| {
        let (id, story): ([u8; 16], String) = (row.get(0)?, row.get(2)?);
        let id = uuid::Uuid::from_bytes(id).to_string();
        Ok(Stored { id, state: row.get(1)?, story: serde_json::from_str(&story).unwrap() })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// A directory with the journal of version 1, whose jobs know these peers.
fn left_by_version_1(peers: &Peers) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("source.png"), picture("source.png")).unwrap();
    let text = std::fs::read_to_string(beside(JOURNAL_1)).unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
    connection.execute_batch(&peers.put_in(&text, &files)).unwrap();
    // The digest of a request that names these peers.
    let digest: [u8; 32] = sha2::Sha256::digest(keyed(peers).to_string()).into();
    let sql = "UPDATE idempotency_keys SET digest = ?1, created_at_ms = unixepoch() * 1000";
    assert_eq!(connection.execute(sql, [digest]).unwrap(), 1);
    directory
}

/// The picture at a destination of these peers' or the server's.
fn found(peers: &Peers, server: &Server, destination: &str) -> Vec<u8> {
    let name = destination.rsplit(['/', ':']).next().unwrap();
    match destination.starts_with("file:") {
        true => server.read(name),
        false => peers.last(name).unwrap_or_default().to_vec(),
    }
}

fn check_results(peers: &Peers, server: &Server, job: &Stored) {
    for output in job.outputs() {
        let bytes = found(peers, server, output["destination"].as_str().unwrap());
        let (width, height, _) = look(&bytes);
        assert_eq!(
            (width, height),
            (output["width"].as_u64().unwrap() as u32, output["height"].as_u64().unwrap() as u32)
        );
        assert!(!is_placeholder(&bytes), "{job:?} has its placeholder still");
    }
}

#[test]
fn the_journal_of_version_1_holds_jobs_of_every_kind() {
    let text = std::fs::read_to_string(beside(JOURNAL_1)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(&text).unwrap();
    let jobs = stored(&path);
    assert_eq!(jobs.len(), JOBS);
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    jobs.iter().for_each(|job| *states.entry(&job.state).or_default() += 1);
    for state in ["accepting", "accepted", "running", "succeeded", "failed", "cancelled"] {
        assert!(states.contains_key(state), "none is {state}: {states:?}");
    }
    assert!(jobs.iter().any(|job| job.outputs().len() > 1));
    assert!(jobs.iter().any(|job| job.state == "accepted" && job.story["attempts"][0].is_object()));
    assert!(jobs.iter().any(|job| job.waits() && job.story["notify"] == true));
    for wanted in ["pipeline", "\"field\":\"picture\"", KEY, "INSERT INTO notices"] {
        assert!(text.contains(wanted), "no {wanted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_version_1_left_is_finished_and_told() {
    let peers = Peers::start().await;
    let directory = left_by_version_1(&peers);
    let before = stored(&directory.path().join("journal.db"));
    let server = Server::start_in(directory, &config());

    // A client that posts its job again is told of the first one, by a program that never saw it.
    let headers = [("idempotency-key", KEY)];
    let (status, _, again) = server.post_job(&keyed(&peers), &headers).await;
    assert!(status == 202 && before.iter().any(|job| again["id"] == job.id.as_str()), "{status} {again}");

    for job in &before {
        let after = server.ended(&job.id).await;
        let wanted = if job.waits() { "succeeded" } else { &job.state };
        assert_eq!(after["state"], wanted, "{after}\nwas {job:?}");
        assert_eq!(
            after["attempts"].as_array().unwrap().len(),
            job.story["attempts"].as_array().unwrap().len()
        );
        if job.waits() {
            check_results(&peers, &server, job);
        }
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    let told = before.iter().filter(|job| job.waits() && job.story["notify"] == true).count();
    until("every webhook is delivered", async || peers.told() > told).await;

    // What had failed can be tried again, by its order of version 1.
    let closed = |job: &&Stored| job.story["parts"][0]["destination"].as_str().unwrap().contains("/closed/");
    let failed = before.iter().find(|job| closed(job)).unwrap();
    let (status, story) = server.post_to(&format!("/v1/jobs/{}/retry", failed.id)).await;
    assert_eq!(status, 202, "{story}");
    assert_eq!(server.ended(&failed.id).await["state"], "succeeded");
    check_results(&peers, &server, failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_a_later_program_waits_for_it_and_is_not_lost() {
    let peers = Peers::start().await;
    let directory = left_by_version_1(&peers);
    let path = directory.path().join("journal.db");
    let sql = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute(sql, []).unwrap();
    // One is a later program's, one is nobody's.
    let names = ["%/slow/slow-0.png%", "%/slow/slow-1.png%"];
    for (name, order) in names.iter().zip(["{\"version\":99,\"how\":\"otherwise\"}", "{"]) {
        assert_eq!(
            sql(&format!(
                "UPDATE jobs SET operation = instructions, instructions = '{order}' WHERE record LIKE '{name}'"
            )),
            1
        );
    }
    let before = stored(&path);
    let names = names.map(|name| name.trim_matches('%'));
    let is_one = |job: &&Stored| names.iter().any(|name| job.story.to_string().contains(name));
    let later: Vec<&Stored> = before.iter().filter(is_one).collect();
    let mut server = Server::start_in(directory, &config());
    let others = before.iter().filter(|job| later.iter().all(|held| held.id != job.id));
    for job in others {
        server.ended(&job.id).await;
    }
    let held = async |server: &Server, id: &str| server.get(&format!("/v1/jobs/{id}")).await.1;
    for (job, why) in later.iter().zip(["version 99, and this program reads up to", "cannot be understood"]) {
        let story = held(&server, &job.id).await;
        // The one attempt is version 1's.
        assert_eq!((&story["state"], &story["attempt"]), (&"accepted".into(), &1.into()), "{story}");
        let told = story["held"].as_str().unwrap_or_default();
        assert!(told.contains(why) && told.contains("waits for a program that can read it"), "{story}");
        assert_eq!(server.log().matches(&job.id).count(), 1, "{}", server.log());
    }
    // Started again, the same program leaves them alone without a word.
    server.kill();
    server.restart();
    assert!(held(&server, &later[0].id).await["held"].is_string());
    assert!(!server.log().contains(&later[0].id), "{}", server.log());
    // The other program, played by this one: another name stands for it, and an order that it can read.
    server.kill();
    let path = server.directory.path().join("journal.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE jobs SET instructions = operation, operation = 'resize', held_by = 'imgserve 99' WHERE held_by IS NOT NULL";
    assert_eq!(connection.execute(sql, []).unwrap(), 2);
    drop(connection);
    server.restart();
    for job in later {
        assert_eq!(server.ended(&job.id).await["state"], "succeeded");
        assert!(held(&server, &job.id).await.get("held").is_none());
        check_results(&peers, &server, job);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_must_wait_for_a_later_program_keep_nobody_waiting() {
    let peers = Peers::start().await;
    let directory = left_by_version_1(&peers);
    let path = directory.path().join("journal.db");
    let before = stored(&path);
    // Far more than may be under way at once; the one that can be read is the last of all.
    let last = before.iter().rfind(|job| job.waits() && job.story["priority"] == "low").unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE jobs SET instructions = '{\"version\":99}', due_at_ms = 1 \
               WHERE state IN ('accepting', 'accepted', 'running') AND id <> ?1";
    let id: uuid::Uuid = last.id.parse().unwrap();
    let held = connection.execute(sql, [id.into_bytes()]).unwrap();
    assert!(held > 150, "{held}");
    drop(connection);
    let mut server = Server::start_in(directory, &config());
    let began = Instant::now();
    assert_eq!(server.ended(&last.id).await["state"], "succeeded");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let told = async || server.log().matches("left in the journal").count() == held;
    until("all others are held", told).await;
    let (_, ready) = server.get("/readyz").await;
    assert_eq!((&ready["jobs"], &ready["running"]), (&0.into(), &0.into()), "held jobs take places: {ready}");
    // Nothing that this program can do is left.
    server.signal("HUP");
    let began = Instant::now();
    assert!(server.wait_end().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// The program of the release before; the test of an upgrade while jobs run needs one.
fn program_before() -> PathBuf {
    std::env::var_os("IMGSERVE_PROGRAM_BEFORE")
        .expect("IMGSERVE_PROGRAM_BEFORE names the program of the release before")
        .into()
}

#[ignore = "needs the program of the release before, named in IMGSERVE_PROGRAM_BEFORE"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_while_jobs_run_loses_none() {
    let peers = Peers::start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_program(program_before(), directory, &config());
    // The results of the first ones are being stored until the server stops; the others wait for their places.
    peers.fall_ill();
    let mut posted = Vec::new();
    for number in 0..150 {
        let to = peers.destination("slow", &format!("upgrade-{number}.png"));
        let args = serde_json::json!({ "width": 20, "height": 10 });
        posted.push(server.submit("resize", &peers.source("a.png"), &to, args).await);
    }
    server.signal("TERM");
    assert!(server.wait_end().success());
    let left = stored(&server.directory.path().join("journal.db"));
    let waiting = left.iter().filter(|job| job.waits()).count();
    println!("{waiting} of {} jobs were left to the new program", posted.len());
    assert_eq!(waiting, posted.len());
    peers.recover();
    server.restart_as(crate::harness::binary());
    for (number, id) in posted.iter().enumerate() {
        assert_eq!(server.ended(id).await["state"], "succeeded");
        let bytes = peers.last(&format!("upgrade-{number}.png")).unwrap();
        assert!(!is_placeholder(&bytes) && look(&bytes).0 == 20);
    }
}
