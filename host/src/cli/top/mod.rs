//! `imgserve top`: a live view of a running server.
//!
//! # Layout
//! - this file: the command, and its loop
//! - `look`: what is asked of the server; `view`: that in lines; `screen`: the terminal, borrowed and given back

mod look;
mod screen;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use imgserve_base::job::now_ms;

use self::look::Look;
use self::screen::Screen;
use super::client::{Client, Reach};
use super::failure::Failure;
use super::ui;

const HELP: &str = "\
Queue, workers, memory, jobs per second and failures of the last 10 seconds; the jobs that run, with progress, and those that
wait for another attempt or their turn; the last failures. Keys: q or Ctrl-C ends it.

Where stdout is no terminal it prints once and ends, as with --once: for scripts, and `watch`. With an API key only that key's
jobs are shown, with one of scope admin all.

Exit codes: 0 ended by the user, or printed once, 1 the server cannot be asked, 64 the configuration is refused.";

/// Options of `top`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    /// Print once, as plain text, and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks, 0.1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    reach: Reach,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be 0.1 to 3600 seconds".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        // A server that cannot be asked at all is said where the command was typed.
        let look = Look::take(client, true).await?;
        if arguments.once || ui::size().is_none() {
            let size = ui::width().map(|columns| (columns, view::ROWS));
            let lines = view::lines(client.base(), &look, now_ms(), size);
            lines.iter().for_each(|line| ui::say(&line.text));
        } else {
            watch(client, look, arguments.interval).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn watch(client: &Client, first: Look, interval: Duration) -> Result<(), Failure> {
    let mut screen = Screen::open().map_err(Failure::io("cannot use the terminal"))?;
    let mut with_nodes = first.nodes.is_some();
    let mut look = Ok(first);
    let mut shown = Vec::new();
    loop {
        match &look {
            Ok(look) => {
                with_nodes = look.nodes.is_some();
                shown = view::lines(client.base(), look, now_ms(), ui::size());
            }
            // It may only be restarting: what was seen last stays, below the reason.
            Err(failure) => view::trouble(&mut shown, failure),
        }
        screen.draw(&shown).map_err(Failure::io("cannot write to the terminal"))?;
        tokio::select! {
            () = screen.quit() => return Ok(()),
            next = async { tokio::time::sleep(interval).await; Look::take(client, with_nodes).await } => look = next,
        }
    }
}
