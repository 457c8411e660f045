//! The code behind an operation: one trait, three loaders. Plugins are loaded in worker processes only; the server
//! knows a plugin by its description.
//!
//! # Layout
//! - `builtin`, `native`, `wasm`: the three loaders; `table`: the C ABI table that the first two share
//! - `component`: what a wasm file is, before anything of it is trusted
//! - `artifact`: a plugin file made ready to load: checked, compiled, kept on disk by digest
//! - `deadline`: ends a call that takes too long

mod artifact;
mod builtin;
pub mod component;
#[cfg(test)]
mod contract_tests;
mod deadline;
mod native;
mod table;
mod wasm;

use std::path::PathBuf;
use std::rc::Rc;

use imgserve_config::{Operation, PluginKind};
use imgserve_sdk::abi::{PluginError, Product, RunInput};
use imgserve_sdk::{Description, Host, Plan, SourceHeader, Window};
use serde::{Deserialize, Serialize};

pub use artifact::{Artifact, hex, prepare, prune};
pub use component::ComponentError;
pub use deadline::Deadline;
#[cfg(test)]
pub(crate) use deadline::{Expiry, Limit};
pub use wasm::GUESTS;

/// The code behind an operation, ready to be called.
pub trait Plugin: std::fmt::Debug {
    /// What the operation says about itself.
    fn describe(&self, host: &Rc<dyn Host>) -> Result<Description, CallError>;

    /// What it would produce; `args` is the JSON of an object.
    fn plan(&self, args: &[u8], header: &SourceHeader, host: &Rc<dyn Host>) -> Result<Plan, CallError>;

    /// Does the work. `window` says which part of the source the pixels show.
    fn run(
        &self,
        args: &[u8],
        header: &SourceHeader,
        input: RunInput<'_>,
        window: Window,
        host: &Rc<dyn Host>,
    ) -> Result<Box<dyn Results>, CallError>;

    /// What the plugin's own limit leaves for one call, in bytes; none when only the worker's limit bounds it. Its input
    /// and output count.
    fn memory_limit(&self) -> Option<u64> {
        None
    }
}

/// The results of a run: memory of the plugin's, gone when dropped.
pub trait Results {
    /// The results, each checked to be as long as it says.
    fn products(&self) -> Result<Vec<Product<'_>>, CallError>;

    /// What the call took.
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// What a task's calls of plugins took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// In plugins, in microseconds, all calls together.
    pub operation_us: f64,
    /// Making a fresh instance of a sandboxed plugin, in microseconds: the longest of the calls.
    pub instantiate_us: f64,
    /// The largest memory of such an instance, in bytes.
    pub memory_bytes: u64,
}

impl Usage {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            operation_us: self.operation_us + other.operation_us,
            instantiate_us: self.instantiate_us.max(other.instantiate_us),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }
}

/// Why a call of a plugin gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The operation refused or failed, in its own words.
    #[error(transparent)]
    Refused(imgserve_sdk::Error),
    /// It panicked or trapped.
    #[error("{0}")]
    Trapped(String),
    /// It wanted more memory than its limit.
    #[error("ran out of memory ({limit}){}", panicked(.text))]
    OutOfMemory {
        /// The limit's key and value.
        limit: String,
        /// The panic's message, if there was one.
        text: Option<String>,
    },
    /// It was not done in time.
    #[error("{0}")]
    TimedOut(deadline::Limit),
    /// It answered what the contract does not allow.
    #[error("broke the contract: {0}")]
    Contract(String),
}

fn panicked(text: &Option<String>) -> String {
    text.as_ref().map_or_else(String::new, |text| format!(": {text}"))
}

impl From<PluginError> for CallError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Operation(error) => Self::Refused(error),
            PluginError::Panic(text) => Self::Trapped(format!("panicked: {text}")),
            PluginError::Contract(text) => Self::Contract(text),
            other => Self::Contract(other.to_string()),
        }
    }
}

/// A plugin that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No builtin plugin has this name.
    #[error("there is no builtin plugin `{name}`; there are {}", builtin::names().join(", "))]
    UnknownBuiltin {
        /// The name in the configuration.
        name: String,
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

/// What loads plugins in one process: the engine behind the sandboxed ones, and the clock behind all of them.
#[derive(Debug)]
pub struct Loader {
    deadline: Rc<Deadline>,
    engine: Option<wasm::Engine>,
    max_frames: u32,
}

impl Loader {
    /// A loader of plugins that give at most `max_frames` frames; nothing is set up before it is needed.
    pub fn new(deadline: &Rc<Deadline>, max_frames: u32) -> Self {
        Self { deadline: Rc::clone(deadline), engine: None, max_frames }
    }

    /// Loads the plugin behind an operation; `artifact` is what [`prepare`] made of its file.
    ///
    /// # Errors
    /// [`LoadError`] when there is none or it does not check out.
    pub fn load(
        &mut self,
        operation: &Operation,
        artifact: Option<&Artifact>,
    ) -> Result<Box<dyn Plugin>, LoadError> {
        let limit = operation.time_limit();
        match (operation.kind, artifact) {
            (PluginKind::Native, Some(artifact)) => {
                Ok(Box::new(table::TablePlugin::new(native::load(artifact)?, limit, &self.deadline)))
            }
            (PluginKind::Wasm, Some(artifact)) => {
                let engine = match &mut self.engine {
                    Some(engine) => engine,
                    None => self.engine.insert(wasm::Engine::for_calls(&self.deadline)?),
                };
                Ok(Box::new(engine.load(artifact, operation, self.max_frames)?))
            }
            (PluginKind::Builtin, _) => {
                let plugin = builtin::load(&operation.plugin)?;
                Ok(Box::new(table::TablePlugin::new(plugin, limit, &self.deadline)))
            }
            (PluginKind::Native | PluginKind::Wasm, None) => Err(LoadError::Compiled {
                path: operation.path.clone().unwrap_or_default(),
                text: "it was not prepared".to_owned(),
            }),
        }
    }
}
