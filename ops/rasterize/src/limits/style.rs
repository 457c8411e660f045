//! What a drawing's style sheets would cost: how much there is to be matched with each element, and what the rules that may match an
//! element refer to. Not a reading of CSS: a rule counts for every element that its last part could mean.

use std::collections::{HashMap, HashSet};

use imgserve_sdk::Error;
use resvg::usvg::roxmltree::{Document, Node};

use super::counts::MAX_READ;
use super::{scale, within};

/// A property that refers to another element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Followed for the element itself.
    Own,
    /// The like, by its `href`.
    Href,
    /// Followed for each shape in it.
    Fill,
    Stroke,
    /// Followed at each point of each shape in it.
    Marker,
}

/// What a declaration refers to: how, and the `id`.
pub(super) type Reference<'t> = (Link, &'t str);

/// The style sheets of a drawing.
#[derive(Debug, Default)]
pub(super) struct Sheets<'t> {
    /// What is to be matched with each element, in simple selectors, if none is inside another.
    simple: u64,
    /// The same for each number of ancestors that a selector asks for.
    nested: HashMap<u32, u64>,
    rules: HashMap<Key<'t>, Rules<'t>>,
    /// The attributes that selectors ask for, of which each try reads the value.
    tested: HashSet<&'t str>,
    /// What reading them comes to.
    read: u64,
}

/// What the last part of a selector names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'t> {
    Class(&'t str),
    Id(&'t str),
    Tag(&'t str),
    Any,
}

/// All rules of one key.
#[derive(Clone, Debug)]
pub(super) struct Rules<'t> {
    pub(super) references: Vec<Reference<'t>>,
    /// Bytes of their declarations, which each element that matches gets a copy of.
    pub(super) bytes: u64,
    /// How many times larger their transforms make it.
    pub(super) enlarged: f64,
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Self { references: Vec::new(), bytes: 0, enlarged: 1.0 }
    }
}

impl<'t> Sheets<'t> {
    /// Adds the text of a `style` element.
    pub(super) fn add(&mut self, text: &'t str) {
        self.read = self.read.saturating_add(reading(text));
        for rule in text.split('}') {
            let Some((selectors, declarations)) = rule.split_once('{') else { continue };
            let references: Vec<_> = declared(declarations).collect();
            let enlarged = scale::of_declarations(declarations);
            for selector in selectors.split(',') {
                self.selector(selector, &references, declarations.len() as u64, enlarged);
            }
        }
    }

    fn selector(&mut self, selector: &'t str, references: &[Reference<'t>], bytes: u64, enlarged: f64) {
        let parts = selector.split(|letter: char| letter.is_whitespace() || matches!(letter, '>' | '+'));
        let (mut count, mut last) = (0_u32, "");
        for part in parts.filter(|part| !part.is_empty()) {
            (count, last) = (count + 1, part);
        }
        let names = selector.split('[').skip(1);
        self.tested.extend(
            names.map(|name| {
                name[..name.find(['=', '~', '|', '^', '$', '*', ']']).unwrap_or(name.len())].trim()
            }),
        );
        let weight = u64::from(count.max(1));
        match count {
            0 | 1 => self.simple += weight,
            _ => *self.nested.entry(count - 1).or_default() += weight,
        }
        let rules = self.rules.entry(Key::of(last)).or_default();
        rules.references.extend_from_slice(references);
        rules.bytes += bytes;
        rules.enlarged = rules.enlarged.max(enlarged);
    }

    /// Bytes that reading them goes through, as [`reading`] tells.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// What is to be matched with each element of a drawing that has `depth` of them inside one another.
    pub(super) fn weight(&self, depth: u64) -> u64 {
        let nested = self.nested.iter().map(|(ancestors, weight)| {
            // Of the ways to choose that many ancestors nearly all are given up at once, in drawings that are meant to be drawn.
            let ways = (0..u64::from(*ancestors))
                .fold(1.0, |ways, step| ways * (depth.saturating_sub(step)) as f64 / (step + 1) as f64);
            weight.saturating_mul((ways / 1000.0).max(1.0) as u64)
        });
        nested.fold(self.simple, u64::saturating_add)
    }

    /// Whether a try may read the value of this attribute.
    pub(super) fn tests(&self, attribute: &str) -> bool {
        attribute == "class" || self.tested.contains(attribute)
    }

    /// The rules that may match an element.
    pub(super) fn matching(
        &self,
        tag: &'t str,
        id: Option<&'t str>,
        classes: &'t str,
    ) -> impl Iterator<Item = &Rules<'t>> {
        let keys = classes.split_ascii_whitespace().map(Key::Class);
        let keys = keys.chain(id.map(Key::Id)).chain([Key::Tag(tag), Key::Any]);
        // No class, no rule: most drawings have none.
        let rules = (!self.rules.is_empty()).then_some(&self.rules);
        keys.filter_map(move |key| rules?.get(&key))
    }
}

impl<'t> Key<'t> {
    /// The most special thing that the last part of a selector asks for.
    fn of(part: &'t str) -> Self {
        let end = |text: &'t str| &text[..text.find(['.', '#', '[', ':']).unwrap_or(text.len())];
        if let Some((_, id)) = part.split_once('#') {
            Self::Id(end(id))
        } else if let Some((_, class)) = part.split_once('.') {
            Self::Class(end(class))
        } else {
            match end(part) {
                "" | "*" => Self::Any,
                tag => Self::Tag(tag),
            }
        }
    }
}

/// Bytes that the parser's reader of style goes through for a text: at each end of a value, and at each number, it looks where in the
/// text it is, by the bytes before on the line and the lines before that, of which it takes many at a time.
pub(super) fn reading(text: &str) -> u64 {
    const AT_A_TIME: u64 = 32;
    let ends = |line: &str| {
        let mut inside = false;
        let ends = line.bytes().filter(|byte| {
            let begins = byte.is_ascii_digit() && !inside;
            inside = byte.is_ascii_alphanumeric();
            begins || matches!(byte, b';' | b'#' | b':')
        });
        ends.count() as u64
    };
    let (mut lines, mut all) = (0_u64, 0_u64);
    for line in text.split('\n') {
        let ends = ends(line);
        lines = lines.saturating_add(ends.saturating_mul(line.len() as u64 / 2));
        all += ends;
    }
    lines.saturating_add(all.saturating_mul(text.len() as u64 / AT_A_TIME))
}

/// Refuses styles that would take long to be read, before anything is.
///
/// # Errors
/// `limit-exceeded`.
pub(crate) fn readable(document: &Document<'_>) -> Result<(), Error> {
    let mut all = 0_u64;
    for node in document.descendants().filter(Node::is_element) {
        let own = node.attribute("style").map_or(0, reading);
        let rules = match node.tag_name().name() {
            "style" => node
                .children()
                .filter_map(|text| text.text())
                .flat_map(|text| text.split('}'))
                .map(reading)
                .sum(),
            _ => 0,
        };
        all = all.saturating_add(own).saturating_add(rules);
    }
    within("bytes of styles that are read again for each of their values", all, MAX_READ)
}

/// What declarations, of a rule or of the attribute `style`, refer to.
pub(super) fn declared(declarations: &str) -> impl Iterator<Item = Reference<'_>> {
    let declarations = declarations.split(';').filter_map(|one| one.split_once(':'));
    declarations.flat_map(|(property, value)| references(property.trim(), value))
}

/// What the value of a property, or of the attribute of the same name, refers to.
pub(super) fn references<'t>(property: &str, value: &'t str) -> impl Iterator<Item = Reference<'t>> {
    let link = match property.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic()) {
        "mask" | "clip-path" | "filter" => Some(Link::Own),
        "fill" => Some(Link::Fill),
        "stroke" => Some(Link::Stroke),
        "marker" | "marker-start" | "marker-mid" | "marker-end" => Some(Link::Marker),
        _ => None,
    };
    let urls = link.map(|link| value.split("url(").skip(1).map(move |url| (link, url))).into_iter().flatten();
    urls.filter_map(|(link, url)| {
        let id = url[..url.find(')')?]
            .trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\''));
        Some((link, id.strip_prefix('#')?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_in_attributes_and_declarations() {
        let found = |property, value| references(property, value).collect::<Vec<_>>();
        assert_eq!(found("fill", "url(#a) red"), [(Link::Fill, "a")]);
        assert_eq!(found("filter", "url('#a') blur(3) url( \"#b\" )"), [(Link::Own, "a"), (Link::Own, "b")]);
        assert_eq!(found("fill", "#abc"), []);
        assert_eq!(found("font", "url(#a)"), []);
        assert_eq!(found("mask", "url(other.svg#a)"), []);
        let style: Vec<_> = declared("fill:red; marker-mid : url(#m);mask:url(#n)").collect();
        assert_eq!(style, [(Link::Marker, "m"), (Link::Own, "n")]);
    }

    #[test]
    fn a_rule_is_for_what_its_last_part_names() {
        let mut sheets = Sheets::default();
        sheets.add(
            "g .a, rect#b:first-child { fill: url(#one) } *{mask:url(#two)} path{} .c.d{stroke:url(#three)}",
        );
        let ids = |tag, id, classes| {
            let rules = sheets.matching(tag, id, classes);
            rules.flat_map(|rules| rules.references.iter().map(|(_, id)| *id)).collect::<Vec<_>>()
        };
        assert_eq!(ids("rect", None, ""), ["two"]);
        assert_eq!(ids("rect", Some("b"), ""), ["one", "two"]);
        assert_eq!(ids("g", None, "x a"), ["one", "two"]);
        assert_eq!(ids("g", None, "c"), ["three", "two"]);
    }

    #[test]
    fn selectors_that_ask_for_many_ancestors_weigh_more_the_deeper_a_drawing_is() {
        let mut sheets = Sheets::default();
        sheets.add("a{} b,c{} g > d {}");
        assert_eq!(sheets.weight(10), 3 + 2);
        sheets.add("g g g g g x {}");
        assert_eq!(sheets.weight(5), 3 + 2 + 6);
        assert!(sheets.weight(400) > 1_000_000);
    }
}
