//! Circles of references. The parser ends some of them by itself, and the drawing is drawn; in the others it goes round until
//! its stack ends, and they are refused.

use imgserve_sdk::Error;
use resvg::usvg::roxmltree::Node;

use super::style::Link;
use super::within;

/// Most templates in a circle that are looked for: more are too deep anyway.
const MAX_TEMPLATES: usize = 100;

/// One reference.
#[derive(Debug)]
pub(super) struct Hop<'d, 'i> {
    /// How many elements were being counted.
    pub(super) around: usize,
    pub(super) from: Node<'d, 'i>,
    pub(super) link: Link,
    pub(super) to: Node<'d, 'i>,
    /// Whether no other element has the `id` of this one; where two have it, the parser takes now one and now the other.
    pub(super) is_alone: bool,
}

impl Hop<'_, '_> {
    fn is_of_use(&self) -> bool {
        [self.from, self.to].iter().any(|end| end.tag_name().name() == "use")
    }

    /// Whether what it leads to stands in for what is not said where it comes from.
    fn is_of_template(&self) -> bool {
        self.link == Link::Href && is_template(self.from)
    }

    fn is_of_pattern(&self) -> bool {
        matches!(self.link, Link::Fill | Link::Stroke) && self.to.tag_name().name() == "pattern"
    }
}

/// Refuses the references of a circle where the parser does not find it out. It bounds `use` by itself.
pub(super) fn check<'h>(hops: impl Iterator<Item = &'h Hop<'h, 'h>>) -> Result<(), Error> {
    let hops: Vec<_> = hops.filter(|hop| !hop.is_of_use()).collect();
    let kinds = || hops.iter().map(|hop| hop.to.tag_name().name());
    let most = match kinds().next() {
        _ if is_found(&hops) => u64::MAX,
        Some(first) if kinds().any(|kind| kind != first) => 1,
        Some("marker") | None => u64::MAX,
        Some("clipPath" | "mask") => 2,
        Some(_) => 1,
    };
    refuse_above(hops.len() as u64, most)
}

/// The circles that the parser looks for: templates that lead back to the first of them; two patterns, each painted with the
/// other by the same property; and a filter that shows what is filtered by it.
fn is_found(hops: &[&Hop<'_, '_>]) -> bool {
    let shows = |image: &Hop<'_, '_>, filter: &Hop<'_, '_>| {
        image.from.tag_name().name() == "feImage"
            && image.link == Link::Href
            && image.from.parent() == Some(filter.to)
            && filter.from == image.to
    };
    hops.iter().all(|hop| hop.is_alone)
        && match hops {
            [one, other] if one.is_of_pattern() && other.is_of_pattern() => one.link == other.link,
            [one, other] if shows(one, other) || shows(other, one) => true,
            _ => hops.iter().all(|hop| hop.is_of_template()),
        }
}

/// Refuses a reference by which the parser goes round although it does not lead back to where it comes from. `find` has the
/// elements whose `id` is theirs alone.
pub(super) fn check_first<'d, 'i>(
    hop: &Hop<'d, 'i>,
    find: impl Fn(&str) -> Option<Node<'d, 'i>>,
) -> Result<(), Error> {
    let goes_round = is_painted_with_itself(hop) || hop.is_of_template() && leads_to_circle(hop, find);
    refuse_above(if goes_round { 2 } else { 1 }, 1)
}

fn refuse_above(count: u64, most: u64) -> Result<(), Error> {
    within("references in one circle", count, most)
}

/// Whether templates lead back to the one at the end of `hop` and not to where it begins, the only place that the parser
/// compares with.
fn leads_to_circle<'d, 'i>(hop: &Hop<'d, 'i>, find: impl Fn(&str) -> Option<Node<'d, 'i>>) -> bool {
    let next = |node: &Node<'d, 'i>| {
        let href = node.attributes().find(|attribute| attribute.name() == "href")?;
        let next = find(href.value().trim().strip_prefix('#')?)?;
        // One that refers to itself is found.
        (next != *node).then_some(next)
    };
    let mut chain = std::iter::successors(next(&hop.to), next).take(MAX_TEMPLATES);
    chain.find(|node| *node == hop.to || *node == hop.from) == Some(hop.to) && hop.to != hop.from
}

fn is_template(node: Node<'_, '_>) -> bool {
    matches!(node.tag_name().name(), "linearGradient" | "radialGradient" | "pattern" | "filter")
}

/// Whether a shape in a pattern is painted with that pattern in turn, by what it inherits from an element around both.
fn is_painted_with_itself(hop: &Hop<'_, '_>) -> bool {
    let property = match hop.link {
        Link::Fill => "fill",
        Link::Stroke => "stroke",
        Link::Own | Link::Href | Link::Marker => return false,
    };
    let has_own = |element: Node<'_, '_>| {
        let style = element.attribute("style").unwrap_or_default();
        let mut names = style.split(';').filter_map(|one| one.split_once(':'));
        element.attributes().any(|attribute| attribute.name() == property)
            || names.any(|(name, _)| name.trim() == property)
    };
    let inherits =
        |shape: Node<'_, '_>| !shape.ancestors().take_while(|around| *around != hop.from).any(has_own);
    let is_shape = |shape: &Node<'_, '_>| {
        matches!(
            shape.tag_name().name(),
            "path" | "rect" | "circle" | "ellipse" | "line" | "polyline" | "polygon" | "text" | "use"
        )
    };
    hop.is_of_pattern()
        && hop.to.ancestors().skip(1).any(|around| around == hop.from)
        && hop.to.descendants().filter(is_shape).any(inherits)
}

#[cfg(test)]
mod tests {
    use super::super::census;
    use resvg::usvg::roxmltree::Document;

    /// Why a drawing of this content is not drawn.
    fn refusal(content: &str) -> Option<String> {
        let text = format!("<svg xmlns='http://www.w3.org/2000/svg'>{content}</svg>");
        let refused = census::check(&Document::parse(&text).unwrap()).err();
        refused.map(|error| error.message().to_owned())
    }

    fn parsed(content: &str) {
        let shown =
            "<rect width='9' height='9' fill='url(#a)' stroke='url(#b)' mask='url(#a)' filter='url(#a)'/>";
        let text =
            format!("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>{content}{shown}</svg>");
        resvg::usvg::Tree::from_str(&text, &resvg::usvg::Options::default()).unwrap();
    }

    fn mask(id: char, to: char) -> String {
        format!("<mask id='{id}'><rect width='9' height='9' mask='url(#{to})'/></mask>")
    }

    fn pattern(id: char, paint: &str) -> String {
        format!("<pattern id='{id}' width='9' height='9'><rect width='9' height='9' {paint}/></pattern>")
    }

    fn gradient(id: char, to: char) -> String {
        format!("<linearGradient id='{id}' href='#{to}'/>")
    }

    #[test]
    fn circles_that_the_parser_finds_are_left_to_it() {
        for found in [
            mask('a', 'a'),
            mask('a', 'b') + &mask('b', 'a'),
            pattern('a', "fill='url(#b)'") + &pattern('b', "fill='url(#a)'"),
            pattern('a', "stroke='url(#b)'") + &pattern('b', "style='stroke:url(#a)'"),
            gradient('a', 'a') + &gradient('b', 'a'),
            gradient('a', 'b') + &gradient('b', 'a'),
            gradient('a', 'b') + &gradient('b', 'c') + &gradient('c', 'a'),
            "<filter id='a' href='#b'/><filter id='b' href='#a'/>".to_owned(),
            "<pattern id='a' width='9' height='9' href='#b'/><pattern id='b' width='9' height='9' href='#a'/>".to_owned(),
            "<filter id='a'><feImage href='#c'/></filter><g id='c' filter='url(#a)'><rect width='9' height='9'/></g>".to_owned(),
            "<g fill='url(#c)'><rect id='c' width='9' height='9'/></g>".to_owned(),
            "<g stroke='url(#a)'><pattern id='a'><rect style='stroke: red'/></pattern></g>".to_owned(),
            "<g fill='url(#a)'><pattern id='a'><g fill='red'><rect/></g></pattern></g>".to_owned(),
        ] {
            assert_eq!(refusal(&found), None, "{found}");
            parsed(&found);
        }
    }

    #[test]
    fn circles_that_the_parser_does_not_find_are_refused() {
        for lost in [
            mask('a', 'b') + &mask('b', 'c') + &mask('c', 'a'),
            pattern('a', "stroke='url(#b)'") + &pattern('b', "fill='url(#a)'"),
            pattern('a', "fill='url(#b)'")
                + &pattern('b', "fill='url(#c)'")
                + &pattern('c', "fill='url(#a)'"),
            pattern('a', "mask='url(#b)'") + "<mask id='b'><rect fill='url(#a)'/></mask>",
            format!("<pattern id='a' href='#b'/>{}", pattern('b', "fill='url(#a)'")),
            // Which of the two is meant is not the same for all references.
            pattern('a', "fill='url(#b)'") + &pattern('b', "fill='url(#a)'") + &pattern('b', "fill='red'"),
            // The parser compares with where it began, which is not in the circle.
            gradient('a', 'b') + &gradient('b', 'c') + &gradient('c', 'b'),
            gradient('a', 'b') + &gradient('b', 'c') + &gradient('c', 'd') + &gradient('d', 'c'),
            "<g fill='url(#a)'><pattern id='a'><rect/></pattern></g>".to_owned(),
            "<filter id='a'><feImage href='#b'/></filter><g id='b'><rect filter='url(#a)'/></g>".to_owned(),
            "<filter id='a'><feImage href='#b'/></filter><g id='b' filter='url(#c)'/>\
                 <filter id='c'><feImage href='#d'/></filter><g id='d' filter='url(#a)'/>"
                .to_owned(),
        ] {
            assert!(
                refusal(&lost).is_some_and(|refused| refused.contains("references in one circle")),
                "{lost}"
            );
        }
    }
}
