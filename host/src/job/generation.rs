//! A registry and the workers that serve it. A reload makes a new generation; jobs hold on to the one they began with,
//! and its workers end with the last of them.

use std::path::Path;
use std::sync::Arc;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::{Format, put_in_force};
use imgserve_config::{Config, Damaged, OperationSettings};
use imgserve_worker::{Budget, Pool, PoolConfig, Stats};

use crate::registry::Registry;

/// What a job is checked against and run by.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) registry: Registry,
    pub(crate) pool: Pool,
    /// What `format=auto` chooses among, in this order.
    pub(crate) auto: Vec<Format>,
    /// What becomes of damaged sources.
    pub(crate) damaged: Damaged,
    /// SHA-256 of each codec that is a plugin: what is made of a source may depend on it.
    pub(crate) codecs: Vec<String>,
}

impl Generation {
    /// Starts workers, `program` being imgserve itself, and builds the registry from what they have loaded. The formats of their
    /// codecs are in force from then on.
    ///
    /// # Errors
    /// The fault that names the operation which cannot be loaded.
    pub(crate) async fn start(
        config: &Config,
        program: &Path,
        budget: Arc<Budget>,
        stats: Arc<Stats>,
    ) -> Result<Arc<Self>, Fault> {
        // A pipeline has no plugin of its own.
        let loaded = |operation: &OperationSettings| operation.enabled && !operation.is_pipeline();
        let enabled = config.operations.iter().filter(|(_, operation)| loaded(operation));
        let pool_config = PoolConfig {
            program: program.to_owned(),
            operations: enabled.map(|(name, operation)| (name.clone(), operation.clone())).collect(),
            codecs: config.codecs.iter().map(|(name, codec)| (name.clone(), codec.clone())).collect(),
            cache_dir: config.cache_dir(),
            plugins: config.plugins.clone(),
            workers: config.workers.clone(),
            limits: config.limits.clone(),
            codec: config.codec.clone(),
        };
        let pool = Pool::start(pool_config, budget, stats).await?;
        // What is said in the configuration may name them; from now on requests do, too.
        let before = put_in_force(pool.formats().to_vec());
        let checked = Registry::build(config, pool.loaded(), pool.codecs()).and_then(|registry| {
            let auto = config.codec.auto(pool.formats());
            Ok((registry, auto.map_err(|error| Fault::of(FaultKind::OperationFailed, &error))?))
        });
        let (registry, auto) = checked.inspect_err(|_| {
            put_in_force(before);
        })?;
        let damaged = config.codec.damaged;
        let codecs = pool.codecs().iter().map(|codec| codec.artifact.sha256.clone()).collect();
        Ok(Arc::new(Self { registry, pool, auto, damaged, codecs }))
    }
}
