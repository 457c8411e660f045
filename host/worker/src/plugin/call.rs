//! What a plugin can be asked once it is loaded, whatever its kind, and why a call of it gives nothing.

use std::rc::Rc;

use imgserve_sdk::abi::{PluginError, Product, RunInput};
use imgserve_sdk::{Description, Host, Plan, SourceHeader, Window};
use serde::{Deserialize, Serialize};

use super::deadline::TimeLimit;

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
    TimedOut(TimeLimit),
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
