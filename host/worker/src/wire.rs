//! The server's end of the socket to one worker: asks, hears what is said meanwhile, cancels.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::units::{KIB, MIB};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::frame;
use super::payload::Payload;
use super::protocol::{LogLevel, Reply, Request};

/// The replies to most requests, a thumbnail included, in one system call.
const READ_AT_ONCE: usize = 32 * KIB as usize;
/// Most photographs for the web in one system call; without a privilege no more than `net.core.wmem_max`, half of that.
const SEND_BUFFER: usize = MIB as usize;

/// How long a worker may take to give up what is cancelled. Operations look many times a second whether they are to go on;
/// one that does not is ended with its worker, so that nobody's place is held by what nobody waits for.
const GIVES_UP_WITHIN: Duration = Duration::from_millis(400);

/// What a worker says of a task under way.
#[derive(Debug)]
pub(super) enum Event {
    /// How much of it is done, 0 to 1.
    Progress(f32),
    /// A direct call is no small one.
    Large,
    /// Which operation's plugin is being called; none when it has returned.
    Calls(Option<String>),
    /// The plugin that is being called was not done in time; the worker ends itself.
    Late,
}

/// What a worker's end would be laid to, by what it has said.
#[derive(Debug, Default)]
pub(super) struct Blame {
    /// The operation whose plugin is being called.
    pub(super) culprit: Option<String>,
    /// Whether that was not done in time.
    pub(super) late: bool,
}

impl Blame {
    /// Takes note of what is said.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Calls(operation) => self.culprit.clone_from(operation),
            Event::Late => self.late = true,
            Event::Progress(_) | Event::Large => {}
        }
    }
}

/// The worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Before it could have begun.
    Before,
    /// While it worked.
    Under,
    /// It does not give up what nobody waits for any more: it has to be killed.
    Deaf,
}

/// The socket to a worker.
#[derive(Debug)]
pub(super) struct Wire {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    max_payload: u64,
}

impl Wire {
    /// The socket to a worker that answers with at most `max_payload` bytes.
    pub(super) fn new(stream: UnixStream, max_payload: u64) -> Self {
        // As far as the system permits; with a smaller one both sides wake up more often for a source.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::with_capacity(READ_AT_ONCE, reader), writer, max_payload }
    }

    /// Hands over a request and waits for its answer. When `cancelled` resolves, the worker is told once that it may give
    /// up; its answer is waited for a moment all the same, so that the next request gets its own.
    ///
    /// # Errors
    /// When it was lost.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        payload: &Payload,
        cancelled: impl Future<Output = ()>,
        hear: impl FnMut(Event),
    ) -> Result<(Reply, Bytes), Lost> {
        let Self { reader, writer, max_payload } = self;
        frame::send(writer, request, payload).await.map_err(|_| Lost::Before)?;
        let answer = answer(reader, *max_payload, hear);
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|_| Lost::Under),
            () = cancelled => {}
        }
        let give_up = async {
            // That a worker is gone shows in its answer. Sent whole before the next request, it cannot hit that one.
            let _ = frame::send(writer, &Request::Cancel, &Payload::NONE).await;
            answer.await.map_err(|_| Lost::Under)
        };
        tokio::time::timeout(GIVES_UP_WITHIN, give_up).await.unwrap_or(Err(Lost::Deaf))
    }
}

/// Reads replies up to the one that ends the request.
async fn answer(
    reader: &mut (impl AsyncReadExt + Unpin),
    max_payload: u64,
    mut hear: impl FnMut(Event),
) -> io::Result<(Reply, Bytes)> {
    loop {
        match frame::receive(reader, max_payload).await.or_else(refused)? {
            (Reply::Progress(done), _) => hear(Event::Progress(done)),
            (Reply::Large, _) => hear(Event::Large),
            (Reply::Calls(operation), _) => hear(Event::Calls(Some(operation))),
            (Reply::Returned, _) => hear(Event::Calls(None)),
            (Reply::Late, _) => hear(Event::Late),
            (Reply::Log { operation, level, text }, _) => log_plugin(&operation, level, &text),
            answer => return Ok(answer),
        }
    }
}

/// What there is no memory for refuses its task; the worker has done nothing wrong.
fn refused(error: io::Error) -> io::Result<(Reply, Bytes)> {
    if error.kind() != io::ErrorKind::OutOfMemory {
        return Err(error);
    }
    let text = "the system gives no memory for the result";
    tracing::warn!("{text}");
    Ok((Reply::Refused(Fault::new(FaultKind::Busy, text).retried(Retry::Later)), Bytes::new()))
}

/// The target of the log's lines that are a plugin's own.
pub const PLUGIN_LINES: &str = "imgserve_worker::plugin_lines";

fn log_plugin(operation: &str, level: LogLevel, text: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(target: PLUGIN_LINES, operation, "{text}"),
        LogLevel::Info => tracing::info!(target: PLUGIN_LINES, operation, "{text}"),
        // A plugin's troubles are not the server's: nobody is to be woken for them.
        LogLevel::Warn | LogLevel::Error => tracing::warn!(target: PLUGIN_LINES, operation, "{text}"),
    }
}
