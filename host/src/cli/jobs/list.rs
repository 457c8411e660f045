//! `imgserve jobs list`.

use std::process::ExitCode;

use clap::Args;
use imgserve_base::job::now_ms;
use serde_json::Value;

use super::filter::Filter;
use super::id::short;
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
/// Narrowest column of ids.
const SHORTEST_ID: usize = 8;
/// Columns of a terminal that has room.
const WIDE: usize = 100;

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
        table(&jobs, now_ms(), width).iter().skip(usize::from(begun)).for_each(|line| ui::say(line));
        begun = true;
        Ok(())
    };
    arguments.reach.run(async |client| arguments.filter.pages(client, most, say).await)?;
    Ok(ExitCode::SUCCESS)
}

/// The jobs, a line each, for a terminal of `width` columns or for none.
fn table(jobs: &[Story], now_ms: u64, width: Option<usize>) -> Vec<String> {
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let ids = if width.is_some() { short(&ids) } else { ids.into_iter().map(str::to_owned).collect() };
    let widest = |all: &mut dyn Iterator<Item = usize>| all.max().unwrap_or_default();
    let id = widest(&mut ids.iter().map(String::len)).max(SHORTEST_ID);
    let operations: Vec<String> = jobs.iter().map(|job| job.operation(width.is_some())).collect();
    let operation = widest(&mut operations.iter().map(|name| name.chars().count())).max(OPERATION);
    // Where columns are few they stand closer.
    let (gap, tries) = if width.is_some_and(|width| width < WIDE) { (" ", "TRY") } else { ("  ", "ATTEMPT") };
    let attempt = tries.len();
    let line = |cells: [&str; 7]| {
        let [job, state, name, age, tried, done, gist] = cells;
        let head = format!(
            "{job:<id$}{gap}{state:<9}{gap}{name:<operation$}{gap}{age:>6}{gap}{tried:>attempt$}{gap}{done:>5}{gap}"
        );
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(head.chars().count()));
        ui::cut(&format!("{head}{}", ui::fit(gist, room)), width)
    };
    let head = ["ID", "STATE", "OPERATION", "AGE", tries, "DONE", "SOURCE → DESTINATION, OR ERROR"];
    let rows = jobs.iter().zip(ids.iter().zip(&operations)).map(|(job, (id, name))| {
        let (age, attempt) = (job.age(now_ms), job.attempt.to_string());
        line([id, job.state.as_str(), name, &age, &attempt, &job.percent(), &job.gist(now_ms)])
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
            table(&jobs, 9000, None),
            [
                format!("{head}SOURCE → DESTINATION, OR ERROR"),
                format!("{id}  running    resize             8 s        2   40 %  a → b"),
                format!("{id}  failed     long-operation     9 s        1         busy: too much"),
            ]
        );
    }
    #[test]
    fn at_eighty_columns_the_id_the_error_and_both_ends_of_urls_are_there() {
        let id = |number: u32| format!("01890000-0000-7000-8000-0000{number:08x}");
        let text = "http://pictures.example.org/2026/11/a/photo.jpg: 404 Not Found";
        let jobs = [
            json!({ "id": id(0xabcd_1234), "state": "succeeded", "operationType": "an-operation-with-a-long-name",
                "srcURL": "http://pictures.example.org/2026/11/a/photo.jpg", "attempt": 1, "progress": 1.0,
                "dstURL": "https://bucket.example.org/small/2026/photo.jpg" }),
            json!({ "id": id(0xabcd_1235), "state": "failed", "operationType": "resize", "attempt": 5,
                "error": { "kind": "source-unavailable", "text": text } }),
        ];
        let jobs: Vec<Story> = jobs.iter().map(|job| Story::read(job).unwrap()).collect();
        for width in [20, 80, 100, 132] {
            let lines = table(&jobs, 9000, Some(width));
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        }
        let lines = table(&jobs[1..], 9000, Some(80));
        assert!(
            lines[1].starts_with("abcd1235 failed ") && lines[1].contains(" source-unavailable: http:"),
            "{lines:#?}"
        );
        let lines = table(&jobs, 9000, Some(80));
        assert!(
            lines[1].contains(" http:/") && lines[1].contains(" → https:") && lines[1].ends_with(".jpg"),
            "{lines:#?}"
        );
    }
}
