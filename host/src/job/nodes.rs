//! What a node knows of the others that share its journal: what they tell it, and what it looks for as it may not have heard.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fault::Fault;
use imgserve_base::job::{JobId, JobState};
use imgserve_journal::{HEAD_START, IdempotencyKey, Look, News, NodeSeen, Presence, Shared};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::intake::REPLY_PATIENCE;
use super::service::Service;

/// How often a node looks for what it may not have heard.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long after others have offered jobs it is looked for them again: until then some are their own nodes' first.
const OFFERED: Duration = HEAD_START.saturating_add(Duration::from_millis(50));

/// How often it is looked whether another node has accepted a job.
const ACCEPTING: Duration = Duration::from_millis(20);

/// How far a watched job was when it was last looked.
type Watched = HashMap<JobId, (JobState, u32)>;

/// A node, as clients are told of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeNow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whether it is there, as far as anybody knows.
    pub(crate) up: bool,
    /// Whether it is the one that answers.
    pub(crate) this: bool,
    pub(crate) since_ms: u64,
    pub(crate) seen_at_ms: u64,
    pub(crate) workers: usize,
    /// Attempts at jobs under way.
    pub(crate) running: usize,
}

/// Keeps up with the other nodes until the server stops, where there may be any.
pub(super) async fn keep_up(service: Arc<Service>) {
    let Some(shared) = service.journal().shared() else { return };
    let (mut watched, mut offered) = (Watched::new(), None);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = service.lifecycle().stopping() => return,
            news = shared.heard() => {
                if news.contains(&News::Waiting) {
                    offered = Some(Instant::now() + OFFERED);
                }
                news.into_iter().for_each(|news| service.heard(news));
            }
            () = at(offered) => {
                offered = None;
                service.wakeups().ask();
            }
            _ = looks.tick() => service.look(shared, &mut watched).await,
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Service {
    fn heard(&self, news: News) {
        match news {
            News::Waiting => self.wakeups().ask(),
            News::Cancel(id) => self.live().cancel(id),
            News::Changed(id) => self.live().changed(id),
        }
    }

    async fn look(&self, shared: &dyn Shared, watched: &mut Watched) {
        shared.present(Presence { workers: self.overview().workers, running: self.live().len() });
        // Where the journal cannot be asked, it is asked again.
        let Ok(seen) = shared.look(self.live().watched_elsewhere()).await else { return };
        let now: Watched =
            seen.watched.iter().map(|(id, state, attempt)| (*id, (*state, *attempt))).collect();
        for (id, far) in &now {
            if watched.get(id) != Some(far) {
                self.live().changed(*id);
            }
        }
        *watched = now;
        self.count_in(shared, seen);
    }

    fn count_in(&self, shared: &dyn Shared, seen: Look) {
        seen.cancel.into_iter().for_each(|id| self.live().cancel(id));
        self.queue().counted(seen.unfinished, shared.others() + 1);
    }

    /// Counts again how many jobs are unfinished on all nodes, as soon as that tells more than this count did; unless somebody else
    /// has.
    ///
    /// # Errors
    /// That the journal cannot be read.
    pub(super) async fn count_again(&self, count: std::time::Instant) -> Result<(), Fault> {
        let Some(shared) = self.journal().shared() else { return Ok(()) };
        let _one = self.queue().counting().await;
        let Some(wait) = self.queue().good_for(count) else { return Ok(()) };
        tokio::time::sleep(wait).await;
        let seen = shared.look(Vec::new()).await.map_err(|error| self.journal_fault(&error))?;
        self.count_in(shared, seen);
        Ok(())
    }

    /// Waits while another node still accepts a job by an idempotency key: its placeholder may not stand yet. False when that one has
    /// refused it.
    pub(super) async fn is_accepted(&self, key: &IdempotencyKey, id: JobId) -> bool {
        if self.journal().shared().is_none() {
            return true;
        }
        let end = Instant::now() + REPLY_PATIENCE;
        while let Ok(Some(record)) = self.journal().get(id).await {
            if record.state != JobState::Accepting || Instant::now() > end {
                return true;
            }
            tokio::time::sleep(ACCEPTING).await;
        }
        // It may be forgotten already; its key outlives it.
        !matches!(self.journal().receipt(&key.client, &key.key).await, Ok(None))
    }

    /// Whether other nodes go on with what this one leaves.
    pub(super) fn has_others(&self) -> bool {
        self.journal().shared().is_some_and(|shared| shared.others() > 0)
    }

    /// The nodes that share the journal; none where it is this server's alone.
    ///
    /// # Errors
    /// That the journal cannot be read.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeNow>, Fault> {
        let Some(shared) = self.journal().shared() else { return Ok(Vec::new()) };
        let nodes = shared.nodes().await.map_err(|error| self.journal_fault(&error))?;
        Ok(nodes.into_iter().map(|node| self.node_now(node)).collect())
    }

    fn node_now(&self, node: NodeSeen) -> NodeNow {
        let NodeSeen { id, name, version, began_at_ms, seen_at_ms, is_there, is_this, presence } = node;
        let Presence { workers, running } = match is_this {
            true => Presence { workers: self.overview().workers, running: self.live().len() },
            false => presence,
        };
        let (up, this) = (is_there || is_this, is_this);
        NodeNow { id, name, version, up, this, since_ms: began_at_ms, seen_at_ms, workers, running }
    }

    /// Whether a job that some node has in hand is another one's.
    pub(super) fn is_elsewhere(&self, id: JobId) -> bool {
        self.journal().shared().is_some() && !self.live().has(id)
    }

    /// Has the node cancel a job that has it in hand.
    ///
    /// # Errors
    /// That the journal cannot be written.
    pub(super) async fn cancel_elsewhere(&self, id: JobId) -> Result<(), Fault> {
        let Some(shared) = self.journal().shared() else { return Ok(()) };
        shared.ask_to_cancel(id).await.map(drop).map_err(|error| self.journal_fault(&error))
    }
}
