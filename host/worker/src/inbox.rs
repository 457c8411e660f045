//! The worker's end of the socket, which hands over files as well: open for reading alone, they are payloads that nobody has
//! to copy for the worker.
//!
//! (Payloads in memory that both sides share, a memfd, were tried: the server took 5 % more time for them than for one
//! vectored write to the socket.)

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Sends bytes, as many as the socket takes, and a file with the first of them.
pub(super) fn send_file(stream: impl AsFd, bytes: &[u8], file: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut files = SendAncillaryBuffer::new(&mut space);
    let handed = [file];
    // There is space for exactly this.
    files.push(SendAncillaryMessage::ScmRights(&handed));
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut files, SendFlags::NOSIGNAL)?)
}

/// The worker's end of the socket.
#[derive(Debug)]
pub(super) struct Inbox {
    stream: UnixStream,
    /// The file that has come last.
    file: Option<OwnedFd>,
}

impl Inbox {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, file: None }
    }

    /// The payload of so many bytes in the file that was handed over; fewer when somebody has cut it off since, which is no
    /// other than a source that was cut off before.
    pub(super) fn take_file(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let file = self.file.take();
        let file =
            file.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no file was handed over"))?;
        read_first(file, length)
    }
}

impl Read for Inbox {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut files = RecvAncillaryBuffer::new(&mut space);
        let read =
            recvmsg(&self.stream, &mut [IoSliceMut::new(buffer)], &mut files, RecvFlags::CMSG_CLOEXEC)?;
        for message in files.drain() {
            if let RecvAncillaryMessage::ScmRights(handed) = message {
                self.file = handed.last().or(self.file.take());
            }
        }
        Ok(read.bytes)
    }
}

/// The first bytes of a file, wherever its offset is; fewer when it has no more.
fn read_first(file: impl AsFd, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let offset = bytes.len() as u64;
        match rustix::io::pread(&file, spare_capacity(&mut bytes), offset) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}
