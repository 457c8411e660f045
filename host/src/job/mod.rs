//! The job's way: from a request's JSON to a result at its destination. Names no HTTP server, no plugin loader and no
//! codec library.
//!
//! # Layout
//! - `request`: 0.2's checks 101 to 113, in their order: JSON → an `Order` that cannot be invalid
//! - `generation`: a registry and the workers that serve it, swapped by a reload
//! - `intake`: a source on its way in, read once, within a memory limit
//! - `accept`: what happens before the reply; `run`: what happens after
//! - `service`: what all of them share
//! - `state`: the job's states, their legal transitions, and its record

mod accept;
mod generation;
mod intake;
pub(crate) mod record;
mod request;
mod run;
mod service;
mod state;

pub(crate) use accept::Accepted;
pub(crate) use service::{Overview, Service};
#[cfg(test)]
pub(crate) use state::Output;
pub(crate) use state::{JobId, JobState, Record, now_ms};
