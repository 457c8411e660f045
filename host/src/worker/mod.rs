//! The per-core worker pool: child processes that probe, plan, draw, decode, run and encode, so that nothing that
//! came from outside is decoded in the server.
//!
//! # Layout
//! - `protocol`: the frames between the two sides
//! - server's side: `pool` (supervises the children), `queue` (who goes next), `budget` (whether it fits memory),
//!   `child` (one process)
//! - worker's side: `serve` (its loop), `task` (what it does), `placeholder`, `sandbox` (how it limits itself)

mod budget;
mod child;
mod placeholder;
mod pool;
mod protocol;
mod queue;
mod sandbox;
mod serve;
mod task;

pub(crate) use budget::Budget;
pub(crate) use pool::{Pool, PoolConfig, Stats};
pub(crate) use protocol::{Loaded, Placeholder, Prepared, Task};
pub(crate) use serve::serve;
