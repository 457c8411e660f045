//! TIFF by the `image` crate: of several pictures the first. Read only, and rarely.

use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use imgserve_base::format::Format;

use super::bitmap;
use crate::codec::Codec;
use crate::still;

pub(super) const CODEC: Codec = Codec {
    format: Format::Tiff,
    probe: |bytes, complete, bounds| {
        bitmap::probe(TiffDecoder::new(Cursor::new(bytes)), Format::Tiff, complete, bounds)
    },
    decode: Some(|bytes, _, _, bounds| {
        let bounds = *bounds;
        Ok(still::frames(move || bitmap::decode(TiffDecoder::new(Cursor::new(bytes)), Format::Tiff, &bounds)))
    }),
    part: None,
    encode: None,
};
