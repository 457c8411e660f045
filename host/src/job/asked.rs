//! What was asked of a job, as its order has it: its arguments as they were understood, what of them nobody knew, who is
//! told. Without the secrets that an order holds.

use imgserve_base::job::{Output, Record};
use imgserve_base::kept::Kept;
use imgserve_base::secret::{redact, shown};
use imgserve_worker::{Step, Task};
use serde_json::{Map, Value, json};

use super::order::{Left, Order, Recipe};
use crate::registry::Registry;

/// What was asked of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// One for each output, in the story's order.
    pub(super) outputs: Vec<AskedOutput>,
    /// Who is told of the outcome.
    pub(super) notify: Option<String>,
    /// The paths of arguments that nobody knows.
    pub(super) unknown_arguments: Vec<String>,
}

/// What was asked of one output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedOutput {
    /// Its arguments: defaults included where it is planned; of a pipeline those of its steps.
    pub(super) args: Value,
    /// How it is planned; none of a job that was taken before.
    pub(super) plan: Option<AskedPlan>,
}

/// How an output is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AskedPlan {
    /// Encoding quality; none for a result that its operation encodes.
    pub(super) quality: Option<u8>,
    /// What the result's file keeps.
    pub(super) kept: Kept,
    /// What it was planned to take in memory, in bytes.
    pub(super) memory_bytes: u64,
}

impl Asked {
    /// What the order of this job asks for.
    pub(super) fn of(order: &Order, record: &Record, registry: &Registry) -> Self {
        let outputs = match &order.left {
            Some(Left { request }) if order.recipes.is_empty() => {
                unplanned_outputs(request, record.outputs.len())
            }
            _ => {
                let outputs = order.recipes.iter().zip(&record.outputs);
                outputs.map(|(recipe, output)| planned(recipe, output, registry)).collect()
            }
        };
        let notify = order.notify.as_ref().map(|url| redact(url.as_str()));
        Self { outputs, notify, unknown_arguments: order.unknown_arguments.clone() }
    }

    /// Whether it is planned: then it stays as it is.
    pub(super) fn is_planned(&self) -> bool {
        self.outputs.iter().all(|output| output.plan.is_some())
    }
}

fn planned(recipe: &Recipe, output: &Output, registry: &Registry) -> AskedOutput {
    let (task, prepared) = (&recipe.task, &recipe.prepared);
    let operation = registry.get(&output.operation);
    let pipeline =
        task.steps.len() > 1 || operation.is_some_and(|operation| operation.settings.is_pipeline());
    let plan = AskedPlan {
        quality: task.format.filter(|_| !task.kept.lossless).map(|_| task.quality),
        kept: task.kept,
        memory_bytes: prepared.own_bytes.saturating_add(prepared.guest_bytes),
    };
    AskedOutput { args: args(task, pipeline), plan: Some(plan) }
}

/// The outputs as their request has them, which came through all checks that need no source.
fn unplanned_outputs(request: &Map<String, Value>, count: usize) -> Vec<AskedOutput> {
    let of = |index: usize| match request.get("outputs") {
        Some(outputs) => outputs[index].get("args"),
        None => request.get("args"),
    };
    let asked = |index: usize| {
        let args = of(index).and_then(Value::as_object).map(shown).unwrap_or_default();
        AskedOutput { args: Value::Object(args), plan: None }
    };
    (0..count).map(asked).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_planned_is_told_as_it_was_asked_for_without_secrets() {
        let asked = |request: Value, count: usize| {
            let outputs = unplanned_outputs(request.as_object().unwrap(), count);
            outputs.into_iter().map(|output| output.args).collect::<Vec<_>>()
        };
        let (one, other) =
            (json!({ "width": 3, "token": "x" }), json!({ "logo": "http://ann:secret@h/x?key=1" }));
        assert_eq!(asked(json!({ "args": one }), 1), [json!({ "width": 3, "token": "…" })]);
        let several = json!({ "outputs": [{ "args": one }, { "args": other }, {}] });
        let shown = [json!({ "width": 3, "token": "…" }), json!({ "logo": "http://ann@h/x?..." }), json!({})];
        assert_eq!(asked(several, 3), shown);
    }
}
