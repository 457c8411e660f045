//! The pixels of a bitmap: plain rows or runs, numbers of colours or colours themselves; and the mask that icons have behind them.

use imgserve_sdk::{Image, PixelFormat};

use super::{Coding, Dib};
use crate::damage;
use crate::error::CodecError;

/// A bitmap's picture, upright.
pub(in super::super) struct Pixels {
    pub(in super::super) image: Image,
    /// Whether its alpha means anything.
    pub(in super::super) alpha: bool,
    pub(in super::super) damage: Option<String>,
}

impl Dib<'_> {
    /// The picture as RGB, or as RGBA: with the bits that the masks or `alpha` name as alpha, unless there is none anywhere, which
    /// is how those bits are left where nobody thought of them. What is missing is gray.
    pub(in super::super) fn pixels(&self, format: PixelFormat, alpha: u32) -> Result<Pixels, CodecError> {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let channels = format.bytes_per_pixel();
        let mut data = vec![0; width * height * channels];
        let masks = [self.masks[0], self.masks[1], self.masks[2], self.masks[3] | alpha];
        let reader =
            RowReader { palette: self.palette(), channels: masks.map(Channel::new), bits: self.bits };
        let mut missing = Vec::new();
        let runs = (self.coding == Coding::Runs).then(|| self.runs());
        let stride = if runs.is_some() { width * self.run_bytes() } else { self.stride(self.bits) };
        let needed = if runs.is_some() { stride } else { (width * self.bits as usize).div_ceil(8) };
        let (rows, drawn) = match &runs {
            Some((rows, drawn)) => (rows.as_slice(), *drawn),
            None => (self.bytes.get(self.data..).unwrap_or_default(), height),
        };
        for (y, to) in data.chunks_exact_mut(width * channels).enumerate() {
            let stored = if self.top_down { y } else { height - 1 - y };
            let row = rows.get(stored * stride..).and_then(|rest| rest.get(..needed));
            match row.filter(|_| stored < drawn) {
                Some(row) if runs.is_some() => reader.unpacked(row, to, channels),
                Some(row) => reader.row(row, to, channels),
                None => missing.push(y),
            }
        }
        let says_alpha = masks[3] != 0 && data.iter().skip(3).step_by(4).any(|&alpha| alpha != 0);
        if channels == 4 && !says_alpha {
            data.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 0xFF);
        }
        let mut image = Image::new(self.size.0, self.size.1, format, data)
            .map_err(|error| CodecError::malformed(self.format, error))?;
        missing.iter().for_each(|&y| damage::gray(&mut image, 0, y, width, 1));
        let damage = (!missing.is_empty()).then(|| "the pixels are cut off".to_owned());
        Ok(Pixels { image, alpha: says_alpha, damage })
    }

    /// Which pixels are hidden, by the mask behind the picture of an icon; none if it has no mask. Row by row from the top.
    pub(in super::super) fn hidden(&self) -> Option<Vec<bool>> {
        let start = match self.coding {
            Coding::Plain => self.data + self.stride(self.bits) * self.size.1 as usize,
            Coding::Runs => return None,
        };
        let stride = self.stride(1);
        let mask = self.bytes.get(start..)?.get(..stride * self.size.1 as usize)?;
        let row = |row: &[u8]| {
            let bits = row.iter().flat_map(|byte| (0..8).map(move |at| byte & (0x80 >> at) != 0));
            bits.take(self.size.0 as usize).collect::<Vec<bool>>()
        };
        let rows = mask.chunks_exact(stride);
        Some(if self.top_down { rows.flat_map(row).collect() } else { rows.rev().flat_map(row).collect() })
    }

    /// As many colours as there are before the file ends; numbers without one are black.
    fn palette(&self) -> [[u8; 3]; 256] {
        let (at, entry, count) = self.colors;
        let mut palette = [[0; 3]; 256];
        let colors = self.bytes.get(at..).unwrap_or_default().chunks_exact(entry).take(count);
        palette.iter_mut().zip(colors).for_each(|(to, color)| *to = [color[2], color[1], color[0]]);
        palette
    }

    /// Bytes of a pixel of which runs are.
    fn run_bytes(&self) -> usize {
        if self.bits == 24 { 3 } else { 1 }
    }

    /// Runs unpacked to rows of bytes, and how many rows were begun. What is passed over has the first colour; the mark of the
    /// end may be missing.
    fn runs(&self) -> (Vec<u8>, usize) {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let mut runs = Runs { width, height, unit: self.run_bytes(), x: 0, y: 0, rows: Vec::new() };
        runs.rows.resize(width * height * runs.unit, 0);
        let mut rest = self.bytes.get(self.data..).unwrap_or_default();
        while runs.y < height {
            let [first, second, after @ ..] = rest else {
                let whole = runs.y + usize::from(runs.x >= width);
                return (runs.rows, whole);
            };
            rest = match (*first, *second) {
                (0, 0) => {
                    (runs.x, runs.y) = (0, runs.y + 1);
                    after
                }
                (0, 1) => break,
                (0, 2) => {
                    let [right, up, after @ ..] = after else { break };
                    (runs.x, runs.y) = (runs.x + usize::from(*right), runs.y + usize::from(*up));
                    after
                }
                (0, count) => {
                    let length = (usize::from(count) * self.bits as usize).div_ceil(8);
                    let some = &after[..length.min(after.len())];
                    runs.put(usize::from(count), |at| self.unit(some, at));
                    &after[length.next_multiple_of(2).min(after.len())..]
                }
                (count, _) => {
                    let value = &rest[1..rest.len().min(1 + runs.unit)];
                    let unit = |at| self.unit(value, if self.bits == 4 { at % 2 } else { 0 });
                    runs.put(usize::from(count), unit);
                    &rest[1 + value.len()..]
                }
            };
        }
        (runs.rows, height)
    }

    /// A pixel of a run; zeros beyond its end.
    fn unit(&self, values: &[u8], at: usize) -> [u8; 3] {
        let byte = |at: usize| values.get(at).copied().unwrap_or(0);
        match self.bits {
            4 => [byte(at / 2) >> if at.is_multiple_of(2) { 4 } else { 0 } & 15, 0, 0],
            8 => [byte(at), 0, 0],
            _ => [0, 1, 2].map(|channel| byte(3 * at + channel)),
        }
    }
}

/// Where runs are written.
struct Runs {
    width: usize,
    height: usize,
    /// Bytes of a pixel.
    unit: usize,
    x: usize,
    y: usize,
    rows: Vec<u8>,
}

impl Runs {
    /// Writes as many of the pixels as there is room for in the row.
    fn put(&mut self, count: usize, pixel: impl Fn(usize) -> [u8; 3]) {
        let room = self.width.saturating_sub(self.x).min(count);
        if room > 0 && self.y < self.height {
            let start = (self.y * self.width + self.x) * self.unit;
            let units = self.rows[start..start + room * self.unit].chunks_exact_mut(self.unit);
            units.enumerate().for_each(|(at, to)| to.copy_from_slice(&pixel(at)[..to.len()]));
        }
        self.x += count;
    }
}

/// From the bits of a pixel to one of its channels.
#[derive(Clone, Copy)]
struct Channel {
    shift: u32,
    most: u64,
}

impl Channel {
    fn new(mask: u32) -> Self {
        let shift = mask.trailing_zeros() % 32;
        Self { shift, most: u64::from(mask >> shift) }
    }

    fn of(self, pixel: u32) -> u8 {
        let value = u64::from(pixel >> self.shift) & self.most;
        // Without a mask there is nothing of it.
        (value * 255 + self.most / 2).checked_div(self.most).unwrap_or(0) as u8
    }
}

struct RowReader {
    palette: [[u8; 3]; 256],
    channels: [Channel; 4],
    bits: u32,
}

impl RowReader {
    fn row(&self, row: &[u8], to: &mut [u8], channels: usize) {
        let pixels = to.chunks_exact_mut(channels).enumerate();
        match self.bits {
            1 | 2 | 4 | 8 => pixels.for_each(|(at, to)| {
                let bit = at * self.bits as usize;
                let shift = 8 - self.bits - (bit % 8) as u32;
                let number = row[bit / 8] >> shift & (0xFF >> (8 - self.bits)) as u8;
                set(to, self.palette[usize::from(number)], 0xFF);
            }),
            24 => {
                pixels.zip(row.as_chunks::<3>().0).for_each(|((_, to), &[b, g, r])| set(to, [r, g, b], 0xFF))
            }
            16 => pixels
                .zip(row.as_chunks::<2>().0)
                .for_each(|((_, to), &word)| self.masked(u32::from(u16::from_le_bytes(word)), to)),
            _ => pixels
                .zip(row.as_chunks::<4>().0)
                .for_each(|((_, to), &word)| self.masked(u32::from_le_bytes(word), to)),
        }
    }

    /// A row that runs were unpacked to.
    fn unpacked(&self, row: &[u8], to: &mut [u8], channels: usize) {
        let pixels = to.chunks_exact_mut(channels);
        match self.bits {
            24 => pixels.zip(row.as_chunks::<3>().0).for_each(|(to, &[b, g, r])| set(to, [r, g, b], 0xFF)),
            _ => pixels.zip(row).for_each(|(to, &number)| set(to, self.palette[usize::from(number)], 0xFF)),
        }
    }

    fn masked(&self, pixel: u32, to: &mut [u8]) {
        let [red, green, blue, alpha] = self.channels;
        let opaque = if alpha.most == 0 { 0xFF } else { alpha.of(pixel) };
        set(to, [red, green, blue].map(|channel| channel.of(pixel)), opaque);
    }
}

fn set(to: &mut [u8], [r, g, b]: [u8; 3], alpha: u8) {
    match to {
        [red, green, blue] => (*red, *green, *blue) = (r, g, b),
        [red, green, blue, opaque] => (*red, *green, *blue, *opaque) = (r, g, b, alpha),
        _ => {}
    }
}
