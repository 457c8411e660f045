//! What a worker does with one source: probe and plan, or decode, run and encode. The only place where codecs and
//! plugins meet.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use imgserve_sdk::abi::{Product, RunInput};
use imgserve_sdk::{Host, Image, ImageRef, InputKind, PixelFormat, SourceHeader, Window};
use serde_json::{Map, Value};

use super::host::{Link, StepHost};
use super::placeholder;
use super::protocol::{Placeholder, Prepared, Task};
use super::sink::{Sink, SinkError};
use super::stage::{Operation, Stage, within_chain};
use crate::codec::{self, CodecError, Decoder, Probe};
use crate::config::Limits;
use crate::fault::{Fault, FaultKind};
use crate::format::Format;
use crate::plugin::{Deadline, Results, Usage};

/// Bytes of the source that an operation which reads its own format gets to plan on.
const HEAD: usize = 64 << 10;

/// Everything a worker process has loaded.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) operations: HashMap<String, Operation>,
    pub(super) limits: Limits,
    pub(super) memory_limit: u64,
    pub(super) link: Rc<Link>,
    pub(super) deadline: Rc<Deadline>,
    /// Why operations that are not there are not.
    pub(super) missing: HashMap<String, String>,
}

/// A task that is done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) usage: Usage,
    /// The encoded result.
    pub(super) bytes: Vec<u8>,
}

/// What is known of a source before it is decoded.
struct Header {
    /// As the operation sees it.
    source: SourceHeader,
    /// As the codec sees it; none for a format that only the operation reads.
    codec: Option<codec::Header>,
}

impl Worker {
    /// Plans on a source's first bytes and draws the placeholder; none when the bytes do not suffice.
    pub(super) fn prepare(
        &self,
        task: &Task,
        head: &[u8],
        complete: bool,
    ) -> Result<Option<(Prepared, Vec<u8>)>, Fault> {
        self.begin(task);
        let Some(header) = self.header(self.first(task)?, task, head, complete)? else { return Ok(None) };
        let stages = self.stages(task, &header)?;
        let (own_bytes, guest_bytes) = self.peak(&header, &stages)?;
        let Some(Stage { plan, .. }) = stages.last() else { return Err(no_steps()) };
        let placeholder = match task.format {
            None => Vec::new(),
            Some(format) => placeholder::draw(&Placeholder {
                width: plan.width,
                height: plan.height,
                format,
                failed: false,
            })?,
        };
        let (width, height) = (plan.width, plan.height);
        Ok(Some((Prepared { width, height, own_bytes, guest_bytes }, placeholder)))
    }

    /// Does the work.
    pub(super) fn run(&self, task: &Task, source: Vec<u8>) -> Result<Done, Fault> {
        self.begin(task);
        let header = self.header(self.first(task)?, task, &source, true)?.ok_or_else(|| {
            Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")
        })?;
        let stages = self.stages(task, &header)?;
        let Some((first, rest)) = stages.split_first() else { return Err(no_steps()) };
        let mut sink = Sink::new(task, self.limits.max_source_frames);
        match (&first.operation.description.input, &header.codec) {
            (InputKind::Encoded { .. }, _) => {
                let results = first.run(RunInput::Encoded(&source), Window::FULL)?;
                drop(source);
                pass(Some(first), rest, Held::Results(results), (0, Window::FULL), &mut sink)?;
            }
            (InputKind::Pixels { .. }, Some(header)) => {
                let limits = self.codec_limits();
                let mut decoder =
                    Decoder::new(&source, header, &first.plan.decode, &limits).map_err(codec_fault)?;
                sink.loops = decoder.loops();
                let all = sink.animates() || stages.iter().any(Stage::takes_all);
                while let Some(frame) = decoder.next_frame().map_err(codec_fault)? {
                    let at = (frame.delay_ms, decoder.window());
                    pass(None, &stages, Held::Image(frame.image), at, &mut sink)?;
                    if !all {
                        break;
                    }
                }
                together(&stages, decoder.window(), &mut sink)?;
            }
            (InputKind::Pixels { .. }, None) => {
                return Err(Fault::new(FaultKind::UnreadableSource, "the source is not an image"));
            }
        }
        let bytes = sink.finish()?;
        if bytes.len() as u64 > self.limits.max_result_mb << 20 {
            let (have, limit) = (bytes.len() >> 20, self.limits.max_result_mb);
            let text = format!("the result has {have} MiB, more than [limits] max_result_mb = {limit}");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        let usage = stages.iter().fold(Usage::default(), |usage, stage| usage.and(stage.usage.get()));
        let plan = &stages.last().unwrap_or(first).plan;
        Ok(Done { width: plan.width, height: plan.height, usage, bytes })
    }

    /// Operations are told to hurry before they are ended, and ended before the server ends the worker.
    fn begin(&self, task: &Task) {
        let time = Duration::from_millis(task.time_ms);
        self.link.begin(time.mul_f32(0.8));
        self.deadline.begin_task(time.mul_f32(0.9));
    }

    fn first(&self, task: &Task) -> Result<&Operation, Fault> {
        self.operation(&task.steps.first().ok_or_else(no_steps)?.operation)
    }

    fn operation(&self, name: &str) -> Result<&Operation, Fault> {
        self.operations.get(name).ok_or_else(|| {
            let why = self.missing.get(name).map_or("it is not loaded", String::as_str);
            Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: {why}"))
        })
    }

    /// All operations of a task, each planned on the plan before it.
    fn stages(&self, task: &Task, header: &Header) -> Result<Vec<Stage<'_>>, Fault> {
        let mut stages: Vec<Stage<'_>> = Vec::with_capacity(task.steps.len());
        for (index, step) in task.steps.iter().enumerate() {
            let operation = self.operation(&step.operation)?;
            let mut header = match stages.last() {
                None => header.source.clone(),
                Some(before) => SourceHeader {
                    width: before.plan.width,
                    height: before.plan.height,
                    pixels: before.plan.pixels,
                    head: Vec::new(),
                    ..before.header.clone()
                },
            };
            if let InputKind::Pixels { formats, .. } = &operation.description.input {
                header.pixels = codec::pick_format(formats, header.pixels);
            }
            let place = (index, task.steps.len());
            let host = StepHost::new(&self.link, &step.operation, &operation.config, task.seed, place);
            let host: Rc<dyn Host> = Rc::new(host);
            let args = args_json(&step.args);
            let plan = operation.plan(&args, &header, &host, &self.link, self.limits.max_output_pixels);
            let plan = plan.map_err(|fault| within_chain(fault, place))?;
            stages.push(Stage {
                operation,
                args,
                header,
                plan,
                // Another one for the run, so that its random numbers begin where a second run's do.
                host: Rc::new(StepHost::new(
                    &self.link,
                    &step.operation,
                    &operation.config,
                    task.seed,
                    place,
                )),
                link: &self.link,
                place,
                memory_limit: self.memory_limit,
                waiting: RefCell::default(),
                usage: Cell::default(),
            });
        }
        if let (Some(format), Some(Stage { plan, .. })) = (task.format, stages.last())
            && plan.width.max(plan.height) > format.max_side()
        {
            let text = format!("a side of a {format} is at most {} pixels", format.max_side());
            return Err(Fault::new(FaultKind::InvalidArgument, text));
        }
        Ok(stages)
    }

    /// Estimated peak of the run: of its hungriest operation, with what it is given, what it gives, and a copy for the
    /// encoder or the next one. Gives the worker's own part, and what sandboxes take beside it.
    fn peak(&self, header: &Header, stages: &[Stage<'_>]) -> Result<(u64, u64), Fault> {
        let (mut own, mut guests) = (0_u64, 0_u64);
        let mut given = None;
        for stage in stages {
            let plan = &stage.plan;
            // Of an animation of unknown length no more than one frame is known; `Stage::wait` bounds the rest.
            let frames = if stage.takes_all() { u64::from(stage.header.frames.unwrap_or(1)) } else { 1 };
            let takes_pixels = matches!(stage.operation.description.input, InputKind::Pixels { .. });
            let (decode, input) = match (given, &header.codec) {
                (Some(given), _) => (0, given),
                (None, Some(codec)) => {
                    let pixels = codec::decoded_bytes(codec, &plan.decode, stage.header.pixels);
                    (codec::estimate(codec, &plan.decode), if takes_pixels { pixels } else { 0 })
                }
                (None, None) => (0, 0),
            };
            let input = input.saturating_mul(frames);
            let output = plan.pixels.bytes(plan.width, plan.height).saturating_mul(frames);
            let encoder = PixelFormat::Rgba8.bytes(plan.width, plan.height).max(output);
            let mut total = decode.max(input).saturating_add(encoder.saturating_mul(2));
            match stage.operation.plugin.memory_limit() {
                None => total = total.saturating_add(plan.peak_bytes),
                Some(_) => {
                    stage.operation.check_memory(input.max(output).saturating_add(plan.peak_bytes))?;
                    let guest = input.saturating_add(output).saturating_add(plan.peak_bytes);
                    guests = guests.max(guest);
                }
            }
            own = own.max(total);
            given = Some(plan.pixels.bytes(plan.width, plan.height));
        }
        if own > self.memory_limit {
            let (need, have) = (own >> 20, self.memory_limit >> 20);
            let text =
                format!("the work would take about {need} MiB, more than [workers] memory_limit_mb = {have}");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok((own, guests))
    }

    fn codec_limits(&self) -> codec::Limits {
        codec::Limits { max_pixels: self.limits.max_source_pixels, max_frames: self.limits.max_source_frames }
    }

    fn header(
        &self,
        operation: &Operation,
        task: &Task,
        bytes: &[u8],
        complete: bool,
    ) -> Result<Option<Header>, Fault> {
        let taken = match &operation.description.input {
            InputKind::Pixels { .. } => None,
            InputKind::Encoded { formats } => Some(formats),
        };
        // A format that no codec of the host's knows arrives as it is; the operation reads its first bytes itself.
        if taken.is_some() && Format::from_extension(&task.extension).is_none() {
            return Ok(Some(Header { source: foreign(&task.extension, bytes), codec: None }));
        }
        // Who asks for an SVG and gets something else is told so by a kind of its own.
        let drawing = taken.is_some() && Format::from_extension(&task.extension) == Some(Format::Svg);
        let refuse = |fault: Fault| match fault.kind {
            FaultKind::UnreadableSource if drawing => Fault { kind: FaultKind::InvalidSvg, ..fault },
            _ => fault,
        };
        let probed =
            codec::probe(bytes, complete, &self.codec_limits()).map_err(codec_fault).map_err(refuse)?;
        let header = match probed {
            Probe::NeedMore => return Ok(None),
            Probe::Header(header) => header,
        };
        let fits = match taken {
            None => header.format != Format::Svg,
            Some(formats) => formats.iter().any(|name| Format::from_name(name) == Some(header.format)),
        };
        if !fits {
            let text = format!("the source is {}, which `{}` does not take", header.format, operation.name);
            return Err(refuse(Fault::new(FaultKind::UnreadableSource, text)));
        }
        let head = if taken.is_some() { bytes[..bytes.len().min(HEAD)].to_vec() } else { Vec::new() };
        Ok(Some(Header { source: header.source(head), codec: Some(header) }))
    }
}

/// Pixels on their way from one operation to the next.
enum Held {
    Image(Image),
    Results(Box<dyn Results>),
}

/// Hands an image on through the operations that are left, and at last to the sink. Of two operations no more than what
/// the first gave and what the second gives is held at once.
fn pass<'s>(
    mut from: Option<&'s Stage<'s>>,
    stages: &'s [Stage<'s>],
    mut held: Held,
    (mut delay_ms, mut window): (u32, Window),
    sink: &mut Sink<'_>,
) -> Result<(), Fault> {
    for (index, stage) in stages.iter().enumerate() {
        let products = products(from, &held)?;
        let next = match products[..] {
            [Product::Pixels(image, own_delay)] => {
                delay_ms = own_delay.max(delay_ms);
                if stage.takes_all() {
                    return stage.wait(accepted(stage, image), delay_ms);
                }
                stage.run_on(image, window)?
            }
            ref many => {
                // An animation out of one call: each of its frames goes its own way, and the call's memory first.
                let mut frames = Vec::with_capacity(many.len());
                for product in many {
                    let Product::Pixels(image, own_delay) = product else {
                        return Err(from
                            .unwrap_or(stage)
                            .contract("gave encoded bytes to another operation"));
                    };
                    frames.push((Held::Image(image.to_image()), delay_ms.max(*own_delay)));
                }
                drop(products);
                drop(held);
                for (frame, delay_ms) in frames {
                    pass(from, &stages[index..], frame, (delay_ms, window), sink)?;
                }
                return Ok(());
            }
        };
        drop(products);
        held = Held::Results(next);
        (from, window) = (Some(stage), Window::FULL);
    }
    for product in products(from, &held)? {
        sink.take(product, delay_ms).map_err(|error| match (error, from) {
            (SinkError::Fault(fault), _) => fault,
            (SinkError::Contract(text), Some(stage)) => stage.contract(text),
            (SinkError::Contract(text), None) => Fault::new(FaultKind::OperationFailed, text),
        })?;
    }
    Ok(())
}

/// Calls the operations that waited for all frames, in order.
fn together(stages: &[Stage<'_>], mut window: Window, sink: &mut Sink<'_>) -> Result<(), Fault> {
    for (index, stage) in stages.iter().enumerate() {
        let images = stage.waited();
        if !images.is_empty() {
            let frames: Vec<(ImageRef<'_>, u32)> =
                images.iter().map(|(image, delay)| (image.as_ref(), *delay)).collect();
            let results = stage.run(RunInput::Frames(&frames), window)?;
            pass(Some(stage), &stages[index + 1..], Held::Results(results), (0, Window::FULL), sink)?;
        }
        // Only the first operation sees a part of the source.
        window = Window::FULL;
    }
    Ok(())
}

fn products<'h>(from: Option<&Stage<'_>>, held: &'h Held) -> Result<Vec<Product<'h>>, Fault> {
    match (held, from) {
        (Held::Image(image), _) => Ok(vec![Product::Pixels(image.as_ref(), 0)]),
        (Held::Results(results), Some(stage)) => stage.products(results.as_ref()),
        (Held::Results(results), None) => {
            results.products().map_err(|error| Fault::of(FaultKind::OperationFailed, &error))
        }
    }
}

fn accepted(stage: &Stage<'_>, image: ImageRef<'_>) -> Image {
    stage.converted(image).unwrap_or_else(|| image.to_image())
}

fn no_steps() -> Fault {
    Fault::new(FaultKind::OperationFailed, "a task without operations")
}

fn foreign(extension: &str, bytes: &[u8]) -> SourceHeader {
    SourceHeader {
        format: extension.to_ascii_lowercase(),
        width: 0,
        height: 0,
        frames: None,
        pixels: PixelFormat::Rgba8,
        head: bytes[..bytes.len().min(HEAD)].to_vec(),
    }
}

fn args_json(args: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(args).expect("a JSON object can be written")
}

pub(super) fn codec_fault(error: CodecError) -> Fault {
    let kind = match &error {
        CodecError::InvalidSvg(_) => FaultKind::InvalidSvg,
        CodecError::Limit { .. } => FaultKind::LimitExceeded,
        CodecError::Encode { .. } => FaultKind::OperationFailed,
        _ => FaultKind::UnreadableSource,
    };
    Fault::of(kind, &error)
}
