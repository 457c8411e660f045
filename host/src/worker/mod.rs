//! The per-core worker pool: child processes that probe, plan, draw, decode, run and encode, so that nothing that
//! came from outside is decoded in the server.
//!
//! # Layout
//! - `protocol`: the frames between the two sides
//! - server's side: `pool` (supervises the children), `queue` (who goes next), `budget` (whether it fits memory),
//!   `child` (one process)
//! - worker's side: `serve` (its loop), `task` (what it does), `stage` (one operation of it), `host` (what that can ask
//!   for), `sink`, `placeholder`, `sandbox` (how it limits itself)
//! - `compile`: plugin files made ready to load, in a process of its own; both sides

mod budget;
mod child;
mod compile;
mod host;
mod placeholder;
mod pool;
mod protocol;
mod queue;
mod sandbox;
mod serve;
mod sink;
mod stage;
mod task;

pub(crate) use budget::Budget;
pub(crate) use compile::serve as compile;
pub(crate) use pool::{Outcome, Pool, PoolConfig, Stats};
pub(crate) use protocol::{Loaded, Placeholder, Prepared, Step, Task};
pub(crate) use serve::serve;
