//! How messages cross between server and worker: length-prefixed frames over a Unix socket pair.
//!
//! Frame: `u32` length of the JSON, `u64` length of the payload (both little-endian), the JSON, the payload. The highest bit
//! of the first says of a payload that it is not in the frame, but in a file that comes with it (`inbox`).

use std::io::{self, Read as _, Write};
use std::os::fd::AsFd as _;

use bytes::{Buf, Bytes};
use imgserve_base::units::{KIB, MIB};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _, Interest};
use tokio::net::unix::OwnedWriteHalf;

use super::inbox::{Inbox, send_file};
use super::payload::Payload;

/// Longest JSON of a frame, in bytes: arguments come from a request body, which is capped far below.
const MAX_MESSAGE: u32 = 64 * MIB as u32;
/// Longest payload that a worker takes, in bytes: more than any source that the limits allow.
const MAX_PAYLOAD: u64 = 4 << 30;
/// Up to so many bytes a payload is copied to its message, to be written at once: the other side wakes up once.
const WITH_MESSAGE: usize = 128 * KIB as usize;
/// The most bytes that the server makes room for because a worker says that they will come.
const MOST_EXPECTED: usize = 256 * KIB as usize;
/// Room for more of them is made in steps of at most so many: twice as many bytes may not be had.
const MOST_AT_ONCE: usize = 8 * MIB as usize;
const PREFIX: usize = 12;

/// Marks a payload that is in a file.
const IN_FILE: u32 = 1 << 31;

/// What a frame's prefix says.
struct Lengths {
    message: usize,
    payload: usize,
    in_file: bool,
}

impl Lengths {
    fn read(prefix: [u8; PREFIX], max_payload: u64) -> io::Result<Self> {
        let (message, payload) = prefix.split_at(4);
        let message = u32::from_le_bytes(message.try_into().expect("split at 4"));
        let payload = u64::from_le_bytes(payload.try_into().expect("12 less 4 is 8"));
        let (message, in_file) = (message & !IN_FILE, message & IN_FILE != 0);
        if message > MAX_MESSAGE || payload > max_payload {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
        }
        Ok(Self { message: message as usize, payload: payload as usize, in_file })
    }
}

/// The prefix and the message of a frame, with room for `more` bytes.
fn head<T: Serialize>(message: &T, payload_len: u64, in_file: bool, more: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(PREFIX + 500 + more);
    head.resize(PREFIX, 0);
    serde_json::to_writer(&mut head, message)?;
    let message_len = u32::try_from(head.len() - PREFIX).ok().filter(|&length| length <= MAX_MESSAGE);
    let message_len =
        message_len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too long"))?;
    head[..4].copy_from_slice(&(message_len | if in_file { IN_FILE } else { 0 }).to_le_bytes());
    head[4..PREFIX].copy_from_slice(&payload_len.to_le_bytes());
    Ok(head)
}

fn parse<T: DeserializeOwned>(message: &[u8]) -> io::Result<T> {
    serde_json::from_slice(message).map_err(io::Error::from)
}

/// Writes a frame whose payload is these parts in order, blocking (the worker's side).
pub(super) fn write<T: Serialize, P: AsRef<[u8]>>(
    stream: &mut impl Write,
    message: &T,
    payload: &[P],
) -> io::Result<()> {
    let payload_len: usize = payload.iter().map(|part| part.as_ref().len()).sum();
    let together = payload_len <= WITH_MESSAGE;
    let more = if together { payload_len } else { 0 };
    let mut head = head(message, payload_len as u64, false, more)?;
    if together {
        payload.iter().for_each(|part| head.extend_from_slice(part.as_ref()));
    }
    stream.write_all(&head)?;
    if !together {
        for part in payload {
            stream.write_all(part.as_ref())?;
        }
    }
    stream.flush()
}

/// Writes a frame without a payload, blocking (the worker's side).
pub(super) fn say<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    write::<T, &[u8]>(stream, message, &[])
}

/// Reads a frame, blocking (the worker's side).
pub(super) fn read<T: DeserializeOwned>(inbox: &mut Inbox) -> io::Result<(T, Vec<u8>)> {
    let mut prefix = [0; PREFIX];
    inbox.read_exact(&mut prefix)?;
    let lengths = Lengths::read(prefix, MAX_PAYLOAD)?;
    let mut message = vec![0; lengths.message];
    inbox.read_exact(&mut message)?;
    if lengths.in_file {
        return Ok((parse(&message)?, inbox.take_file(lengths.payload)?));
    }
    let mut payload = Vec::with_capacity(lengths.payload);
    inbox.take(lengths.payload as u64).read_to_end(&mut payload)?;
    if payload.len() < lengths.payload {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((parse(&message)?, payload))
}

/// Writes a frame (the server's side).
pub(super) async fn send<T: Serialize>(
    stream: &mut OwnedWriteHalf,
    message: &T,
    payload: &Payload,
) -> io::Result<()> {
    match payload {
        Payload::File { file, size } => {
            let head = head(message, *size, true, 0)?;
            let socket = stream.as_ref();
            let handed = || send_file(socket, &head, file.as_fd());
            let sent = socket.async_io(Interest::WRITABLE, handed).await?;
            stream.write_all(&head[sent..]).await
        }
        Payload::Bytes(bytes) => {
            let head = head(message, bytes.len() as u64, false, 0)?;
            stream.write_all_buf(&mut Buf::chain(head.as_slice(), bytes.as_ref())).await
        }
    }
}

/// Reads a frame with a payload of up to `max_payload` bytes (the server's side).
///
/// # Errors
/// What the socket says; [`io::ErrorKind::OutOfMemory`] of a payload that there is no memory for, after which the next frame can be
/// read.
pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncReadExt + Unpin),
    max_payload: u64,
) -> io::Result<(T, Bytes)> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await?;
    let lengths = Lengths::read(prefix, max_payload)?;
    if lengths.in_file {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a worker's payload is in its frame"));
    }
    let mut message = vec![0; lengths.message];
    stream.read_exact(&mut message).await?;
    let payload = take(stream.take(lengths.payload as u64), lengths.payload).await?;
    Ok((parse(&message)?, payload))
}

/// A payload of so many bytes. Not all of the announced length is allocated up front: a worker gone wild must not make the server
/// grow. One that there is no memory for is read all the same, and not kept: what comes next begins behind it.
async fn take(mut stream: impl AsyncReadExt + Unpin, length: usize) -> io::Result<Bytes> {
    let mut payload = Vec::new();
    while payload.len() < length {
        let step = payload.len().clamp(MOST_EXPECTED, MOST_AT_ONCE).min(length - payload.len());
        if payload.len() == payload.capacity() && payload.try_reserve_exact(step).is_err() {
            drop(payload);
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if stream.read_buf(&mut payload).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(payload.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::super::protocol::Reply;
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Both ends of a socket: the server's to write to, the worker's to read from.
    fn ends() -> (OwnedWriteHalf, Inbox) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (_, ours) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
        (ours, Inbox::new(theirs))
    }

    /// What a worker reads of what is written to it and then closed.
    fn read_written(wire: &[u8]) -> io::Result<(Reply, Vec<u8>)> {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(wire).unwrap();
        drop(ours);
        read(&mut Inbox::new(theirs))
    }

    #[tokio::test]
    async fn a_workers_frame_arrives_as_it_was_sent() {
        let long = vec![b'.'; WITH_MESSAGE];
        for payload in [&[b"pay".as_slice(), b"load"][..], &[&long, b"and more"], &[]] {
            let mut wire = Vec::new();
            write(&mut wire, &Reply::Progress(0.5), payload).unwrap();
            let (reply, arrived) = receive::<Reply>(&mut wire.as_slice(), MIB).await.unwrap();
            assert!(matches!(reply, Reply::Progress(0.5)));
            assert_eq!(arrived, payload.concat());
        }
    }

    #[tokio::test]
    async fn the_servers_frame_arrives_as_it_was_sent_whichever_way_its_payload_goes() {
        let long = vec![b'.'; WITH_MESSAGE];
        let file = rustix::fs::memfd_create("source", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, b"payload").unwrap();
        let file = Payload::File { file: Arc::new(file), size: 7 };
        for (payload, wanted) in [
            (Payload::NONE, b"".as_slice()),
            (Bytes::from_static(b"payload").into(), b"payload"),
            (Bytes::from(long.clone()).into(), &long),
            (file, b"payload"),
        ] {
            let (mut ours, mut theirs) = ends();
            for _ in 0..2 {
                send(&mut ours, &Reply::NeedMore, &payload).await.unwrap();
                let (reply, arrived) = read::<Reply>(&mut theirs).unwrap();
                assert!(matches!(reply, Reply::NeedMore));
                assert_eq!(arrived, wanted);
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_is_a_shorter_payload() {
        let (mut ours, mut theirs) = ends();
        let file = rustix::fs::memfd_create("source", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, b"pay").unwrap();
        let payload = Payload::File { file: Arc::new(file), size: 7 };
        send(&mut ours, &Reply::NeedMore, &payload).await.unwrap();
        assert_eq!(read::<Reply>(&mut theirs).unwrap().1, b"pay");
    }

    #[tokio::test]
    async fn a_cut_or_absurd_frame_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, &Reply::NeedMore, &["payload"]).unwrap();
        let (cut, whole) = (&wire[..wire.len() - 1], wire.as_slice());
        assert!(read_written(whole).is_ok() && read_written(cut).is_err());
        assert!(receive::<Reply>(&mut &*whole, 6).await.is_err(), "longer than the limit");
        assert!(receive::<Reply>(&mut &*cut, 7).await.is_err());
        assert!(receive::<Reply>(&mut [0xff_u8; 64].as_slice(), MIB).await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_was_not_handed_over_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, &Reply::NeedMore, &["payload"]).unwrap();
        let marked = u32::from_le_bytes(wire[..4].try_into().unwrap()) | IN_FILE;
        wire[..4].copy_from_slice(&marked.to_le_bytes());
        assert!(read_written(&wire).is_err());
        assert!(receive::<Reply>(&mut wire.as_slice(), MIB).await.is_err(), "a worker lies");
    }

    /// In a process that has little memory.
    #[tokio::test]
    async fn a_payload_that_there_is_no_memory_for_is_passed_over() {
        const LITTLE: &str = "IMGSERVE_TEST_LITTLE_MEMORY";
        if std::env::var_os(LITTLE).is_none() {
            let mut limited = std::process::Command::new("sh");
            limited.args(["-c", "ulimit -v 600000; exec \"$0\" --exact \"$1\""]);
            limited.arg(std::env::current_exe().unwrap());
            limited.arg("frame::tests::a_payload_that_there_is_no_memory_for_is_passed_over");
            let ran = limited.env(LITTLE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("1 passed"), "{:?}: {said}", ran.status);
            return;
        }
        let frame = |payload: u64| head(&Reply::NeedMore, payload, false, 0).unwrap();
        let (first, mut second) = (frame(GIB), frame(2));
        second.extend(b"ok");
        let payload = tokio::io::repeat(7).take(GIB);
        let wire = AsyncReadExt::chain(AsyncReadExt::chain(first.as_slice(), payload), second.as_slice());
        tokio::pin!(wire);
        let refused = receive::<Reply>(&mut wire, GIB).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(receive::<Reply>(&mut wire, GIB).await.unwrap().1, "ok");
    }
}
