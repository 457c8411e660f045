//! The code behind an operation: one trait, three loaders; and that of a codec, by the last of them. Plugins are loaded in worker
//! processes only; the server knows a plugin by its description.
//!
//! # Layout
//! - `call`: the trait, what a call gives, why it gives nothing
//! - `loader`: by kind to one of `builtin`, `native`, `wasm`; `table`: the C ABI table that the first two share
//! - `component`: what a wasm file is, before anything of it is trusted
//! - `prepare`: a plugin file made ready to load: checked, compiled, kept on disk by digest; `artifact`: what comes of that
//! - `load_error`: why a plugin cannot be loaded
//! - `deadline`: ends a call that takes too long

mod artifact;
mod builtin;
mod call;
pub mod component;
#[cfg(test)]
mod contract_tests;
mod deadline;
mod load_error;
mod loader;
mod native;
mod prepare;
mod table;
mod wasm;

pub use artifact::{Artifact, hex};
pub use call::{CallError, Plugin, Results, Usage};
pub use component::{ComponentError, World};
pub use deadline::Deadline;
#[cfg(test)]
pub(crate) use deadline::Expiry;
pub(crate) use deadline::TimeLimit;
pub use load_error::LoadError;
pub use loader::Loader;
pub use prepare::{prepare, prune};
pub use wasm::GUESTS;
pub(crate) use wasm::WasmCodec;
