//! Any bytes at any scale: no panic, pictures of the promised size, and a part equal to that part of the whole.
//!
//! The first nine bytes are the options, the rest is the file.

#![no_main]

use imgserve_jpeg::{DecodeOptions, Picture, Reduction, Region, Scale, Scratch, decode};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::cell::RefCell;

thread_local! {
    /// Kept from one file to the next, as a server does.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&[head, places @ ..], file)) = data.split_first_chunk::<9>() else { return Corpus::Reject };
    let mut options = DecodeOptions::at(match head & 3 {
        0 => Scale::Eighth,
        1 => Scale::Quarter,
        2 => Scale::Half,
        _ => Scale::Full,
    });
    options.max_pixels = 1 << 17;
    if head & 4 != 0 {
        options = options.reduced_by(Reduction::Lowest);
    }
    let number = |at: usize| u32::from(u16::from_be_bytes([places[at], places[at + 1]]));
    let region = Region { x: number(0), y: number(2), width: number(4), height: number(6) };
    let whole = check(file, &options);
    if head & 8 != 0 {
        let part = check(file, &options.within(region));
        assert_eq!(part.is_some(), whole.is_some());
        if let (Some(whole), Some(part)) = (&whole, &part)
            && whole.damage.is_none()
        {
            compare(whole, part);
        }
    }
    Corpus::Keep
});

fn check(file: &[u8], options: &DecodeOptions) -> Option<Picture> {
    let picture = SCRATCH.with_borrow_mut(|scratch| decode(file, options, scratch)).ok()?;
    let channels = match picture.color {
        imgserve_jpeg::ColorModel::Gray => 1,
        imgserve_jpeg::ColorModel::Rgb => 3,
        imgserve_jpeg::ColorModel::Cmyk => 4,
    };
    assert!(picture.width > 0 && picture.height > 0);
    assert_eq!(picture.data.len(), picture.width as usize * picture.height as usize * channels);
    Some(picture)
}

fn compare(whole: &Picture, part: &Picture) {
    assert!(part.left + part.width <= whole.width && part.top + part.height <= whole.height);
    assert_eq!((part.color, part.adobe, part.damage), (whole.color, whole.adobe, None));
    let channels = whole.data.len() / (whole.width * whole.height) as usize;
    let length = part.width as usize * channels;
    for (y, row) in part.data.chunks_exact(length).enumerate() {
        let at = ((part.top as usize + y) * whole.width as usize + part.left as usize) * channels;
        assert_eq!(row, &whole.data[at..at + length], "row {y} of the part");
    }
}
