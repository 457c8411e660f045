//! What the server has a worker read: encoded bytes, or a file that has them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;

/// A request's payload.
#[derive(Clone, Debug)]
pub enum Payload {
    /// These bytes.
    Bytes(Bytes),
    /// The first `size` bytes of a file open for reading, which the worker is given: nobody else has to read them.
    File {
        /// The file.
        file: Arc<OwnedFd>,
        /// How many bytes it has.
        size: u64,
    },
}

impl Payload {
    /// Without any bytes.
    pub(super) const NONE: Self = Self::Bytes(Bytes::new());

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}
