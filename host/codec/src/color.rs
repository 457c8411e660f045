//! From the colours that a file means to sRGB: by its colour profile (ICC.1), of curves or of tables, for gray, RGB or CMYK, of
//! 8 or 16 bits. What cannot be converted is left as it is, and said: refusing a picture for its profile would help nobody,
//! and showing it in false colours without a word would neither.
//!
//! # Layout
//! - `icc`: what a profile's bytes say; `curve`, `lattice`: its curves and tables
//! - `pipeline`: one colour through all of them, to sRGB
//! - `grid`: many colours, by tables of our own; `shaper`: the same for curves alone, by moxcms
//! - `described`, `primaries`: colours that are told without a profile; `bright`: those of high dynamic range

mod bright;
mod curve;
mod described;
mod grid;
mod icc;
mod lattice;
mod pipeline;
mod primaries;
#[cfg(test)]
pub(crate) mod samples;
mod shaper;
#[cfg(test)]
mod tests;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use imgserve_base::units::MIB;
use imgserve_sdk::{Image, PixelFormat};

pub(crate) use curve::Curve;
pub(crate) use described::Described;
pub(crate) use grid::Sample;
pub(crate) use pipeline::lab_to_srgb;
pub(crate) use shaper::Shaper;

use grid::{Grid, parts};
use icc::{Model, Profile, Space};
use pipeline::ToSrgb;

use crate::convert::is_gray;

/// Larger than any profile in use (printers' tables take 2 to 3 MB).
const MAX_PROFILE_BYTES: usize = 16 * MIB as usize;
/// A profile that is kept for the next picture, which often has the same.
const MAX_KEPT_BYTES: usize = 4 * MIB as usize;

/// Pixels in sRGB, and why they are not, where a file's colours could not be converted.
pub(crate) type Converted<T> = (T, Option<String>);

/// The picture with its colours in sRGB, by a profile if it has one; and why they are not.
pub fn to_srgb(mut image: Image, icc: Option<&[u8]>) -> Converted<Image> {
    let applied = icc.map_or(Ok(()), |icc| conversion(icc)?.apply(&mut image));
    (image, applied.err().map(unused))
}

/// Whether a profile is one to keep, for a picture of this pixel format: one of RGB that is not sRGB's, or of gray for what is gray.
pub(crate) fn is_to_keep(icc: &[u8], format: PixelFormat) -> bool {
    conversion(icc).is_ok_and(|conversion| match (conversion.space, format) {
        (Space::Gray, format) => format == PixelFormat::Gray8,
        (Space::Rgb, PixelFormat::Gray8) | (Space::Cmyk, _) => false,
        (Space::Rgb, _) => !is_srgb(icc),
    })
}

/// Whether a profile that is to be kept is for pixels of this format, and may stand beside them.
pub fn fits(icc: &[u8], format: PixelFormat) -> bool {
    Profile::parse(icc).is_ok_and(|profile| (profile.space == Space::Gray) == (format == PixelFormat::Gray8))
}

/// Whether a profile says of RGB in 8 bits no more than that it is in sRGB, as that of most photographs does.
pub(crate) fn is_srgb(icc: &[u8]) -> bool {
    conversion(icc).is_ok_and(|conversion| match &conversion.by {
        Means::Shaper(shaper) => shaper.is_srgb(),
        Means::Values | Means::Grid(_) => false,
    })
}

/// Whether a profile says of RGB in 8 bits that it is in Display P3 (the primaries of SMPTE RP 431-2, D65, sRGB's curve), as that of
/// telephones does.
pub fn is_display_p3(icc: &[u8]) -> bool {
    conversion(icc).is_ok_and(|conversion| match &conversion.by {
        Means::Shaper(shaper) => shaper.is_display_p3(),
        Means::Values | Means::Grid(_) => false,
    })
}

/// The picture with its colours in sRGB, by curves and primary colours.
pub(crate) fn shaped(mut image: Image, shaper: Shaper) -> Converted<Image> {
    let applied = Conversion::shaper(shaper).apply(&mut image);
    (image, applied.err())
}

/// RGB of ink amounts (four samples a pixel, the highest value the full ink): by the profile if it is one for CMYK, else as if
/// inks were ideal filters.
pub(crate) fn cmyk_to_rgb<T: Sample>(ink: &[T], icc: Option<&[u8]>) -> Converted<Vec<T>> {
    let by_profile = icc.map(|icc| conversion(icc)?.inks(ink));
    match by_profile {
        Some(Ok(rgb)) => (rgb, None),
        Some(Err(error)) => (filtered(ink), Some(unused(error))),
        None => (filtered(ink), None),
    }
}

fn unused(error: String) -> String {
    format!("the colour profile cannot be used: {error}")
}

/// (1 − ink)(1 − black), rounded.
fn filtered<T: Sample>(ink: &[T]) -> Vec<T> {
    let light = |ink: T| (T::LEVELS - 1 - ink.level()) as f32 / (T::LEVELS - 1) as f32;
    let (pixels, _) = ink.as_chunks::<4>();
    pixels.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| T::nearest(light(ink) * light(k)))).collect()
}

/// What a profile's colours are converted by.
struct Conversion {
    space: Space,
    srgb: ToSrgb,
    by: Means,
}

/// How that is done with many pixels; gray has so few values that each is converted by itself.
enum Means {
    Values,
    Shaper(Shaper),
    Grid(OnceCell<Grid>),
}

thread_local! {
    /// The last profile's, with its bytes.
    static KEPT: RefCell<Option<(Vec<u8>, Rc<Conversion>)>> = const { RefCell::new(None) };
}

fn conversion(icc: &[u8]) -> Result<Rc<Conversion>, String> {
    let kept =
        KEPT.with_borrow(|kept| kept.as_ref().filter(|(of, _)| of == icc).map(|(_, kept)| kept.clone()));
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let conversion = Rc::new(Conversion::new(icc)?);
    if icc.len() <= MAX_KEPT_BYTES {
        KEPT.with_borrow_mut(|kept| *kept = Some((icc.to_vec(), conversion.clone())));
    }
    Ok(conversion)
}

impl Conversion {
    fn new(icc: &[u8]) -> Result<Self, String> {
        if icc.len() > MAX_PROFILE_BYTES {
            return Err(format!("it has {} bytes, the limit is {MAX_PROFILE_BYTES}", icc.len()));
        }
        let profile = Profile::parse(icc)?;
        let space = profile.space;
        Ok(match profile.model()? {
            Model::Shaper(curves, primaries) => Self::shaper(Shaper::new(curves, primaries)),
            Model::Gray(pipeline) => Self { space, srgb: ToSrgb::plain(pipeline), by: Means::Values },
            Model::Table(pipeline) => {
                let by = if space == Space::Gray { Means::Values } else { Means::Grid(OnceCell::new()) };
                Self { space, srgb: ToSrgb::with_black(pipeline, space.channels()), by }
            }
        })
    }

    fn shaper(shaper: Shaper) -> Self {
        let srgb = ToSrgb::plain(shaper.pipeline());
        Self { space: Space::Rgb, srgb, by: Means::Shaper(shaper) }
    }

    fn apply(&self, image: &mut Image) -> Result<(), String> {
        match (self.space, image.format()) {
            (Space::Gray, format) if format != PixelFormat::Gray8 && !is_gray(image.as_ref()) => {
                Err("it is for gray, and the picture has colours".to_owned())
            }
            (Space::Gray, _) | (Space::Rgb, PixelFormat::Gray8) => {
                self.grays(image);
                Ok(())
            }
            (Space::Rgb, _) => self.colors(image),
            (Space::Cmyk, _) => Err("it is for CMYK, and the picture has none".to_owned()),
        }
    }

    /// By a table of gray's values: the three channels are alike, and alpha stays.
    fn grays(&self, image: &mut Image) {
        let format = image.format();
        if format == PixelFormat::Rgba16 {
            let table = self.table::<u16>();
            for pixel in image.data_mut().as_chunks_mut::<8>().0 {
                let gray = table[usize::from(u16::from_le_bytes([pixel[0], pixel[1]]))].to_le_bytes();
                pixel.as_chunks_mut::<2>().0[..3].fill(gray);
            }
        } else {
            let table = self.table::<u8>();
            let pixels = image.data_mut().chunks_exact_mut(format.bytes_per_pixel());
            pixels.for_each(|pixel| {
                pixel.iter_mut().take(3).for_each(|gray| *gray = table[usize::from(*gray)])
            });
        }
    }

    fn table<T: Sample>(&self) -> Vec<T> {
        parts::<T>().map(|part| T::nearest(self.srgb.gray([part, part, part, 0.0]))).collect()
    }

    fn colors(&self, image: &mut Image) -> Result<(), String> {
        let grid = match &self.by {
            Means::Shaper(shaper) => return shaper.apply(image),
            Means::Grid(grid) => grid.get_or_init(|| Grid::new(&self.srgb, 3)),
            Means::Values => return Ok(()),
        };
        let format = image.format();
        if format == PixelFormat::Rgba16 {
            let lookup = grid.lookup::<u16>();
            for pixel in image.data_mut().as_chunks_mut::<8>().0 {
                let (words, _) = pixel.as_chunks_mut::<2>();
                let color = lookup.color([words[0], words[1], words[2]].map(u16::from_le_bytes));
                words.iter_mut().zip(color).for_each(|(word, value)| *word = value.to_le_bytes());
            }
        } else {
            let lookup = grid.lookup::<u8>();
            for pixel in image.data_mut().chunks_exact_mut(format.bytes_per_pixel()) {
                let color = lookup.color([pixel[0], pixel[1], pixel[2]]);
                pixel[..3].copy_from_slice(&color);
            }
        }
        Ok(())
    }

    fn inks<T: Sample>(&self, ink: &[T]) -> Result<Vec<T>, String> {
        let Means::Grid(grid) = &self.by else { return Err(self.not_for_inks()) };
        if self.space != Space::Cmyk {
            return Err(self.not_for_inks());
        }
        let lookup = grid.get_or_init(|| Grid::new(&self.srgb, 4)).lookup::<T>();
        let mut rgb = Vec::with_capacity(ink.len() / 4 * 3);
        ink.as_chunks::<4>().0.iter().for_each(|&pixel| rgb.extend_from_slice(&lookup.color(pixel)));
        Ok(rgb)
    }

    fn not_for_inks(&self) -> String {
        format!("it is for {}, and the picture has CMYK", self.space.name())
    }
}
