//! `[plugins]`: how large a sandboxed plugin may be beside its memory in bytes. Every worker has place for it.

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, value_error};

/// What one component may have, all of its core instances together; documented in `defaults.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GuestSize {
    pub max_core_instances: u32,
    pub max_memories: u32,
    pub max_tables: u32,
    pub max_table_elements: u32,
}

impl Default for GuestSize {
    fn default() -> Self {
        Self { max_core_instances: 64, max_memories: 1, max_tables: 8, max_table_elements: 100_000 }
    }
}

impl GuestSize {
    /// Places are address space and, for tables, memory of every worker: past these there is none.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { max_core_instances, max_memories, max_tables, max_table_elements } = *self;
        for (key, value, most) in [
            ("plugins.max_core_instances", max_core_instances, 1000),
            ("plugins.max_memories", max_memories, 16),
            ("plugins.max_tables", max_tables, 64),
            ("plugins.max_table_elements", max_table_elements, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(value_error(key, &format!("must be from 1 to {most}")));
            }
        }
        Ok(())
    }
}
