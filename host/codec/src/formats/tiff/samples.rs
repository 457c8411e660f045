//! From the bytes of strips and tiles to the samples of the picture: rows cut at its edges, planes woven together, bits spread
//! to bytes or words.

use std::cmp::Ordering;

use super::directory::{Directory, Order, Trouble};
use super::layout::{Colors, Layout, Predictor, tag};
use super::pack::{Compression, unpack};
use super::{jpeg, webp};
use crate::error::CodecError;

/// Strips and tiles may share bytes, as empty ones do; but not so many that a small file takes long.
const MOST_READ: usize = 16;

/// The shown samples of the picture, pixel by pixel: 0 to 255, or 0 to 65535 where bytes do not hold them. Numbers of colours of a
/// palette are as they are.
pub(super) struct Samples<S> {
    pub(super) data: Vec<S>,
    /// What is missing: left, top, width and height, in pixels.
    pub(super) missing: Vec<[usize; 4]>,
    /// The first thing that was wrong.
    pub(super) damage: Option<String>,
}

/// A byte or a word.
pub(super) trait Sample: Copy + Default {
    fn of(value: u16) -> Self;
}

impl Sample for u8 {
    fn of(value: u16) -> Self {
        value as Self
    }
}

impl Sample for u16 {
    fn of(value: u16) -> Self {
        value
    }
}

/// The samples of a strip or tile that is a picture of its own.
pub(super) struct Picture {
    pub(super) width: usize,
    /// Interleaved, a byte each.
    pub(super) data: Vec<u8>,
    pub(super) channels: usize,
    pub(super) damage: Option<String>,
}

/// A strip or tile on the picture.
struct Chunk {
    left: usize,
    top: usize,
    /// Rows of it that are stored.
    rows: usize,
    /// The sample that it holds, if it is one of a plane.
    plane: Option<usize>,
}

pub(super) fn read<S: Sample>(directory: &Directory<'_>, layout: &Layout) -> Result<Samples<S>, Trouble> {
    let (width, height) = (layout.size.0 as usize, layout.size.1 as usize);
    let data = vec![S::default(); width * height * layout.shown()];
    let mut samples = Samples { data, missing: Vec::new(), damage: None };
    let reader = Reader { layout, spread: Spread::new(layout), tables: directory.raw(tag::JPEG_TABLES)? };
    if layout.compression == Compression::JpegFile {
        let file = jpeg_file(directory)?;
        let chunk = Chunk { left: 0, top: 0, rows: height, plane: None };
        // Its strips are the file's.
        let layout = Layout { chunk: layout.size, ..layout.clone() };
        Reader { layout: &layout, ..reader }.chunk(&chunk, file, &mut samples)?;
        return Ok(samples);
    }
    let (offsets, lengths) = match layout.tiled {
        true => (tag::TILE_OFFSETS, tag::TILE_BYTES),
        false => (tag::STRIP_OFFSETS, tag::STRIP_BYTES),
    };
    let offsets = directory.numbers(offsets)?.ok_or_else(|| Trouble::malformed("no place of its pixels"))?;
    let lengths = directory.numbers(lengths)?.unwrap_or_default();
    let mut left = directory.bytes().len().saturating_mul(MOST_READ);
    for (index, chunk) in chunks(layout).enumerate() {
        // Of those that are nowhere there may be as many as pixels: all of them are missing at once.
        if index >= offsets.len() {
            samples.missing_from(&chunk, layout);
            break;
        }
        let packed = packed(directory.bytes(), layout, &chunk, &offsets, lengths.get(index), index);
        let Some(after) = left.checked_sub(packed.len()) else {
            return Err(Trouble::malformed("its strips or tiles lie over each other"));
        };
        left = after;
        reader.chunk(&chunk, packed, &mut samples)?;
    }
    Ok(samples)
}

/// All strips or tiles in the order in which they are stored.
fn chunks(layout: &Layout) -> impl Iterator<Item = Chunk> {
    let planes = if layout.planes { layout.samples } else { 1 };
    let ((width, height), (across, down)) = (layout.size, layout.chunk);
    let (tiled, woven) = (layout.tiled, layout.planes);
    let tops = move || (0..height).step_by(down as usize);
    let lefts = move || (0..width).step_by(across as usize);
    (0..planes).flat_map(move |plane| {
        tops().flat_map(move |top| {
            lefts().map(move |left| Chunk {
                left: left as usize,
                top: top as usize,
                // The last strip has the rows that are left; a tile is always whole.
                rows: if tiled { down } else { down.min(height - top) } as usize,
                plane: woven.then_some(plane),
            })
        })
    })
}

/// A strip's or tile's bytes in the file, as many as there are. What is not compressed is as long as it must be, whatever the
/// file says; where nothing is said of a length, it ends where the next one begins.
fn packed<'a>(
    bytes: &'a [u8],
    layout: &Layout,
    chunk: &Chunk,
    offsets: &[u64],
    length: Option<&u64>,
    index: usize,
) -> &'a [u8] {
    let offset = |index: usize| offsets.get(index).and_then(|&offset| usize::try_from(offset).ok());
    let start = offset(index).unwrap_or(usize::MAX);
    let Some(rest) = bytes.get(start..) else { return &[] };
    let length = match (layout.compression, length) {
        (Compression::None, _) => layout.packed_bytes(chunk.rows),
        (_, None | Some(0)) => {
            offset(index + 1).and_then(|next| next.checked_sub(start)).unwrap_or(usize::MAX)
        }
        (_, Some(&length)) => usize::try_from(length).unwrap_or(usize::MAX),
    };
    &rest[..rest.len().min(length)]
}

fn jpeg_file<'a>(directory: &Directory<'a>) -> Result<&'a [u8], Trouble> {
    let start = directory.number(tag::JPEG_FILE)?.and_then(|start| usize::try_from(start).ok());
    let rest = start.and_then(|start| directory.bytes().get(start..)).unwrap_or_default();
    let length = directory.number(tag::JPEG_FILE_BYTES)?.and_then(|length| usize::try_from(length).ok());
    Ok(&rest[..rest.len().min(length.unwrap_or(usize::MAX))])
}

struct Reader<'a> {
    layout: &'a Layout,
    spread: Spread,
    tables: Option<&'a [u8]>,
}

impl Reader<'_> {
    fn chunk<S: Sample>(&self, chunk: &Chunk, packed: &[u8], to: &mut Samples<S>) -> Result<(), Trouble> {
        // Planes of samples that are not shown.
        let shown = (0..self.layout.shown()).position(|shown| chunk.plane == Some(self.layout.source(shown)));
        if chunk.plane.is_some() && shown.is_none() {
            return Ok(());
        }
        let (bytes, width, channels, wrong) = if self.layout.compression.is_picture() {
            let decoded = match self.layout.compression {
                Compression::WebP => webp::decode(packed, self.layout, chunk.rows),
                _ => jpeg::decode(packed, self.tables, self.layout),
            };
            let picture = match decoded {
                Ok(picture) => picture,
                Err(Trouble::Refused(CodecError::Malformed { text, .. })) => {
                    to.note(chunk, self.layout, 0, text);
                    return Ok(());
                }
                Err(trouble) => return Err(trouble),
            };
            if picture.channels < self.layout.interleaved() {
                return Err(Trouble::malformed("a JPEG within it has fewer components than it has samples"));
            }
            let seen = (self.layout.chunk.0 as usize).min(self.layout.size.0 as usize - chunk.left);
            if picture.width < seen {
                to.note(chunk, self.layout, 0, "a JPEG within it is narrower than its place".to_owned());
                return Ok(());
            }
            (picture.data, picture.width, picture.channels, picture.damage)
        } else {
            let (bytes, wrong) = self.unpacked(chunk, packed);
            let wrong = wrong.map(str::to_owned);
            (bytes, self.layout.chunk.0 as usize, self.layout.interleaved(), wrong)
        };
        let stride = (width * channels * self.layout.bits as usize).div_ceil(8);
        let rows = chunk.rows.min(self.layout.size.1 as usize - chunk.top);
        let columns = width.min(self.layout.size.0 as usize - chunk.left);
        let whole = bytes.len() / stride.max(1);
        let mut row = vec![0; width * channels];
        for (at, packed) in bytes.chunks_exact(stride).take(rows).enumerate() {
            self.spread.row(packed, &mut row);
            let start = ((chunk.top + at) * self.layout.size.0 as usize + chunk.left) * self.layout.shown();
            to.put(&row, channels, start, columns, shown, self.layout);
        }
        if let Some(wrong) = wrong.or_else(|| (whole < rows).then(|| "a strip or tile is cut off".to_owned()))
        {
            to.note(chunk, self.layout, whole, wrong);
        }
        Ok(())
    }

    /// The rows of a strip or tile, as the samples lie before compression.
    fn unpacked(&self, chunk: &Chunk, packed: &[u8]) -> (Vec<u8>, Option<&'static str>) {
        let layout = self.layout;
        let size = (layout.chunk.0 as usize, chunk.rows);
        let wanted = layout.packed_bytes(chunk.rows);
        let (mut bytes, wrong) = unpack(layout.compression, packed, layout.reversed, size, wanted);
        if layout.is_shared() {
            bytes = share_out(&bytes, layout);
        }
        bytes.truncate(bytes.len() / layout.row_bytes() * layout.row_bytes());
        for row in bytes.chunks_exact_mut(layout.row_bytes()) {
            match layout.predictor {
                Predictor::None => {}
                Predictor::Difference => add_up(row, layout),
                Predictor::FloatDifference => weave(row, layout),
            }
        }
        (bytes, wrong)
    }
}

impl<S: Sample> Samples<S> {
    /// Puts the shown samples of a row where they belong; `plane`: the one that all of them are.
    fn put(
        &mut self,
        row: &[u16],
        channels: usize,
        start: usize,
        columns: usize,
        plane: Option<usize>,
        layout: &Layout,
    ) {
        let shown = layout.shown();
        let pixels = self.data[start..start + columns * shown].chunks_exact_mut(shown);
        for (to, from) in pixels.zip(row.chunks_exact(channels)) {
            match plane {
                Some(plane) => to[plane] = S::of(from[0]),
                None => (0..shown).for_each(|at| to[at] = S::of(from[layout.source(at)])),
            }
        }
    }

    /// Notes that this strip or tile is missing, and all that follow it.
    fn missing_from(&mut self, chunk: &Chunk, layout: &Layout) {
        let (width, height) = (layout.size.0 as usize, layout.size.1 as usize);
        let last = chunk.plane.and_then(|_| (0..layout.shown()).map(|shown| layout.source(shown)).max());
        let below = (chunk.top + layout.chunk.1 as usize).min(height);
        match chunk.plane.cmp(&last) {
            // Samples that are not shown.
            Ordering::Greater => return,
            // No pixel has its last sample.
            Ordering::Less => self.missing.push([0, 0, width, height]),
            Ordering::Equal => self.missing.extend([
                [chunk.left, chunk.top, width - chunk.left, below - chunk.top],
                [0, below, width, height - below],
            ]),
        }
        self.damage.get_or_insert_with(|| "strips or tiles are missing".to_owned());
    }

    /// Notes that of a strip or tile no more than `whole` rows are there.
    fn note(&mut self, chunk: &Chunk, layout: &Layout, whole: usize, wrong: String) {
        let top = chunk.top + whole;
        let bottom = (chunk.top + chunk.rows).min(layout.size.1 as usize);
        if top < bottom {
            let width = (layout.chunk.0 as usize).min(layout.size.0 as usize - chunk.left);
            self.missing.push([chunk.left, top, width, bottom - top]);
        }
        self.damage.get_or_insert(wrong);
    }
}

/// From the bits of a sample to the range that it is shown in.
struct Spread {
    bits: u32,
    float: bool,
    /// The largest value given.
    most: u64,
    /// Whether values are numbers of colours.
    as_is: bool,
    order: Order,
}

impl Spread {
    fn new(layout: &Layout) -> Self {
        Self {
            bits: layout.bits,
            float: layout.float,
            most: if layout.is_wide() { 0xFFFF } else { 0xFF },
            as_is: layout.colors == Colors::Palette,
            order: layout.order,
        }
    }

    fn row(&self, packed: &[u8], row: &mut [u16]) {
        let order = self.order;
        match (self.bits, self.float) {
            (8, _) => row.iter_mut().zip(packed).for_each(|(to, &from)| *to = u16::from(from)),
            (16, false) => self.each(packed, row, |[a, b]| self.whole(u64::from(order.u16([a, b])))),
            (24, false) => self.each(packed, row, |bytes| self.whole(u64::from(three(order, bytes)))),
            (32, false) => self.each(packed, row, |bytes| self.whole(u64::from(order.u32(bytes)))),
            (64, false) => self.each(packed, row, |bytes| self.whole(order.u64(bytes))),
            (16, true) => self.each(packed, row, |[a, b]| self.part(half(order.u16([a, b])))),
            (24, true) => self.each(packed, row, |bytes| self.part(short_float(three(order, bytes)))),
            (32, true) => self.each(packed, row, |bytes| self.part(f32::from_bits(order.u32(bytes)))),
            (64, true) => self.each(packed, row, |bytes| self.part(f64::from_bits(order.u64(bytes)) as f32)),
            _ => self.packed_bits(packed, row),
        }
    }

    fn each<const N: usize>(&self, packed: &[u8], row: &mut [u16], value: impl Fn([u8; N]) -> u16) {
        row.iter_mut().zip(packed.as_chunks::<N>().0).for_each(|(to, &from)| *to = value(from));
    }

    /// Samples that do not begin at bytes, the highest bit first.
    fn packed_bits(&self, packed: &[u8], row: &mut [u16]) {
        let (mut held, mut count) = (0_u32, 0);
        let mut bytes = packed.iter();
        for to in row {
            while count < self.bits {
                held = held << 8 | u32::from(bytes.next().copied().unwrap_or(0));
                count += 8;
            }
            count -= self.bits;
            *to = self.whole(u64::from(held >> count & ((1 << self.bits) - 1)));
        }
    }

    fn whole(&self, value: u64) -> u16 {
        if self.as_is {
            return value as u16;
        }
        // Of long ones the highest bits say all that is shown.
        let (value, bits) = if self.bits > 32 { (value >> (self.bits - 32), 32) } else { (value, self.bits) };
        let largest = (1_u64 << bits) - 1;
        ((value * self.most + largest / 2) / largest) as u16
    }

    /// 0 is black and 1 is white; what is no number is black.
    fn part(&self, value: f32) -> u16 {
        (value.clamp(0.0, 1.0) * self.most as f32).round() as u16
    }
}

fn three(order: Order, [a, b, c]: [u8; 3]) -> u32 {
    if order == Order::Little { order.u32([a, b, c, 0]) } else { order.u32([0, a, b, c]) }
}

/// A floating-point number of 16 bits (IEEE 754, binary16).
fn half(bits: u16) -> f32 {
    float(u32::from(bits), 5, 10)
}

/// One of 24 bits (TIFF Technical Note 3): 7 of exponent and 16 of fraction.
fn short_float(bits: u32) -> f32 {
    float(bits, 7, 16)
}

fn float(bits: u32, exponent_bits: u32, fraction_bits: u32) -> f32 {
    let fraction = (bits & ((1 << fraction_bits) - 1)) as f32 / (1 << fraction_bits) as f32;
    let most = (1 << exponent_bits) - 1;
    let exponent = (bits >> fraction_bits & most) as i32;
    let bias = most as i32 / 2;
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(1 - bias),
        _ => (1.0 + fraction) * 2.0_f32.powi(exponent - bias),
    };
    if bits >> (exponent_bits + fraction_bits) & 1 == 1 { -size } else { size }
}

/// Undoes differences from the pixel to the left.
fn add_up(row: &mut [u8], layout: &Layout) {
    let (order, distance) = (layout.order, layout.interleaved());
    match layout.bits {
        8 => sums::<1>(row, distance, |[a], [b]| [a.wrapping_add(b)]),
        16 => sums::<2>(row, distance, |a, b| write16(order, order.u16(a).wrapping_add(order.u16(b)))),
        32 => sums::<4>(row, distance, |a, b| write32(order, order.u32(a).wrapping_add(order.u32(b)))),
        _ => sums::<8>(row, distance, |a, b| write64(order, order.u64(a).wrapping_add(order.u64(b)))),
    }
}

fn sums<const N: usize>(row: &mut [u8], distance: usize, add: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    let (samples, _) = row.as_chunks_mut::<N>();
    (distance..samples.len()).for_each(|at| samples[at] = add(samples[at - distance], samples[at]));
}

fn write16(order: Order, value: u16) -> [u8; 2] {
    if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
}

fn write32(order: Order, value: u32) -> [u8; 4] {
    if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
}

fn write64(order: Order, value: u64) -> [u8; 8] {
    if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
}

/// Undoes the differences of floating-point numbers: of all numbers the highest bytes come first, then the next.
fn weave(row: &mut [u8], layout: &Layout) {
    let distance = layout.interleaved();
    (distance..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - distance]));
    let width = (layout.bits / 8) as usize;
    let apart = row.to_vec();
    let count = row.len() / width;
    for (index, sample) in row.chunks_exact_mut(width).enumerate() {
        for (at, byte) in sample.iter_mut().enumerate() {
            let rank = if layout.order == Order::Big { at } else { width - 1 - at };
            *byte = apart[rank * count + index];
        }
    }
}

/// Rows of Y, Cb, Cr for units of as many Y as share a Cb and a Cr (TIFF 6.0, section 21).
fn share_out(units: &[u8], layout: &Layout) -> Vec<u8> {
    let (across, down) = (layout.shared.0 as usize, layout.shared.1 as usize);
    let (width, unit) = (layout.chunk.0 as usize, across * down + 2);
    let mut out = Vec::new();
    for band in units.chunks_exact(width.div_ceil(across) * unit) {
        for y in 0..down {
            for x in 0..width {
                let unit = &band[x / across * unit..][..unit];
                out.extend_from_slice(&[
                    unit[y * across + x % across],
                    unit[unit.len() - 2],
                    unit[unit.len() - 1],
                ]);
            }
        }
    }
    out
}
