//! The command line, compatible with imgserve 0.2: options with one dash or two, in either case. One file per command.
//!
//! # Layout
//! - `options`: what several commands take
//! - `start`, `stop` (and restart), `status`, `reload`: the daemon
//! - `config`: the configuration in force; `check`: whether a start would succeed; `migrate`, `journal`: the journal's tables, and all of it in another place; `demo`: the whole thing shown at work
//! - `plugin`: operations of one's own
//! - `key`, `sign`: keys for clients, URLs and webhooks, and what is signed with them
//! - `jobs`, `nodes`, `top`, `cache`: a running server's jobs, those who share them, and results that it keeps, by `client` over HTTP and as `story` tells them
//! - `failure`: why a command failed; `exposure`, `pid_file`, `own_file`, `log`, `launch`, `ui`: what the commands share
//! - `report`: what a running server tells the commands, which `tell` writes; `process`: another process, and its end

mod cache;
mod check;
mod client;
mod config;
mod demo;
mod exposure;
mod failure;
mod jobs;
mod journal;
mod key;
mod launch;
mod log;
mod migrate;
mod nodes;
mod operations;
mod options;
mod own_file;
mod pid_file;
mod plugin;
mod process;
mod reload;
mod report;
mod sign;
mod start;
mod status;
mod stop;
mod story;
mod tell;
mod top;
mod ui;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use imgserve_base::fault::chain;

#[derive(Debug, Parser)]
#[command(
    name = "imgserve",
    version,
    about = "A sandboxed plugin-operation host for images: thumbnails and renders by one POST",
    after_help = "Try `imgserve demo` first: it starts a server and shows it at work.\n\
                  Options may be written with one dash or two, as in imgserve 0.2 (-port 8602, --port 8602).",
    disable_help_subcommand = false,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const START_HELP: &str = "\
What a server that is ending still has (pid file, journal, port) is waited for, up to [server] start_wait_s.

Exit codes: 0 it serves, 1 it does not (the message says why), 64 the configuration is refused.";

const RESTART_HELP: &str = "\
First does what `imgserve config check` does, as the user that the server is to run as; then stops the server, waits for its
end, and starts it with these options.

Exit codes: 0 it serves, 1 it does not, or nothing was stopped as this configuration would not start (the message says which),
64 the configuration is refused, and nothing was stopped.";

const MIGRATE_HELP: &str = "\
A start does so by itself unless [jobs] migrate is false. Servers may run meanwhile, also those of the version before.

Exit codes: 0 the tables are of this version, 1 they are not (the message says why), 64 the configuration is refused.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server, as a daemon unless --foreground
    #[command(after_long_help = START_HELP)]
    Start(options::StartOptions),
    /// Stop the server when the jobs it accepted are finished; -KILL stops it at once
    Stop(stop::Arguments),
    /// Stop the server if it runs, and start it; one that would not start leaves the running one as it is
    #[command(after_long_help = RESTART_HELP)]
    Restart(options::StartOptions),
    /// Say whether the server runs (exit code 0: runs, 1: stale pid file, 3: does not run)
    Status(options::Place),
    /// Let the running server take in its changed configuration, and say how that went
    Reload(reload::Arguments),
    /// Print the configuration in force, with every key, its unit and default; check one
    Config(config::Arguments),
    /// Make or change the tables of the database that is the journal
    #[command(after_long_help = MIGRATE_HELP)]
    Migrate(options::Place),
    /// Copy a journal into another one
    #[command(subcommand)]
    Journal(journal::Command),
    /// Start a server on a free port, run real jobs through it and show what happens
    Demo(demo::Arguments),
    /// Write, build, check and try operations of your own
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// List, show, retry and cancel the jobs of a running server
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// List the servers that share a running server's journal
    Nodes(nodes::Arguments),
    /// Watch a running server: queue, workers, jobs with their progress
    Top(top::Arguments),
    /// List, measure and forget the results that a running server keeps
    #[command(subcommand)]
    Cache(cache::Command),
    /// List what requests may name: operations with their kinds, versions and limits
    Operations(operations::Arguments),
    /// Make keys: for a client of the API, for signed URLs, for webhooks
    #[command(subcommand)]
    Key(key::Command),
    /// Sign a URL of GET /v1/operations/NAME/render
    Sign(sign::Arguments),
    /// Print the version
    Version,
    /// A worker process; started by the server
    #[command(hide = true)]
    Worker,
    /// The process that makes plugins ready to load; started by the server
    #[command(hide = true)]
    Compile,
}

/// Runs the command that `arguments` (the program's name first) name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments.map(|argument| two_dashes(&argument))) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outcome = match cli.command {
        Command::Worker => return imgserve_worker::serve(),
        Command::Compile => return imgserve_worker::compile(),
        Command::Start(arguments) => start::run(&arguments),
        Command::Stop(arguments) => stop::run(&arguments),
        Command::Restart(arguments) => stop::restart(&arguments),
        Command::Status(place) => status::run(&place),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Migrate(place) => migrate::run(&place),
        Command::Journal(command) => journal::run(&command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Operations(arguments) => operations::run(&arguments),
        Command::Plugin(command) => plugin::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Jobs(command) => jobs::run(&command),
        Command::Nodes(arguments) => nodes::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Cache(command) => cache::run(&command),
        Command::Version => {
            ui::say(&format!("imgserve {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    };
    ui::finish(outcome.unwrap_or_else(|error| {
        ui::complain(&chain(&error));
        error.exit_code()
    }))
}

/// Says what is wrong with the command line, or the help or version that it asks for.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if !error.use_stderr() {
        ui::written(printed);
    }
    ui::finish(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// 0.2 took `-port`, `-FORCE` and `-KILL`; clap takes `--port`, `--force` and `--kill`.
fn two_dashes(argument: &OsStr) -> OsString {
    let Some(text) = argument.to_str() else { return argument.to_owned() };
    let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or_default();
    let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
    let long = name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    match (long, value) {
        (false, _) => argument.to_owned(),
        (true, None) => format!("--{}", name.to_ascii_lowercase()).into(),
        (true, Some(value)) => format!("--{}={value}", name.to_ascii_lowercase()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_0_2_are_understood() {
        for (given, wanted) in [
            ("-port", "--port"),
            ("--port", "--port"),
            ("-FORCE", "--force"),
            ("-port=1", "--port=1"),
            ("-h", "-h"),
            ("-V", "-V"),
            ("-1", "-1"),
            ("--", "--"),
            ("start", "start"),
            ("/a-b", "/a-b"),
        ] {
            assert_eq!(two_dashes(OsStr::new(given)), wanted, "{given}");
        }
    }

    #[test]
    fn every_command_parses() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let line = "imgserve start -host 127.0.0.1 -port 1 -pid /p -logdir /l -FORCE -chdir / -uid 1 -gid 1 -umask 022";
        Cli::try_parse_from(line.split(' ').map(|word| two_dashes(OsStr::new(word)))).unwrap();
        Cli::try_parse_from(["imgserve", "stop", "--kill"]).unwrap();
    }
}
