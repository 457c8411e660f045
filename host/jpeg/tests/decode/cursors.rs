//! Scans that no encoder at hand writes, by several cursors and the usual way.

use imgserve_jpeg::{Cursors, DecodeOptions, Reduction, Region, Scale, Scratch, decode};
use proptest::prelude::*;

use super::scans::SAMPLINGS;
use super::writer::{Frame, Scan, Writer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn both_ways_make_the_same_picture(
        (width, height) in (1_usize..400, 1_usize..400),
        sampling in 0..SAMPLINGS.len(),
        quantizer in 1_u16..200,
        (eighth, long, extreme) in any::<(bool, bool, bool)>(),
        (x, y) in (0_u32..300, 0_u32..300),
        (part_width, part_height) in (50_u32..500, 50_u32..500),
    ) {
        let factors = SAMPLINGS[sampling];
        let mut frame = Frame::noise(width, height, factors, u64::from(x * y));
        frame.quantization.iter_mut().for_each(|table| *table = [quantizer; 64]);
        if extreme {
            let blocks = frame.components.iter_mut().flat_map(|component| &mut component.blocks);
            blocks.step_by(7).for_each(|block| block[1 + x as usize % 63] = if y % 2 == 0 { 1000 } else { -1000 });
        }
        let writer = if long { Writer::new().long_codes() } else { Writer::new() };
        let file = writer.file(&frame, &[Scan::Sequential(frame.all())], 0);
        let mut options = DecodeOptions::at(if eighth { Scale::Eighth } else { Scale::Quarter });
        options = options.reduced_by(Reduction::Lowest).within(Region { x, y, width: part_width, height: part_height });
        let [cursors, usual] = [Cursors::Wherever, Cursors::Never].map(|cursors| {
            options.cursors = cursors;
            decode(&file, &options, &mut Scratch::new()).unwrap()
        });
        prop_assert_eq!(cursors, usual);
    }
}
