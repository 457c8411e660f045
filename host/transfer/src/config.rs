//! What a transfer needs to know: plain values, filled in by the configuration, which has their defaults, and checked by
//! `Transfer::new`. Here too are the names of the configuration keys that this module's errors mention.

use std::path::PathBuf;
use std::time::Duration;

use super::policy::Allowed;
use super::stores::StoreConfig;

/// The key that opens networks.
pub(super) const KEY_ALLOW_NETWORKS: &str = "[access] allow_networks";
/// The key that opens directories.
pub(super) const KEY_FILE_ROOTS: &str = "[access] file_roots";
/// The key of [`TransferConfig::max_source_bytes`].
pub(super) const KEY_MAX_SOURCE: &str = "[limits] max_source_mb";
/// The key of [`TransferConfig::connect_timeout`].
pub(super) const KEY_CONNECT_TIMEOUT: &str = "[transfer] connect_timeout_s";
/// The key of [`TransferConfig::idle_timeout`].
pub(super) const KEY_IDLE_TIMEOUT: &str = "[transfer] idle_timeout_s";
/// The key of [`TransferConfig::total_timeout`].
pub(super) const KEY_TOTAL_TIMEOUT: &str = "[transfer] total_timeout_s";

/// The key of [`TransferConfig::min_rate`].
pub(super) const KEY_MIN_RATE: &str = "[transfer] min_rate_bytes_s";

/// The largest upload-form page that is parsed, in bytes. It has no key: no form for people comes near.
pub(super) const MAX_FORM_PAGE: usize = 1 << 20;

/// Limits and permissions of all transfers.
#[derive(Debug, Clone)]
pub struct TransferConfig {
    /// What may be reached although it is not public.
    pub allow_networks: Vec<Allowed>,
    /// Absolute directories that `file` URLs may reach; created when first written to.
    pub file_roots: Vec<PathBuf>,
    /// For resolving, connecting and the TLS handshake, together.
    pub connect_timeout: Duration,
    /// The longest time in which nothing is received or sent.
    pub idle_timeout: Duration,
    /// For a whole fetch or store.
    pub total_timeout: Duration,
    /// The fewest bytes a second that are put up with, in the mean of `min_rate_window`.
    pub min_rate: u64,
    /// Over how long the rate is measured.
    pub min_rate_window: Duration,
    /// The largest source, in bytes.
    pub max_source_bytes: u64,
    /// The User-Agent of HTTP requests.
    pub user_agent: String,
    /// Further certificate authorities for https and ftps, each one or more PEM certificates.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// How many HTTP redirects are followed.
    pub max_redirects: usize,
    /// How many connections to one HTTP server are kept while nothing is asked of it; of [`IDLE_SERVERS`] at most, and of as many
    /// servers of stores.
    pub idle_per_server: usize,
    /// The stores that URLs may name.
    pub stores: Vec<StoreConfig>,
}

/// With how many HTTP servers connections are kept while nothing is asked of them.
pub const IDLE_SERVERS: usize = 16;
