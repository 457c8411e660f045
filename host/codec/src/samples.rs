//! Small valid files for tests, one of each kind that is read, and what the tests of several formats share.

use std::io::Cursor;

use imgserve_sdk::{DecodeHint, Image, ImageRef, PixelFormat};

use super::{
    CodecError, DecodedFrame, Decoder, EncodeOptions, Encoder, Format, Header, Limits, Loops, Probe, probe,
};

pub(super) const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_frames: 20, repair: false };

/// Red grows to the right, green downwards, blue is even: smooth, and different at each corner.
pub(super) fn gradient(width: u32, height: u32, format: PixelFormat) -> Image {
    let at = |i: u32, n: u32| ((f64::from(i) + 0.5) / f64::from(n) * 255.0).round() as u8;
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = pixels.flat_map(|(x, y)| [at(x, width), at(y, height), 100]).collect();
    let image = Image::new(width, height, PixelFormat::Rgb8, data).unwrap();
    super::convert(image.as_ref(), format)
}

pub(super) fn encode(format: Format, image: ImageRef<'_>, quality: u8) -> Vec<u8> {
    let options = EncodeOptions { quality, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, image.width(), image.height()).unwrap();
    encoder.push(image, 0).unwrap();
    encoder.finish().unwrap()
}

/// By the `image` crate, for what is only read here.
pub(super) fn encode_bitmap(format: image::ImageFormat, image: &Image) -> Vec<u8> {
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
pub(super) fn animation(format: Format, colors: &[[u8; 4]], loops: Loops) -> Vec<u8> {
    let options = EncodeOptions { loops, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, 8, 6).unwrap();
    for color in colors {
        let image = Image::new(8, 6, PixelFormat::Rgba8, color.repeat(48)).unwrap();
        encoder.push(image.as_ref(), 100).unwrap();
    }
    encoder.finish().unwrap()
}

/// An EXIF block, from its TIFF header on, that says nothing but the orientation.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat()
}

/// A JPEG with a segment put in front.
pub(super) fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

pub(super) fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with_segment(jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(orientation)].concat())
}

pub(super) fn progressive_jpeg(image: &Image) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    encoder.set_progressive(true);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(image.data(), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

/// Each kind of file that is read, under a name for failures.
pub(super) fn all() -> Vec<(&'static str, Format, Vec<u8>)> {
    let rgb = gradient(37, 23, PixelFormat::Rgb8);
    let [gray, rgba, wide] =
        [PixelFormat::Gray8, PixelFormat::Rgba8, PixelFormat::Rgba16].map(|format| gradient(37, 23, format));
    let mut holey = rgba.clone();
    holey.data_mut().chunks_exact_mut(8).for_each(|pixels| pixels[3] = 90);
    let jpeg = encode(Format::Jpeg, rgb.as_ref(), 80);
    let colors = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 0]];
    let svg =
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='37' height='23'><g/></svg>";
    vec![
        ("jpeg", Format::Jpeg, jpeg.clone()),
        ("jpeg with exif", Format::Jpeg, with_exif(&jpeg, 1)),
        ("gray jpeg", Format::Jpeg, encode(Format::Jpeg, gray.as_ref(), 95)),
        ("progressive jpeg", Format::Jpeg, progressive_jpeg(&rgb)),
        ("png", Format::Png, encode(Format::Png, rgb.as_ref(), 80)),
        ("gray png", Format::Png, encode(Format::Png, gray.as_ref(), 80)),
        ("alpha png", Format::Png, encode(Format::Png, holey.as_ref(), 80)),
        ("wide png", Format::Png, encode(Format::Png, wide.as_ref(), 80)),
        ("gif", Format::Gif, encode(Format::Gif, rgb.as_ref(), 80)),
        ("animated gif", Format::Gif, animation(Format::Gif, &colors, Loops::Forever)),
        ("webp", Format::WebP, encode(Format::WebP, rgb.as_ref(), 80)),
        ("alpha webp", Format::WebP, encode(Format::WebP, holey.as_ref(), 80)),
        ("animated webp", Format::WebP, animation(Format::WebP, &colors, Loops::Forever)),
        ("bmp", Format::Bmp, encode_bitmap(image::ImageFormat::Bmp, &rgb)),
        ("tiff", Format::Tiff, encode_bitmap(image::ImageFormat::Tiff, &rgb)),
        ("wide tiff", Format::Tiff, encode_bitmap(image::ImageFormat::Tiff, &wide)),
        ("ico", Format::Ico, encode_bitmap(image::ImageFormat::Ico, &rgba)),
        ("svg", Format::Svg, svg.to_vec()),
    ]
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    match probe(bytes, true, &LIMITS)? {
        Probe::Header(header) => Ok(header),
        Probe::NeedMore => panic!("a complete file needs no more"),
    }
}

/// Probes and decodes all frames, holding them against the header.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<DecodedFrame>, CodecError> {
    let header = header(bytes)?;
    let frames = decode_at(bytes, 1.0)?;
    for frame in &frames {
        assert_eq!((frame.image.width(), frame.image.height()), (header.width, header.height));
        assert_eq!(frame.image.format(), header.pixels);
    }
    Ok(frames)
}

/// The frames, at the smallest scale from `min_scale` on that the format offers.
pub(super) fn decode_at(bytes: &[u8], min_scale: f64) -> Result<Vec<DecodedFrame>, CodecError> {
    let hint = DecodeHint { min_scale: Some(min_scale), region: None };
    let mut decoder = Decoder::new(bytes, &header(bytes)?, &hint, &LIMITS)?;
    std::iter::from_fn(|| decoder.next_frame().transpose()).collect()
}

pub(super) fn decode_one(bytes: &[u8]) -> Image {
    decode(bytes).unwrap().swap_remove(0).image
}

/// The largest difference of a sample.
pub(super) fn distance(a: &Image, b: &Image) -> u8 {
    assert_eq!((a.width(), a.height(), a.format()), (b.width(), b.height(), b.format()));
    a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}
