//! Thumbnails of the most interesting part of a picture: where there are edges, skin and strong colours.
//!
//! # Layout
//! - here: arguments, plan, and the new pixels by fast_image_resize
//! - `interest`: which part is the most interesting, from a small copy of the picture; `resize` has it too

#[path = "../../../ops/resize/src/interest.rs"]
mod interest;

use fast_image_resize::{self as fir, FilterType, images};
use imgserve_sdk::{
    Description, Error, ErrorKind, Flow, Frame, Frames, Host, Image, ImageRef, Input, InputKind, Operation,
    Output, PixelFormat, Plan, Rect, Source, SourceHeader,
};
use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize, serde_json::json};

/// Arguments of `smartcrop`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// Width of the result in pixels, 1 to 65535, at most the source's.
    #[schemars(range(min = 1, max = 65_535))]
    pub width: u32,
    /// Height of the result in pixels, 1 to 65535, at most the source's.
    #[schemars(range(min = 1, max = 65_535))]
    pub height: u32,
    /// How tightly a subject may be framed, 0 to 0.75. With 0, the default, the crop is as large as the source allows
    /// and only its place is chosen; with 0.5 its sides may be half as long, where that shows more of interest.
    #[serde(default)]
    #[schemars(range(min = 0, max = 0.75))]
    pub tightness: f64,
}

/// Crops to the most interesting part of a picture and scales it down.
#[derive(Debug)]
pub struct Smartcrop;

impl Operation for Smartcrop {
    type Args = Args;

    fn describe() -> Description {
        let summary = "Crops a picture to its most interesting part and scales it to a width and height.";
        Description {
            // Frame by frame, each would be cropped at a place of its own, and the animation would jump.
            input: InputKind::Pixels {
                formats: vec![PixelFormat::Rgb8, PixelFormat::Rgba8],
                frames: Frames::All,
            },
            ..Description::new::<Args>("smartcrop", env!("CARGO_PKG_VERSION"), summary)
        }
        .example("a square thumbnail", json!({ "width": 200, "height": 200 }))
        .example("a close-up in portrait format", json!({ "width": 120, "height": 160, "tightness": 0.6 }))
    }

    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        let scale = scale(args, source)?;
        let mut plan = Plan::new(args.width, args.height, source.pixels);
        plan.decode.min_scale = Some((scale / (1.0 - args.tightness)).min(1.0));
        // The resampler's copy of the source, multiplied by its alpha, and what lies between its two passes.
        plan.peak_bytes = source.pixels.bytes(source.width, source.height.saturating_add(args.height));
        Ok(plan)
    }

    fn run(args: &Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error> {
        let Input::Frames { frames: frames @ [(first, _), ..], window } = source.input else {
            return Err(Error::failed("the host gave the source in another form than frames"));
        };
        let crop = choose(args, source.header, *first)?;
        let frames = frames.iter().enumerate().map(|(done, &(image, delay_ms))| {
            if host.progress(done as f32 / frames.len() as f32) == Flow::Cancelled {
                return Err(Error::failed("cancelled"));
            }
            let Rect { x, y, width, height } = window.to_image(crop, image.width(), image.height());
            // What rounding puts beyond the edges would be refused.
            let (right, bottom) = (f64::from(image.width()) - x, f64::from(image.height()) - y);
            // A polynomial filter: its weights are the same numbers in every build.
            let options = averaging(FilterType::CatmullRom).crop(x, y, width.min(right), height.min(bottom));
            Ok(Frame { image: resample(image, (args.width, args.height), &options)?, delay_ms })
        });
        Ok(Output::Frames(frames.collect::<Result<_, _>>()?))
    }
}

imgserve_sdk::export_operation!(Smartcrop);

/// Pixels of the result per source pixel when as little as possible is cropped, at most 1.
fn scale(args: &Args, source: &SourceHeader) -> Result<f64, Error> {
    let (width, height) = (f64::from(args.width), f64::from(args.height));
    let sides = [("width", width, 1.0, 65_535.0), ("height", height, 1.0, 65_535.0)];
    for (name, value, least, most) in sides.into_iter().chain([("tightness", args.tightness, 0.0, 0.75)]) {
        if !(least..=most).contains(&value) {
            return Err(Error::invalid_argument(name, format!("{value} is not from {least} to {most}")));
        }
    }
    if source.width < args.width || source.height < args.height {
        let text = format!("the source has {}x{} pixels, fewer than the result", source.width, source.height);
        return Err(Error::new(ErrorKind::SourceTooSmall, text));
    }
    Ok((width / f64::from(source.width)).max(height / f64::from(source.height)))
}

/// The part of the source to show, in source pixels.
fn choose(args: &Args, source: &SourceHeader, image: ImageRef<'_>) -> Result<Rect, Error> {
    let (width, height) = (f64::from(source.width), f64::from(source.height));
    let side = |length: f64| (length * f64::from(interest::SIDE) / width.max(height)).round().max(1.0) as u32;
    // Straight colours suffice here: interest counts by alpha.
    let options = averaging(FilterType::Box).use_alpha(false);
    let small = resample(image, (side(width), side(height)), &options)?;
    let scale = scale(args, source)?;
    let largest = (f64::from(args.width) / scale, f64::from(args.height) / scale);
    Ok(interest::best(&small, (width, height), largest, scale.max(1.0 - args.tightness)))
}

fn averaging(filter: FilterType) -> fir::ResizeOptions {
    fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter))
}

fn resample(image: ImageRef<'_>, size: (u32, u32), options: &fir::ResizeOptions) -> Result<Image, Error> {
    match image.format().has_alpha() {
        true => resample_as::<fir::pixels::U8x4>(image, size, options),
        false => resample_as::<fir::pixels::U8x3>(image, size, options),
    }
}

const EXACT: &str = "an image has as many bytes as its size says";

fn resample_as<P: fir::PixelTrait>(
    image: ImageRef<'_>,
    (width, height): (u32, u32),
    options: &fir::ResizeOptions,
) -> Result<Image, Error> {
    let view = images::TypedImageRef::<P>::from_buffer(image.width(), image.height(), image.data());
    let view = view.expect(EXACT);
    let mut output = Image::zeroed(width, height, image.format())?;
    let mut target = images::TypedImage::<P>::from_buffer(width, height, output.data_mut()).expect(EXACT);
    fir::Resizer::new()
        .resize_typed(&view, &mut target, options)
        .map_err(|error| Error::failed(error.to_string()))?;
    Ok(output)
}
