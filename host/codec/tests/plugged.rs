//! Formats whose codec is a plugin's, in a process of their own: what is in force there is in force for all tests of it.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::rc::Rc;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::{Format, put_in_force};
use imgserve_codec::{
    Bounds, CodecError, Decoder, EncodeOptions, Encoder, Header, Loops, Plugged, PluggedError, Probe, SoFar,
    estimate, formats_of, plug, probe,
};
use imgserve_sdk::codec::{self as contract, Decoded, Description};
use imgserve_sdk::{DecodeHint, Frame, Image, ImageRef, PixelFormat};

const BOUNDS: Bounds = Bounds { max_pixels: 1 << 20, max_frames: 10, repair: false, keep_colors: false };

/// Files of a magic, a width, a height, how they lie, how many frames they have, and whether they are in Display P3: a red and a blue.
#[derive(Debug)]
struct Stripes;

const MAGIC: &[u8] = b"a picture of stripes";

impl Plugged for Stripes {
    fn probe(&self, _: &str, bytes: &[u8], _: bool) -> Result<Option<contract::Header>, PluggedError> {
        let Some([width, height, orientation, frames, ..]) = bytes.get(MAGIC.len()..) else {
            return Ok(None);
        };
        if *width == 0 {
            return Err(PluggedError::Refused(contract::Error::malformed("no width")));
        }
        if *height == 0 {
            return Err(PluggedError::Broke(Fault::new(FaultKind::PluginTrapped, "as asked")));
        }
        Ok(Some(contract::Header {
            orientation: *orientation,
            frames: u32::from(*frames),
            peak_bytes: 1000,
            ..contract::Header::new((*width).into(), (*height).into(), PixelFormat::Rgb8)
        }))
    }

    fn decode(&self, _: &str, bytes: &[u8], header: &Header) -> Result<Decoded, PluggedError> {
        let (width, height) = header.coded_size();
        let row = [[200, 40, 40], [40, 40, 200]].into_iter().cycle().take(width as usize);
        let data: Vec<u8> = row.flatten().collect();
        let image = Image::new(width, height, PixelFormat::Rgb8, data.repeat(height as usize)).unwrap();
        let frame = Frame { image, delay_ms: 40 };
        Ok(Decoded {
            frames: vec![frame; header.frames.unwrap() as usize],
            loops: 0,
            profile: (bytes.last() == Some(&1))
                .then(|| moxcms::ColorProfile::new_display_p3().encode().unwrap()),
        })
    }

    fn encode(&self, format: &str, image: ImageRef<'_>, quality: u8) -> Result<Vec<u8>, PluggedError> {
        if image.width() > 50 {
            return Err(PluggedError::Refused(contract::Error::unsupported("too wide")));
        }
        Ok([format.as_bytes(), &[quality], image.data()].concat())
    }
}

fn plugged() -> Format {
    let mut stripes = contract::Format::new("stripes", "image/x-stripes", "stripes").magic(0, MAGIC);
    stripes.written = Some(contract::Written {
        pixels: vec![PixelFormat::Gray8, PixelFormat::Rgb8],
        lossy: true,
        max_side: 100,
    });
    let description = Description::new("stripes", "1", "Stripes.").format(stripes);
    let formats = formats_of(&description).unwrap();
    plug(&(Rc::new(Stripes) as Rc<dyn Plugged>), &description, &formats);
    put_in_force(formats.clone());
    formats[0]
}

fn file(width: u8, height: u8, orientation: u8, frames: u8, profile: u8) -> Vec<u8> {
    [MAGIC, &[width, height, orientation, frames, profile]].concat()
}

fn header(file: &[u8]) -> Result<Header, CodecError> {
    match probe(file, true, &BOUNDS)? {
        Probe::Header(header) => Ok(header),
        Probe::NeedMore => panic!("all is there"),
    }
}

#[test]
fn a_plugins_pictures_come_upright_in_srgb_and_bounded() {
    let format = plugged();
    assert_eq!(probe(&MAGIC[..19], false, &BOUNDS), Ok(Probe::NeedMore));
    let turned = file(4, 2, 6, 3, 1);
    let header = header(&turned).unwrap();
    assert_eq!((header.format, header.width, header.height, header.frames), (format, 2, 4, Some(3)));
    assert_eq!(header.so_far, SoFar { frames: 3, pixels: 24 });
    assert_eq!(estimate(&header, &DecodeHint::default()), 4 * 24);
    assert_eq!(header.guest_bytes, 3 * 24 + 1000 + turned.len() as u64);
    let mut decoder = Decoder::new(&turned, &header, &DecodeHint::default(), &BOUNDS).unwrap();
    assert_eq!(decoder.loops(), Loops::Forever);
    for _ in 0..3 {
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!((frame.image.width(), frame.image.height(), frame.delay_ms), (2, 4, 40));
        // Its columns are rows now, every second red; of the same red there is more in sRGB.
        let data = frame.image.data();
        assert!(data[0] > 213 && data.iter().filter(|value| **value > 213).count() == 4, "{data:?}");
    }
    assert_eq!((decoder.next_frame().unwrap(), decoder.unconverted()), (None, None));
    let few = Bounds { max_frames: 2, ..BOUNDS };
    assert!(matches!(probe(&turned, true, &few), Err(CodecError::Limit { what: "frames", .. })));
    let small = Bounds { max_pixels: 7, ..BOUNDS };
    assert!(matches!(probe(&turned, true, &small), Err(CodecError::Limit { what: "pixels", .. })));
}

#[test]
fn blame_is_as_the_plugins_host_puts_it() {
    let format = plugged();
    assert_eq!(
        header(&file(0, 1, 1, 1, 0)),
        Err(CodecError::Malformed { format, text: "no width".to_owned() })
    );
    let broke = header(&file(1, 0, 1, 1, 0)).unwrap_err();
    assert!(matches!(broke, CodecError::Plugin(fault) if fault.kind == FaultKind::PluginTrapped));
}

#[test]
fn a_plugin_is_given_pixels_that_it_takes() {
    let format = plugged();
    let write = |pixels: PixelFormat, width: u32| {
        let options = EncodeOptions { quality: 33, ..EncodeOptions::default() };
        let mut encoder = Encoder::new(format, &options, width, 1)?;
        encoder.push(Image::zeroed(width, 1, pixels).unwrap().as_ref(), 0)?;
        encoder.finish()
    };
    assert_eq!(write(PixelFormat::Gray8, 1).unwrap(), b"stripes\x21\0");
    // Transparent, and so white.
    assert_eq!(write(PixelFormat::Rgba8, 1).unwrap(), b"stripes\x21\xFF\xFF\xFF");
    assert_eq!(write(PixelFormat::Rgb8, 51), Err(CodecError::Encode { format, text: "too wide".to_owned() }));
    assert!(write(PixelFormat::Rgb8, 101).is_err());
}

#[test]
fn a_format_without_its_codec_is_said_to_be_that() {
    let format = plugged();
    std::thread::spawn(move || {
        let error = header(&file(1, 1, 1, 1, 0)).unwrap_err();
        assert_eq!(error, CodecError::Unsupported { format, text: "its codec is not loaded".to_owned() });
    })
    .join()
    .unwrap();
}

#[test]
fn a_description_that_cannot_be_worked_with_is_refused() {
    let refused = |formats: Vec<contract::Format>| {
        let description = formats.into_iter().fold(Description::new("x", "1", "X."), Description::format);
        formats_of(&description).unwrap_err()
    };
    let format = |name: &str, magic: &[u8]| {
        contract::Format::new(name, &format!("image/x-{name}"), name).magic(0, magic)
    };
    assert_eq!(refused(vec![]), "it names no format");
    let mut unwritten = format("dots", b"dots");
    unwritten.written = Some(contract::Written { pixels: vec![], lossy: true, max_side: 9 });
    assert_eq!(refused(vec![unwritten]), "`dots` is written of no pixel format");
    let twice = vec![format("lines", b"lines"), format("rows", b"lines, too")];
    assert_eq!(refused(twice), "two of its formats have a magic");
    assert!(refused(vec![format("png", b"other")]).contains("`png` is that of png, which is built in"));
}

#[test]
fn what_is_written_is_as_the_description_says() {
    for (pixels, alpha, bits) in [
        (vec![PixelFormat::Gray8], false, 8),
        (vec![PixelFormat::Rgb8, PixelFormat::Rgba8], true, 8),
        (vec![PixelFormat::Rgba16], true, 16),
    ] {
        for lossy in [false, true] {
            let mut told = contract::Format::new("told", "image/x-told", "told").magic(0, b"told");
            told.written = Some(contract::Written { pixels: pixels.clone(), lossy, max_side: 77 });
            let format = formats_of(&Description::new("x", "1", "X.").format(told)).unwrap()[0];
            assert_eq!((format.keeps_alpha(), format.bits(), format.is_lossy()), (alpha, bits, lossy));
            assert_eq!((format.max_side(), format.can_encode()), (77, true));
        }
    }
}
