//! What cursors must know of a scan beside its codes: which coefficients of which block are kept, and where.

use super::codes::{END, Kind, PAIR, SIZE_SHIFT, TAIL};
use crate::decode::sequential::Unit;
use crate::tables::ZIGZAG;

/// Blocks that a cursor decodes before what it has found is taken from it; what all three find, and the tables, stay in a
/// first-level cache.
const BLOCKS: usize = 48;
/// Most components of a scan.
const COMPONENTS: usize = 4;
/// Positions of a component: more than the largest, which is an end of block.
const POSITIONS: usize = 256;
/// Positions of all.
pub(super) const AFTER: usize = COMPONENTS * POSITIONS;

/// Of what is known of a position that a step has reached: where the value goes that it ended with, in its block's record.
pub(super) const SLOT: u32 = 31;
/// What makes the length of a value that may be too strong carry, as it makes any where something is corrupt.
pub(super) const ADDEND: u32 = 31 << SIZE_SHIFT;
/// What they carry over to.
pub(super) const CARRY: u32 = 16 << SIZE_SHIFT;
/// If the block ends there, the length of its record, from here on; nothing stands above it.
pub(super) const LENGTH_SHIFT: u32 = 27;

/// In a state, above the component and the position: how far the bits are shifted for the look-up that comes next.
pub(super) const SEEN_SHIFT: u32 = 10;
/// Above it, where that look-up's entries begin.
pub(super) const BASE_SHIFT: u32 = 16;

/// In a block's record: the bit where the next block begins. What nobody wants is put there before.
pub(super) const NEXT_BEGINS: usize = 0;
/// The state that the next block begins with.
pub(super) const NEXT_STATE: usize = 1;
/// Its values, from here on.
pub(super) const VALUES: usize = 2;
/// Room for all records of [`BLOCKS`].
pub(super) const RECORDS: usize = 1024;

/// What is known of a position that a step has reached. A load costs less than to take two numbers out of one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct After {
    /// [`SLOT`], [`ADDEND`] and the length of a record.
    pub(super) known: u32,
    /// The state that the next look-up begins with, but for its position.
    pub(super) state: u32,
}

/// The blocks of a scan.
#[derive(Debug)]
pub(super) struct Scheme {
    /// What is known of positions.
    pub(super) after: Box<[After; AFTER]>,
    /// Records of as many blocks as are decoded at a time, without what is found.
    pub(super) empty: Vec<u32>,
    /// The state that the first block begins with.
    pub(super) first: u32,
    /// Where the records of an MCU's blocks begin, and where they end.
    pub(super) records: Vec<usize>,
    /// Blocks of an MCU.
    pub(super) blocks: usize,
    /// The length of an MCU's records.
    pub(super) length: usize,
}

/// The zigzag positions of the coefficients that make 2 × 2 samples.
pub(super) const TWO: [usize; 4] = kept_of(2);
/// Those that make 4 × 4.
pub(super) const FOUR: [usize; 16] = kept_of(4);

/// In order, those of the `side` lowest frequencies both ways.
const fn kept_of<const N: usize>(side: u8) -> [usize; N] {
    let (mut kept, mut count, mut k) = ([0; N], 0, 0);
    while k < 64 {
        if ZIGZAG[k] % 8 < side && ZIGZAG[k] / 8 < side {
            kept[count] = k;
            count += 1;
        }
        k += 1;
    }
    kept
}

/// The positions that are kept of a block that becomes `side` × `side` samples.
fn kept(side: usize) -> &'static [usize] {
    match side {
        1 => &[0],
        2 => &TWO,
        _ => &FOUR,
    }
}

impl Scheme {
    /// For these components, the pair of tables of each beside it.
    pub(super) fn new(units: &[Unit<'_>], pairs: &[usize]) -> Self {
        let mut after = Box::new([After::default(); AFTER]);
        let (mut states, mut records) = (Vec::new(), vec![0]);
        let mut length = 0;
        for (index, (unit, pair)) in units.iter().zip(pairs).enumerate() {
            let state = |kind: Kind| {
                (64 - kind.seen()) << SEEN_SHIFT | ((pair * PAIR + kind.base()) as u32) << BASE_SHIFT
            };
            for (position, after) in after[index * POSITIONS..][..END as usize + 64].iter_mut().enumerate() {
                let (known, kind) = reached(unit, position);
                *after = After { known, state: state(kind) };
            }
            for _ in 0..unit.blocks.0 * unit.blocks.1 {
                states.push((index * POSITIONS) as u32 | state(Kind::Difference));
                length += record_length(unit);
                records.push(length);
            }
        }
        let mut mcu = vec![0; length];
        for (number, record) in records.iter().take(states.len()).enumerate() {
            mcu[record + NEXT_STATE] = states[(number + 1) % states.len()];
        }
        let empty = mcu.repeat((BLOCKS / states.len()).max(1));
        Self { after, empty, first: states[0], blocks: states.len(), records, length }
    }

    /// Of the block whose record begins there: how many blocks come before it, and where the record of the last of them begins.
    pub(super) fn block(&self, record: usize) -> (usize, Option<usize>) {
        let (mcu, within) = (record / self.length, record % self.length);
        let number = self.records.partition_point(|&other| other < within);
        let before = match (mcu, number) {
            (0, 0) => None,
            (_, 0) => Some((mcu - 1) * self.length + self.records[self.blocks - 1]),
            _ => Some(mcu * self.length + self.records[number - 1]),
        };
        (mcu * self.blocks + number, before)
    }
}

fn record_length(unit: &Unit<'_>) -> usize {
    VALUES + unit.layout.side.pow(2)
}

/// What a position of a block says that a step has reached: 1 to 64, more where something is corrupt, and from [`END`] on for
/// where the block has ended before. And what comes next.
fn reached(unit: &Unit<'_>, position: usize) -> (u32, Kind) {
    let kept = kept(unit.layout.side);
    let slot = kept.iter().position(|k| k + 1 == position).map_or(NEXT_BEGINS, |slot| VALUES + slot);
    let last = kept.last().map_or(0, |last| *last);
    let (kind, length) = match position {
        64.. => (Kind::Difference, record_length(unit)),
        _ if position > last && position < TAIL => (Kind::Several, 0),
        _ => (Kind::Single, 0),
    };
    let is_corrupt = (65..END as usize).contains(&position);
    let strong = if position >= END as usize { position - END as usize } else { position };
    let addend = match unit.basis.strong.least_size(strong) {
        _ if is_corrupt => 16,
        Some(size) => 16 - size,
        None => 0,
    };
    (slot as u32 | addend << SIZE_SHIFT | (length as u32) << LENGTH_SHIFT, kind)
}

const _: () = assert!(RECORDS >= BLOCKS * (VALUES + 16));
