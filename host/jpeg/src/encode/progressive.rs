//! The scans of a progressive file (T.81, annex G).

use super::bits::Writer;
use super::dct::Block;
use super::layout::Layout;
use super::markers::{self, Scan};
use super::tokens::{Slot, Tokens, ZERO_RUN, magnitude};

/// Blocks without a coefficient in a row that one symbol stands for. The format has symbols for 0x7FFF, but two of those in a
/// row, 30 bits each, would not fit into the writer's register.
const MAX_END_RUN: u32 = 0x1FFF;
/// Bits of coefficients known from earlier scans that may wait for the end of such a row, as in libjpeg.
const MAX_WAITING: usize = 1000;

/// What `jpeg_simple_progression` of libjpeg gives colour pictures: component, number of components, band, bits.
const COLOR_SCANS: [Scan; 10] = [
    scan(0, 3, (0, 0), (0, 1)),
    scan(0, 1, (1, 5), (0, 2)),
    scan(2, 1, (1, 63), (0, 1)),
    scan(1, 1, (1, 63), (0, 1)),
    scan(0, 1, (6, 63), (0, 2)),
    scan(0, 1, (1, 63), (2, 1)),
    scan(0, 3, (0, 0), (1, 0)),
    scan(2, 1, (1, 63), (1, 0)),
    scan(1, 1, (1, 63), (1, 0)),
    scan(0, 1, (1, 63), (1, 0)),
];
/// What it gives gray ones.
const GRAY_SCANS: [Scan; 6] = [
    scan(0, 1, (0, 0), (0, 1)),
    scan(0, 1, (1, 5), (0, 2)),
    scan(0, 1, (6, 63), (0, 2)),
    scan(0, 1, (1, 63), (2, 1)),
    scan(0, 1, (0, 0), (1, 0)),
    scan(0, 1, (1, 63), (1, 0)),
];

const fn scan(component: usize, components: usize, band: (u8, u8), bits: (u8, u8)) -> Scan {
    Scan { component, components, band, bits }
}

/// All blocks of a component.
#[derive(Debug, Default)]
pub(super) struct Coefficients {
    blocks: Vec<Block>,
    across: usize,
}

impl Coefficients {
    pub(super) fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
    }

    /// Makes room for whole MCUs.
    pub(super) fn reset(&mut self, across: usize, down: usize) {
        self.across = across;
        self.blocks.resize(across * down, Block::flat(0));
    }

    #[inline(always)]
    pub(super) fn set(&mut self, x: usize, y: usize, block: Block) {
        self.blocks[y * self.across + x] = block;
    }

    /// How many coefficients are not the same as another's.
    #[cfg(test)]
    pub(super) fn differences(&self, other: &Self) -> usize {
        let pairs = self.blocks.iter().zip(&other.blocks);
        pairs.map(|(a, b)| (0..64).filter(|&at| a.at(at) != b.at(at)).count()).sum()
    }

    fn row(&self, y: usize) -> &[Block] {
        &self.blocks[y * self.across..][..self.across]
    }
}

/// Appends all scans, each behind the codes that are best for it.
pub(super) fn write_scans(
    layout: &Layout,
    coefficients: &[Coefficients; 3],
    (tokens, writer): (&mut Tokens, &mut Writer),
    out: &mut Vec<u8>,
) {
    let scans = if layout.components() == 1 { &GRAY_SCANS[..] } else { &COLOR_SCANS[..] };
    for scan in scans {
        tokens.clear();
        let slots = match (scan.band.0, scan.bits.0) {
            (0, 0) => push_means(layout, scan, coefficients, tokens),
            (0, _) => push_mean_bits(layout, scan, coefficients, tokens),
            _ => push_band(layout, scan, coefficients, tokens),
        };
        let codes = tokens.codes(&slots);
        let codes = || slots.iter().copied().zip(&codes);
        markers::write_codes(out, codes());
        markers::write_scan_head(out, scan);
        if scan.band.0 == 0 {
            writer.set_codes(codes())
        } else {
            writer.set_band_codes(codes())
        }
        writer.write(tokens, out);
    }
}

/// Calls `visit` with the component and the block, in the order of a scan of several components.
fn for_interleaved(
    layout: &Layout,
    components: usize,
    coefficients: &[Coefficients; 3],
    mut visit: impl FnMut(usize, &Block),
) {
    for (row, mcu) in (0..layout.mcus_down).flat_map(|row| (0..layout.mcus_across).map(move |mcu| (row, mcu)))
    {
        for (component, coefficients) in coefficients[..components].iter().enumerate() {
            let blocks = layout.blocks(component);
            for y in 0..blocks {
                let row = coefficients.row(row * blocks + y);
                row[mcu * blocks..][..blocks].iter().for_each(|block| visit(component, block));
            }
        }
    }
}

/// A first scan of DC coefficients; returns the codes that it needs.
fn push_means(
    layout: &Layout,
    scan: &Scan,
    coefficients: &[Coefficients; 3],
    tokens: &mut Tokens,
) -> Vec<Slot> {
    let mut last = [0; 3];
    for_interleaved(layout, scan.components, coefficients, |component, block| {
        let dc = i32::from(block.dc()) >> scan.bits.1;
        let (size, bits) = magnitude(dc - last[component]);
        last[component] = dc;
        tokens.push(Slot::of(component).0, size, bits);
    });
    (0..scan.components.min(2)).map(|component| Slot::of(component).0).collect()
}

/// One more bit of each DC coefficient.
fn push_mean_bits(
    layout: &Layout,
    scan: &Scan,
    coefficients: &[Coefficients; 3],
    tokens: &mut Tokens,
) -> Vec<Slot> {
    for_interleaved(layout, scan.components, coefficients, |_, block| {
        tokens.push_bits((i32::from(block.dc()) >> scan.bits.1) as u32 & 1, 1);
    });
    Vec::new()
}

/// A scan of AC coefficients of one component.
fn push_band(
    layout: &Layout,
    scan: &Scan,
    coefficients: &[Coefficients; 3],
    tokens: &mut Tokens,
) -> Vec<Slot> {
    let slot = Slot::of(scan.component).1;
    let mut band = Band { scan, slot, tokens, end_run: 0, waiting: Vec::new() };
    let (across, down) = layout.shown_blocks(scan.component);
    for row in 0..down {
        for block in &coefficients[scan.component].row(row)[..across] {
            if scan.bits.0 == 0 { band.push_first(block) } else { band.push_refining(block) }
        }
    }
    band.end();
    vec![slot]
}

/// A scan of AC coefficients being made.
struct Band<'a> {
    scan: &'a Scan,
    slot: Slot,
    tokens: &'a mut Tokens,
    /// Blocks that have ended, of which nothing is written yet.
    end_run: u32,
    /// Bits of coefficients known from earlier scans that come behind the symbol for that.
    waiting: Vec<bool>,
}

impl Band<'_> {
    /// The coefficients that are there, without those of only later bits: zigzag position and value in this scan's
    /// precision, which is cut off and not shifted (T.81, section G.1.2.1).
    fn present(&self, block: &Block) -> u64 {
        let (first, last) = self.scan.band;
        block.nonzero() & (u64::MAX << first) & (u64::MAX >> (63 - last))
    }

    fn push_first(&mut self, block: &Block) {
        let mut left = self.present(block);
        let mut next = u32::from(self.scan.band.0);
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let value = block.at(at);
            let size = value.unsigned_abs() >> self.scan.bits.1;
            if size == 0 {
                continue;
            }
            self.end();
            let mut run = at - next;
            next = at + 1;
            while run > 15 {
                self.tokens.push(self.slot, ZERO_RUN, 0);
                run -= 16;
            }
            let (size, bits) = magnitude(if value < 0 { -(size as i32) } else { size as i32 });
            self.tokens.push(self.slot, run << 4 | size, bits);
        }
        if next <= u32::from(self.scan.band.1) {
            self.end_block();
        }
    }

    fn push_refining(&mut self, block: &Block) {
        let shift = self.scan.bits.1;
        let mut left = self.present(block);
        // Behind the last coefficient that becomes one, there is nothing but bits of known ones.
        let mut last_new = 0;
        let mut rest = left;
        while rest != 0 {
            let at = rest.trailing_zeros();
            rest &= rest - 1;
            if block.at(at).unsigned_abs() >> shift == 1 {
                last_new = at;
            }
        }
        let mut next = u32::from(self.scan.band.0);
        let mut run = 0;
        let mut known = Vec::new();
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let size = block.at(at).unsigned_abs() >> shift;
            if size == 0 {
                continue;
            }
            run += at - next;
            next = at + 1;
            while run > 15 && at <= last_new {
                self.end();
                self.tokens.push(self.slot, ZERO_RUN, 0);
                run -= 16;
                self.push_known(&mut known);
            }
            if size > 1 {
                known.push(size & 1 != 0);
                continue;
            }
            self.end();
            self.tokens.push(self.slot, run << 4 | 1, u32::from(block.at(at) > 0));
            self.push_known(&mut known);
            run = 0;
        }
        if run > 0 || next <= u32::from(self.scan.band.1) || !known.is_empty() {
            self.waiting.append(&mut known);
            self.end_block();
        }
    }

    fn push_known(&mut self, known: &mut Vec<bool>) {
        for bits in known.chunks(16) {
            let word = bits.iter().fold(0, |word, &bit| word << 1 | u32::from(bit));
            self.tokens.push_bits(word, bits.len());
        }
        known.clear();
    }

    fn end_block(&mut self) {
        self.end_run += 1;
        if self.end_run == MAX_END_RUN || self.waiting.len() > MAX_WAITING {
            self.end();
        }
    }

    /// Writes that blocks have ended, if any have.
    fn end(&mut self) {
        if self.end_run == 0 {
            return;
        }
        let size = self.end_run.ilog2();
        self.tokens.push(self.slot, size << 4, self.end_run & ((1 << size) - 1));
        self.end_run = 0;
        let mut waiting = std::mem::take(&mut self.waiting);
        self.push_known(&mut waiting);
        self.waiting = waiting;
    }
}
