//! What a WebP says beside its pixels, in chunks of the extended form: ICCP before the picture, EXIF and XMP behind it.

use imgserve_base::format::Format;

use super::chunk::{chunk, next};
use super::{frames, lossless_size, lossy_size};
use crate::beside::{Beside, Holder, Profiles};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: false, profiles: Profiles::Rgb };

/// What the extended form's flags say.
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

fn read(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    if let Some(block) = frames::find(bytes, b"EXIF") {
        beside.put_exif(block);
    }
    if let Some(packet) = frames::find(bytes, b"XMP ") {
        beside.put_xmp(packet);
    }
    if let Some(profile) = frames::find(bytes, b"ICCP") {
        beside.put_profile(profile);
    }
    beside
}

fn write(file: Vec<u8>, beside: &Beside) -> Result<Vec<u8>, CodecError> {
    let (mut header, picture) = extended(&file).ok_or_else(|| failed("its first chunk is none"))?;
    let Beside { exif, xmp, profile, .. } = beside;
    for (block, flag) in [(profile, PROFILE), (exif, EXIF), (xmp, XMP)] {
        header[0] |= if block.is_some() { flag } else { 0 };
    }
    let mut body = b"WEBP".to_vec();
    append(&mut body, b"VP8X", &header);
    if let Some(profile) = profile {
        append(&mut body, b"ICCP", profile);
    }
    body.extend(picture);
    if let Some(block) = exif {
        append(&mut body, b"EXIF", block);
    }
    if let Some(packet) = xmp {
        append(&mut body, b"XMP ", packet);
    }
    let length = u32::try_from(body.len()).map_err(|_| failed("more than 4 GiB"))?;
    Ok([b"RIFF", &length.to_le_bytes()[..], &body].concat())
}

/// The header of the extended form, and the chunks behind it: the file's own, or one of its canvas and alpha.
fn extended(file: &[u8]) -> Option<([u8; 10], &[u8])> {
    let (name, size, data) = chunk(file, 12)?;
    let ((width, height), alpha) = match name {
        b"VP8X" => return Some((*data.first_chunk()?, file.get(next(12, size)..)?)),
        b"VP8L" => lossless_size(data)?,
        _ => (lossy_size(data)?, false),
    };
    let ([w0, w1, w2, _], [h0, h1, h2, _]) = ((width - 1).to_le_bytes(), (height - 1).to_le_bytes());
    let flags = if alpha { ALPHA } else { 0 };
    Some(([flags, 0, 0, 0, w0, w1, w2, h0, h1, h2], file.get(12..)?))
}

fn append(body: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    body.extend(name);
    body.extend((data.len() as u32).to_le_bytes());
    body.extend(data);
    body.extend(&[0][..data.len() % 2]);
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::WebP, text)
}
