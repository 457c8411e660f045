//! What the configuration leaves open: how much memory there is (the machine's, or what the control group allows), and
//! where the cache is.
#![allow(
    clippy::disallowed_methods,
    reason = "read before the runtime starts, or on a thread of its own by a reload"
)]

use imgserve_base::units::{KIB, MIB};

use super::Config;

impl Config {
    /// What the estimates of all running tasks may add up to, in bytes.
    pub fn memory_budget(&self) -> u64 {
        match self.workers.memory_budget_mb {
            0 => available().map_or(1 << 30, |bytes| bytes / 2),
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

    /// The journal's file.
    pub fn journal(&self) -> std::path::PathBuf {
        match self.jobs.journal.as_os_str().is_empty() {
            true => super::Paths::of_this_user().journal,
            false => self.jobs.journal.clone(),
        }
    }

    /// Transfers at once with one server: a quarter where nothing else is said.
    pub fn transfers_per_host(&self) -> usize {
        match self.transfer.max_transfers_per_host {
            0 => (self.transfer.max_transfers / 4).max(1),
            most => most,
        }
    }

    /// Transfers at once for one API key: half where nothing else is said.
    pub fn transfers_per_client(&self) -> usize {
        match self.transfer.max_transfers_per_client {
            0 => (self.transfer.max_transfers / 2).max(1),
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

/// The smaller of the machine's memory (proc(5), meminfo) and the control group's limit (cgroup v2, memory.max).
fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * KIB)
    });
    let group =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}
