//! Formats whose codec is a plugin's: called through a trait, by whoever loads plugins in this process. Nothing that it gives is
//! believed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use imgserve_base::fault::Fault;
use imgserve_base::format::{Declared, DeclaredWritten, Format};
use imgserve_sdk::codec::{self as contract, Decoded, Description};
use imgserve_sdk::{Frame, ImageRef, PixelFormat};

use crate::codec::{DecodedFrame, EncodeOptions, Frames, Loops, Sink};
use crate::color::to_srgb;
use crate::convert::{convert_over, pick_format};
use crate::error::CodecError;
use crate::header::{Header, SoFar};
use crate::orientation::Orientation;
use crate::still;

/// The codec of a plugin, ready to be called. `format` is the name of one that it has declared.
pub trait Plugged: fmt::Debug {
    /// What a file holds; none when these bytes do not suffice.
    ///
    /// # Errors
    /// [`PluggedError`].
    fn probe(
        &self,
        format: &str,
        bytes: &[u8],
        complete: bool,
    ) -> Result<Option<contract::Header>, PluggedError>;

    /// Its frames: as many as `header` says, each of the size as it lies in the file and of the pixel format.
    ///
    /// # Errors
    /// [`PluggedError`], also where it gives something else.
    fn decode(&self, format: &str, bytes: &[u8], header: &Header) -> Result<Decoded, PluggedError>;

    /// A file of this picture.
    ///
    /// # Errors
    /// [`PluggedError`].
    fn encode(&self, format: &str, image: ImageRef<'_>, quality: u8) -> Result<Vec<u8>, PluggedError>;
}

/// Why a plugin's codec gives nothing.
#[derive(Debug)]
pub enum PluggedError {
    /// It says so: the file or the picture is to blame.
    Refused(contract::Error),
    /// It is to blame itself.
    Broke(Fault),
}

/// A format and what reads it.
struct Entry {
    codec: Rc<dyn Plugged>,
    /// The pixel formats that it writes.
    written: Vec<PixelFormat>,
}

thread_local! {
    /// A worker does one thing after the other, in one thread.
    static CODECS: RefCell<HashMap<Format, Rc<Entry>>> = RefCell::default();
}

/// The formats that a codec declares, checked; none is known to this process yet.
///
/// # Errors
/// A text that says what is wrong with its description, or which of the formats is built in.
pub fn formats_of(description: &Description) -> Result<Vec<Format>, String> {
    if description.formats.is_empty() {
        return Err("it names no format".to_owned());
    }
    let mut formats: Vec<Format> = Vec::new();
    for told in &description.formats {
        let format = imgserve_base::format::declared(declared(told)?)?;
        if let Some(what) = formats.iter().find_map(|other| other.shares(format)) {
            return Err(format!("two of its formats have {what}"));
        }
        formats.push(format);
    }
    Ok(formats)
}

fn declared(format: &contract::Format) -> Result<Declared, String> {
    let contract::Format { name, media_types, extensions, magic, written } = format;
    let written = written.as_ref().map(|written| {
        if written.pixels.is_empty() {
            return Err(format!("`{name}` is written of no pixel format"));
        }
        Ok(DeclaredWritten {
            max_side: written.max_side,
            alpha: written.pixels.iter().any(|format| format.has_alpha()),
            bits: if written.pixels.contains(&PixelFormat::Rgba16) { 16 } else { 8 },
            lossy: written.lossy,
        })
    });
    Ok(Declared {
        name: name.clone(),
        media_types: media_types.clone(),
        extensions: extensions.clone(),
        magic: magic.iter().map(|magic| (magic.offset as usize, magic.bytes.clone())).collect(),
        written: written.transpose()?,
    })
}

/// Has files of these formats, which [`formats_of`] gave of the description, read and written by this codec from now on, in this
/// thread.
pub fn plug(codec: &Rc<dyn Plugged>, description: &Description, formats: &[Format]) {
    CODECS.with_borrow_mut(|codecs| {
        for (format, told) in formats.iter().zip(&description.formats) {
            let written = told.written.as_ref().map(|written| written.pixels.clone()).unwrap_or_default();
            codecs.insert(*format, Rc::new(Entry { codec: Rc::clone(codec), written }));
        }
    });
}

fn entry(format: Format) -> Result<Rc<Entry>, CodecError> {
    let entry = CODECS.with_borrow(|codecs| codecs.get(&format).cloned());
    entry.ok_or_else(|| CodecError::unsupported(format, "its codec is not loaded"))
}

impl PluggedError {
    fn reading(self, format: Format) -> CodecError {
        match self {
            Self::Refused(contract::Error::Malformed(text)) => CodecError::malformed(format, text),
            Self::Refused(contract::Error::Unsupported(text)) => CodecError::unsupported(format, text),
            Self::Broke(fault) => CodecError::Plugin(fault),
        }
    }

    fn writing(self, format: Format) -> CodecError {
        match self {
            Self::Refused(error) => CodecError::encode(format, error),
            Self::Broke(fault) => CodecError::Plugin(fault),
        }
    }
}

pub(super) fn probe(format: Format, bytes: &[u8], complete: bool) -> Result<Option<Header>, CodecError> {
    let probed = entry(format)?.codec.probe(format.name(), bytes, complete);
    let Some(found) = probed.map_err(|error| error.reading(format))? else { return Ok(None) };
    let contract::Header { width, height, orientation, frames, pixels, peak_bytes } = found;
    let mut header =
        Header::still(format, (width, height), Orientation::from_exif(orientation.into()), pixels);
    header.frames = Some(frames);
    header.so_far = SoFar { frames, pixels: header.so_far.pixels.saturating_mul(frames.into()) };
    // All frames come out of the sandbox at once; one of them is turned, or converted, while the others wait.
    let all = header.cost.fixed.saturating_mul(frames.into());
    header.guest_bytes = all.saturating_add(peak_bytes).saturating_add(bytes.len() as u64);
    header.cost.fixed = all.saturating_add(header.cost.fixed);
    Ok(Some(header))
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Box<dyn Frames>, CodecError> {
    let format = header.format;
    let decoded = entry(format)?.codec.decode(format.name(), bytes, header);
    let Decoded { frames, loops, profile } = decoded.map_err(|error| error.reading(format))?;
    let loops = if loops == 0 { Loops::Forever } else { Loops::Times(loops) };
    Ok(Box::new(AllFrames { frames: frames.into_iter(), loops, profile, unconverted: None }))
}

struct AllFrames {
    frames: std::vec::IntoIter<Frame>,
    loops: Loops,
    profile: Option<Vec<u8>>,
    unconverted: Option<String>,
}

impl Frames for AllFrames {
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(Frame { image, delay_ms }) = self.frames.next() else { return Ok(None) };
        let (image, unconverted) = to_srgb(image, self.profile.as_deref());
        self.unconverted = self.unconverted.take().or(unconverted);
        Ok(Some(DecodedFrame { image, delay_ms }))
    }

    fn loops(&self) -> Loops {
        self.loops
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }
}

pub(super) fn encode(format: Format, options: &EncodeOptions) -> Result<Box<dyn Sink>, CodecError> {
    let entry = entry(format)?;
    let EncodeOptions { quality, background, .. } = *options;
    Ok(still::sink(move |image| {
        let wanted = pick_format(&entry.written, image.format());
        let converted = (wanted != image.format()).then(|| convert_over(image, wanted, background));
        let image = converted.as_ref().map_or(image, |converted| converted.as_ref());
        let file = entry.codec.encode(format.name(), image, quality);
        file.map_err(|error| error.writing(format))
    }))
}

#[cfg(test)]
mod tests {
    use imgserve_base::fault::FaultKind;
    use imgserve_base::format::put_in_force;
    use imgserve_sdk::{DecodeHint, Image};

    use super::*;
    use crate::color::samples::swap;
    use crate::samples::BOUNDS;
    use crate::{Bounds, Decoder, Encoder, Probe, probe};

    /// Files of a magic, a width, a height, how they lie, how many frames they have, and whether a profile: red and blue.
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
            let row = [[255, 0, 0], [0, 0, 255]].into_iter().cycle().take(width as usize);
            let data: Vec<u8> = row.flatten().collect();
            let image = Image::new(width, height, PixelFormat::Rgb8, data.repeat(height as usize)).unwrap();
            let frame = Frame { image, delay_ms: 40 };
            Ok(Decoded {
                frames: vec![frame; header.frames.unwrap() as usize],
                loops: 0,
                profile: (bytes.last() == Some(&1)).then(swap),
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
        assert_eq!(crate::estimate(&header, &DecodeHint::default()), 4 * 24);
        assert_eq!(header.guest_bytes, 3 * 24 + 1000 + turned.len() as u64);
        let mut decoder = Decoder::new(&turned, &header, &DecodeHint::default(), &BOUNDS).unwrap();
        assert_eq!(decoder.loops(), Loops::Forever);
        for _ in 0..3 {
            let frame = decoder.next_frame().unwrap().unwrap();
            assert_eq!((frame.image.width(), frame.image.height(), frame.delay_ms), (2, 4, 40));
            // Its profile has red and green change places.
            assert!(frame.image.data()[1] > 240 && frame.image.data()[0] < 30, "{:?}", frame.image);
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
        assert_eq!(header(&file(0, 1, 1, 1, 0)), Err(CodecError::malformed(format, "no width")));
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
        assert_eq!(write(PixelFormat::Rgb8, 51), Err(CodecError::encode(format, "too wide")));
        assert!(write(PixelFormat::Rgb8, 101).is_err());
    }

    #[test]
    fn a_format_without_its_codec_is_said_to_be_that() {
        let format = plugged();
        std::thread::spawn(move || {
            let error = header(&file(1, 1, 1, 1, 0)).unwrap_err();
            assert_eq!(error, CodecError::unsupported(format, "its codec is not loaded"));
        })
        .join()
        .unwrap();
    }
}
