//! `imgserve jobs`: the jobs of a running server, asked for over its API. One file per command.
//!
//! # Layout
//! - `list`: a table, or JSON; `show`: one job's story, also as it goes on, which `told` puts into lines
//! - `manage`: jobs tried again or cancelled
//! - `filter`, `id`: which jobs are meant, and the pages of the server's list that hold them

mod filter;
pub(super) mod id;
mod list;
mod manage;
mod show;
mod told;

use std::process::ExitCode;

use clap::Subcommand;

use super::failure::Failure;

/// What to do about jobs.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// List jobs, the newest first
    List(list::Arguments),
    /// Tell the whole story of a job; --follow until it has ended
    Show(show::Arguments),
    /// Have jobs that failed or were cancelled tried again
    Retry(manage::Retry),
    /// Cancel jobs that have not ended: no result is stored any more
    Cancel(manage::Cancel),
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Retry(arguments) => manage::retry(arguments),
        Command::Cancel(arguments) => manage::cancel(arguments),
    }
}
