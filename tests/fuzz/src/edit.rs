//! Changes of a seed, of the kinds by which fuzzers find most: other bytes, numbers at the edges of what a field holds, parts
//! left out, repeated, or taken from another seed.

use proptest::prelude::*;
use proptest::sample::Index;

/// Numbers at which lengths, sizes and counts go wrong.
const EDGES: [u32; 12] =
    [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
/// The longest part that is moved, in bytes.
const PART: usize = 64;

/// One change. Places are relative to what the bytes are when it is made.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Another byte.
    Set(Index, u8),
    /// One bit of a byte.
    Flip(Index, u32),
    /// A number of one, two or four bytes, little-endian or not.
    Number { at: Index, value: u32, width: usize, little: bool },
    /// New bytes between two others.
    Insert(Index, Vec<u8>),
    /// Bytes left out.
    Remove(Index, usize),
    /// A part of this seed, or of another, put in.
    Copy { seed: Option<Index>, from: Index, length: usize, to: Index },
    /// Nothing after this.
    Cut(Index),
}

/// Any change; how likely each kind is, is a matter of taste.
pub(crate) fn any() -> impl Strategy<Value = Edit> {
    let at = proptest::prelude::any::<Index>;
    let width = prop_oneof![Just(1_usize), Just(2), Just(4)];
    let number = (at(), proptest::sample::select(&EDGES[..]), width, proptest::prelude::any::<bool>());
    let copy = (proptest::option::of(at()), at(), 1..=PART, at());
    prop_oneof![
        4 => (at(), proptest::prelude::any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (at(), 0..8_u32).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        3 => number.prop_map(|(at, value, width, little)| Edit::Number { at, value, width, little }),
        2 => (at(), proptest::collection::vec(proptest::prelude::any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (at(), 1..=PART).prop_map(|(at, length)| Edit::Remove(at, length)),
        2 => copy.prop_map(|(seed, from, length, to)| Edit::Copy { seed, from, length, to }),
        1 => at().prop_map(Edit::Cut),
    ]
}

/// A seed with all of these changes, one after the other.
pub(crate) fn all(edits: &[Edit], seed: &[u8], seeds: &[&[u8]]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    edits.iter().for_each(|edit| apply(edit, &mut bytes, seeds));
    bytes
}

fn apply(edit: &Edit, bytes: &mut Vec<u8>, seeds: &[&[u8]]) {
    // Behind the last byte is a place too, where nothing can be replaced.
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match edit {
        Edit::Set(at, byte) => {
            let at = place(at, bytes);
            bytes.splice(at..bytes.len().min(at + 1), [*byte]);
        }
        Edit::Flip(at, bit) => {
            let at = place(at, bytes);
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
        }
        Edit::Number { at, value, width, little } => {
            let at = place(at, bytes);
            let number = if *little { value.to_le_bytes() } else { value.to_be_bytes() };
            let digits = if *little { &number[..*width] } else { &number[4 - width..] };
            bytes.iter_mut().skip(at).zip(digits).for_each(|(byte, digit)| *byte = *digit);
        }
        Edit::Insert(at, new) => {
            let at = place(at, bytes);
            bytes.splice(at..at, new.iter().copied());
        }
        Edit::Remove(at, length) => {
            let at = place(at, bytes);
            bytes.drain(at..bytes.len().min(at + length));
        }
        Edit::Copy { seed, from, length, to } => {
            let source = seed.as_ref().map_or(bytes.as_slice(), |seed| seeds[seed.index(seeds.len())]);
            let from = place(from, source);
            let part = source[from..source.len().min(from + length)].to_vec();
            let to = place(to, bytes);
            bytes.splice(to..to, part);
        }
        Edit::Cut(at) => bytes.truncate(place(at, bytes)),
    }
}
