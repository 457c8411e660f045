//! What was found at a destination: its bytes, decoded. Only files that imgserve itself made are looked at here, so this
//! process may decode them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::format::Format;
use imgserve_codec::{Bounds, Decoder, Probe, convert, probe};
use imgserve_sdk::{DecodeHint, Image, PixelFormat};

use super::shelf::Version;

const BOUNDS: Bounds = Bounds { max_pixels: 50_000_000, max_frames: 1000, repair: false, keep_colors: false };

/// A file at a destination.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
    /// As straight RGBA; at least one.
    pub(super) frames: Vec<Image>,
    /// How long after the POST it was there.
    pub(super) after: Duration,
}

impl Found {
    /// Decodes a version; the error says what is wrong with it.
    pub(super) fn read(version: &Version, posted: Instant) -> Result<Self, String> {
        let Version { at, bytes } = version;
        let header = match probe(bytes, true, &BOUNDS).map_err(|error| error.to_string())? {
            Probe::Header(header) => header,
            Probe::NeedMore => return Err("it is cut off".to_owned()),
        };
        let frames = decode(bytes, &header).map_err(|error| error.to_string())?;
        if frames.is_empty() {
            return Err("it has no frame".to_owned());
        }
        Ok(Self {
            bytes: bytes.clone(),
            format: header.format,
            width: header.width,
            height: header.height,
            frames,
            after: at.duration_since(posted),
        })
    }

    /// The frame to show where only one can be shown.
    pub(super) fn middle(&self) -> &Image {
        &self.frames[self.frames.len() / 2]
    }
}

fn decode(bytes: &[u8], header: &imgserve_codec::Header) -> Result<Vec<Image>, imgserve_codec::CodecError> {
    let mut decoder = Decoder::new(bytes, header, &DecodeHint::default(), &BOUNDS)?;
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push(convert(frame.image.as_ref(), PixelFormat::Rgba8));
    }
    Ok(frames)
}
