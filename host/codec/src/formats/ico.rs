//! ICO: of several pictures the largest, and of those the one with most colours. Each is a bitmap with a mask behind it, or a PNG of
//! any kind. `write` makes one out of a picture, `shrink` its smaller sizes.

mod shrink;
mod write;

use imgserve_base::format::{Format, Sniff, sniff};
use imgserve_sdk::{DecodeHint, PixelFormat};

use super::dib::{Dib, Pixels, long, short};
use super::png;
use crate::bounds::Bounds;
use crate::codec::{Codec, Frames};
use crate::error::CodecError;
use crate::header::Header;
use crate::still::{self, Still};

pub(super) const CODEC: Codec = Codec {
    format: Format::Ico,
    probe,
    decode: Some(decode),
    part: None,
    encode: Some(|_, _| Ok(still::sink(write::encode))),
    beside: None,
};

/// Of a pixel of 32 bits, those that are alpha, whatever its header says.
const ALPHA: u32 = 0xFF00_0000;

/// One of the pictures.
struct Entry<'a> {
    bytes: &'a [u8],
    /// Whether all of its bytes are there, or none will follow.
    complete: bool,
}

fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    Ok(best(bytes, complete, bounds)?.map(|(_, header)| header))
}

/// The picture that is shown. Of a whole file, the first in this order that can be read.
fn best<'a>(
    bytes: &'a [u8],
    complete: bool,
    bounds: &Bounds,
) -> Result<Option<(Entry<'a>, Header)>, CodecError> {
    let Some(entries) = entries(bytes, complete) else { return Ok(None) };
    let mut refused = CodecError::malformed(Format::Ico, "no picture in it");
    for entry in entries {
        match describe(&entry, bounds) {
            Ok(Some(header)) => return Ok(Some((entry, header))),
            Ok(None) if !complete => return Ok(None),
            Ok(None) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The pictures, the best one first; none while the list of them is not all there.
fn entries(bytes: &[u8], complete: bool) -> Option<Vec<Entry<'_>>> {
    let count = usize::from(short(bytes, 4)?);
    let listed = bytes.get(6..)?.as_chunks::<16>().0;
    if listed.len() < count && !complete {
        return None;
    }
    let mut entries: Vec<&[u8; 16]> = listed.iter().take(count).collect();
    // Its width and height, of which 0 means 256; then its bits, of which 0 means that nothing is said, as of PNGs.
    let side = |side: u8| if side == 0 { 256 } else { u32::from(side) };
    let rank = |entry: &[u8; 16]| {
        let bits = u16::from_le_bytes([entry[6], entry[7]]);
        (side(entry[0]) * side(entry[1]), if bits == 0 { 32 } else { bits })
    };
    entries.sort_by_key(|entry| std::cmp::Reverse(rank(entry)));
    let entry = |listed: &[u8; 16]| {
        let (length, start) = (long(listed, 8).unwrap_or(0), long(listed, 12).unwrap_or(0));
        let rest = bytes.get(start as usize..).unwrap_or_default();
        let whole = rest.get(..length as usize);
        Entry { bytes: whole.unwrap_or(rest), complete: complete || whole.is_some() }
    };
    Some(entries.into_iter().map(entry).collect())
}

fn describe(entry: &Entry<'_>, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    match sniff(entry.bytes) {
        Sniff::Is(Format::Png) => {
            let header = (png::CODEC.probe)(entry.bytes, entry.complete, bounds).map_err(within)?;
            if let Some(header) = &header {
                bounds.check_size(header.width, header.height)?;
            }
            Ok(header.map(|header| Header { format: Format::Ico, ..header }))
        }
        Sniff::Open if !entry.complete => Ok(None),
        _ => {
            let Some(dib) = bitmap(entry)? else { return Ok(None) };
            bounds.check_size(dib.size.0, dib.size.1)?;
            Ok(Some(dib.header(PixelFormat::Rgba8)))
        }
    }
}

/// Its height counts the mask, which has as many rows as the picture.
fn bitmap<'a>(entry: &Entry<'a>) -> Result<Option<Dib<'a>>, CodecError> {
    let Some(mut dib) = Dib::read(Format::Ico, entry.bytes, None)? else { return Ok(None) };
    dib.size.1 = (dib.size.1 / 2).max(1);
    Ok(Some(dib))
}

fn decode<'a>(
    bytes: &'a [u8],
    header: &Header,
    hint: &DecodeHint,
    bounds: &Bounds,
) -> Result<Box<dyn Frames + 'a>, CodecError> {
    let other = || CodecError::malformed(Format::Ico, "not the file that was probed");
    let (entry, found) = best(bytes, true, bounds)?.ok_or_else(other)?;
    if (found.width, found.height, found.pixels) != (header.width, header.height, header.pixels) {
        return Err(other());
    }
    let (hint, bounds) = (*hint, *bounds);
    Ok(still::frames(move || match (sniff(entry.bytes), png::CODEC.decode) {
        (Sniff::Is(Format::Png), Some(decode)) => {
            let found = Header { format: Format::Png, ..found };
            let mut frames = decode(entry.bytes, &found, &hint, &bounds).map_err(within)?;
            let frame = frames.next_frame().map_err(within)?.ok_or_else(other)?;
            let [damage, unconverted] =
                [frames.damage(), frames.unconverted()].map(|text| text.map(str::to_owned));
            Ok(Still { image: frame.image, damage, unconverted })
        }
        _ => picture(&bitmap(&entry)?.ok_or_else(other)?, bounds.repair),
    }))
}

/// A PNG's fault is the icon's.
fn within(error: CodecError) -> CodecError {
    match error {
        CodecError::Malformed { text, .. } => {
            CodecError::malformed(Format::Ico, format!("the PNG within it: {text}"))
        }
        error => error,
    }
}

/// Where there is alpha it says everything; where there is none, the mask does.
fn picture(dib: &Dib<'_>, repair: bool) -> Result<Still, CodecError> {
    let Pixels { mut image, alpha, damage } =
        dib.pixels(PixelFormat::Rgba8, if dib.bits == 32 { ALPHA } else { 0 })?;
    if let Some(damage) = damage.as_ref().filter(|_| !repair) {
        return Err(CodecError::malformed(Format::Ico, damage));
    }
    if let Some(hidden) = dib.hidden().filter(|_| !alpha) {
        let pixels = image.data_mut().as_chunks_mut::<4>().0.iter_mut();
        pixels.zip(hidden).filter(|(_, hidden)| *hidden).for_each(|(pixel, _)| pixel[3] = 0);
    }
    Ok(Still { damage, ..dib.to_srgb(image).into() })
}
