//! Damaged files: what is there is shown, what is missing is gray, and it is told.

use imgserve_jpeg::{Damage, DecodeError, Picture, Scale};

use super::writer::{Frame, Scan, Writer};
use super::{SCALES, channel, decoded, difference};

/// 64 × 64 in gray: eight blocks a row, restarts each row.
fn file() -> (Vec<u8>, Picture) {
    let frame = Frame::noise(64, 64, &[(1, 1)], 23);
    let file = Writer::new().file(&frame, &[Scan::Sequential(vec![0])], 8);
    let whole = decoded(&file, Scale::Full).unwrap();
    (file, whole)
}

/// Places of restart markers, by their number.
fn restarts(file: &[u8]) -> Vec<usize> {
    (0..file.len() - 1).filter(|&at| file[at] == 0xFF && (0xD0..=0xD7).contains(&file[at + 1])).collect()
}

/// Which rows of blocks are as in the sound picture.
fn sound_rows(picture: &Picture, whole: &Picture) -> Vec<bool> {
    picture.data.chunks(64 * 8).zip(whole.data.chunks(64 * 8)).map(|(row, sound)| row == sound).collect()
}

fn is_gray(rows: &[u8]) -> bool {
    rows.iter().all(|&sample| sample == 128)
}

#[test]
fn a_file_that_is_cut_off_is_gray_from_there() {
    let (file, whole) = file();
    let at = restarts(&file)[3];
    let cut = decoded(&file[..at - 3], Scale::Full).unwrap();
    assert_eq!(cut.damage, Some(Damage::CutOff));
    assert_eq!(sound_rows(&cut, &whole), [true, true, true, false, false, false, false, false]);
    assert!(is_gray(&cut.data[64 * 32..]));
    assert!(whole.damage.is_none());
    assert_eq!(
        decoded(&file[..file.len() - 2], Scale::Full).unwrap(),
        whole,
        "the end marker alone is no loss"
    );
}

/// At every length there is a picture or an error, and it is told that something is missing.
#[test]
fn cut_off_anywhere() {
    let frame = Frame::noise(40, 24, &[(2, 1), (1, 1), (1, 1)], 29);
    for (name, scans) in super::scans::scripts(3) {
        let file = Writer::new().file(&frame, &scans, 2);
        let first_data = 14 + file.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        for scale in SCALES {
            let whole = decoded(&file, scale).unwrap();
            for length in 0..file.len() - 3 {
                match decoded(&file[..length], scale) {
                    Ok(picture) => {
                        let told = picture.damage.is_some() || picture.data == whole.data;
                        assert!(told, "{name} {scale:?} at {length}");
                    }
                    Err(DecodeError::Malformed(_)) => assert!(length < first_data),
                    Err(other) => panic!("{name} {scale:?} at {length}: {other}"),
                }
            }
        }
    }
}

#[test]
fn data_that_another_marker_cuts() {
    let (mut file, whole) = file();
    let at = restarts(&file)[5];
    file.truncate(at - 3);
    file.extend_from_slice(&[0xFF, 0xD9]);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.damage, Some(Damage::MissingData));
    assert_eq!(sound_rows(&picture, &whole)[..5], [true; 5]);
    assert!(is_gray(&picture.data[64 * 48..]));
}

#[test]
fn a_lost_restart_marker_costs_its_interval() {
    let (mut file, whole) = file();
    let at = restarts(&file)[2];
    file.drain(at..at + 2);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.damage, Some(Damage::Restart));
    assert_eq!(sound_rows(&picture, &whole), [true, true, true, false, true, true, true, true]);
    // As in libjpeg, the first block is made of zeros.
    assert!(picture.data[64 * 24..64 * 32].chunks(64).all(|row| is_gray(&row[8..])));
}

#[test]
fn a_doubled_restart_marker_costs_nothing() {
    let (mut file, whole) = file();
    let at = restarts(&file)[2];
    let interval = file[at..restarts(&file)[3]].to_vec();
    file.splice(at..at, interval);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.data, whole.data);
    assert_eq!(picture.damage, Some(Damage::Restart));
}

#[test]
fn a_byte_that_became_a_marker_costs_no_more_than_its_interval() {
    let (mut file, whole) = file();
    let at = restarts(&file)[2] + 4;
    file.splice(at..at + 2, [0xFF, 0x47]);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert!(picture.damage.is_some());
    assert_eq!(sound_rows(&picture, &whole), [true, true, true, false, true, true, true, true]);
}

#[test]
fn a_code_that_the_table_does_not_have() {
    let (mut file, whole) = file();
    let at = restarts(&file)[6];
    // Sixteen ones; each byte of ones is followed by a stuffed zero.
    file.splice(at + 2..at + 4, [0xFF, 0, 0xFF, 0, 0xFF, 0]);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.damage, Some(Damage::Corrupt));
    assert_eq!(sound_rows(&picture, &whole), [true, true, true, true, true, true, true, false]);
}

#[test]
fn scans_that_never_come() {
    let frame = Frame::noise(24, 24, &[(1, 1); 3], 31).rgb();
    let file = Writer::new().file(&frame, &[Scan::Sequential(vec![0])], 0);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.damage, Some(Damage::MissingScan));
    assert!(!is_gray(&channel(&picture, 0)) && is_gray(&channel(&picture, 1)));
    let file = Writer::new().file(&frame, &[Scan::DcFirst(vec![0, 1], 0)], 0);
    let picture = decoded(&file, Scale::Full).unwrap();
    assert_eq!(picture.damage, Some(Damage::MissingScan));
    assert!(!is_gray(&channel(&picture, 1)) && is_gray(&channel(&picture, 2)));
}

#[test]
fn rubbish_between_segments_is_passed_over() {
    let frame = Frame::noise(40, 24, &[(2, 1), (1, 1), (1, 1)], 37);
    for (name, scans) in super::scans::scripts(3) {
        let sound = decoded(&Writer::new().file(&frame, &scans, 0), Scale::Full).unwrap();
        let mut writer = Writer::new();
        writer.bytes.extend_from_slice(&[0, 7, 0xFF, 0xFF, 0xFF]);
        writer.bytes.pop();
        writer.segment(0xE5, b"anything");
        writer.segment(0xFE, b"a comment");
        writer.bytes.extend_from_slice(b"rubbish\xFF\0\xFF");
        let mut file = writer.file(&frame, &scans, 0);
        file.extend_from_slice(b"more of it");
        let picture = decoded(&file, Scale::Full).unwrap();
        assert_eq!(difference(&picture.data, &sound.data), 0, "{name}");
        assert_eq!(picture.damage, None, "{name}");
    }
}
