//! What a reload replaces beside the generation: how far jobs may reach, what they may take, when they are tried again.

use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::MIB;
use imgserve_config::{Config, Webhooks};
use imgserve_transfer::Transfer;
use imgserve_worker::Prepared;
use sha2::{Digest as _, Sha256};

use super::intake::Gate;
use super::retry::Policy;

/// The settings that a job holds on to from its beginning.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) transfer: Transfer,
    pub(super) gate: Gate,
    /// What one worker may take, in bytes.
    memory_limit: u64,
    max_output_pixels: u64,
    /// Finished jobs that are remembered.
    pub(super) max_finished: usize,
    /// Whether all nodes see the same files.
    pub(super) shared_files: bool,
    pub(super) retry: Policy,
    pub(super) webhooks: WebhookSettings,
    /// Seconds for which a source over the network is not asked for again where its server says nothing of that.
    pub(super) fresh_s: u64,
    /// What stands for the rules by which sources are reached.
    pub(super) reach: [u8; 32],
}

/// `[webhooks]`.
#[derive(Clone)]
pub(super) struct WebhookSettings {
    /// None when nothing can be signed.
    pub(super) secret: Option<Vec<u8>>,
    /// How long one try may take.
    pub(super) timeout: Duration,
    /// For how long after the job's end a webhook is tried.
    pub(super) max_age: Duration,
}

impl Settings {
    /// `gate` bounds sources of all generations together.
    pub(super) fn new(config: &Config, transfer: Transfer, gate: &Gate) -> Self {
        Self {
            transfer,
            gate: gate.for_sources_up_to(config.limits.max_source_mb * MIB),
            memory_limit: config.workers.memory_limit_mb * MIB,
            max_output_pixels: config.limits.max_output_pixels,
            max_finished: config.jobs.max_finished,
            shared_files: config.access.shared_files,
            retry: Policy {
                max_attempts: config.jobs.max_attempts,
                max_pause: Duration::from_secs(config.jobs.max_retry_pause_s),
            },
            webhooks: WebhookSettings::new(&config.webhooks),
            fresh_s: config.cache.fresh_s,
            reach: Sha256::digest(format!("{:?} {:?}", config.access.allow_networks, config.stores)).into(),
        }
    }

    /// Refuses outputs that are within the limits one by one, and together are not: in pixels, and in the memory that they
    /// take with the `source_bytes` that are there so far.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`], with the key.
    pub(super) fn check_together(&self, outputs: &[Prepared], source_bytes: usize) -> Result<(), Fault> {
        let made = outputs.iter().map(|output| output.made_pixels).fold(0, u64::saturating_add);
        imgserve_worker::check_made(made, self.max_output_pixels, "the outputs")?;
        self.peak_bytes(Prepared::together(outputs), source_bytes).map(|_| ())
    }

    /// What a planned run may take in all, in bytes, its source included: of the worker's own and of its plugins' memory.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`] when no worker may take so much.
    pub(super) fn peak_bytes(
        &self,
        (own_bytes, guest_bytes): (u64, u64),
        source_bytes: usize,
    ) -> Result<u64, Fault> {
        let own_bytes = own_bytes.saturating_add(source_bytes as u64);
        if own_bytes > self.memory_limit {
            let (need, have) = (own_bytes / MIB, self.memory_limit / MIB);
            let text = format!("the work would take about {need} MiB ([workers] memory_limit_mb = {have})");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok(own_bytes.saturating_add(guest_bytes))
    }
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

impl WebhookSettings {
    fn new(config: &Webhooks) -> Self {
        let max_age = Duration::from_secs(config.max_age_h.saturating_mul(3600));
        Self { secret: config.key(), timeout: Duration::from_secs(config.timeout_s), max_age }
    }

    pub(super) fn can_sign(&self) -> bool {
        self.secret.is_some()
    }
}
