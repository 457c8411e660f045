//! imgserve: a sandboxed plugin-operation host for images. This crate is the server and its command line: what puts the
//! rooms together, each of which is a crate of its own beside it. Operations are written against `imgserve-sdk`.
//!
//! # Layout
//! Who may use whom: `cli → server → http → job → registry`, and of the other crates what their manifests name.
//! - [`cli`]: one file per command
//! - `server`: the parts put together; signals; `descriptors`: how many files may be open
//! - `stores`: whose credentials stores are used with; `http`: the HTTP JSON API
//! - `job`: a request's way from acceptance to its result
//! - `registry`: operation names, and what is known of the code behind them
//! - `access`: API keys, signed URLs, signatures of webhooks; `metrics`: what is counted and timed

#![forbid(unsafe_code)]

mod access;
pub mod cli;
mod descriptors;
mod http;
mod job;
mod metrics;
mod registry;
mod server;
mod stores;
