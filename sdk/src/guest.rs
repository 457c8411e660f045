//! The plugin's side of the WIT: from an [`Operation`] to a component's exports. Only in wasm32 builds; used through
//! [`export_operation!`](crate::export_operation). `codec` does the same for a codec.
#![doc(hidden)]

pub mod codec;

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::sync::Once;

use crate::{
    DecodeHint, Description, Error, ErrorKind, Flow, Frame, Frames, Host, Image, Input, InputKind, Level,
    Operation, Output, OutputKind, PixelFormat, Pixels, Plan, Rect, Source, SourceHeader, Window, arguments,
};

#[allow(missing_docs, unsafe_code, clippy::all, reason = "written by wit-bindgen")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        world: "operation",
        pub_export_macro: true,
    });
}

pub use bindings::export;
use bindings::exports::imgserve::operation::plugin::Guest;
use bindings::imgserve::operation::{host, types as wit};

/// Operation `O` as the component's exports.
#[derive(Debug)]
pub struct Component<O>(PhantomData<O>);

impl<O: Operation> Guest for Component<O> {
    fn describe() -> wit::Description {
        report_panics(|text| host::log(host::Level::Error, text));
        describe(O::describe())
    }

    fn plan(args: String, source: wit::SourceHeader, head: Vec<u8>) -> Result<wit::Plan, wit::Error> {
        report_panics(|text| host::log(host::Level::Error, text));
        let planned = arguments::parse(args.as_bytes())
            .and_then(|args| O::plan(&args, &header(source, head), &WitHost::default()));
        planned.map(plan).map_err(error)
    }

    fn run(args: String, source: wit::SourceHeader, input: wit::Input) -> Result<wit::Output, wit::Error> {
        report_panics(|text| host::log(host::Level::Error, text));
        let header = header(source, Vec::new());
        run::<O>(&args, &header, input).map(output).map_err(error)
    }
}

fn run<O: Operation>(args: &str, header: &SourceHeader, input: wit::Input) -> Result<Output, Error> {
    let args = arguments::parse(args.as_bytes())?;
    let host = WitHost::default();
    let call = |input| O::run(&args, Source { header, input }, &host);
    match input {
        wit::Input::Pixels(source) => {
            let image = Pixels::Owned(image(source.image)?);
            call(Input::Pixels { image, window: window(source.window) })
        }
        wit::Input::Frames(source) => {
            let frames = source
                .frames
                .into_iter()
                .map(|frame| Ok((image(frame.image)?, frame.delay_ms)))
                .collect::<Result<Vec<_>, Error>>()?;
            let frames: Vec<_> = frames.iter().map(|(image, delay)| (image.as_ref(), *delay)).collect();
            call(Input::Frames { frames: &frames, window: window(source.window) })
        }
        wit::Input::Encoded(bytes) => call(Input::Encoded(&bytes)),
    }
}

/// A panic becomes a trap, which has no text; its message goes to the host before, by its `log`.
fn report_panics(log: fn(&str)) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or("unknown panic");
            let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
            log(&format!("panicked{}: {text}", place.unwrap_or_default()));
        }));
    });
}

/// The host's functions, as an operation sees them.
#[derive(Default)]
struct WitHost {
    config: OnceCell<String>,
}

impl Host for WitHost {
    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, message);
    }

    fn progress(&self, done: f32) -> Flow {
        match host::progress(done) {
            host::Flow::Continue => Flow::Continue,
            host::Flow::Cancelled => Flow::Cancelled,
        }
    }

    fn random(&self) -> u64 {
        host::random()
    }

    fn config(&self) -> &str {
        self.config.get_or_init(host::config)
    }
}

fn describe(description: Description) -> wit::Description {
    wit::Description {
        name: description.name,
        version: description.version,
        summary: description.summary,
        input: match description.input {
            InputKind::Pixels { formats, frames } => wit::InputKind::Pixels(wit::PixelInput {
                formats: formats.into_iter().map(pixel_format).collect(),
                frames: match frames {
                    Frames::Each => wit::FrameMode::Each,
                    Frames::All => wit::FrameMode::All,
                },
            }),
            InputKind::Encoded { formats } => wit::InputKind::Encoded(formats),
        },
        output: match description.output {
            OutputKind::Source => wit::OutputKind::Source,
            OutputKind::Image { format } => wit::OutputKind::Image(format),
            OutputKind::Encoded { media_type, extension } => {
                wit::OutputKind::Encoded(wit::Media { media_type, extension })
            }
        },
        arguments: description.arguments.to_string(),
        examples: description
            .examples
            .into_iter()
            .map(|example| wit::Example { name: example.name, arguments: example.arguments.to_string() })
            .collect(),
    }
}

fn header(source: wit::SourceHeader, head: Vec<u8>) -> SourceHeader {
    SourceHeader {
        format: source.format,
        width: source.width,
        height: source.height,
        frames: source.frames,
        pixels: own_format(source.pixels),
        head,
    }
}

fn plan(plan: Plan) -> wit::Plan {
    let rect = |rect: Rect| wit::Rect { x: rect.x, y: rect.y, width: rect.width, height: rect.height };
    let DecodeHint { min_scale, region } = plan.decode;
    wit::Plan {
        width: plan.width,
        height: plan.height,
        pixels: pixel_format(plan.pixels),
        decode: wit::DecodeHint { min_scale, region: region.map(rect) },
        peak_bytes: plan.peak_bytes,
    }
}

fn window(window: wit::Window) -> Window {
    Window { x: window.x, y: window.y, scale: window.scale }
}

fn pixel_format(format: PixelFormat) -> wit::PixelFormat {
    match format {
        PixelFormat::Gray8 => wit::PixelFormat::Gray8,
        PixelFormat::Rgb8 => wit::PixelFormat::Rgb8,
        PixelFormat::Rgba8 => wit::PixelFormat::Rgba8,
        PixelFormat::Rgba16 => wit::PixelFormat::Rgba16,
    }
}

fn own_format(format: wit::PixelFormat) -> PixelFormat {
    match format {
        wit::PixelFormat::Gray8 => PixelFormat::Gray8,
        wit::PixelFormat::Rgb8 => PixelFormat::Rgb8,
        wit::PixelFormat::Rgba8 => PixelFormat::Rgba8,
        wit::PixelFormat::Rgba16 => PixelFormat::Rgba16,
    }
}

fn image(image: wit::Image) -> Result<Image, Error> {
    Image::new(image.width, image.height, own_format(image.format), image.data)
}

fn output(output: Output) -> wit::Output {
    let pixels = |image: Image| wit::Image {
        width: image.width(),
        height: image.height(),
        format: pixel_format(image.format()),
        data: image.into_data(),
    };
    match output {
        Output::Pixels(image) => wit::Output::Pixels(pixels(image)),
        Output::Frames(frames) => {
            let frame = |Frame { image, delay_ms }| wit::Frame { image: pixels(image), delay_ms };
            wit::Output::Frames(frames.into_iter().map(frame).collect())
        }
        Output::Encoded(bytes) => wit::Output::Encoded(bytes),
    }
}

fn error(error: Error) -> wit::Error {
    wit::Error {
        kind: match error.kind() {
            ErrorKind::MissingArgument => wit::ErrorKind::MissingArgument,
            ErrorKind::WrongType => wit::ErrorKind::WrongType,
            ErrorKind::InvalidArgument => wit::ErrorKind::InvalidArgument,
            ErrorKind::UnsupportedSource => wit::ErrorKind::UnsupportedSource,
            ErrorKind::SourceTooSmall => wit::ErrorKind::SourceTooSmall,
            ErrorKind::LimitExceeded => wit::ErrorKind::LimitExceeded,
            ErrorKind::Failed => wit::ErrorKind::Failed,
        },
        message: error.message().to_owned(),
        argument: error.argument().map(str::to_owned),
    }
}
