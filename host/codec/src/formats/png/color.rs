//! What a PNG's chunks say of its colours: the first that can be followed, in the order of the third edition (section 4.3): code
//! points, a profile, sRGB, gamma and chromaticities.

use imgserve_sdk::Image;
use moxcms::{Chromaticity, ColorPrimaries};
use png::{CodingIndependentCodePoints, Info, SourceChromaticities};

use crate::color::{self, Converted, Curve, Described, Shaper};

/// Whether there is a chunk of a name, which the library passes over if it cannot read it.
type Has<'h> = &'h dyn Fn(&[u8; 4]) -> bool;
/// The picture, and what came of one way to say its colours: nothing is said, it was followed, or why it could not be.
type Tried = (Image, Option<Result<(), String>>);

/// The picture in sRGB.
pub(super) fn to_srgb(mut image: Image, info: &Info<'_>, has: Has<'_>) -> Converted<Image> {
    let ways: [fn(Image, &Info<'_>, Has<'_>) -> Tried; 4] = [points, profile, plain, gamma];
    let mut fault = None;
    for way in ways {
        let (given, tried) = way(image, info, has);
        image = given;
        match tried {
            None => {}
            Some(Ok(())) => break,
            Some(Err(why)) => fault = fault.or(Some(why)),
        }
    }
    (image, fault)
}

fn points(image: Image, info: &Info<'_>, has: Has<'_>) -> Tried {
    match &info.coding_independent_code_points {
        Some(points) => match by_points(points) {
            Ok(described) => tried(described.apply(image)),
            Err(why) => (image, Some(Err(why))),
        },
        None if has(b"cICP") => {
            (image, Some(Err("the code points (cICP) are none that a PNG may have".to_owned())))
        }
        None => (image, None),
    }
}

fn profile(image: Image, info: &Info<'_>, has: Has<'_>) -> Tried {
    match info.icc_profile.as_deref() {
        Some(icc) => tried(color::to_srgb(image, Some(icc))),
        None if has(b"iCCP") => (image, Some(Err("the colour profile cannot be unpacked".to_owned()))),
        None => (image, None),
    }
}

fn plain(image: Image, info: &Info<'_>, _: Has<'_>) -> Tried {
    (image, info.srgb.map(|_| Ok(())))
}

fn gamma(image: Image, info: &Info<'_>, has: Has<'_>) -> Tried {
    match (&info.gama_chunk, &info.chrm_chunk) {
        (None, _) if has(b"gAMA") => (image, Some(Err("the gamma (gAMA) cannot be read".to_owned()))),
        (None, None) => (image, None),
        _ => by(image, by_gamma(info)),
    }
}

fn by(image: Image, shaper: Result<Shaper, String>) -> Tried {
    match shaper {
        Ok(shaper) => tried(color::shaped(image, shaper)),
        Err(why) => (image, Some(Err(why))),
    }
}

fn tried((image, wrong): Converted<Image>) -> Tried {
    (image, Some(wrong.map_or(Ok(()), Err)))
}

/// By gAMA and cHRM (sections 11.3.2.1 and 11.3.2.2); what is not said is sRGB's.
fn by_gamma(info: &Info<'_>) -> Result<Shaper, String> {
    let gamma = info.gama_chunk.map(png::ScaledFloat::into_scaled);
    // The chunk of sRGB is to stand beside 0.45455, and often that stands alone.
    let curve = gamma.map_or_else(Curve::srgb, |gamma| Curve::of_exponent(100_000.0 / gamma as f32));
    let (primaries, white) = match &info.chrm_chunk {
        Some(SourceChromaticities { white, red, green, blue }) => {
            let place = |(x, y): (png::ScaledFloat, png::ScaledFloat)| {
                Chromaticity::new(x.into_value(), y.into_value())
            };
            let primaries = ColorPrimaries { red: place(*red), green: place(*green), blue: place(*blue) };
            (primaries, place(*white))
        }
        None => (ColorPrimaries::BT_709, Chromaticity::D65),
    };
    shaper(curve, primaries, white).ok_or_else(|| "the chromaticities (cHRM) are of no colours".to_owned())
}

/// By cICP (section 11.3.2.6).
fn by_points(points: &CodingIndependentCodePoints) -> Result<Described, String> {
    let CodingIndependentCodePoints { color_primaries, transfer_function, .. } = *points;
    Described::of_points(color_primaries, transfer_function, points.is_video_full_range_image)
        .map_err(|why| format!("{why} (cICP)"))
}

fn shaper(curve: Curve, primaries: ColorPrimaries, white: Chromaticity) -> Option<Shaper> {
    Shaper::of_primaries([curve.clone(), curve.clone(), curve], primaries, white)
}

#[cfg(test)]
mod tests {
    use imgserve_base::format::Format;
    use imgserve_sdk::PixelFormat;

    use crate::color::samples::swap;
    use crate::samples::{decode_one, decode_with_fault, encode};

    /// A PNG of one pixel with such chunks before its picture.
    fn png(format: PixelFormat, pixel: &[u8], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let image = imgserve_sdk::Image::new(1, 1, format, pixel.to_vec()).unwrap();
        let file = encode(Format::Png, image.as_ref(), 80);
        let mut before = Vec::new();
        for (name, data) in chunks {
            before.extend((data.len() as u32).to_be_bytes());
            let named = [name.as_slice(), data].concat();
            before.extend(&named);
            before.extend(checksum(&named).to_be_bytes());
        }
        [&file[..33], &before, &file[33..]].concat()
    }

    fn numbers(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    fn iccp(profile: &[u8]) -> Vec<u8> {
        // Zlib's header, one block that is stored as it is, and Adler's checksum.
        let length = profile.len() as u16;
        let (a, b) = profile.iter().fold((1, 0), |(a, b), &byte| {
            let a = (a + u32::from(byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), profile];
        [b"x\0\0\x78\x01", &block.concat()[..], &(b << 16 | a).to_be_bytes()].concat()
    }

    /// A chunk's (section 5.5).
    fn checksum(data: &[u8]) -> u32 {
        let step = |sum: u32| if sum & 1 == 1 { 0xEDB8_8320 ^ sum >> 1 } else { sum >> 1 };
        !data.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
    }

    const GREEN_RED_BLUE: [u32; 8] = [31_270, 32_900, 30_000, 60_000, 64_000, 33_000, 15_000, 6_000];

    #[test]
    fn each_chunk_counts_by_itself() {
        let rgb = |pixel: [u8; 3], name: &[u8; 4], data: Vec<u8>| {
            decode_one(&png(PixelFormat::Rgb8, &pixel, &[(name, data)])).into_data()
        };
        let near = |got: &[u8], wanted: [u8; 3], most: u8| {
            assert!(got.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= most), "{got:?}, not {wanted:?}");
        };
        near(&rgb([55; 3], b"gAMA", numbers(&[100_000])), [128; 3], 2);
        near(&rgb([55; 3], b"gAMA", numbers(&[45_455])), [55; 3], 0);
        near(&rgb([255, 0, 0], b"cHRM", numbers(&GREEN_RED_BLUE)), [0, 255, 0], 2);
        near(&rgb([234, 51, 35], b"cICP", vec![12, 13, 0, 1]), [255, 0, 0], 6);
        near(&rgb([99, 100, 101], b"cICP", vec![1, 13, 0, 1]), [99, 100, 101], 0);
        near(&rgb([16, 235, 126], b"cICP", vec![1, 13, 0, 0]), [0, 255, 128], 2);
        // 58 % of perceptual quantisation is what paper is; so are 75 % of hybrid log-gamma. There is room for lights above it.
        near(&rgb([148; 3], b"cICP", vec![1, 16, 0, 1]), [229; 3], 6);
        near(&rgb([191; 3], b"cICP", vec![1, 18, 0, 1]), [229; 3], 6);
        near(&rgb([255; 3], b"cICP", vec![1, 18, 0, 1]), [255; 3], 1);
        near(&rgb([255, 0, 0], b"iCCP", iccp(&swap())), [0, 255, 0], 2);
    }

    #[test]
    fn every_pixel_format_is_converted() {
        let linear = || [(b"gAMA", numbers(&[100_000]))];
        let near = |value: u8| value.abs_diff(128) <= 2;
        assert!(near(decode_one(&png(PixelFormat::Gray8, &[55], &linear())).data()[0]));
        let rgba = decode_one(&png(PixelFormat::Rgba8, &[55, 55, 55, 9], &linear())).into_data();
        assert!(near(rgba[0]) && rgba[3] == 9, "{rgba:?}");
        let wide = decode_one(&png(PixelFormat::Rgba16, &[0, 55, 0, 55, 0, 55, 3, 9], &linear())).into_data();
        assert!(near(wide[1]) && near(wide[5]) && wide[6..] == [3, 9], "{wide:?}");
    }

    #[test]
    fn the_first_in_the_order_counts_that_can_be_followed() {
        let chunks = [
            (b"cICP", vec![1, 13, 0, 1]),
            (b"iCCP", iccp(&swap())),
            (b"sRGB", vec![0]),
            (b"gAMA", numbers(&[100_000])),
        ];
        for (skipped, wanted, most) in
            [(0, [200, 0, 0], 1), (1, [32, 194, 22], 4), (2, [200, 0, 0], 1), (3, [229, 0, 0], 2)]
        {
            let got = decode_one(&png(PixelFormat::Rgb8, &[200, 0, 0], &chunks[skipped..])).into_data();
            let near = got.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= most);
            assert!(near, "{skipped} left out: {got:?}");
        }
        let unknown = [(b"cICP", vec![99, 13, 0, 1]), (b"iCCP", iccp(&swap()))];
        let got = decode_one(&png(PixelFormat::Rgb8, &[255, 0, 0], &unknown)).into_data();
        assert_eq!(got[0..2], [0, 255]);
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (name, data, reason) in [
            (b"cICP", vec![99, 13, 0, 1], "primaries 99"),
            (b"cICP", vec![1, 99, 0, 1], "transfer characteristics 99"),
            (b"iCCP", b"x\0\0not packed".to_vec(), "unpacked"),
            (b"iCCP", iccp(b"not a profile"), "no ICC profile"),
            (b"cICP", vec![1, 13, 9, 1], "none that a PNG may have"),
            (b"cICP", vec![1, 13, 0, 7], "none that a PNG may have"),
            (b"gAMA", numbers(&[0]), "gAMA"),
            (b"cHRM", numbers(&[0; 8]), "cHRM"),
        ] {
            let file = png(PixelFormat::Rgb8, &[9, 99, 199], &[(name, data)]);
            let (image, fault) = decode_with_fault(&file);
            let fault = fault.unwrap_or_default();
            assert!(fault.contains(reason) && image.data() == [9, 99, 199], "{reason}: {fault}");
        }
    }
}
