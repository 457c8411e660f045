//! The per-core worker pool: child processes that probe, plan, draw, decode, run and encode, so that nothing that
//! came from outside is decoded in the server.
//!
//! # Layout
//! - `protocol`: what the two sides say to each other; `payload`, `frame`, `inbox`: how it crosses
//! - server's side: `pool` (supervises the children), `queue` (who goes next), `budget` (whether it fits memory),
//!   `assignment` (one request of a worker), `output` (its results), `child` (one worker), `process` (its process), `death` (how that ended),
//!   `wire` (the socket to it)
//! - worker's side: `serve` (its loop), `task` (planning), `extent` (how many pixels that comes to), `run` (one source for several tasks), `chain` (one task's
//!   operations), `stage` (one of them), `host` (what that can ask for), `sink`, `placeholder`, `codecs` (those
//!   that are plugins), `fault` (what else goes
//!   wrong), `beside` (what of a source stands beside a result's pixels), `reading` (what goes wrong over a source), `sandbox` (how it limits itself)
//! - `compile`: plugin files made ready to load, in a process of its own; both sides
//! - [`plugin`]: the code behind an operation, and the three loaders; loaded in workers alone

mod assignment;
mod beside;
mod budget;
mod chain;
mod child;
mod codecs;
mod compile;
mod death;
mod extent;
mod fault;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host;
mod inbox;
mod output;
mod payload;
mod placeholder;
pub mod plugin;
mod pool;
mod process;
mod protocol;
mod queue;
mod reading;
mod run;
mod sandbox;
mod serve;
mod sink;
mod stage;
mod task;
#[cfg(test)]
mod tests;
mod thumbnail;
mod wire;

pub use budget::Budget;
pub use compile::serve as compile;
pub use extent::check_made;
pub use output::TaskOutput;
pub use payload::Payload;
pub use pool::{DirectOutcome, Pool, PoolConfig, Stats};
pub use protocol::{LINEAR, Loaded, LoadedCodec, Placeholder, Prepared, Step, Task};
pub use serve::serve;
pub use wire::PLUGIN_LINES;
