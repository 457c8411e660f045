//! What a worker has loaded, and what it knows of a task before any pixel is decoded: the source's header, the plan of
//! each operation, the memory that they will take.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use imgserve_base::fair::SMALL;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_base::units::{KIB, MIB};
use imgserve_codec::{self as codec, Probe};
use imgserve_config::{Codec, Damaged, Limits, PluginKind, Profile};
use imgserve_sdk::{DecodeHint, Host, InputKind, PixelFormat, SourceHeader};
use serde_json::{Map, Value};

use super::fault::{codec_fault, ends_early, no_steps};
use super::host::{Link, Share, StepHost, Warned};
use super::placeholder;
use super::protocol::{LINEAR, Placeholder, Prepared, Reply, Step, Task};
use super::reading::reading;
use super::stage::{LoadedOperation, Spot, Stage};
use crate::plugin::{Deadline, TimeLimit};

/// Bytes of the source that an operation which reads its own format gets to plan on.
const HEAD: usize = 64 * KIB as usize;
/// The same for one that is built in: what a drawing would cost shows only in all of it.
const WHOLE: usize = MIB as usize;

/// Everything a worker process has loaded.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) operations: HashMap<String, LoadedOperation>,
    pub(super) limits: Limits,
    pub(super) codec: Codec,
    pub(super) memory_limit: u64,
    pub(super) link: Rc<Link>,
    pub(super) deadline: Rc<Deadline>,
    /// Why operations that are not there are not.
    pub(super) missing: HashMap<String, String>,
}

/// The bytes of a source, probed once at most, however many tasks look at it.
pub(super) struct Source<'b> {
    bytes: &'b [u8],
    /// Whether there are no more.
    complete: bool,
    probed: OnceCell<Result<Probe, Fault>>,
}

impl<'b> Source<'b> {
    pub(super) fn new(bytes: &'b [u8], complete: bool) -> Self {
        Self { bytes, complete, probed: OnceCell::new() }
    }

    fn probe(&self, bounds: &codec::Bounds) -> Result<Probe, Fault> {
        let probe =
            || reading(self.bytes, || codec::probe(self.bytes, self.complete, bounds).map_err(codec_fault));
        self.probed.get_or_init(probe).clone()
    }
}

/// What is known of a source before it is decoded.
pub(super) struct Header {
    /// As the operation sees it.
    source: SourceHeader,
    /// As the codec sees it; none for a format that only the operation reads.
    pub(super) codec: Option<codec::Header>,
}

impl Worker {
    /// Plans on a source's first bytes and draws the placeholder if one is wanted; none when the bytes do not suffice.
    pub(super) fn prepare(
        &self,
        task: &Task,
        source: &Source<'_>,
        draw: bool,
    ) -> Result<Option<(Prepared, Vec<u8>)>, Fault> {
        let Some(prepared) = self.planned(task, source, animates(task))? else { return Ok(None) };
        let Prepared { width, height, .. } = prepared;
        let placeholder = match task.format {
            Some(format) if draw => placeholder::of(Placeholder { width, height, format, failed: false })?,
            _ => Vec::new(),
        };
        Ok(Some((prepared, placeholder)))
    }

    /// The plan on a source's first bytes, as far as its client has to know it; `animates`: whether more than one frame of the
    /// result is of use.
    fn planned(&self, task: &Task, source: &Source<'_>, animates: bool) -> Result<Option<Prepared>, Fault> {
        let Some(header) = self.header(task, source)? else { return Ok(None) };
        let stages = self.stages(task, &header, Share::WHOLE, animates)?;
        let Some(made_pixels) = self.made_pixels(animates, &header, &stages)? else { return Ok(None) };
        let (own_bytes, guest_bytes) = self.peak(&header, &stages, task)?;
        let Some(Stage { plan, .. }) = stages.last() else { return Err(no_steps()) };
        let (width, height) = (plan.width, plan.height);
        let pixels = pixels(&header, &stages);
        let source_format = header.codec.map(|header| header.format);
        Ok(Some(Prepared { width, height, own_bytes, guest_bytes, pixels, source_format, made_pixels }))
    }

    /// The plan for a whole source, when the run would take more memory than `within` or have more than `most_pixels`, or the
    /// result's format could not hold it: what becomes of that is the server's to say. Of one that goes on and is large it is
    /// told.
    pub(super) fn too_much(
        &self,
        task: &Task,
        source: &[u8],
        (within, most_pixels): (u64, Option<u64>),
    ) -> Result<Option<Prepared>, Fault> {
        let any_format = Task { format: None, ..task.clone() };
        let prepared = self.planned(&any_format, &Source::new(source, true), animates(task))?;
        let mut prepared = prepared.ok_or_else(ends_early)?;
        let (width, height) = (prepared.width, prepared.height);
        let held = task.format.is_none_or(|format| width.max(height) <= format.max_side());
        if held {
            let writing = writing_bytes(task, (width, height), PixelFormat::Rgba8);
            prepared.own_bytes = prepared.own_bytes.max(writing);
            self.check_peak(prepared.own_bytes)?;
        }
        let needed = [prepared.own_bytes, prepared.guest_bytes, source.len() as u64];
        let needed = needed.into_iter().fold(0, u64::saturating_add);
        if needed > within || most_pixels.is_some_and(|most| prepared.pixels > most) || !held {
            return Ok(Some(prepared));
        }
        if prepared.pixels > SMALL {
            self.link.say(&Reply::Large);
        }
        Ok(None)
    }

    /// Operations are told to hurry before they are ended, and ended before the server ends the worker.
    pub(super) fn begin(&self, limit: TimeLimit) {
        self.link.begin(limit.time);
        self.deadline.begin_task(TimeLimit { time: limit.time.mul_f32(0.9), ..limit });
    }

    fn first(&self, task: &Task) -> Result<&LoadedOperation, Fault> {
        self.operation(&task.steps.first().ok_or_else(no_steps)?.operation)
    }

    fn operation(&self, name: &str) -> Result<&LoadedOperation, Fault> {
        self.operations.get(name).ok_or_else(|| {
            let why = self.missing.get(name).map_or("it is not loaded", String::as_str);
            Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: {why}"))
        })
    }

    /// All operations of a task, each planned on the plan before it; `animates`: whether more than one frame of the result is of
    /// use.
    pub(super) fn stages(
        &self,
        task: &Task,
        header: &Header,
        share: Share,
        animates: bool,
    ) -> Result<Vec<Stage<'_>>, Fault> {
        let takes_all = |step: &Step| self.operation(&step.operation).is_ok_and(LoadedOperation::takes_all);
        let moving = animates || task.steps.iter().any(takes_all);
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
            let (spot, warned) = (Spot::of(task, index), Warned::default());
            let builtin = operation.settings.kind == PluginKind::Builtin;
            // One of ours can do more with the one picture that is wanted than with each of many. Others are told what there is.
            if builtin && !moving {
                header.frames = Some(1);
            }
            let host = || -> Rc<dyn Host> {
                let (seed, share) =
                    (task.seed.wrapping_add(index as u64), share.part(index, task.steps.len()));
                let host = StepHost::new(&self.link, &step.operation, &operation.config, seed, share);
                Rc::new(if builtin { host.keeping(&warned) } else { host })
            };
            let (args, light) = meant(operation, step);
            let plan = operation.plan(&args, &header, &host(), &self.link, self.limits.max_output_pixels);
            let mut plan = plan.map_err(|fault| spot.named(fault))?;
            plan.decode = decode_hint(plan.decode, step.profile, light);
            stages.push(Stage {
                operation,
                args,
                header,
                plan,
                // Another one for the run, so that its random numbers begin where a second run's do.
                host: host(),
                link: &self.link,
                spot,
                memory_limit: self.memory_limit,
                waiting: RefCell::default(),
                usage: Cell::default(),
                warned,
            });
        }
        if let (Some(format), Some(Stage { plan, .. })) = (task.format, stages.last())
            && plan.width.max(plan.height) > format.max_side()
        {
            let text = format!("a side of a {format} is at most {} pixels", format.max_side());
            return Err(Fault::new(FaultKind::InvalidArgument, text));
        }
        task.kept.check(task.format)?;
        Ok(stages)
    }

    /// Estimated peak of the run: of its hungriest operation, with what it is given, what it gives, and a copy for the
    /// encoder or the next one. Gives the worker's own part, and what sandboxes take beside it.
    fn peak(&self, header: &Header, stages: &[Stage<'_>], task: &Task) -> Result<(u64, u64), Fault> {
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
        guests = guests.max(header.codec.as_ref().map_or(0, |codec| codec.guest_bytes));
        if let Some(Stage { plan, .. }) = stages.last() {
            own = own.max(writing_bytes(task, (plan.width, plan.height), plan.pixels));
        }
        self.check_peak(own)?;
        Ok((own, guests))
    }

    fn check_peak(&self, own: u64) -> Result<(), Fault> {
        if own <= self.memory_limit {
            return Ok(());
        }
        let (need, have) = (own / MIB, self.memory_limit / MIB);
        let text =
            format!("the work would take about {need} MiB, more than [workers] memory_limit_mb = {have}");
        Err(Fault::new(FaultKind::LimitExceeded, text))
    }

    pub(super) fn codec_bounds(&self) -> codec::Bounds {
        codec::Bounds {
            max_pixels: self.limits.max_source_pixels,
            max_frames: self.limits.max_source_frames,
            repair: self.codec.damaged == Damaged::Repair,
            keep_colors: false,
        }
    }

    /// What a task's first operation can know of the source; none when its bytes do not suffice.
    pub(super) fn header(&self, task: &Task, source: &Source<'_>) -> Result<Option<Header>, Fault> {
        let (operation, bytes) = (self.first(task)?, source.bytes);
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
        let header = match source.probe(&self.codec_bounds()).map_err(refuse)? {
            Probe::NeedMore => return Ok(None),
            Probe::Header(header) => header,
        };
        let fits = match taken {
            None => header.format.can_decode(),
            Some(formats) => formats.iter().any(|name| Format::from_name(name) == Some(header.format)),
        };
        if !fits {
            let text = format!("the source is {}, which `{}` does not take", header.format, operation.name);
            return Err(refuse(Fault::new(FaultKind::UnreadableSource, text)));
        }
        let builtin = operation.settings.kind == PluginKind::Builtin;
        // A drawing that does not say how large it is shows it in all of it.
        let unsized_drawing = header.width.min(header.height) == 0;
        let most = if builtin && (bytes.len() <= WHOLE || unsized_drawing) { usize::MAX } else { HEAD };
        let head = if taken.is_some() { bytes[..bytes.len().min(most)].to_vec() } else { Vec::new() };
        Ok(Some(Header { source: header.source(head), codec: Some(header) }))
    }
}

/// What writing a task's result takes at its peak: the encoder's own, and the picture twice. Nothing where its operation writes it.
fn writing_bytes(task: &Task, (width, height): (u32, u32), pixels: PixelFormat) -> u64 {
    let Some(format) = task.format else { return 0 };
    let own = (u64::from(width) * u64::from(height)).saturating_mul(format.encoder_bytes(task.kept.lossless));
    own.saturating_add(pixels.bytes(width, height).saturating_mul(2))
}

/// Whether more than one frame of a task's result is of use.
pub(super) fn animates(task: &Task) -> bool {
    task.format.is_some_and(Format::can_animate)
}

/// A step's arguments as its operation is given them, and whether linear light is asked for in so many words. Where the profile is
/// the best, an operation of ours that can averages light without being asked.
fn meant(operation: &LoadedOperation, step: &Step) -> (Vec<u8>, bool) {
    let properties = &operation.description.arguments["properties"];
    let can = operation.settings.kind == PluginKind::Builtin && properties.get(LINEAR).is_some();
    match step.args.get(LINEAR) {
        None if can && step.profile == Profile::Best => {
            let mut args = step.args.clone();
            args.insert(LINEAR.to_owned(), Value::Bool(true));
            (args_json(&args), false)
        }
        asked => (args_json(&step.args), can && asked == Some(&Value::Bool(true))),
    }
}

/// What is decoded for an operation that asks for this. For quality its sides have twice the pixels: an average of at least
/// four is the operation's own, and not the decoder's. Who asks for linear `light` has nothing averaged by the decoder, which
/// averages what is coded.
fn decode_hint(hint: DecodeHint, profile: Profile, light: bool) -> DecodeHint {
    match profile {
        _ if light => DecodeHint { min_scale: None, ..hint },
        Profile::Fast => hint,
        Profile::Best => DecodeHint { min_scale: hint.min_scale.map(|scale| (2.0 * scale).min(1.0)), ..hint },
    }
}

/// The pixels of a source and of all that is made of it, the measure of the work. A decoder that scales reads all of a source
/// and makes pixels of a part of them, which is a quarter of the work at least.
fn pixels(header: &Header, stages: &[Stage<'_>]) -> u64 {
    let area = |width: u32, height: u32| u64::from(width).saturating_mul(u64::from(height));
    let Some(first) = stages.first() else { return 0 };
    let whole = area(header.source.width, header.source.height);
    let decoded = match &header.codec {
        Some(codec) => codec::decoded_bytes(codec, &first.plan.decode, PixelFormat::Gray8).max(whole / 4),
        None => whole,
    };
    let made = stages.iter().map(|stage| area(stage.plan.width, stage.plan.height));
    let frames = u64::from(header.source.frames.unwrap_or(1).max(1));
    made.fold(decoded, u64::saturating_add).saturating_mul(frames)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_has_twice_the_pixels_decoded_and_never_more_than_there_are() {
        let hint = |min_scale| DecodeHint { min_scale, region: None };
        for (asked, fast, best) in [
            (Some(0.1), Some(0.1), Some(0.2)),
            (Some(0.5), Some(0.5), Some(1.0)),
            (Some(0.7), Some(0.7), Some(1.0)),
            (None, None, None),
        ] {
            assert_eq!(decode_hint(hint(asked), Profile::Fast, false), hint(fast));
            assert_eq!(decode_hint(hint(asked), Profile::Best, false), hint(best));
            for profile in [Profile::Fast, Profile::Best] {
                assert_eq!(
                    decode_hint(hint(asked), profile, true),
                    hint(None),
                    "all of it, for linear light"
                );
            }
        }
    }
}
