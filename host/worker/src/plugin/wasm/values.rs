//! The types of the WIT, as wasmtime passes them: what goes in is borrowed, what comes out is read where it lies.
//! Documented in `sdk/wit`; the names here are the WIT's.
#![allow(dead_code, reason = "a lifted enum's variants are constructed by wasmtime's derive alone")]

use imgserve_base::fault::one_line;
use imgserve_sdk as sdk;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Lift, Lower, WasmList, WasmStr};

/// Longest text of an error, in bytes.
pub(super) const MAX_TEXT: usize = 1000;

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum PixelFormat {
    #[component(name = "gray8")]
    Gray8,
    #[component(name = "rgb8")]
    Rgb8,
    #[component(name = "rgba8")]
    Rgba8,
    #[component(name = "rgba16")]
    Rgba16,
}

impl PixelFormat {
    fn of(format: sdk::PixelFormat) -> Self {
        match format {
            sdk::PixelFormat::Gray8 => Self::Gray8,
            sdk::PixelFormat::Rgb8 => Self::Rgb8,
            sdk::PixelFormat::Rgba8 => Self::Rgba8,
            sdk::PixelFormat::Rgba16 => Self::Rgba16,
        }
    }

    pub(super) fn into_sdk(self) -> sdk::PixelFormat {
        match self {
            Self::Gray8 => sdk::PixelFormat::Gray8,
            Self::Rgb8 => sdk::PixelFormat::Rgb8,
            Self::Rgba8 => sdk::PixelFormat::Rgba8,
            Self::Rgba16 => sdk::PixelFormat::Rgba16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl Level {
    pub(super) fn into_sdk(self) -> sdk::Level {
        match self {
            Self::Debug => sdk::Level::Debug,
            Self::Info => sdk::Level::Info,
            Self::Warn => sdk::Level::Warn,
            Self::Error => sdk::Level::Error,
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Flow {
    #[component(name = "continue")]
    Continue,
    #[component(name = "cancelled")]
    Cancelled,
}

impl Flow {
    pub(super) fn of(flow: sdk::Flow) -> Self {
        match flow {
            sdk::Flow::Continue => Self::Continue,
            sdk::Flow::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct SourceHeader<'a> {
    format: &'a str,
    width: u32,
    height: u32,
    frames: Option<u32>,
    pixels: PixelFormat,
}

impl<'a> SourceHeader<'a> {
    pub(super) fn of(header: &'a sdk::SourceHeader) -> Self {
        Self {
            format: &header.format,
            width: header.width,
            height: header.height,
            frames: header.frames,
            pixels: PixelFormat::of(header.pixels),
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Image<'a> {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: &'a [u8],
}

impl<'a> Image<'a> {
    pub(super) fn of(image: sdk::ImageRef<'a>) -> Self {
        Self {
            width: image.width(),
            height: image.height(),
            format: PixelFormat::of(image.format()),
            data: image.data(),
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Frame<'a> {
    image: Image<'a>,
    #[component(name = "delay-ms")]
    delay_ms: u32,
}

impl<'a> Frame<'a> {
    pub(super) fn of(&(image, delay_ms): &(sdk::ImageRef<'a>, u32)) -> Self {
        Self { image: Image::of(image), delay_ms }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Window {
    x: f64,
    y: f64,
    scale: f64,
}

impl Window {
    fn of(sdk::Window { x, y, scale }: sdk::Window) -> Self {
        Self { x, y, scale }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct PixelSource<'a> {
    image: Image<'a>,
    window: Window,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct FrameSource<'a> {
    frames: &'a [Frame<'a>],
    window: Window,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(variant)]
pub(super) enum Input<'a> {
    #[component(name = "pixels")]
    Pixels(PixelSource<'a>),
    #[component(name = "frames")]
    Frames(FrameSource<'a>),
    #[component(name = "encoded")]
    Encoded(&'a [u8]),
}

impl<'a> Input<'a> {
    pub(super) fn pixels(image: sdk::ImageRef<'a>, window: sdk::Window) -> Self {
        Self::Pixels(PixelSource { image: Image::of(image), window: Window::of(window) })
    }

    pub(super) fn frames(frames: &'a [Frame<'a>], window: sdk::Window) -> Self {
        Self::Frames(FrameSource { frames, window: Window::of(window) })
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct OutputImage {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: PixelFormat,
    pub(super) data: WasmList<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct OutputFrame {
    pub(super) image: OutputImage,
    #[component(name = "delay-ms")]
    pub(super) delay_ms: u32,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Output {
    #[component(name = "pixels")]
    Pixels(OutputImage),
    #[component(name = "frames")]
    Frames(WasmList<OutputFrame>),
    #[component(name = "encoded")]
    Encoded(WasmList<u8>),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Rect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct DecodeHint {
    #[component(name = "min-scale")]
    min_scale: Option<f64>,
    region: Option<Rect>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Plan {
    width: u32,
    height: u32,
    pixels: PixelFormat,
    decode: DecodeHint,
    #[component(name = "peak-bytes")]
    peak_bytes: u64,
}

impl Plan {
    /// The plan, or what is impossible about it.
    pub(super) fn into_sdk(self) -> Result<sdk::Plan, String> {
        let Self { width, height, pixels, decode, peak_bytes } = self;
        if width == 0 || height == 0 {
            return Err(format!("planned {width}x{height} pixels"));
        }
        let region = decode.region.map(|Rect { x, y, width, height }| sdk::Rect { x, y, width, height });
        let decode = sdk::DecodeHint { min_scale: decode.min_scale, region };
        Ok(sdk::Plan { width, height, pixels: pixels.into_sdk(), decode, peak_bytes })
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(super) enum ErrorKind {
    #[component(name = "missing-argument")]
    MissingArgument,
    #[component(name = "wrong-type")]
    WrongType,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "unsupported-source")]
    UnsupportedSource,
    #[component(name = "source-too-small")]
    SourceTooSmall,
    #[component(name = "limit-exceeded")]
    LimitExceeded,
    #[component(name = "failed")]
    Failed,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Error {
    kind: ErrorKind,
    message: WasmStr,
    argument: Option<WasmStr>,
}

impl Error {
    /// The error, its texts read where they lie and cut to a line of a sensible length; or what is wrong with them.
    pub(super) fn into_sdk<T: 'static>(self, store: &Store<T>) -> Result<sdk::Error, String> {
        let kind = match self.kind {
            ErrorKind::MissingArgument => sdk::ErrorKind::MissingArgument,
            ErrorKind::WrongType => sdk::ErrorKind::WrongType,
            ErrorKind::InvalidArgument => sdk::ErrorKind::InvalidArgument,
            ErrorKind::UnsupportedSource => sdk::ErrorKind::UnsupportedSource,
            ErrorKind::SourceTooSmall => sdk::ErrorKind::SourceTooSmall,
            ErrorKind::LimitExceeded => sdk::ErrorKind::LimitExceeded,
            ErrorKind::Failed => sdk::ErrorKind::Failed,
        };
        let line = |text: WasmStr| {
            let text =
                text.to_str(store).map_err(|error| format!("gave an error that is no text: {error:#}"))?;
            Ok::<_, String>(one_line(&text, MAX_TEXT))
        };
        let error = sdk::Error::new(kind, line(self.message)?);
        match self.argument {
            Some(argument) => Ok(error.about_argument(&line(argument)?)),
            None => Ok(error),
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(super) enum FrameMode {
    #[component(name = "each")]
    Each,
    #[component(name = "all")]
    All,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct PixelInput {
    formats: Vec<PixelFormat>,
    frames: FrameMode,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum InputKind {
    #[component(name = "pixels")]
    Pixels(PixelInput),
    #[component(name = "encoded")]
    Encoded(Vec<String>),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Media {
    #[component(name = "media-type")]
    media_type: String,
    extension: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum OutputKind {
    #[component(name = "source")]
    Source,
    #[component(name = "image")]
    Image(String),
    #[component(name = "encoded")]
    Encoded(Media),
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Example {
    name: String,
    arguments: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Description {
    name: String,
    version: String,
    summary: String,
    input: InputKind,
    output: OutputKind,
    arguments: String,
    examples: Vec<Example>,
}

impl Description {
    /// The description, or what is wrong with its JSON.
    pub(super) fn into_sdk(self) -> Result<sdk::Description, String> {
        let json = |what: &str, text: &str| {
            serde_json::from_str(text)
                .map_err(|error| format!("{what} in its description is not JSON: {error}"))
        };
        Ok(sdk::Description {
            input: match self.input {
                InputKind::Pixels(PixelInput { formats, frames }) => sdk::InputKind::Pixels {
                    formats: formats.into_iter().map(PixelFormat::into_sdk).collect(),
                    frames: match frames {
                        FrameMode::Each => sdk::Frames::Each,
                        FrameMode::All => sdk::Frames::All,
                    },
                },
                InputKind::Encoded(formats) => sdk::InputKind::Encoded { formats },
            },
            output: match self.output {
                OutputKind::Source => sdk::OutputKind::Source,
                OutputKind::Image(format) => sdk::OutputKind::Image { format },
                OutputKind::Encoded(Media { media_type, extension }) => {
                    sdk::OutputKind::Encoded { media_type, extension }
                }
            },
            arguments: json("the arguments' schema", &self.arguments)?,
            examples: self
                .examples
                .iter()
                .map(|example| {
                    let arguments = json("an example", &example.arguments)?;
                    Ok(sdk::Example { name: example.name.clone(), arguments })
                })
                .collect::<Result<_, String>>()?,
            name: self.name,
            version: self.version,
            summary: self.summary,
        })
    }
}
