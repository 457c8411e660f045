//! `imgserve jobs list`.

use std::process::ExitCode;

use clap::Args;
use imgserve_base::job::now_ms;
use serde_json::Value;

use super::filter::Filter;
use crate::cli::client::Reach;
use crate::cli::failure::Failure;
use crate::cli::story::{self, Story};
use crate::cli::ui;

const HELP: &str = "\
The last column is the way from source to destination; of a job that failed, why; of one that waits for another attempt,
when that is due and why it is needed. With an API key only that key's jobs are there, with one of scope admin all.

Examples:
  imgserve jobs list --state failed
  imgserve jobs list --state running,accepted --operation resize
  imgserve jobs list --all --json | jq -r 'select(.attempt > 1) | .id'

Exit codes: 0 listed (also when there are none), 1 the server cannot be asked, 64 the configuration is refused.";

/// Narrowest column of operations.
const OPERATION: usize = 9;

/// Options of `jobs list`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
    limit: usize,
    /// All of them, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// One JSON object per line, as the API tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

fn limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "must be 1 or more".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let most = if arguments.all { usize::MAX } else { arguments.limit };
    let width = ui::width();
    let mut begun = false;
    let say = |jobs: &[Value]| {
        if arguments.json {
            jobs.iter().for_each(|job| ui::say(&story::json_line(job)));
            return Ok(());
        }
        let jobs = jobs.iter().map(Story::read).collect::<Result<Vec<_>, _>>()?;
        // The head stands once, above the first page.
        for line in table(&jobs, now_ms()).iter().skip(usize::from(begun)) {
            ui::say(&ui::cut(line, width));
        }
        begun = true;
        Ok(())
    };
    arguments.reach.run(async |client| arguments.filter.pages(client, most, say).await)?;
    Ok(ExitCode::SUCCESS)
}

fn table(jobs: &[Story], now_ms: u64) -> Vec<String> {
    let operations = jobs.iter().map(|job| job.operation().chars().count());
    let operation = operations.max().unwrap_or_default().max(OPERATION);
    let line = |cells: [&str; 7]| {
        let [id, state, name, age, attempt, done, gist] = cells;
        format!("{id:<36}  {state:<9}  {name:<operation$}  {age:>6}  {attempt:>7}  {done:>5}  {gist}")
    };
    let head = ["ID", "STATE", "OPERATION", "AGE", "ATTEMPT", "DONE", "SOURCE → DESTINATION, OR ERROR"];
    let rows = jobs.iter().map(|job| {
        let (name, age, attempt) = (job.operation(), job.age(now_ms), job.attempt.to_string());
        let (id, state) = (job.id.as_str(), job.state.as_str());
        line([id, state, &name, &age, &attempt, &job.percent(), &job.gist(now_ms)])
    });
    std::iter::once(line(head)).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_side_by_side() {
        let id = "01890000-0000-7000-8000-000000000000";
        let jobs = [
            json!({ "id": id, "state": "running", "operationType": "resize", "srcURL": "a", "dstURL": "b",
                "accepted_at_ms": 1000, "attempt": 2, "progress": 0.4 }),
            json!({ "id": id, "state": "failed", "operationType": "long-operation", "srcURL": "a", "dstURL": "b",
                "attempt": 1, "progress": 0.0, "error": { "kind": "busy", "text": "too much" } }),
        ];
        let jobs: Vec<Story> = jobs.iter().map(|job| Story::read(job).unwrap()).collect();
        let head =
            "ID                                    STATE      OPERATION          AGE  ATTEMPT   DONE  ";
        assert_eq!(
            table(&jobs, 9000),
            [
                format!("{head}SOURCE → DESTINATION, OR ERROR"),
                format!("{id}  running    resize             8 s        2   40 %  a → b"),
                format!("{id}  failed     long-operation     9 s        1         busy: too much"),
            ]
        );
    }
}
