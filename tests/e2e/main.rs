//! End-to-end tests: the real binary, real HTTP and FTP peers, real images.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails fails the test; peers and files are the test's own"
)]

mod access;
mod architecture;
mod bombs;
mod cache;
mod cli;
mod codecs;
mod codes;
mod colors;
mod config;
mod connections;
mod direct;
mod docs;
mod errors;
mod fairness;
mod frames;
mod golden;
mod grid;
mod guest;
mod harness;
mod hostile;
mod jobs;
mod jobs_cli;
mod kept;
mod later;
mod life;
mod load;
mod nodes;
mod operations;
mod plugins;
mod postgres;
mod profiles;
mod resize;
mod sandbox;
mod schemes;
mod starving;
mod stores;
mod upgrade;
mod v1;
mod visits;
mod workers;
