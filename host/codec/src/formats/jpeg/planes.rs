//! A JPEG out of a JPEG with no pixels in between: each component's samples go from the decoder to the encoder as they are,
//! through somebody who resamples them, and nothing is made RGB only to be made YCbCr again.

use imgserve_jpeg::{Color, Plane as Samples, Planes};
use imgserve_sdk::{DecodeHint, Rect};

use super::encode::{self, jpeg_options, with_scratch};
use super::markers::{Markers, Until};
use super::{KEPT_BYTES, SCRATCH, check, markers_name_colors, options, scale};
use crate::codec::EncodeOptions;
use crate::error::CodecError;
use crate::header::Header;

/// One component of the source.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'p> {
    /// By rows, `stride` apart.
    pub samples: &'p [u8],
    /// Samples of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// From one row to the next.
    pub stride: usize,
    /// What is shown, in samples.
    pub crop: Rect,
    /// Whether the result has it at half its width and height, rounded up.
    pub halved: bool,
}

/// A picture that becomes another.
#[derive(Clone, Copy, Debug)]
pub struct Thumbnail<'t> {
    /// The whole source: [plain](is_plain), and upright.
    pub source: &'t [u8],
    /// What was probed of it.
    pub header: &'t Header,
    /// What suffices of it.
    pub hint: &'t DecodeHint,
    /// What is shown, in pixels of the source.
    pub crop: Rect,
    /// The result's size in pixels.
    pub size: (u32, u32),
    /// How it is encoded; with colours that are [halved](halves_colors).
    pub options: &'t EncodeOptions,
}

/// Who resamples the components: luminance, and of a picture in colour Cb and Cr.
pub trait Shrink {
    /// Is told of all of them when they are decoded. Whether the result is still wanted.
    fn begin(&mut self, planes: &[Plane<'_>]) -> bool;

    /// Makes eight rows of the result's, from `row` on, of the plane with this number: as numbers from -128 to 127, what lies
    /// beyond the result's edges repeating them.
    fn eight_rows(&mut self, plane: (usize, &Plane<'_>), row: usize, out: &mut [f32]);
}

/// Whether a file's samples are those of a JPEG as it is written here: luminance and, in colour, differences from it, with no
/// profile to apply.
pub fn is_plain(source: &[u8]) -> bool {
    let Ok(markers) = Markers::walk(source, Until::Scan) else { return false };
    markers.frame.as_ref().is_some_and(|frame| check(frame).is_ok()) && !markers_name_colors(&markers, source)
}

/// Whether a JPEG is written with colours at half its width and height.
pub fn halves_colors(options: &EncodeOptions) -> bool {
    encode::halves_colors(options)
}

/// Makes the file. None where the source is damaged, or none for this decoder, or the result is not wanted any more: what the
/// general way makes of such a source, or has to say about it, is what counts.
///
/// # Errors
/// That the result cannot be encoded.
pub fn thumbnail(thumbnail: &Thumbnail<'_>, shrink: &mut dyn Shrink) -> Result<Option<Vec<u8>>, CodecError> {
    let Thumbnail { source, header, hint, crop, size, options: encode } = *thumbnail;
    let scale = scale(header.coded_size(), hint.min_scale);
    let decode = options(scale, header.coded_region(hint.region));
    SCRATCH.with_borrow_mut(|scratch| {
        let made = match imgserve_jpeg::decode_planes(source, &decode, scratch) {
            Ok(Planes { planes, damage: None, .. }) => {
                let of = |(number, plane)| shown(plane, number > 0, crop, scale.factor());
                let planes: Vec<_> = planes.iter().enumerate().map(of).collect();
                if shrink.begin(&planes) { write(&planes, size, encode, shrink).map(Some) } else { Ok(None) }
            }
            _ => Ok(None),
        };
        scratch.release(KEPT_BYTES);
        made
    })
}

fn write(
    planes: &[Plane<'_>],
    size: (u32, u32),
    options: &EncodeOptions,
    shrink: &mut dyn Shrink,
) -> Result<Vec<u8>, CodecError> {
    let color = if planes.len() == 1 { Color::Gray } else { Color::Rgb };
    with_scratch(size, |side, scratch, file| {
        let fill = |number: usize, row: usize, out: &mut [f32]| {
            shrink.eight_rows((number, &planes[number]), row, out)
        };
        imgserve_jpeg::encode_planes(side, color, &jpeg_options(options), scratch, file, fill)
    })
}

/// A plane with its part of `crop`, which is in pixels of the source.
fn shown<'p>(plane: &Samples<'p>, halved: bool, crop: Rect, scale: f64) -> Plane<'p> {
    let Samples { samples, width, height, stride, left, top, step, .. } = *plane;
    let (across, down) = (scale / step.0 as f64, scale / step.1 as f64);
    let crop = Rect {
        x: crop.x * across - left as f64,
        y: crop.y * down - top as f64,
        width: crop.width * across,
        height: crop.height * down,
    };
    Plane { samples, width, height, stride, crop, halved }
}

#[cfg(test)]
mod tests {
    use imgserve_base::format::Format;
    use imgserve_sdk::PixelFormat;
    use moxcms::ColorProfile;

    use super::*;
    use crate::samples::*;

    /// Takes the nearest sample, without a care for what is halved.
    struct Nearest {
        size: (u32, u32),
        wanted: bool,
    }

    impl Shrink for Nearest {
        fn begin(&mut self, planes: &[Plane<'_>]) -> bool {
            assert!(
                planes
                    .iter()
                    .map(|plane| plane.halved)
                    .eq([false, true, true].into_iter().take(planes.len()))
            );
            self.wanted
        }

        fn eight_rows(&mut self, (_, plane): (usize, &Plane<'_>), row: usize, out: &mut [f32]) {
            let halves = if plane.halved { 2 } else { 1 };
            let at = |n: usize, (start, length): (f64, f64), of: u32, all: usize| {
                let count = of.div_ceil(halves);
                let place = start + ((n as f64).min(f64::from(count - 1)) + 0.5) * length / f64::from(count);
                (place as usize).min(all - 1)
            };
            let stride = out.len() / 8;
            for (n, out) in out.iter_mut().enumerate() {
                let y = at(row + n / stride, (plane.crop.y, plane.crop.height), self.size.1, plane.height);
                let x = at(n % stride, (plane.crop.x, plane.crop.width), self.size.0, plane.width);
                *out = f32::from(plane.samples[y * plane.stride + x]) - 128.0;
            }
        }
    }

    /// What shows `crop` of a file at this size, decoded at this scale at least.
    fn made(
        file: &[u8],
        crop: Option<Rect>,
        size: (u32, u32),
        (scale, options, wanted): (f64, EncodeOptions, bool),
    ) -> Option<Vec<u8>> {
        let header = header(file).unwrap();
        let whole = Rect { x: 0.0, y: 0.0, width: header.width.into(), height: header.height.into() };
        let hint = DecodeHint { min_scale: Some(scale), region: crop };
        let crop = crop.unwrap_or(whole);
        let wanted_file =
            Thumbnail { source: file, header: &header, hint: &hint, crop, size, options: &options };
        thumbnail(&wanted_file, &mut Nearest { size, wanted }).unwrap()
    }

    fn jpeg(pixels: PixelFormat, quality: u8) -> Vec<u8> {
        encode(Format::Jpeg, gradient(240, 160, pixels).as_ref(), quality)
    }

    #[test]
    fn each_component_shows_the_place_that_is_meant() {
        let part = Rect { x: 60.0, y: 40.0, width: 120.0, height: 80.0 };
        let (rgb, gray) = (PixelFormat::Rgb8, PixelFormat::Gray8);
        let progressive = progressive_jpeg(&gradient(240, 160, rgb));
        for (file, pixels) in
            [(jpeg(rgb, 85), rgb), (jpeg(rgb, 95), rgb), (jpeg(gray, 85), gray), (progressive, rgb)]
        {
            for (scale, thorough) in [(0.125, false), (0.25, true), (0.5, false), (1.0, true)] {
                let how = (scale, EncodeOptions { thorough, ..EncodeOptions::default() }, true);
                for size in [(30, 20), (15, 10)] {
                    let shown = decode_one(&made(&file, None, size, how).unwrap());
                    let far = distance(&shown, &gradient(size.0, size.1, pixels));
                    assert!(far < 24, "{pixels:?} {scale} {size:?}: {far}");
                }
                let shown = decode_one(&made(&file, Some(part), (30, 20), how).unwrap());
                let whole = gradient(60, 40, pixels);
                let channels = pixels.bytes_per_pixel();
                let rows = whole.data().chunks_exact(60 * channels).skip(10).take(20);
                let middle = rows.flat_map(|row| &row[15 * channels..45 * channels]);
                let far = shown.data().iter().zip(middle).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(far < 24, "{pixels:?} {scale}: {far}");
            }
        }
    }

    #[test]
    fn what_is_damaged_or_not_wanted_any_more_is_not_made() {
        let file = jpeg(PixelFormat::Rgb8, 85);
        let how = |wanted| (0.25, EncodeOptions::default(), wanted);
        assert!(made(&file, None, (30, 20), how(true)).is_some());
        assert_eq!(made(&file[..file.len() / 2], None, (30, 20), how(true)), None, "cut off");
        assert_eq!(made(&file, None, (30, 20), how(false)), None, "not wanted");
    }

    #[test]
    fn colours_are_halved_but_for_the_best_quality() {
        for quality in [1, 80, 89, 90, 100] {
            let options = EncodeOptions { quality, ..EncodeOptions::default() };
            let mut encoder = crate::Encoder::new(Format::Jpeg, &options, 64, 64).unwrap();
            encoder.push(gradient(64, 64, PixelFormat::Rgb8).as_ref(), 0).unwrap();
            let file = encoder.finish().unwrap();
            let markers = Markers::walk(&file, Until::Scan).unwrap();
            let halved = markers.frame.unwrap().components[0][1..] == [2, 2];
            assert_eq!(halves_colors(&options), halved, "{quality}");
        }
    }

    #[test]
    fn plain_is_what_needs_no_conversion() {
        let file = jpeg(PixelFormat::Rgb8, 85);
        let profile = |profile: ColorProfile| {
            let profile = profile.encode().unwrap();
            with_segment(&file, 0xE2, &[b"ICC_PROFILE\0\x01\x01".as_slice(), &profile].concat())
        };
        let adobe = with_segment(&file, 0xEE, b"Adobe\0\x64\0\0\0\0\0");
        // JFIF's marker would say that the samples are what Adobe's says they are not.
        let jfif = adobe.windows(4).position(|bytes| bytes == b"JFIF").unwrap() - 4;
        let rgb = [&adobe[..jfif], &adobe[jfif + 18..]].concat();
        let mut inks = Vec::new();
        jpeg_encoder::Encoder::new(&mut inks, 90)
            .encode(&[90; 4 * 64 * 48], 64, 48, jpeg_encoder::ColorType::Cmyk)
            .unwrap();
        let frame = file.windows(2).position(|bytes| bytes == [0xFF, 0xC0]).unwrap();
        let mut arithmetic = file.clone();
        arithmetic[frame + 1] = 0xC9;
        let twice = [&file[..frame], &file[frame..frame + 19], &file[frame..]].concat();
        for (what, file, plain) in [
            ("colours", file.clone(), true),
            ("gray", jpeg(PixelFormat::Gray8, 85), true),
            ("a profile that is sRGB's", profile(ColorProfile::new_srgb()), true),
            ("a profile that is to be applied", profile(ColorProfile::new_display_p3()), false),
            ("a profile that cannot be read", with_segment(&file, 0xE2, b"ICC_PROFILE\0\x01\x02abc"), false),
            ("samples that are red, green and blue", rgb, false),
            ("inks", inks, false),
            ("another coding", arithmetic, false),
            ("two frame headers", twice, false),
            ("no JPEG", encode(Format::Png, gradient(24, 16, PixelFormat::Rgb8).as_ref(), 80), false),
        ] {
            assert_eq!(is_plain(&file), plain, "{what}");
        }
    }
}
