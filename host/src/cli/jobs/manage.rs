//! `imgserve jobs retry` and `imgserve jobs cancel`: a request for each job, and what came of it.

use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::filter::{Filter, id_of};
use super::id::{self, Id};
use crate::cli::client::{Client, Outcome, Reach};
use crate::cli::failure::Failure;
use crate::cli::ui;
use crate::job::JobState;

const RETRY_HELP: &str = "\
A job that failed or was cancelled becomes as if it were new: its attempts count from there on, results that are stored stay,
its story so far is kept. A job in another state is not touched.

Examples:
  imgserve jobs retry 01a203c3-7704-7493-ab9d-ab301c6f35c3
  imgserve jobs retry --state failed --all
  imgserve jobs retry --state failed --operation sepia --all

Exit codes: 0 all of them are tried again (also when --all finds none), 1 one could not be (it is said which and why), or the
server cannot be asked, 64 the configuration is refused.";

const CANCEL_HELP: &str = "\
A job that waits is over at once, one that runs is stopped, and nothing more is stored for it; what is stored stays. A job
that has ended, or whose last result is being stored, cannot be cancelled.

Exit codes: 0 all of them are cancelled, 1 one could not be (it is said which and why), or the server cannot be asked, 64 the
configuration is refused.";

/// Options of `jobs retry`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = RETRY_HELP)]
pub(in crate::cli) struct Retry {
    /// The jobs' ids: whole, or their last digits
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with_all = ["all", "state", "operation"],
          value_parser = id::parse)]
    ids: Vec<Id>,
    #[command(flatten)]
    filter: Filter,
    /// All jobs in the states of --state, which may be failed and cancelled
    #[arg(long, requires = "state")]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Options of `jobs cancel`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = CANCEL_HELP)]
pub(in crate::cli) struct Cancel {
    /// The jobs' ids: whole, or their last digits
    #[arg(value_name = "ID", required = true, value_parser = id::parse)]
    ids: Vec<Id>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn retry(arguments: &Retry) -> Result<ExitCode, Failure> {
    let retriable = |state: &JobState| matches!(state, JobState::Failed | JobState::Cancelled);
    if let Some(state) = arguments.filter.state.iter().find(|state| !retriable(state)) {
        let state = state.as_str();
        return Err(Failure::Other(format!(
            "no job that is {state} can be tried again, only failed and cancelled ones"
        )));
    }
    arguments.reach.run(async |client| {
        // All are found first: one that fails again meanwhile is not tried over and over.
        let ids = match arguments.all {
            true => found(client, &arguments.filter).await?,
            false => id::find(client, &arguments.ids).await?,
        };
        let mut tally = Tally::new("to be tried again");
        for id in &ids {
            tally.add(id, client.post(&format!("/v1/jobs/{id}/retry")).await?);
        }
        Ok(tally.end())
    })
}

async fn found(client: &Client, filter: &Filter) -> Result<Vec<Uuid>, Failure> {
    let mut ids = Vec::new();
    let collect = |jobs: &[serde_json::Value]| {
        for job in jobs {
            ids.push(id_of(job)?);
        }
        Ok(())
    };
    filter.pages(client, usize::MAX, collect).await?;
    Ok(ids)
}

pub(super) fn cancel(arguments: &Cancel) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        let mut tally = Tally::new("cancelled");
        for id in &id::find(client, &arguments.ids).await? {
            tally.add(id, client.delete(&format!("/v1/jobs/{id}")).await?);
        }
        Ok(tally.end())
    })
}

/// How it went with all of them.
#[derive(Debug)]
struct Tally {
    /// What becomes of a job where it goes well.
    word: &'static str,
    done: usize,
    refused: usize,
}

impl Tally {
    fn new(word: &'static str) -> Self {
        Self { word, done: 0, refused: 0 }
    }

    fn add(&mut self, id: &Uuid, outcome: Outcome) {
        let word = self.word;
        match outcome {
            Ok(_) => {
                self.done += 1;
                ui::say(&format!("{id}  {word}"));
            }
            Err(why) => {
                self.refused += 1;
                ui::complain(&format!("{id}  not {word}: {why}"));
            }
        }
    }

    /// Says the numbers, where they are not plain to see.
    fn end(&self) -> ExitCode {
        let Self { word, done, refused } = self;
        if done + refused != 1 {
            ui::say(&count(word, *done, *refused));
        }
        if *refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn count(word: &str, done: usize, refused: usize) -> String {
    let jobs = if done == 1 { "job" } else { "jobs" };
    let rest = if refused > 0 { format!(", {refused} not") } else { String::new() };
    format!("{done} {jobs} {word}{rest}")
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn the_count_says_how_many_of_each() {
        assert_eq!(count("cancelled", 1, 0), "1 job cancelled");
        assert_eq!(count("to be tried again", 12, 3), "12 jobs to be tried again, 3 not");
        assert_eq!(count("to be tried again", 0, 0), "0 jobs to be tried again");
    }
}
