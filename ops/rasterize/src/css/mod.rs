//! Style, as the parser is to have it. CSS drops what it does not know piece by piece, a declaration or a selector, and goes on;
//! the parser's reader (`simplecss`) ends there, and a value that usvg does not know is black, or nothing, where the one before it
//! was to hold. So what would be lost with something unknown is taken out or spelled anew here, in the text, before usvg has it.
//! A drawing that is understood as it is stays as it is.
//!
//! # Layout
//! - `syntax`: declarations and rules, taken apart
//! - `color`, `mix`, `transform`, `calc`: values that are known by another spelling
//! - `media`: which parts are for this drawing; `variables`: what stands for a value elsewhere; `scopes`: in which part of it
//! - `property`: which values are known
//! - `edits`: changes of a text, and how they are written in XML

mod calc;
mod color;
mod edits;
mod media;
mod mix;
mod property;
mod scopes;
mod syntax;
mod transform;
mod variables;

use std::borrow::Cow;

use imgserve_drawing::Shape;
use imgserve_sdk::Error;
use resvg::usvg::roxmltree::{Attribute, Document, Node};
use simplecss::{DeclarationTokenizer, Selector};

use edits::Edits;
use media::Screen;
use property::{Understood, understood, understood_attribute};
use scopes::{Scopes, Set};
use syntax::{declarations, listed, rules, without_comments};
use variables::Variables;

use crate::limits::within;

/// Most bytes of a sheet that is handed on in one: for each value the reader counts the lines of all before it, so that a long one
/// takes time with the square of its length.
const LONGEST_SHEET: usize = 16 << 10;

/// The document's text as the parser understands it; none when that is what it is.
///
/// # Errors
/// `limit-exceeded`, for variables that stand for too much.
pub(crate) fn mended(document: &Document<'_>, shape: &Shape) -> Result<Option<String>, Error> {
    let mut edits = Edits::of(document.input_text());
    let root = document.root_element();
    if shape.unusual {
        for (name, side) in [("width", shape.width), ("height", shape.height)] {
            if let Some(side) = side {
                edits.set(root, name, &side.to_string());
            }
        }
    }
    let screen = Screen::of(shape);
    let sheets: Vec<String> =
        root.descendants().filter(|node| is_sheet(*node, &screen)).map(text_of).collect();
    let made = document.input_text().contains("var(");
    let rules = if made { scopes::written(&sheets, &screen) } else { Vec::new() };
    let mut scopes = Scopes::new(variables(root, &sheets, &screen), &rules);
    if made {
        scopes.find(root);
    }
    let style = Style { scopes, screen };
    let begins = root.range().start;
    // What an entity stands for is written in the document type, once for all its uses.
    for node in root.descendants().filter(|node| node.is_element() && node.range().start >= begins) {
        if node.tag_name().name() == "style" {
            style.sheet(node, &mut edits);
        }
        for attribute in node.attributes().filter(|attribute| attribute.namespace().is_none()) {
            // How large all of it is has been told by its shape.
            if !(node == root && matches!(attribute.name(), "width" | "height")) {
                style.attribute(node, &attribute, &mut edits);
            }
        }
        if !node.has_attribute("style") {
            let made = style.made(node);
            if !made.is_empty() {
                edits.set(node, "style", &made);
            }
        }
    }
    let bytes = style.scopes.top().bytes();
    within("bytes of variables and of values that are made of them", bytes, variables::MOST)?;
    Ok(edits.applied())
}

/// What style is understood by.
struct Style<'w> {
    scopes: Scopes<'w>,
    screen: Screen,
}

/// The variables that are set for all of a drawing.
fn variables(root: Node<'_, '_>, sheets: &[String], screen: &Screen) -> Variables {
    let sets = |text: &&String| text.contains("--");
    let holds = |name: &str, condition: &str| screen.is_in(name, condition);
    let for_all = |selectors: &str| listed(&without_comments(selectors)).any(|one| is_for_all(one.trim()));
    let rules = sheets.iter().filter(sets).flat_map(|text| rules(text, holds));
    let declared = rules.filter(|rule| for_all(rule.selectors)).flat_map(|rule| declarations(rule.block));
    Variables::of(declared.chain(declarations(root.attribute("style").unwrap_or_default())))
}

/// Whether a selector, or what it is spelled as, is for the root element, and so for all of a drawing.
fn is_for_all(selector: &str) -> bool {
    matches!(selector, ":root" | "svg" | "*" | "svg:first-child")
}

/// Whether an element is a style sheet that is for this drawing.
fn is_sheet(node: Node<'_, '_>, screen: &Screen) -> bool {
    let kind = node.attribute("type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    node.tag_name().name() == "style"
        && (kind.is_empty() || kind.eq_ignore_ascii_case("text/css"))
        && screen.is_meant(node.attribute("media").unwrap_or_default())
}

fn text_of(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|child| child.text()).collect()
}

impl Style<'_> {
    fn attribute(&self, node: Node<'_, '_>, attribute: &Attribute<'_, '_>, edits: &mut Edits<'_>) {
        let variables = self.scopes.at(node);
        if attribute.name() == "style" {
            let (block, made) = (block(attribute.value(), variables), self.made(node));
            match block {
                None if made.is_empty() => {}
                None => edits.replace_value(attribute, &format!("{};{made}", attribute.value())),
                Some(block) => edits.replace_value(attribute, &(block + &made)),
            }
            return;
        }
        match understood_attribute(attribute.name(), attribute.value(), variables) {
            Understood::Yes => {}
            Understood::As(value) => edits.replace_value(attribute, &value),
            Understood::No => edits.remove(attribute),
        }
    }

    /// What rules make of variables that are set for a part of the drawing, at an element of it.
    fn made(&self, node: Node<'_, '_>) -> String {
        let mut text = String::new();
        for Set { name, value, important } in self.scopes.made(node) {
            let value = match understood(name, value, self.scopes.at(node)) {
                Understood::Yes => value.clone(),
                Understood::As(value) => value,
                Understood::No => continue,
            };
            text += &declared(name, &value, *important).unwrap_or_default();
        }
        text
    }

    /// A style sheet.
    fn sheet(&self, node: Node<'_, '_>, edits: &mut Edits<'_>) {
        if !is_sheet(node, &self.screen) {
            // The parser reads whatever is said to be CSS, or not to be anything, for all media.
            if matches!(node.attribute("type"), None | Some("text/css")) {
                edits.set(node, "type", "text/none");
            }
            return;
        }
        if let Some(kind) = node.attribute_node("type").filter(|kind| kind.value() != "text/css") {
            edits.replace_value(&kind, "text/css");
        }
        let text = text_of(node);
        // The parser takes what stands before the first comment of XML.
        let whole = node.text().unwrap_or_default().len() == text.len();
        if let Some(sheets) = self.rewritten(&text, whole) {
            edits.replace_content(node, &sheets);
        }
    }

    /// A style sheet as the parser understands it, in parts; none when that is what it is.
    fn rewritten(&self, text: &str, whole: bool) -> Option<Vec<String>> {
        let odd = ["@", "<!--", "-->", "\\"].iter().any(|odd| text.contains(odd));
        let mut same = whole && !odd && text.len() <= LONGEST_SHEET;
        let mut sheets = vec![String::new()];
        for rule in rules(text, |name, condition| self.screen.is_in(name, condition)) {
            let selectors = without_comments(rule.selectors);
            let known: Vec<Cow<'_, str>> = listed(&selectors)
                .map(|one| spelled_selector(one.trim()))
                .filter(|one| is_known(one))
                .collect();
            same &= known.len() == listed(rule.selectors).count() && !rule.selectors.contains("/*");
            same &= known.iter().all(|one| matches!(one, Cow::Borrowed(_)));
            let block = block(rule.block, self.scopes.top());
            same &= block.is_none();
            let block = block.as_deref().unwrap_or(rule.block);
            if known.is_empty() || block.trim().is_empty() {
                continue;
            }
            let rule = format!("{}{{{block}}}\n", known.join(","));
            match sheets.last_mut() {
                Some(last) if last.len() + rule.len() <= LONGEST_SHEET => last.push_str(&rule),
                _ => sheets.push(rule),
            }
        }
        (!same).then_some(sheets)
    }
}

/// Declarations as the parser understands them; none when they are what they are.
fn block(text: &str, variables: &Variables) -> Option<String> {
    if is_plain(text, variables) {
        return None;
    }
    let mut read = DeclarationTokenizer::from(text);
    let mut same = true;
    let mut kept = Vec::new();
    for mut one in declarations(text) {
        let as_read = read.next().is_some_and(|read| {
            (read.name, read.value, read.important) == (one.name, &*one.value, one.important)
        });
        let lower =
            one.name.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| one.name.to_ascii_lowercase());
        let meant = understood(lower.as_deref().unwrap_or(one.name), &one.value, variables);
        same &= as_read && lower.is_none() && meant == Understood::Yes;
        match meant {
            Understood::Yes => {}
            Understood::As(value) => one.value = value.into(),
            Understood::No => continue,
        }
        kept.push((lower, one));
    }
    if same && read.next().is_none() {
        return None;
    }
    let mut text = String::new();
    for (lower, one) in kept {
        let name = lower.as_deref().unwrap_or(one.name);
        text += &declared(name, &one.value, one.important).unwrap_or_default();
    }
    Some(text)
}

/// Whether there is nothing in declarations that the parser or its reader could stumble over. Nearly all are such, and the
/// reader takes long to say so: it counts the lines before each value.
fn is_plain(text: &str, variables: &Variables) -> bool {
    let (mut colons, mut open, mut before) = (0, false, b' ');
    for byte in text.bytes() {
        match byte {
            b':' => colons += 1,
            b'(' if !open && before.is_ascii_alphanumeric() => open = true,
            b')' if open => open = false,
            b'%' if before.is_ascii_digit() => {}
            b';' | b'.' | b',' | b'#' | b'-' | b'_' | b'\'' | b'"' => {}
            _ if byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() => {}
            _ => return false,
        }
        before = byte;
    }
    let even = |quote: char| text.matches(quote).count().is_multiple_of(2);
    let known = |one: &syntax::Declaration<'_>| {
        let lower = !one.name.bytes().any(|byte| byte.is_ascii_uppercase());
        let begins = one.name.strip_prefix('-').unwrap_or(one.name);
        lower
            && begins.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
            && understood(one.name, &one.value, variables) == Understood::Yes
    };
    if open || !even('\'') || !even('"') {
        return false;
    }
    let pieces = text.split(';').filter(|piece| !piece.trim().is_empty()).count();
    let all = declarations(text).try_fold(0, |count, one| known(&one).then_some(count + 1));
    colons == pieces && all == Some(colons)
}

/// A declaration as it is written for the parser's reader, if that takes its value for one.
fn declared(name: &str, value: &str, important: bool) -> Option<String> {
    let important = if important { "!important" } else { "" };
    spelled(name, value).map(|value| format!("{name}:{value}{important};"))
}

/// A value, if the parser's reader takes it for one and nothing else; of a font's shorthand without the height of lines, which is
/// behind a slash that the reader does not know.
fn spelled(name: &str, value: &str) -> Option<String> {
    let reads = |value: &str| {
        let text = format!("{name}:{value}");
        let mut read = DeclarationTokenizer::from(text.as_str());
        let first =
            read.next().is_some_and(|read| read.name == name && read.value == value && !read.important);
        first && read.next().is_none()
    };
    if reads(value) {
        return Some(value.to_owned());
    }
    let (size, rest) = value.split_once('/').filter(|_| name == "font")?;
    let family = rest.trim_start().split_once(char::is_whitespace)?.1;
    Some(format!("{} {family}", size.trim_end())).filter(|value| reads(value))
}

/// A selector as the parser knows it, which knows no `:root`.
fn spelled_selector(selector: &str) -> Cow<'_, str> {
    const ROOT: &str = ":root";
    let bare = selector.strip_prefix("svg").unwrap_or(selector);
    match bare
        .strip_prefix(ROOT)
        .filter(|rest| rest.is_empty() || rest.starts_with([' ', '>', '.', '[', '+', '\n']))
    {
        Some(rest) => Cow::Owned(format!("svg:first-child{rest}")),
        None => Cow::Borrowed(selector),
    }
}

fn is_known(selector: &str) -> bool {
    !selector.is_empty() && !selector.contains(['{', '}', '\\']) && Selector::parse(selector).is_some()
}

#[cfg(test)]
mod tests;
