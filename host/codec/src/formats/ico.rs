//! ICO by the `image` crate: of several pictures the largest. Read only, and rarely.

use std::io::Cursor;

use image::codecs::ico::IcoDecoder;
use imgserve_base::format::Format;

use super::bitmap;
use crate::codec::Codec;
use crate::still;

pub(super) const CODEC: Codec = Codec {
    format: Format::Ico,
    probe: |bytes, complete, bounds| {
        bitmap::probe(IcoDecoder::new(Cursor::new(bytes)), Format::Ico, complete, bounds)
    },
    decode: Some(|bytes, _, _, bounds| {
        let bounds = *bounds;
        Ok(still::frames(move || bitmap::decode(IcoDecoder::new(Cursor::new(bytes)), Format::Ico, &bounds)))
    }),
    part: None,
    encode: None,
};
