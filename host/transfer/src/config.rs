//! What a transfer needs to know: plain values, filled in by the configuration and checked by `Transfer::new`. Here
//! too are the names of the configuration keys that this module's errors mention.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

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

/// Limits and permissions of all transfers.
#[derive(Debug, Clone)]
pub struct TransferConfig {
    /// Networks that may be reached although they are not public. Default: none.
    pub allow_networks: Vec<IpNet>,
    /// Absolute directories that `file` URLs may reach; created when first written to. Default: none.
    pub file_roots: Vec<PathBuf>,
    /// For resolving, connecting and the TLS handshake, together. Default: 10 s.
    pub connect_timeout: Duration,
    /// The longest time in which nothing is received or sent. Default: 30 s.
    pub idle_timeout: Duration,
    /// For a whole fetch or store. Default: 300 s.
    pub total_timeout: Duration,
    /// The largest source, in bytes. Default: 64 MiB.
    pub max_source_bytes: u64,
    /// The User-Agent of HTTP requests. Default: like a browser's.
    pub user_agent: String,
    /// Further certificate authorities for https and ftps, each one or more PEM certificates. Default: none.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// How many HTTP redirects are followed. Default: 5.
    pub max_redirects: usize,
    /// The largest upload-form page that is parsed, in bytes. Default: 1 MiB.
    pub max_form_page_bytes: usize,
}

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            file_roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(300),
            max_source_bytes: 64 << 20,
            // Some sites refuse clients that do not look like a browser.
            user_agent: concat!("Mozilla/5.0 (compatible; imgserve/", env!("CARGO_PKG_VERSION"), ")")
                .to_owned(),
            extra_ca_pem: Vec::new(),
            max_redirects: 5,
            max_form_page_bytes: 1 << 20,
        }
    }
}
