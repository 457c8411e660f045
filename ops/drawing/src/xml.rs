//! What an XML text would cost its parser, told by one look through it: some of what a text says takes time with the square of
//! its length, and entities take memory that the text does not show. It reads what `roxmltree` reads, and stops where that would
//! refuse the text; whether it is well-formed is the parser's to say.

use std::collections::HashMap;

/// Most elements of a document; librsvg loads 1,000,000 and draws 500,000.
const MAX_ELEMENTS: u64 = 500_000;
/// Most elements inside one another; libxml2 has 256, and who walks through a tree calls himself for each.
const MAX_DEPTH: u64 = 500;
/// Most attributes of one element. Each is compared with those before it.
const MAX_ATTRIBUTES: u64 = 1000;
/// Most such comparisons in all, of about 4 ns.
const MAX_PAIRS: u64 = 100_000_000;
/// Most namespaces in all that elements with a declaration of their own take over from those around them.
const MAX_NAMESPACES: u64 = 10_000_000;
/// Most comparisons of names with those of namespaces and of entities, which are searched one by one: about 3 ns each.
const MAX_LOOKUPS: u64 = 200_000_000;
/// Most bytes that entities stand for, in all.
const MAX_EXPANDED: u64 = 8 << 20;
/// Entities inside one another that the parser follows.
const MAX_NESTED: u64 = 10;
/// Most bytes that the parser sets aside beforehand, for each `<` and each `=` of the text.
const MAX_TREE: u64 = 384 << 20;
const NODE_BYTES: u64 = 88;
const ATTRIBUTE_BYTES: u64 = 72;

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costly {
    /// What was counted, in the plural.
    pub what: &'static str,
    /// How much there is of it, at least.
    pub value: u64,
    /// How much there may be.
    pub limit: u64,
}

/// Refuses a text that would cost too much; gives the part of its limit that it comes to, of whatever there is most of.
///
/// # Errors
/// [`Costly`], at the first limit that is passed.
pub fn check(text: &str) -> Result<f64, Costly> {
    let mut scan = Scan { text: text.as_bytes(), ..Scan::default() };
    within("bytes of its tree", scan.tree(), MAX_TREE)?;
    let mut rest = 0;
    while let Some(at) = scan.find(rest, b"<") {
        scan.references(&scan.text[rest..at])?;
        rest = match scan.tag(at)? {
            Some(behind) => behind,
            // The parser ends here, or before.
            None => return Ok(scan.share()),
        };
    }
    scan.references(&scan.text[rest..])?;
    Ok(scan.share())
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), Costly> {
    if value <= limit { Ok(()) } else { Err(Costly { what, value, limit }) }
}

#[derive(Default)]
struct Scan<'t> {
    text: &'t [u8],
    /// The namespaces in scope in each element that is open.
    open: Vec<u64>,
    elements: u64,
    pairs: u64,
    namespaces: u64,
    lookups: u64,
    expanded: u64,
    /// The document type's entities, and what those that are used come to.
    entities: HashMap<&'t [u8], &'t [u8]>,
    sizes: HashMap<&'t [u8], Expansion>,
    /// Declarations of namespaces in entities: elements that are opened there may be around anything.
    hidden: u64,
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

    /// The next of these bytes that is not in quotes.
    fn unquoted(&self, from: usize, wanted: &[u8]) -> Option<usize> {
        let mut at = from;
        loop {
            match *self.text.get(at)? {
                byte if wanted.contains(&byte) => return Some(at),
                quote @ (b'"' | b'\'') => at = self.behind(at + 1, &[quote])?,
                _ => at += 1,
            }
        }
    }

    fn spaces(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
    }

    /// The largest part of its limit that there is of anything.
    fn share(&self) -> f64 {
        let all = [
            (self.elements, MAX_ELEMENTS),
            (self.pairs, MAX_PAIRS),
            (self.namespaces, MAX_NAMESPACES),
            (self.lookups, MAX_LOOKUPS),
            (self.expanded, MAX_EXPANDED),
        ];
        all.into_iter().map(|(value, limit)| value as f64 / limit as f64).fold(0.0, f64::max)
    }

    fn tree(&self) -> u64 {
        let count = |wanted: u8| self.text.iter().filter(|byte| **byte == wanted).count() as u64;
        count(b'<') * NODE_BYTES + count(b'=') * ATTRIBUTE_BYTES
    }

    /// Past whatever begins at a `<`.
    fn tag(&mut self, at: usize) -> Result<Option<usize>, Costly> {
        let rest = &self.text[at..];
        Ok(match rest {
            [b'<', b'!', b'-', b'-', ..] => self.behind(at + 4, b"-->"),
            [b'<', b'?', ..] => self.behind(at + 2, b"?>"),
            [b'<', b'/', ..] => {
                self.open.pop();
                self.behind(at, b">")
            }
            _ if rest.starts_with(b"<![CDATA[") => self.behind(at, b"]]>"),
            _ if rest.starts_with(b"<!DOCTYPE") => self.document_type(at),
            [b'<', b'!', ..] => None,
            _ => self.element(at)?,
        })
    }

    fn element(&mut self, at: usize) -> Result<Option<usize>, Costly> {
        let (mut attributes, mut declared, mut prefixed) = (0_u64, 0_u64, 0_u64);
        let (mut name, mut spaced, mut end) = (at, false, self.text.len());
        let mut next = at + 1;
        while let Some(&byte) = self.text.get(next) {
            match byte {
                b'"' | b'\'' => match self.find(next + 1, &[byte]) {
                    Some(closed) => next = closed,
                    None => break,
                },
                b'=' => {
                    attributes += 1;
                    declared += u64::from(self.text[name..].starts_with(b"xmlns"));
                }
                b'>' => {
                    end = next;
                    break;
                }
                byte if byte.is_ascii_whitespace() => spaced = true,
                byte => {
                    name = if spaced { next } else { name };
                    spaced = false;
                    prefixed += u64::from(byte == b':');
                }
            }
            next += 1;
        }
        // Attributes are read as they come, also where an element does not end.
        self.references(&self.text[at..end])?;
        self.elements += 1;
        self.pairs += attributes * attributes / 2;
        let scope = self.open.last().copied().unwrap_or(self.hidden) + declared;
        self.namespaces += if declared > 0 { scope } else { 0 };
        self.lookups += scope * (1 + prefixed + declared);
        if self.text[end - 1] != b'/' {
            self.open.push(scope);
        }
        within("elements inside one another", self.open.len() as u64, MAX_DEPTH)?;
        within("attributes in one element", attributes, MAX_ATTRIBUTES)?;
        within("namespaces in its elements", self.namespaces, MAX_NAMESPACES)?;
        self.counted()?;
        Ok((end < self.text.len()).then_some(end + 1))
    }

    fn counted(&self) -> Result<(), Costly> {
        within("elements", self.elements, MAX_ELEMENTS)?;
        within("pairs of attributes in one element", self.pairs, MAX_PAIRS)?;
        within("comparisons with names of namespaces and entities", self.lookups, MAX_LOOKUPS)
    }

    /// `<!DOCTYPE … [ … ]>`: takes note of its entities.
    fn document_type(&mut self, at: usize) -> Option<usize> {
        let mut next = self.unquoted(at, b"[>")?;
        if self.text[next] == b'>' {
            return Some(next + 1);
        }
        next += 1;
        loop {
            next = self.spaces(next);
            let rest = self.text.get(next..)?;
            next = match rest {
                [b']', ..] => return self.behind(next, b">"),
                [b'<', b'!', b'-', b'-', ..] => self.behind(next + 4, b"-->")?,
                [b'<', b'?', ..] => self.behind(next + 2, b"?>")?,
                _ if rest.starts_with(b"<!ENTITY") => self.entity(next)?,
                // Of other declarations the parser wants to see the end, whatever is in quotes there.
                [b'<', b'!', ..] => self.behind(next, b">")?,
                _ => return None,
            };
        }
    }

    /// `<!ENTITY name "value">` or `<!ENTITY % name "value">`, which are the same to the parser.
    fn entity(&mut self, at: usize) -> Option<usize> {
        let mut start = self.spaces(at + b"<!ENTITY".len());
        if self.text.get(start) == Some(&b'%') {
            start = self.spaces(start + 1);
        }
        let text = self.text;
        let end = start + text.get(start..)?.iter().position(u8::is_ascii_whitespace)?;
        let next = self.spaces(end);
        // One whose text stands elsewhere is none.
        if let quote @ (b'"' | b'\'') = *text.get(next)? {
            let value = &text[next + 1..self.find(next + 1, &[quote])?];
            self.hidden += value.windows(5).filter(|letters| letters.starts_with(b"xmlns")).count() as u64;
            // As in XML, the first one counts.
            self.entities.entry(&text[start..end]).or_insert(value);
        }
        Some(self.unquoted(next, b">")? + 1)
    }

    /// Counts what the references to entities in `text` stand for.
    fn references(&mut self, text: &'t [u8]) -> Result<(), Costly> {
        if self.entities.is_empty() {
            return Ok(());
        }
        let Expansion { bytes, elements, pairs, lookups } = self.expansion(text, 0)?;
        self.expanded = self.expanded.saturating_add(bytes);
        self.elements = self.elements.saturating_add(elements);
        self.pairs = self.pairs.saturating_add(pairs);
        let scope = self.open.last().copied().unwrap_or_default();
        self.lookups = self.lookups.saturating_add(lookups).saturating_add(elements.saturating_mul(scope));
        within("bytes that its entities stand for", self.expanded, MAX_EXPANDED)?;
        self.counted()
    }

    /// What the references in `text` come to, which stand in so many entities themselves.
    fn expansion(&mut self, text: &'t [u8], nested: u64) -> Result<Expansion, Costly> {
        let mut all = Expansion::default();
        for piece in text.split(|byte| *byte == b'&').skip(1) {
            let Some(end) = piece.iter().position(|byte| *byte == b';') else { continue };
            all.lookups = all.lookups.saturating_add(self.entities.len() as u64);
            let name = &piece[..end];
            let Some(&value) = self.entities.get(name) else { continue };
            if let Some(size) = self.sizes.get(name) {
                all.add(size);
                continue;
            }
            // Which ends what contains itself as well. Only what was followed to its ends is remembered.
            within("entities inside one another", nested + 1, MAX_NESTED)?;
            let mut size = Expansion::of(value);
            size.add(&self.expansion(value, nested + 1)?);
            self.sizes.insert(name, size);
            all.add(&size);
        }
        Ok(all)
    }
}

/// What an entity comes to wherever it is used.
#[derive(Clone, Copy, Default)]
struct Expansion {
    bytes: u64,
    elements: u64,
    pairs: u64,
    lookups: u64,
}

impl Expansion {
    fn of(value: &[u8]) -> Self {
        let elements = value.windows(2).filter(|pair| pair[0] == b'<' && pair[1] != b'/').count() as u64;
        let attributes = value.iter().filter(|byte| **byte == b'=').count() as u64;
        // As if all of its attributes were one element's.
        let pairs = if elements > 0 { attributes.saturating_mul(attributes) / 2 } else { 0 };
        Self { bytes: value.len() as u64, elements, pairs, lookups: 0 }
    }

    fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.elements = self.elements.saturating_add(other.elements);
        self.pairs = self.pairs.saturating_add(other.pairs);
        self.lookups = self.lookups.saturating_add(other.lookups);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn refused(text: &str) -> Option<(&'static str, u64)> {
        check(text).err().map(|costly| (costly.what, costly.value))
    }

    fn document(entities: &str, content: &str) -> String {
        format!("<!DOCTYPE svg [{entities}]><svg>{content}</svg>")
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
        assert_eq!(refused(&"=".repeat(8 << 20)).unwrap().0, "bytes of its tree");
    }

    #[test]
    fn namespaces_are_counted_however_they_are_declared() {
        for equals in ["=", " = "] {
            let spaces: String = (0..900).map(|i| format!("xmlns:n{i}{equals}'u' ")).collect();
            let spread = format!("<svg {spaces}>{}</svg>", format!("<g xmlns:a{equals}'b'/>").repeat(20_000));
            assert_eq!(refused(&spread).unwrap().0, "namespaces in its elements");
            let searched = format!("<svg {spaces}>{}</svg>", "<g/>".repeat(400_000));
            assert_eq!(refused(&searched).unwrap().0, "comparisons with names of namespaces and entities");
        }
        let hidden: String = (0..900).map(|i| format!("<!ENTITY e{i} '<g xmlns:n{i}=\"u\">'>")).collect();
        let opened: String = (0..900).map(|i| format!("&e{i};")).collect();
        let spread = document(&hidden, &(opened + &"<g xmlns:a='b'/>".repeat(20_000)));
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
        // Comments and character data have no references.
        let quoted = document(
            &format!("<!ENTITY a '{}'>", "a".repeat(10_000)),
            &format!("<!-- {0} --><![CDATA[{0}]]><?x {0}?>", "&a;".repeat(1000)),
        );
        assert_eq!(refused(&quoted), None);
    }

    #[test]
    fn entities_are_worth_what_they_stand_for() {
        let usual = "<!ENTITY ns_svg \"http://www.w3.org/2000/svg\"><!-- ' --><!ENTITY x SYSTEM \"y\">";
        assert_eq!(refused(&document(usual, &"&ns_svg;&x;&amp;".repeat(1000))), None);
        let wide = format!("<!ENTITY a '{}'>", "a".repeat(10_000));
        let stand = "bytes that its entities stand for";
        let many = "&a;".repeat(1000);
        assert_eq!(refused(&document(&wide, &many)), Some((stand, 10_000_000)));
        assert_eq!(refused(&document(&wide, &format!("<g a='{many}'/>"))), Some((stand, 10_000_000)));
        let mut laughs = String::from("<!ENTITY l0 'lol'>");
        for level in 1..10 {
            laughs += &format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10));
        }
        assert_eq!(refused(&document(&laughs, "&l9;")).unwrap().0, stand);
        let markup = format!("<!ENTITY m '{}'>", "<rect a=\"1\"/>".repeat(150));
        assert_eq!(refused(&document(&markup, &"&m;".repeat(100))), None);
        assert_eq!(refused(&document(&markup, &"&m;".repeat(4000))).unwrap().0, "elements");
        let pairs = format!("<!ENTITY m '<g {}/>'>", "a=\"\" ".repeat(900));
        assert_eq!(
            refused(&document(&pairs, &"&m;".repeat(300))).unwrap().0,
            "pairs of attributes in one element"
        );
        let names: String = (0..30_000).map(|i| format!("<!ENTITY e{i} ''>")).collect();
        let searched = refused(&document(&names, &"&e29999;".repeat(10_000)));
        assert_eq!(searched.unwrap().0, "comparisons with names of namespaces and entities");
    }

    /// What was cut off at some depth is not taken for what an entity is worth where it stands less deep.
    #[test]
    fn an_entity_is_worth_the_same_wherever_it_is_met_first() {
        let chain: String = (1..=10).map(|i| format!("<!ENTITY d{i} '&d{};'>", i - 1)).collect();
        let big = format!("<!ENTITY big '{}'><!ENTITY d0 '&big;'>{chain}", "b".repeat(100_000));
        for before in ["", "<!-- &d10; -->", "<g><![CDATA[&d10;]]></g>", "&d8;"] {
            let many = document(&big, &format!("{before}{}", "&d0;".repeat(200)));
            assert_eq!(refused(&many).unwrap().0, "bytes that its entities stand for", "{before}");
        }
        let inside = "entities inside one another";
        assert_eq!(refused(&document(&big, "&d10;")), Some((inside, 11)));
        assert_eq!(refused(&document("<!ENTITY a '&b;'><!ENTITY b '&a;'>", "&a;")).unwrap().0, inside);
        assert_eq!(refused(&document("<!ENTITY a '&b;'><!ENTITY b '&a;'>", "")), None);
    }

    #[test]
    fn no_entity_is_hidden_from_the_scan() {
        let wide = |before: &str, after: &str| {
            let entity = format!("{before}'{}'>{after}", "a".repeat(10_000));
            document(&entity, &"&a;".repeat(1000))
        };
        for (before, after) in [
            ("<!ENTITY % a ", ""),
            ("<?x ' ?><!ENTITY a ", "<?x ' ?>"),
            ("<!ELEMENT x '><!ENTITY a ", "<!ELEMENT x '>"),
            ("<!-- ' --><!ENTITY a ", "<!-- ' -->"),
            ("<!ENTITY\n%\ta\r", ""),
        ] {
            assert_eq!(
                refused(&wide(before, after)).unwrap().0,
                "bytes that its entities stand for",
                "{before}"
            );
        }
        let public = "<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x>[' [<!ENTITY a '";
        let text = format!("{public}{}'>]><svg>{}", "a".repeat(10_000), "&a;".repeat(1000));
        assert!(refused(&text).is_some(), "and a text that does not end is one that is read to its end");
        assert!(refused(&format!("{text}<g a='&a;")).is_some());
    }

    #[test]
    fn a_text_comes_to_a_part_of_what_may_be() {
        let share = |text: &str| check(text).unwrap();
        assert!(share("<svg/>") < 1e-4);
        assert!((share(&"<g/>".repeat(250_000)) - 0.5).abs() < 1e-6);
        let pairs = format!("<g {}/>", "a='1' ".repeat(1000)).repeat(100);
        assert!((share(&pairs) - 0.5).abs() < 1e-6, "{}", share(&pairs));
        assert!(share(&format!("{pairs}<!-- ")) > 0.4, "also where the text ends too early");
    }

    #[test]
    fn a_text_is_looked_through_in_no_time() {
        let text = document("<!ENTITY a 'b'>", &"<g a='1' b='&a;'>&a;</g>".repeat(100_000));
        let began = Instant::now();
        assert_eq!(refused(&text), None);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
