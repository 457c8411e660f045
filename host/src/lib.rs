//! imgserve: a sandboxed plugin-operation host for images. This crate is the server and its command line; operations
//! are written against `imgserve-sdk`.
//!
//! # Layout
//! Who may use whom: `cli → server → http → job → {registry → plugin, transfer, journal, worker}`,
//! `worker → {plugin, codec}`. A test keeps it so (README, "Architecture").
//! - [`cli`]: one file per command
//! - [`config`]: TOML text → checked configuration
//! - `server`: the parts put together; signals
//! - `http`: the HTTP JSON API
//! - `job`: a request's way from acceptance to its result; `journal`: the job store
//! - `registry`, `plugin`: operation names, and the code behind them
//! - `transfer`: sources and destinations, and which of them are allowed
//! - `worker`: the pool of child processes; `codec`: encoded bytes ↔ pixels
//! - `access`: API keys, signed URLs, signatures of webhooks; `metrics`: what is counted and timed
//! - `crash`: where the crash test ends the process
//! - `depth`: how deep JSON may be nested; `digest`: what tells sources apart; `fault`: why a request is refused or a job fails; `format`: the file formats' names

mod access;
pub mod cli;
mod codec;
pub mod config;
mod crash;
mod depth;
mod digest;
mod fault;
mod format;
mod http;
mod job;
mod journal;
mod metrics;
mod plugin;
mod registry;
mod server;
mod transfer;
mod worker;
