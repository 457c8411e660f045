//! The file itself: kills, locks, modes, versions, files that are no journal.
#![allow(clippy::disallowed_methods, reason = "a test: nothing else runs in its runtime")]

use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_kill_loses_nothing_and_frees_what_was_claimed() {
    let place = Place::new();
    let (running, waiting) =
        (place.waiting(Priority::High, 10).await, place.waiting(Priority::Normal, 10).await);
    assert_eq!(place.claim(1).await[0].record.id, running);
    let accepting = record();
    place.journal.submit(entry(accepting.clone())).await.unwrap();
    let ended_one = place.waiting(Priority::High, 10).await;
    let claimed = place.claim(1).await.remove(0).record;
    place.journal.end(ended(&claimed, JobState::Failed), Ending::Ended(None)).await.unwrap();

    let next = place.after_kill();
    let all = next.journal.list(Filter { limit: 9, ..Filter::default() }).await.unwrap();
    let states: Vec<_> = all.iter().map(|record| (record.id, record.state, record.attempt)).collect();
    let expected = [
        (ended_one, JobState::Failed, 1),
        (accepting.id, JobState::Accepted, 0),
        (waiting, JobState::Accepted, 0),
        (running, JobState::Accepted, 1),
    ];
    assert_eq!(states, expected);
    assert_eq!(next.claim(9).await.iter().map(|claim| claim.record.attempt).collect::<Vec<_>>(), [2, 1, 1]);
}

#[tokio::test]
async fn a_journal_has_one_server_and_is_opened_again_after_it() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let second = open(&place.path()).unwrap_err();
    assert!(matches!(second, JournalError::InUse { .. }), "{second}");
    let path = place.path();
    let Place { journal, directory } = place;
    // The release above is not answered: it is made before the file is closed.
    drop(journal);
    assert!(!directory.path().join("journal.db-wal").exists(), "the log was left");
    let journal = open(&path).unwrap();
    assert_eq!(journal.get(id).await.unwrap().unwrap().state, JobState::Accepted);
}

#[tokio::test]
async fn its_files_are_its_users_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/journal.db");
    let journal = open(&path).unwrap();
    journal.submit(entry(record())).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    assert_eq!((mode(path.parent().unwrap()), mode(&directory.path().join("a")) & 0o055), (0o700, 0o055));
    drop(journal);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _journal = open(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
}

fn refused(path: &Path) -> String {
    let error = open(path).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn what_is_no_journal_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let text = "not a database at all, and longer than a header. ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    assert!(refused(&path).contains("file is not a database"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert!(refused(&path.join("below/a/file")).contains("cannot make the directory"));
    assert!(refused(directory.path()).contains("directory"));

    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(refused(&foreign).contains("another program"));
}

#[tokio::test]
async fn a_damaged_journal_is_refused_or_breaks() {
    let place = Place::new();
    for _ in 0..200 {
        place.waiting(Priority::Normal, 10).await;
    }
    let path = place.path();
    let Place { journal, directory: _directory } = place;
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page, with the schema, is left.
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    match open(&path) {
        Err(error) => assert!(error.to_string().contains("malformed"), "{error}"),
        Ok(journal) => {
            let error = journal.submit(entry(record())).await.unwrap_err();
            assert!(matches!(error, JournalError::Broken { .. }), "{error}");
        }
    }
}

#[test]
fn a_later_format_is_refused() {
    let place = Place::new();
    let path = place.path();
    let Place { journal, directory: _directory } = place;
    drop(journal);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, JournalError::TooNew { found: 99, .. }), "{error}");
}

/// Version 1 as it was released: never changed.
const VERSION_1: &str = r#"
PRAGMA application_id = 0x696d676a;
CREATE TABLE jobs (
    id             BLOB PRIMARY KEY NOT NULL,
    state          TEXT NOT NULL,
    priority       INTEGER NOT NULL,
    due_at_ms      INTEGER NOT NULL,
    lease_until_ms INTEGER,
    attempt        INTEGER NOT NULL,
    operation      TEXT NOT NULL,
    client         TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    instructions   TEXT NOT NULL,
    record         TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_claimable ON jobs (priority, due_at_ms, id) WHERE state = 'accepted';
CREATE INDEX jobs_leased ON jobs (lease_until_ms) WHERE state = 'running';
CREATE INDEX jobs_listed ON jobs (state, id, client, operation);
CREATE INDEX jobs_finished ON jobs (finished_at_ms, id) WHERE finished_at_ms IS NOT NULL;
CREATE TABLE idempotency_keys (
    client        TEXT NOT NULL,
    key           TEXT NOT NULL,
    digest        BLOB NOT NULL,
    receipt       TEXT NOT NULL,
    job           BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (client, key)
) STRICT;
CREATE INDEX idempotency_keys_by_job ON idempotency_keys (job);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);
CREATE TABLE notices (
    id             TEXT PRIMARY KEY NOT NULL,
    job            BLOB NOT NULL,
    url            TEXT NOT NULL,
    body           TEXT NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    due_at_ms      INTEGER NOT NULL,
    lease_until_ms INTEGER,
    attempt        INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_due ON notices (due_at_ms) WHERE lease_until_ms IS NULL;
CREATE INDEX notices_leased ON notices (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
PRAGMA user_version = 1;
INSERT INTO jobs VALUES (x'0190b6a0c0007000800000000000002a', 'running', 1, 20, 90, 2, 'resize', 'ada', 10, NULL, 'order',
    '{"id":"0190b6a0-c000-7000-8000-00000000002a","state":"accepting","operation":"resize","client":"ada",
      "priority":"normal","source":"http://pictures.example/a.png","parts":[{"operation":"resize",
      "destination":"file:///a.png","state":"waiting","width":3,"height":2,"format":"png","bytes":null}],
      "accepted_at_ms":10,"due_at_ms":10,"finished_at_ms":null,"attempt":0,"attempts":[{"number":1,"ended_at_ms":15,
      "error":{"kind":"busy","text":"later","retry":"later"}}],"timings":{"plan_ms":1.5},"notify":true}');
INSERT INTO idempotency_keys VALUES ('ada', 'k', zeroblob(32), 'receipt', x'0190b6a0c0007000800000000000002a', 10);
INSERT INTO notices VALUES ('msg', x'0190b6a0c0007000800000000000002a', 'http://hook.example/', '{}', 5, 6, NULL, 1);
"#;

fn tables(path: &Path) -> Vec<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_journal_of_version_1_becomes_one_of_this_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    Connection::open(&path).unwrap().execute_batch(VERSION_1).unwrap();
    let journal = open(&path).unwrap();
    let claim = journal.claim(room(9), LEASE).await.unwrap().claims.remove(0);
    assert_eq!((claim.record.attempt, claim.record.due_at_ms, claim.order.as_str()), (3, 20, "order"));
    assert_eq!((claim.flow.as_str(), claim.cost), ("ada", 0), "a client of before takes its turns too");
    assert_eq!(claim.record.outputs[0].destination, "file:///a.png");
    assert_eq!(claim.record.attempts[0].error.text, "later");
    assert_eq!(journal.receipt(&Client::parse("ada"), "k").await.unwrap().unwrap().receipt, "receipt");
    let webhook = journal.claim_notices(room(9), LEASE).await.unwrap().0.remove(0);
    assert_eq!((webhook.notice.attempt, webhook.flow.as_str()), (2, "ada"));

    drop(journal);
    let new = Place::new();
    assert_eq!(tables(&path), tables(&new.path()));
}

#[tokio::test]
async fn a_webhooks_lease_ends_with_its_server() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let done = ended(&place.claim(1).await.remove(0).record, JobState::Succeeded);
    place.journal.end(done, Ending::Ended(Some(notice("msg", id)))).await.unwrap();
    place.journal.claim_notices(room(9), LEASE).await.unwrap();
    let (claimed, _) = place.after_kill().journal.claim_notices(room(9), LEASE).await.unwrap();
    assert_eq!(claimed[0].notice.attempt, 2);
}

#[tokio::test]
async fn a_job_whose_story_is_a_later_programs_waits_and_hides_no_other() {
    let place = Place::new();
    let strange = place.waiting(Priority::High, 10).await;
    let known = place.waiting(Priority::Normal, 10).await;
    let later = "{\"version\":4,\"tale\":[]}";
    let sql = format!("UPDATE jobs SET record = '{later}' WHERE priority = 2");
    place.journal.change(Promise::Disk, move |db| Ok(db.execute(&sql, [])?)).await.unwrap();

    let claims = place.claim(9).await;
    assert_eq!(claims.iter().map(|claim| claim.record.id).collect::<Vec<_>>(), [known]);
    // Nobody waits for a job to be held, but what is asked for next comes after it.
    assert!(place.claim(9).await.is_empty(), "it comes back");
    let record = place.journal.get(strange).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt, record.operation.as_str()), (JobState::Accepted, 0, "resize"));
    let held = record.held.unwrap();
    assert!(held.story && held.why.contains("version 4"), "{held:?}");
    assert_eq!(place.journal.list(Filter { limit: 9, ..Filter::default() }).await.unwrap().len(), 2);

    let connection = Connection::open(place.path()).unwrap();
    let kept: String =
        connection.query_row("SELECT record FROM jobs WHERE priority = 2", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, later, "it was written over");
}
