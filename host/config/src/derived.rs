//! What the configuration leaves open: how much of the memory that may be had is taken, and where the cache is.

use imgserve_base::units::MIB;

use super::memory::available;
use super::{Config, Server};

/// The most that is taken for sources unless the configuration says more, in bytes.
const SOURCE_MEMORY: u64 = 256 * MIB;
/// Connections that one address may have for certain, however few there may be in all: what a browser or a small pool opens.
const LEAST_PER_ADDRESS: usize = 8;

impl Config {
    /// What the estimates of all running tasks may add up to, in bytes.
    pub fn memory_budget(&self) -> u64 {
        match self.workers.memory_budget_mb {
            0 => available().map_or(1 << 30, |bytes| bytes / 2),
            megabytes => megabytes.saturating_mul(MIB),
        }
    }

    /// What the bytes of all sources may add up to, in bytes. They are held by the server itself, beside all else.
    pub fn source_memory(&self) -> u64 {
        match self.limits.source_memory_mb {
            0 => available().map_or(SOURCE_MEMORY, |bytes| (bytes / 8).clamp(MIB, SOURCE_MEMORY)),
            megabytes => megabytes.saturating_mul(MIB),
        }
    }

    /// Where compiled plugins lie.
    pub fn cache_dir(&self) -> std::path::PathBuf {
        match self.plugins.cache_dir.as_os_str().is_empty() {
            true => super::Paths::of_this_user().cache,
            false => self.plugins.cache_dir.clone(),
        }
    }

    /// Where the journal is: the path of a file, or how to reach a database, perhaps with a password.
    pub fn journal(&self) -> String {
        match self.jobs.journal.is_empty() {
            true => super::Paths::of_this_user().journal.display().to_string(),
            false => self.jobs.journal.clone(),
        }
    }

    /// The journal's file; none where it is in a database.
    pub fn journal_file(&self) -> Option<std::path::PathBuf> {
        let journal = self.journal();
        (!imgserve_base::database::is_database(&journal)).then(|| journal.into())
    }

    /// By which file this server is known among those that share a journal.
    pub fn node_file(&self) -> std::path::PathBuf {
        match self.jobs.node_file.as_os_str().is_empty() {
            true => super::Paths::of_this_user().node,
            false => self.jobs.node_file.clone(),
        }
    }

    /// Transfers at once with one server: a quarter where nothing else is said.
    pub fn transfers_per_host(&self) -> usize {
        match self.transfer.max_transfers_per_host {
            0 => (self.transfer.max_transfers / 4).max(1),
            most => most,
        }
    }

    /// Transfers at once for one client: all that it may have where nothing else is said.
    pub fn transfers_per_client(&self) -> usize {
        match self.transfer.max_transfers_per_client {
            0 => self.transfer.max_transfers,
            most => most,
        }
    }

    /// Jobs that one API key may have waiting.
    pub fn queue_per_key(&self) -> usize {
        match self.limits.max_queue_per_key {
            0 => self.limits.max_queue.div_ceil(2),
            most => most,
        }
    }
}

impl Server {
    /// Connections that one address may have for certain.
    pub fn connections_per_address(&self) -> usize {
        match self.max_connections_per_address {
            0 => (self.max_connections / 4).max(LEAST_PER_ADDRESS),
            most => most,
        }
        .min(self.max_connections)
    }
}
