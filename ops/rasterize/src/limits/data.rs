//! Numbers in the attributes of a drawing: the points of an outline, and radii, which say how many curves an arc is made of.

use resvg::usvg::roxmltree::Node;
use svgtypes::{PathParser, PathSegment};

/// The largest radius of an arc, and side of a view box, in its own units: those that single precision knows make an arc of
/// millions of curves.
pub(super) const MAX_RADIUS: f64 = 1e9;
/// Radii up to which an arc is a straight line to kurbo.
const STRAIGHT: f64 = 1e-5;

/// What there is to an outline's data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Extent {
    /// About how many points it has, as the parser makes them.
    pub(super) points: u64,
    /// The largest radius of its arcs.
    pub(super) radius: f64,
}

impl Extent {
    /// Of the data of a path.
    pub(super) fn of(data: &str) -> Self {
        if !data.contains(['A', 'a']) {
            return Self { points: points(data), radius: 0.0 };
        }
        let mut pen = Pen::default();
        // The parser as well draws what comes before a mistake.
        PathParser::from(data).map_while(Result::ok).for_each(|segment| pen.follow(&segment));
        pen.extent
    }
}

/// The curves that kurbo makes of all of an ellipse: of its `Arc::append_iter`, with the parser's tolerance of 0.1.
fn curves(radius: f64) -> f64 {
    (11.163 * radius).powf(1.0 / 6.0).max(4.0)
}

/// The points of four quarters of an ellipse, each made of whole curves.
pub(super) fn ellipse(radius: f64) -> u64 {
    1 + 4 * 3 * (curves(radius) / 4.0).ceil() as u64
}

/// Where an outline with arcs has come to.
#[derive(Default)]
struct Pen {
    extent: Extent,
    start: (f64, f64),
    last: (f64, f64),
}

impl Pen {
    fn follow(&mut self, segment: &PathSegment) {
        let (x, y) = if segment.is_abs() { (0.0, 0.0) } else { self.last };
        let (points, end) = match *segment {
            PathSegment::MoveTo { x: to, y: down, .. } => {
                self.start = (x + to, y + down);
                (1, self.start)
            }
            PathSegment::LineTo { x: to, y: down, .. } => (1, (x + to, y + down)),
            PathSegment::HorizontalLineTo { x: to, .. } => (1, (x + to, self.last.1)),
            PathSegment::VerticalLineTo { y: to, .. } => (1, (self.last.0, y + to)),
            PathSegment::CurveTo { x: to, y: down, .. }
            | PathSegment::SmoothCurveTo { x: to, y: down, .. } => (3, (x + to, y + down)),
            PathSegment::Quadratic { x: to, y: down, .. }
            | PathSegment::SmoothQuadratic { x: to, y: down, .. } => (2, (x + to, y + down)),
            PathSegment::EllipticalArc { rx, ry, large_arc, x: to, y: down, .. } => {
                let end = (x + to, y + down);
                (self.arc((rx.abs(), ry.abs()), large_arc, end), end)
            }
            PathSegment::ClosePath { .. } => (1, self.start),
        };
        self.extent.points = self.extent.points.saturating_add(points);
        self.last = end;
    }

    /// The points of an arc. Radii that do not reach from one end to the other are enlarged until they do (SVG 2, section
    /// 9.5.1).
    fn arc(&mut self, (across, down): (f64, f64), large: bool, end: (f64, f64)) -> u64 {
        let narrow = across.min(down);
        if narrow <= STRAIGHT {
            return 1;
        }
        let distance = (end.0 - self.last.0).hypot(end.1 - self.last.1);
        let radius = across.max(down) * (distance / 2.0 / narrow).max(1.0);
        self.extent.radius = self.extent.radius.max(radius);
        let part = if large { 1.0 } else { 0.5 };
        ((curves(radius) * part).ceil() as u64).saturating_mul(3)
    }
}

/// About how many points data without arcs have: what begins like a number, two of them a point, and commands that are one with
/// a single number or without any. Data may be as long as a source, so each byte is looked at once and nothing is parsed.
pub(super) fn points(data: &str) -> u64 {
    let (mut numbers, mut commands) = (0_u64, 0_u64);
    let (mut inside, mut fraction) = (false, false);
    for byte in data.bytes() {
        match byte {
            b'0'..=b'9' => {
                numbers += u64::from(!inside);
                fraction &= inside;
                inside = true;
            }
            b'.' => {
                numbers += u64::from(!inside || fraction);
                (inside, fraction) = (true, true);
            }
            _ => {
                inside = false;
                // A curve that goes on from the one before has a point that is not said.
                commands += u64::from(matches!(byte | 0x20, b'h' | b'v' | b'z' | b's' | b't'));
            }
        }
    }
    numbers / 2 + commands
}

/// The largest number that stands in an attribute, whatever unit it has.
pub(super) fn largest(data: &str) -> f64 {
    numbers(data).map(|(number, _)| number).fold(0.0, f64::max)
}

/// The numbers of a text without their signs (SVG 2, section 9.3.9), which need nothing between them, each with what is behind it.
fn numbers(data: &str) -> impl Iterator<Item = (f64, &str)> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let start = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.')?;
        let text = &rest[start..];
        let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(0);
        if text[end..].starts_with('.') {
            end += 1 + digits(end + 1);
        }
        if text[end..].starts_with(['e', 'E']) {
            let signed = usize::from(text[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + signed);
            end += if exponent > 0 { 1 + signed + exponent } else { 0 };
        }
        rest = &text[end..];
        // A dot alone is no number.
        Some((text[..end].parse().unwrap_or(0.0), rest))
    })
}

/// The sizes of a drawing's fonts, from above: what a radius in `em` is measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fonts {
    /// The largest that is said in a unit of its own, in pixels.
    absolute: f64,
    /// All that are said in parts of another, one upon the other.
    relative: f64,
}

impl Default for Fonts {
    /// With room for all sizes that have a name.
    fn default() -> Self {
        Self { absolute: 64.0, relative: 1.0 }
    }
}

impl Fonts {
    /// Adds the value of a font's size that stands in up to so many elements inside one another.
    pub(super) fn add(&mut self, value: &str, often: u64) {
        let mut factor: f64 = if value.contains("larger") { 1.2 } else { 1.0 };
        for (number, unit) in numbers(value) {
            match unit.as_bytes() {
                [b'%', ..] => factor *= (number / 100.0).max(1.0),
                [b'e' | b'E' | b'r' | b'R', ..] => factor *= number.max(1.0),
                _ => self.absolute = self.absolute.max(number * INCH),
            }
        }
        self.relative *= factor.powf(often as f64);
    }
}

/// Pixels of an inch, the largest unit.
const INCH: f64 = 96.0;

/// The largest radius that these attributes of a shape give it, in pixels, from above; none are 0.
pub(super) fn radius(node: Node<'_, '_>, names: &[&str], fonts: Fonts) -> f64 {
    let pixels = |value: &str| {
        let sizes = numbers(value).map(|(number, unit)| match unit.as_bytes() {
            // Of a view box, of which no side is larger.
            [b'%', ..] => number / 100.0 * MAX_RADIUS,
            [b'e' | b'E', ..] => number * fonts.absolute * fonts.relative,
            [b'a'..=b'z' | b'A'..=b'Z', ..] => number * INCH,
            _ => number,
        });
        // Single precision has no more.
        sizes.fold(0.0, f64::max).min(f64::from(f32::MAX))
    };
    let attributes = node.attributes().filter(|attribute| names.contains(&attribute.name()));
    attributes.map(|attribute| pixels(attribute.value())).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use resvg::usvg::roxmltree::Document;
    use resvg::usvg::{Options, Tree};

    use super::*;

    #[test]
    fn points_are_about_as_many_as_there_are() {
        assert_eq!(points("M10 20L30,40-5-6z"), 3 + 1);
        assert_eq!(points("M0 0h10v10h-10z"), 2 + 4);
        assert_eq!(points(""), 0);
        assert_eq!(points(&"1 1 ".repeat(1000)), 1000);
        assert_eq!(points(&".5.5".repeat(1000)), 1000);
    }

    #[test]
    fn radii_are_found_however_they_are_written() {
        assert_eq!(largest("0 0 300 150"), 300.0);
        assert_eq!(largest("5e9mm"), 5e9);
        assert_eq!(largest("1em . é"), 1.0);
        assert_eq!(Extent::of("M1e38 1e38L-1e38 5").radius, 0.0);
        for huge in [
            "M0 0A1e38 1e38 0 0 0 1 1",
            "M0 0 a 1E+38,5 0 0 0 1-1z",
            "M0 0a5-1e38 0 0 0 1 1",
            "m0 0a5 5 0 001-.5e12z",
            "M1e300 0A1 1 0 0 1 0 0",
            "M0 0m1e38 0A1 1 0 0 1 0 0",
            "M0 0A.001 1000 0 0 0 9e9 1",
        ] {
            assert!(Extent::of(huge).radius > MAX_RADIUS, "{huge}: {:?}", Extent::of(huge));
        }
        assert_eq!(Extent::of("M0 0a5.5.5 0 01-1-1A300-200 0 0 0 1 1").radius, 300.0);
    }

    /// The points of what the parser makes of a shape.
    fn made(shape: &str) -> u64 {
        let text = format!("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1e9 1e9'>{shape}</svg>");
        let tree = Tree::from_str(&text, &Options::default()).unwrap();
        let Some(resvg::usvg::Node::Path(path)) = tree.root().children().first() else { panic!("{shape}") };
        path.data().points().len() as u64
    }

    #[test]
    fn an_arc_is_worth_the_curves_that_the_parser_makes_of_it() {
        for (data, most) in [
            ("M0 0A10 10 0 0 1 20 0", 12),
            ("M0 0A1e9 1e9 0 1 1 20 20", 300),
            ("M0 0A999999999 9e8 0 0 1 20 9e8", 300),
            ("M9e8 0A1 1 0 0 1 0 0", 200),
            ("M0 0a10 10 0 11.1.1a5 5 0 0 0 3 3", 30),
        ] {
            let (counted, made) = (Extent::of(data).points, made(&format!("<path d='{data}'/>")));
            assert!(made <= counted && counted <= most, "{data}: {made} made, {counted} counted");
        }
        for shape in [
            "<circle r='10'/>",
            "<circle r='9e8'/>",
            "<ellipse rx='5' ry='9e8'/>",
            "<rect width='9e8' height='9e8' rx='4e8'/>",
            "<circle r='50%'/>",
            "<circle font-size='1e12' r='100em'/>",
            "<circle font-size='1e9em' r='100em'/>",
        ] {
            let text = format!("<svg>{shape}</svg>");
            let document = Document::parse(&text).unwrap();
            let node = document.root_element().first_child().unwrap();
            let mut fonts = Fonts::default();
            fonts.add(node.attribute("font-size").unwrap_or_default(), 1);
            // A rectangle's corners stand between its sides.
            let counted = 8 + ellipse(radius(node, &["r", "rx", "ry"], fonts));
            assert!(made(shape) <= counted, "{shape}: {} made, {counted} counted", made(shape));
        }
        assert!(ellipse(1e38) > 5_000_000);
        assert_eq!(ellipse(100.0), 13);
    }
}
