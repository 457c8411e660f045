//! TOML text → checked [`Config`]. Every key, its unit and its default stand in `defaults.toml`, which is both
//! the default configuration and its documentation; this file says what type each has and what is valid.
//!
//! # Layout
//! - `access`: keys and secrets
//! - `cache`: results of direct calls that are kept
//! - `codec`: time or quality, and what becomes of damaged sources; `codecs`: the section of one that is a plugin
//! - `derived`: what is left open and found on the machine
//! - `error`: why a configuration is refused
//! - `guest_size`: how large a sandboxed plugin may be
//! - `host`: addresses to listen on, as people write them
//! - `jobs`: where the journal is
//! - `memory`: how much memory may be had
//! - `plain`: values that no plugin can be told
//! - `merge`: a user's file over the defaults; unknown keys refused, the nearest known one suggested
//! - `network`: what `[access] allow_networks` opens
//! - `operation`: the section of an operation; `operation_name`: what operations may be called
//! - `origin`: hosts and origins that are ours
//! - `paths`: where files lie for root and for others
//! - `restart`: what a reload does not take in
//! - `stores`: buckets and directories that URLs may name
//! - `render`: the configuration in force, with the defaults' comments; `secrets`: which of its keys hold one
#![allow(
    clippy::disallowed_methods,
    reason = "read before the runtime starts, or on a thread of its own by a reload"
)]
#![forbid(unsafe_code)]

mod access;
mod cache;
mod codec;
mod codecs;
mod derived;
mod error;
mod guest_size;
mod host;
mod jobs;
mod memory;
mod merge;
mod network;
mod operation;
mod operation_name;
mod origin;
mod paths;
mod plain;
mod render;
mod restart;
mod secrets;
mod stores;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use error::value_error;
use imgserve_sdk::plain::plain;

pub use access::is_key_name;
pub use cache::Cache;
pub use codec::{Codec, Damaged, Profile};
pub use codecs::CodecSettings;
pub use error::ConfigError;
pub use guest_size::GuestSize;
pub use host::parse as parse_host;
pub use merge::DEFAULTS;
pub use network::{NetworkRule, RuleError, RuleHost};
pub use operation::{OperationSettings, PIPELINE, PluginFile, PluginKind};
pub use origin::EVERY;
pub use paths::Paths;
pub use render::render;
pub use stores::{StoreKind, StoreRight, StoreSettings};

/// No count, size or time is larger: sums and products of them must not overflow.
const LARGEST: u64 = 1 << 40;

/// The highest rate that may be asked of every server, in bytes a second.
const MOST_MIN_RATE: u64 = 1 << 20;
/// The longest time that one try of a webhook may take, in seconds: its lease ends after ten minutes.
const MOST_WEBHOOK_TIME: u64 = 300;

/// The whole configuration, valid. The fields' units and defaults are in `defaults.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Config {
    /// The HTTP server and its shutdown.
    pub server: Server,
    /// Web pages that may use the API.
    pub cors: Cors,
    /// What becomes of an accepted job.
    pub jobs: Jobs,
    /// The outcomes that clients are told of.
    pub webhooks: Webhooks,
    /// The worker processes.
    pub workers: Workers,
    /// What a job may cost.
    pub limits: Limits,
    /// Reading and writing images.
    pub codec: Codec,
    /// Results of direct calls that are kept.
    pub cache: Cache,
    /// Fetching and storing.
    pub transfer: Transfer,
    /// What may be reached.
    pub access: Access,
    /// Buckets and directories that URLs may name.
    pub stores: BTreeMap<String, StoreSettings>,
    /// Codecs that are plugins.
    pub codecs: BTreeMap<String, CodecSettings>,
    /// Third-party plugins.
    pub plugins: Plugins,
    /// The log file.
    pub log: Log,
    /// The registry: operation name → plugin and its settings.
    pub operations: BTreeMap<String, OperationSettings>,
}

/// `[server]`; like the sections below, documented in `defaults.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Server {
    #[serde(deserialize_with = "host::deserialize")]
    pub host: IpAddr,
    pub port: u16,
    pub allowed_hosts: Vec<String>,
    pub header_timeout_s: u64,
    pub keep_alive_idle_s: u64,
    pub body_timeout_s: u64,
    pub min_body_rate_kb_s: usize,
    pub max_body_kb: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub render_max_age_s: u64,
    pub hangup: Hangup,
    pub start_wait_s: u64,
    pub drain_timeout_s: u64,
    pub stop_timeout_s: u64,
}

/// What SIGHUP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hangup {
    /// As in 0.2: stops when the accepted jobs are finished.
    Stop,
    /// As with most servers: takes in the changed configuration.
    Reload,
}

/// `[cors]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Cors {
    pub origins: Vec<String>,
}

/// `[jobs]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Jobs {
    pub journal: String,
    pub journal_password_file: PathBuf,
    pub journal_ca_file: PathBuf,
    pub node_file: PathBuf,
    pub node_name: String,
    pub listen: bool,
    pub lease_s: u64,
    pub migrate: bool,
    pub max_attempts: u32,
    pub max_retry_pause_s: u64,
    pub max_finished: usize,
}

/// `[webhooks]`
#[derive(Clone, PartialEq, Deserialize, Serialize)]
pub struct Webhooks {
    pub secret: String,
    pub timeout_s: u64,
    pub max_age_h: u64,
}

/// `[workers]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Workers {
    pub count: usize,
    pub pin: bool,
    pub memory_limit_mb: u64,
    pub memory_budget_mb: u64,
    pub prepare_timeout_ms: u64,
    pub run_timeout_ms: u64,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Limits {
    pub max_source_mb: u64,
    pub max_result_mb: u64,
    pub max_source_pixels: u64,
    pub max_output_pixels: u64,
    pub max_source_frames: u32,
    pub max_queue: usize,
    pub max_queue_per_key: usize,
    pub source_memory_mb: u64,
}

/// `[transfer]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Transfer {
    pub connect_timeout_s: u64,
    pub idle_timeout_s: u64,
    pub total_timeout_s: u64,
    pub min_rate_bytes_s: u64,
    pub min_rate_window_s: u64,
    pub max_redirects: usize,
    pub max_transfers: usize,
    pub max_transfers_per_host: usize,
    pub max_transfers_per_client: usize,
    pub user_agent: String,
    pub ca_file: PathBuf,
}

/// `[access]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Access {
    pub allow_networks: Vec<NetworkRule>,
    pub file_roots: Vec<PathBuf>,
    pub shared_files: bool,
    pub api_keys: Vec<ApiKey>,
    pub url_keys: Vec<UrlKey>,
}

/// `[[access.api_keys]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// For logs, and for whose jobs are whose.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub sha256: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// Which stores its client may reach, each with `:read` or `:write`; all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stores: Option<Vec<String>>,
    /// How many turns it has to one of others.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// What an API key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// `POST /` and `/v1/jobs`.
    Jobs,
    /// Direct calls of operations.
    Operations,
    /// Everything, of everyone.
    Admin,
}

/// `[[access.url_keys]]`
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UrlKey {
    /// Said in the URLs that it signs.
    pub name: String,
    /// In base64.
    pub secret: String,
    /// How many turns whoever comes with one of them has to one of others.
    #[serde(default = "one")]
    pub weight: u32,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Log {
    pub level: String,
    pub max_size_mb: u64,
    pub max_files: usize,
}

/// `[plugins]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Plugins {
    pub cache_dir: PathBuf,
    pub compile_timeout_s: u64,
    pub compile_memory_mb: u64,
    pub breaker_failures: u32,
    pub breaker_pause_s: u64,
    #[serde(flatten)]
    pub guest_size: GuestSize,
}

impl Config {
    /// Reads `file`, or takes the defaults when there is none.
    ///
    /// # Errors
    /// [`ConfigError`] of any kind.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::parse("") };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text)?;
        // The path of a plugin or of credentials is meant from where the file that names it is.
        if let Some(directory) = std::path::absolute(path).ok().as_deref().and_then(Path::parent) {
            config.operations.values_mut().for_each(|operation| operation.resolve(directory));
            config.codecs.values_mut().for_each(|codec| codec.resolve(directory));
            config.stores.values_mut().for_each(|store| store.resolve(directory));
        }
        Ok(config)
    }

    /// The defaults, overridden by a user's TOML `text`.
    ///
    /// # Errors
    /// Any [`ConfigError`] but `Read`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table = merge::over_defaults(text)?;
        let config: Self = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            ConfigError::Value { key: error.path().to_string(), text: plain(error.inner().message().trim()) }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("server.header_timeout_s", self.server.header_timeout_s),
            ("server.keep_alive_idle_s", self.server.keep_alive_idle_s),
            ("server.body_timeout_s", self.server.body_timeout_s),
            ("server.min_body_rate_kb_s", self.server.min_body_rate_kb_s as u64),
            ("server.max_body_kb", self.server.max_body_kb as u64),
            ("server.max_connections", self.server.max_connections as u64),
            ("jobs.max_attempts", u64::from(self.jobs.max_attempts)),
            ("jobs.max_retry_pause_s", self.jobs.max_retry_pause_s),
            ("webhooks.timeout_s", self.webhooks.timeout_s),
            ("webhooks.max_age_h", self.webhooks.max_age_h),
            ("workers.prepare_timeout_ms", self.workers.prepare_timeout_ms),
            ("workers.run_timeout_ms", self.workers.run_timeout_ms),
            ("limits.max_source_mb", self.limits.max_source_mb),
            ("limits.max_source_pixels", self.limits.max_source_pixels),
            ("limits.max_output_pixels", self.limits.max_output_pixels),
            ("limits.max_source_frames", u64::from(self.limits.max_source_frames)),
            ("limits.max_queue", self.limits.max_queue as u64),
            ("transfer.connect_timeout_s", self.transfer.connect_timeout_s),
            ("transfer.idle_timeout_s", self.transfer.idle_timeout_s),
            ("transfer.total_timeout_s", self.transfer.total_timeout_s),
            ("transfer.min_rate_bytes_s", self.transfer.min_rate_bytes_s),
            ("transfer.min_rate_window_s", self.transfer.min_rate_window_s),
            ("transfer.max_transfers", self.transfer.max_transfers as u64),
            ("plugins.compile_timeout_s", self.plugins.compile_timeout_s),
            ("plugins.compile_memory_mb", self.plugins.compile_memory_mb),
            ("workers.memory_limit_mb", self.workers.memory_limit_mb),
            ("limits.max_result_mb", self.limits.max_result_mb),
            ("plugins.breaker_pause_s", self.plugins.breaker_pause_s),
            ("log.max_size_mb", self.log.max_size_mb),
            ("cache.max_mb", self.cache.max_mb),
            ("cache.max_age_h", self.cache.max_age_h),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(value_error(key, "must be at least 1"));
        }
        let perhaps_none = [
            ("server.max_connections_per_address", self.server.max_connections_per_address as u64),
            ("server.render_max_age_s", self.server.render_max_age_s),
            ("server.start_wait_s", self.server.start_wait_s),
            ("server.drain_timeout_s", self.server.drain_timeout_s),
            ("server.stop_timeout_s", self.server.stop_timeout_s),
            ("jobs.max_finished", self.jobs.max_finished as u64),
            ("workers.memory_budget_mb", self.workers.memory_budget_mb),
            ("limits.max_queue_per_key", self.limits.max_queue_per_key as u64),
            ("limits.source_memory_mb", self.limits.source_memory_mb),
            ("transfer.max_redirects", self.transfer.max_redirects as u64),
            ("log.max_files", self.log.max_files as u64),
            ("cache.memory_mb", self.cache.memory_mb),
            ("cache.fresh_s", self.cache.fresh_s),
        ];
        if let Some((key, _)) = positive.into_iter().chain(perhaps_none).find(|(_, value)| *value > LARGEST) {
            return Err(value_error(key, "is absurdly large"));
        }
        if !self.transfer.ca_file.as_os_str().is_empty() && !self.transfer.ca_file.is_absolute() {
            return Err(value_error("transfer.ca_file", "must be an absolute path: a daemon works in /"));
        }
        if !self.plugins.cache_dir.as_os_str().is_empty() && !self.plugins.cache_dir.is_absolute() {
            return Err(value_error("plugins.cache_dir", "must be an absolute path: a daemon works in /"));
        }
        self.jobs.check()?;
        self.cache.check()?;
        self.codec.check(!self.codecs.is_empty())?;
        if self.transfer.min_rate_bytes_s > MOST_MIN_RATE {
            let text = format!(
                "must be at most {MOST_MIN_RATE}: no server that is merely far away keeps up with more"
            );
            return Err(value_error("transfer.min_rate_bytes_s", &text));
        }
        for (key, share) in [
            ("transfer.max_transfers_per_host", self.transfer.max_transfers_per_host),
            ("transfer.max_transfers_per_client", self.transfer.max_transfers_per_client),
        ] {
            if share > self.transfer.max_transfers {
                return Err(value_error(
                    key,
                    "must be at most transfer.max_transfers; 0 is the default's share",
                ));
            }
        }
        if self.webhooks.timeout_s > MOST_WEBHOOK_TIME {
            let text = format!("must be at most {MOST_WEBHOOK_TIME}");
            return Err(value_error("webhooks.timeout_s", &text));
        }
        if self.plugins.compile_memory_mb < 256 {
            return Err(value_error("plugins.compile_memory_mb", "must be at least 256"));
        }
        self.plugins.guest_size.check()?;
        for (name, operation) in &self.operations {
            operation.check(name, &self.workers)?;
        }
        for (name, codec) in &self.codecs {
            codec.check(name, &self.workers)?;
        }
        if self.workers.memory_limit_mb < 64 {
            return Err(value_error("workers.memory_limit_mb", "must be at least 64"));
        }
        if self.workers.count > 1024 {
            return Err(value_error("workers.count", "must be at most 1024"));
        }
        if (1..self.limits.max_source_mb).contains(&self.limits.source_memory_mb) {
            let text = "must be at least limits.max_source_mb, or the largest sources could never be held";
            return Err(value_error("limits.source_memory_mb", text));
        }
        if self.log.level.parse::<tracing::Level>().is_err() {
            return Err(value_error("log.level", "must be error, warn, info, debug or trace"));
        }
        self.server.check_hosts()?;
        self.cors.check()?;
        self.access.check()?;
        self.check_stores()?;
        self.webhooks.check()
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::format::Format;

    use super::*;

    #[test]
    fn the_defaults_are_valid_and_complete() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.server.port, 8602);
        assert_eq!(config.plugins.guest_size, GuestSize::default());
        assert_eq!(config.operations.keys().collect::<Vec<_>>(), ["pipeline", "rasterize", "resize"]);
    }

    #[test]
    fn a_preset_is_five_lines() {
        let text = "[operations.thumbnail]\nkind = 'builtin'\nplugin = 'resize'\nargs = { width = 200, height = 200 }";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.operations["thumbnail"].args["width"], 200);
        assert!(config.operations["thumbnail"].enabled && config.operations.contains_key("resize"));
    }

    #[test]
    fn a_builtin_name_can_be_given_to_another_plugin() {
        let config = Config::parse("[operations.resize]\nkind = 'wasm'\npath = '/r.wasm'").unwrap();
        let resize = &config.operations["resize"];
        assert_eq!((resize.kind, resize.plugin.as_str()), (PluginKind::Wasm, ""));
        let config = Config::parse("[operations.resize]\nargs = { quality = 50 }").unwrap();
        assert_eq!(config.operations["resize"].plugin, "resize");
    }

    #[test]
    fn an_operation_has_the_profile_of_its_section_or_of_the_codec() {
        let text = "[codec]\nprofile = 'best'\ndamaged = 'repair'\n[operations.rasterize]\nprofile = 'fast'";
        let config = Config::parse(text).unwrap();
        assert_eq!((config.codec.profile, config.codec.damaged), (Profile::Best, Damaged::Repair));
        let profile = |name: &str| config.operations[name].profile;
        assert_eq!((profile("rasterize"), profile("resize")), (Some(Profile::Fast), None));
        let codec = Config::parse("").unwrap().codec;
        assert_eq!(codec.auto(&[]).unwrap(), [Format::Avif, Format::WebP, Format::Jxl]);
        assert_eq!((codec.profile, codec.damaged), (Profile::Fast, Damaged::Refuse));
    }

    #[test]
    fn errors_name_the_key_and_the_nearest_known_one() {
        for (text, wanted) in [
            ("[server]\nprot = 1", "unknown key `server.prot`: did you mean `server.port`?"),
            ("[sever]\nport = 1", "unknown key `sever`: did you mean `server`?"),
            ("[server]\nport = 'x'", "server.port: \"x\" is not an integer"),
            ("[server]\nport = 70000", "server.port: 70000 is not from 0 to 65535"),
            ("[server]\nport = -1", "server.port: -1 is not from 0 to 65535"),
            ("[server]\nmax_body_kb = 2.5", "server.max_body_kb: 2.5 is not an integer"),
            ("[server]\nhost = 1", "server.host: 1 is not a string"),
            ("[server]\nhangup = 'restart'", "server.hangup: \"restart\" is none of stop, reload"),
            ("[workers]\npin = 'yes'", "workers.pin: \"yes\" is not true or false"),
            ("[cors]\norigins = '*'", "cors.origins: \"*\" is not an array"),
            ("[operations.x]\nkind = 'so'", "operations.x.kind: \"so\" is none of builtin, native, wasm"),
            ("[limits]\nmax_source_frames = 0", "limits.max_source_frames: must be at least 1"),
            (
                "[operations.x]\nkind = 'builtin'\nplugin = 'resize'\narg = {}",
                "unknown key `operations.x.arg`: did you mean `operations.x.args`?",
            ),
            ("[operations.x]\nplugin = 'resize'", "operations.x: `kind` is missing"),
            ("[operations.x]\nkind = 'wasm'", "operations.x.path: is missing: "),
            ("[operations.x]\nkind = 'builtin'", "operations.x.plugin: is missing: "),
            ("[operations.x]\nkind = 'native'\npath = '/x.so'", "operations.x.sha256: is missing: "),
            (
                "[operations.x]\nkind = 'wasm'\npath = '/x.wasm'\nsha256 = 'abc'",
                "operations.x.sha256: must be 64 hexadecimal digits",
            ),
            (
                "[operations.x]\nkind = 'wasm'\npath = '/x.wasm'\nmemory_limit_mb = 5000",
                "operations.x.memory_limit_mb: must be from 1 to 4096",
            ),
            (
                "[operations.x]\nkind = 'builtin'\nplugin = 'resize'\nmemory_limit_mb = 100",
                "operations.x.memory_limit_mb: is for kind = \"wasm\"",
            ),
            (
                "[operations.x]\nkind = 'wasm'\npath = '/x.wasm'\ntime_limit_ms = 90000",
                "operations.x.time_limit_ms: must be at most workers.run_timeout_ms = 60000",
            ),
            ("[plugins]\nmax_memories = 0", "plugins.max_memories: must be from 1 to 16"),
            (
                "[plugins]\nmax_table_elements = 1000001",
                "plugins.max_table_elements: must be from 1 to 1000000",
            ),
            ("[plugins]\ncompile_memory_mb = 99999999999999", "plugins.compile_memory_mb: is absurdly large"),
            (
                "[access]\nallow_networks = ['::1', 'non sense']",
                "access.allow_networks[1]: `non sense` is neither",
            ),
            ("[access]\nfile_roots = ['relative']", "access.file_roots: relative is not an absolute path"),
            ("[log]\nlevel = 'loud'", "log.level: must be"),
            ("[codec]\nprofil = 'best'", "unknown key `codec.profil`: did you mean `codec.profile`?"),
            ("[codec]\nprofile = 'better'", "codec.profile: \"better\" is none of fast, best"),
            ("[codec]\nauto = ['svg']", "codec.auto: svg is only read"),
            (
                "[codec]\nauto = ['heic']",
                "codec.auto: \"heic\" is none of jpeg, png, gif, webp, avif, jxl, bmp, tiff, ico",
            ),
            (
                "[codec]\nauto = ['svg', 'x']\n[codecs.x]\nkind = 'wasm'\npath = 'x'",
                "codec.auto: svg is only",
            ),
            ("[cache]\ndir = 'results'", "cache.dir: must be an absolute path"),
            ("[cache]\nmax_mb = 0", "cache.max_mb: must be at least 1"),
            ("[cache]\nmax_age = 7", "unknown key `cache.max_age`: did you mean `cache.max_age_h`?"),
            ("[cache]\nfresh_s = 99999999999999", "cache.fresh_s: is absurdly large"),
            ("[codec]\ndamaged = 'ignore'", "codec.damaged: \"ignore\" is none of refuse, repair"),
            (
                "[operations.resize]\nprofile = 'better'",
                "operations.resize.profile: \"better\" is none of fast, best",
            ),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text:?} gave {error:?}, wanted {wanted:?}");
        }
    }
}
