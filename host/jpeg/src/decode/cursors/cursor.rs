//! A cursor and its step: one look-up without a branch that depends on what it finds, but for what is rare.

use std::hint::select_unpredictable;

use super::codes::{ADVANCE, Codes, END, ENTRIES, LENGTH, RECORDED, SIZE, SIZE_SHIFT, coefficient};
use super::scheme::{
    ADDEND, AFTER, After, BASE_SHIFT, CARRY, LENGTH_SHIFT, NEXT_BEGINS, NEXT_STATE, RECORDS, SEEN_SHIFT,
    SLOT, Scheme,
};
use super::window::CURSORS;
use crate::decode::huffman::{END_OF_BLOCK, extend};

/// The longest record, and more.
const RECORD: usize = 32;

/// Bytes of data that there is room for: a power of two, so that a place need only be masked.
pub(super) const DATA: usize = 1 << 18;

/// Bytes beyond a window in which its last cursor may wait for the others.
const MARGIN: usize = 4096;

/// What all cursors of a scan share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'j> {
    pub(super) codes: &'j Codes,
    pub(super) scheme: &'j Scheme,
}

/// All that steps look up and write, in one place: there are no registers for more than its address.
#[derive(Debug)]
pub(super) struct Desk {
    /// A window of the data, or more of it; behind it may stand what was there before.
    data: [u8; DATA + 8],
    /// Bits of it.
    pub(super) bits: u32,
    entries: [u16; ENTRIES],
    after: [After; AFTER],
    /// By cursor.
    pub(super) found: [Found; CURSORS],
}

/// What a cursor has found since it was taken from it.
#[derive(Debug)]
pub(super) struct Found {
    /// Of each block what `scheme` says of a record. A value is the low bits of its entry, and below them the bits that it was
    /// read of.
    pub(super) records: [u32; RECORDS + RECORD],
    /// Records of blocks that may be too strong for their lowest frequencies alone.
    pub(super) doubtful: Vec<usize>,
    /// The record of the last block in which something was corrupt.
    pub(super) corrupt: Option<usize>,
    /// Codes that no look-up has seen whole, in all.
    pub(super) long: usize,
}

/// A place in the data, and what is read there. The three numbers are kept apart, since of each depends what comes next in another
/// way: one that depends on two look-ups would have to wait for both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// In bits. Beyond the end of the data it has read nonsense.
    pub(super) at: u32,
    /// The component and the position in its block; above them the look-up that comes next.
    state: u32,
    /// Where its block's record begins.
    pub(super) record: usize,
}

impl Default for Desk {
    fn default() -> Self {
        let found = || Found { records: [0; RECORDS + RECORD], doubtful: Vec::new(), corrupt: None, long: 0 };
        Self {
            data: [0; DATA + 8],
            bits: 0,
            entries: [0; ENTRIES],
            after: [After::default(); AFTER],
            found: std::array::from_fn(|_| found()),
        }
    }
}

impl Desk {
    /// Puts a scan's tables there.
    pub(super) fn begin(&mut self, codes: &Codes, scheme: &Scheme) {
        self.entries = *codes.entries;
        self.after = *scheme.after;
    }

    /// Puts there `bytes` of the data and a few more, or what fits.
    pub(super) fn put(&mut self, data: &[u8], bytes: usize) {
        let data = &data[..data.len().min(bytes + MARGIN).min(DATA)];
        self.data[..data.len()].copy_from_slice(data);
        self.bits = 8 * data.len() as u32;
    }
}

impl Cursor {
    /// At a bit where an MCU begins, or may begin.
    pub(super) fn new(at: u32, scheme: &Scheme) -> Self {
        Self { at, state: scheme.first, record: 0 }
    }

    /// Makes one look-up.
    #[inline(always)]
    pub(super) fn step(&mut self, job: &Job<'_>, desk: &mut Desk, own: usize) {
        let byte = (self.at >> 3) as usize & (DATA - 1);
        let Some(bytes) = desk.data[byte..].first_chunk::<8>() else { return };
        let bits = u64::from_be_bytes(*bytes) << (self.at & 7);
        let index = (bits >> (self.state >> SEEN_SHIFT & 63)) as u32;
        // What a rotation brings above the base goes with the mask.
        let index = self.state.rotate_right(BASE_SHIFT).wrapping_add(index) as usize & (ENTRIES - 1);
        let entry = u32::from(desk.entries[index]);
        if entry & LENGTH == 0 {
            *self = self.long_step(job, bits, desk, own);
            return;
        }
        let value = (u64::from(entry) << RECORDED | bits >> (64 - RECORDED)) as u32;
        self.arrive((entry >> ADVANCE, entry & LENGTH, entry & SIZE), value, desk, own);
    }

    /// Goes on by so many positions and bits, over values of which the longest has this `size`, as an entry has it.
    #[inline(always)]
    fn arrive(&mut self, (advance, length, size): (u32, u32, u32), value: u32, desk: &mut Desk, own: usize) {
        let position = (self.state + advance) & (AFTER as u32 - 1);
        let After { known, state } = desk.after[position as usize];
        let found = &mut desk.found[own];
        let begin = self.record & (RECORDS - 1);
        found.records[begin + (known & SLOT) as usize] = value;
        self.at += length;
        // This stays if the block ends here.
        found.records[begin + NEXT_BEGINS] = self.at;
        let record = known >> LENGTH_SHIFT;
        let next = found.records[begin + NEXT_STATE];
        self.state = select_unpredictable(record != 0, next, position | state);
        self.record += record as usize;
        if (size + (known & ADDEND)) & CARRY != 0 {
            note(found, begin, position as usize);
        }
    }

    /// The same of a code that no look-up sees whole.
    #[cold]
    #[inline(never)]
    fn long_step(mut self, job: &Job<'_>, bits: u64, desk: &mut Desk, own: usize) -> Self {
        let (dc, ac) = job.codes.pair((self.state >> BASE_SHIFT) as usize);
        let is_dc = self.state & 255 == 0;
        let (length, symbol) = if is_dc { dc } else { ac }.find((bits >> 48) as u32);
        let (advance, size) = match coefficient(symbol) {
            _ if is_dc => (1, u32::from(symbol & 15)),
            (advance, size) if advance == END_OF_BLOCK as u32 => (END, size),
            other => other,
        };
        let bits = (bits << length >> 1 >> (63 - size)) as u32;
        // As if there were no code before the value.
        let entry = size | size << SIZE_SHIFT;
        let found = &mut desk.found[own];
        found.long += 1;
        if length > 16 {
            found.corrupt = Some(self.record);
        }
        let value = entry << RECORDED | bits << (RECORDED - size);
        self.arrive((advance, length + size, size << SIZE_SHIFT), value, desk, own);
        self
    }
}

/// Notes that something in the block of a record is corrupt, or may be too strong.
#[cold]
#[inline(never)]
fn note(found: &mut Found, record: usize, position: usize) {
    if (65..END as usize).contains(&(position & 255)) {
        found.corrupt = Some(record);
    } else if found.doubtful.last() != Some(&record) {
        found.doubtful.push(record);
    }
}

/// The value that was put into a record.
#[inline(always)]
pub(super) fn value(recorded: u32) -> i16 {
    let (length, size) = (recorded >> RECORDED & LENGTH, recorded >> (RECORDED + SIZE_SHIFT));
    let bits = (recorded & ((1 << RECORDED) - 1)) >> RECORDED.saturating_sub(length);
    extend(bits as i32 & ((1 << size) - 1), size) as i16
}
