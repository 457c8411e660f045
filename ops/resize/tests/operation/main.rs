//! `resize` as a host sees it: one program for all of it, as each would be linked with the resampler.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;
mod contract;
mod linear;
mod pixels;
mod planned;
mod steps;
