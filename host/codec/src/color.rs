//! Embedded colour profiles (ICC.1) to sRGB, by moxcms. A profile that is broken, of another kind than the pixels,
//! or as good as sRGB changes nothing: refusing a picture for its profile would help nobody.

use imgserve_base::units::MIB;
use imgserve_sdk::{Image, PixelFormat};
use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformExecutor, TransformOptions};

/// Larger than any profile in use (printers' tables take 2 to 3 MB).
const MAX_PROFILE_BYTES: usize = 16 * MIB as usize;
/// Pixels per call of the transform: what the copy beside them takes stays in the cache.
const CHUNK_PIXELS: usize = 4096;

/// The picture with its colours in sRGB.
pub(crate) fn to_srgb(mut image: Image, icc: Option<&[u8]>) -> Image {
    let Some(profile) = icc.and_then(parse) else { return image };
    match (profile.color_space, image.format()) {
        (DataColorSpace::Gray, format) => gray_to_srgb(&mut image, &profile, format),
        (DataColorSpace::Rgb, PixelFormat::Rgb8) => bytes_to_srgb(image.data_mut(), &profile, Layout::Rgb, 3),
        (DataColorSpace::Rgb, PixelFormat::Rgba8) => {
            bytes_to_srgb(image.data_mut(), &profile, Layout::Rgba, 4)
        }
        (DataColorSpace::Rgb, PixelFormat::Rgba16) => words_to_srgb(image.data_mut(), &profile),
        _ => Some(()),
    };
    image
}

/// RGB of ink amounts (four bytes a pixel, 255 the full ink): by the profile if it is one for CMYK, else as if
/// inks were ideal filters.
pub(crate) fn cmyk_to_rgb(ink: &[u8], icc: Option<&[u8]>) -> Vec<u8> {
    let profile = icc.and_then(parse).filter(|profile| profile.color_space == DataColorSpace::Cmyk);
    profile.and_then(|profile| cmyk_by_profile(ink, &profile)).unwrap_or_else(|| {
        let (pixels, _) = ink.as_chunks::<4>();
        pixels.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| filtered(ink, k))).collect()
    })
}

/// (1 − ink)(1 − black), rounded.
fn filtered(ink: u8, black: u8) -> u8 {
    let light = (255 - u32::from(ink)) * (255 - u32::from(black));
    ((light + 127) / 255) as u8
}

fn parse(icc: &[u8]) -> Option<ColorProfile> {
    if icc.len() > MAX_PROFILE_BYTES {
        return None;
    }
    ColorProfile::new_from_slice(icc).ok()
}

fn options() -> TransformOptions {
    TransformOptions {
        rendering_intent: RenderingIntent::RelativeColorimetric,
        ..TransformOptions::default()
    }
}

fn cmyk_by_profile(ink: &[u8], profile: &ColorProfile) -> Option<Vec<u8>> {
    let options = TransformOptions { rendering_intent: RenderingIntent::Perceptual, ..options() };
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, options).ok()?;
    let mut rgb = vec![0; ink.len() / 4 * 3];
    transform.transform(ink, &mut rgb).ok()?;
    Some(rgb)
}

/// `None` when the profile cannot be used; the pixels are then as they were.
fn bytes_to_srgb(data: &mut [u8], profile: &ColorProfile, layout: Layout, channels: usize) -> Option<()> {
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(layout, &srgb, layout, options()).ok()?;
    if is_identity(transform.as_ref(), channels)? {
        return Some(());
    }
    let mut copy = Vec::with_capacity(CHUNK_PIXELS * channels);
    for chunk in data.chunks_mut(CHUNK_PIXELS * channels) {
        copy.clear();
        copy.extend_from_slice(chunk);
        transform.transform(&copy, chunk).ok()?;
    }
    Some(())
}

/// Whether no colour of a coarse grid changes by more than rounding: true for sRGB under any of its many names.
fn is_identity(transform: &dyn TransformExecutor<u8>, channels: usize) -> Option<bool> {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let mut grid = Vec::with_capacity(216 * channels);
    for (r, g, b) in
        STEPS.iter().flat_map(|r| STEPS.iter().flat_map(move |g| STEPS.iter().map(move |b| (r, g, b))))
    {
        grid.extend_from_slice(&[*r, *g, *b, 255][..channels]);
    }
    let mut changed = vec![0; grid.len()];
    transform.transform(&grid, &mut changed).ok()?;
    Some(grid.iter().zip(&changed).all(|(a, b)| a.abs_diff(*b) <= 2))
}

fn words_to_srgb(data: &mut [u8], profile: &ColorProfile) -> Option<()> {
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_16bit(Layout::Rgba, &srgb, Layout::Rgba, options()).ok()?;
    let (words, _) = data.as_chunks_mut::<2>();
    let mut changed = [0; CHUNK_PIXELS * 4];
    for chunk in words.chunks_mut(CHUNK_PIXELS * 4) {
        let copy: Vec<u16> = chunk.iter().map(|word| u16::from_le_bytes(*word)).collect();
        let changed = &mut changed[..copy.len()];
        transform.transform(&copy, changed).ok()?;
        chunk.iter_mut().zip(changed).for_each(|(word, value)| *word = value.to_le_bytes());
    }
    Some(())
}

/// A gray profile is one curve, so a table of it serves all pixels.
fn gray_to_srgb(image: &mut Image, profile: &ColorProfile, format: PixelFormat) -> Option<()> {
    match format {
        PixelFormat::Gray8 | PixelFormat::Rgba8 => {
            let curve = gray_curve_8(profile)?;
            let pixels = image.data_mut().chunks_exact_mut(format.bytes_per_pixel());
            // The first channels are gray three times over; alpha stays.
            pixels.for_each(|pixel| pixel.iter_mut().take(3).for_each(|y| *y = curve[usize::from(*y)]));
        }
        PixelFormat::Rgba16 => {
            let curve = gray_curve_16(profile)?;
            let (pixels, _) = image.data_mut().as_chunks_mut::<8>();
            for pixel in pixels {
                let gray = curve[usize::from(u16::from_le_bytes([pixel[0], pixel[1]]))].to_le_bytes();
                let (words, _) = pixel.as_chunks_mut::<2>();
                words[..3].fill(gray);
            }
        }
        PixelFormat::Rgb8 => {}
    }
    Some(())
}

fn gray_curve_8(profile: &ColorProfile) -> Option<Vec<u8>> {
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_8bit(Layout::Gray, &srgb, Layout::Rgb, options()).ok()?;
    let ramp: Vec<u8> = (0..=255).collect();
    let mut rgb = vec![0; ramp.len() * 3];
    transform.transform(&ramp, &mut rgb).ok()?;
    Some(rgb.chunks_exact(3).map(|pixel| pixel[1]).collect())
}

fn gray_curve_16(profile: &ColorProfile) -> Option<Vec<u16>> {
    let srgb = ColorProfile::new_srgb();
    let transform = profile.create_transform_16bit(Layout::Gray, &srgb, Layout::Rgb, options()).ok()?;
    let ramp: Vec<u16> = (0..=u16::MAX).collect();
    let mut rgb = vec![0; ramp.len() * 3];
    transform.transform(&ramp, &mut rgb).ok()?;
    Some(rgb.chunks_exact(3).map(|pixel| pixel[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(pixel: [u8; 3], profile: &ColorProfile) -> Vec<u8> {
        let image = Image::new(1, 1, PixelFormat::Rgb8, pixel.to_vec()).unwrap();
        to_srgb(image, Some(&profile.encode().unwrap())).into_data()
    }

    #[test]
    fn a_wide_gamut_is_brought_to_srgb() {
        // The sRGB red (255, 0, 0) is (234, 51, 35) in Display P3 (CSS Color 4, section 10.4's sample code).
        let red = rgb([234, 51, 35], &ColorProfile::new_display_p3());
        assert!(red[0] >= 253 && red[1] <= 6 && red[2] <= 6, "{red:?}");
        // AdobeRGB's green lies outside sRGB: the same bytes stand for less red in sRGB.
        let green = rgb([128, 200, 100], &ColorProfile::new_adobe_rgb());
        assert!(green[0] < 110 && green[1].abs_diff(200) < 6, "{green:?}");
    }

    #[test]
    fn srgb_and_broken_profiles_change_nothing() {
        assert_eq!(rgb([1, 128, 254], &ColorProfile::new_srgb()), [1, 128, 254]);
        let image = Image::new(1, 1, PixelFormat::Rgb8, vec![9, 99, 199]).unwrap();
        assert_eq!(to_srgb(image.clone(), Some(b"not a profile")), image);
        let gray = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        assert_eq!(to_srgb(image.clone(), Some(&gray)), image, "a gray profile on coloured pixels");
    }

    #[test]
    fn a_linear_gray_is_brightened_in_every_gray_format() {
        let profile = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let gray = Image::new(1, 1, PixelFormat::Gray8, vec![55]).unwrap();
        assert!(to_srgb(gray, Some(&profile)).data()[0].abs_diff(128) <= 2);
        let rgba = Image::new(1, 1, PixelFormat::Rgba8, vec![55, 55, 55, 7]).unwrap();
        let rgba = to_srgb(rgba, Some(&profile)).into_data();
        assert!(rgba[0].abs_diff(128) <= 2 && rgba[3] == 7, "{rgba:?}");
        let wide = Image::new(1, 1, PixelFormat::Rgba16, vec![55, 55, 55, 55, 55, 55, 7, 7]).unwrap();
        let wide = to_srgb(wide, Some(&profile)).into_data();
        assert!(wide[1].abs_diff(128) <= 2 && wide[6..] == [7, 7], "{wide:?}");
    }

    #[test]
    fn without_a_profile_inks_are_ideal_filters() {
        let ink = [0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 128, 255, 0];
        assert_eq!(cmyk_to_rgb(&ink, None), [255, 255, 255, 0, 255, 255, 0, 0, 0, 255, 127, 0]);
    }
}
