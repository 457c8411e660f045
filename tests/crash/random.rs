//! Random numbers for many threads (SplitMix64; Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators").

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    /// One that begins anywhere.
    pub(crate) fn new() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        Self(AtomicU64::new(u64::from_le_bytes(seed)))
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut mixed = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Whether a thing that happens so many times in a hundred does.
    pub(crate) fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }
}
