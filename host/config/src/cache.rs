//! `[cache]`: results of direct calls that are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, value_error};

/// `[cache]`; documented in `defaults.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Cache {
    pub dir: PathBuf,
    pub max_mb: u64,
    pub max_age_h: u64,
    pub memory_mb: u64,
    pub fresh_s: u64,
}

impl Cache {
    /// Whether results are kept.
    pub fn is_on(&self) -> bool {
        !self.dir.as_os_str().is_empty()
    }

    /// What is not a matter of ranges.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.is_on() && !self.dir.is_absolute() {
            return Err(value_error("cache.dir", "must be an absolute path: a daemon works in /"));
        }
        Ok(())
    }
}
