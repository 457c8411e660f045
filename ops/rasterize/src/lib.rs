//! imgserve's builtin operation `rasterize`: an SVG drawing in, pixels out.
//!
//! A drawing comes from a stranger. It is given the fonts built in here and the images it carries itself; it
//! reads no file and reaches no server. What it would take of time and memory is counted before it is drawn; what that
//! does not foresee is the host's to bound.
//!
//! # Layout
//! - `args`: what a request may say
//! - `fonts`: the bundled fonts
//! - `parse`: from its bytes to a tree; `css`: what the parser would not understand; `limits`: what it may cost
//! - `frame`: which part of its plane is shown
//! - `resources`: what a drawing may refer to
//! - `render`: where it goes, and its pixels
//! - `cut`: patterns that are larger than what shows of them
//! - `vello`: the fast renderer, and which drawings are left to resvg
//!
//! # Text
//! The fonts are read once per process. What takes the time of a chart with much text is usvg's: each run of text is
//! shaped by itself, with the font's tables looked up anew (`ShaperData` in usvg's `layout.rs`), and outlined letter by
//! letter. From outside only one thing could be saved, and is: see `fonts::without_kern`.

mod args;
mod css;
mod cut;
mod fonts;
mod frame;
mod limits;
mod parse;
mod render;
mod resources;
mod vello;

use std::time::Duration;

use imgserve_drawing as drawing;
use imgserve_sdk::serde::Deserialize;
use imgserve_sdk::serde_json::json;
use imgserve_sdk::{
    Description, Error, ErrorKind, Flow, Host, InputKind, Level, Operation, Output, OutputKind, PixelFormat,
    Plan, Source, SourceHeader,
};
use resvg::usvg::{self, Options};

pub use args::{Args, Fit};

use frame::Frame;
use render::Wanted;

/// Canvases that a drawing may reasonably need at once, the result's included: a few layers (opacity, masks, clips)
/// and the two or three buffers of a filter in resvg, tiles of coverage in vello_cpu.
const LAYERS: u64 = 4;
/// Bytes for the parsed drawing, its text as outlines and one embedded image.
const DRAWING_BYTES: u64 = 64 << 20;
/// Bytes of an element, as a tree has it.
const ELEMENT_BYTES: u64 = 1 << 10;

/// Draws an SVG of any size at a width and height in pixels.
///
/// The result is `rgba8` of exactly the planned size.
#[derive(Debug)]
pub struct Rasterize;

impl Operation for Rasterize {
    type Args = Args;

    fn describe() -> Description {
        let description = Description::new::<Args>(
            "rasterize",
            env!("CARGO_PKG_VERSION"),
            "Draws an SVG at a width and height in pixels.",
        );
        Description {
            input: InputKind::Encoded { formats: vec!["svg".to_owned()] },
            output: OutputKind::Image { format: "png".to_owned() },
            ..description
        }
        .example("stretched to 800 by 600", json!({ "width": 800, "height": 600 }))
        .example("as large as it is", json!({}))
        .example("800 pixels wide", json!({ "width": 800 }))
        .example("an icon in the middle of a square", json!({ "width": 64, "height": 64, "fit": "contain" }))
        .example(
            "at most 1200 pixels a side, on white",
            json!({ "width": 1200, "height": 1200, "fit": "inside", "background": "white" }),
        )
    }

    fn plan(args: &Args, source: &SourceHeader, host: &dyn Host) -> Result<Plan, Error> {
        args.check()?;
        check_beginning(&source.head)?;
        let drawing = parse::foreseen(&source.head)?;
        let frame = drawing.as_ref().map(|drawing| drawing.frame);
        let wanted = wanted(args, source, (&source.head, frame), host)?;
        let size = wanted.size;
        let mut plan = Plan::new(size.width, size.height, PixelFormat::Rgba8);
        let layers = PixelFormat::Rgba8.bytes(size.width, size.height).saturating_mul(LAYERS);
        let (mut tree, mut work) = (DRAWING_BYTES, parse::unseen(&source.head));
        if let Some(mut drawing) = drawing {
            work = render::work(&mut drawing, &wanted)?.bytes;
            tree = tree.max(drawing.census.elements.saturating_mul(ELEMENT_BYTES));
            parse::keep(&source.head, drawing);
        }
        plan.peak_bytes = layers.max(work).saturating_add(tree);
        Ok(plan)
    }

    fn run(args: &Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error> {
        let bytes = source.encoded()?;
        let drawing = parse::parse(bytes)?;
        if let Some(why) = &drawing.unconverted {
            host.log(Level::Warn, why);
        }
        let wanted = wanted(args, source.header, (bytes, Some(drawing.frame)), host)?;
        let go_on = |done| host.progress(done) == Flow::Continue;
        if !go_on(0.25) {
            return Err(render::stopped());
        }
        render::render(&drawing, &wanted, &|| go_on(0.3)).map(Output::Pixels)
    }
}

#[cfg(feature = "plugin")]
imgserve_sdk::export_operation!(Rasterize);

/// What the host tells of the operation's section.
#[derive(Deserialize)]
#[serde(crate = "imgserve_sdk::serde")]
struct Config {
    /// Milliseconds that a call may take; counts are held to it.
    #[serde(default = "default_time_ms")]
    time_limit_ms: u64,
}

/// What a host gives a plugin that has no limit of its own.
fn default_time_ms() -> u64 {
    5000
}

fn wanted<'a>(
    args: &'a Args,
    source: &SourceHeader,
    (bytes, frame): (&[u8], Option<Frame>),
    host: &dyn Host,
) -> Result<Wanted<'a>, Error> {
    let Config { time_limit_ms } = host.parse_config()?;
    let size = planned_size(args, source, bytes, frame)?;
    Ok(Wanted { args, size, time: Duration::from_millis(time_limit_ms) })
}

/// The result's size. It is the same whether `bytes` are all of the drawing or those that a host shows first; `frame` is known as
/// soon as all are.
fn planned_size(
    args: &Args,
    source: &SourceHeader,
    bytes: &[u8],
    frame: Option<Frame>,
) -> Result<render::Size, Error> {
    let Some(argument) = args.needs_size() else {
        return render::output_size(args, (1.0, 1.0));
    };
    let positive = |(width, height): &(f64, f64)| *width > 0.0 && *height > 0.0;
    let said = match drawing::shape_at_once(&drawing::beginning(&bytes[..bytes.len().min(parse::HEAD)])) {
        Some(shape) => shape.sides(),
        // What the host has read is in whole pixels.
        None => Some((f64::from(source.width), f64::from(source.height))),
    };
    let shown = || frame.map(|frame| frame.sides());
    let sides = said.filter(positive).or_else(shown).ok_or_else(|| {
        let text = "the drawing's own width and height are not known, and `fit` = `inside` and a side that is not given need them";
        Error::new(ErrorKind::UnsupportedSource, text).about_argument(argument)
    })?;
    render::output_size(args, sides)
}

/// Refuses at once what the first bytes show to be no SVG. An empty beginning was not read, and passes.
fn check_beginning(head: &[u8]) -> Result<(), Error> {
    let beginning = drawing::beginning(&head[..head.len().min(parse::HEAD)]);
    if beginning.trim_start().starts_with(|letter: char| letter != '<') {
        return Err(invalid(&"it does not begin as an XML document does"));
    }
    Ok(())
}

fn invalid(text: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::UnsupportedSource, format!("not a valid SVG: {text}"))
}

fn unsupported(error: &usvg::Error) -> Error {
    match error {
        usvg::Error::ElementsLimitReached
        | usvg::Error::ParsingFailed(usvg::roxmltree::Error::NodesLimitReached) => {
            invalid(&"it has too many elements, or too many inside one another")
        }
        usvg::Error::InvalidSize => invalid(&"its width, height or viewBox is not positive"),
        usvg::Error::ParsingFailed(error) => invalid(error),
        // Of bytes that are not text already, which never reach the parser.
        error => invalid(error),
    }
}

/// How a drawing is parsed: 96 dots per inch as CSS has them, English where `systemLanguage` asks, and nothing
/// of the machine's.
fn options() -> Options<'static> {
    Options {
        resources_dir: None,
        dpi: 96.0,
        languages: vec!["en".to_owned()],
        font_family: fonts::DEFAULT_FAMILY.to_owned(),
        fontdb: fonts::database(),
        font_resolver: fonts::resolver(),
        image_href_resolver: resources::resolver(resources::Notes::default()),
        ..Options::default()
    }
}
