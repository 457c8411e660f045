//! imgserve measured side by side: its kernels with other libraries, its server with what a user would pick instead.
//!
//! What is said of speed are ratios of contenders that took turns in one run; times alone carry over to no other machine.
//!
//! # Layout
//! - `benches/kernels.rs`, `benches/servers.rs`, `benches/formats.rs`: the three commands
//! - [`sources`]: photographs of a folder, or synthetic pictures, as the JPEGs that are read
//! - [`kernels`]: decoders behind one trait, the resampler, the cases with a target
//! - [`rivals`]: each server: how it is installed, started and asked
//! - [`contest`]: servers in turn, their table; [`svg`]: drawings in turn
//! - [`growth`]: how cost grows with clients, sizes, results of one source
//! - [`load`]: clients and rounds; [`memory`]: what the processes take
//! - [`quality`]: SSIMULACRA2 against a full decode resampled in linear light
//! - [`drawings`]: SVGs made from a seed
//! - [`stats`]: medians, ratios, tables
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and its files are its own"
)]

pub mod contest;
pub mod drawings;
pub mod growth;
pub mod kernels;
pub mod load;
pub mod memory;
pub mod quality;
pub mod rivals;
pub mod sources;
pub mod stats;
pub mod svg;
