//! An entry as the bytes of a file: a line that says of which version it is, how long its parts are and what their digests are; a head
//! of JSON; and the result's own bytes. Of a version are the types here, made for storing: what an entry is otherwise is free to
//! change. Every earlier version is read; those of a later program have names by which they are left alone (`folder`).

use bytes::Bytes;
use imgserve_base::digest::digest;
use imgserve_base::version::Version;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, KeptResult, KnownSource, What};
use super::key::{Key, hex, unhex};

/// The version that is written.
pub(crate) const VERSION: u32 = 1;
/// With what the first line begins.
const MAGIC: &str = "imgserve-cache";
/// The longest first line, in bytes.
const MAX_LINE: usize = 160;

/// A file that is not as it was written, or not of this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

#[derive(Debug, Deserialize, Serialize)]
struct HeadV1 {
    key: String,
    made_ms: u64,
    #[serde(flatten)]
    what: WhatV1,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum WhatV1 {
    Result(ResultV1),
    Source(SourceV1),
}

#[derive(Debug, Deserialize, Serialize)]
struct ResultV1 {
    operation: String,
    source: String,
    media_type: String,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct SourceV1 {
    url: String,
    sha256: String,
    earlier: Vec<String>,
    xxh3: String,
    format: Option<String>,
    media_type: Option<String>,
    bytes: u64,
    tag: Option<String>,
    modified: Option<String>,
    at: Option<String>,
    stamp: Option<String>,
    asked_ms: u64,
    fresh_s: Option<u64>,
    reach: String,
}

/// What stands before the body of an entry's file.
pub(crate) fn head(key: &Key, entry: &Entry) -> Vec<u8> {
    let what = match &entry.what {
        What::Result(result) => WhatV1::Result(ResultV1 {
            operation: result.operation.clone(),
            source: result.source.clone(),
            media_type: result.media_type.clone(),
            warnings: result.warnings.clone(),
        }),
        What::Source(source) => WhatV1::Source(source_v1(source)),
    };
    let head = HeadV1 { key: key.to_string(), made_ms: entry.made_ms, what };
    let json = serde_json::to_vec(&head).expect("texts and numbers are JSON");
    let body = entry.body();
    let (sizes, sums) = ([json.len(), body.len()], [sum(&json), sum(body)]);
    let line = format!("{MAGIC} {VERSION} {} {} {} {}\n", sizes[0], sizes[1], sums[0], sums[1]);
    [line.as_bytes(), &json].concat()
}

/// The digest of a part, as the first line has it.
fn sum(bytes: &[u8]) -> String {
    format!("{:032x}", digest(bytes))
}

/// The entry of a whole file.
///
/// # Errors
/// [`Damaged`].
pub(crate) fn read(key: &Key, file: Vec<u8>) -> Result<Entry, Damaged> {
    let file = Bytes::from(file);
    let (mut entry, line) = read_head(key, &file)?;
    let body = file.slice(line.end..);
    if body.len() != line.body || sum(&body) != line.body_digest {
        return Err(Damaged);
    }
    match &mut entry.what {
        What::Result(result) => result.bytes = body,
        What::Source(_) if body.is_empty() => {}
        What::Source(_) => return Err(Damaged),
    }
    Ok(entry)
}

/// The entry without its body, of the beginning of a file; and how long the body is.
///
/// # Errors
/// [`Damaged`]; also where the beginning is too short.
pub(crate) fn peek(key: &Key, beginning: &[u8]) -> Result<(Entry, usize), Damaged> {
    read_head(key, beginning).map(|(entry, line)| (entry, line.body))
}

/// What the first line says.
struct Line {
    /// Where the head ends.
    end: usize,
    body: usize,
    body_digest: String,
}

fn read_head(key: &Key, file: &[u8]) -> Result<(Entry, Line), Damaged> {
    let damaged = || Damaged;
    let first = &file[..file.len().min(MAX_LINE)];
    let length = first.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let line = std::str::from_utf8(&first[..length]).map_err(|_| Damaged)?;
    let mut words = line.split(' ');
    let (magic, version) = (words.next(), words.next().and_then(|word| word.parse::<u32>().ok()));
    if (magic, version) != (Some(MAGIC), Some(VERSION)) {
        return Err(Damaged);
    }
    let mut size = || words.next()?.parse::<usize>().ok();
    let (head, body) = (size().ok_or_else(damaged)?, size().ok_or_else(damaged)?);
    let (head_digest, body_digest) =
        (words.next().ok_or_else(damaged)?, words.next().ok_or_else(damaged)?.to_owned());
    let end = (length + 1).checked_add(head).ok_or_else(damaged)?;
    let json = file.get(length + 1..end).filter(|json| sum(json) == head_digest).ok_or_else(damaged)?;
    let head: HeadV1 = serde_json::from_slice(json).map_err(|_| Damaged)?;
    if words.next().is_some() || head.key != key.to_string() {
        return Err(Damaged);
    }
    let entry = entry_of_v1(head).filter(|entry| entry.source().is_some() == key.is_source());
    Ok((entry.ok_or_else(damaged)?, Line { end, body, body_digest }))
}

fn source_v1(source: &KnownSource) -> SourceV1 {
    SourceV1 {
        url: source.url.clone(),
        sha256: hex(&source.digest),
        earlier: source.earlier.iter().map(|digest| hex(digest)).collect(),
        xxh3: format!("{:032x}", source.tag_digest),
        format: source.format.clone(),
        media_type: source.media_type.clone(),
        bytes: source.bytes,
        tag: source.version.tag.clone(),
        modified: source.version.modified.clone(),
        at: source.version.at.clone(),
        stamp: source.version.stamp.clone(),
        asked_ms: source.asked_ms,
        fresh_s: source.fresh_s,
        reach: hex(&source.reach),
    }
}

fn entry_of_v1(head: HeadV1) -> Option<Entry> {
    let what = match head.what {
        WhatV1::Result(result) => What::Result(KeptResult {
            operation: result.operation,
            source: result.source,
            media_type: result.media_type,
            warnings: result.warnings,
            bytes: Bytes::new(),
        }),
        WhatV1::Source(source) => What::Source(KnownSource {
            url: source.url,
            digest: unhex(&source.sha256)?,
            earlier: source.earlier.iter().map(|digest| unhex(digest)).collect::<Option<_>>()?,
            tag_digest: u128::from_str_radix(&source.xxh3, 16).ok()?,
            format: source.format,
            media_type: source.media_type,
            bytes: source.bytes,
            version: Version {
                tag: source.tag,
                modified: source.modified,
                at: source.at,
                stamp: source.stamp,
            },
            asked_ms: source.asked_ms,
            fresh_s: source.fresh_s,
            reach: unhex(&source.reach)?,
        }),
    };
    Some(Entry { made_ms: head.made_ms, what })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn result(bytes: &[u8]) -> What {
        What::Result(KeptResult {
            operation: "resize".to_owned(),
            source: "https://example.org/a.png".to_owned(),
            media_type: "image/png".to_owned(),
            warnings: vec!["ünlike".to_owned()],
            bytes: Bytes::copy_from_slice(bytes),
        })
    }

    fn source() -> What {
        What::Source(KnownSource {
            url: "https://example.org/a.png".to_owned(),
            digest: [1; 32],
            earlier: vec![[2; 32]],
            tag_digest: 77,
            format: Some("png".to_owned()),
            media_type: None,
            bytes: 3,
            version: Version { tag: Some("\"x\"".to_owned()), ..Version::default() },
            asked_ms: 5,
            fresh_s: Some(60),
            reach: [3; 32],
        })
    }

    fn key() -> Key {
        Key::result(&[1; 32], &[2; 32])
    }

    fn file(key: &Key, entry: &Entry) -> Vec<u8> {
        [&head(key, entry), entry.body()].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for (key, what) in
            [(key(), result(b"bytes")), (key(), result(b"")), (Key::source(&[9; 32]), source())]
        {
            let entry = Entry { made_ms: 1234, what };
            let file = file(&key, &entry);
            assert_eq!(read(&key, file.clone()), Ok(entry.clone()));
            let (head, body) = peek(&key, &file).unwrap();
            assert_eq!((head.made_ms, body), (1234, entry.body().len()));
            let other = if key.is_source() { self::key() } else { Key::source(&[9; 32]) };
            assert_eq!(read(&other, file), Err(Damaged), "it is another's");
        }
    }

    #[test]
    fn nothing_is_read_of_what_has_changed_by_a_bit_or_is_cut_off() {
        let file = file(&key(), &Entry { made_ms: 1234, what: result(b"some bytes of a picture") });
        for length in 0..file.len() {
            assert_eq!(read(&key(), file[..length].to_vec()), Err(Damaged), "cut off at {length}");
        }
        for place in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[place / 8] ^= 1 << (place % 8);
            assert_eq!(read(&key(), damaged), Err(Damaged), "bit {place}");
        }
        assert_eq!(read(&key(), [&file[..], b"x"].concat()), Err(Damaged));
    }

    /// As version 1 has written them. They are read for ever.
    #[test]
    fn files_of_version_1_are_read() {
        let head = r#"{"key":"KEY","made_ms":1700000000000,"result":{"operation":"resize","source":"https://example.org/a.png","media_type":"image/png","warnings":["ünlike"]}}"#;
        let head = head.replace("KEY", &key().to_string());
        let body = "a picture";
        let line = format!(
            "imgserve-cache 1 {} 9 {:032x} {:032x}\n",
            head.len(),
            digest(head.as_bytes()),
            digest(body.as_bytes())
        );
        let entry = read(&key(), format!("{line}{head}{body}").into_bytes()).unwrap();
        assert_eq!(entry, Entry { made_ms: 1_700_000_000_000, what: result(body.as_bytes()) });

        let (ones, twos, threes) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
        let head = format!(
            r#"{{"key":"{}","made_ms":7,"source":{{"url":"https://example.org/a.png","sha256":"{ones}","earlier":["{twos}"],"xxh3":"0000000000000000000000000000004d","format":"png","media_type":null,"bytes":3,"tag":"\"x\"","modified":null,"at":null,"stamp":null,"asked_ms":5,"fresh_s":60,"reach":"{threes}"}}}}"#,
            Key::source(&[9; 32])
        );
        let line = format!(
            "imgserve-cache 1 {} 0 {:032x} {:032x}\n",
            head.len(),
            digest(head.as_bytes()),
            digest(b"")
        );
        let entry = read(&Key::source(&[9; 32]), format!("{line}{head}").into_bytes()).unwrap();
        assert_eq!(entry, Entry { made_ms: 7, what: source() });
    }
}
