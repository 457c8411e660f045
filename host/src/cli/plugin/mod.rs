//! `imgserve plugin`: operations of one's own, from the first line to the registered file. One file per command.
//!
//! # Layout
//! - `new`: a folder to start from, out of `template/`; its picture is painted by `sample`
//! - `build`: a crate compiled, by a way that `toolchain` finds and `cargo` goes, or what is in another `language`; `artifact` is what
//!   comes of it
//! - `check`, `run`, `bench`, `golden` (the command `test`): a plugin tried in a worker under production limits, which is `lab`'s
//! - `dev`: built and tried at every change
#![allow(clippy::disallowed_methods, reason = "commands: nothing else runs in their process")]

mod artifact;
mod bench;
mod build;
mod cargo;
mod check;
mod dev;
mod golden;
mod lab;
mod language;
mod new;
mod run;
mod sample;
mod toolchain;

use std::process::ExitCode;

use clap::Subcommand;

use super::failure::Failure;
pub(super) use lab::start_pool;

/// What to do about a plugin.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Make a folder to start from, in Rust, C, JavaScript or Python: an operation that works, with tests, a sample picture and a README
    New(new::Arguments),
    /// Compile a plugin's folder to a WebAssembly component, or with --native to a shared library, ready to register
    Build(build::Arguments),
    /// Show what a plugin says of itself, and try it on sources of every shape
    Check(check::Arguments),
    /// Run a plugin on one file, without a server
    Run(run::Arguments),
    /// Measure what a plugin takes on one file, by part, and beside another build of it
    Bench(bench::Arguments),
    /// Run a crate's golden cases
    Test(golden::Arguments),
    /// Build and run a crate again whenever one of its files changes
    Dev(dev::Arguments),
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Test(arguments) => golden::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
    }
}
