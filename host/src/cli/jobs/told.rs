//! A job's whole story in lines for a person.

use crate::cli::story::{Part, Story, again, milliseconds, moment, percent};

/// Phases in the order in which they happen.
const PHASES: [&str; 6] = ["plan", "placeholder", "fetch", "queue", "work", "store"];

/// The story, a fact a line.
pub(super) fn lines(story: &Story, now_ms: u64) -> Vec<String> {
    let mut facts = Facts::default();
    facts.say("job", story.id.to_string());
    facts.say("state", state(story));
    facts.say("source", story.source.to_string());
    facts.parts(story);
    facts.say("priority", story.priority.to_string());
    facts.say("accepted", format!("{} ({} ago)", moment(story.accepted_at_ms), story.age(now_ms)));
    if let Some(finished) = story.finished_at_ms {
        let took = milliseconds(finished.saturating_sub(story.accepted_at_ms) as f64);
        facts.say("finished", format!("{}, {took} after it was accepted", moment(finished)));
    }
    if let Some(held) = &story.held {
        facts.say("held", held.to_string());
    }
    if let Some(due) = story.next_attempt_at_ms {
        facts.say("next", format!("{} ({})", again(due, now_ms), moment(due)));
    }
    facts.timings(story);
    for attempt in &story.attempts {
        let (number, ended, error) = (attempt.number, moment(attempt.ended_at_ms), &attempt.error);
        facts.say("failed", format!("attempt {number}, {ended}: {error}"));
    }
    if let Some(error) = story.error.as_ref().filter(|_| story.parts().len() == 1) {
        facts.say("error", error.to_string());
    }
    facts.0
}

/// The state, and how far it is.
pub(super) fn state(story: &Story) -> String {
    let stage = story.stage.as_ref().map(|stage| format!(", {stage}")).unwrap_or_default();
    match story.state.as_str() {
        "running" => format!("running, attempt {}{stage}, {}", story.attempt, percent(story.progress)),
        "accepted" if story.held.is_some() => "accepted, held: this program cannot read it".to_owned(),
        "accepted" => match story.next_attempt_at_ms {
            Some(_) => format!("accepted, {} of its attempts failed", story.attempts.len()),
            None => "accepted, waits for its turn".to_owned(),
        },
        other if story.attempt > 0 => format!("{other} at attempt {}", story.attempt),
        other => other.to_owned(),
    }
}

/// Labelled lines.
#[derive(Debug, Default)]
struct Facts(Vec<String>);

impl Facts {
    fn say(&mut self, label: &str, text: String) {
        self.0.push(format!("{label:<13}{text}"));
    }

    fn parts(&mut self, story: &Story) {
        match story.parts() {
            [only] => {
                self.say("operation", only.operation.to_string());
                self.say("destination", only.destination.to_string());
                self.say("result", only.output.to_string());
                only.output.warnings.iter().for_each(|warning| self.say("warning", warning.to_string()));
            }
            several => several.iter().enumerate().for_each(|(index, part)| self.part(index + 1, part)),
        }
    }

    fn part(&mut self, number: usize, part: &Part) {
        let state = part.state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
        self.say(&format!("output {number}"), format!("{}{state}: {}", part.operation, part.output));
        self.say("", format!("→ {}", part.destination));
        part.output.warnings.iter().for_each(|warning| self.say("", warning.to_string()));
        if let Some(error) = &part.error {
            self.say("", error.to_string());
        }
    }

    fn timings(&mut self, story: &Story) {
        let mut phases: Vec<(&str, f64)> =
            story.timings.iter().map(|(phase, ms)| (phase.as_str().trim_end_matches("_ms"), *ms)).collect();
        phases
            .sort_by_key(|(phase, _)| PHASES.iter().position(|known| known == phase).unwrap_or(PHASES.len()));
        let phases: Vec<String> =
            phases.into_iter().map(|(phase, ms)| format!("{phase} {}", milliseconds(ms))).collect();
        if !phases.is_empty() {
            self.say("time", phases.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_job_tells_what_it_was_and_all_that_went_wrong() {
        let error = |text: &str| json!({ "kind": "source-unavailable", "text": text, "retry": "remote" });
        let story = Story::read(
            &json!({ "id": "x", "state": "failed", "operationType": "resize", "srcURL": "http://a/b.png",
            "dstURL": "file:///c.png", "priority": "normal", "attempt": 2, "progress": 0.0,
            "output": { "width": 20, "height": 10, "format": "png", "bytes": null },
            "accepted_at_ms": 1_700_000_000_000_u64, "finished_at_ms": 1_700_000_001_500_u64,
            "attempts": [{ "number": 1, "ended_at_ms": 1_700_000_001_000_u64, "error": error("502") },
                { "number": 2, "ended_at_ms": 1_700_000_001_500_u64, "error": error("404") }],
            "timings": { "fetch_ms": 12.5, "plan_ms": 3.25, "placeholder_ms": 1.0 }, "error": error("404") }),
        )
        .unwrap();
        let wanted = "\
job          x
state        failed at attempt 2
source       http://a/b.png
operation    resize
destination  file:///c.png
result       20×10 png
priority     normal
accepted     2023-11-14T22:13:20Z (60 s ago)
finished     2023-11-14T22:13:21Z, 1500 ms after it was accepted
time         plan 3.2 ms, placeholder 1.0 ms, fetch 12 ms
failed       attempt 1, 2023-11-14T22:13:21Z: source-unavailable: 502
failed       attempt 2, 2023-11-14T22:13:21Z: source-unavailable: 404
error        source-unavailable: 404";
        assert_eq!(lines(&story, 1_700_000_060_000).join("\n"), wanted);
    }

    #[test]
    fn every_output_tells_its_own_state() {
        let part = |state: &str, error| {
            json!({ "operationType": "resize", "dstURL": "d", "state": state,
            "output": { "width": 1, "height": 2, "format": "png", "bytes": 3 }, "error": error })
        };
        let error = json!({ "kind": "destination-unavailable", "text": "507" });
        let story = Story::read(
            &json!({ "state": "failed", "outputs": [part("stored", json!(null)), part("failed", error)] }),
        );
        let lines = lines(&story.unwrap(), 0);
        assert_eq!(lines[3], "output 1     resize, stored: 1×2 png, 3 B");
        assert_eq!(lines[4], "             → d");
        assert_eq!(lines[5], "output 2     resize, failed: 1×2 png, 3 B");
        assert_eq!(lines[7], "             destination-unavailable: 507");
    }

    #[test]
    fn a_state_says_how_far_it_is() {
        let told = |job| state(&Story::read(&job).unwrap());
        let running = json!({ "state": "running", "attempt": 3, "stage": "working", "progress": 0.5 });
        assert_eq!(told(running), "running, attempt 3, working, 50 %");
        assert_eq!(told(json!({ "state": "accepted" })), "accepted, waits for its turn");
        assert_eq!(
            told(json!({ "state": "accepted", "next_attempt_at_ms": 5, "attempt": 1, "attempts": [{}] })),
            "accepted, 1 of its attempts failed"
        );
        assert_eq!(told(json!({ "state": "cancelled" })), "cancelled");
        let held = json!({ "state": "accepted", "held": "its order is of version 9", "outputs": [] });
        assert_eq!(told(held.clone()), "accepted, held: this program cannot read it");
        let lines = lines(&Story::read(&held).unwrap(), 0);
        assert!(lines.contains(&"held         its order is of version 9".to_owned()), "{lines:?}");
    }
}
