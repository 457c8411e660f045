//! What is kept: results, and what is known of sources that are named by URL.

use bytes::Bytes;
use imgserve_base::version::Version;

use super::key::Digest;

/// What is kept of either kind, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// What it is.
    pub what: What,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A result.
    Result(KeptResult),
    /// What is known of a source.
    Source(KnownSource),
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptResult {
    /// The operation that made it.
    pub operation: String,
    /// The URL of its source, as it may be shown; empty where the client sent the source.
    pub source: String,
    /// What the bytes are.
    pub media_type: String,
    /// What its client is told besides.
    pub warnings: Vec<String>,
    /// The result.
    pub bytes: Bytes,
}

/// What is known of a source from when it was last fetched or asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSource {
    /// Its URL, as it may be shown.
    pub url: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The digests that it had before, the latest first.
    pub earlier: Vec<Digest>,
    /// The digest of its bytes in entity tags.
    pub tag_digest: u128,
    /// The format that its content shows, by name.
    pub format: Option<String>,
    /// What its server says that it is.
    pub media_type: Option<String>,
    /// How many bytes it has.
    pub bytes: u64,
    /// By which it is told from other bytes at its place.
    pub version: Version,
    /// When its server last said that it is so, in milliseconds since 1970.
    pub asked_ms: u64,
    /// For how long after that it need not be asked again, in seconds; none where the server has not said so.
    pub fresh_s: Option<u64>,
    /// What was in force of what sources may be reached.
    pub reach: Digest,
}

impl Entry {
    /// The result, if it is one.
    pub fn result(&self) -> Option<&KeptResult> {
        match &self.what {
            What::Result(result) => Some(result),
            What::Source(_) => None,
        }
    }

    /// What is known of a source, if it is that.
    pub fn source(&self) -> Option<&KnownSource> {
        match &self.what {
            What::Source(source) => Some(source),
            What::Result(_) => None,
        }
    }

    /// What stands in its file behind its head.
    pub(crate) fn body(&self) -> &[u8] {
        self.result().map(|result| &*result.bytes).unwrap_or_default()
    }
}
