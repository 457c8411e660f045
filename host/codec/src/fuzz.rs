//! What the codecs promise of any bytes: the fuzz targets, each of which panics where a promise is not kept. `fuzz/` calls them
//! for hours, the tests here in short, with the seeds stored there.

use imgserve_base::format::Format;
use imgserve_base::kept::Metadata;
use imgserve_sdk::{DecodeHint, Rect};

use crate::{Beside, Bounds, Decoder, Header, Probe, decoded_bytes, estimate};

/// Small, so that many files are tried in a second.
const BOUNDS: Bounds = Bounds { max_pixels: 1 << 16, max_frames: 20, repair: false, keep_colors: false };

/// The more there is of a source, the more is known of it, and never something else.
pub fn probe(bytes: &[u8]) {
    let whole = match crate::probe(bytes, true, &BOUNDS) {
        Ok(Probe::Header(header)) => Ok(header),
        Ok(Probe::NeedMore) => panic!("there is no more"),
        Err(error) => Err(error),
    };
    if let Ok(header) = &whole {
        check(header);
    }
    for end in [bytes.len() / 4, bytes.len() / 2, bytes.len() - bytes.len() / 8, bytes.len()] {
        match (crate::probe(&bytes[..end], false, &BOUNDS), &whole) {
            (Ok(Probe::Header(early)), Ok(whole)) => {
                let hint = DecodeHint::default();
                assert!(estimate(&early, &hint) >= estimate(whole, &hint), "more memory than was admitted");
                assert!(early.so_far.pixels <= whole.so_far.pixels, "frames that are not there");
                let Header { frames, cost, so_far, .. } = whole.clone();
                let early = Header { frames: early.frames.or(frames), cost, so_far, ..early };
                assert_eq!(&early, whole, "told by {end} of {} bytes", bytes.len());
            }
            (Err(error), Ok(whole)) => panic!("{end} bytes are refused ({error}), all are {whole:?}"),
            _ => {}
        }
    }
}

/// Files of a format, in full and in part: frames of the size, number and pixel format that their header says, or an error.
pub fn decode(format: Format, bytes: &[u8]) {
    for repair in [false, true] {
        let bounds = Bounds { repair, ..BOUNDS };
        let Ok(Probe::Header(header)) = crate::probe(bytes, true, &bounds) else { return };
        if header.format != format {
            return;
        }
        let (width, height) = (f64::from(header.width), f64::from(header.height));
        let region = Rect { x: width / 4.0, y: height / 3.0, width: width / 2.0, height: height / 3.0 };
        for hint in [DecodeHint::default(), DecodeHint { min_scale: Some(0.125), region: Some(region) }] {
            frames(bytes, &header, &hint, &bounds);
        }
        frames(bytes, &header, &DecodeHint::default(), &Bounds { keep_colors: true, ..bounds });
    }
    beside(format, bytes);
}

/// What stands beside the pixels of any file, kept in a file of the same format.
fn beside(format: Format, bytes: &[u8]) {
    let said = Beside::read(format, bytes);
    for metadata in Metadata::ALL {
        let (kept, _) = said.kept(metadata, format, (1, 1));
        assert!(metadata != Metadata::Strip || kept.is_empty());
    }
}

fn check(header: &Header) {
    if header.format.can_decode() {
        assert!(header.width > 0 && header.height > 0);
        assert!(u64::from(header.width) * u64::from(header.height) <= BOUNDS.max_pixels);
    }
    assert!(header.frames.is_none_or(|frames| frames > 0 && frames <= BOUNDS.max_frames));
}

fn frames(bytes: &[u8], header: &Header, hint: &DecodeHint, bounds: &Bounds) {
    let wanted = decoded_bytes(header, hint, header.pixels);
    assert!(estimate(header, hint) >= wanted);
    let Ok(mut decoder) = Decoder::new(bytes, header, hint, bounds) else { return };
    let mut delivered = 0;
    loop {
        let Ok(frame) = decoder.next_frame() else { return };
        let Some(frame) = frame else { break };
        delivered += 1;
        let image = frame.image;
        assert_eq!(image.format(), header.pixels);
        assert_eq!(image.data().len() as u64, image.format().bytes(image.width(), image.height()));
        assert_eq!(image.data().len() as u64, wanted);
        assert!(delivered <= bounds.max_frames);
    }
    let damaged = decoder.damage().is_some();
    assert!(Some(delivered) <= header.frames && (damaged || Some(delivered) == header.frames));
    // Unless they are repaired, only animations are shown in part.
    assert!(bounds.repair || !damaged || header.so_far.frames > 1);
}

#[cfg(test)]
mod tests {
    use imgserve_fuzz::{Seed, seeds, short_run};

    use super::*;

    const SEEDS: [(Format, &str); 10] = [
        (Format::Jpeg, include_str!("../fuzz/seeds/jpeg.txt")),
        (Format::Png, include_str!("../fuzz/seeds/png.txt")),
        (Format::Gif, include_str!("../fuzz/seeds/gif.txt")),
        (Format::WebP, include_str!("../fuzz/seeds/webp.txt")),
        (Format::Avif, include_str!("../fuzz/seeds/avif.txt")),
        (Format::Jxl, include_str!("../fuzz/seeds/jxl.txt")),
        (Format::Bmp, include_str!("../fuzz/seeds/bmp.txt")),
        (Format::Tiff, include_str!("../fuzz/seeds/tiff.txt")),
        (Format::Ico, include_str!("../fuzz/seeds/ico.txt")),
        (Format::Svg, include_str!("../fuzz/seeds/svg.txt")),
    ];

    #[test]
    fn every_format_has_seeds() {
        for format in Format::ALL {
            let seeds =
                SEEDS.iter().filter(|(seeded, _)| *seeded == format).flat_map(|(_, text)| seeds(text));
            let decoded = seeds.filter(|seed| {
                matches!(crate::probe(&seed.bytes, true, &BOUNDS), Ok(Probe::Header(header)) if header.format == format)
            });
            assert!(decoded.count() > 0, "{format}");
        }
    }

    #[test]
    fn a_probe_of_any_bytes_in_short() {
        let all: Vec<Seed> = SEEDS.iter().flat_map(|(_, text)| seeds(text)).collect();
        short_run(&all, 300, probe);
    }

    #[test]
    fn files_of_each_format_in_short() {
        for (format, text) in SEEDS.into_iter().filter(|(format, _)| format.can_decode()) {
            short_run(&seeds(text), 300, |bytes| decode(format, bytes));
        }
    }
}
