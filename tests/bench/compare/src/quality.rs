//! Quality as a number: SSIMULACRA2 of a result against the source decoded in full and resampled in linear light.
//!
//! 100 is the same picture, 90 looks the same side by side, 70 is what a careful viewer sees, 50 what everyone sees.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

use crate::sources::{self, Rgb};

/// A source's light: floating-point red, green and blue, proportional to what a display emits.
pub struct Light {
    width: u32,
    height: u32,
    samples: Vec<u8>,
}

impl std::fmt::Debug for Light {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Light").field("width", &self.width).field("height", &self.height).finish()
    }
}

impl Light {
    /// Of a JPEG (or PNG or WebP), decoded in full.
    ///
    /// # Errors
    /// What the decoder says.
    pub fn of(file: &[u8]) -> Result<Self, String> {
        let picture = decode(file)?;
        let curve: Vec<[u8; 4]> = (0..=u8::MAX).map(|level| linear(level).to_ne_bytes()).collect();
        let samples = picture.data.iter().flat_map(|&level| curve[usize::from(level)]).collect();
        Ok(Self { width: picture.width, height: picture.height, samples })
    }

    /// The best picture of this size that there is: Lanczos3 of the light, then sRGB.
    ///
    /// # Errors
    /// What the resampler says.
    pub fn resampled(&self, width: u32, height: u32) -> Result<Rgb, String> {
        let view = ImageRef::new(self.width, self.height, &self.samples, PixelType::F32x3)
            .map_err(|error| error.to_string())?;
        let mut small = Image::new(width, height, PixelType::F32x3);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
        Resizer::new().resize(&view, &mut small, &options).map_err(|error| error.to_string())?;
        let data = small
            .buffer()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&sample| level(f32::from_ne_bytes(sample)))
            .collect();
        Ok(Rgb { width, height, data })
    }
}

/// zune-jpeg reads every JPEG here alike, whoever wrote it.
fn decode(file: &[u8]) -> Result<Rgb, String> {
    if !file.starts_with(&[0xFF, 0xD8]) {
        return sources::decode(file);
    }
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    let data = decoder.decode().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("no header")?;
    Ok(Rgb { width: info.width.into(), height: info.height.into(), data })
}

/// IEC 61966-2-1.
fn linear(level: u8) -> f32 {
    let level = f32::from(level) / 255.0;
    if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
}

/// The inverse, rounded; Lanczos3 overshoots, and what is below black or above white is cut.
fn level(light: f32) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let level = if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (255.0 * level).round() as u8
}

/// The size of an encoded result, and its SSIMULACRA2 against its source.
///
/// # Errors
/// What the decoder or the resampler says.
pub fn score(source: &Light, result: &[u8]) -> Result<f64, String> {
    let result = decode(result)?;
    compare(&source.resampled(result.width, result.height)?, &result)
}

/// SSIMULACRA2 of two pictures of the same size.
///
/// # Errors
/// When their sizes differ.
pub fn compare(one: &Rgb, other: &Rgb) -> Result<f64, String> {
    compute_ssimulacra2(&view(one)?, &view(other)?).map_err(|error| error.to_string())
}

fn view(picture: &Rgb) -> Result<PixelSlice<'_>, String> {
    let stride = 3 * picture.width as usize;
    PixelSlice::new(&picture.data, picture.width, picture.height, stride, PixelDescriptor::RGB8_SRGB)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{Coding, encode, synthetic};

    #[test]
    fn the_curve_and_its_inverse_give_every_level_back() {
        assert!((0..=u8::MAX).all(|value| level(linear(value)) == value));
        assert_eq!((level(-0.1), level(1.2)), (0, 255));
    }

    #[test]
    fn light_is_averaged_and_not_its_code() {
        // Black and white in equal parts are 188, not 128.
        let data = [[0; 3], [255; 3]].concat().repeat(32);
        let file = encode(&Rgb { width: 64, height: 1, data }, Coding::Baseline).unwrap();
        let gray = Light::of(&file).unwrap().resampled(2, 1).unwrap().data[0];
        assert!((183..=193).contains(&gray), "{gray}");
    }

    #[test]
    fn a_worse_picture_has_a_lower_score() {
        let picture = synthetic(320, 200);
        let source = Light::of(&encode(&picture, Coding::Baseline).unwrap()).unwrap();
        let best = source.resampled(160, 100).unwrap();
        assert!(compare(&best, &best).unwrap() > 99.9);
        let mut noisy = best.clone();
        noisy.data.iter_mut().step_by(7).for_each(|level| *level = level.wrapping_add(40));
        let (good, bad) = (
            score(&source, &encode(&best, Coding::Baseline).unwrap()).unwrap(),
            compare(&best, &noisy).unwrap(),
        );
        assert!(good > 60.0 && bad < good, "{good} {bad}");
    }
}
