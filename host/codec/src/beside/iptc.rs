//! IPTC's records (Information Interchange Model 4.2, part II): a mark, the numbers of record and dataset, a length, and the value.

use super::rights::{MAX_TEXTS, Rights};

const MARK: u8 = 0x1C;
/// Bytes before a value.
const HEAD: usize = 5;
/// Record and dataset of the encoding, of who made a picture, and of whose it is.
const ENCODING: (u8, u8) = (1, 90);
const BYLINE: (u8, u8) = (2, 80);
const COPYRIGHT: (u8, u8) = (2, 116);
/// What the encoding's value is for UTF-8 (ISO 2022).
const UTF_8: &[u8] = b"\x1B%G";

/// A dataset: its numbers, its value, and all of it.
struct Dataset<'a> {
    number: (u8, u8),
    value: &'a [u8],
    whole: &'a [u8],
}

/// As far as they can be read; values of more than 32 KiB, whose length is written otherwise, end them.
fn datasets(mut records: &[u8]) -> impl Iterator<Item = Dataset<'_>> {
    std::iter::from_fn(move || {
        let &[mark, record, dataset, high, low, ..] = records else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (whole, rest) = records.split_at_checked(HEAD + length)?;
        if mark != MARK || length > 0x7FFF {
            return None;
        }
        records = rest;
        Some(Dataset { number: (record, dataset), value: &whole[HEAD..], whole })
    })
}

/// What of the records says whose the picture is.
pub(super) fn only_rights(records: &[u8]) -> Option<Vec<u8>> {
    let kept = datasets(records).filter(|dataset| [ENCODING, BYLINE, COPYRIGHT].contains(&dataset.number));
    let kept: Vec<Dataset<'_>> = kept.take(MAX_TEXTS).collect();
    let told = kept.iter().any(|dataset| dataset.number != ENCODING);
    told.then(|| kept.iter().flat_map(|dataset| dataset.whole).copied().collect())
}

/// The same as texts.
pub(super) fn rights(records: &[u8]) -> Rights {
    let wide = datasets(records).any(|dataset| dataset.number == ENCODING && dataset.value == UTF_8);
    let text = |value: &[u8]| match wide {
        true => String::from_utf8_lossy(value).into_owned(),
        // Where nothing is said, most mean Latin-1.
        false => value.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut rights = Rights::default();
    for dataset in datasets(records).take(MAX_TEXTS) {
        match dataset.number {
            BYLINE => rights.creators.push(text(dataset.value)),
            COPYRIGHT => rights.rights.push(("x-default".to_owned(), text(dataset.value))),
            _ => {}
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(number: (u8, u8), value: &[u8]) -> Vec<u8> {
        [&[MARK, number.0, number.1], &(value.len() as u16).to_be_bytes()[..], value].concat()
    }

    #[test]
    fn of_records_those_stay_that_say_whose_a_picture_is() {
        let (city, copyright) = (dataset((2, 90), b"Bern"), dataset(COPYRIGHT, b"\xA9 Ann"));
        let records = [&city[..], &dataset(BYLINE, b"Ann"), &copyright].concat();
        assert_eq!(only_rights(&records).unwrap(), [dataset(BYLINE, b"Ann"), copyright.clone()].concat());
        assert_eq!(only_rights(&city), None);
        let told = rights(&records);
        assert_eq!(told.creators, ["Ann"]);
        assert_eq!(told.rights, [("x-default".to_owned(), "© Ann".to_owned())]);
        let wide = [dataset(ENCODING, UTF_8), dataset(BYLINE, "Änn".as_bytes())].concat();
        assert_eq!(rights(&wide).creators, ["Änn"]);
        assert_eq!(only_rights(&wide), Some(wide.clone()));
        for end in 0..records.len() {
            let _ = (only_rights(&records[..end]), rights(&records[..end]));
        }
        assert_eq!(rights(&records[..records.len() - 1]).rights, [], "a value that is cut off is none");
    }
}
