//! The pixels' way through all that a [`Layout`] says, in the order that `args` tells.

use imgserve_sdk::{Error, Image, ImageRef, PixelFormat, Rect, Window};

use crate::args::{Args, Filter};
use crate::geometry::Size;
use crate::layout::Layout;
use crate::rotate::Rotation;
use crate::{border, effects, interest, linear, paint, resample};

/// The result of a source of which `image` shows `window`; `still`: whether it is no picture of an animation, whose pictures
/// would each be cropped at a place of its own.
pub(crate) fn work(
    args: &Args,
    mut layout: Layout,
    image: ImageRef<'_>,
    window: Window,
    still: bool,
) -> Result<Image, Error> {
    if let Some(threshold) = args.trim.0 {
        let part = whole(window.to_image(layout.region, image.width(), image.height()), image);
        let left = border::without(image, part, threshold);
        layout = layout.trimmed(args, in_source(left, window));
    }
    // What is beside the part that is worked on colours nothing at its edges.
    if args.crop.is_some() || args.trim.0.is_some() {
        let (part, window) = cut(image, window, layout.region)?;
        return lay(args, layout, part.as_ref(), window, still);
    }
    lay(args, layout, image, window, still)
}

/// A part of the source, cut out in whole pixels, and where it shows what.
fn cut(image: ImageRef<'_>, window: Window, region: Rect) -> Result<(Image, Window), Error> {
    let part = whole(window.to_image(region, image.width(), image.height()), image);
    let size = Size { width: part.width as u32, height: part.height as u32 };
    let origin =
        Window { x: window.x + part.x / window.scale, y: window.y + part.y / window.scale, ..window };
    Ok((resample::part(image, part, size)?, origin))
}

/// The whole pixels of `image` that a part of it touches.
fn whole(part: Rect, image: ImageRef<'_>) -> Rect {
    let side = |start: f64, length: f64, limit: u32| {
        let first = start.floor().min(f64::from(limit) - 1.0);
        (first, (start + length).ceil().clamp(first + 1.0, limit.into()) - first)
    };
    let ((x, width), (y, height)) =
        (side(part.x, part.width, image.width()), side(part.y, part.height, image.height()));
    Rect { x, y, width, height }
}

/// Lays the picture as it is to be, but for quarter turns and mirrors.
fn lay(
    args: &Args,
    layout: Layout,
    image: ImageRef<'_>,
    window: Window,
    still: bool,
) -> Result<Image, Error> {
    let Some(degrees) = layout.degrees else {
        // From here on positions are those in the region.
        let window = Window { x: window.x - layout.region.x, y: window.y - layout.region.y, ..window };
        return finish(args, layout, image, window, still);
    };
    let part = window.to_image(layout.region, image.width(), image.height());
    let rotation = Rotation { degrees, background: args.background, nearest: args.filter == Filter::Nearest };
    let size = (f64::from(layout.laid.width) * window.scale, f64::from(layout.laid.height) * window.scale);
    let laid = rotation.apply(image, part, size, layout.output_format(image.format(), args))?;
    finish(args, layout, laid.as_ref(), Window { x: 0.0, y: 0.0, ..window }, still)
}

/// A part of an image as a part of the source, in whole pixels.
fn in_source(part: Rect, window: Window) -> Rect {
    let place = |position: f64, origin: f64| (position / window.scale + origin).round();
    let length = |length: f64| (length / window.scale).round().max(1.0);
    Rect {
        x: place(part.x, window.x),
        y: place(part.y, window.y),
        width: length(part.width),
        height: length(part.height),
    }
}

/// What is left to do with a picture that is laid.
fn finish(
    args: &Args,
    mut layout: Layout,
    image: ImageRef<'_>,
    window: Window,
    still: bool,
) -> Result<Image, Error> {
    if still && layout.seeks(args) {
        seek(&mut layout, image, window)?;
    }
    let crop = window.to_image(layout.crop(), image.width(), image.height());
    let shown = scaled(args, image, crop, layout.shown())?;
    let mut shown = layout.turn.apply(shown)?;
    if args.blur > 0.0 {
        effects::blur(&mut shown, args.blur);
    }
    if args.sharpen > 0.0 {
        effects::sharpen(&mut shown, args.sharpen);
    }
    if args.background.is_opaque() {
        paint::flatten(&mut shown, args.background);
    }
    let format = layout.output_format(shown.format(), args);
    if layout.geometry.has_bars() || format != shown.format() {
        shown = paint::with_bars(&shown, &layout.geometry, args.background, format)?;
    }
    Ok(shown)
}

/// Places the crop where the picture is most interesting.
fn seek(layout: &mut Layout, image: ImageRef<'_>, window: Window) -> Result<(), Error> {
    let (laid, stood) = (layout.laid, layout.turn.size(layout.laid));
    let all = Rect { x: 0.0, y: 0.0, width: laid.width.into(), height: laid.height.into() };
    let scale = f64::from(interest::SIDE) / f64::from(laid.width.max(laid.height));
    let side = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
    let size = Size { width: side(laid.width), height: side(laid.height) };
    let all = window.to_image(all, image.width(), image.height());
    let small = colored(resample::resample(image, all, size, Filter::Bilinear)?)?;
    let (small, crop) = (layout.turn.apply(small)?, &mut layout.geometry.crop);
    let full = (f64::from(stood.width), f64::from(stood.height));
    let best = interest::best(&small, full, (crop.width, crop.height), 1.0);
    let shown = layout.geometry.shown;
    let unscaled = (crop.width, crop.height) == (f64::from(shown.width), f64::from(shown.height));
    // Where nothing is scaled nothing is averaged either.
    (crop.x, crop.y) = if unscaled { (best.x.floor(), best.y.floor()) } else { (best.x, best.y) };
    Ok(())
}

/// The same picture in one of the formats that interest is told of.
fn colored(image: Image) -> Result<Image, Error> {
    let (width, height) = (image.width(), image.height());
    match image.format() {
        PixelFormat::Gray8 => {
            let data = image.data().iter().flat_map(|gray| [*gray; 3]).collect();
            Image::new(width, height, PixelFormat::Rgb8, data)
        }
        PixelFormat::Rgba16 => {
            let high = image.data().iter().skip(1).step_by(2).copied().collect();
            Image::new(width, height, PixelFormat::Rgba8, high)
        }
        PixelFormat::Rgb8 | PixelFormat::Rgba8 => Ok(image),
    }
}

/// The pixels of `image` inside `crop`, brought to `size`. Where nothing is scaled they stay what they are.
fn scaled(args: &Args, image: ImageRef<'_>, crop: Rect, size: Size) -> Result<Image, Error> {
    match resample::copied(image, crop, size) {
        Some(copy) => copy,
        None if args.averages_light() => linear::resample(image, crop, size, args.filter),
        None => resample::resample(image, crop, size, args.filter),
    }
}
