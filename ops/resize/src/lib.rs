//! imgserve's builtin operation `resize`: pixels of one size in, pixels of another size out.
//!
//! Pixels arrive upright, in sRGB and frame by frame; file formats, orientation, colour profiles and animation
//! are the host's.
//!
//! # Layout
//! - `args`: what a request may say
//! - `geometry`: sizes, crop and place, from numbers alone
//! - `resample`: the new pixels, by fast_image_resize; `linear`: the same in linear light
//! - `paint`: the background, under the picture and around it

mod args;
mod geometry;
mod linear;
mod paint;
mod resample;

use imgserve_sdk::serde_json::json;
use imgserve_sdk::{
    DecodeHint, Description, Error, ErrorKind, Host, Operation, Output, Plan, Source, SourceHeader,
};

pub use args::{Args, Filter, Fit, Gravity};

use args::MAX_SIDE;
use geometry::{Geometry, Size};

/// Scales an image, cropping or padding it where its shape is another than asked.
///
/// The result has exactly the planned size, and the source's pixel format save for bars of a colour that this
/// format cannot hold.
#[derive(Debug)]
pub struct Resize;

impl Operation for Resize {
    type Args = Args;

    fn describe() -> Description {
        Description::new::<Args>(
            "resize",
            env!("CARGO_PKG_VERSION"),
            "Scales an image to a width and height, cropping or padding it where its shape is another.",
        )
        .example("a thumbnail, cropped to shape", json!({ "width": 200, "height": 120 }))
        .example(
            "the whole picture on a white square",
            json!({ "width": 800, "height": 800, "fit": "contain", "gravity": "center", "background": "white" }),
        )
        .example("at most 1600 pixels a side", json!({ "width": 1600, "height": 1600, "fit": "inside" }))
        .example(
            "pixel art, four times as large",
            json!({ "width": 256, "height": 256, "fit": "fill", "enlarge": true, "filter": "nearest" }),
        )
    }

    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        args.check()?;
        let size = source_size(source)?;
        let geometry = geometry(args, size);
        check_output(args, size, geometry.output)?;
        let bars = if geometry.has_bars() {
            source.pixels.bytes(geometry.shown.width, geometry.shown.height)
        } else {
            0
        };
        let resampling = match args.averages_light() {
            true => linear::peak_bytes(source.pixels, size, &geometry, args.filter),
            false => resample::peak_bytes(source.pixels, size, &geometry),
        };
        Ok(Plan {
            width: geometry.output.width,
            height: geometry.output.height,
            pixels: paint::output_format(source.pixels, &geometry, args.background),
            decode: decode_hint(args, &geometry, size),
            peak_bytes: resampling.saturating_add(bars),
        })
    }

    fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let (image, window) = source.pixels()?;
        let geometry = geometry(args, source_size(source.header)?);
        let crop = window.to_image(geometry.crop, image.width(), image.height());
        let mut shown = match args.averages_light() {
            true => linear::resample(image, crop, geometry.shown, args.filter)?,
            false => resample::resample(image, crop, geometry.shown, args.filter)?,
        };
        if args.background.is_opaque() {
            paint::flatten(&mut shown, args.background);
        }
        if geometry.has_bars() {
            shown = paint::with_bars(&shown, &geometry, args.background)?;
        }
        Ok(Output::Pixels(shown))
    }
}

#[cfg(feature = "plugin")]
imgserve_sdk::export_operation!(Resize);

fn geometry(args: &Args, source: Size) -> Geometry {
    Geometry::new(source, Size { width: args.width, height: args.height }, args.fit, args.gravity)
}

fn source_size(source: &SourceHeader) -> Result<Size, Error> {
    if source.width == 0 || source.height == 0 {
        let text = format!("cannot resize a source of format `{}`: its size is not known", source.format);
        return Err(Error::new(ErrorKind::UnsupportedSource, text));
    }
    Ok(Size { width: source.width, height: source.height })
}

/// Whether a result of this size may be made: it must not be larger than the source in either direction unless
/// `enlarge` allows it (the rule of 0.2, for every fit alike), and not larger than any format could hold.
fn check_output(args: &Args, source: Size, output: Size) -> Result<(), Error> {
    let Size { width, height } = output;
    if !args.enlarge && (source.width < width || source.height < height) {
        let text = format!(
            "the source has {}x{} pixels, fewer than the result's {width}x{height}; `enlarge` would allow it",
            source.width, source.height
        );
        return Err(Error::new(ErrorKind::SourceTooSmall, text));
    }
    if width.max(height) > MAX_SIDE {
        let text = format!("the result would have {width}x{height} pixels; a side has at most {MAX_SIDE}");
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    Ok(())
}

/// Nearest picks single pixels of the source, so it must see every one of them; the others average.
fn decode_hint(args: &Args, geometry: &Geometry, source: Size) -> DecodeHint {
    let hint = geometry.decode_hint(source);
    match args.filter {
        Filter::Nearest => DecodeHint { min_scale: None, ..hint },
        _ => hint,
    }
}
