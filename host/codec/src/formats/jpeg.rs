//! JPEG (ITU-T T.81) by `imgserve_jpeg`, at the scale and of the part that suffice; the few kinds of files that it leaves to
//! others by jpeg-decoder. `encode` writes; `planes` makes one JPEG of another without pixels; `beside` is what stands beside these.

mod beside;
mod encode;
mod markers;
pub mod planes;

use std::cell::RefCell;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_jpeg::{ColorModel, Damage, DecodeError, DecodeOptions, Reduction, Region, Scale, Scratch};
use imgserve_sdk::{DecodeHint, Image, PixelFormat};
use jpeg_decoder::ColorTransform;

use crate::bounds::Bounds;
use crate::codec::{Codec, KEPT_BYTES};
use crate::color;
use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;
use crate::part::Part;
use crate::still::{self, Still};
use encode::encode;
use markers::{Frame, Markers, Until};

pub(super) const CODEC: Codec = Codec {
    format: Format::Jpeg,
    probe: |bytes, _, _| probe(bytes),
    decode: Some(|bytes, header, hint, bounds| {
        let (header, bounds) = (header.clone(), *bounds);
        let wanted = (hint.min_scale, header.coded_region(hint.region));
        Ok(still::frames(move || decode(bytes, &header, wanted, &bounds)))
    }),
    part: Some(part),
    encode: Some(|options, _| {
        let options = *options;
        Ok(still::sink(move |image| encode(image, &options)))
    }),
    beside: Some(beside::HOLDER),
};

/// Pictures with a shorter side are decoded in full: the choice of `jpeg-decoder` between its scales is not ours to
/// make where two of them round to the same size, and nothing is gained.
const MIN_SCALED_SIDE: u32 = 16;
/// Each scan of a progressive file costs a pass over all of it; encoders write about ten.
const MAX_SCANS: u32 = 100;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

fn probe(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
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

/// Whether its samples are inks or RGB, or have a profile that is not sRGB's.
pub(super) fn names_colors(bytes: &[u8]) -> bool {
    Markers::walk(bytes, Until::Scan).is_ok_and(|markers| markers_name_colors(&markers, bytes))
}

fn markers_name_colors(markers: &Markers, bytes: &[u8]) -> bool {
    let components = markers.frame.as_ref().map_or(0, |frame| frame.components.len());
    let profiled = match markers.icc(bytes) {
        Ok(icc) => icc.is_some_and(|icc| !color::is_srgb(&icc)),
        Err(_) => true,
    };
    components == 4 || components == 3 && markers.is_rgb() || profiled
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

/// The data without its stuffing (files take half a byte a pixel, the best ones one and a half), planes, the picture, and its
/// turned copy; progressive files keep all coefficients beside, at any scale.
fn cost(frame: &Frame, header: &Header) -> Cost {
    const TABLES: u64 = 2 * MIB;
    let pixels = u64::from(header.width) * u64::from(header.height);
    let picture = header.pixels.bytes(header.width, header.height);
    let ink = if frame.components.len() == 4 { picture / 3 * 4 } else { 0 };
    let turned = if header.orientation == Orientation::UPRIGHT { 0 } else { picture };
    let coefficients = if frame.process == 2 { 2 * frame.samples() } else { 0 };
    // A plane has as many samples as the picture has pixels once it is scaled, whatever its sampling was.
    let planes = pixels * frame.components.len() as u64;
    Cost { fixed: coefficients + 3 * pixels / 2 + TABLES, scaled: planes + picture + turned.max(ink) }
}

/// What is decoded of a file: the smallest scale that the hint allows, and of that the part that shows its region.
fn part(header: &Header, hint: &DecodeHint) -> Part {
    let (size, region) = (header.coded_size(), header.coded_region(hint.region));
    let scale = scale(size, hint.min_scale);
    Part { scale: scale.factor(), pixels: options(scale, region).output(size.0, size.1) }
}

fn scale(size: (u32, u32), min_scale: Option<f64>) -> Scale {
    let wanted = min_scale.unwrap_or(1.0);
    if size.0.min(size.1) < MIN_SCALED_SIDE {
        return Scale::Full;
    }
    let scales = [Scale::Eighth, Scale::Quarter, Scale::Half];
    scales.into_iter().find(|scale| scale.factor() >= wanted).unwrap_or(Scale::Full)
}

fn options(scale: Scale, region: Option<Region>) -> DecodeOptions {
    let mut options = DecodeOptions::at(scale).reduced_by(Reduction::Lowest);
    (options.region, options.max_scans) = (region, MAX_SCANS);
    // The header's size was checked by whoever probed the file.
    options.max_pixels = u64::MAX;
    options
}

/// The part of the picture. A file that is cut off or damaged is read as far as it goes if `repair` says so; otherwise no
/// picture at all is better than half of one.
fn decode(
    bytes: &[u8],
    header: &Header,
    (min_scale, region): (Option<f64>, Option<Region>),
    bounds: &Bounds,
) -> Result<Still, CodecError> {
    let markers = Markers::walk(bytes, Until::Scan).map_err(malformed)?;
    let frame = markers.frame.as_ref().ok_or_else(|| malformed("no frame header"))?;
    check(frame)?;
    if (u32::from(frame.width), u32::from(frame.height)) != header.coded_size() {
        return Err(malformed("not the file that was probed"));
    }
    let (icc, torn) = match markers.icc(bytes) {
        Ok(icc) => (icc, None),
        Err(torn) => (None, Some(torn.to_owned())),
    };
    let options = options(scale(header.coded_size(), min_scale), region);
    let mut damage = None;
    let (width, height, data) = match decode_by(bytes, &options, &mut damage) {
        Err(DecodeError::Unsupported(unsupported))
            if unsupported == imgserve_jpeg::Unsupported::Scans
                || markers::scans(bytes) > MAX_SCANS as usize =>
        {
            return Err(malformed(format!("more than {MAX_SCANS} scans")));
        }
        Err(DecodeError::Unsupported(_)) => fall_back(bytes, &markers, frame, &options)?,
        decoded => decoded.map_err(malformed)?,
    };
    if let Some(damage) = damage.filter(|_| !bounds.repair) {
        return Err(malformed(damage));
    }
    let whole = |data| Image::new(width, height, pixels(frame), data).map_err(malformed);
    let (image, unconverted) = if frame.components.len() == 4 {
        let (data, unconverted) = color::cmyk_to_rgb(&data, icc.as_deref());
        (whole(data)?, unconverted)
    } else if bounds.keep_colors {
        (whole(data)?, None)
    } else {
        color::to_srgb(whole(data)?, icc.as_deref())
    };
    Ok(Still { image, damage: damage.map(|damage| damage.to_string()), unconverted: torn.or(unconverted) })
}

fn pixels(frame: &Frame) -> PixelFormat {
    if frame.components.len() == 1 { PixelFormat::Gray8 } else { PixelFormat::Rgb8 }
}

/// Width, height and samples; of four components, the amounts of ink.
fn decode_by(
    bytes: &[u8],
    options: &DecodeOptions,
    damage: &mut Option<Damage>,
) -> Result<(u32, u32, Vec<u8>), DecodeError> {
    let picture = SCRATCH.with_borrow_mut(|scratch| {
        let picture = imgserve_jpeg::decode(bytes, options, scratch);
        scratch.release(KEPT_BYTES);
        picture
    })?;
    *damage = picture.damage;
    let mut data = picture.data;
    // Adobe stores inks inverted; without its marker they are as they are.
    if picture.color == ColorModel::Cmyk && picture.adobe {
        data.iter_mut().for_each(|ink| *ink = 255 - *ink);
    }
    Ok((picture.width, picture.height, data))
}

/// The same by jpeg-decoder, which decodes all of the picture.
fn fall_back(
    bytes: &[u8],
    markers: &Markers,
    frame: &Frame,
    options: &DecodeOptions,
) -> Result<(u32, u32, Vec<u8>), CodecError> {
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
    let side = |side: u16| (f64::from(side) * options.scale.factor()).ceil() as u16;
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
    let wanted = options.output(frame.width.into(), frame.height.into());
    let data = cut_out(&data, usize::from(width), frame.components.len(), wanted);
    Ok((wanted.width, wanted.height, data))
}

/// A part of a picture of `width` pixels a row.
fn cut_out(data: &[u8], width: usize, channels: usize, part: Region) -> Vec<u8> {
    let (left, length) = (part.x as usize * channels, part.width as usize * channels);
    let rows = data.chunks_exact(width * channels).skip(part.y as usize).take(part.height as usize);
    rows.flat_map(|row| &row[left..left + length]).copied().collect()
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
    use imgserve_sdk::{Rect, Window};
    use jpeg_encoder::ColorType;
    use moxcms::ColorProfile;

    use super::*;
    use crate::color::samples::swap;
    use crate::samples::*;
    use crate::{Decoder, estimate};

    fn at_scale(bytes: &[u8], min_scale: f64) -> (Image, Window) {
        let hint = DecodeHint { min_scale: Some(min_scale), region: None };
        let decoder = Decoder::new(bytes, &header(bytes).unwrap(), &hint, &BOUNDS).unwrap();
        (decode_at(bytes, min_scale).unwrap().swap_remove(0).image, decoder.window())
    }

    /// A gray block as a motion JPEG has it, without Huffman tables, in as many scans.
    fn without_tables(scans: usize) -> Vec<u8> {
        let mut file = b"\xFF\xD8\xFF\xE0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0\xFF\xDB\x00\x43\x00".to_vec();
        file.extend([1; 64]);
        file.extend(b"\xFF\xC0\x00\x0B\x08\x00\x08\x00\x08\x01\x01\x11\x00");
        // No difference of the DC, and the end of the block.
        file.extend(b"\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00\x2B".repeat(scans));
        file.extend(b"\xFF\xD9");
        file
    }

    #[test]
    fn the_fallback_takes_as_few_scans_as_we_do() {
        let image = decode_at(&without_tables(1), 1.0).unwrap().swap_remove(0).image;
        assert_eq!(image.data(), [128; 64]);
        let error = decode_at(&without_tables(MAX_SCANS as usize + 1), 1.0).unwrap_err().to_string();
        assert!(error.contains("more than 100 scans"), "{error}");
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
    fn each_pixel_shows_the_place_that_the_window_says_at_every_orientation_scale_and_part() {
        let coded = (203, 141);
        let picture = gradient(coded.0, coded.1, PixelFormat::Rgb8);
        let part = Rect { x: 33.3, y: 47.1, width: 30.0, height: 40.5 };
        for jpeg in [encode_at(&picture, 95), encode_at(&picture, 80), progressive_jpeg(&picture)] {
            for (tag, min_scale) in (1..=8).flat_map(|tag| [1.0, 0.5, 0.25, 0.125].map(|scale| (tag, scale)))
            {
                let file = with_exif(&jpeg, tag);
                let (whole, window) = part_at_scale(&file, min_scale, None);
                assert_eq!(window.scale, min_scale);
                shows(&whole, window, tag, coded);
                let (cut, window) = part_at_scale(&file, min_scale, Some(part));
                shows(&cut, window, tag, coded);
                let crop = window.to_image(part, cut.width(), cut.height());
                let wanted = [part.width, part.height].map(|side| side * min_scale);
                assert!(
                    (crop.width - wanted[0]).abs().max((crop.height - wanted[1]).abs()) < 1e-6,
                    "{crop:?}"
                );
                assert!(cut.data().len() * 4 < whole.data().len(), "{tag} {min_scale}");
            }
        }
    }

    fn part_at_scale(bytes: &[u8], min_scale: f64, region: Option<Rect>) -> (Image, Window) {
        let hint = DecodeHint { min_scale: Some(min_scale), region };
        let mut decoder = Decoder::new(bytes, &header(bytes).unwrap(), &hint, &BOUNDS).unwrap();
        let window = decoder.window();
        (decoder.next_frame().unwrap().unwrap().image, window)
    }

    /// Whether each pixel has the colour of its place; the last row and column may be partly padding.
    fn shows(image: &Image, window: Window, tag: u8, coded: (u32, u32)) {
        let orientation = Orientation::from_exif(u32::from(tag));
        for (column, row) in (1..image.width() - 1).flat_map(|c| (1..image.height() - 1).map(move |r| (c, r)))
        {
            let place = |i: u32, origin: f64| (f64::from(i) + 0.5) / window.scale + origin;
            let (red, green) = expected(orientation, coded, place(column, window.x), place(row, window.y));
            let pixel = &image.data()[((row * image.width() + column) * 3) as usize..][..3];
            let off = (f64::from(pixel[0]) - red).abs().max((f64::from(pixel[1]) - green).abs());
            let place = format!("tag {tag}, {window:?}, {column},{row}");
            assert!(off < 4.5, "{place}: {pixel:?} for {red:.1} {green:.1}");
        }
    }

    fn encode_at(picture: &Image, quality: u8) -> Vec<u8> {
        crate::samples::encode(Format::Jpeg, picture.as_ref(), quality)
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
        let (picture, fault) = decode_with_fault(&half);
        assert_eq!(picture, decode_one(&jpeg), "a profile with a piece missing");
        assert!(fault.unwrap_or_default().contains("missing"));
        let table = with_segment(&jpeg, 0xE2, &segment_of_one(&swap()));
        assert_eq!(decode_with_fault(&table).1, None);
        let green = at_scale(&table, 0.125).0.data()[..3].to_vec();
        assert!(green[1] > 200 && green[0] < 150, "a table alone: {green:?}");
    }

    fn segment_of_one(profile: &[u8]) -> Vec<u8> {
        [b"ICC_PROFILE\0\x01\x01", profile].concat()
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
                let result = super::decode(&jpeg[..end], &header, (None, None), &BOUNDS);
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
