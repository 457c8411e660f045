//! `imgserve jobs show`: a job's story, and with --follow how it goes on until it has ended.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use imgserve_base::job::now_ms;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::id::{self, Id};
use super::told;
use crate::cli::client::{Client, Reach};
use crate::cli::failure::Failure;
use crate::cli::story::{self, Story};
use crate::cli::ui;

const HELP: &str = "\
What was asked for and from where to where it went, when, how long each phase took, every attempt that failed and why, and
what came of it. Passwords in URLs are not kept and so not shown.

--follow tells every change of state and progress as it happens (server-sent events), and the whole story at the end. A
server that restarts meanwhile is waited for.

Exit codes: 0 shown; with --follow: it succeeded. 1 there is no such job, or the server cannot be asked; with --follow: it
failed or was cancelled. 64 the configuration is refused.";

/// How long a server that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(500);

/// Options of `jobs show`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The job's id, as the reply and `imgserve jobs list` give it: whole, or its last digits
    #[arg(value_parser = id::parse)]
    id: Id,
    /// Tell every change until the job has ended
    #[arg(long)]
    follow: bool,
    /// The story as JSON, as the API tells it; with --follow one line for every change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { id, follow, json, reach } = arguments;
    reach.run(async |client| {
        let id = id::find(client, std::slice::from_ref(id)).await?[0];
        if *follow {
            return self::follow(client, id, *json).await;
        }
        let job: Value = client.get(&format!("/v1/jobs/{id}")).await?;
        match json {
            true => ui::say(&story::json_line(&job)),
            false => say(&Story::read(&job)?),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn say(story: &Story) {
    told::lines(story, now_ms()).iter().for_each(|line| ui::say(line));
}

async fn follow(client: &Client, id: Uuid, json: bool) -> Result<ExitCode, Failure> {
    let path = format!("/v1/jobs/{id}/events");
    // The first answer must come at once; only a server that was there is waited for.
    let mut events = client.events(&path).await?;
    let mut before = String::new();
    loop {
        // Whether the server ended the stream or the connection broke: it is asked again.
        while let Ok(Some(job)) = events.next().await {
            let story = Story::read(&job)?;
            if json {
                ui::say(&story::json_line(&job));
            } else {
                change(&story, &mut before);
            }
            if story.has_ended() {
                return Ok(ended(&story, json));
            }
        }
        let deadline = Instant::now() + PATIENCE;
        events = loop {
            tokio::time::sleep(PAUSE).await;
            match client.events(&path).await {
                Ok(events) => break events,
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => {}
            }
        };
    }
}

/// A line for what has changed, if it can be seen.
fn change(story: &Story, before: &mut String) {
    let state = told::state(story);
    if *before != state {
        ui::say(&format!("{}  {state}", story::moment(now_ms())));
        *before = state;
    }
}

fn ended(story: &Story, json: bool) -> ExitCode {
    if !json {
        ui::say("");
        say(story);
    }
    if story.state.as_str() == "succeeded" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
