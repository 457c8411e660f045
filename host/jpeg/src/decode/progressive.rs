//! Progressive scans (SOF2; T.81, annex G): coefficients are gathered over several scans, then made into samples.

use fearless_simd::Simd;
use std::sync::Arc;

use super::bits::Bits;
use super::exact::{Exact, TwoExact};
use super::geometry::Layout;
use super::huffman::{AcTable, DcTable, END_OF_BLOCK, LOOKUP_BITS, SymbolTable, long_code};
use super::kernel::{Basis, Eight, Four, Images, Sink, Two};
use super::segments::Scan;
use super::walk::Blocks;

/// A component's coefficients by block, in zigzag order.
#[derive(Debug, Default)]
pub(super) struct Coefficients {
    /// 64, or 1 when only the DC is wanted.
    depth: usize,
    /// Blocks per row, in whole MCUs.
    columns: usize,
    data: Vec<i16>,
}

impl Coefficients {
    /// Zeros for all blocks of whole MCUs, in the memory that it has.
    pub(super) fn reset(&mut self, layout: &Layout, mcus_across: usize, depth: usize) {
        (self.depth, self.columns) = (depth, mcus_across * layout.h);
        self.data.clear();
        self.data.resize(self.columns * layout.window.y.end * depth, 0);
    }

    pub(super) fn release(&mut self, kept: usize) {
        if 2 * self.data.capacity() > kept {
            self.data = Vec::new();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        2 * self.data.capacity()
    }

    #[inline(always)]
    fn block(&mut self, x: usize, y: usize) -> &mut [i16] {
        let at = (y * self.columns + x) * self.depth;
        &mut self.data[at..at + self.depth]
    }
}

/// Which scans of a progressive file are worth parsing, and whether they tell all that is wanted.
#[derive(Debug)]
pub(super) struct Plan {
    /// By scan.
    pub(super) needed: Vec<bool>,
    /// Whether each wanted coefficient has all its bits.
    pub(super) complete: bool,
}

impl Plan {
    /// For the coefficients up to `last` of each component. A scan that refines a band must know all of it, so that what it
    /// refines is needed too.
    pub(super) fn new(scans: &[Scan], last: &[usize]) -> Self {
        let wanted: Vec<u64> = last.iter().map(|&last| u64::MAX >> (63 - last)).collect();
        let band = |scan: &Scan| u64::MAX >> (63 - scan.end) & u64::MAX << scan.start;
        let mut bands = wanted.clone();
        loop {
            let before = bands.clone();
            for scan in scans.iter().filter(|scan| scan.start > 0 && scan.high > 0) {
                let wanted = &mut bands[scan.components[0].0];
                if *wanted & band(scan) != 0 {
                    *wanted |= band(scan);
                }
            }
            if bands == before {
                break;
            }
        }
        let needs = |scan: &Scan| scan.components.iter().any(|&(index, ..)| bands[index] & band(scan) != 0);
        let mut missing = wanted;
        for scan in scans.iter().filter(|scan| scan.low == 0) {
            scan.components.iter().for_each(|&(index, ..)| missing[index] &= !band(scan));
        }
        Self { needed: scans.iter().map(needs).collect(), complete: missing.iter().all(|&bands| bands == 0) }
    }
}

/// The first scan of the DC coefficients.
pub(super) struct DcFirst<'c> {
    /// For each component of the scan: coefficients, table, the last block's DC.
    pub(super) units: Vec<(&'c mut Coefficients, Arc<DcTable>, i32)>,
    pub(super) blocks: Vec<(usize, usize)>,
    pub(super) low: u32,
}

impl Blocks for DcFirst<'_> {
    #[inline(always)]
    fn restart(&mut self) {
        self.units.iter_mut().for_each(|unit| unit.2 = 0);
    }

    #[inline(always)]
    fn mcu(&mut self, bits: &mut Bits<'_>, column: usize, row: usize) {
        for ((coefficients, table, before), &(across, down)) in self.units.iter_mut().zip(&self.blocks) {
            for y in row * down..(row + 1) * down {
                for x in column * across..(column + 1) * across {
                    *before = before.wrapping_add(table.next(bits));
                    coefficients.block(x, y)[0] = before.wrapping_shl(self.low) as i16;
                }
            }
        }
    }
}

/// A further bit of the DC coefficients.
pub(super) struct DcRefinement<'c> {
    pub(super) units: Vec<&'c mut Coefficients>,
    pub(super) blocks: Vec<(usize, usize)>,
    pub(super) low: u32,
}

impl Blocks for DcRefinement<'_> {
    fn restart(&mut self) {}

    #[inline(always)]
    fn mcu(&mut self, bits: &mut Bits<'_>, column: usize, row: usize) {
        for (coefficients, &(across, down)) in self.units.iter_mut().zip(&self.blocks) {
            for y in row * down..(row + 1) * down {
                for x in column * across..(column + 1) * across {
                    bits.refill();
                    coefficients.block(x, y)[0] |= (bits.take(1) << self.low) as i16;
                }
            }
        }
    }
}

/// The first scan of a band of one component's AC coefficients.
pub(super) struct AcFirst<'c> {
    pub(super) coefficients: &'c mut Coefficients,
    pub(super) table: Arc<AcTable>,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) low: u32,
    /// Blocks from the next one on that have nothing more in this band.
    pub(super) empty_blocks: u32,
}

impl Blocks for AcFirst<'_> {
    fn restart(&mut self) {
        self.empty_blocks = 0;
    }

    #[inline(always)]
    fn mcu(&mut self, bits: &mut Bits<'_>, x: usize, y: usize) {
        if self.empty_blocks > 0 {
            self.empty_blocks -= 1;
            return;
        }
        let block = self.coefficients.block(x, y);
        let mut k = self.start;
        while k <= self.end {
            bits.refill();
            let entry = self.table.entries[bits.peek(LOOKUP_BITS) & (self.table.entries.len() - 1)];
            let (length, run) = (entry & 0xFF, (entry >> 8 & 0xFF) as usize);
            let (run, value) = if length == 0 {
                let (after, symbol, value) = long_code(*bits, &self.table.symbols);
                *bits = after;
                let run = u32::from(symbol >> 4);
                if symbol & 15 == 0 && run != 15 {
                    self.empty_blocks = (1 << run) - 1 + bits.take(run) as u32;
                    return;
                }
                (run as usize, value)
            } else {
                if run == END_OF_BLOCK {
                    bits.consume(length);
                    let more = entry >> 16;
                    self.empty_blocks = (1 << more) - 1 + bits.take(more) as u32;
                    return;
                }
                let value = bits.value(length, entry >> 16);
                bits.consume(length);
                (run, value)
            };
            k += run;
            bits.corrupt |= k > self.end;
            // A run of 16 zeros has no value; beyond the band it must not take that of another scan.
            if value != 0 {
                block[k.min(63)] = value.wrapping_shl(self.low) as i16;
            }
            k += 1;
        }
    }
}

/// A further bit of a band of one component's AC coefficients.
pub(super) struct AcRefinement<'c> {
    pub(super) coefficients: &'c mut Coefficients,
    pub(super) table: SymbolTable,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) low: u32,
    pub(super) empty_blocks: u32,
}

impl AcRefinement<'_> {
    /// Reads a correction bit for each coefficient from `k` on that is not zero, until `run` zeros were passed; gives
    /// the position of the next zero.
    #[inline(always)]
    fn correct(
        block: &mut [i16],
        bits: &mut Bits<'_>,
        mut k: usize,
        (end, low): (usize, u32),
        mut run: usize,
    ) -> usize {
        while k <= end {
            let value = block[k];
            if value == 0 {
                if run == 0 {
                    break;
                }
                run -= 1;
            } else {
                bits.refill();
                if bits.take(1) != 0 && value & (1 << low) == 0 {
                    let bit = 1_i16 << low;
                    block[k] = value.wrapping_add(if value < 0 { -bit } else { bit });
                }
            }
            k += 1;
        }
        k
    }
}

impl Blocks for AcRefinement<'_> {
    fn restart(&mut self) {
        self.empty_blocks = 0;
    }

    #[inline(always)]
    fn mcu(&mut self, bits: &mut Bits<'_>, x: usize, y: usize) {
        let block = self.coefficients.block(x, y);
        let band = (self.end, self.low);
        let mut k = self.start;
        if self.empty_blocks == 0 {
            while k <= self.end {
                bits.refill();
                let symbol = self.table.next(bits);
                let (run, size) = (usize::from(symbol >> 4), symbol & 15);
                if size == 0 && run != 15 {
                    self.empty_blocks = (1 << run) + bits.take(run as u32) as u32;
                    break;
                }
                // A new coefficient has one bit, its sign; libjpeg takes any other size for one.
                let bit = 1_i16 << self.low;
                let value = if size == 0 {
                    0
                } else if bits.take(1) != 0 {
                    bit
                } else {
                    -bit
                };
                bits.corrupt |= size > 1;
                k = Self::correct(block, bits, k, band, run);
                if value != 0 {
                    bits.corrupt |= k > self.end;
                    block[k.min(63)] = value;
                }
                k += 1;
            }
        }
        if self.empty_blocks > 0 {
            // Most such blocks have nothing to correct, and to look at all at once is several times as fast.
            if block[k..=self.end].iter().fold(0, |all, value| all | value) != 0 {
                Self::correct(block, bits, k, band, usize::MAX);
            }
            self.empty_blocks -= 1;
        }
    }
}

/// A component's samples from its coefficients.
#[inline(always)]
pub(super) fn transform<S: Simd>(
    simd: S,
    coefficients: &mut Coefficients,
    layout: &Layout,
    basis: &Basis,
    plane: &mut [u8],
) {
    let (side, stride) = (layout.side, layout.stride());
    for (row, y) in layout.window.y.clone().enumerate() {
        for (column, x) in layout.window.x.clone().enumerate() {
            let block = coefficients.block(x, y);
            let to = &mut plane[row * side * stride + column * side..];
            let dc = i32::from(block[0]);
            match &basis.images {
                Images::One => to[0] = basis.flat(dc),
                Images::Two(images) if !basis.strong.is_in(block) => {
                    let mut sum = Two::new(simd, images, basis.start(dc));
                    add(block, basis.last, &mut sum);
                    sum.store(to, stride);
                }
                Images::Four(images) if !basis.strong.is_in(block) => {
                    let mut sum = Four::new(simd, images, basis.start(dc));
                    add(block, basis.last, &mut sum);
                    sum.store(to, stride);
                }
                Images::Eight(images) => {
                    let mut sum = Eight::new(simd, images, basis.start(dc));
                    add(block, basis.last, &mut sum);
                    sum.store(to, stride);
                }
                _ => exactly(simd, block, basis, (to, stride)),
            }
        }
    }
}

/// A block's samples as libjpeg-turbo computes them.
#[inline(always)]
fn exactly<S: Simd>(simd: S, block: &[i16], basis: &Basis, (to, stride): (&mut [u8], usize)) {
    let (quantization, dc) = (&basis.quantization, basis.dequantized(block[0].into()));
    match basis.side {
        2 => {
            let mut sum = TwoExact::new(quantization, dc);
            add(block, 63, &mut sum);
            sum.store(to, stride);
        }
        4 => {
            let mut sum = Exact::<S, 4>::new(simd, quantization, dc);
            add(block, 63, &mut sum);
            sum.store(to, stride);
        }
        _ => {
            let mut sum = Exact::<S, 8>::new(simd, quantization, dc);
            add(block, 63, &mut sum);
            sum.store(to, stride);
        }
    }
}

#[inline(always)]
fn add(block: &[i16], last: usize, sink: &mut impl Sink) {
    let (fours, _) = block.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate().take(last / 4 + 1) {
        if *four == [0; 4] {
            continue;
        }
        for (offset, &value) in four.iter().enumerate() {
            let k = 4 * index + offset;
            if value != 0 && k > 0 && k <= last {
                sink.put(k, value.into());
            }
        }
    }
}
