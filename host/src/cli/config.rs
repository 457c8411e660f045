//! `imgserve config`: the configuration in force.

use std::process::ExitCode;

use clap::Args;

use super::options::Place;
use super::{Failure, ui};
use crate::config;

/// Options of `config`.
#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.place.load()?;
    match arguments.place.config_file() {
        Some(path) => ui::say(&format!("# from {}", path.display())),
        None => ui::say("# built-in defaults: there is no configuration file"),
    }
    ui::say(config::render(&config).trim_end());
    Ok(ExitCode::SUCCESS)
}
