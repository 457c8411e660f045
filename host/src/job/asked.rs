//! What was asked of a job, as its order has it: its arguments as they were understood, what of them nobody knows, who is
//! told. Without the secrets that an order holds.

use imgserve_base::job::{Output, Record};
use imgserve_transfer::redact;
use imgserve_worker::{Step, Task};
use serde_json::{Map, Value, json};

use super::order::{Left, Order, Recipe};
use super::request::Request;
use super::wanted::Wanted;
use crate::registry::Registry;

/// What was asked of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// One for each output, in the story's order.
    pub(super) outputs: Vec<AskedOutput>,
    /// Who is told of the outcome.
    pub(super) notify: Option<String>,
}

/// What was asked of one output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedOutput {
    /// Its arguments, defaults included; of a pipeline those of its steps.
    pub(super) args: Value,
    /// Encoding quality; none for a result that its operation encodes.
    pub(super) quality: Option<u8>,
    /// What it was planned to take in memory, in bytes; none before it is planned.
    pub(super) memory_bytes: Option<u64>,
    /// The paths of its arguments that nobody knows.
    pub(super) unknown_arguments: Vec<String>,
}

impl Asked {
    /// What the order of this job asks for, by the operations that there are now.
    pub(super) fn of(order: &Order, record: &Record, registry: &Registry) -> Self {
        let outputs = match &order.left {
            Some(Left { request }) if order.recipes.is_empty() => {
                // Of a request that these operations do not take any more, nobody can tell.
                let requests =
                    Wanted::v1(request, registry, true).map(|wanted| wanted.requests).unwrap_or_default();
                let one =
                    |request: &Request| AskedOutput::of(&request.task, &request.operation, None, registry);
                requests.iter().map(one).collect()
            }
            _ => {
                let one = |(recipe, output): (&Recipe, &Output)| {
                    let Recipe { task, prepared, .. } = recipe;
                    let memory_bytes = prepared.own_bytes.saturating_add(prepared.guest_bytes);
                    AskedOutput::of(task, &output.operation, Some(memory_bytes), registry)
                };
                order.recipes.iter().zip(&record.outputs).map(one).collect()
            }
        };
        Self { outputs, notify: order.notify.as_ref().map(|url| redact(url.as_str())) }
    }

    /// Whether it is planned: then it stays as it is.
    pub(super) fn is_planned(&self) -> bool {
        self.outputs.iter().all(|output| output.memory_bytes.is_some())
    }

    /// The paths of all arguments that nobody knows.
    pub(super) fn unknown_arguments(&self) -> Vec<String> {
        let several = self.outputs.len() > 1;
        let of = |(index, output): (usize, &AskedOutput)| {
            let path = move |path: &String| match several {
                true => format!("outputs[{index}].args.{path}"),
                false => path.clone(),
            };
            output.unknown_arguments.iter().map(path).collect::<Vec<_>>()
        };
        self.outputs.iter().enumerate().flat_map(of).collect()
    }
}

impl AskedOutput {
    fn of(task: &Task, operation: &str, memory_bytes: Option<u64>, registry: &Registry) -> Self {
        let operation = registry.get(operation);
        let pipeline =
            task.steps.len() > 1 || operation.is_some_and(|operation| operation.settings.is_pipeline());
        Self {
            args: args(task, pipeline),
            quality: task.format.map(|_| task.quality),
            memory_bytes,
            unknown_arguments: unknown(task, pipeline, registry),
        }
    }
}

fn args(task: &Task, pipeline: bool) -> Value {
    match task.steps.as_slice() {
        [only] if !pipeline => Value::Object(shown(&only.args)),
        steps => {
            let step = |step: &Step| json!({ "operationType": step.operation, "args": shown(&step.args) });
            json!({ "steps": steps.iter().map(step).collect::<Vec<_>>() })
        }
    }
}

fn unknown(task: &Task, pipeline: bool, registry: &Registry) -> Vec<String> {
    let of = |(index, step): (usize, &Step)| {
        let at = match step.at.as_str() {
            "" if !pipeline => String::new(),
            "" => format!("steps[{index}].args."),
            at => format!("{at}.args."),
        };
        // Of an operation that is gone nobody can tell.
        let operation = registry.get(&step.operation);
        let unknown = |name: &&String| operation.is_some_and(|operation| !operation.knows(name));
        step.args.keys().filter(unknown).map(move |name| format!("{at}{name}")).collect::<Vec<_>>()
    };
    task.steps.iter().enumerate().flat_map(of).collect()
}

/// Arguments as they may be shown: an URL among them without its password and query.
fn shown(args: &Map<String, Value>) -> Map<String, Value> {
    args.iter().map(|(name, value)| (name.clone(), shown_value(value))).collect()
}

fn shown_value(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") => Value::from(redact(text)),
        Value::Array(items) => items.iter().map(shown_value).collect(),
        Value::Object(members) => Value::Object(shown(members)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_without_secrets() {
        let value =
            json!({ "a": ["http://ann:secret@h/x?key=1"], "b": { "c": "ftp://u:p@h/" }, "d": "a: b" });
        let text = shown_value(&value).to_string();
        assert!(!text.contains("secret") && !text.contains("key=1") && !text.contains(":p@"), "{text}");
        assert!(text.contains("http://ann@h/x") && text.contains("a: b"), "{text}");
    }
}
