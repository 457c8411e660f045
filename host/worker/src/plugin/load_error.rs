//! Why a plugin cannot be loaded, or not be made ready for that.

use std::path::PathBuf;

use imgserve_sdk::abi::PluginError;

use super::component::ComponentError;

/// A plugin that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No builtin plugin has this name.
    #[error("there is no builtin plugin `{name}`; there are {}", .known.join(", "))]
    UnknownBuiltin {
        /// The name in the configuration.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// The plugin's table is not usable.
    #[error("plugin `{name}` cannot be used")]
    Unusable {
        /// The name in the configuration, or the path.
        name: String,
        /// Why.
        #[source]
        source: PluginError,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", .path.display())]
    File {
        /// "read", "write", …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is another than the configuration says.
    #[error("{} has sha256 {found}, and the configuration says {wanted}", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// The configuration's.
        wanted: String,
        /// The file's.
        found: String,
    },
    /// The wasm file is not a plugin.
    #[error("{}", .path.display())]
    Component {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ComponentError,
    },
    /// The library cannot be opened, or does not export an operation.
    #[error("{}: not a native plugin: {text}", .path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// The compiled plugin cannot be loaded.
    #[error("cannot load the compiled plugin {}: {text}", .path.display())]
    Compiled {
        /// The file in the cache.
        path: PathBuf,
        /// Why.
        text: String,
    },
}
