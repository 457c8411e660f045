//! What is refused, and with what: each of the files here differs from a good one in one thing.

use imgserve_jpeg::{DecodeError, DecodeOptions, Scale, Scratch, Unsupported, decode};

use super::decoded;
use super::writer::{Frame, Huffman, Scan, Writer};

fn frame() -> Frame {
    Frame::noise(24, 16, &[(1, 1); 3], 41)
}

fn good() -> Vec<u8> {
    let frame = frame();
    Writer::new().file(&frame, &[Scan::Sequential(frame.all())], 0)
}

/// The place of a segment's content.
fn body(file: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while file[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    }
    at + 4
}

fn with(change: impl FnOnce(&mut Vec<u8>)) -> Result<(), DecodeError> {
    let mut file = good();
    change(&mut file);
    decoded(&file, Scale::Full).map(|_| ())
}

/// With bytes of a segment's content set.
fn setting(marker: u8, offset: usize, bytes: &[u8]) -> Result<(), DecodeError> {
    with(|file| {
        let at = body(file, marker) + offset;
        file[at..at + bytes.len()].copy_from_slice(bytes);
    })
}

fn unsupported(what: Unsupported) -> Result<(), DecodeError> {
    Err(DecodeError::Unsupported(what))
}

#[track_caller]
fn assert_malformed(result: Result<(), DecodeError>) {
    assert!(matches!(result, Err(DecodeError::Malformed(_))), "{result:?}");
}

#[test]
fn other_processes() {
    assert_eq!(with(|_| ()), Ok(()));
    let process = |marker: u8| {
        with(|file| {
            let at = body(file, 0xC1) - 3;
            file[at] = marker;
        })
    };
    for marker in [0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF] {
        assert_eq!(process(marker), unsupported(Unsupported::Arithmetic));
    }
    assert_eq!(process(0xC3), unsupported(Unsupported::Lossless));
    for marker in [0xC5, 0xC6, 0xC7] {
        assert_eq!(process(marker), unsupported(Unsupported::Hierarchical));
    }
    assert_eq!(setting(0xC1, 0, &[12]), unsupported(Unsupported::Precision(12)));
    assert_eq!(setting(0xC1, 1, &[0, 0]), unsupported(Unsupported::LateHeight));
    assert_eq!(setting(0xC1, 5, &[2]), unsupported(Unsupported::Components(2)));
    assert_eq!(setting(0xC1, 5, &[5]), unsupported(Unsupported::Components(5)));
    // 3 × 1 and 2 × 1: one and a half pixels for a sample.
    assert_eq!(setting(0xC1, 7, &[0x31, 0, 2, 0x21]), unsupported(Unsupported::FractionalSampling));
}

#[test]
fn tables_that_are_missing() {
    let frame = frame();
    let mut writer = Writer::new();
    writer.quantization(&frame);
    writer.frame(0xC0, &frame);
    writer.scan(&frame, &Scan::Sequential(frame.all()));
    let result = decoded(&writer.end(), Scale::Full).map(|_| ());
    assert_eq!(result, unsupported(Unsupported::MissingTable));
    let mut writer = Writer::new();
    writer.frame(0xC0, &frame);
    writer.huffman();
    writer.scan(&frame, &Scan::Sequential(frame.all()));
    assert_malformed(decoded(&writer.end(), Scale::Full).map(|_| ()));
    for scan in [Scan::DcFirst(vec![0], 0), Scan::AcFirst(0, (1, 63), 0), Scan::AcRefinement(0, (1, 63), 0)] {
        let mut writer = Writer::new();
        writer.quantization(&frame);
        writer.frame(0xC2, &frame);
        writer.scan(&frame, &scan);
        let result = decoded(&writer.end(), Scale::Full).map(|_| ());
        assert_eq!(result, unsupported(Unsupported::MissingTable), "{scan:?}");
    }
}

#[test]
fn headers_that_make_no_sense() {
    assert_malformed(with(|file| file.clear()));
    assert_malformed(with(|file| file[0] = 0x89));
    assert_malformed(with(|file| file.truncate(2)));
    assert_malformed(with(|file| file.truncate(60)));
    assert_malformed(setting(0xC1, 3, &[0, 0]));
    assert_malformed(setting(0xC1, 7, &[0x51]));
    assert_malformed(setting(0xC1, 7, &[0x10]));
    assert_malformed(setting(0xC1, 8, &[4]));
    assert_malformed(setting(0xDB, 0, &[4]));
    assert_malformed(setting(0xC4, 0, &[0x20]));
    assert_malformed(setting(0xC4, 0, &[4]));
    assert_malformed(setting(0xC4, 1, &[3]));
    assert_malformed(setting(0xDA, 0, &[0]));
    assert_malformed(setting(0xDA, 1, &[9]));
    assert_malformed(setting(0xDA, 3, &[1]));
    assert_malformed(setting(0xDA, 2, &[0x40]));
    assert_malformed(with(|file| {
        let at = body(file, 0xDA) - 2;
        file[at + 1] = 1;
    }));
}

#[test]
fn progressive_headers_that_make_no_sense() {
    let frame = frame();
    let scan = |bytes: [u8; 3], components: usize| {
        let mut file = Writer::new().file(&frame, &[Scan::DcFirst(frame.all()[..components].to_vec(), 0)], 0);
        let at = body(&file, 0xDA) + 1 + 2 * components;
        file[at..at + 3].copy_from_slice(&bytes);
        decoded(&file, Scale::Full).map(|_| ())
    };
    assert_eq!(scan([0, 0, 0], 3), Ok(()));
    assert_malformed(scan([0, 5, 0], 3));
    assert_malformed(scan([1, 5, 0], 3));
    assert_eq!(scan([1, 5, 0], 1), Ok(()));
    assert_malformed(scan([6, 5, 0], 1));
    assert_malformed(scan([1, 64, 0], 1));
    assert_malformed(scan([1, 5, 0x20], 1));
    assert_malformed(scan([1, 5, 0x0E], 1));
}

/// The codes of a DC table stand for sizes, of which there are no more than 15.
#[test]
fn a_dc_table_of_ac_symbols() {
    let frame = frame();
    let mut writer = Writer::new();
    writer.quantization(&frame);
    writer.frame(0xC0, &frame);
    writer.huffman();
    let ac = Huffman::ac();
    writer.segment(0xC4, &[&[0][..], &ac.counts, &ac.symbols].concat());
    writer.scan(&frame, &Scan::Sequential(frame.all()));
    assert_malformed(decoded(&writer.end(), Scale::Full).map(|_| ()));
}

/// All components have the same identifier in some files; then they come in order.
#[test]
fn identifiers_that_are_the_same() {
    let mut frame = frame();
    let expected = decoded(&good(), Scale::Full).unwrap();
    frame.components.iter_mut().for_each(|component| component.id = 1);
    let file = Writer::new().file(&frame, &[Scan::Sequential(frame.all())], 0);
    assert_eq!(decoded(&file, Scale::Full).unwrap(), expected);
}

#[test]
fn limits() {
    let frame = frame();
    let scans = vec![Scan::DcFirst(frame.all(), 0); 5];
    let file = Writer::new().file(&frame, &scans, 0);
    let with = |set: fn(&mut DecodeOptions)| {
        let mut options = DecodeOptions::at(Scale::Eighth);
        set(&mut options);
        decode(&file, &options, &mut Scratch::new()).map(|_| ())
    };
    assert_eq!(with(|options| options.max_scans = 5), Ok(()));
    assert_eq!(with(|options| options.max_scans = 4), unsupported(Unsupported::Scans));
    assert_eq!(with(|options| options.max_pixels = 24 * 16), Ok(()));
    let too_large = Err(DecodeError::TooLarge { width: 24, height: 16 });
    assert_eq!(with(|options| options.max_pixels = 24 * 16 - 1), too_large);
}

/// A hundred scans of next to no data, of a picture of 16 million pixels: only blocks that data speaks of are looked at.
#[test]
fn scans_without_data_cost_nothing() {
    let mut frame = Frame::noise(1, 1, &[(1, 1)], 43);
    let scans: Vec<Scan> = (0..90).map(|_| Scan::AcRefinement(0, (1, 63), 0)).collect();
    for restart in [0, 1] {
        (frame.width, frame.height) = (1, 1);
        let mut file =
            Writer::new().file(&frame, &[&[Scan::DcFirst(vec![0], 0)], &scans[..]].concat(), restart);
        let at = body(&file, 0xC2);
        file[at + 1..at + 5].copy_from_slice(&[0x10, 0, 0x10, 0]);
        let start = std::time::Instant::now();
        let picture = decoded(&file, Scale::Eighth).unwrap();
        assert_eq!((picture.width, picture.height), (512, 512));
        assert!(picture.damage.is_some());
        // Milliseconds, with optimisation or without; 90 visits of each of 262 144 blocks would take seconds.
        assert!(start.elapsed().as_millis() < 1000, "{:?}", start.elapsed());
    }
}
