//! RGB that is told by numbers rather than by a profile: where its primary colours and its white lie, and how its values stand for
//! light. So AVIF, JPEG XL and PNG (cICP) tell it.

use imgserve_sdk::Image;
use moxcms::{Chromaticity, CicpColorPrimaries, ColorPrimaries, ToneReprCurve, TransferCharacteristics};

use super::bright::{Bright, Signal};
use super::curve::Curve;
use super::shaper::Shaper;
use super::{Converted, shaped};

/// Entries of a curve that no function of a profile says.
const ENTRIES: usize = 4096;
/// The transfer characteristics of ITU-T H.273 that are sRGB's, and its primaries.
const SRGB: (u8, u8) = (1, 13);

/// What a picture's colours are.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    primaries: ColorPrimaries,
    white: Chromaticity,
    transfer: Transfer,
    /// Whether the lowest value is black and the highest is white, and not 16 and 235 of 255.
    full: bool,
    is_srgb: bool,
}

/// From values to light.
#[derive(Clone, Debug)]
enum Transfer {
    /// Up to the white of the screen.
    Curve(Curve),
    /// And far brighter.
    Bright(Signal),
}

impl Described {
    /// By the numbers of ITU-T H.273 (tables 2 and 3) for primaries and transfer.
    ///
    /// # Errors
    /// A text: which of them is not known.
    pub(crate) fn of_points(primaries: u8, transfer: u8, full: bool) -> Result<Self, String> {
        let unknown = |what, number| format!("the {what} {number} of its code points are not known");
        let colors = CicpColorPrimaries::try_from(primaries).and_then(ColorPrimaries::try_from);
        let colors = colors.map_err(|_| unknown("primaries", primaries))?;
        let white = match primaries {
            4 | 8 => Chromaticity::new(0.31, 0.316),
            10 => Chromaticity::new(1.0 / 3.0, 1.0 / 3.0),
            11 => Chromaticity::new(0.314, 0.351),
            _ => Chromaticity::D65,
        };
        let curve = by_number(transfer).ok_or_else(|| unknown("transfer characteristics", transfer))?;
        let is_srgb = full && (primaries, transfer) == SRGB;
        Ok(Self { primaries: colors, white, transfer: curve, full, is_srgb })
    }

    /// By where red, green, blue and white lie (CIE 1931, x and y), and the number of a transfer.
    ///
    /// # Errors
    /// A text: that the number is not known.
    pub(crate) fn of_places(places: [(f32, f32); 4], transfer: u8) -> Result<Self, String> {
        let transfer = by_number(transfer).ok_or_else(|| format!("the transfer {transfer} is not known"))?;
        Ok(Self::of(places, transfer))
    }

    /// The same, with a power of the value as its light.
    pub(crate) fn of_exponent(places: [(f32, f32); 4], exponent: f32) -> Self {
        Self::of(places, Transfer::Curve(Curve::of_exponent(exponent)))
    }

    fn of(places: [(f32, f32); 4], transfer: Transfer) -> Self {
        let [red, green, blue, white] = places.map(|(x, y)| Chromaticity::new(x, y));
        let primaries = ColorPrimaries { red, green, blue };
        Self { primaries, white, transfer, full: true, is_srgb: false }
    }

    /// The picture in sRGB.
    pub(crate) fn apply(&self, mut image: Image) -> Converted<Image> {
        if self.is_srgb {
            return (image, None);
        }
        let none = || Some("its primaries are of no colours".to_owned());
        match &self.transfer {
            Transfer::Bright(signal) => match Bright::new(*signal, self.primaries, self.white, self.full) {
                Some(bright) => {
                    bright.apply(&mut image);
                    (image, None)
                }
                None => (image, none()),
            },
            Transfer::Curve(curve) => {
                let curve = if self.full { curve.clone() } else { table(|x| curve.at(narrow(x))) };
                match Shaper::of_primaries([curve.clone(), curve.clone(), curve], self.primaries, self.white)
                {
                    Some(shaper) => shaped(image, shaper),
                    None => (image, none()),
                }
            }
        }
    }
}

/// Of values from 16 to 235, of 255.
pub(super) fn narrow(x: f32) -> f32 {
    (x * 255.0 - 16.0) / 219.0
}

fn by_number(number: u8) -> Option<Transfer> {
    let curve = match number {
        13 => Curve::srgb(),
        16 => return Some(Transfer::Bright(Signal::Pq)),
        18 => return Some(Transfer::Bright(Signal::Hlg)),
        _ => match ToneReprCurve::try_from(TransferCharacteristics::try_from(number).ok()?).ok()? {
            ToneReprCurve::Parametric(parameters) => Curve::Function(parameters),
            ToneReprCurve::Lut(entries) if entries.len() > 1 => {
                Curve::table(entries.iter().map(|&entry| f32::from(entry) / 65_535.0).collect())
            }
            ToneReprCurve::Lut(_) => Curve::gamma(1.0),
        },
    };
    Some(Transfer::Curve(curve))
}

fn table(curve: impl Fn(f32) -> f32) -> Curve {
    Curve::table(
        (0..ENTRIES).map(|entry| curve(entry as f32 / (ENTRIES - 1) as f32).clamp(0.0, 1.0)).collect(),
    )
}
