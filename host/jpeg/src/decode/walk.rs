//! A scan's blocks in order, with its restart intervals: the way through the data that all kinds of scans share.

use std::ops::Range;

use super::bits::{Bits, Piece, Unstuffed};
use super::error::Damage;
use super::geometry::{Area, Geometry};
use super::segments::Scan;

/// Decodes blocks of one kind of scan.
pub(super) trait Blocks {
    /// Begins anew after a restart marker.
    fn restart(&mut self);

    /// The next MCU, at (`column`, `row`) in MCUs.
    fn mcu(&mut self, bits: &mut Bits<'_>, column: usize, row: usize);
}

/// Where a scan is gone on with: at the beginning of an MCU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// MCUs before it.
    pub(super) mcu: usize,
    /// Bits of the first piece of data before it.
    pub(super) bit: usize,
}

/// A scan's way.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// MCUs across.
    pub(super) columns: usize,
    /// Those that matter: what comes after them is not read, what comes before only as far as it must be.
    pub(super) needed: Range<usize>,
    /// MCUs between restart markers.
    interval: usize,
    /// Blocks in an MCU.
    pub(super) blocks: usize,
}

impl Walk {
    pub(super) fn new(scan: &Scan, geometry: &Geometry, restart_interval: usize) -> Self {
        let (columns, rows) = match scan.components[..] {
            [(index, ..)] => {
                let layout = &geometry.components[index];
                let Area { y, .. } = &layout.window;
                (layout.blocks.0, y.start..y.end.min(layout.blocks.1))
            }
            _ => (geometry.mcus.0, geometry.window.y.clone()),
        };
        let needed = rows.start * columns..rows.end * columns;
        let interval = if restart_interval == 0 { usize::MAX } else { restart_interval };
        let blocks = blocks_per_mcu(scan, geometry).iter().map(|(across, down)| across * down).sum();
        Self { columns, needed, interval, blocks }
    }

    /// Most pieces of data and bytes that are of use: a piece for each restart interval, 64 codes of up to 16 bits with
    /// values of as many for each block, and as much again that may be stale.
    pub(super) fn most(&self) -> (usize, usize) {
        let pieces = match self.interval {
            usize::MAX => 1,
            interval => 2 * self.needed.end.div_ceil(interval),
        };
        (pieces, 2 * 256 * (self.needed.end * self.blocks + 1))
    }

    /// Goes through the data `from` a place in its first restart interval; what is missing leaves its blocks untouched. Ends
    /// with the data, however many blocks the headers promise.
    #[inline(always)]
    pub(super) fn run<B: Blocks>(&self, data: &Unstuffed, from: Place, blocks: &mut B) -> Option<Damage> {
        let mut pieces = Pieces { pieces: &data.pieces, next: 0, expected: 0, disordered: false };
        let (mut damage, mut short) = (None, false);
        let mut at = 0;
        while at < self.needed.end {
            let end = at.saturating_add(self.interval).min(self.needed.end);
            let piece = pieces.take(at == 0);
            if piece.is_none() && short && pieces.is_empty() {
                break;
            }
            damage = damage.or(pieces.disordered.then_some(Damage::Restart));
            // libjpeg makes the first MCU of a lost interval of zeros, unless the one before was lost too.
            if end > self.needed.start && (piece.is_some() || !short) {
                let bytes = &data.data[piece.clone().unwrap_or_default()];
                let bits = if at == 0 {
                    Bits::from_bit(bytes, from.bit)
                } else {
                    blocks.restart();
                    Bits::new(bytes)
                };
                let found = self.interval(at.max(from.mcu)..end, bits, blocks);
                damage = damage.or(found);
                short = found == Some(Damage::MissingData);
            }
            short |= piece.is_none();
            at = end;
        }
        damage
    }

    #[inline(always)]
    fn interval<B: Blocks>(&self, mcus: Range<usize>, mut bits: Bits<'_>, blocks: &mut B) -> Option<Damage> {
        let (mut column, mut row) = (mcus.start % self.columns, mcus.start / self.columns);
        for _ in mcus {
            blocks.mcu(&mut bits, column, row);
            if bits.is_overrun() {
                return Some(Damage::MissingData);
            }
            column += 1;
            if column == self.columns {
                (column, row) = (0, row + 1);
            }
        }
        bits.corrupt.then_some(Damage::Corrupt)
    }
}

/// Blocks of one component in each MCU of a scan, across and down: one, if the scan has no other.
pub(super) fn blocks_per_mcu(scan: &Scan, geometry: &Geometry) -> Vec<(usize, usize)> {
    match scan.components[..] {
        [_] => vec![(1, 1)],
        ref many => many
            .iter()
            .map(|&(index, ..)| (geometry.components[index].h, geometry.components[index].v))
            .collect(),
    }
}

/// The pieces in the order of their restart intervals.
struct Pieces<'p> {
    pieces: &'p [Piece],
    next: usize,
    /// The number that the next restart marker should have.
    expected: u8,
    /// Whether one had another.
    disordered: bool,
}

impl Pieces<'_> {
    fn is_empty(&self) -> bool {
        self.next >= self.pieces.len()
    }

    /// The data of the next interval. Markers out of order are taken as libjpeg's `jpeg_resync_to_restart` does: one
    /// of the two that come next means that this interval is lost, one of the two before that it is stale, and any other is
    /// taken for the right one.
    fn take(&mut self, first: bool) -> Option<Range<usize>> {
        if first {
            self.next = 1;
            return self.pieces.first().map(|piece| piece.range.clone());
        }
        let expected = self.expected;
        self.expected = (expected + 1) & 7;
        loop {
            let piece = self.pieces.get(self.next)?;
            let ahead = piece.restart.unwrap_or(expected).wrapping_sub(expected) & 7;
            self.disordered |= ahead != 0;
            match ahead {
                1 | 2 => return None,
                6 | 7 => self.next += 1,
                _ => {
                    self.next += 1;
                    return Some(piece.range.clone());
                }
            }
        }
    }
}
