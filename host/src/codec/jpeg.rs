//! JPEG (ITU-T T.81): zune-jpeg at full size, jpeg-decoder at reduced sizes and for inks, jpeg-encoder to write.

mod markers;

use imgserve_sdk::{Image, ImageRef, PixelFormat};
use jpeg_decoder::ColorTransform;
use jpeg_encoder::{ColorType, SamplingFactor};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{CodecError, Cost, EncodeOptions, Format, Header, Orientation, color, convert::convert_over};
use markers::{Frame, Markers, Until};

/// Pictures with a shorter side are decoded in full: the choice of `jpeg-decoder` between its scales is not ours to
/// make where two of them round to the same size, and nothing is gained.
pub(super) const MIN_SCALED_SIDE: u32 = 16;
/// Each scan of a progressive file costs a pass over all of it; encoders write about ten.
const MAX_SCANS: u32 = 100;
/// From this quality on, colour is kept at full resolution.
const FULL_CHROMA_QUALITY: u8 = 90;

pub(super) fn probe(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    let markers = Markers::walk(bytes, Until::Frame).map_err(malformed)?;
    let Some(frame) = &markers.frame else {
        return if markers.whole { Err(malformed("no frame header")) } else { Ok(None) };
    };
    check(frame)?;
    let orientation = markers.exif(bytes).map_or(Orientation::UPRIGHT, Orientation::from_exif_block);
    let pixels = if frame.components.len() == 1 { PixelFormat::Gray8 } else { PixelFormat::Rgb8 };
    let coded = (u32::from(frame.width), u32::from(frame.height));
    let mut header = Header::still(Format::Jpeg, coded, orientation, pixels);
    header.cost = cost(frame, &header);
    Ok(Some(header))
}

/// Refuses what neither decoder reads.
fn check(frame: &Frame) -> Result<(), CodecError> {
    let unsupported = |text: &str| Err(CodecError::unsupported(Format::Jpeg, text));
    match frame.process {
        0..=2 => {}
        3 | 7 | 11 | 15 => return unsupported("lossless coding"),
        5 | 6 | 13 | 14 => return unsupported("hierarchical coding"),
        _ => return unsupported("arithmetic coding"),
    }
    if frame.precision != 8 {
        return unsupported("samples of other than 8 bits");
    }
    if !matches!(frame.components.len(), 1 | 3 | 4) {
        return unsupported("a number of colour components other than 1, 3 and 4");
    }
    if frame.width == 0 {
        return Err(malformed("a width of 0"));
    }
    if frame.height == 0 {
        return unsupported("a height that only follows the picture (DNL)");
    }
    Ok(())
}

/// Planes, the picture, and its turned copy; progressive files keep all coefficients beside, at any scale, and rows
/// of them are copied for jpeg-decoder's second thread.
fn cost(frame: &Frame, header: &Header) -> Cost {
    const ROWS_AND_TABLES: u64 = 2 << 20;
    let picture = header.pixels.bytes(header.width, header.height);
    let ink = if frame.components.len() == 4 { picture / 3 * 4 } else { 0 };
    let turned = if header.orientation == Orientation::UPRIGHT { 0 } else { picture };
    let coefficients = if frame.process == 2 { 3 * frame.samples() } else { 0 };
    let fixed = coefficients + 256 * u64::from(frame.width) + ROWS_AND_TABLES;
    Cost { fixed, scaled: frame.samples() + picture + turned.max(ink) }
}

/// The picture as it lies in the file, in sRGB, at `scale` (1, 1/2, 1/4 or 1/8), its sides rounded up.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: f64) -> Result<Image, CodecError> {
    let markers = Markers::walk(bytes, Until::End).map_err(malformed)?;
    let frame = markers.frame.as_ref().ok_or_else(|| malformed("no frame header"))?;
    check(frame)?;
    if (u32::from(frame.width), u32::from(frame.height)) != header.coded_size() {
        return Err(malformed("not the file that was probed"));
    }
    // A decoder fills what is missing with gray. No picture at all is better than half of one. (Data that ends early
    // and is followed by an end marker all the same, no decoder tells from a gray picture.)
    if !markers.whole {
        return Err(malformed("the file is cut off"));
    }
    if markers.scans > MAX_SCANS {
        return Err(malformed(format!("{} scans, more than {MAX_SCANS}", markers.scans)));
    }
    let icc = markers.icc(bytes);
    let (width, height, data) = if is_for_zune(&markers, frame, scale)
        && let Some(data) = decode_full(bytes, frame)
    {
        (frame.width, frame.height, data)
    } else {
        decode_scaled(bytes, &markers, frame, scale)?
    };
    let data = if frame.components.len() == 4 { color::cmyk_to_rgb(&data, icc.as_deref()) } else { data };
    let image = Image::new(u32::from(width), u32::from(height), pixels(frame), data).map_err(malformed)?;
    Ok(color::to_srgb(image, icc.as_deref().filter(|_| frame.components.len() != 4)))
}

fn pixels(frame: &Frame) -> PixelFormat {
    if frame.components.len() == 1 { PixelFormat::Gray8 } else { PixelFormat::Rgb8 }
}

/// zune-jpeg knows nothing of Adobe's plain RGB, keeps 16 bits for each sample of a file with one scan per
/// component, and converts inks without their profile.
fn is_for_zune(markers: &Markers, frame: &Frame, scale: f64) -> bool {
    let all_in_one =
        frame.process == 2 || usize::from(markers.first_scan_components) == frame.components.len();
    scale == 1.0
        && frame.components.len() != 4
        && all_in_one
        && !(markers.is_rgb() && markers.adobe.is_some())
}

/// `None` when zune-jpeg refuses: in strict mode it refuses harmless oddities too, so jpeg-decoder has the last word.
fn decode_full(bytes: &[u8], frame: &Frame) -> Option<Vec<u8>> {
    let gray = frame.components.len() == 1;
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MAX_SCANS as usize)
        .jpeg_set_out_colorspace(if gray { ColorSpace::Luma } else { ColorSpace::RGB });
    JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().ok()
}

/// Width, height and samples; of four components, the amounts of ink.
fn decode_scaled(
    bytes: &[u8],
    markers: &Markers,
    frame: &Frame,
    scale: f64,
) -> Result<(u16, u16, Vec<u8>), CodecError> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    match frame.components.len() {
        3 if markers.is_rgb() => decoder.set_color_transform(ColorTransform::RGB),
        3 => decoder.set_color_transform(ColorTransform::YCbCr),
        4 if markers.adobe.is_none_or(|transform| transform == 0) => {
            decoder.set_color_transform(ColorTransform::CMYK);
        }
        4 => decoder.set_color_transform(ColorTransform::YCCK),
        _ => {}
    }
    let side = |side: u16| (f64::from(side) * scale).ceil() as u16;
    let (width, height) = (side(frame.width), side(frame.height));
    let got = decoder.scale(width, height).map_err(refused)?;
    if got != (width, height) {
        return Err(malformed("the decoder does not scale as asked"));
    }
    let mut data = decoder.decode().map_err(refused)?;
    // jpeg-decoder takes inks to be stored inverted, as Adobe stores them; without Adobe's marker they are not.
    if frame.components.len() == 4 && markers.adobe.is_none() {
        data.iter_mut().for_each(|ink| *ink = 255 - *ink);
    }
    Ok((width, height, data))
}

pub(super) fn encode(image: ImageRef<'_>, options: &EncodeOptions) -> Result<Vec<u8>, CodecError> {
    let flat = match image.format() {
        PixelFormat::Gray8 | PixelFormat::Rgb8 => None,
        PixelFormat::Rgba8 | PixelFormat::Rgba16 => {
            Some(convert_over(image, PixelFormat::Rgb8, options.background))
        }
    };
    let image = flat.as_ref().map_or(image, Image::as_ref);
    let color = if image.format() == PixelFormat::Gray8 { ColorType::Luma } else { ColorType::Rgb };
    let side = |side: u32| u16::try_from(side).map_err(|error| CodecError::encode(Format::Jpeg, error));
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, options.quality);
    let full_chroma = options.quality >= FULL_CHROMA_QUALITY;
    encoder.set_sampling_factor(if full_chroma { SamplingFactor::F_1_1 } else { SamplingFactor::F_2_2 });
    // No tables of the picture's own, though they would save a seventh of a thumbnail: jpeg-encoder then writes each
    // component in a scan of its own, which some decoders (zune-jpeg, and so the image crate) show in wrong colours.
    encoder
        .encode(image.data(), side(image.width())?, side(image.height())?, color)
        .map_err(|error| CodecError::encode(Format::Jpeg, error))?;
    Ok(file)
}

fn refused(error: jpeg_decoder::Error) -> CodecError {
    match error {
        jpeg_decoder::Error::Unsupported(feature) => {
            CodecError::unsupported(Format::Jpeg, format!("{feature:?}"))
        }
        error => malformed(error),
    }
}

fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::Jpeg, text)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::DecodeHint;
    use moxcms::ColorProfile;

    use super::super::{Decoder, estimate, samples::*};
    use super::*;

    fn at_scale(bytes: &[u8], min_scale: f64) -> (Image, imgserve_sdk::Window) {
        let hint = DecodeHint { min_scale: Some(min_scale), region: None };
        let decoder = Decoder::new(bytes, &header(bytes).unwrap(), &hint, &LIMITS).unwrap();
        (decode_at(bytes, min_scale).unwrap().swap_remove(0).image, decoder.window())
    }

    /// The colour that [`gradient`] of the coded size has where the upright source has (x, y).
    fn expected(orientation: Orientation, coded: (u32, u32), x: f64, y: f64) -> (f64, f64) {
        let (width, height) = orientation.turn_size(coded.0, coded.1);
        let x = if orientation.flip_x { f64::from(width) - x } else { x };
        let y = if orientation.flip_y { f64::from(height) - y } else { y };
        let (x, y) = if orientation.transpose { (y, x) } else { (x, y) };
        (x / f64::from(coded.0) * 255.0, y / f64::from(coded.1) * 255.0)
    }

    #[test]
    fn each_pixel_shows_the_place_that_the_window_says_at_every_orientation_and_scale() {
        let coded = (203, 141);
        let picture = gradient(coded.0, coded.1, PixelFormat::Rgb8);
        for jpeg in [encode_at(&picture, 95), encode_at(&picture, 80), progressive_jpeg(&picture)] {
            for (tag, min_scale) in (1..=8).flat_map(|tag| [1.0, 0.5, 0.25, 0.125].map(|scale| (tag, scale)))
            {
                let orientation = Orientation::from_exif(u32::from(tag));
                let (image, window) = at_scale(&with_exif(&jpeg, tag), min_scale);
                assert_eq!(window.scale, min_scale);
                // The last row and column may be partly padding.
                for (column, row) in
                    (1..image.width() - 1).flat_map(|c| (1..image.height() - 1).map(move |r| (c, r)))
                {
                    let place = |i: u32, origin: f64| (f64::from(i) + 0.5) / window.scale + origin;
                    let (red, green) =
                        expected(orientation, coded, place(column, window.x), place(row, window.y));
                    let pixel = &image.data()[((row * image.width() + column) * 3) as usize..][..3];
                    let off = (f64::from(pixel[0]) - red).abs().max((f64::from(pixel[1]) - green).abs());
                    assert!(
                        off < 4.5,
                        "tag {tag}, scale {min_scale}, {column},{row}: {pixel:?} for {red:.1} {green:.1}"
                    );
                }
            }
        }
    }

    fn encode_at(picture: &Image, quality: u8) -> Vec<u8> {
        super::super::samples::encode(Format::Jpeg, picture.as_ref(), quality)
    }

    #[test]
    fn the_smallest_scale_that_suffices_is_taken() {
        let jpeg = encode_at(&gradient(161, 81, PixelFormat::Rgb8), 80);
        for (wanted, scale, size) in [
            (0.0, 0.125, (21, 11)),
            (0.125, 0.125, (21, 11)),
            (0.13, 0.25, (41, 21)),
            (0.3, 0.5, (81, 41)),
            (0.51, 1.0, (161, 81)),
            (f64::NAN, 1.0, (161, 81)),
        ] {
            let (image, window) = at_scale(&jpeg, wanted);
            assert_eq!((window.scale, (image.width(), image.height())), (scale, size), "{wanted}");
        }
        let tiny = encode_at(&gradient(3, 100, PixelFormat::Rgb8), 80);
        assert_eq!(at_scale(&tiny, 0.125).1.scale, 1.0);
        let header = header(&jpeg).unwrap();
        let [small, full] =
            [0.125, 1.0].map(|s| estimate(&header, &DecodeHint { min_scale: Some(s), region: None }));
        assert!(small < full);
    }

    #[test]
    fn an_embedded_profile_is_applied() {
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        let picture = Image::new(32, 32, PixelFormat::Rgb8, [234, 51, 35].repeat(1024)).unwrap();
        let jpeg = encode_at(&picture, 95);
        // Two segments, the second first: they are numbered.
        let (one, two) = p3.split_at(p3.len() / 2);
        let segment = |number: u8, data: &[u8]| [b"ICC_PROFILE\0".as_slice(), &[number, 2], data].concat();
        let tagged = with_segment(&with_segment(&jpeg, 0xE2, &segment(1, one)), 0xE2, &segment(2, two));
        for scale in [1.0, 0.125] {
            let plain = at_scale(&jpeg, scale).0.data()[..3].to_vec();
            let red = at_scale(&tagged, scale).0.data()[..3].to_vec();
            assert!(plain[0] < 240 && red[0] > 250 && red[1] < 12, "{plain:?} {red:?}");
        }
        let half = with_segment(&jpeg, 0xE2, &segment(2, two));
        assert_eq!(decode_one(&half), decode_one(&jpeg), "a profile with a piece missing");
    }

    #[test]
    fn inks_become_rgb() {
        for color in [ColorType::Cmyk, ColorType::CmykAsYcck] {
            // jpeg-encoder inverts what it is given, as Adobe does: this is ink, 0 for none.
            let ink = [0, 255, 255, 0].repeat(32 * 32);
            let mut file = Vec::new();
            jpeg_encoder::Encoder::new(&mut file, 95).encode(&ink, 32, 32, color).unwrap();
            let red = decode_one(&file).data()[..3].to_vec();
            assert!(red[0] > 245 && red[1] < 10 && red[2] < 10, "{color:?}: {red:?}");
        }
    }

    #[test]
    fn adobes_plain_rgb_is_not_taken_for_ycbcr() {
        let jpeg = encode_at(&Image::new(32, 32, PixelFormat::Rgb8, [128; 3072].to_vec()).unwrap(), 95);
        // Without JFIF and with Adobe's transform 0, the three components are what they are.
        let jfif = jpeg.windows(4).position(|w| w == b"JFIF").unwrap() - 4;
        let bare = [&jpeg[..jfif], &jpeg[jfif + 18..]].concat();
        let adobe = with_segment(&bare, 0xEE, b"Adobe\0\x64\0\0\0\0\0");
        let dark = |bytes: &[u8]| decode_one(bytes).data().iter().all(|v| v.abs_diff(128) < 4);
        assert!(dark(&adobe) && dark(&bare));
        let blue = encode_at(&Image::new(32, 32, PixelFormat::Rgb8, [0, 0, 255].repeat(1024)).unwrap(), 95);
        let blue =
            with_segment(&[&blue[..jfif], &blue[jfif + 18..]].concat(), 0xEE, b"Adobe\0\x64\0\0\0\0\0");
        let raw = decode_one(&blue).data()[..3].to_vec();
        assert!(raw[0] < 40 && raw[1] > 240 && raw[2].abs_diff(107) < 8, "{raw:?}");
    }

    #[test]
    fn a_file_cut_off_anywhere_in_its_scan_is_malformed() {
        let picture = gradient(100, 80, PixelFormat::Rgb8);
        for jpeg in [encode_at(&picture, 90), progressive_jpeg(&picture)] {
            let header = header(&jpeg).unwrap();
            for end in (jpeg.len() / 3..jpeg.len() - 2).step_by(7) {
                let result = super::decode(&jpeg[..end], &header, 1.0);
                assert!(matches!(result, Err(CodecError::Malformed { .. })), "{end} of {}", jpeg.len());
            }
        }
    }

    #[test]
    fn what_no_decoder_reads_is_said_to_be_unsupported() {
        let jpeg = encode_at(&gradient(20, 20, PixelFormat::Rgb8), 80);
        let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
        for (offset, value, text) in
            [(1, 0xC9, "arithmetic"), (1, 0xC3, "lossless"), (4, 12, "8 bits"), (1, 0xC5, "hierarchical")]
        {
            let mut odd = jpeg.clone();
            odd[frame + offset] = value;
            let error = header(&odd).unwrap_err();
            assert!(
                matches!(error, CodecError::Unsupported { .. }) && error.to_string().contains(text),
                "{error}"
            );
        }
    }
}
