//! All operations by name, and which of them are refused for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_worker::Step;

use super::breaker::{self, Breaker};
use super::entry::Entry;

/// All operations that requests may name.
#[derive(Debug)]
pub(crate) struct Registry {
    operations: BTreeMap<String, Entry>,
}

impl Registry {
    /// A registry of these operations.
    pub(super) fn new(operations: BTreeMap<String, Entry>) -> Self {
        Self { operations }
    }

    /// The operation of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.operations.get(name)
    }

    /// All operations, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.operations.values()
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// The file name extensions of the sources that an operation takes, lowercase; a pipeline takes what its first step
    /// does, and so whatever any operation does.
    pub(crate) fn source_extensions<'r>(&'r self, operation: &'r Entry) -> Vec<&'r str> {
        if !operation.settings.is_pipeline() {
            return operation.source_extensions();
        }
        let others = self.iter().filter(|operation| !operation.settings.is_pipeline());
        let all: BTreeSet<&str> = others.flat_map(Entry::source_extensions).collect();
        all.into_iter().collect()
    }

    /// Notes that a task of these steps has succeeded, or whose plugin has failed it.
    pub(crate) fn note(&self, steps: &[Step], outcome: Result<(), &Fault>) {
        match outcome {
            Ok(()) => {
                steps.iter().filter_map(|step| self.get(&step.operation)).for_each(|o| o.breaker.succeeded());
            }
            Err(fault) => {
                let blamed = fault.operation.as_deref().and_then(|name| self.get(name));
                if let Some(pause) = blamed.and_then(|operation| operation.breaker.failed()) {
                    let operation = fault.operation.as_deref().unwrap_or_default();
                    tracing::warn!(
                        operation,
                        "refused for {} s after repeated failures: {fault}",
                        pause.as_secs()
                    );
                }
            }
        }
    }

    /// Refuses steps of which one's plugin has failed too often of late.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`], with the time after which it is tried again.
    pub(crate) fn check_suspended(&self, steps: &[Step]) -> Result<(), Fault> {
        steps.iter().try_for_each(|step| self.suspended(step, Breaker::check))
    }

    /// The same for a job that will run: where an operation is to be tried again, this is the job that tries it.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`].
    pub(crate) fn admit(&self, steps: &[Step]) -> Result<(), Fault> {
        // All are looked at before the first is tried.
        self.check_suspended(steps)?;
        // Each operation once, however often the chain has it: its second step is the same try.
        let names: BTreeSet<&str> = steps.iter().map(|step| step.operation.as_str()).collect();
        let first = |name: &str| steps.iter().find(|step| step.operation == name);
        names.into_iter().filter_map(first).try_for_each(|step| self.suspended(step, Breaker::admit))
    }

    fn suspended(&self, step: &Step, ask: impl Fn(&Breaker) -> Result<(), Duration>) -> Result<(), Fault> {
        let Some(Err(left)) = self.get(&step.operation).map(|operation| ask(&operation.breaker)) else {
            return Ok(());
        };
        let left = breaker::seconds(left);
        let text = format!(
            "the plugin of `{}` has failed repeatedly: it is tried again in {left} s ([plugins] breaker_failures)",
            step.operation
        );
        let fault = Fault::new(FaultKind::OperationSuspended, text);
        Err(Fault { retry_after_s: Some(left), ..fault })
    }
}
