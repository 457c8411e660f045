//! By what the first bytes of a file tell its format; file name and media type are never asked. Nothing is decoded.

/// How the files of a format begin.
pub(super) enum Mark {
    /// So many bytes suffice to say whether it is one.
    Magic(usize, fn(&[u8]) -> bool),
    /// XML with this root element, in any namespace.
    Root(&'static [u8]),
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

/// How much XML prologue may stand before the root element.
const PROLOGUE_BYTES: usize = 16 * 1024;

impl Mark {
    /// Whether `bytes`, the first ones of a file, bear it.
    pub(super) fn told(&self, bytes: &[u8]) -> Told {
        match self {
            Self::Magic(_, bears) if bears(bytes) => Told::Yes,
            Self::Magic(suffice, _) if bytes.len() < *suffice => Told::Open,
            Self::Magic(..) => Told::No,
            Self::Root(name) => xml_root(bytes, name),
        }
    }
}

/// Looks for `<name` (any namespace prefix) behind what may stand before the root element.
fn xml_root(bytes: &[u8], name: &[u8]) -> Told {
    let open = if bytes.len() < PROLOGUE_BYTES { Told::Open } else { Told::No };
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
            [b'<', ..] => return root_name(&rest[1..], name, open),
            _ => return Told::No,
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

fn root_name(bytes: &[u8], wanted: &[u8], open: Told) -> Told {
    let Some(end) = bytes.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')) else {
        return open;
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
        let svgs: [&[u8]; 5] = [
            b"<svg>",
            b"\xEF\xBB\xBF \n<svg xmlns='x'/>",
            b"<?xml version='1.0'?>\n<!-- <html> --><svg width='1'>",
            b"<!DOCTYPE svg PUBLIC 'a' 'b' [<!ENTITY x '<html>'>]><svg/>",
            b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
        ];
        for svg in svgs {
            assert_eq!(SVG.told(svg), Told::Yes, "{}", String::from_utf8_lossy(svg));
        }
        for other in [
            &b"<html><svg/></html>"[..],
            b"<!-- <svg> --><p></p>",
            b"svg and some more text",
            b"<svgx/> and some more",
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
        for start in [&b""[..], b"<?xml version='1.0'", b"<!-- <svg>", b"<sv"] {
            assert_eq!(SVG.told(start), Told::Open, "{start:?}");
        }
        let endless = [b"<!--".as_slice(), &[b' '; PROLOGUE_BYTES]].concat();
        assert_eq!(SVG.told(&endless), Told::No);
    }
}
