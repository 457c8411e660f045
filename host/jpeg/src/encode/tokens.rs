//! Coefficients into tokens (T.81, sections F.1.2 and G.1.2), which are counted as they are made.

use super::dct::Block;
use super::huffman::Code;

/// Which of the four codes of a file a symbol is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Whether it codes AC coefficients.
    pub ac: bool,
    /// Whether it is for chroma.
    pub chroma: bool,
}

impl Slot {
    pub(super) const ALL: [Self; 4] =
        [Self::new(false, false), Self::new(true, false), Self::new(false, true), Self::new(true, true)];

    pub(super) const fn new(ac: bool, chroma: bool) -> Self {
        Self { ac, chroma }
    }

    /// The codes of a component: of its DC, of its AC.
    #[inline(always)]
    pub(super) fn of(component: usize) -> (Self, Self) {
        (Self::new(false, component > 0), Self::new(true, component > 0))
    }

    /// Where its symbols begin among those of all four.
    #[inline(always)]
    pub(super) const fn base(self) -> usize {
        (self.ac as usize + 2 * self.chroma as usize) * 256
    }
}

/// Number of different kinds of tokens: the symbols of four codes, and bits without a symbol, 0 to 16 of them.
pub(super) const KINDS: usize = 4 * 256 + 17;
/// Tokens of a block at the most: each stands for a coefficient at least.
const BLOCK_TOKENS: usize = 64;
/// Sixteen zeros.
pub(super) const ZERO_RUN: u32 = 0xF0;
/// Only zeros from here on.
const END_OF_BLOCK: u32 = 0;

/// Tokens in their order, and how many there are of each symbol.
///
/// A token is its kind, from bit 16 on, and the bits that follow the symbol's code.
#[derive(Debug)]
pub(super) struct Tokens {
    /// What is behind `length` is kept from earlier use.
    words: Vec<u32>,
    length: usize,
    counts: Box<[u32; KINDS]>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { words: Vec::new(), length: 0, counts: Box::new([0; KINDS]) }
    }
}

impl Tokens {
    pub(super) fn bytes(&self) -> usize {
        4 * self.words.capacity()
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.counts.fill(0);
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.words[..self.length]
    }

    pub(super) fn counts(&self) -> &[u32; KINDS] {
        &self.counts
    }

    /// The best code for each of these.
    pub(super) fn codes(&self, slots: &[Slot]) -> Vec<Code> {
        let counts = |slot: &Slot| &self.counts[slot.base()..][..256];
        slots.iter().map(|slot| Code::best(counts(slot))).collect()
    }

    /// Appends a symbol and the bits behind it.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot, symbol: u32, bits: u32) {
        self.push_kind(slot.base() + symbol as usize, bits);
    }

    /// Appends up to 16 bits without a symbol.
    #[inline]
    pub(super) fn push_bits(&mut self, bits: u32, count: usize) {
        self.push_kind(4 * 256 + count, bits);
    }

    #[inline]
    fn push_kind(&mut self, kind: usize, bits: u32) {
        if self.length == self.words.len() {
            self.grow(1);
        }
        self.words[self.length] = (kind as u32) << 16 | bits;
        self.length += 1;
        self.counts[kind] += 1;
    }

    /// Makes room for `more` tokens at least.
    #[cold]
    fn grow(&mut self, more: usize) {
        let length = (self.length + more).max(self.words.len() / 2 * 3).max(1 << 12);
        self.words.resize(length, 0);
    }

    /// Appends a block of a sequential scan; `dc` is the DC of the component's last block, and becomes this one's.
    #[inline(always)]
    pub(super) fn push_block(&mut self, block: &Block, (dc_slot, ac_slot): (Slot, Slot), dc: &mut i32) {
        if self.words.len() - self.length < BLOCK_TOKENS {
            self.grow(BLOCK_TOKENS);
        }
        let Some(words) = self.words[self.length..].first_chunk_mut::<BLOCK_TOKENS>() else { return };
        let counts = &mut *self.counts;
        let mut length = 0;
        let mut push = |kind: usize, bits: u32| {
            words[length & (BLOCK_TOKENS - 1)] = (kind as u32) << 16 | bits;
            counts[kind & 1023] += 1;
            length += 1;
        };
        let (size, bits) = magnitude(i32::from(block.dc()) - *dc);
        *dc = i32::from(block.dc());
        push(dc_slot.base() + size as usize, bits);
        let mut left = block.nonzero() & !1;
        let mut last = 0;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let mut run = at - last - 1;
            last = at;
            while run > 15 {
                push(ac_slot.base() + ZERO_RUN as usize, 0);
                run -= 16;
            }
            let (size, bits) = magnitude(block.at(at));
            push(ac_slot.base() + (run << 4 | size) as usize, bits);
        }
        if last != 63 {
            push(ac_slot.base() + END_OF_BLOCK as usize, 0);
        }
        self.length += length;
    }

    /// Appends a block that is not shown: the same mean as the one before it, and nothing else.
    pub(super) fn push_empty_block(&mut self, (dc_slot, ac_slot): (Slot, Slot)) {
        self.push(dc_slot, 0, 0);
        self.push(ac_slot, END_OF_BLOCK, 0);
    }
}

/// A value's number of bits, and these: of a negative one, those of the value less one (T.81, section F.1.2.1).
#[inline(always)]
pub(super) fn magnitude(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    (size, (value + (value >> 31)) as u32 & ((1 << size) - 1))
}
