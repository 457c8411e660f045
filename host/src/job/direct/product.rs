//! What a direct call gives its client.

use std::time::Duration;

use bytes::Bytes;

use super::cache::CacheUse;

/// What a direct call gives.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The result.
    pub(crate) bytes: Bytes,
    /// What it is.
    pub(crate) media_type: String,
    /// Arguments that nobody knows.
    pub(crate) unknown_arguments: Vec<String>,
    /// What else the client should know of the result.
    pub(crate) warnings: Vec<String>,
    /// How long its parts took.
    pub(crate) timings: Timings,
    /// What the cache had to do with it; none where there is no cache.
    pub(crate) cache_use: Option<CacheUse>,
}

/// How long the parts of a direct call took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timings {
    /// Fetching the source, where it was named by URL.
    pub(crate) fetch: Option<Duration>,
    /// Reading the header and planning.
    pub(crate) plan: Duration,
    /// Waiting for a worker.
    pub(crate) queue: Duration,
    /// In the worker, as it has measured it: decode, run, encode.
    pub(crate) work: Duration,
}
