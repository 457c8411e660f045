//! The table of the formats: a format is a file below this one and a row here, in the order of the table of names in
//! `imgserve_base::format`, with which the compiler compares it. Nothing else names a format's file, nor knows which formats have
//! none because a plugin reads them.

mod avif;
mod bmp;
mod dib;
mod gif;
mod ico;
mod jpeg;
mod jxl;
mod plugged;
mod png;
mod svg;
mod tiff;
mod webp;

use imgserve_base::format::Format;
use imgserve_sdk::DecodeHint;

pub use jpeg::planes;
pub use plugged::{Plugged, PluggedError, formats_of, plug};

use crate::beside::Holder;
use crate::bounds::Bounds;
use crate::codec::{Codec, EncodeOptions, Frames, Sink};
use crate::error::CodecError;
use crate::header::Header;
use crate::part::Part;

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

/// What can be done with files of this format; none where a plugin does it.
fn codec(format: Format) -> Option<&'static Codec> {
    format.place().map(|place| &TABLE[place])
}

/// What the source is, by the first bytes of a file of this format, or by all of them; none when they do not suffice.
pub(crate) fn probe(
    format: Format,
    bytes: &[u8],
    complete: bool,
    bounds: &Bounds,
) -> Result<Option<Header>, CodecError> {
    match codec(format) {
        Some(codec) => (codec.probe)(bytes, complete, bounds),
        None => plugged::probe(format, bytes, complete),
    }
}

/// Begins to decode all bytes of a source.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    header: &Header,
    hint: &DecodeHint,
    bounds: &Bounds,
) -> Result<Box<dyn Frames + 'a>, CodecError> {
    match codec(header.format) {
        Some(Codec { decode: Some(decode), .. }) => decode(bytes, header, hint, bounds),
        Some(_) => Err(CodecError::unsupported(header.format, "only an operation can draw it")),
        None => plugged::decode(bytes, header),
    }
}

/// What is decoded for a hint.
pub(crate) fn part(header: &Header, hint: &DecodeHint) -> Part {
    match codec(header.format).and_then(|codec| codec.part) {
        Some(part) => part(header, hint),
        None => Part::whole(header.coded_size()),
    }
}

/// Begins a file of frames of one size.
pub(crate) fn encode(
    format: Format,
    options: &EncodeOptions,
    size: (u32, u32),
) -> Result<Box<dyn Sink>, CodecError> {
    match codec(format) {
        Some(Codec { encode: Some(encode), .. }) => encode(options, size),
        None if format.can_encode() => plugged::encode(format, options),
        Some(_) | None => Err(CodecError::encode(format, "this format is only read")),
    }
}

/// How a format holds what stands beside the pixels; none where nothing of that is read or written here.
pub(crate) fn beside(format: Format) -> Option<Holder> {
    codec(format).and_then(|codec| codec.beside)
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
        // What is drawn from is not asked of plugins.
        Format::Plugged(_) => false,
    }
}

// What the table of names says is read and written is what has a decoder and an encoder.
const _: () = {
    let mut row = 0;
    while row < TABLE.len() {
        let Codec { format, decode, encode, .. } = &TABLE[row];
        assert!(
            matches!(format.place(), Some(place) if place == row),
            "a row stands where base's table of formats has another format"
        );
        assert!(decode.is_some() == format.can_decode(), "base's table is wrong on what is decoded");
        assert!(encode.is_some() == format.can_encode(), "base's table is wrong on what is written");
        row += 1;
    }
};
