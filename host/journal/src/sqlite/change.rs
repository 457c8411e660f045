//! A change that waits to be made: what it promises, what it does, and who waits for its answer.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::trouble::Trouble;
use crate::store::JournalError;

/// What a change's answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// It is on disk.
    Disk,
    /// It is made, and survives the process; a power cut may undo it, together with all that came after it.
    Process,
    /// Nobody waits for an answer: it is made as `Process`, and tried until it is.
    Silent,
}

/// A change that waits to be made.
pub(super) struct Change {
    pub(super) promise: Promise,
    pub(super) work: Box<dyn Work>,
}

/// The inside of a change, whatever its answer is.
pub(super) trait Work: Send {
    /// Makes the change; what comes of it is kept until the commit.
    fn apply(&mut self, db: &Connection) -> Result<(), Trouble>;
    /// It is refused, whatever becomes of the transaction.
    fn refuse(&mut self, error: JournalError);
    /// Tells whoever waits what came of it, or why nothing did.
    fn answer(self: Box<Self>, failed: Option<JournalError>);
}

/// A change whose answer somebody may wait for.
pub(super) struct Asked<T, F> {
    pub(super) make: F,
    pub(super) made: Option<Result<T, JournalError>>,
    pub(super) reply: oneshot::Sender<Result<T, JournalError>>,
}

impl<T: Send, F: Fn(&Connection) -> Result<T, Trouble> + Send> Work for Asked<T, F> {
    fn apply(&mut self, db: &Connection) -> Result<(), Trouble> {
        self.made = Some(Ok((self.make)(db)?));
        Ok(())
    }

    fn refuse(&mut self, error: JournalError) {
        self.made = Some(Err(error));
    }

    fn answer(self: Box<Self>, failed: Option<JournalError>) {
        let answer = match (failed, self.made) {
            (Some(error), _) => Err(error),
            (None, Some(made)) => made,
            (None, None) => return,
        };
        // Whoever asked may not wait any more.
        let _ = self.reply.send(answer);
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("promise", &self.promise).finish_non_exhaustive()
    }
}
