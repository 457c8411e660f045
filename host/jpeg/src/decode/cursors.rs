//! Three cursors in one scan: the same picture in four fifths of the time.
//!
//! # Why
//! Where a code begins is known only when the one before it has been read, so that a processor waits for one look-up after
//! the other; and at each branch it guesses what comes next, wrongly some times a block. Three readers at three places of
//! the data do not wait for one another. Their steps are made in turns, and have no branches that depend on the data but for
//! what is rare (`cursor`), so that they overlap.
//!
//! # How
//! The data is cut into windows, and each window into three parts of as many bytes. The first cursor begins where the last
//! window has ended; the other two begin blindly, as if their byte were the beginning of an MCU. Whatever they make of it is
//! nonsense, until by chance they have read what is a code, and in the end what is an MCU. That comes soon: in photographs
//! after two MCUs mostly, and after 24 at most of a thousand places that were tried. Each notes the bits where its MCUs
//! begin. A cursor that begins an MCU at a bit where the next cursor has begun one too has met it, and is done (`window`).
//! What is kept of the blocks, a few numbers of each, becomes samples when the window is through and it is known
//! which of them are right (`fill`).
//!
//! # Why it is right
//! What a decoder makes of data from the beginning of an MCU on depends on the bit where it stands, and on nothing that it
//! has read: tables and the order of blocks are the same in every MCU, and there are no restart markers. But for one
//! thing, the last DC of each component. It is added to the differences that are in the data; so it is these differences that
//! are kept, and they are added up when all that come before them are known. Hence:
//!
//! - What the first cursor decodes is what the usual way decodes: it begins where that one would stand at the beginning of an
//!   MCU.
//! - If a cursor of which this is true begins an MCU at the very bit where the next one has begun one, the next one has
//!   decoded from there on what this one would: both were in the same state.
//! - If two have met before that is known of the first of them, they go the same way from there on, and meet at each of
//!   their MCUs: also where the first is known to be right.
//!
//! So the MCUs of the first up to its joint, of the second from there up to its own, and of the third from that one on are
//! the picture's, in order. Whether a cursor that began blindly is in step is never guessed: without a joint nothing of it is
//! used. Samples are the usual way's, made by the same sums (`kernel`), and blocks that may need all their coefficients
//! (`strong`) are read again by the same functions.
//!
//! # What is damaged
//! Nothing is used of a part in which something is corrupt from its joint on, and what was read beyond the end of the data is
//! not either. The usual way goes on behind the last MCU that is right, sees what is wrong there, and it alone tells.
//!
//! # When
//! [`Prospect::is_good`]: photographs at 1/8 and 1/4. Data that repeats itself, such as a pattern's, lets no cursor fall into
//! step, which mostly shows by the lengths of the first MCUs. Windows begin small and grow as long as cursors meet, so that
//! little is lost; after one in which they do not, or some in a large file, the rest goes the usual way. So it does where steps
//! are slow ([`RARE`]).

mod codes;
mod cursor;
mod fill;
mod part;
mod scheme;
mod window;

use std::ops::RangeInclusive;

use fearless_simd::Simd;

use super::sequential::Unit;
use super::walk::{Place, Walk};
use super::{Reduction, Scale};

pub(super) use codes::Codes;

use cursor::{Desk, Job};
use part::Part;
use scheme::Scheme;
use window::CURSORS;

/// Where a scan may be read at several places at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cursors {
    /// Where that is faster: in photographs.
    #[default]
    WhereFaster,
    /// Wherever it can be done, for tests.
    Wherever,
    /// Nowhere.
    Never,
}

/// Least bytes of data that are needed of a scan: the first windows are small and gain little.
const LEAST_BYTES: usize = 100_000;
/// Bits of a block as photographs have them. With fewer there is little to be read; with more most of a block's coefficients are
/// there, of which the usual way is not slow either.
const DENSITY: RangeInclusive<usize> = 25..=110;

/// What decides whether cursors are used for a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prospect {
    pub(super) wish: Cursors,
    pub(super) scale: Scale,
    pub(super) reduction: Reduction,
    /// Components of the picture that the scan lacks.
    pub(super) missing: usize,
    /// MCUs between restart markers; 0 without.
    pub(super) restart_interval: usize,
    /// The largest of its blocks, in samples a side.
    pub(super) side: usize,
    /// Its different pairs of Huffman tables.
    pub(super) pairs: usize,
    /// Bytes of its data.
    pub(super) bytes: usize,
    /// MCUs up to the last that is needed, and of the whole picture.
    pub(super) mcus: (usize, usize),
    /// Blocks of an MCU.
    pub(super) blocks: usize,
}

impl Prospect {
    /// Whether they are.
    pub(super) fn is_good(&self) -> bool {
        // All that a step must know stands in tables of a limited size, and only the lowest frequencies are kept.
        let possible = self.missing == 0
            && self.restart_interval == 0
            && self.reduction == Reduction::Lowest
            && matches!(self.scale, Scale::Eighth | Scale::Quarter)
            && self.side <= 4
            && self.pairs <= codes::PAIRS;
        let (needed, all) = self.mcus;
        let bytes = self.bytes as f64 * needed as f64 / all as f64;
        let faster =
            bytes >= LEAST_BYTES as f64 && DENSITY.contains(&(8 * self.bytes / (all * self.blocks).max(1)));
        match self.wish {
            Cursors::WhereFaster => possible && faster,
            Cursors::Wherever => possible,
            Cursors::Never => false,
        }
    }
}

/// How the data is cut, in bytes.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The first window, which shows whether cursors meet at all.
    first: usize,
    /// By how much each is larger than the one before.
    growth: usize,
    /// The largest: it fits into what is kept of it, and that stays in a second-level cache.
    most: usize,
    /// The smallest.
    least: usize,
    /// Whether it goes on wherever cursors do not meet, or are slow.
    patient: bool,
}

/// For speed.
const LARGE: Cut = Cut { first: 6 << 10, growth: 4, most: 192 << 10, least: 5 << 10, patient: false };
/// For tests: as many joints as can be, in windows of all sizes in turn.
const SMALL: Cut = Cut { first: 60, growth: 2, most: 4 << 10, least: 30, patient: true };

/// For each so many bytes of data one window more may pass in which cursors do not meet, which costs a hundredth of them at most.
const MISS_BYTES: usize = 600_000;

/// Of so many blocks one may be of a kind that a cursor is slow at: with a code that no look-up sees whole, or looked at more
/// closely in the end. Of photographs it is one in ten at most; of text on white it is one in three.
const RARE: usize = 6;

/// What is kept from one picture to the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    desk: Option<Box<Desk>>,
    parts: [Part; CURSORS],
    /// Windows in which all cursors have met.
    #[cfg(test)]
    met: usize,
}

impl Kept {
    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let desk = self.desk.as_ref().map_or(0, |_| size_of::<Desk>());
        desk + self.parts.iter().map(Part::bytes).sum::<usize>()
    }
}

/// A scan that cursors may decode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'w> {
    pub(super) prospect: &'w Prospect,
    /// The look-ups of its pairs of tables.
    pub(super) codes: &'w Codes,
    /// Which pair each component has.
    pub(super) pairs: &'w [usize],
    pub(super) walk: &'w Walk,
    /// Its first piece of data.
    pub(super) data: &'w [u8],
}

/// Decodes what it can of a scan's beginning, and gives the place where the usual way goes on.
pub(super) fn begin<S: Simd>(simd: S, kept: &mut Kept, work: Work<'_>, units: &mut [Unit<'_>]) -> Place {
    let Work { prospect, codes, walk, data, .. } = work;
    let Kept { desk, parts, .. } = kept;
    let desk = desk.get_or_insert_default();
    let scheme = &Scheme::new(units, work.pairs);
    desk.begin(codes, scheme);
    let cut = if prospect.wish == Cursors::Wherever { SMALL } else { LARGE };
    let (mut place, mut most, mut misses) = (Place::default(), cut.first, 0);
    loop {
        let bytes = most.min(left(&work, place));
        if bytes < cut.least {
            return place;
        }
        let (before, first) = (place.mcu, place.bit / 8);
        desk.put(&data[first..], bytes + bytes / 2);
        let job = Job { codes, scheme };
        for (index, (part, found)) in parts.iter_mut().zip(&mut desk.found).enumerate() {
            let bit = if index == 0 { place.bit % 8 } else { 8 * (bytes * index / CURSORS) };
            part.begin(bit as u32, &job, found);
        }
        let outcome = window::run(simd, &job, (desk, parts), walk.needed.end - place.mcu);
        for (part, piece) in parts.iter_mut().zip(&outcome.pieces) {
            let piece = piece.start..piece.end.min(piece.start + walk.needed.end - place.mcu);
            let mcus = (place.mcu, walk.columns);
            place.mcu += piece.len();
            fill::run(simd, (scheme, &data[first..]), (part, piece), mcus, units);
        }
        place.bit = 8 * first + outcome.end;
        let grows = if cut.patient { most < cut.most } else { outcome.met };
        most = if grows { cut.most.min(most * cut.growth) } else { cut.first };
        #[cfg(test)]
        {
            kept.met += usize::from(outcome.met);
        }
        misses += usize::from(!outcome.met);
        let is_vain = misses > data.len() / MISS_BYTES || outcome.met && is_slow(desk, parts, scheme);
        if place.mcu == before || is_vain && !cut.patient {
            return place;
        }
    }
}

/// Whether too many blocks of a window are of a kind that cursors are slow at.
fn is_slow(desk: &Desk, parts: &[Part; CURSORS], scheme: &Scheme) -> bool {
    let rare: usize = desk.found.iter().map(|found| found.long).sum::<usize>()
        + parts.iter().map(|part| part.doubtful.len()).sum::<usize>();
    rare > scheme.blocks * parts.iter().map(|part| part.begins.len()).sum::<usize>() / RARE
}

/// Bytes from a place on that cursors may share: most of what there is for the MCUs that are needed, as far as that is known.
fn left(Work { prospect, walk, data, .. }: &Work<'_>, place: Place) -> usize {
    // In bits: of those behind it, or at the beginning of all.
    let behind = place.bit.checked_div(place.mcu);
    let per_mcu = behind.unwrap_or_else(|| 8 * data.len() / prospect.mcus.1.max(1));
    let needed = (walk.needed.end - place.mcu) * per_mcu / 8;
    let left = needed.min(data.len().saturating_sub(place.bit / 8));
    left - left / 16
}

#[cfg(test)]
mod tests;
