//! The way to the task that makes changes.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_postgres::Row;

use super::address::Address;
use super::batch::Batches;
use super::change::{Asked, Change, Doubt, Silent, Sql};
use super::link::Link;
use super::node::Node;
use crate::pulse::Pulse;
use crate::store::{Health, JournalError};

/// Why nothing is answered any more.
const GONE: &str = "its writer has ended";
/// How long what waits may take at the end.
const LAST: Duration = Duration::from_secs(10);

/// The way to the task.
#[derive(Debug)]
pub(super) struct Writer {
    changes: Option<UnboundedSender<Change>>,
    ended: Mutex<Receiver<()>>,
    pulse: Arc<Pulse>,
    silent: Arc<Silent>,
}

impl Writer {
    /// Starts the task; `reader` is what this program calls itself where it cannot read a job.
    pub(super) fn start(
        runtime: &Handle,
        address: Arc<Address>,
        link: Link,
        (node, reader): (Arc<Node>, String),
    ) -> Self {
        let (pulse, silent) = (Arc::new(Pulse::new()), Arc::default());
        let batches = Batches::new(address, Arc::clone(&pulse), link, (node, reader), Arc::clone(&silent));
        let (changes, waiting) = unbounded_channel();
        let (end, ended) = channel();
        runtime.spawn(async move {
            batches.run(waiting).await;
            // Nobody waits any more, or the one who does hears of it.
            let _ = end.send(());
        });
        Self { changes: Some(changes), ended: Mutex::new(ended), pulse, silent }
    }

    /// Asks for a change, at once: it is made even if nobody waits for the answer. Changes are made in the order in which they
    /// are asked for.
    pub(super) fn change<T, F>(
        &self,
        (sql, made): (Option<Sql>, Option<Sql>),
        doubt: Doubt,
        read: F,
    ) -> impl Future<Output = Result<T, JournalError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&[Row]) -> Result<T, JournalError> + Send + Sync + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Asked { read, reply });
        self.send(Change { sql, made, doubt, silent: false, lazy: false, doubted: false, work });
        let pulse = Arc::clone(&self.pulse);
        async move {
            answer.await.unwrap_or_else(|_| {
                pulse.give_up(GONE);
                Err(JournalError::Broken { text: GONE.to_owned() })
            })
        }
    }

    /// Asks for a change that nobody waits for: it is made before what is asked for next, and tried until it is.
    pub(super) fn silently(&self, change: Change) {
        self.silent.asked.fetch_add(1, Ordering::AcqRel);
        self.send(change);
    }

    /// Waits until all changes are made that nobody waited for.
    ///
    /// # Errors
    /// The database is away.
    pub(super) async fn settled(&self) -> Result<(), JournalError> {
        if self.silent.is_settled() {
            return Ok(());
        }
        self.change((None, None), Doubt::Repeat, |_| Ok(())).await
    }

    /// Waits until what waits is made, and makes nothing more.
    pub(super) fn end(&mut self) {
        if self.changes.take().is_some() {
            // Where the database is away it cannot be made, and is another start's.
            let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST);
        }
    }

    pub(super) fn health(&self) -> Health {
        self.pulse.health()
    }

    fn send(&self, change: Change) {
        if let Some(changes) = &self.changes {
            // Where the task has ended, so does the wait for its answer.
            let _ = changes.send(change);
        }
    }
}
