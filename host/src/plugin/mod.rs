//! The code behind an operation. Loaded in worker processes only: the server knows a plugin by its description.
//!
//! # Layout
//! - `builtin`: operations linked into imgserve, called through the sdk's C ABI table

mod builtin;

use imgserve_sdk::abi::{Plugin, PluginError};

use crate::config::{Operation, PluginKind};

/// A plugin that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// No builtin plugin has this name.
    #[error("there is no builtin plugin `{name}`; there are {}", builtin::names().join(", "))]
    UnknownBuiltin {
        /// The name in the configuration.
        name: String,
    },
    /// The plugin's table is not usable.
    #[error("plugin `{name}` cannot be used")]
    Unusable {
        /// The name in the configuration.
        name: String,
        /// Why.
        #[source]
        source: PluginError,
    },
}

/// Loads the plugin behind an operation.
///
/// # Errors
/// [`LoadError`] when there is none or its table does not check out.
pub(crate) fn load(operation: &Operation) -> Result<Plugin, LoadError> {
    match operation.kind {
        PluginKind::Builtin => builtin::load(&operation.plugin),
    }
}
