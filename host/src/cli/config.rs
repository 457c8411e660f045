//! `imgserve config`: the configuration in force, and whether a server would start with one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use imgserve_config::{self as config, Paths};

use super::failure::Failure;
use super::options::Place;
use super::{check, exposure, ui};

const HELP: &str = "\
What it prints is a configuration file that gives the same again, but for secrets: \"…\" stands instead of those of
[[access.url_keys]] and [webhooks], and of settings and default arguments of operations that are called like one (password,
token, api_key, …); URLs there are without password and query. So it can be shown to others, and is refused as a
configuration. With --secrets it is whole.";

const CHECK_HELP: &str = "\
Does all that a start does but serve: reads every key, loads the plugins, checks the arguments of presets against what the
plugins take, looks for files, certificates, directories and the journal, and whether this machine has the address. It must run
as the user that the server runs as. Port and journal may be in use; where they are not the running server's, it warns.

Exit codes: 0 a server would start with it, 1 it would not (the message says why), 64 the configuration is refused.";

/// Options of `config`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print the secrets too
    #[arg(long)]
    secrets: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What else to do about a configuration.
#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Find out whether a server would start with a configuration
    Check(Check),
}

/// Options of `config check`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = CHECK_HELP)]
struct Check {
    /// The configuration file (default: the one that a start would read)
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(Action::Check(check)) = &arguments.action {
        return check.run();
    }
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

impl Check {
    fn run(&self) -> Result<ExitCode, Failure> {
        let place =
            Place { config: self.file.clone().or_else(|| self.place.config.clone()), ..self.place.clone() };
        let config = place.load()?;
        let checked = check::run(&config, &place, false)?;
        checked.warnings.iter().for_each(|warning| ui::complain(warning));
        if let Err(failure) = check::log_directory(&Paths::of_this_user().log_dir) {
            ui::complain(&format!("a daemon would need another -logdir: {failure}"));
        }
        let whose = match place.config_file() {
            Some(path) => {
                if let Some(text) = exposure::readable_secrets(&config, &path) {
                    ui::complain(&text);
                }
                path.display().to_string()
            }
            None => "the built-in defaults".to_owned(),
        };
        ui::say(&format!("{whose}: a server would start with it, with {} operations", checked.operations));
        Ok(ExitCode::SUCCESS)
    }
}
