//! The table of the formats: a format is a file below this one and a row here, in the order of the table of names in
//! `imgserve_base::format`, with which the compiler compares it. Nothing else names a format's file.

mod bmp;
mod dib;
mod gif;
mod ico;
mod jpeg;
mod png;
mod svg;
mod tiff;
mod webp;

use imgserve_base::format::Format;

use crate::codec::Codec;
use crate::error::CodecError;

static TABLE: [Codec; Format::ALL.len()] =
    [jpeg::CODEC, png::CODEC, gif::CODEC, webp::CODEC, bmp::CODEC, tiff::CODEC, ico::CODEC, svg::CODEC];

/// What can be done with files of this format.
pub(crate) fn codec(format: Format) -> &'static Codec {
    &TABLE[format as usize]
}

/// Why bytes that begin like no format are refused.
pub(crate) fn unrecognized(bytes: &[u8]) -> CodecError {
    svg::refuse_compressed(bytes).unwrap_or(CodecError::Unrecognized)
}

// What the table of names says is read and written is what has a decoder and an encoder.
const _: () = {
    let mut row = 0;
    while row < TABLE.len() {
        let Codec { format, decode, encode, .. } = &TABLE[row];
        assert!(*format as usize == row, "a row stands where base's table of formats has another format");
        assert!(decode.is_some() == format.can_decode(), "base's table is wrong on what is decoded");
        assert!(encode.is_some() == format.can_encode(), "base's table is wrong on what is written");
        row += 1;
    }
};
