//! What `top` saw, in lines that fit the terminal.

use imgserve_base::fault::chain;

use super::look::Look;
use crate::cli::failure::Failure;
use crate::cli::jobs::id::short;
use crate::cli::nodes::Node;
use crate::cli::story::{Story, amount, moment, percent, span};
use crate::cli::ui;

/// Rows of a plain print, which scrolls.
pub(super) const ROWS: usize = 60;
/// Cells of a progress bar, and of one where columns are few.
const BAR: usize = 10;
const SMALL_BAR: usize = 4;
/// Columns of a terminal that has room.
const WIDE: usize = 100;
/// Columns of a bar's figure.
const FIGURE: usize = 6;
/// Narrowest column of operations.
const OPERATION: usize = 9;
/// Columns of an id, and of a short one, where there are no jobs.
const ID: usize = 36;
const SHORT_ID: usize = 8;
/// Most rows for jobs that wait, and for failures.
const FEW: usize = 5;

/// A line, and how it is shown where there are ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Styled {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Heading,
    Bad,
}

/// The view of the server at `base`, for a terminal of `size` columns and rows or for none.
pub(super) fn lines(base: &str, look: &Look, now_ms: u64, size: Option<(usize, usize)>) -> Vec<Styled> {
    let mut page = Page { lines: Vec::new(), width: size.map(|(columns, _)| columns) };
    page.numbers(base, look, now_ms);
    page.nodes(look.nodes.as_deref().unwrap_or_default(), now_ms);
    let failed = look.failed.len().min(FEW);
    let rows = size.map_or(ROWS, |(_, rows)| rows);
    // Failures and their heading have their place below whatever runs.
    let room = rows.saturating_sub(page.lines.len() + 4 + failed).max(1);
    page.jobs(look, now_ms, room);
    page.failures(&look.failed[..failed], now_ms);
    page.lines.truncate(rows);
    page.lines
}

/// Puts on top of what was seen last why it cannot be seen now.
pub(super) fn trouble(shown: &mut [Styled], failure: &Failure) {
    let text = chain(failure);
    let reason = text.lines().next().unwrap_or_default();
    if let Some(head) = shown.first_mut() {
        let text = ui::cut(&format!("{reason}; trying again"), ui::width());
        *head = Styled { text, style: Style::Bad };
    }
}

#[derive(Debug)]
struct Page {
    lines: Vec<Styled>,
    width: Option<usize>,
}

impl Page {
    fn say(&mut self, style: Style, text: &str) {
        self.lines.push(Styled { text: ui::cut(text, self.width), style });
    }

    fn numbers(&mut self, base: &str, look: &Look, now_ms: u64) {
        let (numbers, pace) = (&look.numbers, look.pace);
        let health = match (&numbers.journal_error, numbers.accepting, numbers.workers) {
            (Some(error), ..) => Err(format!("takes no jobs: {error}")),
            (None, false, _) => Err("takes no jobs: its queue is full, or it stops".to_owned()),
            (None, true, 0) => Err("no worker is there".to_owned()),
            (None, true, _) => Ok("takes jobs"),
        };
        let head = |health: &str| format!("imgserve at {base}, {}: {health}", moment(now_ms));
        match health {
            Ok(health) => self.say(Style::Heading, &head(health)),
            Err(health) => self.say(Style::Bad, &head(&health)),
        }
        let tasks = format!("tasks waiting: {} short, {} long", numbers.waiting_short, numbers.waiting_long);
        self.say(
            Style::Plain,
            &format!("queue    {} jobs, {} running; {tasks}", numbers.jobs, numbers.running),
        );
        let workers = format!("{} of {} busy", numbers.workers_busy, numbers.workers);
        let memory = amount(numbers.memory_used_bytes);
        let restarts = numbers.worker_restarts;
        self.say(Style::Plain, &format!("workers  {workers}, {restarts} restarts, {memory} of tasks"));
        let (rate, seconds) = (pace.jobs_per_second(), pace.ms as f64 / 1e3);
        let style = if pace.failed > 0 { Style::Bad } else { Style::Plain };
        self.say(
            style,
            &format!("pace     {rate:.1} jobs/s, {} failed (the last {seconds:.0} s)", pace.failed),
        );
    }

    fn nodes(&mut self, nodes: &[Node], now_ms: u64) {
        for node in nodes {
            let style = if node.up { Style::Plain } else { Style::Bad };
            let (state, workers, running) = (node.state(now_ms), node.workers, node.running);
            self.say(
                style,
                &format!("node     {}: {state}, {workers} workers, {running} running", node.name),
            );
        }
    }

    fn jobs(&mut self, look: &Look, now_ms: u64, room: usize) {
        self.say(Style::Plain, "");
        let running = look.running.len().min(room);
        let waiting = look.waiting.len().min(FEW).min(room - running);
        let jobs: Vec<&Story> = look.running.iter().take(running).chain(&look.waiting[..waiting]).collect();
        let operations: Vec<String> = jobs.iter().map(|job| job.operation(self.width.is_some())).collect();
        let longest = operations.iter().map(|name| name.chars().count()).max();
        let operation = longest.unwrap_or_default().max(OPERATION);
        let ids = self.ids(&jobs);
        let none = if self.width.is_some() { SHORT_ID } else { ID };
        let id = ids.iter().map(String::len).max().unwrap_or(none);
        let bar = if self.width.is_some_and(|width| width < WIDE) { SMALL_BAR } else { BAR };
        let done_width = bar + FIGURE;
        let row = |[done, stage, name, attempt, age, job, gist]: [&str; 7]| {
            let head = format!(
                "{done:<done_width$} {stage:<8} {name:<operation$} {attempt:>3} {age:>6} {job:<id$} "
            );
            self.with_gist(head, gist)
        };
        let head = row(["DONE", "STAGE", "OPERATION", "ATT", "AGE", "ID", "SOURCE → DESTINATION"]);
        let rows: Vec<String> = jobs
            .iter()
            .zip(ids.iter().zip(&operations))
            .map(|(job, (id, name))| {
                let stage = job.stage.as_ref().map_or("waiting", |stage| stage.as_str());
                let (attempt, age) = (job.attempt.to_string(), job.age(now_ms));
                row([&done(job, bar), stage, name, &attempt, &age, id, &job.gist(now_ms)])
            })
            .collect();
        self.say(Style::Heading, &head);
        rows.iter().for_each(|row| self.say(Style::Plain, row));
        let more = look.numbers.jobs.saturating_sub(jobs.len() as u64);
        if more > 0 {
            self.say(Style::Plain, &format!("and {more} more"));
        }
    }

    fn failures(&mut self, failed: &[Story], now_ms: u64) {
        if failed.is_empty() {
            return;
        }
        self.say(Style::Plain, "");
        self.say(Style::Heading, "LAST FAILURES");
        let ids = self.ids(&failed.iter().collect::<Vec<_>>());
        for (job, id) in failed.iter().zip(ids) {
            let ended = job.finished_at_ms.unwrap_or(job.accepted_at_ms);
            let ago = format!("{} ago", span(now_ms.saturating_sub(ended)));
            let operation = job.operation(self.width.is_some());
            let line = self.with_gist(format!("{ago:>10}  {id}  {operation}: "), &job.gist(now_ms));
            self.say(Style::Plain, &line);
        }
    }

    /// Ids as they are shown: short ones where a terminal's columns are few.
    fn ids(&self, jobs: &[&Story]) -> Vec<String> {
        let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
        if self.width.is_some() { short(&ids) } else { ids.into_iter().map(str::to_owned).collect() }
    }

    /// A line that ends with a job's gist, as much of it as there is room for.
    fn with_gist(&self, head: String, gist: &str) -> String {
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(head.chars().count()));
        head + &ui::fit(gist, room)
    }
}

/// A bar of so many cells with its figure, of a job that runs.
fn done(job: &Story, cells: usize) -> String {
    if job.state.as_str() != "running" {
        return String::new();
    }
    let full = (job.progress.clamp(0.0, 1.0) * cells as f64).round() as usize;
    format!("{}{} {:>5}", "█".repeat(full), "░".repeat(cells - full), percent(job.progress))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::look::{Numbers, Pace};
    use super::*;

    const ID: &str = "01890000-0000-7000-8000-000000000000";

    fn look(running: usize, failed: usize) -> Look {
        let job = |state: &str| {
            let story = json!({ "id": ID, "state": state, "operationType": "resize", "srcURL": "a", "dstURL": "b",
                "accepted_at_ms": 1000, "finished_at_ms": 4000, "attempt": 1, "progress": 0.4, "stage": "working",
                "error": { "kind": "busy", "text": "too much" } });
            serde_json::from_value::<Story>(story).unwrap()
        };
        Look {
            numbers: Numbers {
                jobs: 30,
                running: 2,
                workers: 3,
                workers_busy: 2,
                accepting: true,
                ..Numbers::default()
            },
            pace: Pace { ms: 10_000, ended: 35, failed: 5 },
            nodes: None,
            running: vec![job("running"); running],
            waiting: Vec::new(),
            failed: vec![job("failed"); failed],
        }
    }

    fn texts(lines: &[Styled]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn everything_is_there_without_a_terminal() {
        let lines = lines("http://h:1", &look(1, 1), 9000, None);
        assert_eq!(
            texts(&lines),
            [
                "imgserve at http://h:1, 1970-01-01T00:00:09Z: takes jobs",
                "queue    30 jobs, 2 running; tasks waiting: 0 short, 0 long",
                "workers  2 of 3 busy, 0 restarts, 0 B of tasks",
                "pace     3.5 jobs/s, 5 failed (the last 10 s)",
                "",
                "DONE             STAGE    OPERATION ATT    AGE ID                                   SOURCE → DESTINATION",
                &format!("████░░░░░░  40 % working  resize      1    8 s {ID} a → b"),
                "and 29 more",
                "",
                "LAST FAILURES",
                &format!("   5 s ago  {ID}  resize: busy: too much"),
            ]
        );
        assert_eq!(lines[3].style, Style::Bad);
    }

    #[test]
    fn it_fits_every_terminal() {
        for (columns, rows) in [(80, 24), (20, 12), (200, 50), (1, 1), (40, 5)] {
            for (running, failed) in [(0, 0), (100, 10), (3, 2)] {
                let lines = lines("http://h:1", &look(running, failed), 9000, Some((columns, rows)));
                assert!(lines.len() <= rows, "{} lines on {columns}×{rows}", lines.len());
                assert!(lines.iter().all(|line| line.text.chars().count() <= columns));
            }
        }
        let lines = lines("http://h:1", &look(100, 10), 9000, Some((100, 24)));
        assert_eq!(lines.len(), 24);
        assert!(lines[23].text.contains("busy"), "the failures are not pushed out: {lines:#?}");
    }

    #[test]
    fn nodes_that_share_the_journal_are_told_one_by_one() {
        let node = |up: bool| {
            let told = json!({ "name": "a", "up": up, "since_ms": 1000, "seen_at_ms": 4000, "workers": 2, "running": 1 });
            serde_json::from_value::<Node>(told).unwrap()
        };
        let look = Look { nodes: Some(vec![node(true), node(false)]), ..look(0, 0) };
        let lines = lines("http://h:1", &look, 9000, None);
        assert_eq!(lines[4].text, "node     a: up 8 s, 2 workers, 1 running");
        assert_eq!(
            (lines[5].text.as_str(), lines[5].style),
            ("node     a: down 5 s, 2 workers, 1 running", Style::Bad)
        );
    }

    #[test]
    fn a_server_that_takes_nothing_says_why() {
        let mut look = look(0, 0);
        look.numbers =
            serde_json::from_value(json!({ "accepting": false, "journal_error": "disk\u{7} full" })).unwrap();
        let head = &lines("http://h:1", &look, 9000, None)[0];
        assert!(
            head.style == Style::Bad && head.text.ends_with("takes no jobs: disk\\u{7} full"),
            "{head:?}"
        );
        let mut shown = lines("http://h:1", &look, 9000, None);
        trouble(&mut shown, &Failure::Other("it is gone\nDo this.".to_owned()));
        assert_eq!((shown[0].text.as_str(), shown[0].style), ("it is gone; trying again", Style::Bad));
    }
    #[test]
    fn at_eighty_columns_ids_are_short_and_reasons_are_there() {
        let lines = lines("http://h:1", &look(1, 1), 9000, Some((80, 24)));
        let row = lines.iter().find(|line| line.text.contains("working")).unwrap();
        assert_eq!(row.text, "██░░  40 % working  resize      1    8 s 00000000 a → b");
        let failure = &lines.last().unwrap().text;
        assert_eq!(failure, "   5 s ago  00000000  resize: busy: too much");
    }

    #[test]
    fn a_long_name_pushes_out_neither_id_nor_reason() {
        let mut look = look(1, 1);
        let long = "an-operation-whose-name-has-all-of-the-sixty-four-letters-it-may";
        let story = json!({ "id": ID, "state": "failed", "operationType": long, "attempt": 1, "finished_at_ms": 4000,
            "srcURL": "a", "dstURL": "b", "error": { "kind": "busy", "text": "too much" } });
        look.failed = vec![serde_json::from_value(story.clone()).unwrap()];
        look.running = look.failed.clone();
        let at = |size| lines("http://h:1", &look, 9000, size);
        let narrow = at(Some((80, 24)));
        assert_eq!(narrow.last().unwrap().text, "   5 s ago  00000000  an-operation-wh…: busy: too much");
        assert!(narrow.iter().all(|line| line.text.chars().count() <= 80), "{narrow:#?}");
        assert!(
            narrow[6].text.contains("an-operation-wh…") && narrow[6].text.contains("00000000"),
            "{narrow:#?}"
        );
        assert!(at(None).last().unwrap().text.contains(&format!("{long}: busy: too much")));
    }
}
