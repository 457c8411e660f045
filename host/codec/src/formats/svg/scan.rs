//! What an XML text would cost its parser, told by one look through it: some of what a text says takes time with the square of
//! its length, and entities take memory that the text does not show. Whether it is well-formed is the parser's to say.

use std::collections::HashMap;

use crate::error::CodecError;

/// Most elements of a drawing; librsvg loads 1,000,000 and draws 500,000.
const MAX_ELEMENTS: u64 = 500_000;
/// Most elements inside one another; libxml2 has 256, and usvg calls itself for each.
const MAX_DEPTH: u64 = 500;
/// Most attributes of one element. Each is compared with those before it.
const MAX_ATTRIBUTES: u64 = 1000;
/// Most such comparisons in all.
const MAX_PAIRS: u64 = 100_000_000;
/// Most namespaces in all that elements with a declaration of their own take over from those around them.
const MAX_NAMESPACES: u64 = 10_000_000;
/// Most elements and attributes that entities are made of: each of them is parsed again wherever it is used.
const MAX_MARKUP: u64 = 200;
/// Most bytes of text that entities stand for, in all.
const MAX_EXPANDED: u64 = 8 << 20;
/// Entities inside one another that the parser follows.
const MAX_NESTED: u32 = 10;

/// Refuses a text that would cost too much.
///
/// # Errors
/// [`CodecError::Limit`].
pub(super) fn check(text: &str) -> Result<(), CodecError> {
    let mut scan = Scan { text: text.as_bytes(), ..Scan::default() };
    let mut rest = 0;
    while let Some(at) = scan.find(rest, b"<") {
        rest = match scan.tag(at)? {
            Some(behind) => behind,
            // It ends within a tag, which is for the parser to say.
            None => return Ok(()),
        };
    }
    scan.references()
}

#[derive(Default)]
struct Scan<'t> {
    text: &'t [u8],
    /// The namespaces in scope in each element that is open.
    open: Vec<u64>,
    elements: u64,
    pairs: u64,
    namespaces: u64,
    /// The document type's entities, and where the document behind it begins.
    entities: HashMap<&'t [u8], &'t [u8]>,
    content: usize,
}

impl<'t> Scan<'t> {
    fn find(&self, from: usize, wanted: &[u8]) -> Option<usize> {
        let rest = self.text.get(from..)?;
        let first = *wanted.first()?;
        let mut at = 0;
        loop {
            at += rest[at..].iter().position(|byte| *byte == first)?;
            if rest[at..].starts_with(wanted) {
                return Some(from + at);
            }
            at += 1;
        }
    }

    /// Past the next of these.
    fn behind(&self, from: usize, end: &[u8]) -> Option<usize> {
        self.find(from, end).map(|at| at + end.len())
    }

    /// Past whatever begins at a `<`.
    fn tag(&mut self, at: usize) -> Result<Option<usize>, CodecError> {
        let rest = &self.text[at..];
        Ok(match rest {
            [b'<', b'!', b'-', b'-', ..] => self.behind(at + 4, b"-->"),
            [b'<', b'?', ..] => self.behind(at, b"?>"),
            [b'<', b'/', ..] => {
                self.open.pop();
                self.behind(at, b">")
            }
            _ if rest.starts_with(b"<![CDATA[") => self.behind(at, b"]]>"),
            [b'<', b'!', ..] => self.document_type(at)?,
            _ => self.element(at)?,
        })
    }

    fn element(&mut self, at: usize) -> Result<Option<usize>, CodecError> {
        let (mut attributes, mut declared) = (0_u64, 0_u64);
        let (mut name, mut end) = (at, None);
        let mut next = at + 1;
        while let Some(&byte) = self.text.get(next) {
            match byte {
                b'"' | b'\'' => {
                    let Some(closed) = self.find(next + 1, &[byte]) else { return Ok(None) };
                    next = closed;
                }
                b'=' => {
                    attributes += 1;
                    declared += u64::from(self.text[name..].starts_with(b"xmlns"));
                }
                b'>' => {
                    end = Some(next);
                    break;
                }
                byte if byte.is_ascii_whitespace() => name = next + 1,
                _ => {}
            }
            next += 1;
        }
        let Some(end) = end else { return Ok(None) };
        self.elements += 1;
        self.pairs += attributes * attributes / 2;
        let inherited = self.open.last().copied().unwrap_or_default();
        self.namespaces += if declared > 0 { inherited + declared } else { 0 };
        if self.text[end - 1] != b'/' {
            self.open.push(inherited + declared);
        }
        within("elements", self.elements, MAX_ELEMENTS)?;
        within("elements inside one another", self.open.len() as u64, MAX_DEPTH)?;
        within("attributes in one element", attributes, MAX_ATTRIBUTES)?;
        within("pairs of attributes in one element", self.pairs, MAX_PAIRS)?;
        within("namespaces in its elements", self.namespaces, MAX_NAMESPACES)?;
        Ok(Some(end + 1))
    }

    /// `<!DOCTYPE … [ … ]>`: takes note of its entities.
    fn document_type(&mut self, at: usize) -> Result<Option<usize>, CodecError> {
        let (mut next, mut depth, mut markup) = (at + 1, 1, 0_u64);
        while depth > 0 {
            let Some(&byte) = self.text.get(next) else { return Ok(None) };
            let rest = &self.text[next..];
            match byte {
                _ if rest.starts_with(b"<!--") => match self.behind(next + 4, b"-->") {
                    Some(behind) => next = behind - 1,
                    None => return Ok(None),
                },
                b'<' => {
                    depth += 1;
                    if let Some((name, value)) = rest.strip_prefix(b"<!ENTITY").and_then(entity) {
                        let opens =
                            value.windows(2).filter(|pair| pair[0] == b'<' && pair[1] != b'/').count();
                        let equals = value.iter().filter(|byte| **byte == b'=').count();
                        markup += (opens + equals) as u64;
                        // As in XML, the first one counts.
                        self.entities.entry(name).or_insert(value);
                    }
                }
                b'>' => depth -= 1,
                b'"' | b'\'' => match self.find(next + 1, &[byte]) {
                    Some(closed) => next = closed,
                    None => return Ok(None),
                },
                _ => {}
            }
            next += 1;
        }
        within("elements and attributes in its entities", markup, MAX_MARKUP)?;
        self.content = next;
        Ok(Some(next))
    }

    /// Holds against the limit what the references to entities stand for.
    fn references(&self) -> Result<(), CodecError> {
        if self.entities.is_empty() {
            return Ok(());
        }
        let mut sizes = HashMap::new();
        let all = self.expanded(&self.text[self.content..], &mut sizes, 0);
        within("bytes that its entities stand for", all, MAX_EXPANDED)
    }

    /// Bytes that the references in `text` stand for.
    fn expanded(&self, text: &'t [u8], sizes: &mut HashMap<&'t [u8], u64>, nested: u32) -> u64 {
        let mut all = 0_u64;
        for piece in text.split(|byte| *byte == b'&').skip(1) {
            let Some(end) = piece.iter().position(|byte| *byte == b';') else { continue };
            let name = &piece[..end];
            let Some(&value) = self.entities.get(name) else { continue };
            let size = match sizes.get(name) {
                Some(size) => *size,
                None => {
                    // What contains itself is refused by the parser; here it is counted once.
                    sizes.insert(name, 0);
                    let inner = if nested < MAX_NESTED { self.expanded(value, sizes, nested + 1) } else { 0 };
                    let size = inner.saturating_add(value.len() as u64);
                    sizes.insert(name, size);
                    size
                }
            };
            all = all.saturating_add(size);
        }
        all
    }
}

/// The name and the value of an entity, by what stands behind `<!ENTITY`; none for one that stands elsewhere.
fn entity(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let (name, text) = text.split_at_checked(text.iter().position(u8::is_ascii_whitespace)?)?;
    let (&quote, text) = text.trim_ascii_start().split_first()?;
    let closed = matches!(quote, b'"' | b'\'').then(|| text.iter().position(|byte| *byte == quote))??;
    Some((name, &text[..closed]))
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), CodecError> {
    if value <= limit {
        return Ok(());
    }
    Err(CodecError::Limit { what, value, limit, key: "of any drawing" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<(&'static str, u64)> {
        match check(text) {
            Ok(()) => None,
            Err(CodecError::Limit { what, value, .. }) => Some((what, value)),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_takes_the_parser_long_is_counted() {
        let attributes = |count| format!("<svg><rect {}/></svg>", "a='1' ".repeat(count));
        assert_eq!(refused(&attributes(1000)), None);
        assert_eq!(refused(&attributes(100_000)), Some(("attributes in one element", 100_000)));
        let many = format!("<svg>{}</svg>", format!("<g {}/>", "a='1' ".repeat(900)).repeat(300));
        assert_eq!(refused(&many).unwrap().0, "pairs of attributes in one element");
        let deep = |depth: usize| format!("{}{}", "<g>".repeat(depth), "</g>".repeat(depth));
        assert_eq!(refused(&deep(500)), None);
        assert_eq!(refused(&deep(501)), Some(("elements inside one another", 501)));
        assert_eq!(refused(&"<g/>".repeat(500_001)), Some(("elements", 500_001)));
        let spaces: String = (0..900).map(|i| format!("xmlns:n{i}='u' ")).collect();
        let spread = format!("<svg {spaces}>{}</svg>", "<g xmlns:a='b'/>".repeat(20_000));
        assert_eq!(refused(&spread).unwrap().0, "namespaces in its elements");
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        let harmless = format!(
            "<?xml version='1.0'?><!-- {0} --><svg a='{1}' b=\"{1}\"><style><![CDATA[{0}]]></style>{2}</svg>",
            "<g a='1'>".repeat(2000),
            ">= <g =".repeat(2000),
            "=".repeat(5000)
        );
        assert_eq!(refused(&harmless), None);
        for cut in ["<", "<g", "<g a='", "<!--", "<!DOCTYPE svg [", "<![CDATA[", "<?", "</", "&;", ""] {
            assert_eq!(refused(cut), None, "{cut}");
        }
    }

    #[test]
    fn entities_are_worth_what_they_stand_for() {
        let document =
            |entities: &str, content: &str| format!("<!DOCTYPE svg [{entities}]><svg>{content}</svg>");
        let usual = "<!ENTITY ns_svg \"http://www.w3.org/2000/svg\"><!-- ' --><!ENTITY x SYSTEM \"y\">";
        assert_eq!(refused(&document(usual, &"&ns_svg;&x;&amp;".repeat(1000))), None);
        let wide = format!("<!ENTITY a '{}'>", "a".repeat(10_000));
        assert_eq!(
            refused(&document(&wide, &"&a;".repeat(1000))),
            Some(("bytes that its entities stand for", 10_000_000))
        );
        let mut laughs = String::from("<!ENTITY l0 'lol'>");
        for level in 1..10 {
            laughs += &format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10));
        }
        assert_eq!(refused(&document(&laughs, "&l9;")).unwrap().0, "bytes that its entities stand for");
        let markup = format!("<!ENTITY m '{}'>", "<rect a=\"1\"/>".repeat(150));
        assert_eq!(
            refused(&document(&markup, "&m;")),
            Some(("elements and attributes in its entities", 300))
        );
        assert_eq!(
            refused(&document("<!ENTITY a '&b;'><!ENTITY b '&a;'>", "&a;")),
            None,
            "the parser refuses it"
        );
    }
}
