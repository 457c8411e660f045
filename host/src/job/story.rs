//! A job's story as clients are told it: by the API, by events and by webhooks.

use imgserve_base::job::{JobState, Part, Record};
use serde_json::{Map, Value, json};

use super::live::Running;

/// The story of `record`; `running` is its attempt under way, if there is one.
pub(crate) fn tell(record: &Record, running: Option<&Running>) -> Value {
    let mut story = Map::new();
    let mut say = |key: &str, value: Value| {
        story.insert(key.to_owned(), value);
    };
    say("id", json!(record.id));
    say("state", json!(record.state));
    if let [only] = record.parts.as_slice() {
        say("operationType", json!(only.operation));
        say("dstURL", json!(only.destination));
        say("output", output(only));
    } else {
        say("outputs", record.parts.iter().map(part).collect());
    }
    say("srcURL", json!(record.source));
    say("priority", json!(record.priority));
    say("accepted_at_ms", json!(record.accepted_at_ms));
    if let Some(finished) = record.finished_at_ms {
        say("finished_at_ms", json!(finished));
    }
    if record.state == JobState::Accepted && !record.attempts.is_empty() {
        say("next_attempt_at_ms", json!(record.due_at_ms));
    }
    let progress = match record.state {
        JobState::Succeeded => 1.0,
        _ => running.map_or(0.0, Running::progress),
    };
    say("progress", json!(progress));
    if let Some(running) = running.filter(|_| record.state == JobState::Running) {
        say("stage", json!(running.stage()));
    }
    say("attempt", json!(record.attempt));
    say("attempts", json!(record.attempts));
    say("timings", json!(record.timings));
    if let Some(error) = record.error() {
        say("error", json!(error));
    }
    Value::Object(story)
}

fn output(part: &Part) -> Value {
    let Part { width, height, format, bytes, .. } = part;
    let mut told = json!({ "width": width, "height": height, "format": format, "bytes": bytes });
    if !part.warnings.is_empty() {
        told["warnings"] = json!(part.warnings);
    }
    told
}

fn part(part: &Part) -> Value {
    let mut told = json!({
        "operationType": part.operation,
        "dstURL": part.destination,
        "state": part.state,
        "output": output(part),
    });
    if let Some(error) = &part.error {
        told["error"] = json!(error);
    }
    told
}
