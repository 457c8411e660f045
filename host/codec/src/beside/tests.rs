//! What every format that holds something beside its pixels promises.

use imgserve_base::format::Format;
use imgserve_base::kept::Metadata;
use imgserve_sdk::{DecodeHint, Image, PixelFormat};
use moxcms::ColorProfile;

use super::*;
use crate::beside::exif::tests::camera;
use crate::samples::{BOUNDS, decode_one, distance, gradient, header};
use crate::{Bounds, Decoder, EncodeOptions, Encoder, fits, holds_profile};

const XMP: &[u8] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
    <rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>T</dc:title><dc:rights>R</dc:rights>\
    </rdf:Description></rdf:RDF></x:xmpmeta>";
/// A byline, and a city.
const IPTC: &[u8] = b"\x1C\x02\x50\0\x03Bob\x1C\x02\x5A\0\x04Bern";

fn p3() -> Vec<u8> {
    ColorProfile::new_display_p3().encode().unwrap()
}

/// Whether a profile stands in its files.
fn writes_profile(holder: Holder) -> bool {
    holder.profiles != Profiles::DisplayP3
}

fn holders() -> impl Iterator<Item = (Format, Holder)> {
    Format::written().filter_map(|format| Some((format, formats::beside(format)?)))
}

/// Everything that a format holds.
fn all(holder: Holder) -> Beside {
    Beside {
        exif: exif::settled(&camera(true), (38, 21)).filter(|_| holder.metadata),
        xmp: holder.metadata.then(|| XMP.to_vec()),
        iptc: holder.iptc.then(|| IPTC.to_vec()),
        profile: writes_profile(holder).then(p3),
        too_long: Vec::new(),
    }
}

fn file(format: Format, picture: &Image, as_given: bool) -> Vec<u8> {
    let options = EncodeOptions { quality: 90, as_given, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, picture.width(), picture.height()).unwrap();
    encoder.push(picture.as_ref(), 0).unwrap();
    encoder.finish().unwrap()
}

/// The pixels of a file in the colours of its own profile, and that.
fn as_coded(file: &[u8]) -> (Image, Option<Vec<u8>>) {
    let bounds = Bounds { keep_colors: true, ..BOUNDS };
    let mut decoder = Decoder::new(file, &header(file).unwrap(), &DecodeHint::default(), &bounds).unwrap();
    let image = decoder.next_frame().unwrap().unwrap().image;
    assert!(decoder.profile().is_none() || decoder.unconverted().is_none());
    (image, decoder.profile().map(<[u8]>::to_vec))
}

#[test]
fn what_is_written_beside_the_pixels_is_read_again_and_these_stay() {
    for (format, holder) in holders() {
        for pixels in [PixelFormat::Rgb8, PixelFormat::Rgba8] {
            let mut picture = gradient(38, 21, pixels);
            if pixels.has_alpha() {
                picture.data_mut().chunks_exact_mut(8).for_each(|two| two[3] = 9);
            }
            let plain = file(format, &picture, true);
            let beside = all(holder);
            let full = beside.written_into(format, plain.clone()).unwrap();
            assert_eq!(Beside::read(format, &plain), Beside::default(), "{format}");
            assert_eq!(Beside::read(format, &full), beside, "{format} {pixels:?}");
            let (kept, profile) = as_coded(&full);
            assert!(kept == decode_one(&plain), "{format} {pixels:?}");
            assert_eq!(profile, writes_profile(holder).then(p3), "{format}");
            // Without being asked for, its colours are sRGB's.
            assert_eq!(decode_one(&full) != kept, writes_profile(holder), "{format}");
        }
    }
}

#[test]
fn an_animation_says_as_much_as_a_still() {
    let plain =
        crate::samples::animation(Format::WebP, &[[255, 0, 0, 255], [0, 0, 255, 9]], crate::Loops::Forever);
    // It lies on its side.
    let exif = Some(camera(true));
    let beside = Beside { exif, ..all(formats::beside(Format::WebP).unwrap()) };
    let full = beside.written_into(Format::WebP, plain).unwrap();
    assert_eq!(Beside::read(Format::WebP, &full), beside);
    assert_eq!(crate::samples::decode(&full).unwrap().len(), 2);
}

#[test]
fn others_read_it_too() {
    fn told(mut decoder: impl image::ImageDecoder) -> [Option<Vec<u8>>; 2] {
        [decoder.icc_profile().unwrap(), decoder.exif_metadata().unwrap()]
    }
    for (format, holder) in holders() {
        let full = all(holder)
            .written_into(format, file(format, &gradient(38, 21, PixelFormat::Rgb8), true))
            .unwrap();
        let input = std::io::Cursor::new(&full);
        let told = match format {
            Format::Jpeg => told(image::codecs::jpeg::JpegDecoder::new(input).unwrap()),
            Format::Png => told(image::codecs::png::PngDecoder::new(input).unwrap()),
            Format::WebP => told(image::codecs::webp::WebPDecoder::new(input).unwrap()),
            Format::Tiff => told(image::codecs::tiff::TiffDecoder::new(input).unwrap()),
            _ => continue,
        };
        assert!(told == [Some(p3()), all(holder).exif], "{format}");
    }
}

#[test]
fn a_gray_profile_is_kept_for_what_is_gray_alone() {
    let gray = ColorProfile::new_gray_with_gamma(1.5).encode().unwrap();
    for (format, _) in holders() {
        let holds = matches!(format, Format::Jpeg | Format::Png | Format::Tiff);
        assert_eq!(holds_profile(format, &gray), holds, "{format}");
        assert!(holds_profile(format, &p3()), "{format}");
        let other = ColorProfile::new_adobe_rgb().encode().unwrap();
        assert_eq!(holds_profile(format, &other), format != Format::Jxl, "{format}");
        if !holds {
            continue;
        }
        let profile = Beside::default().with_profile(Some(gray.clone()));
        for (pixels, kept) in [(PixelFormat::Gray8, true), (PixelFormat::Rgb8, false)] {
            let picture = gradient(38, 21, pixels);
            let full = profile.written_into(format, file(format, &picture, true)).unwrap();
            assert_eq!(as_coded(&full).1.is_some(), kept, "{format} {pixels:?}");
            assert_eq!(fits(&gray, pixels), kept);
        }
    }
    // sRGB's own says nothing that is not known.
    let srgb = ColorProfile::new_srgb().encode().unwrap();
    let plain = file(Format::Png, &gradient(38, 21, PixelFormat::Rgb8), true);
    let full = Beside::default().with_profile(Some(srgb)).written_into(Format::Png, plain.clone()).unwrap();
    let (image, profile) = as_coded(&full);
    assert!(profile.is_none() && distance(&image, &decode_one(&plain)) <= 1);
}

#[test]
fn of_metadata_as_much_is_kept_as_is_asked_for_and_the_rest_is_told() {
    let said = all(formats::beside(Format::Jpeg).unwrap());
    let rights = [exif::rights(&camera(true)), Some(b"\x1C\x02\x50\0\x03Bob".to_vec())];
    for (format, holder) in holders().filter(|(_, holder)| holder.metadata) {
        assert_eq!(said.kept(Metadata::Strip, format, (3, 2)), (Beside::default(), vec![]));
        let (all, left_out) = said.kept(Metadata::All, format, (3, 2));
        assert_eq!(all.exif, exif::settled(&camera(true), (3, 2)), "{format}");
        assert_eq!((all.xmp.as_deref(), all.profile), (Some(XMP), None), "{format}");
        assert_eq!(
            (all.iptc.is_some(), left_out.is_empty()),
            (holder.iptc, holder.iptc),
            "{format} {left_out:?}"
        );
        let (some, left_out) = said.kept(Metadata::Copyright, format, (3, 2));
        assert_eq!((&some.exif, left_out), (&rights[0], vec![]), "{format}");
        assert_eq!(some.iptc, rights[1].clone().filter(|_| holder.iptc), "{format}");
        let xmp = String::from_utf8(some.xmp.unwrap()).unwrap();
        assert!(xmp.contains(">R<") && !xmp.contains(">T<"), "{format}: {xmp}");
        assert_eq!(xmp.contains("Bob"), !holder.iptc, "{format}: {xmp}");
    }
    for format in [Format::Gif, Format::Bmp, Format::Ico, Format::Tiff] {
        let (kept, left_out) = said.kept(Metadata::All, format, (3, 2));
        assert_eq!(
            (kept, left_out),
            (Beside::default(), vec![format!("a result in {format} holds no metadata")])
        );
    }
    let mut long = Beside::default();
    long.put_exif(&vec![0; MAX_EXIF + 1]);
    long.put_profile(&vec![0; MAX_PROFILE + 1]);
    let (kept, left_out) = long.kept(Metadata::Copyright, Format::Png, (3, 2));
    assert!(kept.is_empty() && long.has_long_profile());
    assert_eq!(left_out, ["the source's EXIF is longer than is kept"]);
}

#[test]
fn blocks_as_long_as_may_be_fit_into_each_format() {
    for (format, holder) in holders() {
        let mut most = Beside::default();
        if holder.metadata {
            most.put_exif(&[b"MM\0*\0\0\0\x08\0\0\0\0\0\0".as_slice(), &vec![7; MAX_EXIF - 14]].concat());
            most.put_xmp(&[XMP, &vec![b' '; MAX_XMP - XMP.len()]].concat());
        }
        if holder.iptc {
            most.put_iptc(&vec![7; MAX_IPTC]);
        }
        if writes_profile(holder) {
            most.put_profile(&vec![7; MAX_PROFILE]);
        }
        let full =
            most.written_into(format, file(format, &gradient(8, 8, PixelFormat::Rgb8), false)).unwrap();
        assert!(Beside::read(format, &full) == most, "{format}");
    }
}

#[test]
fn damaged_files_say_less_and_do_no_harm() {
    for (format, holder) in holders() {
        let full = all(holder)
            .written_into(format, file(format, &gradient(8, 8, PixelFormat::Rgb8), false))
            .unwrap();
        let look = |bytes: &[u8]| {
            let said = Beside::read(format, bytes);
            for metadata in [Metadata::Copyright, Metadata::All] {
                let (kept, _) = said.kept(metadata, format, (1, 1));
                let lengths = [(&kept.exif, MAX_EXIF), (&kept.iptc, MAX_IPTC)];
                assert!(
                    lengths
                        .iter()
                        .all(|(block, most)| block.as_ref().is_none_or(|block| block.len() <= *most))
                );
            }
        };
        for end in (0..full.len()).step_by(3) {
            look(&full[..end]);
        }
        for at in (0..full.len()).step_by(2) {
            let mut odd = full.clone();
            odd[at] ^= 0xFF;
            look(&odd);
        }
    }
}
