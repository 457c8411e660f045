//! Any file at full size, against jpeg-decoder: where both find nothing wrong, the pictures must agree.
//!
//! Both transforms are integer or floating-point approximations of the same DCT, so that samples differ by a little. What
//! makes larger differences without being wrong is kept out: quantisers become 1 and scans begin at bit 2 at most, since
//! products beyond 16 bits are cut off in different ways, and of pictures with coarser chroma the interpolation differs, so that only the
//! mean of each channel is compared there.

#![no_main]

use imgserve_jpeg::{ColorModel, DecodeOptions, Picture, Scratch, decode};
use jpeg_decoder::PixelFormat;
use libfuzzer_sys::{Corpus, fuzz_target};
use std::cell::RefCell;

/// Largest difference of a sample; a chroma step of 1 is one of 1.772 in blue.
const SAMPLE: u8 = 6;
/// Largest difference of a channel's mean where chroma is interpolated.
const MEAN: f64 = 4.0;
const MAX_PIXELS: u64 = 1 << 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut file = data.to_vec();
    let Some(header) = tame(&mut file) else { return Corpus::Reject };
    let mut options = DecodeOptions::default();
    options.max_pixels = MAX_PIXELS;
    let ours = SCRATCH.with_borrow_mut(|scratch| decode(&file, &options, scratch));
    let Ok(ours) = ours else { return Corpus::Keep };
    if ours.damage.is_some() {
        return Corpus::Keep;
    }
    let mut decoder = jpeg_decoder::Decoder::new(&file[..]);
    decoder.set_max_decoding_buffer_size(4 << 16);
    let Ok(theirs) = decoder.decode() else { return Corpus::Keep };
    let Some(info) = decoder.info() else { return Corpus::Keep };
    compare(&ours, &theirs, info.pixel_format, header.full);
    Corpus::Keep
});

/// What is left to compare by.
struct Header {
    /// Whether all components have the picture's resolution.
    full: bool,
}

/// The file's segments. Nothing is checked that the decoders check.
struct Segments<'f> {
    file: &'f mut [u8],
    at: usize,
}

impl Segments<'_> {
    /// The next marker and its content; `None` at the end or where there is no marker.
    fn next(&mut self) -> Option<(u8, &mut [u8])> {
        let &[0xFF, marker, high, low] = self.file.get(self.at..self.at + 4)? else { return None };
        let (start, length) = (self.at + 4, usize::from(u16::from_be_bytes([high, low])));
        self.at += 2 + length;
        if marker == 0xDA {
            let data = self.file.get(self.at..)?;
            self.at += data.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7))?;
        }
        Some((marker, self.file.get_mut(start..start + length.checked_sub(2)?)?))
    }
}

/// Makes quantisers 1, and takes only files that both decoders mean to read in the same way: jpeg-decoder takes
/// other symbols of sequential AC tables for runs of blocks, looks at what sequential scan headers say, stops at the scan that
/// completes a component, and tells colours by other rules.
fn tame(file: &mut [u8]) -> Option<Header> {
    let (mut header, mut progressive, mut jfif, mut adobe, mut scanned) = (None, false, false, false, false);
    let mut done = [0_u64; 256];
    let mut segments = Segments { file, at: 2 };
    while let Some((marker, body)) = segments.next() {
        match marker {
            0xDB if !scanned => quantizers(body)?,
            0xC0..=0xC2 if header.is_none() => {
                progressive = marker == 0xC2;
                let ids: Vec<u8> = body.get(6..)?.chunks_exact(3).map(|triple| triple[0]).collect();
                let factors: Vec<u8> = body.get(6..)?.chunks_exact(3).map(|triple| triple[1]).collect();
                let known = matches!(ids[..], [_] | [1, 2, 3] | [_, _, _, _]);
                if !known && !(jfif && matches!(ids[..], [0, 1, 2])) {
                    return None;
                }
                header = Some(Header { full: factors.windows(2).all(|pair| pair[0] == pair[1]) });
            }
            0xC4 => symbols(body, progressive)?,
            0xDA => {
                scanned = true;
                let (&[start, end, bits], components) = body.split_last_chunk::<3>().map(|(a, b)| (b, a))?;
                if !progressive && (start, end, bits) != (0, 63, 0) || start > end || end > 63 || bits & 15 > 2 {
                    return None;
                }
                let band = u64::MAX >> (63 - end) & u64::MAX << start;
                for pair in components.get(1..)?.chunks_exact(2) {
                    if done[usize::from(pair[0])] & band != 0 {
                        return None;
                    }
                    if bits & 15 == 0 {
                        done[usize::from(pair[0])] |= band;
                    }
                }
            }
            0xE0 => jfif |= body.starts_with(b"JFIF\0") && body.len() >= 14,
            0xEE => adobe = true,
            0xDD | 0xFE => {}
            _ => return None,
        }
    }
    let ends = segments.file.get(segments.at..segments.at + 2) == Some(&[0xFF, 0xD9]);
    if ends && !adobe { header } else { None }
}

fn quantizers(mut rest: &mut [u8]) -> Option<()> {
    while let Some((head, values)) = rest.split_first_mut() {
        if *head >> 4 != 0 || values.len() < 64 {
            return None;
        }
        let (values, after) = values.split_at_mut(64);
        values.fill(1);
        rest = after;
    }
    Some(())
}

fn symbols(mut rest: &mut [u8], progressive: bool) -> Option<()> {
    while let Some((&mut class, after)) = rest.split_first_mut() {
        let (counts, after) = after.split_first_chunk_mut::<16>()?;
        let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        let (values, after) = after.split_at_mut_checked(total)?;
        let valid = |&symbol: &u8| match (class >> 4, symbol & 15) {
            (0, _) => symbol <= 11,
            (_, 0) => progressive || matches!(symbol, 0 | 0xF0),
            (_, size) => size <= 10,
        };
        if !values.iter().all(valid) {
            return None;
        }
        rest = after;
    }
    Some(())
}

fn compare(ours: &Picture, theirs: &[u8], format: PixelFormat, full: bool) {
    let expected = match ours.color {
        ColorModel::Gray => PixelFormat::L8,
        ColorModel::Rgb => PixelFormat::RGB24,
        ColorModel::Cmyk => PixelFormat::CMYK32,
    };
    assert_eq!(format, expected);
    assert_eq!(ours.data.len(), theirs.len());
    // jpeg-decoder gives ink as the complement of what the file has.
    let complement = if ours.color == ColorModel::Cmyk { 255 } else { 0 };
    let channels = expected.pixel_bytes();
    if full {
        for (at, (&a, &b)) in ours.data.iter().zip(theirs).enumerate() {
            let b = b ^ complement;
            assert!(a.abs_diff(b) <= SAMPLE, "sample {at} of {} channels: {a}, not {b}", channels);
        }
        return;
    }
    for channel in 0..channels {
        let mean = |data: &[u8], complement: u8| {
            let samples = data.iter().skip(channel).step_by(channels);
            samples.clone().map(|&sample| f64::from(sample ^ complement)).sum::<f64>() / samples.count() as f64
        };
        let (a, b) = (mean(&ours.data, 0), mean(theirs, complement));
        assert!((a - b).abs() <= MEAN, "mean of channel {channel}: {a}, not {b}");
    }
}
