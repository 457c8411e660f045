//! A job's story as clients are told it: by the API, by events and by webhooks.

use imgserve_base::job::{JobState, Output, Record};
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
    if let [only] = record.outputs.as_slice() {
        say("operationType", json!(only.operation));
        say("dstURL", json!(only.destination));
        say("output", output(only));
    } else {
        say("outputs", record.outputs.iter().map(one_of_several).collect());
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
    if let Some(held) = &record.held {
        say("held", json!(format!("{}; the job waits for a program that can read it", held.why)));
    }
    if let Some(error) = record.error() {
        say("error", json!(error));
    }
    Value::Object(story)
}

fn output(output: &Output) -> Value {
    let Output { width, height, format, bytes, .. } = output;
    // Nothing has no width: it is not planned yet.
    let side = |side: &u32| (*side > 0).then_some(*side);
    let mut told = json!({ "width": side(width), "height": side(height), "format": format, "bytes": bytes });
    if !output.warnings.is_empty() {
        told["warnings"] = json!(output.warnings);
    }
    told
}

fn one_of_several(output: &Output) -> Value {
    let mut told = json!({
        "operationType": output.operation,
        "dstURL": output.destination,
        "state": output.state,
        "output": self::output(output),
    });
    if let Some(error) = &output.error {
        told["error"] = json!(error);
    }
    told
}
