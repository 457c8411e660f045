//! The server's end of the socket to one worker: asks, hears what is said meanwhile, cancels.

use std::future::Future;
use std::io;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::protocol::{self, LogLevel, Reply, Request};

/// What a worker says of a task under way.
#[derive(Debug)]
pub(super) enum Event {
    /// How much of it is done, 0 to 1.
    Progress(f32),
    /// Which operation's plugin is being called; none when it has returned.
    Calls(Option<String>),
}

/// The worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Before it could have begun.
    Before,
    /// While it worked.
    Under,
}

/// The socket to a worker.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    max_payload: u64,
}

impl Wire {
    /// The socket to a worker that answers with at most `max_payload` bytes.
    pub(super) fn new(stream: UnixStream, max_payload: u64) -> Self {
        Self { stream, max_payload }
    }

    /// Hands over a request and waits for its answer. When `cancelled` resolves, the worker is told once that it may give
    /// up; its answer is waited for all the same, so that the next request gets its own.
    ///
    /// # Errors
    /// When it was lost.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        payload: &[u8],
        cancelled: impl Future<Output = ()>,
        hear: impl FnMut(Event),
    ) -> Result<(Reply, Bytes), Lost> {
        let (mut reader, mut writer) = self.stream.split();
        protocol::send(&mut writer, request, payload).await.map_err(|_| Lost::Before)?;
        let answer = answer(&mut reader, self.max_payload, hear);
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|_| Lost::Under),
            () = cancelled => {}
        }
        // That a worker is gone shows in its answer. Sent whole before the next request, it cannot hit that one.
        let _ = protocol::send(&mut writer, &Request::Cancel, &[]).await;
        answer.await.map_err(|_| Lost::Under)
    }
}

/// Reads replies up to the one that ends the request.
async fn answer(
    reader: &mut (impl AsyncReadExt + Unpin),
    max_payload: u64,
    mut hear: impl FnMut(Event),
) -> io::Result<(Reply, Bytes)> {
    loop {
        match protocol::receive(reader, max_payload).await? {
            (Reply::Progress(done), _) => hear(Event::Progress(done)),
            (Reply::Calls(operation), _) => hear(Event::Calls(Some(operation))),
            (Reply::Returned, _) => hear(Event::Calls(None)),
            (Reply::Log { operation, level, text }, _) => log_plugin(&operation, level, &text),
            answer => return Ok(answer),
        }
    }
}

fn log_plugin(operation: &str, level: LogLevel, text: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(operation, "{text}"),
        LogLevel::Info => tracing::info!(operation, "{text}"),
        // A plugin's troubles are not the server's: nobody is to be woken for them.
        LogLevel::Warn | LogLevel::Error => tracing::warn!(operation, "{text}"),
    }
}
