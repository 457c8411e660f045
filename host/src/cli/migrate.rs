//! `imgserve migrate`: the tables of the journal's database, for those who do not let a start make them.

use std::process::ExitCode;

use imgserve_base::database;

use super::failure::Failure;
use super::options::Place;
use super::ui;
use crate::server;

pub(super) fn run(place: &Place) -> Result<ExitCode, Failure> {
    let config = place.load()?;
    let journal = database::shown(&config.journal());
    let migrated = imgserve_journal::migrate(&server::opening(&config));
    match migrated.map_err(|error| Failure::Other(error.to_string()))? {
        Some(version) => ui::say(&format!("the tables of {journal} are of version {version}")),
        None => ui::say(&format!("{journal} is a file: the server that opens it sees to that")),
    }
    Ok(ExitCode::SUCCESS)
}
