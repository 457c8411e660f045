//! The codecs that are plugins, as requests meet them: which formats each serves, and whether it is refused for a while.

use std::time::Duration;

use imgserve_base::format::Format;
use imgserve_config::{CodecSettings, Config};
use imgserve_sdk::codec::Description;
use imgserve_worker::LoadedCodec;
use imgserve_worker::plugin::Artifact;

use super::breaker::Breaker;

/// One codec.
#[derive(Debug)]
pub(crate) struct Codec {
    /// The name of its section.
    pub name: String,
    /// That section.
    pub settings: CodecSettings,
    /// What it says of itself.
    pub description: Description,
    /// Its file.
    pub artifact: Artifact,
    /// Whether it is refused for a while.
    pub breaker: Breaker,
}

impl Codec {
    /// The codecs of the configuration, as the workers have loaded them.
    pub(super) fn all(config: &Config, loaded: &[LoadedCodec]) -> Vec<Self> {
        let plugins = &config.plugins;
        let codec = |LoadedCodec { name, description, artifact }: &LoadedCodec| {
            let breaker =
                Breaker::new(plugins.breaker_failures, Duration::from_secs(plugins.breaker_pause_s));
            Some(Self {
                name: name.clone(),
                settings: config.codecs.get(name)?.clone(),
                description: description.clone(),
                artifact: artifact.clone(),
                breaker,
            })
        };
        loaded.iter().filter_map(codec).collect()
    }

    /// Whether files of this format are its business.
    pub(super) fn serves(&self, format: Format) -> bool {
        let is_its = || self.description.formats.iter().any(|own| own.name == format.name());
        matches!(format, Format::Plugged(_)) && is_its()
    }
}
