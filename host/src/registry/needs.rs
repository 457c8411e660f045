//! Whose plugins some work needs: operations, and the codecs of what it reads and writes. Whether one of them is refused for a while
//! is asked of all at once, so that none is tried in vain.

use std::fmt;
use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::format::Format;
use imgserve_worker::{Step, Task};

use super::breaker::{self, Breaker};
use super::codecs::Codec;
use super::entry::Entry;
use super::table::Registry;

/// What some work needs. Of a format that is built in nothing is to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs<'n> {
    steps: Vec<&'n Step>,
    formats: Vec<Format>,
}

impl<'n> Needs<'n> {
    /// These steps, and what writes this format.
    pub(crate) fn new(steps: &'n [Step], written: Option<Format>) -> Self {
        Self { steps: steps.iter().collect(), formats: written.into_iter().collect() }
    }

    /// What a task needs beside the reading of its source.
    pub(crate) fn of(task: &'n Task) -> Self {
        Self::new(&task.steps, task.format)
    }

    /// What these tasks need so, together.
    pub(crate) fn of_all(tasks: impl Iterator<Item = &'n Task>) -> Self {
        tasks.map(Self::of).fold(Self::default(), |mut all, Self { steps, formats }| {
            all.steps.extend(steps);
            all.formats.extend(formats);
            all
        })
    }

    /// The same, and what reads this format.
    #[must_use]
    pub(crate) fn reading(mut self, source: Option<Format>) -> Self {
        self.formats.extend(source);
        self
    }

    /// The operations alone, which are known before any byte of the source is.
    #[must_use]
    pub(crate) fn operations(mut self) -> Self {
        self.formats.clear();
        self
    }

    /// The codecs alone.
    #[must_use]
    pub(crate) fn codecs(mut self) -> Self {
        self.steps.clear();
        self
    }
}

/// What can be refused for a while.
enum Plugin<'r> {
    Operation(&'r Entry),
    Codec(&'r Codec),
}

impl Plugin<'_> {
    fn breaker(&self) -> &Breaker {
        match self {
            Self::Operation(operation) => &operation.breaker,
            Self::Codec(codec) => &codec.breaker,
        }
    }

    /// Notes that it has failed some work.
    fn failed(&self, fault: &Fault) {
        if let Some(pause) = self.breaker().failed() {
            tracing::warn!("{self}: refused for {} s after repeated failures: {fault}", pause.as_secs());
        }
    }

    /// The fault of who needs it while it is refused.
    fn suspended(&self, left: Duration) -> Fault {
        let left = breaker::seconds(left);
        let text = format!(
            "{self} has failed repeatedly: it is tried again in {left} s ([plugins] breaker_failures)"
        );
        let fault = Fault::new(FaultKind::OperationSuspended, text).retried(Retry::Later);
        Fault { retry_after_s: Some(left), ..fault }
    }
}

impl fmt::Display for Plugin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(operation) => write!(f, "the plugin of `{}`", operation.name),
            Self::Codec(codec) => write!(f, "the codec `{}`", codec.name),
        }
    }
}

impl Registry {
    /// Each once, however often it is needed: a second time is the same try.
    fn plugins(&self, needs: &Needs<'_>) -> Vec<Plugin<'_>> {
        let runs = |operation: &&Entry| needs.steps.iter().any(|step| step.operation == operation.name);
        let serves = |codec: &&Codec| needs.formats.iter().any(|format| codec.serves(*format));
        let codecs = self.codecs().iter().filter(serves).map(Plugin::Codec);
        self.iter().filter(runs).map(Plugin::Operation).chain(codecs).collect()
    }

    /// Notes that work has succeeded, or whose plugin has failed it.
    pub(crate) fn note(&self, needs: &Needs<'_>, outcome: Result<(), &Fault>) {
        match outcome {
            Ok(()) => self.plugins(needs).iter().for_each(|plugin| plugin.breaker().succeeded()),
            Err(fault) => self.blame(fault),
        }
    }

    /// Notes whose plugin has failed some work, if one has.
    pub(crate) fn blame(&self, fault: &Fault) {
        let operation = fault.operation.as_deref().and_then(|name| self.get(name)).map(Plugin::Operation);
        let named = |name: &str| self.codecs().iter().find(|codec| codec.name == name);
        let codec = fault.codec.as_deref().and_then(named).map(Plugin::Codec);
        operation.iter().chain(&codec).for_each(|plugin| plugin.failed(fault));
    }

    /// Refuses work of which one plugin has failed too often of late.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`], with the time after which it is tried again.
    pub(crate) fn check_suspended(&self, needs: &Needs<'_>) -> Result<(), Fault> {
        check(&self.plugins(needs), Breaker::check)
    }

    /// The same for work that will be done: where a plugin is to be tried again, this is what tries it.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`].
    pub(crate) fn admit(&self, needs: &Needs<'_>) -> Result<(), Fault> {
        let plugins = self.plugins(needs);
        // All are looked at before the first is tried.
        check(&plugins, Breaker::check)?;
        check(&plugins, Breaker::admit)
    }
}

fn check(plugins: &[Plugin<'_>], ask: impl Fn(&Breaker) -> Result<(), Duration>) -> Result<(), Fault> {
    plugins.iter().try_for_each(|plugin| ask(plugin.breaker()).map_err(|left| plugin.suspended(left)))
}
