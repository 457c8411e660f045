//! Which values of a property the parser understands, by the library that it reads them with; which it would understand if they
//! were written otherwise, and how. A value that is neither is unknown: CSS has it that its declaration is as if it were not there.

use std::borrow::Cow;
use std::str::FromStr;

use svgtypes::{
    Color, FilterValueListParser, Length, LengthListParser, LengthUnit, Number, Paint, PaintOrder, Transform,
};

use super::variables::Variables;
use super::{calc, color, transform};

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Understood {
    /// It stays.
    Yes,
    /// It is written so.
    As(String),
    /// It goes.
    No,
}

/// What a property's values are.
enum Kind {
    Paint,
    Color,
    Opacity,
    /// A length, or one of these.
    Length(&'static [&'static str]),
    Lengths,
    Number,
    Words(&'static [&'static str]),
    Style,
    Weight,
    Order,
    Transform,
    /// Nothing, or another element.
    Reference,
    Filter,
}

/// A property: its values, its initial one, and whether it is inherited.
struct Property(Kind, &'static str, bool);

const BASELINES: &[&str] = &[
    "auto",
    "baseline",
    "use-script",
    "no-change",
    "reset-size",
    "ideographic",
    "alphabetic",
    "hanging",
    "mathematical",
    "central",
    "middle",
    "text-after-edge",
    "text-before-edge",
    "text-bottom",
    "text-top",
    "before-edge",
    "after-edge",
];
const BLENDS: &[&str] = &[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color-dodge",
    "color-burn",
    "hard-light",
    "soft-light",
    "difference",
    "exclusion",
    "hue",
    "saturation",
    "color",
    "luminosity",
];
const DISPLAYS: &[&str] = &[
    "inline",
    "block",
    "none",
    "contents",
    "flex",
    "grid",
    "inline-block",
    "inline-flex",
    "inline-grid",
    "flow-root",
    "list-item",
    "run-in",
    "compact",
    "marker",
    "table",
    "inline-table",
    "table-row-group",
    "table-header-group",
    "table-footer-group",
    "table-row",
    "table-column-group",
    "table-column",
    "table-cell",
    "table-caption",
];
const FONT_SIZES: &[&str] =
    &["xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "smaller", "larger"];
const STRETCHES: &[&str] = &[
    "normal",
    "wider",
    "narrower",
    "ultra-condensed",
    "extra-condensed",
    "condensed",
    "semi-condensed",
    "semi-expanded",
    "expanded",
    "extra-expanded",
    "ultra-expanded",
];
const MODES: &[&str] =
    &["lr-tb", "rl-tb", "tb-rl", "lr", "rl", "tb", "horizontal-tb", "vertical-rl", "vertical-lr"];

fn property(name: &str) -> Option<Property> {
    use Kind::{Filter, Number, Opacity, Order, Reference, Style, Transform, Weight, Words};
    Some(match name {
        "fill" => Property(Kind::Paint, "black", true),
        "stroke" => Property(Kind::Paint, "none", true),
        "color" => Property(Kind::Color, "black", true),
        "stop-color" | "flood-color" => Property(Kind::Color, "black", false),
        "lighting-color" => Property(Kind::Color, "white", false),
        "opacity" | "stop-opacity" | "flood-opacity" => Property(Opacity, "1", false),
        "fill-opacity" | "stroke-opacity" => Property(Opacity, "1", true),
        "stroke-width" => Property(Kind::Length(&[]), "1", true),
        "stroke-dashoffset" => Property(Kind::Length(&[]), "0", true),
        "letter-spacing" | "word-spacing" => Property(Kind::Length(&["normal"]), "normal", true),
        "font-size" => Property(Kind::Length(FONT_SIZES), "medium", true),
        "baseline-shift" => Property(Kind::Length(&["baseline", "sub", "super"]), "baseline", false),
        "stroke-dasharray" => Property(Kind::Lengths, "none", true),
        "stroke-miterlimit" => Property(Number, "4", true),
        "fill-rule" | "clip-rule" => Property(Words(&["nonzero", "evenodd"]), "nonzero", true),
        "stroke-linecap" => Property(Words(&["butt", "round", "square"]), "butt", true),
        "stroke-linejoin" => Property(Words(&["miter", "miter-clip", "round", "bevel"]), "miter", true),
        "visibility" => Property(Words(&["visible", "hidden", "collapse"]), "visible", true),
        "display" => Property(Words(DISPLAYS), "inline", false),
        "overflow" => Property(Words(&["visible", "hidden", "scroll", "auto", "clip"]), "visible", false),
        "text-anchor" => Property(Words(&["start", "middle", "end"]), "start", true),
        "font-style" => Property(Style, "normal", true),
        "font-weight" => Property(Weight, "normal", true),
        "font-stretch" => Property(Words(STRETCHES), "normal", true),
        "mix-blend-mode" => Property(Words(BLENDS), "normal", false),
        "isolation" => Property(Words(&["auto", "isolate"]), "auto", false),
        "mask-type" => Property(Words(&["luminance", "alpha"]), "luminance", false),
        "color-interpolation-filters" => Property(Words(&["auto", "sRGB", "linearRGB"]), "linearRGB", true),
        "shape-rendering" => {
            Property(Words(&["auto", "optimizeSpeed", "crispEdges", "geometricPrecision"]), "auto", true)
        }
        "direction" => Property(Words(&["ltr", "rtl"]), "ltr", true),
        "writing-mode" => Property(Words(MODES), "lr-tb", true),
        "dominant-baseline" => Property(Words(BASELINES), "auto", true),
        "alignment-baseline" => Property(Words(BASELINES), "baseline", false),
        "paint-order" => Property(Order, "normal", true),
        "transform" => Property(Transform, "none", false),
        "clip-path" | "mask" => Property(Reference, "none", false),
        "marker" | "marker-start" | "marker-mid" | "marker-end" => Property(Reference, "none", true),
        "filter" => Property(Filter, "none", false),
        _ => return None,
    })
}

/// Whether it is a property whose values are known here.
pub(super) fn is_known(name: &str) -> bool {
    property(name).is_some()
}

/// Whether the parser understands a value in CSS, where these variables are set.
pub(super) fn understood(name: &str, value: &str, variables: &Variables) -> Understood {
    let Some(Property(kind, initial, inherited)) = property(name) else { return Understood::Yes };
    match plain(value.trim(), variables) {
        Some(Cow::Borrowed(value)) => kind.meant(value, initial, inherited),
        Some(Cow::Owned(resolved)) => match kind.meant(resolved.trim(), initial, inherited) {
            Understood::Yes => Understood::As(resolved.trim().to_owned()),
            other => other,
        },
        None => Understood::No,
    }
}

/// A value without variables and sums; none where one comes to nothing.
fn plain<'v>(value: &'v str, variables: &Variables) -> Option<Cow<'v, str>> {
    variables.resolved(value).and_then(calc::settled)
}

/// The same as an attribute of that name, which has a syntax of its own for transforms. What says where and how large a shape is
/// may be made of variables and sums, too; the parser understands more than CSS of all else.
pub(super) fn understood_attribute(name: &str, value: &str, variables: &Variables) -> Understood {
    match name {
        "transform" => Understood::Yes,
        "x" | "y" | "width" | "height" | "r" | "rx" | "ry" | "cx" | "cy" => match plain(value, variables) {
            Some(Cow::Borrowed(_)) => Understood::Yes,
            Some(Cow::Owned(value)) => Understood::As(value),
            None => Understood::No,
        },
        _ => understood(name, value, variables),
    }
}

/// A word that any property takes (CSS Cascading Level 5, section 7.3).
fn wide(value: &str) -> Option<&'static str> {
    let words = ["inherit", "initial", "unset", "revert", "revert-layer"];
    words.into_iter().find(|word| word.eq_ignore_ascii_case(value))
}

impl Kind {
    /// A value without variables, of a property with this initial value.
    fn meant(&self, value: &str, initial: &str, inherited: bool) -> Understood {
        match wide(value) {
            Some("inherit") if value == "inherit" => Understood::Yes,
            Some("inherit") => Understood::As("inherit".to_owned()),
            Some("initial") => Understood::As(initial.to_owned()),
            Some(_) => Understood::As(if inherited { "inherit" } else { initial }.to_owned()),
            None => self.understood(value),
        }
    }

    fn understood(&self, value: &str) -> Understood {
        match self {
            Self::Paint => paint(value),
            Self::Color => color(value),
            Self::Opacity => yes(Length::from_str(value)
                .is_ok_and(|length| matches!(length.unit, LengthUnit::None | LengthUnit::Percent))),
            Self::Length(words) if !matches!(word(words, value), Understood::No) => word(words, value),
            Self::Length(_) => length(value),
            Self::Lengths => match word(&["none"], value) {
                Understood::No => yes(LengthListParser::from(value).all(|length| length.is_ok())),
                other => other,
            },
            Self::Number => yes(Number::from_str(value).is_ok()),
            Self::Words(words) => word(words, value),
            Self::Style => match value.split_ascii_whitespace().next() {
                Some(first) if first.len() < value.len() && first.eq_ignore_ascii_case("oblique") => {
                    Understood::As("oblique".to_owned())
                }
                _ => word(&["normal", "italic", "oblique"], value),
            },
            Self::Weight => match Number::from_str(value) {
                Ok(number) => yes((1.0..=1000.0).contains(&number.0)),
                Err(_) => word(&["normal", "bold", "bolder", "lighter"], value),
            },
            Self::Order => yes(PaintOrder::from_str(value).is_ok()),
            Self::Transform if value == "none" || Transform::from_str(value).is_ok() => Understood::Yes,
            Self::Transform => transform::plain(value).map_or(Understood::No, Understood::As),
            Self::Reference => match word(&["none"], value) {
                Understood::No => yes(value.starts_with("url(")),
                other => other,
            },
            Self::Filter => match word(&["none"], value) {
                Understood::No => yes(FilterValueListParser::from(value).all(|one| one.is_ok())),
                other => other,
            },
        }
    }
}

fn yes(understood: bool) -> Understood {
    if understood { Understood::Yes } else { Understood::No }
}

/// Words are the same in any case, and the parser knows one.
fn word(words: &[&'static str], value: &str) -> Understood {
    match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
        Some(word) if *word == value => Understood::Yes,
        Some(word) => Understood::As((*word).to_owned()),
        None => Understood::No,
    }
}

fn paint(value: &str) -> Understood {
    if Paint::from_str(value).is_ok() {
        return Understood::Yes;
    }
    match word(&["context-fill", "context-stroke"], value) {
        Understood::No => {}
        other => return other,
    }
    // A server of paint, with what is to be painted where there is none.
    if value.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("url(")) {
        let (server, fallback) = value.split_once(')').unwrap_or((value, ""));
        let fallback = fallback.trim();
        return match painted(fallback) {
            Understood::As(fallback) => Understood::As(format!("{server}) {fallback}")),
            // One that refers to another file, for example.
            Understood::No if fallback.is_empty() => Understood::Yes,
            other => other,
        };
    }
    painted(value)
}

/// What is painted without a server.
fn painted(value: &str) -> Understood {
    match word(&["none", "currentColor"], value) {
        Understood::No => color(value),
        other => other,
    }
}

fn color(value: &str) -> Understood {
    if Color::from_str(value).is_ok() {
        return Understood::Yes;
    }
    match word(&["currentColor"], value) {
        Understood::No => color::srgb(value).map_or(Understood::No, Understood::As),
        other => other,
    }
}

/// A length in a unit that the parser knows, or in pixels.
fn length(value: &str) -> Understood {
    if Length::from_str(value).is_ok() {
        return Understood::Yes;
    }
    let lower = value.to_ascii_lowercase();
    if lower != value && Length::from_str(&lower).is_ok() {
        return Understood::As(lower);
    }
    let in_pixels = |(unit, pixels): (&str, f64)| {
        let number: f64 = lower.strip_suffix(unit)?.parse().ok()?;
        Some(format!("{}px", transform::written(number * pixels)?))
    };
    let rare = [("rem", 16.0), ("q", 96.0 / 101.6)];
    rare.into_iter().find_map(in_pixels).map_or(Understood::No, Understood::As)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(name: &str, value: &str) -> Understood {
        super::understood(name, value, &Variables::default())
    }

    #[test]
    fn what_the_parser_knows_stays() {
        for (name, value) in [
            ("fill", "#f00"),
            ("fill", "url(#a) red"),
            ("fill", "url(other.svg#a)"),
            ("stroke", "none"),
            ("stroke", "context-fill"),
            ("stop-color", "rgba(1,2,3,.5)"),
            ("opacity", "50%"),
            ("stroke-width", "2px"),
            ("font-size", "large"),
            ("stroke-dasharray", "1, 2 3%"),
            ("font-weight", "650"),
            ("filter", "url(#a) blur(2px)"),
            ("transform", "rotate(45)"),
            ("mask", "url(#a)"),
            ("paint-order", "stroke fill"),
            ("fill", "inherit"),
            ("font-family", "anything: at all"),
            ("-x-unknown", "anything: at all"),
        ] {
            assert_eq!(understood(name, value), Understood::Yes, "{name}: {value}");
        }
    }

    #[test]
    fn what_it_knows_by_another_spelling_is_spelled_so() {
        for (name, value, spelled) in [
            ("fill", "color(display-p3 1 0 0)", "#ff0000"),
            ("fill", "url(#a) color(display-p3 1 0 0)", "url(#a) #ff0000"),
            ("fill", "currentcolor", "currentColor"),
            ("fill", "NONE", "none"),
            ("stop-color", "lab(100% 0 0)", "#ffffff"),
            ("stroke-linecap", "ROUND", "round"),
            ("color-interpolation-filters", "srgb", "sRGB"),
            ("stroke-width", "2PX", "2px"),
            ("font-size", "1.5rem", "24px"),
            ("font-style", "oblique 10deg", "oblique"),
            ("fill", "initial", "black"),
            ("fill", "unset", "inherit"),
            ("opacity", "unset", "1"),
            ("fill", "Inherit", "inherit"),
            ("fill", "var(--a, #123)", "#123"),
            ("fill", "var(--a, var(--b, lab(100% 0 0)))", "#ffffff"),
            ("transform", "translate(10px, 20px) rotate(45deg)", "translate(10 20) rotate(45)"),
            ("transform", "translate(calc(2px * 5), 20px)", "translate(10 20)"),
            ("opacity", "calc(1 / 2)", "0.5"),
            ("stroke-width", "calc(var(--a, 2px) * 2)", "4px"),
            ("stroke-dasharray", "calc(1px + 1px) 3", "2px 3"),
            ("fill", "rgb(calc(250 + 5) 0 0)", "rgb(255 0 0)"),
            ("fill", "color-mix(in srgb, var(--a, red), blue)", "#800080"),
        ] {
            assert_eq!(understood(name, value), Understood::As(spelled.to_owned()), "{name}: {value}");
        }
    }

    #[test]
    fn what_it_does_not_know_goes() {
        for (name, value) in [
            ("fill", "nonsense"),
            ("fill", "color(nonsense 1 0 0)"),
            ("fill", "var(--a)"),
            ("stop-color", "none"),
            ("stroke-width", "calc(1px + 2%)"),
            ("fill", "color-mix(in lch, red, blue)"),
            ("opacity", "1px"),
            ("stroke-width", "thick"),
            ("stroke-dasharray", "a b"),
            ("stroke-linejoin", "arcs"),
            ("display", "nonsense"),
            ("font-weight", "heavy"),
            ("font-weight", "0"),
            ("clip-path", "circle(40%)"),
            ("filter", "nonsense(1)"),
            ("transform", "rotate3d(1, 1, 1, 45deg)"),
            ("mix-blend-mode", "plus-lighter"),
        ] {
            assert_eq!(understood(name, value), Understood::No, "{name}: {value}");
        }
    }
}
