//! What is left to resvg, and that it is not left undrawn.

use super::{Unsuited, corpus, fast, parse};

fn reason(content: &str) -> Option<Unsuited> {
    fast(&parse(&corpus::svg(content)), 64).err()
}

#[test]
fn what_the_two_would_draw_differently_is_left_to_resvg() {
    let rect = |attributes: &str| format!("<rect width='90' height='90' {attributes}/>");
    let filter = "<filter id='f'><feOffset dx='3'/></filter>";
    let blur = "<filter id='f'><feGaussianBlur stdDeviation='9'/></filter>";
    let mask = "<mask id='m'><circle r='50' fill='#fff'/></mask>";
    let pattern = "<pattern id='p' width='.2' height='.2'><circle r='5'/></pattern><rect width='9' height='9' fill='url(#p)'/>";
    let clipped = "<clipPath id='a'><circle r='50'/></clipPath><clipPath id='c' clip-path='url(#a)'><rect width='40' height='40'/></clipPath>";
    let parts = "<clipPath id='a'><circle r='50'/></clipPath><clipPath id='c'><rect width='40' height='40' clip-path='url(#a)'/></clipPath>";
    let gradient = "<linearGradient id='g' gradientUnits='userSpaceOnUse' x1='5' x2='5.00001'><stop stop-color='red'/><stop offset='1'/></linearGradient>";
    let png = "<image width='9' height='9' href='data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=='/>";
    for (content, expected) in [
        (rect(""), None),
        (format!("{filter}{}", rect("filter='url(#f)'")), Some(Unsuited::Filter)),
        (format!("{blur}{}", rect("filter='url(#f)'")), None),
        (format!("{blur}{}", rect("filter='url(#f)' transform='rotate(1)'")), Some(Unsuited::Filter)),
        (format!("{blur}{}", rect("filter='url(#f)' transform='scale(-1 1)'")), Some(Unsuited::Filter)),
        (rect("style='filter:blur(1px)'"), Some(Unsuited::Filter)),
        (rect("style='filter:blur(9px) invert(1)'"), Some(Unsuited::Filter)),
        (format!("{mask}{}", rect("mask='url(#m)'")), Some(Unsuited::Mask)),
        (pattern.to_owned(), Some(Unsuited::Pattern)),
        (format!("{pattern}<text stroke='url(#p)'>a</text>"), Some(Unsuited::Pattern)),
        (format!("{clipped}{}", rect("clip-path='url(#c)'")), Some(Unsuited::ClippedClipPath)),
        (format!("{parts}{}", rect("clip-path='url(#c)'")), Some(Unsuited::ClippedClipPath)),
        (rect("style='mix-blend-mode:hue'"), Some(Unsuited::NonSeparableBlend)),
        (rect("shape-rendering='crispEdges'"), Some(Unsuited::CrispEdges)),
        (rect("shape-rendering='crispEdges' visibility='hidden'"), None),
        (format!("{gradient}{}", rect("fill='url(#g)'")), Some(Unsuited::DegenerateGradient)),
        (png.to_owned(), Some(Unsuited::RasterImage)),
        (rect("transform='scale(100000)'"), Some(Unsuited::FarAway)),
    ] {
        assert_eq!(reason(&content), expected, "{content}");
    }
}

#[test]
fn what_blends_with_a_drawing_of_many_parts_is_left_to_resvg() {
    let blend = "<g style='mix-blend-mode:multiply'><rect width='50' height='50' fill='red'/></g>";
    let drawn = |parts: usize| {
        let parts = "<circle r='99' fill='#0a0'/>".repeat(parts);
        fast(&parse(&corpus::svg(&format!("{parts}{blend}"))), 1000).err()
    };
    assert_eq!((drawn(1), drawn(2000)), (None, Some(Unsuited::LateBlend)));
}

#[test]
fn groups_may_be_nested_only_so_deep() {
    let nested = |depth: usize| {
        reason(&format!(
            "{}<rect width='9' height='9'/>{}",
            "<g opacity='.9'>".repeat(depth),
            "</g>".repeat(depth)
        ))
    };
    assert_eq!(nested(64), None);
    assert_eq!(nested(65), Some(Unsuited::Depth));
}

#[test]
fn sides_of_any_length_are_drawn_by_one_or_the_other() {
    let svg =
        "<svg xmlns='http://www.w3.org/2000/svg' width='1000' height='1'><circle r='900' fill='red'/></svg>";
    let tree = parse(svg);
    for (side, expected) in [(1, None), (4_095, None), (16_384, None), (16_385, Some(Unsuited::Size))] {
        assert_eq!(fast(&tree, side).err(), expected, "{side}");
    }
}

#[test]
fn what_the_last_drawing_left_behind_does_not_show() {
    let square = parse(&corpus::svg("<rect x='10' width='9' height='90' fill='#0a5'/>"));
    let first = fast(&square, 120).unwrap();
    for (name, svg) in corpus::written().into_iter().step_by(9) {
        fast(&parse(&svg), 333).unwrap_or_else(|reason| panic!("{name}: {reason:?}"));
        // One that is given up in the middle of an open layer.
        let given_up = "<g opacity='.5'><rect width='9' height='9'/><rect transform='scale(99999)' width='99' height='99'/></g>";
        assert_eq!(reason(given_up), Some(Unsuited::FarAway));
        assert!(fast(&square, 120).unwrap() == first, "after {name}");
    }
}
