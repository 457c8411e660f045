//! imgserve's builtin operation `resize`: pixels of one size in, pixels of another size out.
//!
//! Pixels arrive upright, in sRGB and frame by frame; file formats, orientation, colour profiles and animation
//! are the host's.
//!
//! # Layout
//! - `args`: what a request may say
//! - `layout`: what is done, and `geometry`: sizes, crop and place, from numbers alone
//! - `work`: the pixels' way through it
//! - `border`: what `trim` cuts off; `rotate`: turning by any angle; `interest`: what `smart` finds
//! - `resample`: the new pixels, by fast_image_resize; `linear`: the same in linear light
//! - `planes`: samples that are no pixels yet, for an encoder
//! - `turn`: quarter turns and mirrors; `effects`: blur and sharpen
//! - `paint`: the background, under the picture and around it

mod args;
mod border;
mod effects;
mod geometry;
mod interest;
mod layout;
mod linear;
mod paint;
pub mod planes;
mod resample;
mod rotate;
mod turn;
mod work;

use imgserve_sdk::serde_json::json;
use imgserve_sdk::{
    Description, Error, ErrorKind, Host, Operation, Output, Plan, Rect, Source, SourceHeader,
};

pub use args::{Anchor, Args, Crop, Enlarge, Filter, Fit, Flip, Gravity, Length, Pad, Trim};

use geometry::Size;
use layout::Layout;

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
            "Scales an image to a width, a height or both, cropping or padding it where its shape is another.",
        )
        .example("a thumbnail, cropped to shape", json!({ "width": 200, "height": 120 }))
        .example(
            "the whole picture on a white square",
            json!({ "width": 800, "height": 800, "fit": "contain", "gravity": "center", "background": "white" }),
        )
        .example("at most 1600 pixels wide", json!({ "width": 1600 }))
        .example("at most 1600 pixels a side", json!({ "width": 1600, "height": 1600, "fit": "inside" }))
        .example("another format, without metadata", json!({}))
        .example("the left half, turned upright", json!({ "crop": [0, 0, "50%", "100%"], "rotate": 90 }))
        .example(
            "a portrait about what is of interest, with a white frame",
            json!({ "width": 300, "height": 400, "gravity": "smart", "pad": 20, "background": "white" }),
        )
        .example(
            "pixel art, four times as large",
            json!({ "width": 256, "height": 256, "fit": "fill", "enlarge": "always", "filter": "nearest" }),
        )
    }

    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        args.check()?;
        if args.trim.0.is_some() && source.frames.is_some_and(|frames| frames > 1) {
            let text = "each picture of an animation would be cut off at a place of its own";
            return Err(Error::invalid_argument("trim", text));
        }
        let size = source_size(source)?;
        let layout = Layout::new(args, size)?;
        let output = layout.geometry.output;
        Ok(Plan {
            width: output.width,
            height: output.height,
            pixels: layout.output_format(source.pixels, args),
            decode: layout.decode_hint(args, size),
            peak_bytes: layout.peak_bytes(args, source.pixels),
        })
    }

    fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let (image, window) = source.pixels()?;
        let layout = Layout::new(args, source_size(source.header)?)?;
        let still = source.header.frames == Some(1);
        work::work(args, layout, image, window, still).map(Output::Pixels)
    }
}

#[cfg(feature = "plugin")]
imgserve_sdk::export_operation!(Resize);

/// Which part of a source these arguments show, and how its pixels are averaged, if that is all they do. Who has samples that
/// are no pixels yet may then do it itself, by [`planes`].
pub fn shrinks(args: &[u8], source: &SourceHeader) -> Option<(Rect, Filter)> {
    let args: Args = imgserve_sdk::serde_json::from_slice(args).ok()?;
    let layout = Layout::new(&args, source_size(source).ok()?).ok()?;
    layout.only_shrinks(&args).then_some((layout.geometry.crop, args.filter))
}

fn source_size(source: &SourceHeader) -> Result<Size, Error> {
    if source.width == 0 || source.height == 0 {
        let text = format!("cannot resize a source of format `{}`: its size is not known", source.format);
        return Err(Error::new(ErrorKind::UnsupportedSource, text));
    }
    Ok(Size { width: source.width, height: source.height })
}
