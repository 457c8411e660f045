//! A change that waits to be made: its statement, what its answer means, and what becomes of it when nobody knows whether it was
//! made.

use std::sync::atomic::{AtomicU64, Ordering};

use imgserve_base::job::JobId;
use tokio::sync::oneshot;
use tokio_postgres::Row;

use super::value::Value;
use crate::store::JournalError;

/// A statement with its values.
pub(super) struct Sql {
    pub(super) text: &'static str,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(text: &'static str, values: Vec<Value>) -> Self {
        Self { text, values }
    }
}

/// What becomes of a change when the connection is lost before it is answered, and there is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whoever asked is told that it cannot be made; made twice it is the same.
    Repeat,
    /// Whoever asked waits until it is known.
    Wait,
    /// Whoever asked is told that it cannot be made: the job is forgotten as soon as that is possible.
    Withdraw(JobId),
}

/// Changes that nobody waits for: how many were asked for, and are made.
#[derive(Debug, Default)]
pub(super) struct Silent {
    pub(super) asked: AtomicU64,
    pub(super) made: AtomicU64,
}

impl Silent {
    /// Whether none is left.
    pub(super) fn is_settled(&self) -> bool {
        self.made.load(Ordering::Acquire) == self.asked.load(Ordering::Acquire)
    }
}

/// A change that waits to be made.
pub(super) struct Change {
    /// None for a mark: it is answered when all before it are made.
    pub(super) sql: Option<Sql>,
    /// By which is seen whether it is made already: its rows are then the answer.
    pub(super) made: Option<Sql>,
    pub(super) doubt: Doubt,
    /// Whether nobody waits for an answer: it is tried until it is made.
    pub(super) silent: bool,
    /// Whether it needs not be on disk before what comes after it: what a crash undoes of it comes about by itself.
    pub(super) lazy: bool,
    /// Whether it may have been made.
    pub(super) doubted: bool,
    pub(super) work: Box<dyn Work>,
}

/// The inside of a change, whatever its answer is.
pub(super) trait Work: Send + Sync {
    /// Tells whoever waits what came of it, or why nothing did.
    fn answer(self: Box<Self>, made: Result<Vec<Row>, JournalError>);
}

/// A change whose answer somebody may wait for.
pub(super) struct Asked<T, F> {
    pub(super) read: F,
    pub(super) reply: oneshot::Sender<Result<T, JournalError>>,
}

impl<T: Send, F: FnOnce(&[Row]) -> Result<T, JournalError> + Send + Sync> Work for Asked<T, F> {
    fn answer(self: Box<Self>, made: Result<Vec<Row>, JournalError>) {
        let Self { read, reply } = *self;
        // Whoever asked may not wait any more.
        let _ = reply.send(made.and_then(|rows| read(&rows)));
    }
}

impl Change {
    /// Answers it.
    pub(super) fn answer(self, made: Result<Vec<Row>, JournalError>) {
        self.work.answer(made);
    }

    /// One that nobody waits for.
    pub(super) fn silent(sql: Sql) -> Self {
        let (reply, _) = oneshot::channel();
        let work = Box::new(Asked { read: |_: &[Row]| Ok(()), reply });
        Self {
            sql: Some(sql),
            made: None,
            doubt: Doubt::Repeat,
            silent: true,
            lazy: false,
            doubted: false,
            work,
        }
    }

    /// The same for one that a crash may undo.
    pub(super) fn lazy(sql: Sql) -> Self {
        Self { lazy: true, ..Self::silent(sql) }
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.sql.as_ref().map(|sql| sql.text);
        f.debug_struct("Change").field("sql", &text).field("doubt", &self.doubt).finish_non_exhaustive()
    }
}
