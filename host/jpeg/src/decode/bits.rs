//! Entropy-coded data: freed of its stuffing, cut at restart markers, and read bit by bit.

use std::ops::Range;

use super::huffman::extend;

/// A scan's data without stuffed zeros, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Unstuffed {
    pub(super) data: Vec<u8>,
    /// What lies between restart markers.
    pub(super) pieces: Vec<Piece>,
}

/// Data from one restart marker to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its place in the buffer.
    pub(super) range: Range<usize>,
    /// The number, 0 to 7, of the restart marker before it; none for a scan's first.
    pub(super) restart: Option<u8>,
}

impl Unstuffed {
    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.data.capacity() + size_of::<Piece>() * self.pieces.capacity()
    }

    /// Takes in the data that `bytes` begin with and gives its length: up to a marker other than a restart, or all. Of
    /// more than `most_pieces` or `most_bytes` only the length is wanted.
    ///
    /// Codes that are no markers of T.81 end a piece, as in libjpeg: something was overwritten, and what follows has no
    /// known place until the next restart.
    pub(super) fn read(&mut self, bytes: &[u8], (most_pieces, most_bytes): (usize, usize)) -> usize {
        self.data.clear();
        self.pieces.clear();
        let (mut at, mut start, mut restart, mut lost) = (0, 0, None, false);
        while let Some(length) = memchr::memchr(0xFF, &bytes[at..]) {
            let found = at + length;
            let code = bytes.get(found + 1).copied();
            if !lost {
                let piece = &bytes[at..found + usize::from(code == Some(0))];
                let room = most_bytes.saturating_sub(self.data.len());
                self.data.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    self.pieces.push(Piece { range: start..self.data.len(), restart });
                    return found + data_length(&bytes[found..]);
                }
            }
            at = match code {
                Some(0) => found + 2,
                // Fill bytes before a marker.
                Some(0xFF) => found + 1,
                Some(code @ 0xD0..=0xD7) => {
                    self.pieces.push(Piece { range: start..self.data.len(), restart });
                    if self.pieces.len() >= most_pieces {
                        return found + data_length(&bytes[found..]);
                    }
                    (start, restart, lost) = (self.data.len(), Some(code & 7), false);
                    found + 2
                }
                Some(..0xC0) => {
                    lost = true;
                    found + 2
                }
                _ => {
                    self.pieces.push(Piece { range: start..self.data.len(), restart });
                    return found;
                }
            };
        }
        if !lost {
            let room = most_bytes.saturating_sub(self.data.len());
            self.data.extend_from_slice(&bytes[at..bytes.len().min(at + room)]);
        }
        self.pieces.push(Piece { range: start..self.data.len(), restart });
        bytes.len()
    }
}

/// Where the entropy-coded data that `bytes` begin with ends.
pub(super) fn data_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = memchr::memchr(0xFF, &bytes[at..]) {
        at += length;
        match bytes.get(at + 1) {
            Some(..0xC0 | 0xD0..=0xD7) => at += 2,
            Some(0xFF) => at += 1,
            _ => return at,
        }
    }
    bytes.len()
}

/// Reads bits, the most significant first. Behind the end come zeros, as in libjpeg; [`Bits::is_overrun`] tells.
///
/// What is rarely called takes it by value and gives it back: a reader whose address goes nowhere lives in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to load; beyond the end once zeros are read.
    at: usize,
    /// Loaded bits, the next one at the top. Below the valid ones may stand some that follow them.
    buffer: u64,
    /// How many are valid.
    valid: u32,
    /// Whether a code was met that the table does not have.
    pub(super) corrupt: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, valid: 0, corrupt: false }
    }

    /// From this bit on, which the data must have.
    pub(super) fn from_bit(data: &'a [u8], bit: usize) -> Self {
        let mut bits = Self { at: bit / 8, ..Self::new(data) };
        bits.refill();
        bits.consume(bit as u32 % 8);
        bits
    }

    /// Loads until at least 56 bits are valid.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(chunk) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            self.buffer |= u64::from_be_bytes(*chunk) >> self.valid;
            self.at += ((63 - self.valid) >> 3) as usize;
            self.valid |= 56;
        } else {
            *self = self.refilled_at_end();
        }
    }

    #[cold]
    #[inline(never)]
    fn refilled_at_end(mut self) -> Self {
        while self.valid < 56 {
            let byte = self.data.get(self.at).copied().unwrap_or(0);
            self.buffer |= u64::from(byte) << (56 - self.valid);
            self.at += 1;
            self.valid += 8;
        }
        self
    }

    /// The next `count` bits, 1 to 32, which stay.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// The value in the last `size` (0 to 16) of the next `length` (1 to 32) bits, which stay.
    #[inline(always)]
    pub(super) fn value(&self, length: u32, size: u32) -> i32 {
        let bits = (self.buffer >> (64 - length)) as i32 & ((1 << size) - 1);
        extend(bits, size)
    }

    /// Goes on by `count` valid bits.
    #[inline(always)]
    pub(super) fn consume(&mut self, count: u32) {
        self.buffer <<= count;
        self.valid = self.valid.wrapping_sub(count);
    }

    /// The next `count` valid bits, 0 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> i32 {
        let bits = (self.buffer >> 1 >> (63 - count)) as i32;
        self.consume(count);
        bits
    }

    /// Whether more bits were consumed than there are.
    #[inline(always)]
    pub(super) fn is_overrun(&self) -> bool {
        8 * self.at > 8 * self.data.len() + self.valid as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_goes_and_restarts_part() {
        let mut unstuffed = Unstuffed::default();
        let bytes = [1, 0xFF, 0, 2, 0xFF, 0xD3, 3, 0xFF, 0xFF, 0xD4, 0xFF, 0, 0xFF, 0xD9, 9];
        assert_eq!(unstuffed.read(&bytes, (9, 99)), 12);
        assert_eq!(unstuffed.data, [1, 0xFF, 2, 3, 0xFF]);
        assert_eq!(
            unstuffed.pieces,
            [(0..3, None), (3..4, Some(3)), (4..5, Some(4))].map(|(range, restart)| Piece { range, restart })
        );
        assert_eq!(data_length(&bytes), 12);
        assert_eq!(unstuffed.read(&bytes, (9, 4)), 12, "the length is that of all");
        assert_eq!(unstuffed.data, [1, 0xFF, 2, 3]);
        assert_eq!(
            unstuffed.read(&[5, 0xFF], (9, 99)),
            1,
            "a lone 0xFF at the end is the beginning of a marker"
        );
    }

    #[test]
    fn reading_begins_at_any_bit() {
        let data: Vec<u8> = (1..=20).map(|byte| byte * 11).collect();
        for bit in 0..150 {
            let mut bits = Bits::from_bit(&data, bit);
            bits.refill();
            let expected = u32::from(data[bit / 8]) << 8 | u32::from(data[bit / 8 + 1]);
            assert_eq!(bits.take(8), (expected << (bit % 8) >> 8 & 255) as i32, "{bit}");
            assert!(!bits.is_overrun());
        }
    }

    #[test]
    fn bits_come_in_order_and_zeros_follow() {
        let data: Vec<u8> = (1..=20).collect();
        let mut bits = Bits::new(&data);
        for expected in 1..=20 {
            bits.refill();
            assert_eq!(bits.take(3), expected >> 5);
            assert_eq!(bits.take(5), expected & 31);
        }
        bits.refill();
        assert!(!bits.is_overrun());
        assert_eq!(bits.take(1), 0);
        assert!(bits.is_overrun());
    }
}
