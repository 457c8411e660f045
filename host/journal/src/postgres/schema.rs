//! The tables and their versions. A version only adds, so that a program of the version before goes on working beside one that has
//! migrated; what it takes at least to work with the tables stands in them.

use tokio_postgres::Row;
use uuid::Uuid;

use super::address::Address;
use super::link::Link;
use super::trouble::Trouble;
use super::value::values;
use crate::store::JournalError;

/// What makes version n + 1 of version n. Only appended to.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

/// The latest version that is known here.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;
/// What a program must know at least to work with tables of that version. Raised when a version changes what stands in a column
/// that programs before it write.
const NEEDS: i64 = 1;

/// The first one with what this file uses: advisory locks, `SKIP LOCKED`, `ON CONFLICT`, generic plans by a setting.
const SERVER: i64 = 130_000;

/// Makes all tables one of this version, by one node at a time.
///
/// # Errors
/// [`JournalError::Open`], [`JournalError::TooNew`].
pub(super) async fn migrate(link: &mut Link, address: &Address) -> Result<(), JournalError> {
    migrate_by(link, address, MIGRATIONS, NEEDS).await
}

async fn migrate_by(
    link: &mut Link,
    address: &Address,
    migrations: &[&str],
    needs: i64,
) -> Result<(), JournalError> {
    let cannot = |trouble: Trouble| cannot(address, trouble.text());
    serves(link, address).await?;
    if found(link, address, migrations.len() as i64).await? == migrations.len() as i64 {
        return Ok(());
    }
    // Whoever comes second waits for the first, however many rows there are, and finds it done.
    let begin = "BEGIN; SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = 0; \
                 SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext('imgserve migrate')); \
                 CREATE TABLE IF NOT EXISTS imgserve_journal (version bigint NOT NULL, needs bigint NOT NULL)";
    link.run(begin).await.map_err(cannot)?;
    let found = found(link, address, migrations.len() as i64).await?;
    for (version, migration) in (1i64..).zip(migrations).skip(found.max(0) as usize) {
        link.run(migration).await.map_err(cannot)?;
        tracing::info!("the tables of {} are of version {version} now", address.shown());
    }
    let version = migrations.len();
    let done = format!(
        "DELETE FROM imgserve_journal; INSERT INTO imgserve_journal VALUES ({version}, {needs}); COMMIT"
    );
    link.run(&done).await.map_err(cannot)
}

/// Whether the tables can be worked with as they are.
///
/// # Errors
/// [`JournalError::Open`] where they are missing or of an earlier version, [`JournalError::TooNew`].
pub(super) async fn check(link: &mut Link, address: &Address) -> Result<(), JournalError> {
    serves(link, address).await?;
    let by_hand = "and [jobs] migrate is false: run `imgserve migrate` as a user who may change them";
    match found(link, address, KNOWN).await? {
        0 => Err(cannot(address, &format!("its tables are missing, {by_hand}"))),
        found if found < KNOWN => {
            Err(cannot(address, &format!("its tables are of version {found}, not {KNOWN}, {by_hand}")))
        }
        _ => Ok(()),
    }
}

/// Whether tables could be made, or are there and can be worked with. Nothing is changed.
pub(super) async fn could_open(link: &mut Link, address: &Address) -> Result<(), JournalError> {
    serves(link, address).await?;
    found(link, address, KNOWN).await.map(drop)
}

async fn serves(link: &mut Link, address: &Address) -> Result<(), JournalError> {
    let sql = "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
               current_schema() IS NOT NULL";
    let rows = link.query(sql, &[]).await.map_err(|trouble| cannot(address, trouble.text()))?;
    let Some(row) = rows.first() else { return Err(cannot(address, "it does not say its version")) };
    match (row.get::<_, i64>(0), row.get::<_, bool>(2)) {
        (SERVER.., true) => Ok(()),
        (SERVER.., false) => Err(cannot(address, "its search_path names no schema that is there")),
        _ => Err(cannot(address, &format!("it is PostgreSQL {}, and 13 is needed", row.get::<_, &str>(1)))),
    }
}

/// The version of the tables; 0 where there are none. That of a program which knows more is fine as long as we may.
async fn found(link: &mut Link, address: &Address, known: i64) -> Result<i64, JournalError> {
    let cannot = |trouble: Trouble| cannot(address, trouble.text());
    let there = "SELECT to_regclass('imgserve_journal') IS NOT NULL";
    let rows = link.query(there, &[]).await.map_err(cannot)?;
    if !rows.first().is_some_and(|row| row.get::<_, bool>(0)) {
        return Ok(0);
    }
    let rows = link.query("SELECT version, needs FROM imgserve_journal", &[]).await.map_err(cannot)?;
    let Some((version, needs)) = rows.first().map(|row: &Row| (row.get::<_, i64>(0), row.get::<_, i64>(1)))
    else {
        return Ok(0);
    };
    if needs > known {
        let journal = address.shown().to_owned();
        return Err(JournalError::TooNew { journal, found: needs, known });
    }
    Ok(version.min(known))
}

/// What another program could not read is offered to this one, before any other.
pub(super) const TRY: &str = "WITH tried AS (UPDATE imgserve_jobs SET held_by = NULL, held_why = NULL, node = $2, \
     due_at_ms = greatest(due_at_ms, imgserve_now_ms()) WHERE held_by IS NOT NULL AND held_by <> $1 RETURNING client) \
     INSERT INTO imgserve_changes (state, client, jobs) SELECT '', client, 1 FROM tried";

/// Frees what this node's predecessor had in hand, which has ended: whoever opens the journal has the node's file. And what
/// another program could not read, this one tries.
pub(super) async fn take_over(link: &mut Link, node: Uuid, reader: &str) -> Result<(), Trouble> {
    const JOBS: &str = "UPDATE imgserve_jobs SET state = 'accepted', lease_until_ms = NULL \
                        WHERE lease_until_ms IS NOT NULL AND node = $1";
    const NOTICES: &str = "UPDATE imgserve_notices SET lease_until_ms = NULL \
                           WHERE lease_until_ms IS NOT NULL AND node = $1";
    let (own, tries) = (values![node], values![reader.to_owned(), node]);
    link.in_transaction(&[(JOBS, &own), (NOTICES, &own), (TRY, &tries)]).await.map(drop)
}

fn cannot(address: &Address, text: &str) -> JournalError {
    JournalError::Open { journal: address.shown().to_owned(), text: text.to_owned() }
}
