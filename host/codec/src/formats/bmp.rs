//! BMP by the `image` crate. Read only, and rarely.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use imgserve_base::format::Format;

use super::bitmap;
use crate::codec::Codec;
use crate::still;

pub(super) const CODEC: Codec = Codec {
    format: Format::Bmp,
    probe: |bytes, complete, bounds| {
        bitmap::probe(BmpDecoder::new(Cursor::new(bytes)), Format::Bmp, complete, bounds)
    },
    decode: Some(|bytes, _, _, bounds| {
        let bounds = *bounds;
        Ok(still::frames(move || bitmap::decode(BmpDecoder::new(Cursor::new(bytes)), Format::Bmp, &bounds)))
    }),
    part: None,
    encode: None,
};
