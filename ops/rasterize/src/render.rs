//! From a parsed drawing to straight-alpha pixels of exactly the planned size: where the drawing goes, the rendering
//! by vello_cpu or resvg, and the background under it.

use std::time::Duration;

use imgserve_sdk::{Color, Error, ErrorKind, Image, PixelFormat};
use resvg::tiny_skia::{PixmapMut, Transform};
use resvg::usvg::Tree;

use crate::args::{Args, Fit, MAX_SIDE};
use crate::frame::Frame;
use crate::limits::{self, Renderer, Work};
use crate::parse::Drawing;
use crate::{cut, vello};

/// A width and a height in pixels, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What is wanted of a drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) args: &'a Args,
    /// [`output_size`]'s.
    pub(crate) size: Size,
    /// How long it may take, from its text to its pixels.
    pub(crate) time: Duration,
}

/// What the fast renderer's work is counted for: where the drawing lies, on which canvas, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    transform: Transform,
    canvas: (u32, u32),
    time: Duration,
}

/// The result's size, for a drawing of this size, which matters where [`Args::needs_size`] says so.
///
/// # Errors
/// `limit-exceeded` where a side that is not given would be too long.
pub(crate) fn output_size(args: &Args, drawing: (f64, f64)) -> Result<Size, Error> {
    let side = |length: f64| length.round().max(1.0);
    let (width, height) = match (args.width, args.height) {
        (Some(width), Some(height)) => {
            let target = Size { width, height };
            return Ok(if args.fit == Fit::Inside { largest_inside(target, drawing) } else { target });
        }
        (Some(width), None) => (f64::from(width), side(drawing.1 * f64::from(width) / drawing.0)),
        (None, Some(height)) => (side(drawing.0 * f64::from(height) / drawing.1), f64::from(height)),
        (None, None) => (side(drawing.0), side(drawing.1)),
    };
    if width.max(height) > f64::from(MAX_SIDE) {
        let text = format!("the result would have {width}x{height} pixels; a side has at most {MAX_SIDE}");
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    Ok(Size { width: width as u32, height: height as u32 })
}

/// The largest size inside `target` that has the shape of `drawing`, rounded to pixels, at least 1 × 1.
fn largest_inside(target: Size, (width, height): (f64, f64)) -> Size {
    let (target_width, target_height) = (f64::from(target.width), f64::from(target.height));
    let scale = (target_width / width).min(target_height / height);
    let side = |side: f64, limit: f64| (side * scale).round().clamp(1.0, limit) as u32;
    Size { width: side(width, target_width), height: side(height, target_height) }
}

/// Draws `drawing`. `go_on` is asked now and then, and stops it.
///
/// # Errors
/// `limit-exceeded` when that would take too much; `failed` when it was stopped.
pub(crate) fn render(
    drawing: &Drawing,
    wanted: &Wanted<'_>,
    go_on: &dyn Fn() -> bool,
) -> Result<Image, Error> {
    let shown = draw(drawing, wanted, go_on)?;
    match wanted.args.fitting() {
        Fit::Contain => centred(shown, wanted.size, wanted.args.background),
        Fit::Fill | Fit::Inside | Fit::Cover => Ok(shown),
    }
}

/// What drawing `drawing` would take; what is drawn in the same way afterwards is not counted again.
///
/// # Errors
/// `limit-exceeded` when that is too much.
pub(crate) fn work(drawing: &mut Drawing, wanted: &Wanted<'_>) -> Result<Work, Error> {
    let (canvas, transform) = placed(&drawing.frame, wanted.args, wanted.size);
    let (tree, canvas) = (&drawing.tree, (canvas.width, canvas.height));
    let count = |renderer| limits::count(tree, transform, canvas, renderer, wanted.time);
    match renderer(tree, transform, canvas) {
        Renderer::Resvg => match cut::large_patterns(tree, transform, canvas) {
            Some(tree) => limits::count(&tree, transform, canvas, Renderer::Resvg, wanted.time),
            None => count(Renderer::Resvg),
        },
        Renderer::Vello => {
            let work = count(Renderer::Vello)?;
            drawing.counted = Some(Counted { transform, canvas, time: wanted.time });
            // What vello_cpu gives up is drawn by resvg, unless that would take too much.
            let bytes = count(Renderer::Resvg).map_or(work.bytes, |work| work.bytes);
            Ok(Work { bytes, ..work })
        }
    }
}

fn renderer(tree: &Tree, transform: Transform, canvas: (u32, u32)) -> Renderer {
    match vello::check(tree, transform, canvas) {
        Ok(()) => Renderer::Vello,
        Err(_) => Renderer::Resvg,
    }
}

/// The canvas that what is in `frame` is drawn on, and where it lies there.
fn placed(frame: &Frame, args: &Args, size: Size) -> (Size, Transform) {
    match args.fitting() {
        Fit::Fill | Fit::Inside => (size, stretched(frame, size)),
        Fit::Cover => (size, covering(frame, size)),
        Fit::Contain => {
            let canvas = largest_inside(size, frame.sides());
            (canvas, stretched(frame, canvas))
        }
    }
}

fn stretched(frame: &Frame, size: Size) -> Transform {
    frame.stretched_to(size.width as f32, size.height as f32)
}

fn covering(frame: &Frame, size: Size) -> Transform {
    let (width, height) = (frame.width, frame.height);
    let scale = (size.width as f32 / width).max(size.height as f32 / height);
    let left = (size.width as f32 - width * scale) / 2.0;
    let top = (size.height as f32 - height * scale) / 2.0;
    frame.scaled_at(scale, left, top)
}

/// `shown` in the middle of a canvas filled with `background`. What a drawing has outside of its own edges is
/// thus cut off rather than drawn over the bars.
fn centred(shown: Image, size: Size, background: Color) -> Result<Image, Error> {
    if (shown.width(), shown.height()) == (size.width, size.height) {
        return Ok(shown);
    }
    let mut canvas = Image::zeroed(size.width, size.height, PixelFormat::Rgba8)?;
    let bytes = PixelFormat::Rgba8.bytes_per_pixel();
    canvas.data_mut().chunks_exact_mut(bytes).for_each(|pixel| pixel.copy_from_slice(&background.rgba()));
    let left = ((size.width - shown.width()) / 2) as usize * bytes;
    let top = ((size.height - shown.height()) / 2) as usize;
    let length = shown.width() as usize * bytes;
    let rows = canvas.data_mut().chunks_exact_mut(size.width as usize * bytes).skip(top);
    for (to, from) in rows.zip(shown.data().chunks_exact(length)) {
        to[left..left + length].copy_from_slice(from);
    }
    Ok(canvas)
}

/// Draws into the result's own memory and leaves straight alpha there. What vello_cpu does not draw as resvg does,
/// resvg draws.
fn draw(drawing: &Drawing, wanted: &Wanted<'_>, go_on: &dyn Fn() -> bool) -> Result<Image, Error> {
    let (size, transform) = placed(&drawing.frame, wanted.args, wanted.size);
    let tree = &drawing.tree;
    let canvas = (size.width, size.height);
    let mut image = Image::zeroed(size.width, size.height, PixelFormat::Rgba8)?;
    let drawn = match renderer(tree, transform, canvas) {
        Renderer::Vello => {
            if drawing.counted != Some(Counted { transform, canvas, time: wanted.time }) {
                limits::count(tree, transform, canvas, Renderer::Vello, wanted.time)?;
            }
            vello::render(tree, transform, image.data_mut(), canvas, go_on)
        }
        Renderer::Resvg => Err(vello::Unsuited::Pattern),
    };
    match drawn {
        Ok(()) => {}
        Err(vello::Unsuited::Stopped) => return Err(stopped()),
        Err(_) => {
            let cut = cut::large_patterns(tree, transform, canvas);
            let tree = cut.as_ref().unwrap_or(tree);
            limits::count(tree, transform, canvas, Renderer::Resvg, wanted.time)?;
            if !go_on() {
                return Err(stopped());
            }
            image.data_mut().fill(0);
            let text = || Error::failed(format!("cannot draw on {}x{} pixels", size.width, size.height));
            let mut canvas =
                PixmapMut::from_bytes(image.data_mut(), size.width, size.height).ok_or_else(text)?;
            resvg::render(tree, transform, &mut canvas);
        }
    }
    finish(image.data_mut(), wanted.args.background);
    Ok(image)
}

/// Nobody waits for it any more, or its time is over.
pub(crate) fn stopped() -> Error {
    Error::failed("stopped before it was done")
}

/// Turns premultiplied pixels into straight ones, with `background` laid under them. Under, afterwards, and not
/// drawn upon: a drawing's blend modes must not see it.
fn finish(pixels: &mut [u8], background: Color) {
    let below = background.rgba();
    let background_alpha = u32::from(background.alpha);
    for pixel in pixels.chunks_exact_mut(4) {
        match pixel[3] {
            255 => {}
            0 => pixel.copy_from_slice(&below),
            above => {
                // How much of the background shows, and the result's alpha, both out of 255 × 255.
                let behind = (255 - u32::from(above)) * background_alpha;
                let alpha = 255 * u32::from(above) + behind;
                for (channel, below) in pixel.iter_mut().zip(&below[..3]) {
                    let sum = 255 * 255 * u32::from(*channel) + behind * u32::from(*below);
                    *channel = ((sum + alpha / 2) / alpha).min(255) as u8;
                }
                pixel[3] = ((alpha + 127) / 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_keeps_the_shape_and_at_least_a_pixel() {
        let target = Size { width: 100, height: 50 };
        let inside = |width, height| {
            let size = largest_inside(target, (width, height));
            (size.width, size.height)
        };
        assert_eq!(inside(10.0, 10.0), (50, 50));
        assert_eq!(inside(3.0, 1.0), (100, 33));
        assert_eq!(inside(1.0, 1e6), (1, 50));
        assert_eq!(inside(1e-3, 1e-3), (50, 50));
    }

    fn finished(pixel: [u8; 4], background: Color) -> [u8; 4] {
        let mut pixel = pixel;
        finish(&mut pixel, background);
        pixel
    }

    #[test]
    fn premultiplied_pixels_become_straight() {
        for (premultiplied, straight) in [
            ([0, 0, 0, 0], [0, 0, 0, 0]),
            ([9, 8, 7, 255], [9, 8, 7, 255]),
            ([128, 64, 0, 128], [255, 128, 0, 128]),
            ([1, 0, 0, 1], [255, 0, 0, 1]),
        ] {
            assert_eq!(finished(premultiplied, Color::TRANSPARENT), straight, "{premultiplied:?}");
        }
    }

    #[test]
    fn a_background_lies_under_the_drawing() {
        assert_eq!(finished([0; 4], Color::WHITE), [255; 4]);
        assert_eq!(finished([9, 8, 7, 255], Color::WHITE), [9, 8, 7, 255]);
        assert_eq!(finished([128, 0, 0, 128], Color::WHITE), [255, 127, 127, 255]);
        let translucent = Color { red: 0, green: 0, blue: 255, alpha: 128 };
        assert_eq!(finished([0; 4], translucent), [0, 0, 255, 128]);
        // Half red over half blue: two thirds red, one third blue, three quarters opaque.
        assert_eq!(finished([128, 0, 0, 128], translucent), [170, 0, 85, 192]);
    }
}
