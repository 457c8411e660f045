//! `[codecs.NAME]`: a plugin that reads, and perhaps writes, files of formats that are not built in, and its bounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, value_error};
use super::operation::{self, PluginFile, PluginKind};
use super::{LARGEST, Workers};

/// Keys of a section; the section's name is free.
pub(super) const KEYS: [&str; 5] = ["kind", "path", "sha256", "memory_limit_mb", "time_limit_ms"];

/// One codec's section.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CodecSettings {
    /// What kind of plugin it is: `wasm`.
    pub kind: PluginKind,
    /// The plugin's file; relative to the configuration file.
    pub path: PathBuf,
    /// SHA-256 of that file, in hexadecimal; another file is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// MiB of memory that one call may take; see [`CodecSettings::memory_limit_mb`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<u64>,
    /// Milliseconds that one call may take; see [`CodecSettings::time_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
}

impl CodecSettings {
    /// The codec in the file at `path`, with nothing else said of it.
    pub fn of_file(path: PathBuf) -> Self {
        Self { kind: PluginKind::Wasm, path, sha256: None, memory_limit_mb: None, time_limit_ms: None }
    }

    /// Its file.
    pub fn file(&self) -> PluginFile {
        PluginFile { kind: self.kind, path: self.path.clone(), sha256: self.sha256.clone() }
    }

    /// MiB of memory that its sandbox may take.
    pub fn memory_limit_mb(&self) -> u64 {
        self.memory_limit_mb.unwrap_or(operation::DEFAULT_MEMORY_MB)
    }

    /// How long one call may take, unless the worker's own deadline is sooner.
    pub fn time_limit(&self) -> Duration {
        Duration::from_millis(self.time_limit_ms.unwrap_or(operation::DEFAULT_TIME_MS))
    }

    pub(super) fn resolve(&mut self, directory: &Path) {
        self.path = directory.join(&self.path);
    }

    /// Whether the keys are ones that can be, for the codec of this name.
    pub(super) fn check(&self, name: &str, workers: &Workers) -> Result<(), ConfigError> {
        let wrong = |key: &str, text: &str| Err(value_error(&format!("codecs.{name}.{key}"), text));
        if self.kind != PluginKind::Wasm {
            let text = "must be \"wasm\": a codec reads strangers' files, and does so in the sandbox alone";
            return wrong("kind", text);
        }
        if self.sha256.as_ref().is_some_and(|digest| !operation::is_digest(digest)) {
            return wrong("sha256", operation::NO_DIGEST);
        }
        if let Some(text) = operation::memory_error(self.memory_limit_mb()) {
            return wrong("memory_limit_mb", &text);
        }
        if let Some(text) = operation::time_error(self.time_limit_ms, workers) {
            return wrong("time_limit_ms", &text);
        }
        if self.time_limit_ms.is_some_and(|value| !(1..=LARGEST).contains(&value)) {
            return wrong("time_limit_ms", "must be at least 1, and not absurdly large");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, DEFAULTS};

    #[test]
    fn what_the_documentation_says_of_a_codec_that_says_nothing_is_so() {
        let (_, example) = DEFAULTS.split_once("#   [codecs.heic]\n").unwrap();
        let lines = example.lines().map_while(|line| line.strip_prefix("#   "));
        let defaults =
            lines.filter_map(|line| line.strip_prefix("# ")).filter(|line| !line.starts_with("sha256"));
        let defaults: toml::Table =
            defaults.map(|line| format!("{line}\n")).collect::<String>().parse().unwrap();
        let codec = CodecSettings::of_file("heic.wasm".into());
        let in_force = toml::toml! { memory_limit_mb = 512
        time_limit_ms = 5000 };
        assert_eq!(defaults, in_force);
        assert_eq!((codec.memory_limit_mb(), codec.time_limit().as_millis()), (512, 5000));
    }

    #[test]
    fn a_codec_is_a_file_in_the_sandbox_with_bounds() {
        let config =
            Config::parse("[codecs.heic]\nkind = 'wasm'\npath = 'heic.wasm'\ntime_limit_ms = 70").unwrap();
        assert_eq!(config.codecs["heic"].time_limit(), Duration::from_millis(70));
        for (text, wanted) in [
            ("kind = 'native'\npath = 'x.so'", "codecs.x.kind: must be \"wasm\""),
            ("kind = 'builtin'\npath = 'x'", "codecs.x.kind: must be \"wasm\""),
            ("path = 'x.wasm'", "codecs.x: `kind` is missing"),
            ("kind = 'wasm'", "codecs.x: `path` is missing"),
            ("kind = 'wasm'\npath = 'x'\nargs = {}", "unknown key `codecs.x.args`"),
            ("kind = 'wasm'\npath = 'x'\nsha256 = 'abc'", "codecs.x.sha256: must be 64 hexadecimal digits"),
            (
                "kind = 'wasm'\npath = 'x'\nmemory_limit_mb = 0",
                "codecs.x.memory_limit_mb: must be from 1 to 4096",
            ),
            ("kind = 'wasm'\npath = 'x'\ntime_limit_ms = 0", "codecs.x.time_limit_ms: must be at least 1"),
            (
                "kind = 'wasm'\npath = 'x'\ntime_limit_ms = 60001",
                "codecs.x.time_limit_ms: must be at most workers.run",
            ),
        ] {
            let error = Config::parse(&format!("[codecs.x]\n{text}")).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text} gave {error}");
        }
        let error = Config::parse("[codecs.'a b']\nkind = 'wasm'\npath = 'x'").unwrap_err().to_string();
        assert!(error.contains("\"a b\" is no name of a codec"), "{error}");
    }
}
