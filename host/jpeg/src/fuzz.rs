//! What is promised of any bytes beside what the programs in `fuzz/` look at by themselves. `fuzz/` calls it for hours, the test
//! here in short, with the seeds stored there.

use std::cell::RefCell;

use crate::{Cursors, DecodeOptions, Reduction, Scale, Scratch, decode};

/// Small, so that many files are tried in a second.
const MAX_PIXELS: u64 = 1 << 18;

thread_local! {
    /// Kept from one file to the next, as a server does.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Whether a scan is read at three places at once or at one makes no difference: neither to the picture, nor to what is told of
/// its damage, nor to why there is none.
pub fn cursors(bytes: &[u8]) {
    for scale in [Scale::Eighth, Scale::Quarter] {
        let [several, one] = [Cursors::Wherever, Cursors::Never].map(|cursors| {
            let options = DecodeOptions { cursors, max_pixels: MAX_PIXELS, ..DecodeOptions::at(scale) };
            SCRATCH.with_borrow_mut(|scratch| decode(bytes, &options.reduced_by(Reduction::Lowest), scratch))
        });
        assert!(
            several == one,
            "{scale:?}: {:?}, not {:?}",
            several.map(|p| p.damage),
            one.map(|p| p.damage)
        );
    }
}

#[cfg(test)]
mod tests {
    use imgserve_fuzz::{seeds, short_run};

    use super::*;

    #[test]
    fn cursors_in_short() {
        let seeds = seeds(include_str!("../fuzz/seeds/cursors.txt"));
        for seed in &seeds {
            let picture =
                decode(&seed.bytes, &DecodeOptions::at(Scale::Quarter), &mut Scratch::new()).unwrap();
            assert_eq!(picture.damage, None, "{}", seed.name);
        }
        short_run(&seeds, 300, cursors);
    }
}
