//! The table of the formats: a format is a file below this one and a row here, in the order of the table of names in
//! `imgserve_base::format`, with which the compiler compares it. Nothing else names a format's file.

mod avif;
mod bmp;
mod dib;
mod gif;
mod ico;
mod jpeg;
mod jxl;
mod png;
mod svg;
mod tiff;
mod webp;

use imgserve_base::format::Format;

pub use jpeg::planes;

use crate::codec::Codec;

static TABLE: [Codec; Format::ALL.len()] = [
    jpeg::CODEC,
    png::CODEC,
    gif::CODEC,
    webp::CODEC,
    avif::CODEC,
    jxl::CODEC,
    bmp::CODEC,
    tiff::CODEC,
    ico::CODEC,
    svg::CODEC,
];

/// What can be done with files of this format.
pub(crate) fn codec(format: Format) -> &'static Codec {
    &TABLE[format as usize]
}

/// Whether a file says what its colours are, and they need not be those that its samples are in sRGB.
pub(crate) fn names_colors(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Jpeg => jpeg::names_colors(bytes),
        Format::Png => png::names_colors(bytes),
        Format::WebP => webp::names_colors(bytes),
        Format::Gif | Format::Avif | Format::Jxl | Format::Bmp | Format::Tiff | Format::Ico | Format::Svg => {
            false
        }
    }
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
