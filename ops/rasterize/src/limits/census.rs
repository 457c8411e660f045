//! What parsing a drawing comes to: its elements, letters and points, each as often as the parser makes it. It follows every
//! reference, and a few that refer to one another twice each are a million; so they are counted first, each element once.

use std::collections::HashMap;

use imgserve_sdk::{Error, ErrorKind};
use resvg::usvg::roxmltree::{Document, Node};

use super::circles::{self, Hop};
use super::counts::Counts;
use super::data::{self, Extent, Fonts};
use super::style::{Link, Sheets, declared, reading, references};
use super::{scale, within};

/// Most stops of one gradient: those at one place are taken out one by one.
const MAX_STOPS: u64 = 10_000;
/// So many letters are a piece of a text.
const SPAN: u64 = 128;
/// So many attributes of an element around are a level more to whoever looks for a property there.
const ATTRIBUTES: u64 = 4;
/// Most tries whether a rule of a style sheet is for an element.
const MAX_MATCHES: u64 = 20_000_000;
/// Most elements inside one another, a reference counting as [`HOP`]. The parser calls itself for each.
const MAX_DEPTH: u64 = 500;
const HOP: u64 = 8;
/// Most elements that the parser goes through to find out whether something refers to itself.
const MAX_SEARCHED: u64 = 50_000_000;
/// Most elements that are looked at here. In a drawing without circles of references it is each of them once.
const MAX_VISITS: u64 = 2_000_000;

/// What a drawing comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Census {
    /// Its elements, references followed.
    pub(crate) elements: u64,
    /// The part of what may be: that of whatever there is most of.
    pub(crate) share: f64,
}

/// Counts what the parser would make of a drawing.
///
/// # Errors
/// `limit-exceeded`, with what was counted.
pub(crate) fn check(document: &Document<'_>) -> Result<Census, Error> {
    let mut counter = Counter::default();
    for node in document.descendants().filter(Node::is_element) {
        if let Some(id) = node.attribute("id") {
            let (_, last) = counter.ids.entry(id).or_insert((node, node));
            *last = node;
        }
        if node.tag_name().name() == "style" {
            let sheet = node.text().unwrap_or_default();
            counter.sheets.add(sheet);
            fonts(sheet).for_each(|size| counter.fonts.add(size, MAX_DEPTH));
        }
        fonts(node.attribute("style").unwrap_or_default()).for_each(|size| counter.fonts.add(size, 1));
        values(node, "font-size").for_each(|size| counter.fonts.add(size, 1));
    }
    let mut all = counter.count(document.root_element(), 1)?;
    let matches = all.matches.saturating_mul(counter.sheets.weight(all.depth));
    within("tries of style rules with its elements", matches, MAX_MATCHES)?;
    all.read = all.read.saturating_add(counter.sheets.read());
    all.check()?;
    let searched = counter.searched.saturating_mul(1 + counter.circular);
    within("elements in search of circular references", searched, MAX_SEARCHED)?;
    let part = |count: u64, limit: u64| count as f64 / limit as f64;
    let share = all.share().max(part(matches, MAX_MATCHES)).max(part(searched, MAX_SEARCHED));
    Ok(Census { elements: all.elements, share })
}

#[derive(Default)]
struct Counter<'d, 'i> {
    /// The first and the last element of each `id`; the parser takes the one for some references and the other for others.
    ids: HashMap<&'d str, (Node<'d, 'i>, Node<'d, 'i>)>,
    sheets: Sheets<'d>,
    fonts: Fonts,
    /// Elements with an `id` that are counted.
    counted: HashMap<u32, Counts>,
    /// Those that are being counted, by their number among the ones around them.
    open: HashMap<u32, usize>,
    /// The references that led here.
    hops: Vec<Hop<'d, 'i>>,
    visits: u64,
    searched: u64,
    /// References from within what may refer to itself to the like.
    circular: u64,
}

impl<'d, 'i> Counter<'d, 'i> {
    fn count(&mut self, node: Node<'d, 'i>, depth: u64) -> Result<Counts, Error> {
        let key = node.attribute("id").map(|_| node.id().get());
        if let Some(counts) = key.and_then(|key| self.counted.get(&key)) {
            within("elements and references in one another", depth + counts.depth, MAX_DEPTH)?;
            return Ok(*counts);
        }
        // It contains itself, which the parser finds out as well.
        if let Some(open) = key.and_then(|key| self.open.get(&key)) {
            circles::check(self.hops.iter().filter(|hop| hop.around > *open))?;
            return Ok(Counts { cut: Some(*open), ..Counts::default() });
        }
        within("elements and references in one another", depth, MAX_DEPTH)?;
        self.visits += 1;
        within("elements in circles of references", self.visits, MAX_VISITS)?;
        let number = self.open.len();
        key.map(|key| self.open.insert(key, number));
        let mut counts = own(node, self.fonts)?;
        // A try reads about so many letters in the time that it takes anyway.
        let read = node.attributes().filter(|attribute| self.sheets.tests(attribute.name()));
        counts.matches += read.map(|attribute| attribute.value().len() as u64).sum::<u64>() / 32;
        self.children(node, depth, &mut counts)?;
        let attributes = node.attributes().len() as u64 / ATTRIBUTES;
        counts.levels = counts.levels.saturating_add(counts.nodes.saturating_mul(attributes));
        self.styles(node, depth, &mut counts)?;
        counts.check()?;
        if let Some(key) = key {
            self.open.remove(&key);
            counts.cut = counts.cut.filter(|cut| *cut < number);
            if counts.cut.is_none() {
                self.counted.insert(key, counts);
            }
        }
        Ok(counts)
    }

    fn children(&mut self, node: Node<'d, 'i>, depth: u64, counts: &mut Counts) -> Result<(), Error> {
        let (mut letters, mut stops) = (0, 0);
        for child in node.children() {
            if child.is_element() {
                let inner = self.count(child, depth + 1)?;
                counts.add(&inner, 1);
                stops += u64::from(child.tag_name().name() == "stop");
            } else if is_text(node) {
                letters += child.text().map_or(0, |text| text.chars().count() as u64);
            }
        }
        counts.letters = counts.letters.saturating_add(letters);
        if node.tag_name().name() == "text" {
            let pieces = node.descendants().count() as u64 + counts.letters / SPAN;
            counts.places = counts.places.saturating_add(counts.letters.saturating_mul(pieces));
        }
        within("stops in one gradient", stops, MAX_STOPS)
    }

    /// What it refers to, by its attributes, its style and the style sheets.
    fn styles(&mut self, node: Node<'d, 'i>, depth: u64, counts: &mut Counts) -> Result<(), Error> {
        let mut found = Vec::new();
        let mut enlarged = 1.0;
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            match name {
                "style" => {
                    counts.copied = counts.copied.saturating_add(value.len() as u64);
                    counts.read = counts.read.saturating_add(reading(value));
                    found.extend(declared(value));
                }
                "href" if is_followed(node) => {
                    found.extend(value.trim().strip_prefix('#').map(|id| (Link::Href, id)))
                }
                _ => found.extend(references(name, value)),
            }
            if value.len() > 256 && !matches!(name, "d" | "points" | "href" | "id") {
                let read = counts.shapes.saturating_mul(value.len() as u64);
                counts.copied = counts.copied.saturating_add(read);
            }
        }
        let classes = node.attribute("class").unwrap_or_default();
        for rules in self.sheets.matching(node.tag_name().name(), node.attribute("id"), classes) {
            counts.copied = counts.copied.saturating_add(rules.bytes);
            enlarged *= rules.enlarged;
            found.extend_from_slice(&rules.references);
        }
        for (link, id) in found {
            self.follow(node, (link, id), depth, counts)?;
        }
        if counts.scale > 0.0 {
            counts.scale *= enlarged * scale::of(node);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        node: Node<'d, 'i>,
        (link, id): (Link, &'d str),
        depth: u64,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let Some(&(first, last)) = self.ids.get(id) else { return Ok(()) };
        let times = match link {
            Link::Own | Link::Href => 1,
            Link::Fill | Link::Stroke => counts.shapes,
            Link::Marker => counts.vertices,
        };
        for target in [Some(first), (first != last).then_some(last)].into_iter().flatten() {
            let hop = Hop { around: self.open.len(), from: node, link, to: target, is_alone: first == last };
            circles::check_first(&hop, |id| {
                self.ids.get(id).filter(|(first, last)| first == last).map(|ids| ids.0)
            })?;
            self.hops.push(hop);
            let inner = self.count(target, depth + HOP)?;
            self.hops.pop();
            self.search(node, target, inner.nodes);
            match node.tag_name().name() {
                "use" => counts.add(&inner, HOP),
                "textPath" if link == Link::Href => {
                    counts.along = counts.along.saturating_add(counts.letters.saturating_mul(inner.points));
                    counts.scale = counts.scale.max(1.0);
                    counts.refer(&inner, times, HOP);
                }
                _ => counts.refer(&inner, times, HOP),
            }
        }
        Ok(())
    }

    /// Counts what is looked through for a reference, `nodes` at its end, once for each element around it that could be referred
    /// to in turn.
    fn search(&mut self, node: Node<'d, 'i>, target: Node<'d, 'i>, nodes: u64) {
        let around = node.ancestors().filter(|node| may_be_circular(*node)).count() as u64;
        self.searched = self.searched.saturating_add(around.saturating_mul(nodes.max(1)));
        self.circular += u64::from(around > 0 && may_be_circular(target));
    }
}

/// Whether the parser follows its `href`; of others it leads to a place, or is what moves.
fn is_followed(node: Node<'_, '_>) -> bool {
    let name = node.tag_name().name();
    !matches!(name, "a" | "image" | "set" | "mpath" | "script" | "discard") && !name.starts_with("animate")
}

fn may_be_circular(node: Node<'_, '_>) -> bool {
    matches!(node.tag_name().name(), "pattern" | "clipPath" | "mask" | "filter")
}

/// Whether what stands in it is shown as letters.
fn is_text(node: Node<'_, '_>) -> bool {
    matches!(node.tag_name().name(), "text" | "tspan" | "textPath" | "tref" | "a")
}

/// The values of the attributes of this name, whatever namespace they are in: so the parser takes them.
fn values<'d>(node: Node<'d, '_>, name: &'static str) -> impl Iterator<Item = &'d str> {
    node.attributes().filter(move |attribute| attribute.name() == name).map(|attribute| attribute.value())
}

/// The sizes of fonts in declarations.
fn fonts(declarations: &str) -> impl Iterator<Item = &str> {
    let pieces = declarations.split([';', '{', '}']).filter_map(|one| one.split_once(':'));
    pieces.filter(|(name, _)| matches!(name.trim(), "font" | "font-size")).map(|(_, size)| size)
}

/// What an element is by itself.
fn own(node: Node<'_, '_>, fonts: Fonts) -> Result<Counts, Error> {
    for name in ["viewBox", "width", "height", "r", "rx", "ry"] {
        values(node, name).try_for_each(|value| check_radius(data::largest(value)))?;
    }
    let points = match node.tag_name().name() {
        "path" => {
            let extents = values(node, "d").map(Extent::of);
            let all = extents.reduce(|one, other| Extent {
                points: one.points.saturating_add(other.points),
                radius: one.radius.max(other.radius),
            });
            let all = all.unwrap_or_default();
            check_radius(all.radius)?;
            all.points
        }
        "polygon" | "polyline" => values(node, "points").map(data::points).sum(),
        "circle" | "ellipse" | "rect" => 4 + data::ellipse(data::radius(node, &["r", "rx", "ry"], fonts)),
        "line" | "text" | "tspan" | "textPath" | "tref" => 2,
        _ => 0,
    };
    let round = matches!(node.tag_name().name(), "circle" | "ellipse" | "rect");
    let stop = node.tag_name().name() == "stop";
    Ok(Counts {
        elements: u64::from(!stop),
        stops: u64::from(stop),
        points,
        nodes: 1,
        matches: 1,
        shapes: u64::from(points > 0),
        // No marker stands on shapes without ends and corners of their own.
        vertices: if round { 0 } else { points },
        depth: 1,
        ..Counts::default()
    })
}

fn check_radius(radius: f64) -> Result<(), Error> {
    if radius <= data::MAX_RADIUS {
        return Ok(());
    }
    let most = data::MAX_RADIUS;
    let text =
        format!("the drawing has a radius or a view box of {radius:e} units, at most {most:e} are drawn");
    Err(Error::new(ErrorKind::LimitExceeded, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(content: &str) -> Result<u64, String> {
        let text = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>{content}</svg>"
        );
        let document = Document::parse(&text).unwrap();
        check(&document).map(|census| census.elements).map_err(|error| error.message().to_owned())
    }

    /// `levels` elements, each of which refers to the one before it twice.
    fn doubled(levels: u32, level: impl Fn(u32, u32) -> String) -> String {
        (1..=levels).map(|index| level(index, index - 1)).collect()
    }

    #[test]
    fn references_are_followed_whatever_they_are() {
        assert_eq!(counted("<g><rect/><path d='M0 0'/></g>"), Ok(4));
        assert_eq!(counted("<g id='a'><rect/></g><use href='#a'/><use xlink:href='#a'/>"), Ok(3 + 2 * 3));
        assert_eq!(
            counted("<mask id='a'><rect/></mask><g mask='url(#a)'><rect/><rect/></g>"),
            Ok(1 + 2 + 3 + 2)
        );
        let twice = |levels| {
            [
                doubled(levels, |i, before| {
                    format!("<g id='i{i}'><use href='#i{before}'/><use href='#i{before}'/></g>")
                }),
                doubled(levels, |i, before| {
                    format!(
                        "<pattern id='i{i}'><rect fill='url(#i{before})'/><rect style='stroke:url(#i{before})'/></pattern>"
                    )
                }),
                doubled(levels, |i, before| {
                    format!(
                        "<mask id='i{i}'><rect mask='url(#i{before})'/><g mask='url(#i{before})'/></mask>"
                    )
                }),
                doubled(levels, |i, before| {
                    format!(
                        "<clipPath id='i{i}'><rect clip-path='url(#i{before})'/><rect class='c{i}'/></clipPath>\
                             <style>.c{i}{{clip-path:url(#i{before})}}</style>"
                    )
                }),
                doubled(levels, |i, before| {
                    format!("<marker id='i{i}'><path marker='url(#i{before})' d='M0 0L1 1'/></marker>")
                }),
                doubled(levels, |i, before| {
                    format!(
                        "<filter id='i{i}'><feImage href='#r{i}'/><feImage href='#r{i}'/></filter>\
                             <rect id='r{i}' filter='url(#i{before})'/>"
                    )
                }),
            ]
        };
        for (kind, (few, many)) in twice(5).into_iter().zip(twice(24)).enumerate() {
            let few = counted(&few);
            assert!(few.as_ref().is_ok_and(|count| *count > 32), "{kind}: {few:?}");
            let refused = counted(&many).unwrap_err();
            assert!(refused.contains("elements with references followed"), "{kind}: {refused}");
        }
    }

    #[test]
    fn what_each_element_inherits_is_counted_for_each() {
        let stops = |count| format!("<linearGradient id='g'>{}</linearGradient>", "<stop/>".repeat(count));
        let rects = |count| format!("<g fill='url(#g)'>{}</g>", "<rect/>".repeat(count));
        assert_eq!(counted(&(stops(10_000) + &rects(100))), Ok(1 + 1 + 101 + 100));
        assert!(counted(&(stops(10_000) + &rects(300))).unwrap_err().contains("stops of gradients"));
        assert!(counted(&stops(10_001)).unwrap_err().contains("10001 stops in one gradient"));
        let dashes = format!(
            "<g stroke-dasharray='{}'>{}</g>",
            "1 ".repeat(1 << 17),
            "<path d='M0 0L1 1'/>".repeat(1000)
        );
        assert!(counted(&dashes).unwrap_err().contains("bytes of styles"), "{:?}", counted(&dashes));
        let marked = format!(
            "<marker id='m'><rect/></marker><path marker-mid='url(#m)' d='M0 0{}'/>",
            "L1 1".repeat(300_000)
        );
        assert!(counted(&marked).unwrap_err().contains("elements with references followed"));
    }

    #[test]
    fn each_count_has_its_limit_and_its_name() {
        let rules: String = (0..20_000).map(|i| format!(".c{i}{{fill:red}}")).collect();
        let styled = format!("<style>{rules}</style>{}", "<rect class='c1'/>".repeat(2000));
        let cases = [
            (format!("<text>{}</text>", "W".repeat(300_000)), "300000 letters"),
            (format!("<text>{}</text>", "W".repeat(90_000)), "letters times pieces"),
            (format!("<text>{}</text>", "<tspan>a</tspan>".repeat(9000)), "letters times pieces"),
            (format!("<path d='M0 0{}'/>", " 1 1".repeat(5_100_000)), "points of outlines"),
            (styled, "tries of style rules"),
            (
                format!(
                    "<style>{}</style>{}",
                    (0..900).map(|i| format!("[a~=b{i}]{{fill:red}}")).collect::<String>(),
                    format!("<rect a='{}'/>", "x ".repeat(3000)).repeat(300)
                ),
                "tries of style rules",
            ),
            ("<path d='M0 0A1e38 1e38 0 0 0 1 1'/>".to_owned(), "a radius"),
            ("<circle r='1e30'/>".to_owned(), "a radius"),
            ("<svg viewBox='0 0 1e38 1e38'/>".to_owned(), "a radius or a view box"),
            (
                (1..100).map(|i| format!("<mask id='m{i}' mask='url(#m{})'/>", i + 1)).collect(),
                "references in one another",
            ),
            (
                format!(
                    "<pattern id='p'>{}</pattern><g id='big'>{}</g>",
                    "<rect fill='url(#big)'/>".repeat(1000),
                    "<g/>".repeat(60_000)
                ),
                "elements",
            ),
        ];
        for (content, reason) in cases {
            let refused = counted(&content).unwrap_err();
            assert!(refused.contains(reason), "{content:.60}: {refused}");
        }
    }

    #[test]
    fn what_refers_to_itself_or_to_nothing_is_left_to_the_parser() {
        assert!(
            counted("<g id='a'><use href='#a'/><use href='#b'/></g><g id='b'><use href='#a'/></g>").is_ok()
        );
        assert!(
            counted("<pattern id='p'><rect fill='url(#p)'/></pattern><rect fill='url(#nothing)'/>").is_ok()
        );
    }

    #[test]
    fn what_is_in_a_circle_counts_wherever_it_is_met_first() {
        let rects = "<rect/>".repeat(100);
        for (one, other) in
            [("<use href='#a'/>", "<use href='#b'/>"), ("<g mask='url(#a)'/>", "<g mask='url(#b)'/>")]
        {
            let circle = format!("<mask id='a'>{rects}{other}</mask><mask id='b'>{one}</mask>");
            for order in [circle.clone() + &other.repeat(50), other.repeat(50) + &circle] {
                let all = counted(&order).unwrap();
                assert!(all > 50 * 100, "{all}: {order:.60}");
            }
        }
        // Each of twenty refers to all: what they come to is nowhere the same.
        let all: String = (0..20).map(|i| format!("<use href='#i{i}'/>")).collect();
        let circles: String = (0..20).map(|i| format!("<g id='i{i}'>{all}</g>")).collect();
        assert!(counted(&circles).is_err());
    }

    #[test]
    fn a_link_leads_to_a_place() {
        assert_eq!(counted("<g id='top'><a href='#top'><rect/></a></g>"), Ok(1 + 3));
    }
}
