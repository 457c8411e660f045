//! A part of a picture is that part of the whole picture, and what a decoder keeps changes nothing.

use imgserve_jpeg::{DecodeOptions, Reduction, Region, Scratch, decode};
use proptest::prelude::*;

use super::SCALES;
use super::scans::{SAMPLINGS, scripts};
use super::writer::{Frame, Writer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_part_is_that_part_of_the_whole(
        (width, height) in (1_usize..150, 1_usize..150),
        sampling in 0..SAMPLINGS.len(),
        script in 0..4_usize,
        restart in 0..4_usize,
        scale in 0..4_usize,
        lowest in any::<bool>(),
        (x, y) in (0_u32..160, 0_u32..160),
        (part_width, part_height) in (0_u32..100, 0_u32..100),
    ) {
        let factors = SAMPLINGS[sampling];
        let frame = Frame::noise(width, height, factors, u64::from(x * y));
        let file = Writer::new().file(&frame, &scripts(factors.len())[script].1, restart);
        let reduction = if lowest { Reduction::Lowest } else { Reduction::Mean };
        let options = DecodeOptions::at(SCALES[scale]).reduced_by(reduction);
        let whole = decode(&file, &options, &mut Scratch::new()).unwrap();
        let region = Region { x, y, width: part_width, height: part_height };
        let part = decode(&file, &options.within(region), &mut Scratch::new()).unwrap();

        // All pixels that show some of the region, at least one.
        let factor = options.scale.factor();
        let range = |start: u32, length: u32, most: u32| {
            let first = ((f64::from(start) * factor).floor() as u32).min(most - 1);
            let end = (f64::from(start + length) * factor).ceil() as u32;
            first..end.clamp(first + 1, most)
        };
        let (xs, ys) = (range(x, part_width, whole.width), range(y, part_height, whole.height));
        prop_assert_eq!((part.left, part.top), (xs.start, ys.start));
        prop_assert_eq!((part.width, part.height), (xs.end - xs.start, ys.end - ys.start));
        prop_assert_eq!(part.damage, None);
        let channels = whole.data.len() / (whole.width * whole.height) as usize;
        let at = |x: u32, y: u32| (y * whole.width + x) as usize * channels;
        let expected: Vec<u8> =
            ys.flat_map(|y| whole.data[at(xs.start, y)..at(xs.end, y)].to_vec()).collect();
        prop_assert_eq!(part.data, expected);
    }
}

#[test]
fn kept_memory_changes_nothing() {
    let mut scratch = Scratch::new();
    for round in 0..2 {
        for (number, factors) in SAMPLINGS.iter().enumerate() {
            let frame = Frame::noise(90 - 5 * number, 20 + 7 * number, factors, number as u64);
            for (name, scans) in scripts(factors.len()) {
                let mut writer = Writer::new();
                if number % 2 == 0 {
                    writer = writer.long_codes();
                }
                let file = writer.file(&frame, &scans, number % 3);
                for scale in SCALES {
                    let options = DecodeOptions::at(scale);
                    let kept = decode(&file, &options, &mut scratch).unwrap();
                    let fresh = decode(&file, &options, &mut Scratch::new()).unwrap();
                    assert_eq!(kept, fresh, "{round} {factors:?} {name} {scale:?}");
                }
            }
        }
    }
    assert!(scratch.bytes() > 1000);
    scratch.release(0);
    assert_eq!(scratch.bytes(), 0);
}
