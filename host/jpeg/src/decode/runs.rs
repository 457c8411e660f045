//! Look-ups of several codes at once, made code by code: whatever values stand behind a code, what follows is the same, so that it
//! is found once and copied.

use super::huffman::Spec;

/// The codes that a look-up has seen, and what is told of them.
pub(super) trait Run: Copy {
    /// Goes on by a code of this length.
    fn and(self, length: u32, symbol: u8) -> Next<Self>;

    /// The entry of a look-up that sees no more.
    fn entry(self) -> u16;
}

/// What becomes of codes when there is one more.
pub(super) enum Next<R> {
    /// It is one of them.
    More(R),
    /// It is, and the last: the entry.
    End(u16),
    /// There is no room for it.
    Full,
}

/// Fills in the entries of all look-ups that see as many bits as tell so many entries apart: of the codes that come after `run`.
pub(super) fn fill<R: Run>(spec: &Spec, run: R, to: &mut [u16]) {
    go_on(&spec.codes(to.len().ilog2()), run, to);
}

/// `to`: the entries for all that the bits that are left may be.
fn go_on<R: Run>(codes: &[(u32, u8)], run: R, to: &mut [u16]) {
    let left = to.len().ilog2();
    let mut rest = to;
    for &(length, symbol) in codes.iter().take_while(|(length, _)| *length <= left) {
        let (own, others) = std::mem::take(&mut rest).split_at_mut(1 << (left - length));
        match run.and(length, symbol) {
            Next::End(entry) => own.fill(entry),
            Next::Full => own.fill(run.entry()),
            Next::More(run) => {
                let (first, same) = own.split_at_mut((own.len() >> (symbol & 15)).max(1));
                go_on(codes, run, first);
                same.chunks_exact_mut(first.len()).for_each(|same| same.copy_from_slice(first));
            }
        }
        rest = others;
    }
    rest.fill(run.entry());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits seen, positions passed, codes; at most five codes, and 9 positions.
    #[derive(Clone, Copy, Debug, Default)]
    struct Seen(u16, u16, u16);

    impl Run for Seen {
        fn and(self, length: u32, symbol: u8) -> Next<Self> {
            let Self(used, count, codes) = self;
            let seen = Self(
                used + length as u16 + u16::from(symbol & 15),
                count + u16::from(symbol >> 4),
                codes + 1,
            );
            match symbol {
                0 => Next::End(seen.entry() | 1 << 15),
                _ if seen.1 > 9 || seen.2 > 5 => Next::Full,
                _ => Next::More(seen),
            }
        }

        fn entry(self) -> u16 {
            self.0 | self.1 << 6 | self.2 << 11
        }
    }

    /// Code by code, of the first bits of 16.
    fn one_by_one(spec: &Spec, mut bits: u32, mut left: u32) -> u16 {
        let mut run = Seen::default();
        loop {
            let (length, symbol) = spec.find(bits);
            if length > left {
                return run.entry();
            }
            match run.and(length, symbol) {
                Next::End(entry) => return entry,
                Next::Full => return run.entry(),
                Next::More(next) => run = next,
            }
            let used = length + u32::from(symbol & 15);
            if used >= left {
                return run.entry();
            }
            (bits, left) = (bits << used & 0xFFFF, left - used);
        }
    }

    #[test]
    fn entries_are_those_of_the_codes_one_by_one() {
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for round in 0..200 {
            let (mut counts, mut room) = ([0; 16], 1_u32);
            for count in &mut counts {
                room *= 2;
                // Now and then as many as can be, or none.
                *count = random(4).min(room) as u8;
                room -= u32::from(*count);
            }
            let symbols: Vec<u8> =
                counts.iter().flat_map(|count| 0..*count).map(|_| random(256) as u8).collect();
            let spec = Spec::new(&counts, &symbols).unwrap();
            for seen in [0, 1, 7, 11] {
                let mut entries = vec![0; 1 << seen];
                fill(&spec, Seen::default(), &mut entries);
                for (index, entry) in entries.iter().enumerate() {
                    let wanted = one_by_one(&spec, (index as u32) << (16 - seen), seen);
                    assert_eq!(*entry, wanted, "{round} {seen} {index:b}");
                }
            }
        }
    }
}
