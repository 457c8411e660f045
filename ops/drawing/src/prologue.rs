//! What stands before the root element of a text, and that element's start tag. Whether they are well-formed is the parser's to
//! say.

use std::ops::Range;

/// The start tag of the root element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// The tag, from its `<` to behind its `>`.
    pub(crate) tag: Range<usize>,
    /// Its name, prefix included.
    pub(crate) name: Range<usize>,
}

/// Where the root element begins; none if that is not in the text.
pub(crate) fn root(text: &str) -> Option<Root> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        let rest = &text[at..];
        at = match rest.as_bytes() {
            [b'<', b'?', ..] => behind(text, at, "?>")?,
            [b'<', b'!', b'-', b'-', ..] => behind(text, at + 4, "-->")?,
            [b'<', b'!', ..] => doctype_end(text, at)?,
            [b'<', ..] => return tag(text, at),
            _ => return None,
        };
    }
}

/// Past the next of these.
fn behind(text: &str, from: usize, end: &str) -> Option<usize> {
    text.get(from..)?.find(end).map(|at| from + at + end.len())
}

/// Past a `<!DOCTYPE … [ … ]>`.
fn doctype_end(text: &str, at: usize) -> Option<usize> {
    let (mut next, mut depth) = (at + 2, 1);
    while depth > 0 {
        let rest = &text.as_bytes()[next..];
        next = match *rest.first()? {
            b'<' if rest.starts_with(b"<!--") => behind(text, next + 4, "-->")?,
            quote @ (b'"' | b'\'') => quoted(text, next, quote)?,
            byte => {
                depth += i32::from(byte == b'<') - i32::from(byte == b'>');
                next + 1
            }
        };
    }
    Some(next)
}

/// Past what stands between quotes.
fn quoted(text: &str, at: usize, quote: u8) -> Option<usize> {
    text.as_bytes()[at + 1..].iter().position(|byte| *byte == quote).map(|length| at + length + 2)
}

fn tag(text: &str, start: usize) -> Option<Root> {
    let bytes = text.as_bytes();
    let ends_name = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
    let name = start + 1..start + 1 + bytes[start + 1..].iter().position(ends_name)?;
    let mut next = name.end;
    loop {
        next = match *bytes.get(next)? {
            quote @ (b'"' | b'\'') => quoted(text, next, quote)?,
            b'>' => return Some(Root { tag: start..next + 1, name }),
            _ => next + 1,
        };
    }
}

/// Whether a start tag has an attribute of this name.
pub(crate) fn has_attribute(tag: &str, name: &str) -> bool {
    // Every other part stands between quotes of one kind or the other.
    let mut rest = tag;
    while let Some(at) = rest.find(['"', '\'']) {
        let before = rest[..at].trim_end().strip_suffix('=').unwrap_or_default().trim_end();
        let found = before.strip_suffix(name).is_some_and(|before| before.ends_with(char::is_whitespace));
        let Some(end) = quoted(rest, at, rest.as_bytes()[at]) else { return found };
        if found {
            return true;
        }
        rest = &rest[end..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_element_is_found_behind_whatever_may_stand_before_it() {
        for before in [
            "",
            " \n",
            "<?xml version='1.0'?>",
            "<!-- <svg> --><?x <y> ?>\n",
            "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.0//EN\" 'x>y'>",
            "<!DOCTYPE svg [<!ENTITY a '<svg>'><!-- ]> ' --><!ATTLIST svg b CDATA ''>]>",
        ] {
            let text = format!("{before}<s:svg a='>' b=\"'\">é</s:svg>");
            let root = root(&text).unwrap();
            assert_eq!((&text[root.name], &text[root.tag]), ("s:svg", "<s:svg a='>' b=\"'\">"), "{before}");
        }
        for none in ["", "x", "<svg", "<svg a='>", "<!-- <svg>", "<?xml", "<!DOCTYPE svg [<!ENTITY a '>", "<"]
        {
            assert_eq!(root(none), None, "{none}");
        }
    }

    #[test]
    fn attributes_are_told_from_what_is_in_them() {
        let tag = "<svg a = \"xmlns='u'\" b='c' xmlns:x=\"u\"\n id ='i'>";
        for (name, has) in
            [("a", true), ("b", true), ("id", true), ("xmlns:x", true), ("xmlns", false), ("x", false)]
        {
            assert_eq!(has_attribute(tag, name), has, "{name}");
        }
    }
}
