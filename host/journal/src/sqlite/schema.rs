//! The tables: how a connection is set up, and how a file of an earlier version becomes one of this version.

use std::path::Path;
use std::time::Duration;

use imgserve_base::job::JobState;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::rows::from_states;
use super::trouble::verdict;
use crate::store::JournalError;

/// What makes version n + 1 of version n, each in a transaction of its own. Only appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
];

/// "imgj": the file is a journal of imgserve (SQLite file format, 1.3.17).
pub(super) const APPLICATION_ID: i64 = 0x696d_676a;

/// How long SQLite waits for a lock. Nobody but an administrator's `sqlite3` holds one for long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

/// Opens the connection that writes, makes the file one of this version, and frees what the dead predecessor had in
/// hand: the journal's lock is held, so nobody works on it.
///
/// # Errors
/// [`JournalError::Open`], [`JournalError::TooNew`].
pub(super) fn open(path: &Path, reader: &str) -> Result<Connection, JournalError> {
    let cannot = |error: rusqlite::Error| cannot(path, error.to_string());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(cannot)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(cannot)?;
    refuse_foreign(&connection, path)?;
    set_up(&connection).map_err(cannot)?;
    migrate(&mut connection, path, MIGRATIONS)?;
    free_claims(&connection).map_err(cannot)?;
    offer_again(&connection, reader).map_err(cannot)?;
    // A short log is read fast. A full disk is no reason not to start: it tells at the first job.
    let tidied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = tidied
        && matches!(verdict(&error), JournalError::Broken { .. })
    {
        return Err(cannot(error));
    }
    Ok(connection)
}

/// The latest version of the tables that is known here.
pub(super) fn known() -> i64 {
    MIGRATIONS.len() as i64
}

/// Opens a connection that reads beside the one that writes.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Statements stay what they were prepared as. Without the guarantee of the same plan for all values SQLite would look at those
/// bound where an index has a condition, and prepare a claim again for every other client or priority.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn cannot(path: &Path, text: impl Into<String>) -> JournalError {
    JournalError::Open { journal: path.display().to_string(), text: text.into() }
}

/// Nothing is changed in a file that is not ours.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let empty = number("SELECT count(*) FROM sqlite_schema").map(|tables| tables == 0);
    let ours = number("PRAGMA application_id").map(|id| id == APPLICATION_ID);
    match (empty, ours) {
        (Ok(true), Ok(_)) | (Ok(false), Ok(true)) => Ok(()),
        (Ok(false), Ok(false)) => Err(cannot(path, "it is a database of another program")),
        (Err(error), _) | (_, Err(error)) => Err(cannot(path, error.to_string())),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    keep_statements(connection)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // The log is written back by the writer itself (`writer`), which sees its errors. 16 MiB of pages hold the indexes
    // of 100,000 jobs.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
    )?;
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), JournalError> {
    let cannot = |error: rusqlite::Error| cannot(path, error.to_string());
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(cannot)?;
    let known = migrations.len() as i64;
    if found > known {
        return Err(JournalError::TooNew { journal: path.display().to_string(), found, known });
    }
    for (version, migration) in (1..).zip(migrations).skip(found.max(0) as usize) {
        let mut step = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        step().map_err(cannot)?;
    }
    Ok(())
}

/// Jobs whose attempt was under way, or whose client may have had its reply, wait again; webhooks are due again.
fn free_claims(connection: &Connection) -> rusqlite::Result<()> {
    let from = from_states(JobState::Accepted, |state| !state.is_final());
    connection.execute(
        &format!("UPDATE jobs SET state = ?1, lease_until_ms = NULL WHERE {from}"),
        params![JobState::Accepted.as_str()],
    )?;
    connection.execute("UPDATE notices SET lease_until_ms = NULL WHERE lease_until_ms IS NOT NULL", [])?;
    Ok(())
}

/// What another program could not read, this one tries.
fn offer_again(connection: &Connection, reader: &str) -> rusqlite::Result<usize> {
    let sql = "UPDATE jobs INDEXED BY jobs_held SET held_by = NULL, held_why = NULL \
               WHERE held_by IS NOT NULL AND held_by <> ?1";
    connection.execute(sql, [reader])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn migrations_are_made_once_in_order_and_whole() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("journal.db");
        let first = "CREATE TABLE t (a); INSERT INTO t VALUES (1);";
        let second = "ALTER TABLE t ADD COLUMN b DEFAULT 2; UPDATE t SET a = a + b;";
        migrate(&mut connection, path, &[first]).unwrap();
        assert_eq!(version(&connection), 1);
        let bad = "UPDATE t SET a = 100; SELECT nonsense;";
        let error = migrate(&mut connection, path, &[first, second, bad]).unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert_eq!(version(&connection), 2);
        migrate(&mut connection, path, &[first, second]).unwrap();
        let sum: i64 = connection.query_row("SELECT a FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 3, "a migration was made twice, or half");
        let older = migrate(&mut connection, path, &[first]).unwrap_err();
        assert!(matches!(older, JournalError::TooNew { found: 2, known: 1, .. }), "{older}");
    }
}
