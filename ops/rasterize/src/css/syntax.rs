//! CSS taken to pieces as its syntax says (CSS Syntax Level 3): what is not understood ends where its piece ends, and takes
//! nothing along. What a piece means is not known here.

use std::borrow::Cow;

/// A declaration, of the attribute `style` or of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration<'t> {
    pub(super) name: &'t str,
    /// Without comments.
    pub(super) value: Cow<'t, str>,
    pub(super) important: bool,
}

/// A rule of a style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule<'t> {
    pub(super) selectors: &'t str,
    pub(super) block: &'t str,
}

/// The declarations of a block or an attribute, in order; rules among them, and what is no declaration, are left out.
pub(super) fn declarations(text: &str) -> impl Iterator<Item = Declaration<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = piece(rest, b";", true);
            let (one, behind) = rest.split_at(end);
            rest = behind.strip_prefix(';').unwrap_or(behind);
            if let Some(declaration) = declaration(one) {
                return Some(declaration);
            }
        }
        None
    })
}

/// Groups of rules inside one another that are looked into; others, and all that is in them, are left out.
const MAX_GROUPS: usize = 8;

/// The rules of a style sheet, in order, those in `@` rules included which hold by their name and condition; other `@` rules are
/// left out.
pub(super) fn rules<'t>(text: &'t str, holds: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = Rule<'t>> {
    let mut open = vec![text];
    std::iter::from_fn(move || {
        loop {
            let groups = open.len();
            let rest = start(open.pop()?);
            if rest.starts_with('@') {
                let (rule, behind) = rest.split_at(piece(rest, b";", true));
                open.push(behind.strip_prefix(';').unwrap_or(behind));
                open.extend(grouped(rule, &holds).filter(|_| groups <= MAX_GROUPS));
                continue;
            }
            let opens = piece(rest, b"{", false);
            let Some(block) = rest[opens..].strip_prefix('{') else { continue };
            let closes = piece(block, b"}", false);
            open.push(block[closes..].strip_prefix('}').unwrap_or(""));
            return Some(Rule { selectors: &rest[..opens], block: &block[..closes] });
        }
    })
}

/// What is in an `@` rule, if it is one that holds.
fn grouped(rule: &str, holds: impl Fn(&str, &str) -> bool) -> Option<&str> {
    let (head, block) = rule.split_at(piece(rule, b"{", false));
    let block = block.strip_prefix('{')?;
    let head = head.strip_prefix('@')?;
    let (name, condition) =
        head.split_at(head.find(|letter: char| !letter.is_ascii_alphabetic() && letter != '-')?);
    holds(name, &without_comments(condition)).then(|| block.strip_suffix('}').unwrap_or(block))
}

/// The parts between commas that stand in no brackets.
pub(super) fn listed(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (one, behind) = text.split_at(piece(text, b",", false));
        rest = behind.strip_prefix(',');
        Some(one)
    })
}

/// Past spaces, comments and what hides a sheet from browsers of the last century.
fn start(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        rest = match rest.as_bytes() {
            [b'/', b'*', ..] => &rest[comment(rest)..],
            [b'<', b'!', b'-', b'-', ..] => &rest[4..],
            [b'-', b'-', b'>', ..] => &rest[3..],
            _ => return rest,
        }
        .trim_start();
    }
}

/// Where a piece ends: at the first of `ends` that stands in no brackets, string or comment, or behind its first `{}`, if it is
/// one that may have such (`blocks`). What is open at the end is closed there.
fn piece(text: &str, ends: &[u8], blocks: bool) -> usize {
    let bytes = text.as_bytes();
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if open.is_empty() && ends.contains(&byte) {
            return at;
        }
        at += match byte {
            b'\\' => 2,
            b'"' | b'\'' => string(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => comment(&text[at..]),
            b'(' if is_raw_url(bytes, at) => raw_url(&bytes[at..]),
            b'(' | b'[' | b'{' => {
                open.push(closing(byte));
                1
            }
            _ if open.last() == Some(&byte) => {
                open.pop();
                if byte == b'}' && open.is_empty() && blocks {
                    return at + 1;
                }
                1
            }
            _ => 1,
        };
    }
    // An escape, a comment or a letter of several bytes may end the text.
    bytes.len()
}

fn closing(byte: u8) -> u8 {
    match byte {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}

/// Bytes of a string, which ends with its line at the latest.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => return at,
            _ if byte == bytes[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Bytes of a comment.
fn comment(text: &str) -> usize {
    text.get(2..).and_then(|rest| rest.find("*/")).map_or(text.len(), |at| at + 4)
}

/// Whether a bracket opens an address without quotes, in which nothing else means anything.
fn is_raw_url(bytes: &[u8], at: usize) -> bool {
    let named = at >= 3 && bytes[at - 3..at].eq_ignore_ascii_case(b"url");
    let part_of_name =
        at >= 4 && (bytes[at - 4].is_ascii_alphanumeric() || matches!(bytes[at - 4], b'-' | b'_'));
    let first = bytes[at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
    named && !part_of_name && !matches!(first, Some(b'"' | b'\''))
}

fn raw_url(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b')').map_or(bytes.len(), |at| at + 1)
}

fn declaration(text: &str) -> Option<Declaration<'_>> {
    let text = start(text);
    let (name, value) = text.split_at(piece(text, b":", false));
    let value = value.strip_prefix(':')?;
    let name = name.split("/*").next().unwrap_or_default().trim_end();
    let is_name =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') || !letter.is_ascii();
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let value = without_comments(value);
    let (value, important) = match value.rfind('!') {
        Some(at) if value[at + 1..].trim().eq_ignore_ascii_case("important") => (cut(value, at), true),
        _ => (value, false),
    };
    let value = match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.trim()),
        Cow::Owned(value) => Cow::Owned(value.trim().to_owned()),
    };
    (!value.is_empty()).then_some(Declaration { name, value, important })
}

fn cut(text: Cow<'_, str>, at: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..at]),
        Cow::Owned(mut text) => {
            text.truncate(at);
            Cow::Owned(text)
        }
    }
}

/// A text with a space for each comment that stands in no string.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains("/*") {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut from, mut at) = (String::new(), 0, 0);
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => at += string(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => {
                kept += &text[from..at];
                kept.push(' ');
                at += comment(&text[at..]);
                from = at;
            }
            _ => at += 1,
        }
    }
    kept += &text[from..];
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let important = |one: &Declaration<'_>| if one.important { "!" } else { "" };
        declarations(text).map(|one| format!("{}={}{}", one.name, one.value, important(&one))).collect()
    }

    #[test]
    fn a_declaration_that_is_none_takes_no_other_along() {
        for (text, names) in [
            ("fill:red;stroke : blue ", vec!["fill=red", "stroke=blue"]),
            (";; fill:red;;", vec!["fill=red"]),
            ("fill:red ! IMPORTANT;x:y!", vec!["fill=red!", "x=y!"]),
            ("fill:a(b(c;d);e);stroke:b", vec!["fill=a(b(c;d);e)", "stroke=b"]),
            ("font:'a;b\\';c' d;stroke:b", vec!["font='a;b\\';c' d", "stroke=b"]),
            ("/*x;*/fill/*:*/:/*;*/red/* */;y:z", vec!["fill=red", "y=z"]),
            ("fill;stroke:b;:c;1 2:d;fi ll:e", vec!["stroke=b"]),
            ("*fill:a;filter:progid:X.Y(a='b');stroke:b", vec!["filter=progid:X.Y(a='b')", "stroke=b"]),
            ("fill:url(a;b'c);stroke:b", vec!["fill=url(a;b'c)", "stroke=b"]),
            ("fill:url( 'a;b)' );stroke:b", vec!["fill=url( 'a;b)' )", "stroke=b"]),
            ("&:hover{fill:a}stroke:b", vec!["stroke=b"]),
            ("fill:red;stroke:b(c", vec!["fill=red", "stroke=b(c"]),
            ("fill:red;stroke:\"b", vec!["fill=red", "stroke=\"b"]),
            ("fill:'a\n;stroke:b", vec!["fill='a", "stroke=b"]),
            ("--a:{b;c};fill:é;", vec!["--a={b;c}", "fill=é"]),
            ("fill:red\\", vec!["fill=red\\"]),
            ("", vec![]),
        ] {
            assert_eq!(read(text), names, "{text}");
        }
    }

    #[test]
    fn rules_are_told_from_everything_else_in_a_sheet() {
        let nested = "@media screen{.a{b:c}".repeat(100);
        let read = |text| {
            let read = rules(text, |name, condition| name == "media" && condition.trim() == "screen");
            read.map(|rule| format!("{}|{}", rule.selectors.trim(), rule.block)).collect::<Vec<_>>()
        };
        assert_eq!(read(".a{b:c}.d,e{f:g}"), [".a|b:c", ".d,e|f:g"]);
        let mixed =
            "@charset 'x;y';@import url(a;b);<!-- .a{b:c} @media print{.a{b:d}.e{}} /* .x{} */ f{g:'}'} -->";
        assert_eq!(read(mixed), [".a|b:c", "f|g:'}'"]);
        let groups = "@media screen{.a{b:c}@media/* {} */screen{d{e:'}'}}@media print{f{}}}@media screen;@font-face{x:y}g{h:i}";
        assert_eq!(read(groups), [".a|b:c", "d|e:'}'", "g|h:i"]);
        assert_eq!(read("@media screen{.a{b:c"), [".a|b:c"]);
        assert_eq!(read(&nested).len(), MAX_GROUPS);
        assert_eq!(read("a[b='{']{c:d"), ["a[b='{']|c:d"]);
        assert_eq!(read("a{&:hover{b:c}d:e}f{}"), ["a|&:hover{b:c}d:e", "f|"]);
        assert_eq!(read("nothing"), Vec::<String>::new());
        assert_eq!(
            listed("a, b:is(c,d),[e=',']").map(str::trim).collect::<Vec<_>>(),
            ["a", "b:is(c,d)", "[e=',']"]
        );
    }

    #[test]
    fn any_letters_at_all_come_to_an_end() {
        for text in ["é'é", "\\é", "/*é", "(é", "url(é", "a{é", "@é", "é:é!é", "\\", "/", "<!--", "a:\\é;b:c"]
        {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                let _all = (declarations(&text[..end]).count(), rules(&text[..end], |_, _| true).count());
            }
        }
    }
}
