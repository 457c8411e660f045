//! `[operations.NAME]`: which plugin is behind an operation, and within which bounds it runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{ConfigError, value_error};
use super::{LARGEST, Profile, Workers, secrets};

/// The builtin plugin that is a chain of other operations.
pub const PIPELINE: &str = "pipeline";

/// MiB of the largest memory of 32-bit WebAssembly.
const MAX_MEMORY_MB: u64 = 4096;
/// MiB that a wasm plugin may take when its section does not say.
pub(super) const DEFAULT_MEMORY_MB: u64 = 512;
/// Milliseconds that a call may take when its section does not say: of a third-party plugin, and of the builtin ones in
/// [`BOUNDED`].
pub(super) const DEFAULT_TIME_MS: u64 = 5000;
/// Builtin plugins whose time depends on more than pixels: a drawing says itself what is to be done.
const BOUNDED: [&str; 1] = ["rasterize"];

/// One operation's section.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperationSettings {
    /// What kind of plugin is behind it.
    pub kind: PluginKind,
    /// A builtin plugin's name, such as `resize`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// The plugin's file, of `wasm` and `native`; relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// SHA-256 of that file, in hexadecimal; another file is refused. Required for `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// MiB of memory that a `wasm` plugin may take; see [`OperationSettings::memory_limit_mb`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<u64>,
    /// Milliseconds that one call may take; see [`OperationSettings::time_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
    /// Most pixels that its result may have, where that is fewer than `[limits] max_output_pixels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_pixels: Option<u64>,
    /// Whether its work is for time or quality, where that is not what `[codec] profile` says. A pipeline's is its steps',
    /// save for those whose own sections have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Settings of the plugin's own, which it can ask for.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Default arguments, which a request may override.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
    /// Whether requests may name it.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

/// What kind of plugin is behind an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Linked into imgserve.
    Builtin,
    /// A shared library: trusted code, named by its digest.
    Native,
    /// A WebAssembly component: runs in a sandbox.
    Wasm,
}

impl PluginKind {
    /// The kind as it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Native => "native",
            Self::Wasm => "wasm",
        }
    }

    /// The file name extension of such a plugin's file; none for a builtin one, which has no file.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::Builtin => None,
            Self::Native => Some(std::env::consts::DLL_EXTENSION),
            Self::Wasm => Some("wasm"),
        }
    }

    /// The kind of the plugin in this file: a shared library if it is named like one, else WebAssembly.
    pub fn of_file(path: &Path) -> Self {
        let extension = path.extension().and_then(OsStr::to_str);
        if extension == Self::Native.extension() { Self::Native } else { Self::Wasm }
    }
}

/// What an operation or a codec is made of: a file, and which one it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PluginFile {
    /// `wasm` or `native`.
    pub kind: PluginKind,
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal, where that is said.
    pub sha256: Option<String>,
}

/// What is said of a digest that is none.
pub(super) const NO_DIGEST: &str = "must be 64 hexadecimal digits";

/// Whether this is a SHA-256 in hexadecimal.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is wrong with the MiB that a sandbox may take.
pub(super) fn memory_error(limit_mb: u64) -> Option<String> {
    let possible = (1..=MAX_MEMORY_MB).contains(&limit_mb);
    let text = || format!("must be from 1 to {MAX_MEMORY_MB}, which is all that 32-bit WebAssembly can have");
    (!possible).then(text)
}

/// What is wrong with the milliseconds that one call may take.
pub(super) fn time_error(limit_ms: Option<u64>, workers: &Workers) -> Option<String> {
    let longest = workers.run_timeout_ms;
    let text = || format!("must be at most workers.run_timeout_ms = {longest}, which ends the whole worker");
    limit_ms.is_some_and(|limit| limit > longest).then(text)
}

impl OperationSettings {
    /// Its file; none for a builtin plugin.
    pub fn file(&self) -> Option<PluginFile> {
        let path = self.path.clone()?;
        Some(PluginFile { kind: self.kind, path, sha256: self.sha256.clone() })
    }

    /// An operation whose plugin is the file at `path`, with nothing else said of it.
    pub fn of_file(kind: PluginKind, path: PathBuf) -> Self {
        Self {
            kind,
            plugin: String::new(),
            path: Some(path),
            sha256: None,
            memory_limit_mb: None,
            time_limit_ms: None,
            max_output_pixels: None,
            profile: None,
            config: Map::new(),
            args: Map::new(),
            enabled: true,
        }
    }

    /// Whether it is a chain of other operations.
    pub fn is_pipeline(&self) -> bool {
        self.kind == PluginKind::Builtin && self.plugin == PIPELINE
    }

    /// MiB of memory that its sandbox may take.
    pub fn memory_limit_mb(&self) -> u64 {
        self.memory_limit_mb.unwrap_or(DEFAULT_MEMORY_MB)
    }

    /// How long one call may take, unless `[workers] run_timeout_ms` is less; none when only the workers' deadlines bound it.
    pub fn time_limit(&self) -> Option<Duration> {
        let bounded = self.kind != PluginKind::Builtin || BOUNDED.contains(&self.plugin.as_str());
        let default = bounded.then_some(DEFAULT_TIME_MS);
        self.time_limit_ms.or(default).map(Duration::from_millis)
    }

    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(path) = &mut self.path {
            *path = directory.join(&*path);
        }
    }

    /// Whether the keys fit each other, for the operation of this name.
    pub(super) fn check(&self, name: &str, workers: &Workers) -> Result<(), ConfigError> {
        let wrong = |key: &str, text: &str| Err(value_error(&format!("operations.{name}.{key}"), text));
        let has_file = self.kind != PluginKind::Builtin;
        if has_file && self.path.is_none() {
            return wrong("path", "is missing: it names the plugin's file");
        }
        if !has_file && self.plugin.is_empty() {
            return wrong("plugin", "is missing: it names a builtin plugin, such as \"resize\"");
        }
        if has_file && !self.plugin.is_empty() {
            return wrong("plugin", "is for kind = \"builtin\"; a file is named by `path`");
        }
        if !has_file && (self.path.is_some() || self.sha256.is_some()) {
            return wrong("path", "is for kind = \"wasm\" or \"native\"; a builtin plugin has no file");
        }
        match &self.sha256 {
            Some(digest) if !is_digest(digest) => return wrong("sha256", NO_DIGEST),
            None if self.kind == PluginKind::Native => {
                let text = "is missing: a native plugin runs without a sandbox, so say which very file is trusted \
                            (`imgserve plugin build --native` prints it, and so does sha256sum)";
                return wrong("sha256", text);
            }
            _ => {}
        }
        if self.memory_limit_mb.is_some() && self.kind != PluginKind::Wasm {
            return wrong("memory_limit_mb", "is for kind = \"wasm\"; others share workers.memory_limit_mb");
        }
        let sandboxed = self.kind == PluginKind::Wasm;
        if let Some(text) = memory_error(self.memory_limit_mb()).filter(|_| sandboxed) {
            return wrong("memory_limit_mb", &text);
        }
        if let Some(text) = time_error(self.time_limit_ms, workers) {
            return wrong("time_limit_ms", &text);
        }
        for (key, value) in
            [("time_limit_ms", self.time_limit_ms), ("max_output_pixels", self.max_output_pixels)]
        {
            if value.is_some_and(|value| !(1..=LARGEST).contains(&value)) {
                return wrong(key, "must be at least 1, and not absurdly large");
            }
        }
        for (key, settings) in [("config", &self.config), ("args", &self.args)] {
            secrets::check(&format!("operations.{name}.{key}"), settings)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, DEFAULTS};

    #[test]
    fn what_the_documentation_says_of_an_operation_that_says_nothing_is_so() {
        let (_, example) = DEFAULTS.split_once("#   [operations.sepia]\n").unwrap();
        let lines = example.lines().map_while(|line| line.strip_prefix("#   "));
        let defaults: toml::Table = lines
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| !line.starts_with("sha256"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .parse()
            .unwrap();
        let plugin = OperationSettings::of_file(PluginKind::Wasm, "sepia.wasm".into());
        let config = Config::parse("").unwrap();
        let mut in_force = toml::toml! {
            config = {}
            args = {}
        };
        for (key, value) in [
            ("memory_limit_mb", plugin.memory_limit_mb()),
            ("time_limit_ms", plugin.time_limit().unwrap().as_millis() as u64),
            ("max_output_pixels", config.limits.max_output_pixels),
        ] {
            in_force.insert(key.to_owned(), toml::Value::Integer(value.try_into().unwrap()));
        }
        in_force.insert("profile".to_owned(), toml::Value::try_from(config.codec.profile).unwrap());
        assert_eq!(defaults, in_force);
    }

    #[test]
    fn a_kind_is_read_by_the_name_that_it_is_told_by() {
        for kind in [PluginKind::Builtin, PluginKind::Native, PluginKind::Wasm] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(serde_json::from_value::<PluginKind>(kind.name().into()).unwrap(), kind);
        }
    }

    #[test]
    fn a_file_is_of_the_kind_that_its_name_says() {
        for (path, kind) in [
            ("/p/a.so", PluginKind::Native),
            ("/p/a.wasm", PluginKind::Wasm),
            ("/p.so/a", PluginKind::Wasm),
            ("/p/a.so.wasm", PluginKind::Wasm),
        ] {
            assert_eq!(PluginKind::of_file(Path::new(path)), kind, "{path}");
        }
    }
}
