//! What there is beside as many nodes share the journal: who they are, what they hear of each other, and what they look for as they
//! may not hear it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use imgserve_base::job::{JobId, JobState};
use tokio_postgres::Row as Found;

use super::change::Doubt;
use super::link::Link;
use super::node::Node;
use super::read::{SUM_UP, TOTALS, unfinished};
use super::rows::{count, job, number, uuid};
use super::trouble::Trouble;
use super::value::values;
use super::{Postgres, jobs};
use crate::store::{Answer, Look, News, NodeSeen, Presence, Shared};

/// How long ago a node that is there was heard of at most: three times as long as it lets pass between two words.
pub(super) const ALIVE_MS: i64 = 15_000;
/// For how long a node is told of that is not there any more.
const TOLD_MS: i64 = 24 * 3600 * 1000;

impl Shared for Postgres {
    fn name(&self) -> &str {
        &self.node.name
    }

    fn others(&self) -> usize {
        self.node.others.load(Ordering::Acquire)
    }

    fn present(&self, presence: Presence) {
        *self.node.presence.lock().unwrap_or_else(PoisonError::into_inner) = presence;
    }

    fn offer(&self) {
        self.tell([News::Waiting]);
    }

    fn heard(&self) -> Pin<Box<dyn Future<Output = Vec<News>> + Send + '_>> {
        match &self.news {
            Some((_, heard)) => Box::pin(heard.take()),
            None => Box::pin(pending()),
        }
    }

    fn look(&self, watched: Vec<JobId>) -> Answer<'_, Look> {
        Box::pin(async move {
            let mut link = self.reader().await?;
            let seen = look(&mut link, &self.node, &watched).await.map_err(|trouble| trouble.unreadable())?;
            if self.node.sums_up() {
                link.query(SUM_UP, &[]).await.map_err(|trouble| trouble.unreadable())?;
            }
            link.well();
            Ok(seen)
        })
    }

    fn ask_to_cancel(&self, id: JobId) -> Answer<'_, bool> {
        let found = |rows: &[Found]| Ok(!rows.is_empty());
        let asked = self.writer.change((Some(jobs::ask_to_cancel(id)), None), Doubt::Repeat, found);
        Box::pin(async move {
            let asked = asked.await?;
            self.tell([News::Cancel(id)]);
            Ok(asked)
        })
    }

    fn nodes(&self) -> Answer<'_, Vec<NodeSeen>> {
        Box::pin(async move {
            let mut link = self.reader().await?;
            let seen = nodes(&mut link, &self.node).await.map_err(|trouble| trouble.unreadable())?;
            link.well();
            Ok(seen)
        })
    }
}

async fn look(link: &mut Link, node: &Node, watched: &[JobId]) -> Result<Look, Trouble> {
    const OTHERS: &str = "SELECT count(*) FROM imgserve_nodes WHERE id <> $1 AND NOT has_ended \
                          AND seen_at_ms > imgserve_now_ms() - $2::bigint";
    const CANCEL: &str =
        "SELECT id FROM imgserve_jobs WHERE cancel AND node = $1 AND state IN ('accepting', 'running')";
    const WATCHED: &str = "SELECT id, state, attempt FROM imgserve_jobs WHERE id = ANY ($1::uuid[]) \
                           UNION ALL SELECT id, state, attempt FROM imgserve_finished WHERE id = ANY ($1::uuid[])";
    let (me, alive) = (values![node.id], values![node.id, ALIVE_MS]);
    let ids = values![watched.iter().copied().map(uuid).collect::<Vec<_>>()];
    let mut statements = vec![(OTHERS, &*alive), (CANCEL, &*me), (TOTALS, &[])];
    if !watched.is_empty() {
        statements.push((WATCHED, &*ids));
    }
    let answers = link.together(&statements).await?;
    let rows = |at: usize| answers.get(at).map(Vec::as_slice).unwrap_or_default();
    let others = rows(0).first().map_or(0, |row| number(row.get(0)));
    node.others.store(others as usize, Ordering::Release);
    let state = |row: &Found| Some((job(row.get(0)), JobState::parse(row.get(1))?, count(row.get(2))));
    Ok(Look {
        watched: rows(3).iter().filter_map(state).collect(),
        cancel: rows(1).iter().map(|row| job(row.get(0))).collect(),
        unfinished: unfinished(rows(2)),
    })
}

async fn nodes(link: &mut Link, node: &Node) -> Result<Vec<NodeSeen>, Trouble> {
    const NODES: &str = "SELECT id, name, version, began_at_ms, seen_at_ms, \
         NOT has_ended AND seen_at_ms > imgserve_now_ms() - $1::bigint, workers, running FROM imgserve_nodes \
         WHERE seen_at_ms > imgserve_now_ms() - $2::bigint ORDER BY began_at_ms, id";
    let rows = link.query(NODES, &values![ALIVE_MS, TOLD_MS]).await?;
    let read = |row: &Found| {
        let (id, is_there) = (row.get::<_, uuid::Uuid>(0), row.get(5));
        let told = |at: usize| if is_there { number(row.get(at)) as usize } else { 0 };
        NodeSeen {
            id: id.to_string(),
            name: row.get(1),
            version: row.get(2),
            began_at_ms: number(row.get(3)),
            seen_at_ms: number(row.get(4)),
            is_there,
            is_this: id == node.id,
            presence: Presence { workers: told(6), running: told(7) },
        }
    };
    Ok(rows.iter().map(read).collect())
}
