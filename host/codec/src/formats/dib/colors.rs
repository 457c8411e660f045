//! What the longer headers say of a bitmap's colours, and the picture in sRGB by that: a profile behind the bitmap, or end points
//! and gammas, with the white of sRGB, as nothing is said of it.

use imgserve_sdk::Image;
use moxcms::{Chromaticity, ColorPrimaries};

use super::{Dib, long};
use crate::color::{self, Converted, Curve, Shaper};

/// The kinds of colours that are more than sRGB or nobody's.
const CALIBRATED: u32 = 0;
const EMBEDDED: u32 = u32::from_be_bytes(*b"MBED");
const LINKED: u32 = u32::from_be_bytes(*b"LINK");
/// Bytes of the headers that say it: with end points, and with the place of a profile too.
const V4: u32 = 108;
const V5: u32 = 124;

enum Said<'a> {
    Nothing,
    Profile(&'a [u8]),
    Primaries(Box<Shaper>),
}

impl<'a> Dib<'a> {
    /// The picture in sRGB, as far as its header says what its colours are.
    pub(in super::super) fn to_srgb(&self, image: Image) -> Converted<Image> {
        match self.said() {
            Ok(Said::Nothing) => (image, None),
            Ok(Said::Profile(icc)) => color::to_srgb(image, Some(icc)),
            Ok(Said::Primaries(shaper)) => color::shaped(image, *shaper),
            Err(why) => (image, Some(why.to_owned())),
        }
    }

    fn said(&self) -> Result<Said<'a>, &'static str> {
        let length = self.field(0);
        match (length >= V4).then(|| self.field(56)) {
            // Written by many who leave what follows empty, and then say nothing.
            Some(CALIBRATED)
                if self.bytes.get(60..96).is_some_and(|ends| ends.iter().any(|&byte| byte != 0)) =>
            {
                let shaper = self.primaries().map(|shaper| Said::Primaries(Box::new(shaper)));
                shaper.ok_or("its end points and gammas are of no colours")
            }
            Some(LINKED) => Err("the colour profile is in another file"),
            Some(EMBEDDED) if length >= V5 => {
                let (start, size) = (self.field(112) as usize, self.field(116) as usize);
                let profile = start.checked_add(size).and_then(|end| self.bytes.get(start..end));
                profile.map(Said::Profile).ok_or("the colour profile is cut off")
            }
            _ => Ok(Said::Nothing),
        }
    }

    fn primaries(&self) -> Option<Shaper> {
        let place = |at: usize| {
            // With 30 bits behind the point; what is said as amounts of light lies where the chromaticities do.
            let [x, y, z] =
                [at, at + 4, at + 8].map(|at| self.field(at).cast_signed() as f32 / (1 << 30) as f32);
            Chromaticity::new(x / (x + y + z), y / (x + y + z))
        };
        let curve = |at: usize| match self.field(at) as f32 / 65_536.0 {
            0.0 => Curve::srgb(),
            // Some write what pixels were coded by, and not what they are decoded by, which is never less than 1.
            coded if coded < 1.0 => Curve::of_exponent(1.0 / coded),
            exponent => Curve::of_exponent(exponent),
        };
        let primaries = ColorPrimaries { red: place(60), green: place(72), blue: place(84) };
        Shaper::of_primaries([curve(96), curve(100), curve(104)], primaries, Chromaticity::D65)
    }

    /// A number of the header; beyond the end there are zeros.
    fn field(&self, at: usize) -> u32 {
        long(self.bytes, at).unwrap_or(0)
    }
}
