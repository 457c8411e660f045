//! What a JPEG XL's header says of its samples, which samples are asked of the decoder for that, and what becomes of them.

use imgserve_sdk::{Image, PixelFormat};
use jxl::api::{
    Endianness, ExtraChannel, JxlColorEncoding, JxlColorProfile, JxlColorType, JxlDataFormat, JxlDecoder,
    JxlPixelFormat, JxlTransferFunction,
};

use super::malformed;
use crate::color::{self, Converted, Described, Sample};
use crate::convert::each;
use crate::damage::GRAY;
use crate::error::CodecError;

/// How the picture's samples are decoded and delivered.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// As shown.
    pub(super) size: (u32, u32),
    pub(super) animated: bool,
    /// What is delivered.
    pub(super) pixels: PixelFormat,
    color: Color,
    wide: bool,
    alpha: bool,
    extra_channels: usize,
    /// Of the extra channels the one that alpha is in, if it does not stand beside the colours.
    alpha_channel: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Color {
    Gray,
    Rgb,
    Cmyk,
}

impl Layout {
    /// None before the decoder has read so far.
    pub(super) fn of(decoder: &JxlDecoder) -> Option<Self> {
        let (info, profile) = (decoder.basic_info()?, decoder.embedded_color_profile()?);
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let channel = |wanted| info.extra_channels.iter().position(|channel| channel.ec_type == wanted);
        let (alpha, black) = (channel(ExtraChannel::Alpha), channel(ExtraChannel::Black));
        let color = match profile.channels() {
            1 => Color::Gray,
            4 if black.is_some() && info.uses_original_profile => Color::Cmyk,
            _ => Color::Rgb,
        };
        let wide = info.bit_depth.bits_per_sample() > 8;
        let pixels = match (wide, alpha.is_some(), color) {
            (true, ..) => PixelFormat::Rgba16,
            (_, true, _) => PixelFormat::Rgba8,
            (_, _, Color::Gray) => PixelFormat::Gray8,
            _ => PixelFormat::Rgb8,
        };
        Some(Self {
            size: (side(info.size.0), side(info.size.1)),
            animated: info.animation.is_some(),
            pixels,
            color,
            wide,
            alpha: alpha.is_some(),
            extra_channels: info.extra_channels.len(),
            alpha_channel: alpha.filter(|_| color == Color::Cmyk),
        })
    }

    /// What the decoder is to give: one buffer, and one more of alpha beside inks.
    pub(super) fn asked(&self) -> JxlPixelFormat {
        let sample = if self.wide {
            JxlDataFormat::U16 { endianness: Endianness::LittleEndian, bit_depth: 16 }
        } else {
            JxlDataFormat::U8 { bit_depth: 8 }
        };
        let color_type = match (self.color, self.alpha) {
            (Color::Gray, false) => JxlColorType::Grayscale,
            (Color::Gray, true) => JxlColorType::GrayscaleAlpha,
            (Color::Rgb, false) => JxlColorType::Rgb,
            (Color::Rgb, true) => JxlColorType::Rgba,
            (Color::Cmyk, _) => JxlColorType::Cmyk,
        };
        let mut extra_channel_format = vec![None; self.extra_channels];
        if let Some(format) = self.alpha_channel.and_then(|channel| extra_channel_format.get_mut(channel)) {
            *format = Some(sample);
        }
        JxlPixelFormat { color_type, color_data_format: Some(sample), extra_channel_format }
    }

    /// A pixel of each of the buffers that are asked for, as one that is missing is: gray and opaque.
    pub(super) fn blank(&self) -> Vec<Vec<u8>> {
        let bytes = if self.wide { 2 } else { 1 };
        let color_type = self.asked().color_type;
        let (all, opaque) = (color_type.samples_per_pixel(), usize::from(color_type.has_alpha()));
        let colors = [vec![GRAY; (all - opaque) * bytes], vec![0xFF; opaque * bytes]].concat();
        [colors].into_iter().chain(self.alpha_channel.map(|_| vec![0xFF; bytes])).collect()
    }

    /// The picture of what the decoder gave, in sRGB.
    pub(super) fn image(
        &self,
        mut given: Vec<Vec<u8>>,
        profile: Option<&JxlColorProfile>,
    ) -> Result<Converted<Image>, CodecError> {
        let alpha = if given.len() > 1 { given.pop() } else { None };
        let data = given.pop().ok_or_else(|| malformed("no picture"))?;
        let image = |format, data| Image::new(self.size.0, self.size.1, format, data).map_err(malformed);
        if self.color == Color::Cmyk {
            let icc = profile.and_then(|profile| match profile {
                JxlColorProfile::Icc(icc) => Some(icc.as_slice()),
                JxlColorProfile::Simple(_) => None,
            });
            let (format, data, unconverted) = self.inks(data, alpha.as_deref(), icc);
            return Ok((image(format, data)?, unconverted));
        }
        let (format, data) = self.expanded(data);
        let image = image(format, data)?;
        Ok(match profile {
            Some(JxlColorProfile::Icc(icc)) => color::to_srgb(image, Some(icc)),
            Some(JxlColorProfile::Simple(encoding)) => match described(encoding) {
                None => (image, None),
                Some(Ok(described)) => described.apply(image),
                Some(Err(why)) => (image, Some(why)),
            },
            None => (image, None),
        })
    }

    fn expanded(&self, data: Vec<u8>) -> (PixelFormat, Vec<u8>) {
        let narrow = match (self.color, self.alpha) {
            (Color::Gray, false) => PixelFormat::Gray8,
            (_, false) => PixelFormat::Rgb8,
            (_, true) => PixelFormat::Rgba8,
        };
        let data = match (self.color, self.wide, self.alpha) {
            (_, false, false) | (Color::Rgb | Color::Cmyk, _, true) => data,
            (Color::Gray, false, true) => {
                let (pixels, _) = data.as_chunks::<2>();
                each(pixels.iter().map(|&[y, a]| [y, y, y, a]), pixels.len())
            }
            (Color::Gray, true, false) => {
                let (pixels, _) = data.as_chunks::<2>();
                each(pixels.iter().map(|&[y, z]| [y, z, y, z, y, z, 255, 255]), pixels.len())
            }
            (Color::Gray, true, true) => {
                let (pixels, _) = data.as_chunks::<4>();
                each(pixels.iter().map(|&[y, z, a, b]| [y, z, y, z, y, z, a, b]), pixels.len())
            }
            (Color::Rgb | Color::Cmyk, true, false) => {
                let (pixels, _) = data.as_chunks::<6>();
                let opaque = |&[r, s, g, h, b, c]: &[u8; 6]| [r, s, g, h, b, c, 255, 255];
                each(pixels.iter().map(opaque), pixels.len())
            }
        };
        (if self.wide { PixelFormat::Rgba16 } else { narrow }, data)
    }

    /// RGB of inks, of which the lowest value is the full one, and whatever alpha is beside them.
    fn inks(
        &self,
        data: Vec<u8>,
        alpha: Option<&[u8]>,
        icc: Option<&[u8]>,
    ) -> (PixelFormat, Vec<u8>, Option<String>) {
        if self.wide {
            let words = |data: &[u8]| -> Vec<u16> {
                data.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word)).collect()
            };
            let inks: Vec<u16> = words(&data).into_iter().map(|value| u16::MAX - value).collect();
            let (rgb, why) = color::cmyk_to_rgb(&inks, icc);
            let rgba = with_alpha(&rgb, alpha.map(words).as_deref(), u16::MAX);
            (PixelFormat::Rgba16, rgba.into_iter().flat_map(u16::to_le_bytes).collect(), why)
        } else {
            let inks: Vec<u8> = data.into_iter().map(|value| u8::MAX - value).collect();
            let (rgb, why) = color::cmyk_to_rgb(&inks, icc);
            match alpha {
                Some(alpha) => (PixelFormat::Rgba8, with_alpha(&rgb, Some(alpha), u8::MAX), why),
                None => (PixelFormat::Rgb8, rgb, why),
            }
        }
    }
}

fn with_alpha<T: Sample>(rgb: &[T], alpha: Option<&[T]>, opaque: T) -> Vec<T> {
    let (pixels, _) = rgb.as_chunks::<3>();
    let at = |index: usize| alpha.and_then(|alpha| alpha.get(index)).copied().unwrap_or(opaque);
    pixels.iter().enumerate().flat_map(|(index, &[r, g, b])| [r, g, b, at(index)]).collect()
}

/// Colours that are told without a profile; none for sRGB's own. Gray is that of sRGB's primaries.
fn described(encoding: &JxlColorEncoding) -> Option<Result<Described, String>> {
    let (places, transfer) = match encoding {
        JxlColorEncoding::RgbColorSpace { white_point, primaries, transfer_function, .. } => {
            let [red, green, blue] = primaries.to_xy_coords();
            ([red, green, blue, white_point.to_xy_coords()], transfer_function)
        }
        JxlColorEncoding::GrayscaleColorSpace { transfer_function, .. } => (srgb_places(), transfer_function),
        JxlColorEncoding::XYB { .. } => return Some(Err("its samples are told to be XYB".to_owned())),
    };
    let number = match transfer {
        JxlTransferFunction::SRGB if places == srgb_places() => return None,
        JxlTransferFunction::SRGB => 13,
        JxlTransferFunction::BT709 => 1,
        JxlTransferFunction::Linear => 8,
        JxlTransferFunction::PQ => 16,
        JxlTransferFunction::DCI => 17,
        JxlTransferFunction::HLG => 18,
        JxlTransferFunction::Gamma(gamma) => {
            return Some(Ok(Described::of_exponent(places, 1.0 / gamma.clamp(1e-3, 1.0))));
        }
    };
    Some(Described::of_places(places, number))
}

fn srgb_places() -> [(f32, f32); 4] {
    let [red, green, blue] = jxl::api::JxlPrimaries::SRGB.to_xy_coords();
    [red, green, blue, jxl::api::JxlWhitePoint::D65.to_xy_coords()]
}
