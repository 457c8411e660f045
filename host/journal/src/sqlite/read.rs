//! What is asked of the journal: on connections of their own, that read beside the one that writes. Each sees what was
//! committed before it began.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use imgserve_base::job::{Client, JobId, JobState};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Semaphore;

use super::notices;
use super::rows::{ROW, Row, integer, number, prepare};
use super::schema;
use crate::store::{Counts, Filter, JournalError};

/// Connections at once; more would wait for the cores.
const MOST: usize = 4;

/// The connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        let idle = Mutex::default();
        Arc::new(Self { path: path.to_owned(), idle, permits: Arc::new(Semaphore::new(MOST)) })
    }

    /// Runs a query on a thread that may block.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`].
    pub(super) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let unreadable = |text: String| JournalError::Unreadable { text };
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|error| unreadable(error.to_string()))?;
        let run = move || {
            let _permit = permit;
            let connection = match self.idle().pop() {
                Some(connection) => connection,
                None => schema::open_reader(&self.path)?,
            };
            // A connection that has failed is not used again.
            let answer = query(&connection)?;
            self.idle().push(connection);
            Ok(answer)
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(answer) => answer.map_err(|error: rusqlite::Error| unreadable(error.to_string())),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Closes those that nobody uses.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn order(db: &Connection, id: JobId) -> rusqlite::Result<Option<String>> {
    prepare(db, "SELECT instructions FROM jobs WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
}

pub(super) fn job(db: &Connection, id: JobId) -> rusqlite::Result<Option<Row>> {
    let sql = format!("SELECT {ROW} FROM jobs WHERE id = ?1");
    prepare(db, &sql)?.query_row([id.as_bytes()], Row::read).optional()
}

/// The newest of each state that is asked for, merged: so an index gives them in order, and a rare state is found
/// without a look at all others.
pub(super) fn list(db: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    // One transaction, so that a job which changes its state meanwhile is in the list once.
    let transaction = db.unchecked_transaction()?;
    let sql = format!(
        "SELECT {ROW} FROM jobs INDEXED BY jobs_listed WHERE state = ?1 AND id < ?2 AND (?3 IS NULL OR client = ?3) \
         AND (?4 IS NULL OR operation = ?4) AND (?6 IS NULL OR hex(id) LIKE ?6 || '%' OR hex(id) LIKE '%' || ?6) \
         ORDER BY id DESC LIMIT ?5"
    );
    let before = filter.before.map_or([0xff; 16], |id| *id.as_bytes());
    let client = filter.client.as_ref().map(Client::to_string);
    let mut found = Vec::new();
    for state in JobState::ALL {
        if !filter.states.is_empty() && !filter.states.contains(&state) {
            continue;
        }
        let limit = integer(filter.limit as u64);
        let values = params![state.as_str(), before, client, filter.operation, limit, filter.id];
        let mut statement = prepare(&transaction, &sql)?;
        for row in statement.query_map(values, Row::read)? {
            found.push(row?);
        }
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.id));
    found.truncate(filter.limit);
    Ok(found)
}

pub(super) fn counts(db: &Connection) -> rusqlite::Result<Counts> {
    let transaction = db.unchecked_transaction()?;
    let mut counts = Counts::default();
    for state in JobState::ALL {
        let sql = "SELECT client, count(*) FROM jobs INDEXED BY jobs_listed WHERE state = ?1 GROUP BY client";
        let mut all = 0;
        let mut statement = prepare(&transaction, sql)?;
        let rows = statement.query_map([state.as_str()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        for row in rows {
            let (client, jobs): (String, i64) = row?;
            all += number(jobs);
            if !state.is_final() {
                add(&mut counts.unfinished, Client::parse(&client), number(jobs));
            }
        }
        counts.states.push((state, all));
    }
    for (client, held) in held(&transaction)? {
        if let Some((_, sum)) = counts.unfinished.iter_mut().find(|(known, _)| *known == client) {
            *sum = sum.saturating_sub(held);
        }
    }
    counts.notices = notices::count(&transaction)?;
    Ok(counts)
}

/// How many are held, by client.
fn held(db: &Connection) -> rusqlite::Result<Vec<(Client, u64)>> {
    let sql =
        "SELECT client, count(*) FROM jobs INDEXED BY jobs_held WHERE held_by IS NOT NULL GROUP BY client";
    let mut statement = prepare(db, sql)?;
    let row = |row: &rusqlite::Row<'_>| Ok((Client::parse(&row.get::<_, String>(0)?), number(row.get(1)?)));
    statement.query_map([], row)?.collect()
}

fn add(unfinished: &mut Vec<(Client, u64)>, client: Client, jobs: u64) {
    match unfinished.iter_mut().find(|(known, _)| *known == client) {
        Some((_, sum)) => *sum += jobs,
        None => unfinished.push((client, jobs)),
    }
}

/// From where on finished jobs are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// By when they have ended, as the wall's clock had it.
    pub(super) ended: (i64, JobId),
    /// By when they came, in rows: whoever sets that clock back has none forgotten that has just ended.
    pub(super) row: i64,
}

/// From where on all finished jobs are kept, at least so many; none when there are no more than that.
pub(super) fn kept(db: &Connection, keep: usize) -> rusqlite::Result<Option<Kept>> {
    let Some(before) = keep.checked_sub(1) else {
        return Ok(Some(Kept { ended: (i64::MAX, JobId::from_bytes([0xff; 16])), row: i64::MAX }));
    };
    let those = "FROM jobs INDEXED BY jobs_finished WHERE finished_at_ms IS NOT NULL";
    let by_end =
        format!("SELECT finished_at_ms, id {those} ORDER BY finished_at_ms DESC, id DESC LIMIT 1 OFFSET ?1");
    let by_row = format!("SELECT rowid {those} ORDER BY rowid DESC LIMIT 1 OFFSET ?1");
    let before = integer(before as u64);
    let ended = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, JobId::from_bytes(row.get(1)?)));
    let Some(ended) = prepare(db, &by_end)?.query_row([before], ended).optional()? else { return Ok(None) };
    let row = prepare(db, &by_row)?.query_row([before], |row| row.get(0)).optional()?;
    Ok(row.map(|row| Kept { ended, row }))
}
