//! What a worker does with one source: probe and plan, or decode, run and encode. The only place where codecs and
//! plugins meet.

use std::collections::HashMap;

use imgserve_sdk::abi::{Plugin, PluginError, Product, Results, RunInput};
use imgserve_sdk::{
    Description, ErrorKind, Frames, Host, Image, ImageRef, InputKind, PixelFormat, Plan, SourceHeader, Window,
};
use serde_json::{Map, Value};

use super::placeholder;
use super::protocol::{Placeholder, Prepared, Task};
use crate::codec::{self, CodecError, Decoder, EncodeOptions, Encoder, Loops, Probe};
use crate::config::Limits;
use crate::fault::{Fault, FaultKind};
use crate::format::Format;

/// Bytes of the source that an operation which reads its own format gets to plan on.
const HEAD: usize = 64 << 10;

/// An operation ready to be called.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) plugin: Plugin,
    pub(super) description: Description,
}

/// Everything a worker process has loaded.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) operations: HashMap<String, Operation>,
    pub(super) limits: Limits,
    pub(super) memory_limit: u64,
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
        let operation = self.operation(task)?;
        let Some(header) = self.header(operation, task, head, complete)? else { return Ok(None) };
        let plan = self.plan(operation, task, &header)?;
        let peak_bytes = self.peak(&header, &plan)?;
        let placeholder = match task.format {
            None => Vec::new(),
            Some(format) => placeholder::draw(&Placeholder {
                width: plan.width,
                height: plan.height,
                format,
                failed: false,
            })?,
        };
        Ok(Some((Prepared { width: plan.width, height: plan.height, peak_bytes }, placeholder)))
    }

    /// Does the work; gives width, height and the encoded result.
    pub(super) fn run(
        &self,
        task: &Task,
        source: Vec<u8>,
        host: &dyn Host,
    ) -> Result<(u32, u32, Vec<u8>), Fault> {
        let operation = self.operation(task)?;
        let header = self.header(operation, task, &source, true)?.ok_or_else(|| {
            Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")
        })?;
        let plan = self.plan(operation, task, &header)?;
        let call = Call { operation, args: args_json(&task.args), header: &header.source, host };
        let mut sink = Sink { task, plan: &plan, loops: Loops::Times(1), encoder: None, encoded: None };
        match (&operation.description.input, &header.codec) {
            (InputKind::Encoded { .. }, _) => {
                sink.take(&call.run(RunInput::Encoded(&source), Window::FULL)?)?
            }
            (InputKind::Pixels { formats, frames }, Some(header)) => {
                let mut decoder =
                    Decoder::new(&source, header, &plan.decode, &self.codec_limits()).map_err(codec_fault)?;
                sink.loops = decoder.loops();
                match frames {
                    Frames::Each => each_frame(&call, &mut decoder, formats, &mut sink)?,
                    Frames::All => all_frames(&call, &mut decoder, formats, &mut sink)?,
                }
            }
            (InputKind::Pixels { .. }, None) => {
                return Err(Fault::new(FaultKind::UnreadableSource, "the source is not an image"));
            }
        }
        let result = sink.finish()?;
        if result.len() as u64 > self.limits.max_result_mb << 20 {
            let (have, limit) = (result.len() >> 20, self.limits.max_result_mb);
            let text = format!("the result has {have} MiB, more than [limits] max_result_mb = {limit}");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok((plan.width, plan.height, result))
    }

    fn operation(&self, task: &Task) -> Result<&Operation, Fault> {
        self.operations.get(&task.operation).ok_or_else(|| {
            Fault::new(FaultKind::OperationFailed, format!("operation `{}` is not loaded", task.operation))
        })
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
            Some(formats) => formats.iter().any(|format| format == header.format.name()),
        };
        if !fits {
            let text = format!("the source is {}, which `{}` does not take", header.format, task.operation);
            return Err(refuse(Fault::new(FaultKind::UnreadableSource, text)));
        }
        let head = if taken.is_some() { bytes[..bytes.len().min(HEAD)].to_vec() } else { Vec::new() };
        Ok(Some(Header { source: header.source(head), codec: Some(header) }))
    }

    fn plan(&self, operation: &Operation, task: &Task, header: &Header) -> Result<Plan, Fault> {
        let args = args_json(&task.args);
        let plan =
            operation.plugin.plan(&args, &header.source).map_err(|error| plugin_fault(operation, error))?;
        let pixels = u64::from(plan.width) * u64::from(plan.height);
        if pixels > self.limits.max_output_pixels {
            let text = format!(
                "the result would have {pixels} pixels, more than [limits] max_output_pixels = {}",
                self.limits.max_output_pixels
            );
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        if let Some(format) = task.format
            && plan.width.max(plan.height) > format.max_side()
        {
            let text = format!("a side of a {format} is at most {} pixels", format.max_side());
            return Err(Fault::new(FaultKind::InvalidArgument, text));
        }
        Ok(plan)
    }

    /// Estimated peak of the run: the decoder's, the operation's, the result's pixels and its encoder's copy.
    fn peak(&self, header: &Header, plan: &Plan) -> Result<u64, Fault> {
        let decode = header.codec.as_ref().map_or(0, |header| codec::estimate(header, &plan.decode));
        let output =
            PixelFormat::Rgba8.bytes(plan.width, plan.height).max(plan.pixels.bytes(plan.width, plan.height));
        let peak = decode.saturating_add(plan.peak_bytes).saturating_add(output.saturating_mul(2));
        if peak > self.memory_limit {
            let (need, have) = (peak >> 20, self.memory_limit >> 20);
            let text =
                format!("the work would take about {need} MiB, more than [workers] memory_limit_mb = {have}");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        Ok(peak)
    }
}

/// One operation called on one source.
struct Call<'a> {
    operation: &'a Operation,
    args: Vec<u8>,
    header: &'a SourceHeader,
    host: &'a dyn Host,
}

impl Call<'_> {
    fn run(&self, input: RunInput<'_>, window: Window) -> Result<Results, Fault> {
        self.operation
            .plugin
            .run(&self.args, self.header, input, window, self.host)
            .map_err(|error| plugin_fault(self.operation, error))
    }
}

fn each_frame(
    call: &Call<'_>,
    decoder: &mut Decoder<'_>,
    formats: &[PixelFormat],
    sink: &mut Sink<'_>,
) -> Result<(), Fault> {
    while let Some(frame) = decoder.next_frame().map_err(codec_fault)? {
        let image = accepted(frame.image, formats);
        let results = call.run(RunInput::Pixels(image.as_ref()), decoder.window())?;
        sink.take_frame(&results, frame.delay_ms)?;
        if !sink.animates() {
            break;
        }
    }
    Ok(())
}

fn all_frames(
    call: &Call<'_>,
    decoder: &mut Decoder<'_>,
    formats: &[PixelFormat],
    sink: &mut Sink<'_>,
) -> Result<(), Fault> {
    let mut images = Vec::new();
    while let Some(frame) = decoder.next_frame().map_err(codec_fault)? {
        images.push((accepted(frame.image, formats), frame.delay_ms));
    }
    let frames: Vec<(ImageRef<'_>, u32)> =
        images.iter().map(|(image, delay)| (image.as_ref(), *delay)).collect();
    sink.take(&call.run(RunInput::Frames(&frames), decoder.window())?)
}

/// The image in a pixel format that the operation takes.
fn accepted(image: Image, formats: &[PixelFormat]) -> Image {
    let wanted = codec::pick_format(formats, image.format());
    if wanted == image.format() { image } else { codec::convert(image.as_ref(), wanted) }
}

/// Where results go: into the destination's format.
struct Sink<'a> {
    task: &'a Task,
    plan: &'a Plan,
    /// How often the source's animation is played.
    loops: Loops,
    encoder: Option<Encoder>,
    encoded: Option<Vec<u8>>,
}

impl Sink<'_> {
    fn animates(&self) -> bool {
        self.task.format.is_some_and(Format::can_animate)
    }

    fn take(&mut self, results: &Results) -> Result<(), Fault> {
        self.take_frame(results, 0)
    }

    /// Takes a run's results; a single frame's delay is its source frame's.
    fn take_frame(&mut self, results: &Results, delay_ms: u32) -> Result<(), Fault> {
        for product in results.products().map_err(|error| contract(&error.to_string()))? {
            match product {
                Product::Encoded(bytes) => self.take_encoded(bytes)?,
                Product::Pixels(image, own_delay) => self.push(image, own_delay.max(delay_ms))?,
            }
        }
        Ok(())
    }

    fn take_encoded(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.task.format.is_some() || self.encoded.is_some() {
            return Err(contract("gave encoded bytes where pixels were described"));
        }
        self.encoded = Some(bytes.to_vec());
        Ok(())
    }

    fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), Fault> {
        let Some(format) = self.task.format else {
            return Err(contract("gave pixels where encoded bytes were described"));
        };
        if (image.width(), image.height()) != (self.plan.width, self.plan.height) {
            return Err(contract(&format!(
                "planned {}x{} and gave {}x{}",
                self.plan.width,
                self.plan.height,
                image.width(),
                image.height()
            )));
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => {
                let options = EncodeOptions {
                    quality: self.task.quality,
                    loops: self.loops,
                    ..EncodeOptions::default()
                };
                let new =
                    Encoder::new(format, &options, image.width(), image.height()).map_err(codec_fault)?;
                self.encoder.insert(new)
            }
        };
        encoder.push(image, delay_ms).map_err(codec_fault)
    }

    fn finish(self) -> Result<Vec<u8>, Fault> {
        match (self.encoder, self.encoded) {
            (Some(encoder), _) => encoder.finish().map_err(codec_fault),
            (None, Some(bytes)) => Ok(bytes),
            (None, None) => Err(Fault::new(FaultKind::UnreadableSource, "the source has no picture")),
        }
    }
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

fn contract(text: &str) -> Fault {
    Fault::new(FaultKind::OperationFailed, format!("the plugin broke its contract: {text}"))
}

fn plugin_fault(operation: &Operation, error: PluginError) -> Fault {
    let Description { name, version, .. } = &operation.description;
    match error {
        PluginError::Operation(error) => {
            let kind = match error.kind() {
                ErrorKind::MissingArgument => FaultKind::MissingArgument,
                ErrorKind::WrongType => FaultKind::WrongType,
                ErrorKind::InvalidArgument => FaultKind::InvalidArgument,
                ErrorKind::UnsupportedSource => FaultKind::UnreadableSource,
                ErrorKind::SourceTooSmall => FaultKind::SourceTooSmall,
                ErrorKind::LimitExceeded => FaultKind::LimitExceeded,
                ErrorKind::Failed => FaultKind::OperationFailed,
            };
            Fault::new(kind, format!("{name} {version}: {}", error.message()))
        }
        error => Fault::new(FaultKind::OperationFailed, format!("plugin {name} {version} {error}")),
    }
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
