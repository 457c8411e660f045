//! Huffman tables (T.81, annex C and F.2.2.3), with lookups by the next bits of the stream.

use super::bits::Bits;
use super::error::DecodeError;
use super::runs::{self, Next, Run};
use super::strong::{BEHIND, SIZE_SHIFT, size_class};

/// Bits that a lookup sees: hardly a code is longer, and the tables of two components stay in a first-level cache.
pub(super) const LOOKUP_BITS: u32 = 10;
const ENTRIES: usize = 1 << LOOKUP_BITS;
/// The run of an end-of-block entry: it ends any block.
pub(super) const END_OF_BLOCK: usize = 64;

/// A table as the file has it, checked: codes fit into their lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    values: [u8; 256],
    /// For each length, 1 to 16: one more than the largest code, shifted to 16 bits; what is not below the last is no code.
    limits: [u32; 17],
    /// For each length: what is added to a code to get its value's index.
    offsets: [i32; 17],
}

impl Spec {
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, DecodeError> {
        let bad = DecodeError::Malformed("bad Huffman table");
        let mut spec = Self { values: [0; 256], limits: [0; 17], offsets: [0; 17] };
        spec.values.get_mut(..values.len()).ok_or(bad)?.copy_from_slice(values);
        let (mut code, mut index) = (0_u32, 0_u32);
        for (length, &count) in (1..=16_u32).zip(counts) {
            let place = length as usize;
            spec.offsets[place] = index as i32 - code as i32;
            code += u32::from(count);
            index += u32::from(count);
            if code > 1 << length {
                return Err(bad);
            }
            spec.limits[place] = code << (16 - length);
            code <<= 1;
        }
        Ok(spec)
    }

    /// The length and symbol of the code that 16 bits begin with; length 17 and symbol 0 when there is none, which is
    /// what libjpeg makes of it.
    #[inline]
    pub(super) fn find(&self, bits: u32) -> (u32, u8) {
        for length in 1..=16_u32 {
            if bits < self.limits[length as usize] {
                let code = (bits >> (16 - length)) as i32;
                let index = code + self.offsets[length as usize];
                return (length, self.values[index as usize & 255]);
            }
        }
        (17, 0)
    }

    /// Whether it may serve for DC differences: none has more than 15 bits.
    pub(super) fn suits_dc(&self) -> bool {
        self.values.iter().all(|&value| value <= 15)
    }

    /// The lengths and symbols of all codes of up to so many bits, in the order of the codes.
    pub(super) fn codes(&self, most: u32) -> Vec<(u32, u8)> {
        let (mut below, mut index) = (0, 0);
        let mut codes = Vec::new();
        for length in 1..=most {
            let limit = self.limits[length as usize];
            let count = (limit - below) >> (16 - length);
            codes.extend((index..index + count).map(|index| (length, self.values[index as usize & 255])));
            (below, index) = (limit, index + count);
        }
        codes
    }

    /// [`find`](Self::find) for each lookup: the symbol (high byte) and the code's length, 0 for a longer code.
    pub(super) fn short_codes(&self, lookup_bits: u32) -> ShortCodes {
        let mut codes = vec![0; 1 << lookup_bits];
        let (mut at, mut index) = (0, 0);
        for length in 1..=lookup_bits as usize {
            let end = (self.limits[length] >> (16 - lookup_bits)) as usize;
            let wide = 1 << (lookup_bits as usize - length);
            for range in codes[at..end.max(at)].chunks_mut(wide) {
                range.fill(u16::from(self.values[index & 255]) << 8 | length as u16);
                index += 1;
            }
            at = end.max(at);
        }
        ShortCodes(codes)
    }
}

/// Symbols without the values that follow them.
#[derive(Debug)]
pub(super) struct SymbolTable {
    codes: ShortCodes,
    spec: Spec,
}

impl SymbolTable {
    pub(super) fn new(spec: &Spec) -> Self {
        Self { codes: spec.short_codes(LOOKUP_BITS), spec: spec.clone() }
    }

    /// The next symbol. The reader must have 17 bits.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> u8 {
        match self.codes.get(bits.peek(LOOKUP_BITS), LOOKUP_BITS) {
            Some((length, symbol)) => {
                bits.consume(length);
                symbol
            }
            None => {
                let (after, symbol) = long_symbol(*bits, &self.spec);
                *bits = after;
                symbol
            }
        }
    }
}

/// What each lookup begins with.
#[derive(Debug)]
pub(super) struct ShortCodes(Vec<u16>);

impl ShortCodes {
    /// The length and symbol of the code; `None` when it is longer than the bits there are.
    #[inline]
    pub(super) fn get(&self, index: usize, bits: u32) -> Option<(u32, u8)> {
        let [length, symbol] = self.0[index & (self.0.len() - 1)].to_le_bytes();
        (length != 0 && u32::from(length) <= bits).then_some((length.into(), symbol))
    }
}

/// The value whose `size` low-order bits follow a code (T.81, figure F.12).
#[inline(always)]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    // Below half of the range it is negative.
    if bits < (1 << size) >> 1 { bits - (1 << size) + 1 } else { bits }
}

/// Most bits of a value behind a code that the lookups take: those of 8-bit samples have 10, and DC differences 11.
const VALUE_BITS: u32 = 11;

/// DC differences. An entry is the value's length (high 16 bits) and the length of code and value (low 8), 0 for what is too long.
#[derive(Debug)]
pub(super) struct DcTable {
    entries: Box<[u32; ENTRIES]>,
    symbols: SymbolTable,
}

/// AC coefficients: the value's length (high 16 bits), run (next 8), length of code and value (low 8). The end of a block has run
/// [`END_OF_BLOCK`]; how many bits follow that tell how many blocks end stands where others have the value's length.
#[derive(Debug)]
pub(super) struct AcTable {
    pub(super) entries: Box<[u32; ENTRIES]>,
    pub(super) symbols: SymbolTable,
}

/// Bits that [`SkipTable`] sees.
pub(super) const SKIP_BITS: u32 = 13;
const SKIP_ENTRIES: usize = 1 << SKIP_BITS;

/// AC coefficients that nobody wants, as many as the lookup sees at once: their length (low 5 bits), 1 in bit 5 if the block
/// ends with them, the class of the longest value's length (3 bits, see `strong`), and their number with their runs (from bit 9 on).
#[derive(Debug)]
pub(super) struct SkipTable {
    pub(super) entries: Box<[u16; SKIP_ENTRIES]>,
    pub(super) symbols: SymbolTable,
}

pub(super) fn entries<T, const N: usize>(entry: impl FnMut(usize) -> T) -> Box<[T; N]>
where
    Box<[T]>: TryInto<Box<[T; N]>, Error: std::fmt::Debug>,
{
    let all: Box<[T]> = (0..N).map(entry).collect();
    all.try_into().expect("as many as were asked for")
}

impl DcTable {
    pub(super) fn new(spec: &Spec) -> Self {
        let codes = spec.short_codes(LOOKUP_BITS);
        let entry = |index| match codes.get(index, LOOKUP_BITS) {
            Some((length, size)) if u32::from(size) <= VALUE_BITS => {
                u32::from(size) << 16 | (length + u32::from(size))
            }
            _ => 0,
        };
        Self { entries: entries(entry), symbols: SymbolTable::new(spec) }
    }

    /// The next difference. Afterwards at least 35 bits are valid.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> i32 {
        bits.refill();
        let entry = self.entries[bits.peek(LOOKUP_BITS) & (ENTRIES - 1)];
        let length = entry & 0xFF;
        if length != 0 {
            let difference = bits.value(length, entry >> 16);
            bits.consume(length);
            return difference;
        }
        let (after, _, difference) = long_code(*bits, &self.symbols);
        *bits = after;
        bits.refill();
        difference
    }
}

impl AcTable {
    pub(super) fn new(spec: &Spec) -> Self {
        let codes = spec.short_codes(LOOKUP_BITS);
        let entry = |index| {
            let Some((length, symbol)) = codes.get(index, LOOKUP_BITS) else { return 0 };
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run != 15 {
                return run << 16 | (END_OF_BLOCK as u32) << 8 | length;
            }
            if size >= VALUE_BITS {
                return 0;
            }
            size << 16 | run << 8 | (length + size)
        };
        Self { entries: entries(entry), symbols: SymbolTable::new(spec) }
    }
}

impl SkipTable {
    pub(super) fn new(spec: &Spec) -> Self {
        let mut entries = entries(|_| 0);
        runs::fill(spec, Skipped::default(), &mut *entries);
        Self { entries, symbols: SymbolTable::new(spec) }
    }
}

/// What a look-up of [`SkipTable`] has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Skipped {
    /// Bits, values included.
    used: u32,
    count: u32,
    /// The length of the longest value.
    longest: u32,
    /// Positions from the first value on.
    behind: u32,
}

impl Skipped {
    fn packed(self, ends: bool) -> u16 {
        let Self { used, count, longest, .. } = self;
        (used | u32::from(ends) << 5 | size_class(longest) << SIZE_SHIFT | count << 9) as u16
    }
}

impl Run for Skipped {
    fn and(mut self, length: u32, symbol: u8) -> Next<Self> {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        self.used += length;
        if size == 0 && run != 15 {
            return Next::End(self.packed(true));
        }
        // Its value's bits need not be seen to be skipped, but the next code's must.
        self.used += size;
        self.count += run + 1;
        // Where its longest value may stand must be known from where it ends.
        self.behind = if self.longest > 0 { self.behind + run + 1 } else { 0 };
        self.longest = self.longest.max(size);
        if self.count > 63 || self.behind as usize > BEHIND { Next::Full } else { Next::More(self) }
    }

    fn entry(self) -> u16 {
        self.packed(false)
    }
}

/// The next symbol, whatever its length. The reader must have 17 bits.
#[inline]
fn symbol(spec: &Spec, bits: &mut Bits<'_>) -> u8 {
    let (length, symbol) = spec.find(bits.peek(16) as u32);
    bits.corrupt |= length > 16;
    bits.consume(length);
    symbol
}

/// The next symbol and the value behind it, for what a lookup has not seen whole. The reader must have 32 bits.
#[cold]
#[inline(never)]
pub(super) fn long_code<'b>(mut bits: Bits<'b>, symbols: &SymbolTable) -> (Bits<'b>, u8, i32) {
    let symbol = symbols.next(&mut bits);
    let size = u32::from(symbol & 15);
    let value = extend(bits.take(size), size);
    (bits, symbol, value)
}

#[cold]
#[inline(never)]
fn long_symbol<'b>(mut bits: Bits<'b>, spec: &Spec) -> (Bits<'b>, u8) {
    let symbol = symbol(spec, &mut bits);
    (bits, symbol)
}
