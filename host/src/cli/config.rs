//! `imgserve config`: the configuration in force.

use std::process::ExitCode;

use clap::Args;
use imgserve_config as config;

use super::failure::Failure;
use super::options::Place;
use super::{exposure, ui};

const HELP: &str = "\
What it prints is a configuration file that gives the same again, except that \"…\" stands for each secret (of
[[access.url_keys]] and [webhooks]): it can be shown to others, and is refused as a configuration. With --secrets it is whole.";

/// Options of `config`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print the secrets too
    #[arg(long)]
    secrets: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.place.load()?;
    match arguments.place.config_file() {
        Some(path) => {
            if let Some(text) = exposure::readable_secrets(&config, &path) {
                ui::complain(&text);
            }
            ui::say(&format!("# from {}", path.display()));
        }
        None => ui::say("# built-in defaults: there is no configuration file"),
    }
    let config = if arguments.secrets { config } else { config.without_secrets() };
    ui::say(config::render(&config).trim_end());
    Ok(ExitCode::SUCCESS)
}
