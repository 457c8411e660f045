//! BMP: a file header and a bitmap. `write` makes one.

mod write;

use imgserve_base::format::Format;
use imgserve_sdk::PixelFormat;

use super::dib::{Dib, long};
use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::Header;
use crate::still::{self, Still};

/// Bytes of the file header.
const FILE_HEADER: usize = 14;

pub(super) const CODEC: Codec = Codec {
    format: Format::Bmp,
    probe: |bytes, _, bounds| probe(bytes, bounds),
    decode: Some(|bytes, header, _, bounds| {
        let (header, repair) = (header.clone(), bounds.repair);
        Ok(still::frames(move || decode(bytes, &header, repair)))
    }),
    part: None,
    encode: Some(|_, _| Ok(still::sink(write::encode))),
    beside: None,
};

fn probe(bytes: &[u8], bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let Some(dib) = bitmap(bytes)? else { return Ok(None) };
    bounds.check_size(dib.size.0, dib.size.1)?;
    Ok(Some(dib.header(if dib.has_alpha() { PixelFormat::Rgba8 } else { PixelFormat::Rgb8 })))
}

fn bitmap(bytes: &[u8]) -> Result<Option<Dib<'_>>, CodecError> {
    let (Some(data), Some(rest)) = (long(bytes, 10), bytes.get(FILE_HEADER..)) else { return Ok(None) };
    Dib::read(Format::Bmp, rest, (data as usize).checked_sub(FILE_HEADER))
}

fn decode(bytes: &[u8], header: &Header, repair: bool) -> Result<Still, CodecError> {
    let dib = bitmap(bytes)?.filter(|dib| dib.size == header.coded_size());
    let dib = dib.ok_or_else(|| CodecError::malformed(Format::Bmp, "not the file that was probed"))?;
    let pixels = dib.pixels(header.pixels, 0)?;
    if let Some(damage) = pixels.damage.as_ref().filter(|_| !repair) {
        return Err(CodecError::malformed(Format::Bmp, damage));
    }
    let converted = dib.to_srgb(pixels.image);
    Ok(Still { damage: pixels.damage, ..converted.into() })
}
