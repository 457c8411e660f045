//! What server and worker say to each other: length-prefixed frames over a Unix socket pair. A frame is a JSON
//! message and a payload of encoded bytes; pixels never cross.
//!
//! Frame: `u32` length of the JSON, `u64` length of the payload (both little-endian), the JSON, the payload.

use std::io::{self, Read, Write};

use bytes::Bytes;
use imgserve_sdk::Description;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Operation;
use crate::fault::Fault;
use crate::plugin::{Artifact, Usage};

/// Longest JSON of a frame, in bytes: arguments come from a request body, which is capped far below.
const MAX_MESSAGE: u32 = 64 << 20;
/// Longest payload that a worker takes, in bytes: more than any source that the limits allow.
const MAX_PAYLOAD: u64 = 4 << 30;
const PREFIX: usize = 12;
/// How many of the largest result the results of one run may take together.
pub(super) const RESULTS_TOGETHER: u64 = 4;

/// Server to worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// The first frame: what to load and how to limit oneself.
    Setup(Setup),
    /// Probe, plan and draw the placeholder. Payload: the source's first bytes.
    Prepare {
        /// What is to be done.
        task: Task,
        /// Whether the payload is the whole source.
        complete: bool,
        /// Whether a placeholder is wanted.
        draw: bool,
        /// How long it may take before the server ends the worker.
        time_ms: u64,
    },
    /// Decode once, then run and encode for each task. Payload: the source.
    Run {
        /// What is to be done.
        tasks: Vec<Task>,
        /// How long all of it may take before the server ends the worker.
        time_ms: u64,
    },
    /// Draw a placeholder. No payload.
    Draw(Placeholder),
    /// Nobody waits for the request under way any more; the one frame that may come before its answer. It has no answer
    /// of its own, and is ignored when it comes too late.
    Cancel,
}

/// The worker's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// What to load.
    pub operations: Vec<Registered>,
    /// The core to be pinned to.
    pub core: Option<usize>,
    /// RLIMIT_DATA in bytes.
    pub memory_limit: u64,
    /// `[limits]`.
    pub limits: crate::config::Limits,
    /// Whether a plugin that cannot be loaded is left out: when a worker is replaced, the others must go on.
    pub lenient: bool,
}

/// An operation of the configuration and the file of its plugin, made ready to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registered {
    /// Its name in the registry.
    pub name: String,
    /// Its section of the configuration.
    pub settings: Operation,
    /// None for a builtin plugin.
    pub artifact: Option<Artifact>,
}

/// What is to be done with one source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The operations, one after the other; at least one.
    pub steps: Vec<Step>,
    /// The source's extension, for formats that the host cannot recognise by content.
    pub extension: String,
    /// The result's file format, or none for output that the operation encodes itself.
    pub format: Option<crate::format::Format>,
    /// Encoding quality, 1 to 100.
    pub quality: u8,
    /// Where the operations' random numbers begin.
    pub seed: u64,
}

/// One operation of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The operation's name in the registry.
    pub operation: String,
    /// Its arguments, defaults applied, the host's own taken out.
    pub args: Map<String, Value>,
}

/// A placeholder to draw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Placeholder {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Its file format.
    pub format: crate::format::Format,
    /// Whether it says that the work failed, rather than that it is under way.
    pub failed: bool,
}

/// Worker to server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// The plugins are loaded.
    Ready {
        /// The operations.
        loaded: Vec<Loaded>,
        /// What the kernel cannot enforce of the worker's sandbox.
        unenforced: Vec<String>,
    },
    /// The plugins cannot be loaded.
    Unready(Fault),
    /// The source's header is not in these bytes yet.
    NeedMore,
    /// The plan. Payload: the placeholder (none where none is wanted, and for output that is no image).
    Prepared(Prepared),
    /// How much of the request is done, 0 to 1. More replies follow.
    Progress(f32),
    /// A line of a plugin's. More replies follow.
    Log {
        /// The operation's name in the registry.
        operation: String,
        /// How important it is.
        level: LogLevel,
        /// One line.
        text: String,
    },
    /// A third-party plugin is being called: should the worker end, it is to blame. More replies follow.
    Calls(String),
    /// It has returned. More replies follow.
    Returned,
    /// The run is over. Payload: the results, one after the other.
    Done {
        /// What became of each task.
        results: Vec<Result<Made, Fault>>,
        /// Frames of the source that were decoded, for all tasks together.
        decoded: u32,
        /// Wall time from when the request was read until this reply is written, in microseconds.
        work_us: u64,
    },
    /// Payload: the placeholder.
    Drawn,
    /// The request was refused or failed as a whole.
    Refused(Fault),
}

/// A task's result, as it is announced; its bytes are part of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// What its operations took.
    pub usage: Usage,
}

/// An operation whose plugin is loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// The operation's name in the registry.
    pub name: String,
    /// What its plugin says of itself.
    pub description: Description,
    /// Its plugin's file; none for a builtin one.
    pub artifact: Option<Artifact>,
}

/// How important a plugin's log line is; as [`imgserve_sdk::Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// For whoever writes the plugin.
    Debug,
    /// For whoever runs it.
    Info,
    /// Something is not as it should be.
    Warn,
    /// The result is not right.
    Error,
}

/// The outcome of planning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// Estimated peak memory of the run in a worker, in bytes; the source's own bytes come on top.
    pub own_bytes: u64,
    /// Estimated memory of sandboxed plugins beside it, in bytes.
    pub guest_bytes: u64,
    /// The source's file format; none for one that only a plugin reads.
    pub source_format: Option<crate::format::Format>,
}

impl Prepared {
    /// Estimated memory of one run for several plans, as `own_bytes` and `guest_bytes`: they are worked off one after the
    /// other on the same decoded source, while an encoder of each may hold a picture twice.
    pub(crate) fn together(all: &[Self]) -> (u64, u64) {
        let largest = |bytes: fn(&Self) -> u64| all.iter().map(bytes).max().unwrap_or_default();
        let encoder = |plan: &Self| 2 * imgserve_sdk::PixelFormat::Rgba8.bytes(plan.width, plan.height);
        // The largest estimate holds its own encoder already.
        let encoders = all.iter().map(encoder).fold(0, u64::saturating_add);
        let counted = all.iter().max_by_key(|plan| plan.own_bytes).map_or(0, encoder);
        (largest(|plan| plan.own_bytes).saturating_add(encoders - counted), largest(|plan| plan.guest_bytes))
    }
}

fn prefix(message_len: usize, payload_len: usize) -> [u8; PREFIX] {
    let mut prefix = [0; PREFIX];
    prefix[..4].copy_from_slice(&(message_len as u32).to_le_bytes());
    prefix[4..].copy_from_slice(&(payload_len as u64).to_le_bytes());
    prefix
}

fn lengths(prefix: [u8; PREFIX], max_payload: u64) -> io::Result<(usize, usize)> {
    let (message, payload) = prefix.split_at(4);
    let message = u32::from_le_bytes(message.try_into().expect("split at 4"));
    let payload = u64::from_le_bytes(payload.try_into().expect("12 less 4 is 8"));
    if message > MAX_MESSAGE || payload > max_payload {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    Ok((message as usize, payload as usize))
}

fn parse<T: DeserializeOwned>(message: &[u8]) -> io::Result<T> {
    serde_json::from_slice(message).map_err(io::Error::from)
}

/// Writes a frame whose payload is these parts in order, blocking (the worker's side).
pub(crate) fn write<T: Serialize, P: AsRef<[u8]>>(
    stream: &mut impl Write,
    message: &T,
    payload: &[P],
) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    let payload_len = payload.iter().map(|part| part.as_ref().len()).sum();
    stream.write_all(&prefix(message.len(), payload_len))?;
    stream.write_all(&message)?;
    for part in payload {
        stream.write_all(part.as_ref())?;
    }
    stream.flush()
}

/// Writes a frame without a payload, blocking (the worker's side).
pub(crate) fn say<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    write::<T, &[u8]>(stream, message, &[])
}

/// Reads a frame, blocking (the worker's side).
pub(crate) fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let mut head = [0; PREFIX];
    stream.read_exact(&mut head)?;
    let (message_len, payload_len) = lengths(head, MAX_PAYLOAD)?;
    let mut message = vec![0; message_len];
    stream.read_exact(&mut message)?;
    let mut payload = Vec::with_capacity(payload_len);
    stream.take(payload_len as u64).read_to_end(&mut payload)?;
    if payload.len() < payload_len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((parse(&message)?, payload))
}

/// Writes a frame (the server's side).
pub(crate) async fn send<T: Serialize>(
    stream: &mut (impl AsyncWriteExt + Unpin),
    message: &T,
    payload: &[u8],
) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    stream.write_all(&prefix(message.len(), payload.len())).await?;
    stream.write_all(&message).await?;
    stream.write_all(payload).await
}

/// Reads a frame with a payload of up to `max_payload` bytes (the server's side).
pub(crate) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncReadExt + Unpin),
    max_payload: u64,
) -> io::Result<(T, Bytes)> {
    let mut head = [0; PREFIX];
    stream.read_exact(&mut head).await?;
    let (message_len, payload_len) = lengths(head, max_payload)?;
    let mut message = vec![0; message_len];
    stream.read_exact(&mut message).await?;
    // The announced length is not allocated up front: a worker gone wild must not make the server grow.
    let mut payload = Vec::new();
    stream.take(payload_len as u64).read_to_end(&mut payload).await?;
    if payload.len() < payload_len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((parse(&message)?, payload.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_arrives_as_it_was_sent_either_way() {
        let mut wire = Vec::new();
        write(&mut wire, &Reply::Progress(0.5), &["pay", "load"]).unwrap();
        let (reply, payload) = receive::<Reply>(&mut wire.as_slice(), 7).await.unwrap();
        assert!(matches!(reply, Reply::Progress(0.5)));
        assert_eq!(payload, "payload");

        let mut wire = Vec::new();
        send(&mut wire, &Reply::NeedMore, b"").await.unwrap();
        assert!(
            matches!(read::<Reply>(&mut wire.as_slice()).unwrap(), (Reply::NeedMore, payload) if payload.is_empty())
        );
    }

    #[tokio::test]
    async fn a_cut_or_absurd_frame_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, &Reply::NeedMore, &["payload"]).unwrap();
        assert!(read::<Reply>(&mut &wire[..wire.len() - 1]).is_err());
        assert!(receive::<Reply>(&mut wire.as_slice(), 6).await.is_err(), "longer than the limit");
        assert!(receive::<Reply>(&mut &wire[..wire.len() - 1], 7).await.is_err());
        assert!(receive::<Reply>(&mut [0xff_u8; 64].as_slice(), 1 << 20).await.is_err());
    }

    #[test]
    fn plans_together_share_the_decoded_source() {
        let plan = |width, own_bytes, guest_bytes| Prepared {
            width,
            height: 10,
            own_bytes,
            guest_bytes,
            source_format: None,
        };
        assert_eq!(Prepared::together(&[plan(10, 5000, 7)]), (5000, 7), "one alone as it is");
        let (own, guests) = Prepared::together(&[plan(10, 5000, 7), plan(20, 9000, 0), plan(1, 3000, 9)]);
        assert_eq!((own, guests), (9000 + 8 * 100 + 8 * 10, 9));
        assert_eq!(Prepared::together(&[]), (0, 0));
    }
}
