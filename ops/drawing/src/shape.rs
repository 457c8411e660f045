//! A drawing's own size, by the rules of `usvg`, which draws it, and with units that it does not know. A side that the root
//! element does not give is that of what the drawing shows, which only its renderer can tell.

use std::str::FromStr;

use roxmltree::Node;
use svgtypes::{Length, LengthUnit, ViewBox};

use crate::document::{complete, parse};
use crate::prologue::root;

/// Units per inch, as in CSS.
const DPI: f64 = 96.0;
/// CSS's medium font size, for `em` and `rem`.
const FONT_SIZE: f64 = 16.0;

/// The size that a drawing's root element gives, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Its width; none if it is that of what is shown.
    pub width: Option<f64>,
    /// Its height, likewise.
    pub height: Option<f64>,
    /// Whether it is said in a way that usvg reads otherwise, so that it must be told in numbers.
    pub unusual: bool,
}

impl Shape {
    /// Both sides, if both are given.
    pub fn sides(&self) -> Option<(f64, f64)> {
        self.width.zip(self.height)
    }
}

/// The size that a root element gives.
pub fn shape(root: Node<'_, '_>) -> Shape {
    let font_size = side(root, "font-size", FONT_SIZE).map_or(FONT_SIZE, |length| length.pixels(FONT_SIZE));
    let (width, height) = (side(root, "width", font_size), side(root, "height", font_size));
    let unusual = [width, height].into_iter().flatten().any(|side| side.unusual);
    let view_box = root.attribute("viewBox").and_then(|text| ViewBox::from_str(text).ok());
    let (width, height) = match view_box.filter(|view_box| view_box.w > 0.0 && view_box.h > 0.0) {
        Some(view_box) => {
            let (width, height) = in_view_box(width, height, &view_box);
            (Some(width), Some(height))
        }
        // A part of nothing is nothing: what it would be of, only whoever shows the drawing knows.
        None => (width.and_then(Side::absolute), height.and_then(Side::absolute)),
    };
    Shape { width, height, unusual }
}

/// The same by the first bytes' text alone; none if the root element's start tag is not all in it.
pub fn shape_at_once(beginning: &str) -> Option<Shape> {
    let text = complete(beginning.into());
    let end = root(&text)?.tag.end;
    let tag = text[..end - 1].strip_suffix('/').unwrap_or(&text[..end - 1]);
    parse(&format!("{tag}/>"), true, |document| shape(document.root_element())).ok()
}

fn in_view_box(width: Option<Side>, height: Option<Side>, view_box: &ViewBox) -> (f64, f64) {
    let pixels = |side: Option<Side>, whole: f64| side.map_or(whole, |side| side.pixels(whole));
    let (across, down) = (pixels(width, view_box.w), pixels(height, view_box.h));
    match (width, height) {
        (Some(_), None) => (across, view_box.h * across / view_box.w),
        (None, Some(_)) => (view_box.w * down / view_box.h, down),
        _ => (across, down),
    }
}

/// A length as it is given.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// In pixels, or of a hundred.
    number: f64,
    percent: bool,
    unusual: bool,
}

impl Side {
    fn absolute(self) -> Option<f64> {
        (!self.percent).then_some(self.number)
    }

    fn pixels(self, whole: f64) -> f64 {
        if self.percent { self.number * whole / 100.0 } else { self.number }
    }
}

/// What an attribute says, or else the attribute `style`.
fn side(root: Node<'_, '_>, name: &str, font_size: f64) -> Option<Side> {
    if let Some(side) = root.attribute(name).and_then(|text| length(text, font_size)) {
        return Some(side);
    }
    let mut declarations = root.attribute("style")?.split(';').filter_map(|one| one.split_once(':'));
    let value = declarations.rfind(|(property, _)| property.trim().eq_ignore_ascii_case(name))?.1;
    length(value, font_size).map(|side| Side { unusual: true, ..side })
}

fn length(text: &str, font_size: f64) -> Option<Side> {
    let text = text.trim();
    if let Ok(Length { number, unit }) = Length::from_str(text) {
        let (unit, unusual) = match unit {
            LengthUnit::None | LengthUnit::Px | LengthUnit::Percent => (1.0, false),
            LengthUnit::Em => (font_size, true),
            LengthUnit::Ex => (font_size / 2.0, true),
            LengthUnit::In => (DPI, false),
            LengthUnit::Cm => (DPI / 2.54, false),
            LengthUnit::Mm => (DPI / 25.4, false),
            LengthUnit::Pt => (DPI / 72.0, false),
            LengthUnit::Pc => (DPI / 6.0, false),
        };
        return Some(Side { number: number * unit, percent: text.ends_with('%'), unusual });
    }
    let lower = text.to_ascii_lowercase();
    let number = |text: &str| f64::from_str(text.trim_end()).ok().filter(|number| number.is_finite());
    let rarely = |(unit, pixels): (&str, f64)| Some(number(lower.strip_suffix(unit)?)? * pixels);
    let rare = [("rem", FONT_SIZE), ("ch", font_size / 2.0), ("q", DPI / 101.6)];
    if let Some(number) = rare.into_iter().find_map(rarely) {
        return Some(Side { number, percent: false, unusual: true });
    }
    // Units are written in any case, as in all of CSS.
    let known = (lower != text).then(|| length(&lower, font_size)).flatten();
    known.map(|side| Side { unusual: true, ..side })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(attributes: &str) -> (Option<f64>, Option<f64>) {
        let shape = shape_at_once(&format!("<?xml version='1.0'?><svg {attributes}><g>")).unwrap();
        let rounded = |side: f64| (side * 1e6).round() / 1e6;
        (shape.width.map(rounded), shape.height.map(rounded))
    }

    #[test]
    fn the_size_is_width_and_height_else_the_view_box_else_nothing() {
        let both = |width, height| (Some(width), Some(height));
        assert_eq!(given("width='30' height='40px' viewBox='0 0 9 9'"), both(30.0, 40.0));
        assert_eq!(given("viewBox='5 5 300 150'"), both(300.0, 150.0));
        assert_eq!(given("viewBox='0 0 300 150' width='60'"), both(60.0, 30.0));
        assert_eq!(given("viewBox='0 0 300 150' height='50%'"), both(150.0, 75.0));
        assert_eq!(given("viewBox='0 0 300 150' width='100%' height='100%'"), both(300.0, 150.0));
        assert_eq!(given("width='1in' height='2.54cm'"), both(96.0, 96.0));
        assert_eq!(given("width='72pt' height='3pc'"), both(96.0, 48.0));
        assert_eq!(given("width='25.4mm' height='2em'"), both(96.0, 32.0));
        assert_eq!(given("width='2em' height='2ex' font-size='10'"), both(20.0, 10.0));
        assert_eq!(given("width='2rem' height='40Q'"), both(32.0, 37.795276));
        assert_eq!(given("width='30PX' height='1IN'"), both(30.0, 96.0));
        assert_eq!(given("style='color:red; width: 30px;height:40px' width='20'"), both(20.0, 40.0));
        assert_eq!(given("width='10.2' height='0.1'"), both(10.2, 0.1));
        for none in ["", "width='100%' height='100%'", "width='10vw' height='auto'", "viewBox='0 0 0 5'"] {
            assert_eq!(given(none), (None, None), "{none}");
        }
        assert_eq!(given("width='50%' height='200'"), (None, Some(200.0)));
    }

    #[test]
    fn a_start_tag_is_enough_and_less_is_not() {
        let entity = "<!DOCTYPE svg [<!ENTITY w '7'>]><svg width='&w;' height='9'/><more";
        assert_eq!(shape_at_once(entity).unwrap().sides(), Some((7.0, 9.0)));
        for cut in ["<svg width='7' height='9'", "<!-- ", "", "no drawing"] {
            assert_eq!(shape_at_once(cut), None, "{cut}");
        }
    }
}
