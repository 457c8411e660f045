//! The samples of a PNG, row by row: what is there of a damaged one, and whether it is damaged at all. A tail that lacks nothing but
//! its end is not.

use std::io::Cursor;

use imgserve_base::units::MIB;
use png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Reader, Transformations};

use super::malformed;
use crate::damage;
use crate::error::CodecError;

/// For everything that is not the picture: profiles, texts, a row or two.
const SIDE_BYTES: usize = 64 * MIB as usize;

/// The samples of a picture, and all that is said about them.
pub(super) struct Rows<'a> {
    pub(super) reader: Reader<Cursor<&'a [u8]>>,
    /// In the order of the file, words with the high byte first. What is missing is gray and opaque.
    pub(super) data: Vec<u8>,
    pub(super) damage: Option<String>,
}

/// # Errors
/// What is wrong with it, unless `repair`: then it is shown as far as it goes, also past a checksum that is wrong.
pub(super) fn read(bytes: &[u8], repair: bool) -> Result<Rows<'_>, CodecError> {
    let strict = rows(bytes, false)?;
    match (&strict.damage, repair) {
        (Some(damage), false) => Err(malformed(damage)),
        (None, _) => Ok(strict),
        (Some(_), true) => {
            let lenient = rows(bytes, true)?;
            Ok(Rows { damage: strict.damage, ..lenient })
        }
    }
}

fn rows(bytes: &[u8], lenient: bool) -> Result<Rows<'_>, CodecError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: SIDE_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.ignore_checksums(lenient);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let size = reader.output_buffer_size().ok_or_else(|| malformed("larger than the address space"))?;
    let mut data = vec![0; size];
    let damage = fill(&mut reader, &mut data, lenient).err().map(|error| error.to_string());
    Ok(Rows { reader, data, damage })
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
