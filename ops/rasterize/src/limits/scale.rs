//! How many times larger an element draws what is in it, from above. It matters to letters along a path: the parser measures the path as
//! finely as it will be seen, and without end where that is infinitely fine.

use std::str::FromStr;

use resvg::usvg::roxmltree::Node;
use svgtypes::{TransformListParser, TransformListToken, ViewBox};

use super::data;

/// A side that is not said, or in parts of another, in pixels.
const UNKNOWN: f64 = 1e4;
/// Pixels of an inch, the largest unit.
const INCH: f64 = 96.0;

/// By its transforms and its view box.
pub(super) fn of(node: Node<'_, '_>) -> f64 {
    let own = node.attribute("transform").map_or(1.0, of_transforms);
    own * node.attribute("style").map_or(1.0, of_declarations) * of_view_box(node)
}

/// By the transforms in declarations, if there are any.
pub(super) fn of_declarations(declarations: &str) -> f64 {
    let declarations = declarations.split([';', '{', '}']).filter_map(|one| one.split_once(':'));
    let transforms = declarations.filter(|(name, _)| name.trim() == "transform");
    transforms.map(|(_, value)| of_transforms(value)).fold(1.0, f64::max)
}

fn of_transforms(value: &str) -> f64 {
    let of_one = |token| match token {
        TransformListToken::Matrix { a, b, c, d, .. } => {
            [a, b, c, d].into_iter().map(f64::abs).fold(0.0, f64::max)
        }
        TransformListToken::Scale { sx, sy } => sx.abs().max(sy.abs()),
        TransformListToken::SkewX { angle } | TransformListToken::SkewY { angle } => {
            1.0 + angle.to_radians().tan().abs()
        }
        TransformListToken::Translate { .. } | TransformListToken::Rotate { .. } => 1.0,
    };
    TransformListParser::from(value).map_while(Result::ok).map(of_one).product()
}

fn of_view_box(node: Node<'_, '_>) -> f64 {
    let Some(view_box) = node.attribute("viewBox").and_then(|value| ViewBox::from_str(value).ok()) else {
        return 1.0;
    };
    let names = ["width", "height", "markerWidth", "markerHeight"];
    let said = names.into_iter().filter_map(|name| node.attribute(name)).filter(|value| !value.contains('%'));
    let pixels = said.map(|value| {
        let unit = if value.contains(|letter: char| letter.is_ascii_alphabetic()) { INCH } else { 1.0 };
        data::largest(value) * unit
    });
    pixels.fold(UNKNOWN, f64::max) / view_box.w.min(view_box.h)
}

#[cfg(test)]
mod tests {
    use resvg::usvg::roxmltree::Document;

    #[test]
    fn transforms_and_view_boxes_enlarge() {
        let of = |attributes: &str| {
            let text = format!("<svg {attributes}/>");
            let document = Document::parse(&text).unwrap();
            super::of(document.root_element())
        };
        assert_eq!(of(""), 1.0);
        assert_eq!(of("transform='translate(900 9) rotate(45)'"), 1.0);
        assert_eq!(of("transform='scale(2) scale(1 -50)'"), 100.0);
        assert_eq!(of("transform='matrix(1 0 -7 1 900 900)' style='fill:red;transform:scale(.5)'"), 7.0);
        assert_eq!(of("style='transform:scale(9)'"), 9.0);
        assert!(of("transform='skewX(89)'") > 50.0);
        assert_eq!(of("viewBox='0 0 1 .001' width='9' height='100%'"), 1e7);
        assert_eq!(of("viewBox='0 0 1 1' width='1e9in'"), 96e9);
    }
}
