//! A job's story as clients are told it: by the API, by events and by webhooks.

use imgserve_base::clock::wall_ms;
use imgserve_base::job::{JobState, OnNode, Output, Record};
use imgserve_base::kept::{Colors, Metadata};
use imgserve_journal::Undelivered;
use serde_json::{Map, Value, json};

use super::asked::{Asked, AskedOutput};
use super::live::Running;

/// How far a job's webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Webhook {
    /// The job has not ended, or nobody has looked.
    Waiting,
    /// It is not delivered.
    Undelivered(Undelivered),
    /// It is delivered.
    Delivered,
}

/// The story of `record`; `running` is its attempt under way, if there is one. A list of stories tells no more than the
/// records have: not what was `asked`.
pub(super) fn tell(
    record: &Record,
    running: Option<&Running>,
    asked: Option<&Asked>,
    webhook: Webhook,
) -> Value {
    let mut story = Map::new();
    let mut say = |key: &str, value: Value| {
        story.insert(key.to_owned(), value);
    };
    say("id", json!(record.id));
    say("state", json!(record.state));
    let asked_of = |index: usize| asked.and_then(|asked| asked.outputs.get(index));
    if let [only] = record.outputs.as_slice() {
        say("operationType", json!(only.operation));
        say("dstURL", json!(only.destination));
        if let Some(asked) = asked_of(0) {
            say("args", asked.args.clone());
        }
        say("output", output(only, asked_of(0)));
    } else {
        let outputs = record.outputs.iter().enumerate();
        say("outputs", outputs.map(|(index, output)| one_of_several(output, asked_of(index))).collect());
    }
    if let Some(asked) = asked.filter(|asked| !asked.unknown_arguments.is_empty()) {
        say("unknownArguments", json!(asked.unknown_arguments));
    }
    say("srcURL", json!(record.source));
    if let Some(tag) = &record.source_tag {
        say("source_etag", json!(tag));
    }
    if let Some(url) = asked.and_then(|asked| asked.notify.as_ref()) {
        say("notifyURL", json!(url));
        say("webhook", told_webhook(webhook));
    }
    say("priority", json!(record.priority));
    say("accepted_at_ms", json!(record.accepted_at_ms));
    if let Some(finished) = record.finished_at_ms {
        say("finished_at_ms", json!(finished));
    }
    if record.state == JobState::Accepted && !record.attempts.is_empty() {
        say("next_attempt_at_ms", json!(wall_ms(record.due_at_ms)));
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
    if let Some(OnNode { name, stays }) = &record.node {
        say("node", json!(name));
        if *stays && record.state == JobState::Accepted {
            say("waits_for_node", json!(name));
        }
    }
    if let Some(held) = &record.held {
        say("held", json!(format!("{}; the job waits for a program that can read it", held.why)));
    }
    if let Some(error) = record.error() {
        say("error", json!(error));
    }
    Value::Object(story)
}

fn told_webhook(webhook: Webhook) -> Value {
    match webhook {
        Webhook::Waiting => json!({ "state": "waiting" }),
        Webhook::Delivered => json!({ "state": "delivered" }),
        Webhook::Undelivered(Undelivered { attempt, due_ms: None }) => {
            json!({ "state": "failed", "attempts": attempt })
        }
        Webhook::Undelivered(Undelivered { attempt, due_ms: Some(due_ms) }) => {
            json!({ "state": "pending", "attempts": attempt, "next_attempt_at_ms": wall_ms(due_ms) })
        }
    }
}

fn output(output: &Output, asked: Option<&AskedOutput>) -> Value {
    let Output { width, height, format, bytes, .. } = output;
    // Nothing has no width: it is not planned yet.
    let side = |side: &u32| (*side > 0).then_some(*side);
    let mut told = json!({ "width": side(width), "height": side(height), "format": format, "bytes": bytes });
    if let Some(plan) = asked.and_then(|asked| asked.plan) {
        told["planned_memory_bytes"] = json!(plan.memory_bytes);
        if let Some(quality) = plan.quality {
            told["quality"] = json!(quality);
        }
        if plan.kept.lossless {
            told["lossless"] = json!(true);
        }
        if plan.kept.metadata != Metadata::default() {
            told["metadata"] = json!(plan.kept.metadata);
        }
        if plan.kept.colors != Colors::default() {
            told["colors"] = json!(plan.kept.colors);
        }
    }
    if !output.warnings.is_empty() {
        told["warnings"] = json!(output.warnings);
    }
    told
}

fn one_of_several(output: &Output, asked: Option<&AskedOutput>) -> Value {
    let mut told = json!({
        "operationType": output.operation,
        "dstURL": output.destination,
        "state": output.state,
        "output": self::output(output, asked),
    });
    if let Some(asked) = asked {
        told["args"] = asked.args.clone();
    }
    if let Some(error) = &output.error {
        told["error"] = json!(error);
    }
    told
}
