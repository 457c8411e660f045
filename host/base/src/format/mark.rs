//! By what the first bytes of a file tell its format; file name and media type are never asked. Nothing is decoded.

/// How the files of a format begin.
pub(super) enum Mark {
    /// So many bytes suffice to say whether it is one.
    Magic(usize, fn(&[u8]) -> bool),
    /// A first box that names one of these brands (ISO/IEC 14496-12, section 4.3).
    Brand(&'static [[u8; 4]]),
    /// XML with this root element, in any namespace and encoding; or compressed by gzip, of which nothing else here is.
    Root(&'static [u8]),
    /// One of these, as a plugin says it.
    Bytes(&'static [Magic]),
}

/// Bytes that stand somewhere in the beginning of a file.
pub(super) struct Magic {
    /// How many bytes stand before them.
    pub(super) offset: usize,
    pub(super) bytes: &'static [u8],
}

impl Magic {
    fn told(&self, file: &[u8]) -> Told {
        match file.get(self.offset..) {
            Some(rest) if rest.starts_with(self.bytes) => Told::Yes,
            Some(rest) if !self.bytes.starts_with(rest) => Told::No,
            _ => Told::Open,
        }
    }

    /// Whether whatever bears the one bears the other.
    fn meets(&self, other: &Self) -> bool {
        let begins = self.bytes.starts_with(other.bytes) || other.bytes.starts_with(self.bytes);
        self.offset == other.offset && begins
    }
}

/// What the first bytes of a file tell of one mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The file is so marked.
    Yes,
    /// Too few bytes to tell.
    Open,
    /// It is not.
    No,
}

/// As much of a wide text as is looked at: its prologue is a declaration and a document type.
const WIDE_BYTES: usize = 128 * 1024;

/// The longest box of brands that is looked through; those in use have some forty bytes.
const MAX_BRANDS: usize = 1024;

impl Mark {
    /// Whether `bytes`, the first ones of a file, bear it.
    pub(super) fn told(&self, bytes: &[u8]) -> Told {
        match self {
            Self::Magic(_, bears) if bears(bytes) => Told::Yes,
            Self::Magic(suffice, _) if bytes.len() < *suffice => Told::Open,
            Self::Magic(..) => Told::No,
            Self::Brand(brands) => brand(bytes, brands),
            Self::Root(name) => xml_root(bytes, name),
            Self::Bytes(magics) => {
                let told = |wanted: Told| magics.iter().any(|magic| magic.told(bytes) == wanted);
                [Told::Yes, Told::Open].into_iter().find(|wanted| told(*wanted)).unwrap_or(Told::No)
            }
        }
    }

    /// Whether files that bear the one bear the other, as far as plugins say how theirs begin.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(ours), Self::Bytes(theirs)) => {
                ours.iter().any(|one| theirs.iter().any(|other| one.meets(other)))
            }
            _ => false,
        }
    }
}

fn brand(bytes: &[u8], brands: &[[u8; 4]]) -> Told {
    let kind = bytes.get(4..).unwrap_or_default();
    if !kind.starts_with(b"ftyp") {
        return if b"ftyp".starts_with(kind) { Told::Open } else { Told::No };
    }
    let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    if !(16..=MAX_BRANDS).contains(&length) {
        return Told::No;
    }
    let (words, _) = bytes[..bytes.len().min(length)].as_chunks::<4>();
    // Behind length and kind: the one that it is first of all, its version, and the others.
    let named = words.iter().enumerate().any(|(at, word)| at >= 2 && at != 3 && brands.contains(word));
    match (named, bytes.len() < length) {
        (true, _) => Told::Yes,
        (false, true) => Told::Open,
        (false, false) => Told::No,
    }
}

fn xml_root(bytes: &[u8], name: &[u8]) -> Told {
    match bytes {
        [0x1F, 0x8B, ..] => Told::Yes,
        [0x1F] => Told::Open,
        // UTF-16: by its byte order mark, or by the `<` that it begins with.
        [0xFF, 0xFE, rest @ ..] => prologue(&narrow(rest, 0), name),
        [0xFE, 0xFF, rest @ ..] => prologue(&narrow(rest, 1), name),
        [b'<', 0, ..] => prologue(&narrow(bytes, 0), name),
        [0, b'<', ..] => prologue(&narrow(bytes, 1), name),
        [0xFF | 0xFE | 0] => Told::Open,
        _ => prologue(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes), name),
    }
}

/// A text in UTF-16 as one in ASCII; `low` is where in each pair the low byte stands. What is not ASCII is no space and no name.
fn narrow(bytes: &[u8], low: usize) -> Vec<u8> {
    let pairs = bytes[..bytes.len().min(WIDE_BYTES)].chunks_exact(2);
    pairs.map(|pair| if pair[1 - low] == 0 { pair[low] } else { b'?' }).collect()
}

/// Looks for `<name` (any namespace prefix) behind what may stand before the root element, however long that is.
fn prologue(bytes: &[u8], name: &[u8]) -> Told {
    let mut rest = bytes;
    loop {
        rest = rest.trim_ascii_start();
        let (from, end): (usize, &[u8]) = match rest {
            [] => return Told::Open,
            [b'<', b'?', ..] => (2, b"?>"),
            [b'<', b'!', b'-', b'-', ..] => (4, b"-->"),
            [b'<', b'!', ..] => match doctype_end(rest) {
                Some(end) => {
                    rest = &rest[end..];
                    continue;
                }
                None => return Told::Open,
            },
            [b'<', ..] => return root_name(&rest[1..], name),
            _ => return Told::No,
        };
        match rest[from..].windows(end.len()).position(|window| window == end) {
            Some(at) => rest = &rest[from + at + end.len()..],
            None => return Told::Open,
        }
    }
}

/// Where a `<!DOCTYPE …>` ends; its internal subset in brackets may hold further `>`, quotes and comments any of these.
fn doctype_end(bytes: &[u8]) -> Option<usize> {
    let mut subset = false;
    let mut at = 2;
    loop {
        let rest = &bytes[at..];
        at += match *rest.first()? {
            quote @ (b'"' | b'\'') => 2 + rest[1..].iter().position(|byte| *byte == quote)?,
            b'<' if rest.starts_with(b"<!--") => {
                7 + rest[4..].windows(3).position(|window| window == b"-->")?
            }
            b'>' if !subset => return Some(at + 1),
            byte => {
                subset = (subset || byte == b'[') && byte != b']';
                1
            }
        };
    }
}

fn root_name(bytes: &[u8], wanted: &[u8]) -> Told {
    let Some(end) = bytes.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')) else {
        return Told::Open;
    };
    let name = bytes[..end].rsplit(|&b| b == b':').next();
    if name == Some(wanted) { Told::Yes } else { Told::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: Mark = Mark::Root(b"svg");

    #[test]
    fn a_root_element_is_seen_behind_its_prologue() {
        let svgs: [&[u8]; 10] = [
            b"<svg>",
            b"\xEF\xBB\xBF \n<svg xmlns='x'/>",
            b"<?xml version='1.0'?>\n<!-- <html> --><svg width='1'>",
            b"<!DOCTYPE svg PUBLIC 'a' 'b' [<!ENTITY x '<html>'>]><svg/>",
            b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
            b"<!DOCTYPE svg [<!ENTITY a ']>'><!-- ' ]> -->]><svg/>",
            b"\xFF\xFE<\0s\0v\0g\0>\0",
            b"\xFE\xFF\0<\0!\0-\0-\x01-\0-\0-\0>\0<\0s\0v\0g\0 ",
            b"<\0s\0v\0g\0>\0",
            b"\x1F\x8B\x08\0",
        ];
        for svg in svgs {
            assert_eq!(SVG.told(svg), Told::Yes, "{}", String::from_utf8_lossy(svg));
        }
        for other in [
            &b"<html><svg/></html>"[..],
            b"<!-- <svg> --><p></p>",
            b"svg and some more text",
            b"<svgx/> and some more",
            b"\xFF\xFE<\0p\0>\0",
            b"\xFF\xFEtext that is none",
        ] {
            assert_eq!(SVG.told(other), Told::No, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_beginning_leaves_the_answer_open() {
        let magic = Mark::Magic(4, |bytes| matches!(bytes, [b'A', b'B', _, b'D', ..]));
        for (bytes, told) in
            [(&b""[..], Told::Open), (b"ABC", Told::Open), (b"ABCD", Told::Yes), (b"ABCE", Told::No)]
        {
            assert_eq!(magic.told(bytes), told, "{bytes:?}");
        }
        for start in
            [&b""[..], b"<?xml version='1.0'", b"<!-- <svg>", b"<sv", b"\xFF", b"\xFE\xFF\0<\0s", b"\x1F"]
        {
            assert_eq!(SVG.told(start), Told::Open, "{start:?}");
        }
        let endless = [b"<!--".as_slice(), &[b' '; 1 << 20]].concat();
        assert_eq!(SVG.told(&endless), Told::Open);
        assert_eq!(SVG.told(&[&endless, b"--><svg>".as_slice()].concat()), Told::Yes);
    }
}
