//! Blocks that their lowest frequencies alone would show wrong.
//!
//! Stripes as narrow as the samples that a smaller picture has no room for are one even gray in the mean. But a block's
//! transform spreads them over all odd frequencies, and the few low ones that are kept would show a pattern of eight samples'
//! length that is not there. Blocks whose high frequencies are that strong are averaged instead.

use super::kernel::Sink;
use super::segments::Quantization;
use crate::tables::ZIGZAG;

/// How strong frequency 7 must be, across or down. Stripes of full contrast have 921, those of a tenth as much 92; the
/// edge of a white shape on black has up to 150.
const NYQUIST: u32 = 200;
/// The same for frequencies 3 and 5, in which stripes of two samples are strong (782 and 522). Edges have up to 330.
const HALF_NYQUIST: u32 = 400;

/// At how many positions behind the first of its values a look-up may end: there is room in it for short ones more, with the
/// zeros before them.
pub(super) const BEHIND: usize = 8;

/// Where the class of a value's length stands in a look-up's entry, and what it carries over to if the value is too long.
pub(super) const SIZE_SHIFT: u32 = 6;
const SIZE: u32 = 7 << SIZE_SHIFT;
const CARRY: u32 = 8 << SIZE_SHIFT;

/// The length of a value as an entry has it: those of up to 2 bits are alike, and those from 9 bits on.
#[inline(always)]
pub(super) fn size_class(size: u32) -> u32 {
    size.clamp(2, 9) - 2
}

/// The coefficients of a component that are looked out for.
#[derive(Debug)]
pub(super) struct Strong {
    /// By the position behind a look-up: what makes its entry carry if a value of its is as long as one that is too strong at one
    /// of the positions that it may have. 0 where nobody cares.
    addends: [u32; 128],
    /// By position: the least level that is too strong.
    levels: [u16; 64],
}

impl Strong {
    /// For blocks that become `side` × `side` samples by their lowest frequencies.
    pub(super) fn new(quantization: &Quantization, side: usize) -> Self {
        let (mut addends, mut levels) = ([0; 128], [u16::MAX; 64]);
        for k in 1..64 {
            let place = usize::from(ZIGZAG[k]);
            let of = [place % 8, place / 8];
            let least = match side {
                2 | 4 if of.contains(&7) => NYQUIST,
                2 if of.contains(&3) || of.contains(&5) => HALF_NYQUIST,
                _ => continue,
            };
            let level = least.div_ceil(u32::from(quantization[k]).max(1)).max(1);
            levels[k] = level as u16;
            let addend = CARRY - (size_class(level.ilog2() + 1) << SIZE_SHIFT);
            for behind in &mut addends[k + 1..=k + 1 + BEHIND] {
                *behind = addend.max(*behind);
            }
        }
        Self { addends, levels }
    }

    /// The length of the least value that is too strong at one of the positions at which a look-up that ends before position `k`
    /// may have one; none where nobody cares.
    pub(super) fn least_size(&self, k: usize) -> Option<u32> {
        let positions = k.saturating_sub(1 + BEHIND).max(1)..k.min(64);
        let levels = self.levels.get(positions)?;
        levels.iter().filter(|&&level| level != u16::MAX).map(|level| level.ilog2() + 1).min()
    }

    /// Has [`CARRY`] set if a value of the look-up `entry`, which ends before position `k`, may be too strong: lengths are all
    /// that is known of them.
    #[inline(always)]
    pub(super) fn weighed(&self, entry: u32, k: usize) -> u32 {
        (entry & SIZE) + self.addends[k & 127]
    }

    /// Whether one of all that were [weighed](Self::weighed), or-ed, may be too strong.
    #[inline(always)]
    pub(super) fn any(weighed: u32) -> bool {
        weighed & CARRY != 0
    }

    /// Whether the coefficient at position `k` is too strong.
    #[inline(always)]
    pub(super) fn is_level(&self, k: usize, level: i32) -> bool {
        level.unsigned_abs() >= u32::from(self.levels[k & 63])
    }

    /// Whether a coefficient of the block is too strong.
    #[inline(always)]
    pub(super) fn is_in(&self, block: &[i16]) -> bool {
        block
            .iter()
            .zip(&self.levels)
            .fold(false, |any, (level, least)| any | (level.unsigned_abs() >= *least))
    }
}

/// Takes coefficients for another, and notes whether one is too strong.
pub(super) struct Judge<'s, K> {
    pub(super) sink: K,
    pub(super) strong: &'s Strong,
    pub(super) any: bool,
}

impl<K: Sink> Sink for Judge<'_, K> {
    #[inline(always)]
    fn put(&mut self, k: usize, value: i32) {
        self.any |= self.strong.is_level(k, value);
        self.sink.put(k, value);
    }
}
