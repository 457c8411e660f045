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
