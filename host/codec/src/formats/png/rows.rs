//! The samples of a PNG, row by row: what is there of a damaged one, and whether it is damaged at all. A tail that lacks nothing but
//! its end is not.

use std::io::Cursor;

use imgserve_base::units::MIB;
use png::{
    BitDepth, ColorType, Decoder, DecodingError, Info, InterlaceInfo, Limits, Reader, Transformations,
};

use super::{chunk, malformed};
use crate::damage;
use crate::error::CodecError;

/// For everything that is not the picture: profiles, texts, a row or two.
const SIDE_BYTES: usize = 64 * MIB as usize;

/// Chunks that are not the still picture's: an animation's, and code points, of which the library refuses those that a PNG cannot have
/// together with the picture.
const BESIDE: [&[u8; 4]; 4] = [b"acTL", b"fcTL", b"fdAT", b"cICP"];

/// The samples of a picture, and all that is said about them.
pub(super) struct Rows {
    pub(super) info: Info<'static>,
    /// What the samples are, once they are expanded.
    pub(super) kind: (ColorType, BitDepth),
    /// In the order of the file, words with the high byte first. What is missing is gray and opaque.
    pub(super) data: Vec<u8>,
    pub(super) damage: Option<String>,
}

/// # Errors
/// What is wrong with it, unless `repair`: then it is shown as far as it goes, also past a checksum that is wrong.
pub(super) fn read(bytes: &[u8], repair: bool) -> Result<Rows, CodecError> {
    let strict = rows(bytes, false);
    if matches!(strict, Ok(Rows { damage: None, .. })) {
        return strict;
    }
    match without(bytes, &BESIDE) {
        Some(alone) => {
            drop(strict);
            shown(rows(&alone, false), &alone, repair)
        }
        None => shown(strict, bytes, repair),
    }
}

fn shown(strict: Result<Rows, CodecError>, bytes: &[u8], repair: bool) -> Result<Rows, CodecError> {
    match strict? {
        Rows { damage: Some(damage), .. } if !repair => Err(malformed(damage)),
        // There is memory for the samples once.
        Rows { damage: Some(damage), data, .. } => {
            drop(data);
            Ok(Rows { damage: Some(damage), ..rows(bytes, true)? })
        }
        whole => Ok(whole),
    }
}

/// A copy in which chunks of these names are ones that nobody knows, and are passed over; none if there are none.
fn without(bytes: &[u8], names: &[&[u8; 4]]) -> Option<Vec<u8>> {
    let (mut copy, mut at) = (None, 8);
    while let Some((name, _, next)) = chunk(bytes, at) {
        if names.contains(&name) {
            let copy = copy.get_or_insert_with(|| bytes.to_vec());
            copy[at + 4..at + 8].copy_from_slice(b"noNe");
        }
        at = next;
    }
    copy
}

fn rows(bytes: &[u8], lenient: bool) -> Result<Rows, CodecError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: SIDE_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.ignore_checksums(lenient);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let size = reader.output_buffer_size().ok_or_else(|| malformed("larger than the address space"))?;
    let mut data = vec![0; size];
    let damage = fill(&mut reader, &mut data, lenient).err().map(|error| error.to_string());
    Ok(Rows { info: reader.info().clone(), kind: reader.output_color_type(), data, damage })
}

/// Fills in the rows that are there; `coarse`: of an interlaced picture, each pixel stands for those of later passes as well.
fn fill(reader: &mut Reader<Cursor<&[u8]>>, data: &mut [u8], coarse: bool) -> Result<(), DecodingError> {
    let stride = reader.output_line_size(reader.info().width).ok_or(DecodingError::LimitsExceeded)?;
    let (color, depth) = reader.output_color_type();
    let bits = color.samples() as u8 * depth as u8;
    if reader.info().interlaced {
        gray(data, color, depth);
        for _ in 0..interlaced_rows(reader.info().size()) {
            let Some(row) = reader.next_interlaced_row()? else { break };
            match row.interlace() {
                InterlaceInfo::Adam7(at) if coarse => {
                    png::splat_interlaced_row(data, stride, row.data(), at, bits);
                }
                InterlaceInfo::Adam7(at) => png::expand_interlaced_row(data, stride, row.data(), at, bits),
                InterlaceInfo::Null(_) => {}
            }
        }
    } else {
        for at in (0..data.len()).step_by(stride) {
            if let Err(error) = reader.read_row(&mut data[at..at + stride]) {
                gray(&mut data[at..], color, depth);
                return Err(error);
            }
        }
    }
    // No row follows; but the checksum of the last ones may be wrong.
    match reader.read_row(&mut vec![0; stride]) {
        Err(DecodingError::Format(error)) => Err(DecodingError::Format(error)),
        // The end is missing, and nothing else.
        Err(_) | Ok(_) => Ok(()),
    }
}

/// Rows of all passes together (PNG, section 8.1).
fn interlaced_rows((width, height): (u32, u32)) -> u32 {
    let passes = [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    let rows = |(left, top, step): (u32, u32, u32)| {
        if left < width { height.saturating_sub(top).div_ceil(step) } else { 0 }
    };
    passes.into_iter().map(rows).sum()
}

fn gray(data: &mut [u8], color: ColorType, depth: BitDepth) {
    let alpha = matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let sample = if depth == BitDepth::Sixteen { 2 } else { 1 };
    for pixel in data.chunks_exact_mut(color.samples() * sample) {
        let (colors, opaque) = pixel.split_at_mut(pixel.len() - if alpha { sample } else { 0 });
        colors.fill(damage::GRAY);
        opaque.fill(0xFF);
    }
}
