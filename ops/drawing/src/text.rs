//! From a drawing's bytes to its text: svgz is decompressed, and the encoding is the one that a byte order mark or the XML
//! declaration names (XML 1.0, appendix F).

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::GzDecoder;

/// Most bytes of a text that is not in the source as it is: 32 MiB, however little the compressed source takes.
pub const MAX_BYTES: usize = 32 << 20;
/// Most files that one compressed source is made of; there is one, but for those that were put together.
const MAX_MEMBERS: usize = 16;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// As much of a text as its beginning is, decompressed.
const BEGINNING: u64 = 256 << 10;
/// How much of a text the XML declaration is looked for in.
const DECLARATION: usize = 1024;

/// Why a drawing's bytes are no text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// What is compressed is cut off or damaged.
    #[error("the compressed data is damaged: {0}")]
    Compressed(#[source] std::io::Error),
    /// It would be longer than [`MAX_BYTES`].
    #[error("decompressed and in UTF-8 it has more than {MAX_BYTES} bytes")]
    TooLong,
    /// It breaks the rules of its encoding.
    #[error("the text is not {0}")]
    Malformed(&'static str),
    /// Its encoding has a name that nobody knows, and it is not UTF-8 either.
    #[error("the text is not UTF-8, and its encoding `{0}` is not known")]
    Unknown(String),
}

/// Whether a drawing is an svgz.
pub fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP)
}

/// The text of a drawing, without a byte order mark.
///
/// # Errors
/// What keeps it from being text.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, TextError> {
    if !is_compressed(bytes) {
        return decoded(bytes);
    }
    let text = inflated(bytes)?;
    Ok(Cow::Owned(decoded(&text)?.into_owned()))
}

/// The text of a drawing's first bytes, as far as it goes: what is cut off or damaged at its end is left out.
pub fn beginning(bytes: &[u8]) -> Cow<'_, str> {
    if !is_compressed(bytes) {
        return lossy(bytes);
    }
    let mut text = Vec::new();
    // What was read before the end stays in `text`.
    let _cut = GzDecoder::new(bytes).take(BEGINNING).read_to_end(&mut text);
    Cow::Owned(lossy(&text).into_owned())
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, TextError> {
    let (mut text, mut rest) = (Vec::new(), bytes);
    for _ in 0..MAX_MEMBERS {
        let mut member = GzDecoder::new(rest);
        let room = (MAX_BYTES + 1 - text.len()) as u64;
        member.by_ref().take(room).read_to_end(&mut text).map_err(TextError::Compressed)?;
        if text.len() > MAX_BYTES {
            return Err(TextError::TooLong);
        }
        rest = member.into_inner();
        // Whatever else stands behind the drawing is none of it.
        if !is_compressed(rest) {
            return Ok(text);
        }
    }
    Err(TextError::TooLong)
}

fn decoded(bytes: &[u8]) -> Result<Cow<'_, str>, TextError> {
    let (encoding, bytes) = encoding(bytes);
    let Some(encoding) = encoding.or_else(|| std::str::from_utf8(bytes).is_ok().then_some(UTF_8)) else {
        return Err(TextError::Unknown(declared(bytes).unwrap_or_default().escape_debug().collect()));
    };
    if encoding == UTF_8 {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| TextError::Malformed("UTF-8"));
    }
    // A byte becomes three at most.
    if bytes.len() > MAX_BYTES {
        return Err(TextError::TooLong);
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let text = text.ok_or(TextError::Malformed(encoding.name()))?;
    if text.len() > MAX_BYTES { Err(TextError::TooLong) } else { Ok(text) }
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    let (encoding, bytes) = encoding(bytes);
    encoding.unwrap_or(UTF_8).decode_without_bom_handling(bytes).0
}

/// What the text is encoded in, and the bytes without their mark; none for an encoding whose name is not known.
fn encoding(bytes: &[u8]) -> (Option<&'static Encoding>, &[u8]) {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return (Some(encoding), &bytes[mark..]);
    }
    let found = match bytes {
        [first, 0, _, 0, ..] if *first != 0 => Some(UTF_16LE),
        [0, first, 0, _, ..] if *first != 0 => Some(UTF_16BE),
        _ => match declared(bytes).map(|label| Encoding::for_label_no_replacement(label.as_bytes())) {
            // Its declaration was read byte by byte, so that is what it is not.
            Some(Some(wide)) if wide == UTF_16LE || wide == UTF_16BE => Some(UTF_8),
            Some(named) => named,
            None => Some(UTF_8),
        },
    };
    (found, bytes)
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Option<&str> {
    let text = bytes.trim_ascii_start().strip_prefix(b"<?xml")?;
    let text = &text[..text.len().min(DECLARATION)];
    let end = text.windows(2).position(|pair| pair == b"?>")?;
    let text = std::str::from_utf8(&text[..end]).ok()?;
    let value =
        text[text.find("encoding")? + "encoding".len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next().map(str::trim)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
