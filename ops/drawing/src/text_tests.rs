//! Texts in every encoding that they come in, and those that are none.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn wide(text: &str, big: bool) -> Vec<u8> {
    let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    text.encode_utf16().flat_map(bytes).collect()
}

fn named(label: &str, bytes: &[u8]) -> Vec<u8> {
    [format!("<?xml version='1.0' encoding=\"{label}\" ?><svg>").as_bytes(), bytes, b"</svg>"].concat()
}

#[test]
fn a_text_is_read_in_the_encoding_that_it_names() {
    let kinds: [(&str, &[u8], &str); 12] = [
        ("UTF-8", "Café".as_bytes(), "Café"),
        ("utf8", "Café".as_bytes(), "Café"),
        ("ISO-8859-1", b"Caf\xe9", "Café"),
        ("latin1", b"Caf\xe9", "Café"),
        ("windows-1252", b"Caf\xe9 \x80", "Café €"),
        ("Windows-1251", b"\xca\xe8\xf0", "Кир"),
        ("ISO-8859-15", b"\xa4", "€"),
        ("iso-8859-2", b"\xb1", "ą"),
        ("KOI8-R", b"\xeb", "К"),
        ("Shift_JIS", b"\x83\x4a", "カ"),
        ("GBK", b"\xd6\xd0", "中"),
        ("EUC-KR", b"\xb0\xa1", "가"),
    ];
    for (label, bytes, words) in kinds {
        let read = named(label, bytes);
        assert!(text(&read).unwrap().ends_with(&format!("<svg>{words}</svg>")), "{label}");
        assert!(text(&gzip(&read)).unwrap().ends_with(&format!("<svg>{words}</svg>")), "{label}, compressed");
        assert!(beginning(&read).ends_with(&format!("<svg>{words}</svg>")), "{label}");
    }
}

#[test]
fn wide_texts_are_known_with_and_without_a_mark() {
    let words = "<?xml version='1.0' encoding='UTF-16'?><svg>Café 中</svg>";
    for big in [false, true] {
        for mark in ["\u{feff}", ""] {
            let bytes = wide(&format!("{mark}{words}"), big);
            assert_eq!(text(&bytes).unwrap(), words, "{big} {mark:?}");
            assert_eq!(beginning(&bytes), words);
        }
    }
    assert_eq!(text(b"\xef\xbb\xbf<svg/>").unwrap(), "<svg/>");
    // What is not wide in spite of its name is read all the same, and so is a name nobody knows where it does not matter.
    for label in ["UTF-16", "ucs-2", "x-nonsense", ""] {
        assert!(text(&named(label, "é".as_bytes())).unwrap().ends_with("<svg>é</svg>"), "{label}");
    }
}

#[test]
fn what_is_no_text_says_why() {
    let refused = |bytes: &[u8]| text(bytes).unwrap_err().to_string();
    assert_eq!(refused(b"<svg>\xff</svg>"), "the text is not UTF-8");
    assert_eq!(
        refused(&named("x-nonsense", b"\xff")),
        "the text is not UTF-8, and its encoding `x-nonsense` is not known"
    );
    assert_eq!(refused(&named("Shift_JIS", b"\x83")), "the text is not Shift_JIS");
    assert_eq!(refused(b"\xff\xfe<\0s\0\0\xd8>\0"), "the text is not UTF-16LE");
    let whole = gzip(b"<svg/>");
    assert!(refused(&whole[..whole.len() - 4]).starts_with("the compressed data is damaged: "));
    assert!(refused(b"\x1f\x8b\x08\0").starts_with("the compressed data is damaged: "));
}

#[test]
fn compressed_texts_have_a_limit_and_may_be_in_parts() {
    let bomb = gzip(&vec![b' '; MAX_BYTES + 1]);
    assert!(bomb.len() < 100_000);
    assert!(matches!(text(&bomb), Err(TextError::TooLong)));
    assert_eq!(text(&gzip(&vec![b' '; MAX_BYTES])).unwrap().len(), MAX_BYTES);
    let halves = [gzip(b"<svg"), gzip(b"/>"), b"and more".to_vec()].concat();
    assert_eq!(text(&halves).unwrap(), "<svg/>");
    assert!(matches!(text(&gzip(b"").repeat(100_000)), Err(TextError::TooLong)));
    let wide_bomb = gzip(&[b"\xff\xfe".as_slice(), &vec![0x4e; MAX_BYTES - 2]].concat());
    assert!(matches!(text(&wide_bomb), Err(TextError::TooLong)), "two bytes become three");
}

#[test]
fn a_beginning_is_read_as_far_as_it_goes() {
    let words = format!("<svg>{}", "0123456789abcdef".repeat(5000));
    let compressed = gzip(words.as_bytes());
    let read = beginning(&compressed[..compressed.len() / 2]);
    assert!(words.starts_with(&*read) && read.starts_with("<svg>"), "{read:.40}");
    assert_eq!(beginning(b"<svg>\xc3"), "<svg>\u{fffd}");
}
