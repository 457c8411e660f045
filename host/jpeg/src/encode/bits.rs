//! Tokens into the bytes of a scan (T.81, section F.1.2.3).

use super::huffman::Code;
use super::tokens::{KINDS, Slot, Tokens};

/// What is written for a token: the code of its symbol, with room below for the bits that follow it.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    code: u32,
    /// Of code and bits.
    length: u32,
}

/// Writes scans.
#[derive(Debug)]
pub(super) struct Writer {
    words: Box<[Word; KINDS]>,
    /// A scan before a 0 is put behind each byte of ones.
    bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        let mut words = Box::new([Word::default(); KINDS]);
        for (length, word) in words[4 * 256..].iter_mut().enumerate() {
            word.length = length as u32;
        }
        Self { words, bytes: Vec::new() }
    }
}

impl Writer {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes codes whose symbols say in their low half how many bits follow.
    pub(super) fn set_codes<'a>(&mut self, codes: impl Iterator<Item = (Slot, &'a Code)>) {
        self.set(codes, |symbol| symbol & 15);
    }

    /// Takes codes of a progressive file's AC scan, where symbols below `0xF0` without a coefficient say in their
    /// high half how many bits follow (T.81, section G.1.2.2).
    pub(super) fn set_band_codes<'a>(&mut self, codes: impl Iterator<Item = (Slot, &'a Code)>) {
        self.set(codes, |symbol| if symbol & 15 == 0 && symbol < 0xF0 { symbol >> 4 } else { symbol & 15 });
    }

    fn set<'a>(&mut self, codes: impl Iterator<Item = (Slot, &'a Code)>, extra: impl Fn(u8) -> u8) {
        for (slot, code) in codes {
            let words = &mut self.words[slot.base()..][..256];
            for ((word, &(bits, length)), symbol) in words.iter_mut().zip(&code.words).zip(0..=255) {
                let extra = u32::from(extra(symbol));
                *word = Word { code: u32::from(bits) << extra, length: u32::from(length) + extra };
            }
        }
    }

    /// Appends the scan to `out`.
    pub(super) fn write(&mut self, tokens: &Tokens, out: &mut Vec<u8>) {
        let bits: u64 = tokens
            .counts()
            .iter()
            .zip(&*self.words)
            .map(|(&n, word)| u64::from(n) * u64::from(word.length))
            .sum();
        let length = bits.div_ceil(8) as usize;
        // Whole words are written, of which the last may reach beyond the end.
        if self.bytes.len() < length + 8 {
            self.bytes.resize(length + 8, 0);
        }
        let end = self.pack(tokens.as_slice());
        stuff(&self.bytes[..end], out);
    }

    /// Writes all bits one behind the other, the last byte filled up with ones; returns how many bytes that are.
    fn pack(&mut self, tokens: &[u32]) -> usize {
        let words = &*self.words;
        let bytes = &mut *self.bytes;
        // The last `held` bits of `register` are yet to be written: fewer than 8, then with two tokens up to 63: a code
        // of 16 bits and the 12 of the longest row of empty blocks, twice.
        let (mut register, mut held, mut end) = (0_u64, 0_u32, 0);
        let add = |register: &mut u64, held: &mut u32, token: u32| {
            let word = words[((token >> 16) as usize).min(KINDS - 1)];
            *register = *register << word.length | u64::from(word.code | token & 0xFFFF);
            *held += word.length;
        };
        let mut store = |register: u64, held: &mut u32| {
            let left_aligned = register << (63 - *held) << 1;
            bytes[end..end + 8].copy_from_slice(&left_aligned.to_be_bytes());
            end += (*held >> 3) as usize;
            *held &= 7;
        };
        let (pairs, rest) = tokens.as_chunks::<2>();
        for &[first, second] in pairs {
            add(&mut register, &mut held, first);
            add(&mut register, &mut held, second);
            store(register, &mut held);
        }
        for &token in rest {
            add(&mut register, &mut held, token);
        }
        let fill = (8 - held % 8) % 8;
        register = register << fill | ((1 << fill) - 1);
        held += fill;
        store(register, &mut held);
        end
    }
}

/// Puts a 0 behind each byte of ones, which would begin a marker.
fn stuff(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + bytes.len() / 64 + 16);
    let mut from = 0;
    for at in memchr::memchr_iter(0xFF, bytes) {
        out.extend_from_slice(&bytes[from..=at]);
        out.push(0);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
}
