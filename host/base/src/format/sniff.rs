//! How each format is recognised by its first bytes; file name and media type are never asked. Nothing is decoded.

use super::Format;

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// They are of this format.
    Is(Format),
    /// Too few bytes to tell.
    Open,
    /// They are of none.
    Unknown,
}

/// The longest signature: a bitmap's, up to its header's length.
const MAGIC_BYTES: usize = 18;
/// How much XML prologue may stand before `<svg`.
const PROLOGUE_BYTES: usize = 16 * 1024;

/// Which format `bytes`, the first ones of a file, are of.
pub fn sniff(bytes: &[u8]) -> Sniff {
    if let Some(format) = magic(bytes) {
        return Sniff::Is(format);
    }
    match xml_root(bytes) {
        Sniff::Unknown if bytes.len() < MAGIC_BYTES => Sniff::Open,
        told => told,
    }
}

fn magic(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        // The two reserved fields are 0 and the header is 12 to 124 bytes long: "BM" alone is too common.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, _, _, _, _, 12..=124, 0, 0, 0, ..] => Some(Format::Bmp),
        // 43 is BigTIFF.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
        // Type 1 (icon), and a first entry whose reserved byte is 0.
        [0, 0, 1, 0, 1..=255, 0, _, _, _, 0, ..] => Some(Format::Ico),
        _ => None,
    }
}

/// Looks for `<svg` (any namespace prefix) behind what may stand before the root element.
fn xml_root(bytes: &[u8]) -> Sniff {
    let open = if bytes.len() < PROLOGUE_BYTES { Sniff::Open } else { Sniff::Unknown };
    let mut rest = &bytes[..bytes.len().min(PROLOGUE_BYTES)];
    rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = match rest {
            [] => return open,
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => match doctype_end(rest) {
                Some(end) => {
                    rest = &rest[end..];
                    continue;
                }
                None => return open,
            },
            [b'<', ..] => return root_name(&rest[1..], open),
            _ => return Sniff::Unknown,
        };
        match rest.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return open,
        }
    }
}

/// Where a `<!DOCTYPE …>` ends; its internal subset in brackets may hold further `>`.
fn doctype_end(bytes: &[u8]) -> Option<usize> {
    let mut subset = false;
    bytes
        .iter()
        .position(|&byte| {
            match byte {
                b'[' => subset = true,
                b']' => subset = false,
                _ => {}
            }
            byte == b'>' && !subset
        })
        .map(|at| at + 1)
}

fn root_name(bytes: &[u8], open: Sniff) -> Sniff {
    let Some(end) = bytes.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')) else {
        return open;
    };
    let name = bytes[..end].rsplit(|&b| b == b':').next();
    if name == Some(b"svg") { Sniff::Is(Format::Svg) } else { Sniff::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(bytes: &[u8]) -> Option<Format> {
        match sniff(bytes) {
            Sniff::Is(format) => Some(format),
            Sniff::Open | Sniff::Unknown => None,
        }
    }

    #[test]
    fn an_svg_is_seen_behind_its_prologue() {
        let svgs: [&[u8]; 5] = [
            b"<svg>",
            b"\xEF\xBB\xBF \n<svg xmlns='x'/>",
            b"<?xml version='1.0'?>\n<!-- <html> --><svg width='1'>",
            b"<!DOCTYPE svg PUBLIC 'a' 'b' [<!ENTITY x '<html>'>]><svg/>",
            b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
        ];
        for svg in svgs {
            assert_eq!(recognised(svg), Some(Format::Svg), "{}", String::from_utf8_lossy(svg));
        }
        for other in [
            &b"<html><svg/></html>"[..],
            b"<!-- <svg> --><p></p>",
            b"svg and some more text",
            b"<svgx/> and some more",
        ] {
            assert_eq!(sniff(other), Sniff::Unknown, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_beginning_leaves_the_answer_open() {
        for start in
            [&b""[..], b"\xFF", b"GIF8", b"RIFF\x10\0\0\0WEB", b"<?xml version='1.0'", b"<!-- <svg>", b"<sv"]
        {
            assert_eq!(sniff(start), Sniff::Open, "{start:?}");
        }
        let endless = [b"<!--".as_slice(), &[b' '; PROLOGUE_BYTES]].concat();
        assert_eq!(sniff(&endless), Sniff::Unknown);
    }
}
