//! Fax coding of black and white (ITU-T T.4 and T.6; TIFF 6.0, sections 10 and 11): the rows of runs, by the tables of the
//! `fax` crate. Its own decoders want a mark before each row and know no rows that lean on the one before in group 3.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

/// Which of the codings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Rows of runs that begin at a byte, or at a word of two.
    Runs { words: bool },
    /// Rows behind marks; if two-dimensional, each says whether it leans on the row before.
    Group3 { two_dimensional: bool },
    /// Rows that lean on the row before, without marks.
    Group4,
}

/// The rows, a bit a pixel and black set; those that are missing are white. And whether something was wrong.
pub(super) fn decode(packed: &[u8], coding: Coding, width: usize, rows: usize) -> (Vec<u8>, bool) {
    let stride = width.div_ceil(8);
    let mut out = vec![0; stride * rows];
    let mut reader = Reader { packed, at: 0 };
    let (mut before, mut row) = (Vec::new(), Vec::new());
    let mut broken = false;
    for line in out.chunks_exact_mut(stride) {
        // Rows that are white to the end of the picture may be left out behind the mark that ends it.
        let Some(leans) = reader.begin_row(coding) else { return (out, broken || reader.is_over()) };
        row.clear();
        let whole = match leans {
            true => reader.leaning_row(&before, &mut row, width),
            false => reader.row(&mut row, width),
        };
        paint(line, &row, width);
        broken |= whole.is_none();
        // Where there are no marks nobody knows where the next row begins.
        if whole.is_none() && !reader.find_mark(coding) {
            return (out, true);
        }
        std::mem::swap(&mut before, &mut row);
    }
    (out, broken)
}

/// Sets the bits between each second change and the next one.
fn paint(line: &mut [u8], changes: &[usize], width: usize) {
    for run in changes.chunks(2) {
        if let [_, end] | [end] = *run {
            let (start, end) = (run[0].min(width), if run.len() == 2 { end.min(width) } else { width });
            (start..end).for_each(|at| line[at / 8] |= 0x80 >> (at % 8));
        }
    }
}

/// Bits, the highest of a byte first; beyond the end there are zeros, which are no code.
struct Reader<'a> {
    packed: &'a [u8],
    /// In bits.
    at: usize,
}

impl BitReader for Reader<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        let byte = |index: usize| u32::from(self.packed.get(self.at / 8 + index).copied().unwrap_or(0));
        let some = byte(0) << 16 | byte(1) << 8 | byte(2);
        let rest = some << (8 + self.at % 8);
        // 0 to 16 of them.
        Some((u64::from(rest) >> (32 - u32::from(bits.min(16)))) as u16)
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.at.wrapping_neg() % 8) as u8
    }
}

impl Reader<'_> {
    fn is_over(&self) -> bool {
        self.at >= self.packed.len() * 8
    }

    /// Goes to where a row begins, and tells whether it leans on the row before; none at the end.
    fn begin_row(&mut self, coding: Coding) -> Option<bool> {
        match coding {
            Coding::Runs { words } => {
                let unit = if words { 16 } else { 8 };
                self.at = self.at.next_multiple_of(unit);
                (!self.is_over()).then_some(false)
            }
            Coding::Group4 => (!self.is_over() && self.peek(12) != Some(1)).then_some(true),
            Coding::Group3 { two_dimensional } => {
                let marked = self.skip_mark();
                if self.is_over() {
                    return None;
                }
                let leans = two_dimensional && marked && self.bit() == 0;
                // A mark at once behind a mark ends the picture.
                (!(marked && self.is_at_mark())).then_some(leans)
            }
        }
    }

    fn bit(&mut self) -> u16 {
        let bit = self.peek(1).unwrap_or(0);
        self.at += 1;
        bit
    }

    /// Eleven zeros or more and a one: no code has more than seven at its beginning.
    fn is_at_mark(&self) -> bool {
        self.peek(11) == Some(0) && !self.is_over()
    }

    fn skip_mark(&mut self) -> bool {
        if !self.is_at_mark() {
            return false;
        }
        while !self.is_over() && self.bit() == 0 {}
        true
    }

    /// Whether there is another mark, from which the next row can be read.
    fn find_mark(&mut self, coding: Coding) -> bool {
        if !matches!(coding, Coding::Group3 { .. }) {
            return false;
        }
        while !self.is_over() && !self.is_at_mark() {
            self.at += 1;
        }
        !self.is_over()
    }

    /// The length of a run; none where there is no code of one.
    fn run(&mut self, is_black: bool) -> Option<usize> {
        let mut length = 0_usize;
        while !self.is_over() {
            let part = if is_black { black::decode(self) } else { white::decode(self) }?;
            length += usize::from(part);
            if part < 64 {
                return Some(length);
            }
        }
        None
    }

    /// Where the colour changes, white first; none, with what was read, when a code is wrong.
    fn row(&mut self, changes: &mut Vec<usize>, width: usize) -> Option<()> {
        let (mut at, mut is_black) = (0, false);
        while at < width {
            let run = self.run(is_black).or_else(|| {
                // What is left of a broken row is white.
                if is_black {
                    changes.push(at);
                }
                None
            })?;
            at = (at + run).min(width);
            changes.push(at);
            is_black = !is_black;
        }
        Some(())
    }

    /// The same for a row that is told by its differences from `before` (T.4, section 4.2).
    fn leaning_row(&mut self, before: &[usize], changes: &mut Vec<usize>, width: usize) -> Option<()> {
        let (mut at, mut is_black, mut begun) = (0, false, false);
        let mut from = 0;
        while at < width {
            // The first change of the row before that is to the right of here and to the other colour.
            from = usize::from(is_black) + (from & !1);
            while from >= 2 && before.get(from - 2).is_none_or(|&change| change > at) {
                from -= 2;
            }
            while before.get(from).is_some_and(|&change| change < at || change == at && begun) {
                from += 2;
            }
            let above = |index: usize| before.get(index).copied().unwrap_or(width);
            let step = if self.is_over() { None } else { mode::decode(self) };
            match step {
                Some(Mode::Pass) => at = above(from + 1).max(at),
                Some(Mode::Horizontal) => {
                    for _ in 0..2 {
                        at = (at + self.run(is_black)?).min(width);
                        changes.push(at);
                        is_black = !is_black;
                    }
                }
                Some(Mode::Vertical(by)) => {
                    let change = above(from).saturating_add_signed(isize::from(by));
                    at = change.clamp(at, width);
                    changes.push(at);
                    is_black = !is_black;
                }
                Some(Mode::Extension | Mode::EOF) | None => {
                    if is_black {
                        changes.push(at);
                    }
                    return None;
                }
            }
            begun = true;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 pixels: 4 white, 3 black, 9 white.
    const ROW: [u8; 2] = [0b0000_1110, 0];

    /// Bits written as text, spaces for the eye.
    fn bits(text: &str) -> Vec<u8> {
        let bits: Vec<u8> = text.bytes().filter(|&bit| bit != b' ').map(|bit| bit - b'0').collect();
        bits.chunks(8).map(|some| some.iter().enumerate().map(|(at, bit)| bit << (7 - at)).sum()).collect()
    }

    #[test]
    fn rows_of_runs_begin_at_bytes_or_words() {
        // White 4, black 3, white 9.
        let row = "1011 10 10100";
        let bytes = bits(&format!("{row}00000 {row}"));
        assert_eq!(decode(&bytes, Coding::Runs { words: false }, 16, 2), ([ROW, ROW].concat(), false));
        let words = bits(&format!("{row}00000 {row}"));
        assert_eq!(decode(&words, Coding::Runs { words: true }, 16, 2), ([ROW, ROW].concat(), false));
    }

    #[test]
    fn group_3_is_read_with_marks_and_without_and_in_two_dimensions() {
        let mark = "000000000001";
        let row = "1011 10 10100";
        let one = Coding::Group3 { two_dimensional: false };
        let marked = bits(&format!("{mark}{row} 0000{mark}{row}{mark}{mark}{mark}{mark}{mark}{mark}"));
        assert_eq!(decode(&marked, one, 16, 2), ([ROW, ROW].concat(), false));
        assert_eq!(decode(&bits(&format!("{row}{row}")), one, 16, 2), ([ROW, ROW].concat(), false));
        // The second row: the same two changes, straight below, and the end below the end.
        let two = bits(&format!("{mark}1{row}{mark}0 1 1 1"));
        assert_eq!(
            decode(&two, Coding::Group3 { two_dimensional: true }, 16, 2),
            ([ROW, ROW].concat(), false)
        );
    }

    #[test]
    fn group_4_leans_on_the_row_before() {
        // Horizontally 4 and 3, then the end below the end of the white row that stands before the first; one to the right and one
        // to the left; and nothing but white, past both changes.
        let packed = bits("001 1011 10 1   011 010 1   0001 1");
        let rows = [ROW, [0b0000_0100, 0], [0, 0]].concat();
        assert_eq!(decode(&packed, Coding::Group4, 16, 3), (rows, false));
    }

    #[test]
    fn a_broken_row_is_white_from_there_and_the_next_mark_is_found() {
        let (mark, row) = ("000000000001", "1011 10 10100");
        let packed = bits(&format!("{mark}1011 10 00000000 1111{mark}{row}"));
        let (rows, broken) = decode(&packed, Coding::Group3 { two_dimensional: false }, 16, 2);
        assert_eq!((rows, broken), ([ROW, ROW].concat(), true));
        let (rows, broken) = decode(&bits("001 1011 10 1"), Coding::Group4, 16, 2);
        assert_eq!((rows, broken), ([ROW, [0, 0]].concat(), true));
    }
}
