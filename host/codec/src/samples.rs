//! Small valid files for tests, one of each kind that is read, and what the tests of several formats share.

use std::io::Cursor;

use imgserve_base::format::Format;
use imgserve_sdk::{DecodeHint, Image, ImageRef, PixelFormat};

use crate::{
    Bounds, CodecError, DecodedFrame, Decoder, EncodeOptions, Encoder, Header, Loops, Probe, convert, probe,
};

pub(crate) const BOUNDS: Bounds =
    Bounds { max_pixels: 1 << 20, max_frames: 20, repair: false, keep_colors: false };

/// Red grows to the right, green downwards, blue is even: smooth, and different at each corner.
pub(crate) fn gradient(width: u32, height: u32, format: PixelFormat) -> Image {
    let at = |i: u32, n: u32| ((f64::from(i) + 0.5) / f64::from(n) * 255.0).round() as u8;
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = pixels.flat_map(|(x, y)| [at(x, width), at(y, height), 100]).collect();
    let image = Image::new(width, height, PixelFormat::Rgb8, data).unwrap();
    convert(image.as_ref(), format)
}

pub(crate) fn encode(format: Format, image: ImageRef<'_>, quality: u8) -> Vec<u8> {
    let options = EncodeOptions { quality, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, image.width(), image.height()).unwrap();
    encoder.push(image, 0).unwrap();
    encoder.finish().unwrap()
}

/// By the `image` crate, for what is only read here.
pub(crate) fn encode_bitmap(format: image::ImageFormat, image: &Image) -> Vec<u8> {
    let (color, data) = match image.format() {
        PixelFormat::Gray8 => (image::ColorType::L8, image.data()),
        PixelFormat::Rgb8 => (image::ColorType::Rgb8, image.data()),
        PixelFormat::Rgba8 => (image::ColorType::Rgba8, image.data()),
        PixelFormat::Rgba16 => (image::ColorType::Rgba16, image.data()),
    };
    let mut file = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut file, data, image.width(), image.height(), color, format).unwrap();
    file.into_inner()
}

/// An animation of one-colour frames, 100 ms each.
pub(crate) fn animation(format: Format, colors: &[[u8; 4]], loops: Loops) -> Vec<u8> {
    let options = EncodeOptions { loops, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, 8, 6).unwrap();
    for color in colors {
        let image = Image::new(8, 6, PixelFormat::Rgba8, color.repeat(48)).unwrap();
        encoder.push(image.as_ref(), 100).unwrap();
    }
    encoder.finish().unwrap()
}

/// An EXIF block, from its TIFF header on, that says nothing but the orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat()
}

/// A JPEG with a segment put in front.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

pub(crate) fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with_segment(jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(orientation)].concat())
}

pub(crate) fn progressive_jpeg(image: &Image) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    encoder.set_progressive(true);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(image.data(), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

/// A file, under a name for failures.
pub(crate) type Sample = (String, Format, Vec<u8>);

/// Each kind of file that is read: all that is written here, and what is only read or only others write.
pub(crate) fn all() -> Vec<Sample> {
    Format::written().flat_map(written).chain(foreign()).collect()
}

fn written(format: Format) -> Vec<Sample> {
    // An icon of this size holds no smaller pictures behind this one.
    let (width, height) = if format == Format::Ico { (16, 10) } else { (37, 23) };
    let [gray, rgb, mut holey, wide] = PixelFormat::ALL.map(|pixels| gradient(width, height, pixels));
    holey.data_mut().chunks_exact_mut(8).for_each(|pixels| pixels[3] = 90);
    let stills = [("gray ", gray), ("", rgb), ("alpha ", holey), ("wide ", wide)];
    let still = |(kind, picture): (&str, Image)| {
        (format!("{kind}{format}"), format, encode(format, picture.as_ref(), 80))
    };
    let mut files: Vec<Sample> = stills.into_iter().map(still).collect();
    if format.can_animate() {
        let colors = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]];
        files.push((format!("animated {format}"), format, animation(format, &colors, Loops::Forever)));
    }
    files
}

fn foreign() -> Vec<Sample> {
    let [rgb, rgba, wide] =
        [PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16].map(|pixels| gradient(37, 23, pixels));
    let jpeg = encode(Format::Jpeg, rgb.as_ref(), 80);
    let svg =
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='37' height='23'><g/></svg>";
    let files = [
        ("jpeg with exif", Format::Jpeg, with_exif(&jpeg, 1)),
        ("progressive jpeg", Format::Jpeg, progressive_jpeg(&rgb)),
        ("another's bmp", Format::Bmp, encode_bitmap(image::ImageFormat::Bmp, &rgb)),
        ("another's tiff", Format::Tiff, encode_bitmap(image::ImageFormat::Tiff, &rgb)),
        ("another's wide tiff", Format::Tiff, encode_bitmap(image::ImageFormat::Tiff, &wide)),
        ("another's ico", Format::Ico, encode_bitmap(image::ImageFormat::Ico, &rgba)),
        ("svg", Format::Svg, svg.to_vec()),
    ];
    let files = files.map(|(name, format, file)| (name.to_owned(), format, file));
    let jxl = seeded(Format::Jxl, include_str!("../fuzz/seeds/jxl.txt"));
    let avif = seeded(Format::Avif, include_str!("../fuzz/seeds/avif.txt"));
    files.into_iter().chain(avif).chain(jxl).collect()
}

/// The seeds of a format that others write.
fn seeded(format: Format, text: &str) -> impl Iterator<Item = Sample> {
    let seeds = imgserve_fuzz::seeds(text).into_iter();
    seeds.map(move |seed| (format!("{} {format}", seed.name), format, seed.bytes))
}

pub(crate) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    match probe(bytes, true, &BOUNDS)? {
        Probe::Header(header) => Ok(header),
        Probe::NeedMore => panic!("a complete file needs no more"),
    }
}

/// Probes and decodes all frames, holding them against the header.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<DecodedFrame>, CodecError> {
    let header = header(bytes)?;
    let frames = decode_at(bytes, 1.0)?;
    for frame in &frames {
        assert_eq!((frame.image.width(), frame.image.height()), (header.width, header.height));
        assert_eq!(frame.image.format(), header.pixels);
    }
    Ok(frames)
}

/// The frames, at the smallest scale from `min_scale` on that the format offers.
pub(crate) fn decode_at(bytes: &[u8], min_scale: f64) -> Result<Vec<DecodedFrame>, CodecError> {
    let hint = DecodeHint { min_scale: Some(min_scale), region: None };
    let mut decoder = Decoder::new(bytes, &header(bytes)?, &hint, &BOUNDS)?;
    std::iter::from_fn(|| decoder.next_frame().transpose()).collect()
}

/// The first frame, and why its colours are not in sRGB.
pub(crate) fn decode_with_fault(bytes: &[u8]) -> (Image, Option<String>) {
    let mut decoder = Decoder::new(bytes, &header(bytes).unwrap(), &DecodeHint::default(), &BOUNDS).unwrap();
    let image = decoder.next_frame().unwrap().unwrap().image;
    (image, decoder.unconverted().map(str::to_owned))
}

pub(crate) fn decode_one(bytes: &[u8]) -> Image {
    decode(bytes).unwrap().swap_remove(0).image
}

/// The largest difference of a sample.
pub(crate) fn distance(a: &Image, b: &Image) -> u8 {
    assert_eq!((a.width(), a.height(), a.format()), (b.width(), b.height(), b.format()));
    a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}
