//! From the configuration and what the workers have loaded to the registry.

use std::collections::BTreeMap;
use std::time::Duration;

use imgserve_base::fault::Fault;
use imgserve_config::{Config, PluginKind};
use imgserve_worker::{Loaded, LoadedCodec};

use super::breaker::Breaker;
use super::chain;
use super::codecs::Codec;
use super::entry::Entry;
use super::table::Registry;

impl Registry {
    /// The enabled operations and the codecs of the configuration, described by what the workers have loaded.
    ///
    /// # Errors
    /// A fault that names the operation whose schema or default arguments are not usable.
    pub(crate) fn build(config: &Config, loaded: &[Loaded], codecs: &[LoadedCodec]) -> Result<Self, Fault> {
        let mut operations = BTreeMap::new();
        let plugins = &config.plugins;
        for (name, settings) in config.operations.iter().filter(|(_, settings)| settings.enabled) {
            let (description, artifact) = match loaded.iter().find(|loaded| loaded.name == *name) {
                Some(Loaded { description, artifact, .. }) => (description.clone(), artifact.clone()),
                None if settings.is_pipeline() => (chain::description(), None),
                None => continue,
            };
            let pause = Duration::from_secs(plugins.breaker_pause_s);
            // A builtin operation fails on hostile images, and is not to be refused to others for it.
            let failures = if settings.kind == PluginKind::Builtin { 0 } else { plugins.breaker_failures };
            let breaker = Breaker::new(failures, pause);
            let mut operation = Entry::new(name, settings.clone(), description, artifact, breaker)?;
            operation.profile = settings.profile.unwrap_or(config.codec.profile);
            operations.insert(name.clone(), operation);
        }
        let registry = Self::new(operations, Codec::all(config, codecs));
        for operation in registry.iter() {
            registry.check_defaults(operation)?;
        }
        Ok(registry)
    }
}
