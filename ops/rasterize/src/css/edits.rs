//! Changes of an XML text: which part is replaced by what, written so that XML reads it as it was meant.

use std::ops::Range;

use resvg::usvg::roxmltree::{Attribute, Node};

/// The changes of one text.
#[derive(Debug)]
pub(super) struct Edits<'t> {
    text: &'t str,
    all: Vec<(Range<usize>, String)>,
}

impl<'t> Edits<'t> {
    /// No change yet.
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, all: Vec::new() }
    }

    /// Gives an attribute another value.
    pub(super) fn replace_value(&mut self, attribute: &Attribute<'_, '_>, value: &str) {
        let range = attribute.range_value();
        let quote = |at: usize| self.text.as_bytes().get(at).copied();
        // The parser notes where a value begins for names and spaces of usual lengths alone.
        let quoted = range.start > 0 && matches!(quote(range.start - 1), Some(b'"' | b'\''));
        if quoted && range.start <= range.end && quote(range.start - 1) == quote(range.end) {
            self.all.push((range, escaped(value)));
        }
    }

    /// Leaves an attribute out.
    pub(super) fn remove(&mut self, attribute: &Attribute<'_, '_>) {
        self.all.push((attribute.range(), String::new()));
    }

    /// Gives an element an attribute that it may have already.
    pub(super) fn set(&mut self, node: Node<'_, '_>, name: &str, value: &str) {
        match node.attribute_node(name) {
            Some(attribute) => self.replace_value(&attribute, value),
            None => {
                let start = node.range().start + 1;
                let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
                let name_end = self.text.as_bytes()[start..].iter().position(ends);
                let at = start + name_end.unwrap_or_default();
                self.all.push((at..at, format!(" {name}=\"{}\"", escaped(value))));
            }
        }
    }

    /// Puts texts in the place of all that an element holds: each but the first in an element more of that name,
    /// if that has no prefix.
    pub(super) fn replace_content(&mut self, node: Node<'_, '_>, texts: &[String]) {
        let range = node.range();
        let element = &self.text[range.clone()];
        let (Some(first), Some(last)) = (node.first_child(), element.rfind("</")) else { return };
        let opened = start_tag_end(element.as_bytes());
        // A section of unparsed text begins before its text.
        if first.range().start < range.start + opened || opened > last {
            return;
        }
        let name = element[last + 2..].trim_end_matches('>').trim_end();
        let texts: Vec<String> = texts.iter().map(|text| escaped(text)).collect();
        // A prefix may be declared in this one element.
        let between = if name.contains(':') { String::new() } else { format!("</{name}><{name}>") };
        let content = texts.join(&between);
        self.all.push((range.start + opened..range.start + last, content));
    }

    /// The text with all changes; none if there are none.
    pub(super) fn applied(mut self) -> Option<String> {
        if self.all.is_empty() {
            return None;
        }
        self.all.sort_by_key(|(range, _)| range.start);
        let (mut text, mut from) = (String::with_capacity(self.text.len()), 0);
        for (range, new) in self.all {
            // What an entity stands for may be met again and again.
            if range.start >= from {
                text += &self.text[from..range.start];
                text += &new;
                from = range.end;
            }
        }
        text += &self.text[from..];
        Some(text)
    }
}

/// Bytes of the start tag that an element begins with.
fn start_tag_end(bytes: &[u8]) -> usize {
    let mut quote = None;
    for (at, &byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return at + 1,
            (None, _) => {}
        }
    }
    bytes.len()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            letter => escaped.push(letter),
        }
    }
    escaped
}
