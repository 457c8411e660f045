//! Look-ups that a cursor's steps make: each says all that a step does, in a few bits.

use crate::decode::huffman::{END_OF_BLOCK, ShortCodes, Spec, entries};
use crate::decode::runs::{self, Next, Run};
use crate::decode::strong::BEHIND;

/// Different pairs of Huffman tables that a scan may have.
pub(super) const PAIRS: usize = 2;

/// What a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A DC.
    Difference,
    /// One coefficient.
    Single,
    /// Coefficients that nobody wants, as many as can be seen. They lie before [`TAIL`].
    Several,
}

impl Kind {
    /// Bits that it sees.
    pub(super) const fn seen(self) -> u32 {
        match self {
            Self::Difference | Self::Single => 11,
            Self::Several => 13,
        }
    }

    /// Where its entries are in those of their pair.
    pub(super) const fn base(self) -> usize {
        match self {
            Self::Difference => 0,
            Self::Single => 1 << Self::Difference.seen(),
            Self::Several => Self::Single.base() + (1 << Self::Single.seen()),
        }
    }
}

/// From one pair's entries to the next one's.
pub(super) const PAIR: usize = Kind::Several.base() + (1 << Kind::Several.seen());
/// Entries of all pairs: a power of two, so that an index need only be masked.
pub(super) const ENTRIES: usize = (PAIRS * PAIR).next_power_of_two();

/// Positions from here on are read one by one, so that no look-up reaches beyond a sound block's end.
pub(super) const TAIL: usize = 49;
/// What the end of a block adds to the position: more than any coefficient.
pub(super) const END: u32 = 96;

/// An entry's low bits: how many bits of the data it takes, values included. 0 is what no look-up sees whole.
pub(super) const LENGTH: u32 = 31;
/// Above them the length of the value that it ends with; of [several](Kind::Several), of the longest.
pub(super) const SIZE_SHIFT: u32 = 5;
/// The same where it stands.
pub(super) const SIZE: u32 = 15 << SIZE_SHIFT;
/// From here on by how many positions it goes on.
pub(super) const ADVANCE: u32 = 9;

/// Bits of a code and its value that a record has room for, below the low bits of the entry.
pub(super) const RECORDED: u32 = 23;

/// The look-ups of a scan.
#[derive(Debug)]
pub(in super::super) struct Codes {
    pub(super) entries: Box<[u16; ENTRIES]>,
    /// DC and AC tables, for what the look-ups do not see.
    pairs: Vec<(Spec, Spec)>,
}

impl Codes {
    /// Of up to [`PAIRS`] pairs of DC and AC tables.
    pub(in super::super) fn new(pairs: &[(Spec, Spec)]) -> Self {
        let mut all: Box<[u16; ENTRIES]> = entries(|_| 0);
        for ((dc, ac), all) in pairs.iter().zip(all.chunks_mut(PAIR)) {
            let single_codes = ac.short_codes(Kind::Single.seen());
            let dc = dc.short_codes(Kind::Difference.seen());
            let (first, others) = all.split_at_mut(Kind::Single.base());
            let (second, third) = others.split_at_mut(Kind::Several.base() - Kind::Single.base());
            first.iter_mut().enumerate().for_each(|(index, to)| *to = difference(&dc, index));
            second.iter_mut().enumerate().for_each(|(index, to)| *to = single(&single_codes, index));
            runs::fill(ac, Several::default(), &mut third[..1 << Kind::Several.seen()]);
        }
        Self { entries: all, pairs: pairs.to_vec() }
    }

    /// The tables of the pair at `base`.
    pub(super) fn pair(&self, base: usize) -> &(Spec, Spec) {
        &self.pairs[base / PAIR % self.pairs.len()]
    }
}

fn packed(length: u32, size: u32, advance: u32) -> u16 {
    (length | size << SIZE_SHIFT | advance << ADVANCE) as u16
}

fn difference(codes: &ShortCodes, index: usize) -> u16 {
    match codes.get(index, Kind::Difference.seen()) {
        Some((length, size)) if length + u32::from(size) <= RECORDED => {
            packed(length + u32::from(size), size.into(), 1)
        }
        _ => 0,
    }
}

/// How far the code of an AC coefficient goes on, and the length of its value; [`END_OF_BLOCK`] and 0 for what ends a block.
pub(super) fn coefficient(symbol: u8) -> (u32, u32) {
    match (u32::from(symbol >> 4), u32::from(symbol & 15)) {
        (0..15, 0) => (END_OF_BLOCK as u32, 0),
        (run, size) => (run + 1, size),
    }
}

fn single(codes: &ShortCodes, index: usize) -> u16 {
    let Some((length, symbol)) = codes.get(index, Kind::Single.seen()) else { return 0 };
    match coefficient(symbol) {
        (advance, _) if advance == END_OF_BLOCK as u32 => packed(length, 0, END),
        (advance, size) if length + size <= RECORDED => packed(length + size, size, advance),
        _ => 0,
    }
}

// The last code is seen, and its value is the longest that there is.
const _: () = assert!(Kind::Several.seen() + 15 <= LENGTH);

/// What a look-up of [several](Kind::Several) has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Several {
    /// Bits, values included.
    used: u32,
    count: u32,
    /// The length of the longest value.
    longest: u32,
    /// Positions from the first value on.
    behind: u32,
}

impl Run for Several {
    fn and(mut self, length: u32, symbol: u8) -> Next<Self> {
        let (advance, size) = coefficient(symbol);
        if advance == END_OF_BLOCK as u32 {
            return Next::End(packed(self.used + length, self.longest, END + self.count));
        }
        self.used += length + size;
        self.count += advance;
        // Where its longest value may stand must be known from where it ends.
        self.behind = if self.longest > 0 { self.behind + advance } else { 0 };
        self.longest = self.longest.max(size);
        let is_full = self.count > 64 - TAIL as u32 || self.behind as usize > BEHIND;
        if is_full { Next::Full } else { Next::More(self) }
    }

    fn entry(self) -> u16 {
        packed(self.used, self.longest, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows an entry's codes one by one through the bits that it was looked up by, values being zeros beyond them.
    fn follow(spec: &Spec, index: u32, entry: u32) -> (u32, u32, u32) {
        let (length, mut used, mut count, mut longest) = (entry & LENGTH, 0, 0, 0);
        while used < length {
            let (code, symbol) = spec.find(index << (16 - Kind::Several.seen()) << used & 0xFFFF);
            let (advance, size) = coefficient(symbol);
            if advance == END_OF_BLOCK as u32 {
                return (used + code, END + count, longest);
            }
            (used, count, longest) = (used + code + size, count + advance, longest.max(size));
        }
        (used, count, longest)
    }

    #[test]
    fn what_is_passed_over_at_once_ends_where_its_codes_do_and_before_the_tail() {
        // The shortest codes for the longest runs and values, in all orders: sums beyond what an entry or a block has room for.
        for symbols in [
            [0x01, 0x71, 0x0F, 0x00],
            [0x0A, 0x0F, 0x02, 0x00],
            [0xF0, 0x01, 0xE1, 0x00],
            [0x31, 0x00, 0x72, 0xF0],
            [0x00, 0x51, 0x0B, 0x0C],
        ] {
            let counts = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let spec = Spec::new(&counts, &symbols).unwrap();
            let codes = Codes::new(&[(spec.clone(), spec.clone())]);
            let several = &codes.entries[Kind::Several.base()..][..1 << Kind::Several.seen()];
            for (index, entry) in several.iter().enumerate() {
                let entry = u32::from(*entry);
                let (length, size, advance) =
                    (entry & LENGTH, (entry & SIZE) >> SIZE_SHIFT, entry >> ADVANCE);
                let followed = follow(&spec, index as u32, entry);
                assert_eq!(followed, (length, advance, size), "{symbols:x?} {index:b}");
                let passed = if advance >= END { advance - END } else { advance };
                assert!(TAIL as u32 - 1 + passed < 64, "{symbols:x?} {index:b}: {passed}");
            }
        }
    }
}
