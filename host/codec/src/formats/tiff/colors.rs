//! From a TIFF's samples to the contract's pixels, in sRGB.

use imgserve_sdk::{Image, PixelFormat};

use super::directory::{Directory, Trouble};
use super::layout::{Alpha, Colors, Layout, tag};
use crate::bounds::Bounds;
use crate::color::{self, Converted};
use crate::convert::each;

/// The picture, of samples that bytes hold.
pub(super) fn narrow(
    directory: &Directory<'_>,
    layout: &Layout,
    mut data: Vec<u8>,
    bounds: &Bounds,
) -> Result<Converted<Image>, Trouble> {
    let channels = layout.shown();
    if layout.alpha == Alpha::Multiplied {
        data.chunks_exact_mut(channels).for_each(|pixel| divide(pixel, 255, u8::try_from));
    }
    let icc = directory.raw(tag::PROFILE)?.filter(|_| !bounds.keep_colors);
    let mut inks_as_they_are = None;
    let colors: Vec<u8> = match layout.colors {
        Colors::BlackIsZero | Colors::Rgb => return managed(layout, gray_or_rgb(data, layout), icc),
        Colors::WhiteIsZero => {
            data.chunks_exact_mut(channels).for_each(|pixel| pixel[0] = 255 - pixel[0]);
            return managed(layout, gray_or_rgb(data, layout), icc);
        }
        Colors::Palette => {
            let palette = palette(directory, layout)?;
            data.chunks_exact(channels).flat_map(|pixel| palette[usize::from(pixel[0])]).collect()
        }
        Colors::YCbCr if layout.compression.is_jpeg() && !layout.planes => {
            rgb(&data, channels, |pixel| pixel)
        }
        Colors::YCbCr => {
            let model = YCbCr::read(directory)?;
            rgb(&data, channels, |pixel| model.rgb(pixel))
        }
        Colors::Lab { signed } => rgb(&data, channels, |[l, a, b]| {
            // Offset by half: of those that are signed, the highest bit turned over.
            let offset = |value: u8| f32::from(if signed { value ^ 0x80 } else { value }) - 128.0;
            color::lab_to_srgb([f32::from(l) / 2.55, offset(a), offset(b)])
                .map(|light| (light * 255.0).round() as u8)
        }),
        Colors::Cmyk => {
            let inks: Vec<u8> = data.chunks_exact(channels).flat_map(|pixel| &pixel[..4]).copied().collect();
            let (rgb, unconverted) = color::cmyk_to_rgb(&inks, icc);
            inks_as_they_are = unconverted;
            rgb
        }
    };
    let managed_already = matches!(layout.colors, Colors::Cmyk | Colors::Lab { .. });
    let with_alpha = match layout.alpha {
        Alpha::None => colors,
        _ => {
            let alphas = data.chunks_exact(channels).map(|pixel| pixel[channels - 1]);
            let pixels = colors.as_chunks::<3>().0.iter().zip(alphas);
            pixels.flat_map(|(&[r, g, b], alpha)| [r, g, b, alpha]).collect()
        }
    };
    let (image, unconverted) = managed(layout, with_alpha, icc.filter(|_| !managed_already))?;
    Ok((image, unconverted.or(inks_as_they_are)))
}

/// The picture, of samples that only words hold.
pub(super) fn wide(
    directory: &Directory<'_>,
    layout: &Layout,
    mut data: Vec<u16>,
    bounds: &Bounds,
) -> Result<Converted<Image>, Trouble> {
    let channels = layout.shown();
    if layout.alpha == Alpha::Multiplied {
        data.chunks_exact_mut(channels).for_each(|pixel| divide(pixel, 65535, u16::try_from));
    }
    let alpha = |pixel: &[u16]| if layout.alpha == Alpha::None { u16::MAX } else { pixel[channels - 1] };
    let color = |pixel: &[u16]| match (layout.colors, pixel) {
        (Colors::WhiteIsZero, &[gray, ..]) => [u16::MAX - gray; 3],
        (Colors::Lab { signed }, &[l, a, b, ..]) => {
            let offset = |value: u16| f32::from(if signed { value ^ 0x8000 } else { value }) / 256.0 - 128.0;
            let most = if signed { 65535.0 } else { 65280.0 };
            let light = color::lab_to_srgb([f32::from(l) / most * 100.0, offset(a), offset(b)]);
            light.map(|light| (light * 65535.0).round() as u16)
        }
        (_, &[r, g, b, ..]) if layout.colors.count() == 3 => [r, g, b],
        (_, pixel) => [pixel[0]; 3],
    };
    let pixels = data.chunks_exact(channels).map(|pixel| {
        let [[r, s], [g, h], [b, c], [a, o]] = {
            let [r, g, b] = color(pixel);
            [r, g, b, alpha(pixel)].map(u16::to_le_bytes)
        };
        [r, s, g, h, b, c, a, o]
    });
    let words = each(pixels, data.len() / channels);
    let managed_already = matches!(layout.colors, Colors::Lab { .. });
    let icc = directory.raw(tag::PROFILE)?.filter(|_| !managed_already && !bounds.keep_colors);
    managed(layout, words, icc)
}

fn managed(layout: &Layout, data: Vec<u8>, icc: Option<&[u8]>) -> Result<Converted<Image>, Trouble> {
    let image =
        Image::new(layout.size.0, layout.size.1, layout.pixels(), data).map_err(Trouble::malformed)?;
    Ok(color::to_srgb(image, icc))
}

/// As they are; gray with alpha becomes RGBA.
fn gray_or_rgb(data: Vec<u8>, layout: &Layout) -> Vec<u8> {
    match (layout.shown(), layout.pixels()) {
        (2, PixelFormat::Rgba8) => {
            let (pixels, _) = data.as_chunks::<2>();
            each(pixels.iter().map(|&[y, a]| [y, y, y, a]), pixels.len())
        }
        _ => data,
    }
}

fn rgb(data: &[u8], channels: usize, color: impl Fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let pixels = data.chunks_exact(channels).map(|pixel| color([pixel[0], pixel[1], pixel[2]]));
    each(pixels, data.len() / channels)
}

/// Undoes that the colours were multiplied by the alpha, which is the last sample.
fn divide<S: Copy + Into<u32>, E>(pixel: &mut [S], most: u32, sample: impl Fn(u32) -> Result<S, E>) {
    let Some((alpha, colors)) = pixel.split_last_mut() else { return };
    let alpha: u32 = (*alpha).into();
    for color in colors {
        let value: u32 = (*color).into();
        // Where nothing is seen there is no colour to bring back.
        let whole = value.saturating_mul(most).saturating_add(alpha / 2).checked_div(alpha).unwrap_or(0);
        if let Ok(whole) = sample(whole.min(most)) {
            *color = whole;
        }
    }
}

/// The colours of a palette: all reds, all greens, all blues, in words. Some writers meant bytes: then none is over 255.
fn palette(directory: &Directory<'_>, layout: &Layout) -> Result<[[u8; 3]; 256], Trouble> {
    let words = directory.numbers(tag::COLORS)?.ok_or_else(|| Trouble::malformed("no palette"))?;
    let count = 1 << layout.bits;
    if words.len() < 3 * count {
        return Err(Trouble::malformed("its palette is too short"));
    }
    let shift = if words.iter().any(|&word| word > 255) { 8 } else { 0 };
    let mut palette = [[0; 3]; 256];
    for (number, color) in palette.iter_mut().take(count).enumerate() {
        *color = [0, 1, 2].map(|channel| (words[channel * count + number] >> shift) as u8);
    }
    Ok(palette)
}

/// How luma and chroma become colours (TIFF 6.0, sections 20 and 21).
struct YCbCr {
    /// The parts that red, green and blue have in the luma.
    luma: [f32; 3],
    /// Of Y, Cb and Cr, the value that means none, and how much one step more is.
    zero: [f32; 3],
    step: [f32; 3],
}

impl YCbCr {
    fn read(directory: &Directory<'_>) -> Result<Self, Trouble> {
        let fractions = |tag, absent: &[f32]| {
            let read = directory.fractions(tag)?.filter(|read| read.len() == absent.len());
            Ok::<_, Trouble>(read.unwrap_or_else(|| absent.to_vec()))
        };
        let luma = fractions(tag::LUMA, &[0.299, 0.587, 0.114])?;
        let ends = fractions(tag::BLACK_WHITE, &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0])?;
        let step = |at: usize, most: f32| most / (ends[2 * at + 1] - ends[2 * at]).max(1.0);
        Ok(Self {
            luma: [luma[0], luma[1].max(f32::EPSILON), luma[2]],
            zero: [ends[0], ends[2], ends[4]],
            step: [step(0, 255.0), step(1, 127.0), step(2, 127.0)],
        })
    }

    fn rgb(&self, pixel: [u8; 3]) -> [u8; 3] {
        let [y, cb, cr] = [0, 1, 2].map(|at| (f32::from(pixel[at]) - self.zero[at]) * self.step[at]);
        let [in_red, in_green, in_blue] = self.luma;
        let red = y + cr * (2.0 - 2.0 * in_red);
        let blue = y + cb * (2.0 - 2.0 * in_blue);
        let green = (y - in_red * red - in_blue * blue) / in_green;
        [red, green, blue].map(|value| value.round() as u8)
    }
}
