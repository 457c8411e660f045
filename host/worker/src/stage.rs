//! One operation of a task: planned on what comes before it, called, held to its plan, and blamed for what it does wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_base::units::MIB;
use imgserve_codec as codec;
use imgserve_config::{self as config, PluginKind};
use imgserve_sdk::abi::{Product, RunInput};
use imgserve_sdk::plain::plain;
use imgserve_sdk::{
    DecodeHint, Description, ErrorKind, Frames, Host, Image, ImageRef, InputKind, PixelFormat, Plan,
    SourceHeader, Window,
};

use super::host::{Link, Warned};
use super::protocol::{Reply, Step, Task};
use super::reading::{gave_up, reading};
use crate::plugin::{CallError, Plugin, Results, Usage};

/// Longest text of a fault that a plugin has a say in, in bytes.
const MAX_TEXT: usize = 1200;

/// An operation ready to be called.
#[derive(Debug)]
pub(super) struct LoadedOperation {
    pub(super) name: String,
    pub(super) settings: config::OperationSettings,
    /// Its `config` as JSON.
    pub(super) config: Rc<str>,
    pub(super) plugin: Box<dyn Plugin>,
    pub(super) description: Description,
}

/// One operation of a task, with everything that it is called with.
pub(super) struct Stage<'a> {
    pub(super) operation: &'a LoadedOperation,
    pub(super) args: Vec<u8>,
    /// What it is planned on: the source's, or the plan before it.
    pub(super) header: SourceHeader,
    pub(super) plan: Plan,
    pub(super) host: Rc<dyn Host>,
    pub(super) link: &'a Link,
    pub(super) spot: Spot,
    /// What frames that wait may take, in bytes, twice.
    pub(super) memory_limit: u64,
    /// Frames that wait until all are there, for an operation that takes them together.
    pub(super) waiting: RefCell<Vec<(Image, u32)>>,
    pub(super) usage: Cell<Usage>,
    /// What one of ours has warned of: that it could not show something in the colours that are meant.
    pub(super) warned: Warned,
}

impl LoadedOperation {
    /// The plan for `args` and a source, checked.
    ///
    /// # Errors
    /// The operation's refusal, or what is wrong with its plan.
    pub(super) fn plan(
        &self,
        args: &[u8],
        header: &SourceHeader,
        host: &Rc<dyn Host>,
        link: &Link,
        max_output_pixels: u64,
    ) -> Result<Plan, Fault> {
        let call = || {
            let planned = self.watched(link, || self.plugin.plan(args, header, host));
            planned.map_err(|error| self.fault(error))
        };
        // A drawing is parsed to be planned, and the pictures in it are decoded.
        let plan = if self.reads_sources() { reading(&header.head, call)? } else { call()? };
        self.check_hint(&plan.decode)?;
        let pixels = u64::from(plan.width) * u64::from(plan.height);
        let own_limit = self.settings.max_output_pixels.filter(|&own| own < max_output_pixels);
        let limit = own_limit.unwrap_or(max_output_pixels);
        if pixels > limit {
            let Description { name, version, .. } = &self.description;
            let section = own_limit.map_or("limits".to_owned(), |_| format!("operations.{}", self.name));
            let text = format!(
                "the result of {name} {version} would have {pixels} pixels, more than [{section}] max_output_pixels = \
                 {limit}"
            );
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok(plan)
    }

    /// Whether it takes all frames of an animation at once.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self.description.input, InputKind::Pixels { frames: Frames::All, .. })
    }

    fn check_hint(&self, hint: &DecodeHint) -> Result<(), Fault> {
        let region = hint.region.map(|region| [region.x, region.y, region.width, region.height]);
        let numbers = hint.min_scale.into_iter().chain(region.into_iter().flatten());
        match numbers.into_iter().find(|number| !number.is_finite() || *number < 0.0) {
            Some(number) => Err(self.contract(&format!("planned a decode hint of {number}"))),
            None => Ok(()),
        }
    }

    /// Refuses what its sandbox could not hold even if it worked in place, before anything is done.
    pub(super) fn check_memory(&self, need: u64) -> Result<(), Fault> {
        let Some(limit) = self.plugin.memory_limit() else { return Ok(()) };
        if need <= limit {
            return Ok(());
        }
        let Description { name, version, .. } = &self.description;
        let text = format!(
            "{name} {version} would take about {} MiB, more than [operations.{}] memory_limit_mb = {}",
            need / MIB,
            self.name,
            limit / MIB
        );
        Err(Fault::new(FaultKind::LimitExceeded, text))
    }

    /// Whether it is our own parser of a format: what that makes of a source is the source's fault.
    fn reads_sources(&self) -> bool {
        let reads = matches!(self.description.input, InputKind::Encoded { .. });
        reads && self.settings.kind == PluginKind::Builtin
    }

    /// Says to the server that a plugin's code runs: only the server can tell of the end of this process.
    fn watched<T>(&self, link: &Link, call: impl FnOnce() -> T) -> T {
        // What is built in is not blamed: a stranger's drawing that takes too long must not suspend the operation for all.
        if self.settings.kind == PluginKind::Builtin {
            return call();
        }
        link.say(&Reply::Calls(self.name.clone()));
        let result = call();
        link.say(&Reply::Returned);
        result
    }

    fn contract(&self, text: &str) -> Fault {
        self.fault(CallError::Contract(text.to_owned()))
    }

    /// The fault for a call that gave nothing: who, in which version, and what.
    pub(super) fn fault(&self, error: CallError) -> Fault {
        let Description { name, version, .. } = &self.description;
        let kind = match &error {
            CallError::Refused(error) => {
                // A plugin that was built with an earlier SDK says it in its library's words.
                let text = one_line(&format!("{name} {version}: {}", plain(error.message())), MAX_TEXT);
                return Fault::new(refusal(error.kind()), text);
            }
            CallError::Trapped(_) if self.reads_sources() => return gave_up(),
            CallError::Trapped(_) => FaultKind::PluginTrapped,
            CallError::OutOfMemory { .. } => FaultKind::PluginOutOfMemory,
            CallError::TimedOut { .. } => FaultKind::PluginTimedOut,
            CallError::Contract(_) => FaultKind::PluginContract,
        };
        let text = one_line(&format!("plugin {name} {version} {error}"), MAX_TEXT);
        Fault::new(kind, text).blamed_on(&self.name)
    }
}

fn refusal(kind: ErrorKind) -> FaultKind {
    match kind {
        ErrorKind::MissingArgument => FaultKind::MissingArgument,
        ErrorKind::WrongType => FaultKind::WrongType,
        ErrorKind::InvalidArgument => FaultKind::InvalidArgument,
        ErrorKind::UnsupportedSource => FaultKind::UnreadableSource,
        ErrorKind::SourceTooSmall => FaultKind::SourceTooSmall,
        ErrorKind::LimitExceeded => FaultKind::LimitExceeded,
        ErrorKind::Failed => FaultKind::OperationFailed,
    }
}

impl Stage<'_> {
    /// Whether it takes all frames of an animation at once.
    pub(super) fn takes_all(&self) -> bool {
        self.operation.takes_all()
    }

    /// Keeps a frame until all are there.
    pub(super) fn wait(&self, image: Image, delay_ms: u32) -> Result<(), Fault> {
        let mut waiting = self.waiting.borrow_mut();
        let bytes = image.data().len() as u64;
        let all = waiting.iter().map(|(image, _)| image.data().len() as u64).sum::<u64>() + bytes;
        // As much again for the result.
        if all > self.memory_limit / 2 {
            let text = format!(
                "all frames together take more than half of [workers] memory_limit_mb = {}, and `{}` takes them together",
                self.memory_limit / MIB,
                self.operation.name
            );
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        waiting.push((image, delay_ms));
        Ok(())
    }

    /// The frames that have waited.
    pub(super) fn waited(&self) -> Vec<(Image, u32)> {
        std::mem::take(&mut *self.waiting.borrow_mut())
    }

    /// Calls the operation on one image.
    pub(super) fn run_on(&self, image: ImageRef<'_>, window: Window) -> Result<Box<dyn Results>, Fault> {
        match self.converted(image) {
            Some(converted) => self.run(RunInput::Pixels(converted.as_ref()), window),
            None => self.run(RunInput::Pixels(image), window),
        }
    }

    /// The image in a pixel format that the operation takes; none when it is in one.
    pub(super) fn converted(&self, image: ImageRef<'_>) -> Option<Image> {
        let InputKind::Pixels { formats, .. } = &self.operation.description.input else { return None };
        let wanted = codec::pick_format(formats, image.format());
        (wanted != image.format()).then(|| codec::convert(image, wanted))
    }

    /// Calls the operation, unless nobody waits for it any more, and holds what it gives to its plan.
    pub(super) fn run(&self, input: RunInput<'_>, window: Window) -> Result<Box<dyn Results>, Fault> {
        self.link.go_on()?;
        let operation = self.operation;
        let began = Instant::now();
        // Third-party code is ended at its limit, and hears of its task's deadline alone.
        let own = operation.settings.time_limit().filter(|_| operation.settings.kind == PluginKind::Builtin);
        self.link.call(own);
        let source = if let RunInput::Encoded(bytes) = input { bytes } else { &[] };
        let run = || operation.plugin.run(&self.args, &self.header, input, window, &self.host);
        let run = || {
            let ran = operation.watched(self.link, run);
            ran.map_err(|error| self.spot.named(self.ended(error)))
        };
        let results = if operation.reads_sources() { reading(source, run)? } else { run()? };
        let operation_us = began.elapsed().as_secs_f64() * 1e6;
        self.usage.set(self.usage.get().and(Usage { operation_us, ..results.usage() }));
        for product in self.products(results.as_ref())? {
            let Product::Pixels(image, _) = product else { continue };
            let given = (image.width(), image.height(), image.format());
            let planned = (self.plan.width, self.plan.height, self.plan.pixels);
            if given != planned {
                let text = format!("planned {} and gave {}", shape(planned), shape(given));
                return Err(self.contract(&text));
            }
        }
        Ok(results)
    }

    /// The fault for a run that gave nothing. What is built in stops by itself when it is told that its time is over.
    fn ended(&self, error: CallError) -> Fault {
        let operation = self.operation;
        match (&error, operation.settings.time_limit()) {
            (CallError::Refused(told), Some(limit))
                if told.kind() == ErrorKind::Failed
                    && operation.settings.kind == PluginKind::Builtin
                    && self.link.hurried() =>
            {
                let text = format!(
                    "`{}` stopped: not done after nearly {} ms ([operations.{}] time_limit_ms)",
                    operation.name,
                    limit.as_millis(),
                    operation.name
                );
                Fault::new(FaultKind::LimitExceeded, text)
            }
            _ => operation.fault(error),
        }
    }

    /// The results of a run.
    pub(super) fn products<'r>(&self, results: &'r dyn Results) -> Result<Vec<Product<'r>>, Fault> {
        results.products().map_err(|error| self.operation.fault(error))
    }

    /// The plugin broke its contract.
    pub(super) fn contract(&self, text: &str) -> Fault {
        self.spot.named(self.operation.contract(text))
    }
}

/// Where in the request an operation stands, and how its arguments are called there.
#[derive(Debug)]
pub(super) struct Spot {
    /// Which step of a chain it is, as a path in the request; empty where it is no step.
    place: String,
    written: BTreeMap<String, String>,
}

impl Spot {
    /// The spot of a task's step.
    pub(super) fn of(task: &Task, index: usize) -> Self {
        let Step { at, written, .. } = &task.steps[index];
        let place = match (at.as_str(), task.steps.len()) {
            ("", 0 | 1) => String::new(),
            ("", _) => format!("steps[{index}]"),
            (at, _) => at.to_owned(),
        };
        Self { place, written: written.clone() }
    }

    /// The operation's fault, named as the request has it.
    pub(super) fn named(&self, fault: Fault) -> Fault {
        let fault = fault.as_written(&self.written);
        if self.place.is_empty() { fault } else { fault.at(&self.place) }
    }
}

fn shape((width, height, format): (u32, u32, PixelFormat)) -> String {
    format!("{width}x{height} {}", format!("{format:?}").to_lowercase())
}
