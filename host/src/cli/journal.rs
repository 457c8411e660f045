//! `imgserve journal`: what is done with a journal that no server uses.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use imgserve_base::database;
use imgserve_journal::{Copied, Opening};

use super::failure::Failure;
use super::options::Place;
use super::ui;
use crate::server;

const COPY_HELP: &str = "\
FROM and TO are each the path of a file, or a database as [jobs] journal names it; TO is made where it is not there. No server may use
either meanwhile. What is there already is passed over, so that a copy that was broken off goes on when the command is given again;
FROM stays as it is. Then [jobs] journal names TO, and the server is started.

Passwords, TLS and the server's own node file are the configuration's. Jobs that read or write file:// stay with this server in a
database, unless [access] shared_files says that all servers see the same files.

Examples:
  imgserve journal copy ~/.imgserve/journal/jobs.db postgresql://imgserve@db.internal/imgserve
  imgserve journal copy postgresql://imgserve@db.internal/imgserve /var/lib/imgserve/journal/jobs.db

Exit codes: 0 all is there, 1 it is not (the message says why), 64 the configuration is refused.";

/// How many jobs are copied between two lines that say so.
const SAID_EVERY: u64 = 100_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy all of a journal that no server uses into another, a file or a database each
    #[command(after_long_help = COPY_HELP)]
    Copy(Copy),
}

/// Options of `journal copy`.
#[derive(Args, Clone, Debug)]
pub(super) struct Copy {
    /// The journal that is copied
    from: String,
    /// Where to
    to: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Copy(copy) = command;
    let config = copy.place.load()?;
    // Opening it would make one.
    if !database::is_database(&copy.from) && !Path::new(&copy.from).is_file() {
        let text = format!(
            "there is no journal {}: FROM is a file or a database as [jobs] journal names it",
            copy.from
        );
        return Err(Failure::Other(text));
    }
    let opening = |address: &str| Opening { address: address.to_owned(), ..server::opening(&config) };
    let mut said = 0;
    let tell = |copied: Copied| {
        let all = copied.jobs + copied.known;
        if all / SAID_EVERY > said {
            said = all / SAID_EVERY;
            ui::note(&format!("{all} so far"));
        }
    };
    let (from, to) = (opening(&copy.from), opening(&copy.to));
    let copied = imgserve_journal::copy(&from, &to, config.access.shared_files, tell);
    let Copied { jobs, keys, notices, known } = copied.map_err(|error| Failure::Other(error.to_string()))?;
    let known = if known > 0 { format!("; {known} of it were there already") } else { String::new() };
    ui::say(&format!(
        "copied {jobs} jobs, {keys} idempotency keys and {notices} webhooks from {} to {}{known}",
        database::shown(&copy.from),
        database::shown(&copy.to)
    ));
    Ok(ExitCode::SUCCESS)
}
