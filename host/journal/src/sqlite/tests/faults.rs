//! Disks that are full, files that cannot be written, syncs that fail, a writer that dies.

use std::time::Duration;

use rusqlite::ffi;

use super::*;

/// Makes the file one that cannot grow, or can again.
async fn set_room(place: &Place, pages: u32) {
    let sql = format!("PRAGMA max_page_count = {pages}");
    let set = move |db: &Connection| Ok(db.query_row(&sql, [], |row| row.get::<_, i64>(0))?);
    place.journal.writer.change(Promise::Process, set).await.unwrap();
}

fn big() -> Entry {
    Entry { order: "x".repeat(100_000), ..entry(record()) }
}

async fn is_whole(place: &Place) -> bool {
    let check = |db: &Connection| db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    place.journal.read(check).await.unwrap() == "ok"
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_and_loses_nothing() {
    let place = Place::new();
    let kept = place.waiting(Priority::Normal, 10).await;
    let claimed = place.claim(1).await.remove(0).record;
    let pages =
        place.journal.read(|db| db.query_row("PRAGMA page_count", [], |row| row.get(0))).await.unwrap();
    set_room(&place, pages).await;
    let refused = big();
    let id = refused.record.id;
    let error = place.journal.submit(refused).await.unwrap_err();
    assert!(matches!(&error, JournalError::Unwritable { text } if text.contains("full")), "{error}");
    assert_eq!(place.journal.get(id).await.unwrap(), None);
    let health = place.journal.health();
    assert!(health.broken.is_none() && health.unwritable.is_some_and(|text| text.contains("full")));

    set_room(&place, 1_000_000).await;
    assert_eq!(place.journal.health().unwritable, None);
    place.journal.submit(big()).await.unwrap();
    place.journal.end(ended(&claimed, JobState::Failed), Ending::Ended(None)).await.unwrap();
    let next = place.after_kill();
    assert_eq!(next.state(kept).await, JobState::Failed);
    assert_eq!(next.journal.get(id).await.unwrap(), None);
    assert!(is_whole(&next).await);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_refuses_and_is_read() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let set = |db: &Connection| Ok(db.execute_batch("PRAGMA query_only = true")?);
    place.journal.writer.change(Promise::Process, set).await.unwrap();
    let error = place.journal.submit(entry(record())).await.unwrap_err();
    assert!(matches!(&error, JournalError::Unwritable { text } if text.contains("readonly")), "{error}");
    assert_eq!(place.state(id).await, JobState::Accepted);
    // A claim that finds nothing proves nothing.
    assert!(matches!(place.journal.claim(room(0), LEASE).await, Err(JournalError::Unwritable { .. })));
    let health = place.journal.health();
    assert!(health.broken.is_none() && health.unwritable.is_some());
}

#[tokio::test]
async fn a_release_that_cannot_be_made_is_made_later() {
    let place = Place::new();
    let record = record();
    place.journal.submit(entry(record.clone())).await.unwrap();
    let impatient = |db: &Connection| Ok(db.busy_timeout(Duration::from_millis(1))?);
    place.journal.writer.change(Promise::Process, impatient).await.unwrap();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    place.journal.release(record.id);
    let error = place.journal.submit(entry(super::record())).await.unwrap_err();
    assert!(matches!(&error, JournalError::Unwritable { text } if text.contains("locked")), "{error}");
    assert_eq!(place.state(record.id).await, JobState::Accepting);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(place.journal.health().unwritable.is_some());
    wait_for(&place, record.id, JobState::Accepted).await;
    assert_eq!(place.journal.health().unwritable, None, "it finds out by itself");
}

/// A release is not answered, and tried again only after a while.
async fn wait_for(place: &Place, id: JobId, state: JobState) {
    let seen = async {
        while place.state(id).await != state {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
}

#[tokio::test]
async fn one_refused_change_leaves_the_others_of_its_commit_alone() {
    let place = Place::new();
    let record = record();
    // Nothing is committed while the writer is held.
    let held = Arc::new(std::sync::Barrier::new(2));
    let hold = {
        let held = Arc::clone(&held);
        place.journal.writer.change(Promise::Process, move |_| {
            held.wait();
            held.wait();
            Ok(())
        })
    };
    held.wait();
    let first = place.journal.submit(entry(record.clone()));
    let twice = place.journal.submit(Entry { order: "another".to_owned(), ..entry(record.clone()) });
    let stale = place.journal.save(Record { attempt: 3, ..record.clone() });
    let other = place.journal.submit(entry(super::record()));
    held.wait();
    hold.await.unwrap();
    assert_eq!(first.await.unwrap(), Submitted::New);
    assert!(matches!(twice.await.unwrap_err(), JournalError::Unwritable { .. }));
    assert!(is_stale(stale.await));
    assert_eq!(other.await.unwrap(), Submitted::New);
    assert_eq!(place.journal.order(record.id).await.unwrap().as_deref(), Some("{\"how\":1}"));
    let health = place.journal.health();
    assert_eq!((health.commits, health.changes), (1, 4), "they did not share a commit");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_all_is_read() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    place.claim(0).await;
    let failing = |_: &Connection| -> Result<(), Trouble> {
        let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        Err(Trouble::Sql(rusqlite::Error::SqliteFailure(code, None)))
    };
    let error = place.journal.writer.change(Promise::Disk, failing).await.unwrap_err();
    assert!(matches!(error, JournalError::Broken { .. }), "{error}");
    assert_refused(&place).await;
    assert_eq!(place.state(id).await, JobState::Accepted);
}

async fn assert_refused(place: &Place) {
    let commits = place.journal.health().commits;
    for error in [
        place.journal.submit(entry(record())).await.map(drop).unwrap_err(),
        place.journal.claim(room(1), LEASE).await.map(drop).unwrap_err(),
        place.journal.prune(0, KEPT).await.unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Broken { .. }), "{error}");
    }
    let health = place.journal.health();
    assert!(health.broken.is_some() && health.commits == commits);
}

#[tokio::test]
async fn a_writer_that_dies_is_told_of_and_waited_for_by_nobody() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    let dying = place.journal.writer.change(Promise::Disk, |_| -> Result<(), Trouble> { panic!("a test's") });
    let behind = place.journal.submit(entry(record()));
    assert!(matches!(dying.await.unwrap_err(), JournalError::Broken { .. }));
    assert!(matches!(behind.await.unwrap_err(), JournalError::Broken { .. }));
    assert_refused(&place).await;
    assert_eq!(place.journal.get(id).await.unwrap().unwrap().id, id);
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_disk_that_is_full_at_the_commit_refuses_and_one_that_does_not_sync_breaks() {
    let place = Place::new();
    let id = place.waiting(Priority::Normal, 10).await;
    // This journal's commits alone.
    let fails = format!("return({})", place.path().display());
    fail::cfg("journal-full", &fails).unwrap();
    let error = place.journal.submit(entry(record())).await.unwrap_err();
    assert!(matches!(error, JournalError::Unwritable { .. }), "{error}");
    fail::remove("journal-full");
    place.journal.submit(entry(record())).await.unwrap();

    fail::cfg("journal-fsync", &fails).unwrap();
    let claimed = place.claim(1).await;
    assert_eq!(claimed[0].record.id, id, "a claim does not wait for the disk");
    let error = place.journal.submit(entry(record())).await.unwrap_err();
    assert!(matches!(error, JournalError::Broken { .. }), "{error}");
    fail::remove("journal-fsync");
    assert_refused(&place).await;
    assert_eq!(place.state(id).await, JobState::Running);
    assert_eq!(place.after_kill().state(id).await, JobState::Accepted);
}
