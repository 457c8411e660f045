//! The one thread that writes. It makes all changes that wait in one transaction, so that they share one sync of the
//! disk, and answers them after it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::Batches;
use super::change::{Asked, Change, Promise};
use super::trouble::Trouble;
use crate::gather::Gather;
use crate::pulse::Pulse;
use crate::store::{Health, JournalError};

/// Why the writer's thread answers nothing any more.
const GONE: &str = "its writer has ended";

/// The way to the thread; dropped, it waits until all changes are made and the file is closed.
#[derive(Debug)]
pub(super) struct Writer {
    changes: Option<Sender<Change>>,
    thread: Option<JoinHandle<()>>,
    pulse: Arc<Pulse>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn start(db: Connection, path: &Path) -> io::Result<Self> {
        let pulse = Arc::new(Pulse::new());
        let batches = Batches::new(db, path, Arc::clone(&pulse));
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || run(batches, &receiver))?;
        Ok(Self { changes: Some(sender), thread: Some(thread), pulse })
    }

    /// Asks for a change, at once: it is made even if nobody waits for the answer. Changes are made in the order in
    /// which they are asked for.
    pub(super) fn change<T, F>(
        &self,
        promise: Promise,
        make: F,
    ) -> impl Future<Output = Result<T, JournalError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Trouble> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Asked { make, made: None, reply });
        if let Some(changes) = &self.changes {
            // Where the thread has ended, so does the wait for its answer.
            let _ = changes.send(Change { promise, work });
        }
        let pulse = Arc::clone(&self.pulse);
        async move {
            answer.await.unwrap_or_else(|_| {
                pulse.give_up(GONE);
                Err(pulse.broken().unwrap_or_else(|| JournalError::Broken { text: GONE.to_owned() }))
            })
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.pulse.give_up(GONE);
        }
        self.pulse.health()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been told already.
            let _ = thread.join();
        }
    }
}

/// Takes what waits, again and again.
fn run(mut batches: Batches, changes: &Receiver<Change>) {
    let mut gather = Gather::new();
    loop {
        // What was not made for want of room waits for the next change, or a while.
        let first = match batches.retry_after() {
            None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => changes.recv_timeout(pause),
        };
        if matches!(first, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        if let Some(pause) = gather.pause() {
            std::thread::sleep(pause);
        }
        let waiting = first.into_iter().chain(std::iter::from_fn(|| changes.try_recv().ok()));
        gather.ended(batches.make(waiting));
    }
}
