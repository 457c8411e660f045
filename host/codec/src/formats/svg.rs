//! SVG: whether it is one, and its size, by the rules of `usvg`, which draws it in an operation. Nothing is drawn here.

use imgserve_base::format::Format;
use imgserve_sdk::{PixelFormat, xml};
use roxmltree::{Document, Node, ParsingOptions};
use std::str::FromStr;
use svgtypes::{Length, LengthUnit, ViewBox};

use crate::codec::Codec;
use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;

pub(super) const CODEC: Codec = Codec {
    format: Format::Svg,
    probe: |bytes, complete, _| probe(bytes, complete),
    decode: None,
    part: None,
    encode: None,
};

const NAMESPACE: &str = "http://www.w3.org/2000/svg";
/// Units per inch, as in CSS.
const DPI: f64 = 96.0;
/// CSS's medium font size, for `em`.
const FONT_SIZE: f64 = 16.0;
/// What a percentage is of when there is no `viewBox`; `usvg`'s default.
const DEFAULT_SIDE: f64 = 100.0;
/// Far above any drawing; its purpose is to bound the tree, at about 100 bytes a node.
const MAX_NODES: u32 = 4_000_000;

fn probe(bytes: &[u8], complete: bool) -> Result<Option<Header>, CodecError> {
    if !complete {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("the text is not UTF-8"))?;
    xml::check(text).map_err(costly)?;
    // Entities are resolved as in usvg.
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(invalid)?;
    let root = document.root_element();
    if root.tag_name().name() != "svg" || root.tag_name().namespace() != Some(NAMESPACE) {
        return Err(invalid(format!("the root element is not `svg` in the namespace {NAMESPACE}")));
    }
    let (width, height) = size(root);
    let side =
        |side: f64| (side > 0.0 && side.is_finite()).then(|| side.ceil().min(f64::from(u32::MAX)) as u32);
    let (Some(width), Some(height)) = (side(width), side(height)) else {
        return Err(invalid("it has no positive size"));
    };
    let mut header = Header::still(Format::Svg, (width, height), Orientation::UPRIGHT, PixelFormat::Rgba8);
    header.cost = Cost::default();
    Ok(Some(header))
}

/// Of bytes that begin like no format, a compressed SVG deserves a text of its own.
pub(super) fn refuse_compressed(bytes: &[u8]) -> Option<CodecError> {
    let text = "gzip-compressed data is not read; an svgz must be sent uncompressed, as svg";
    bytes.starts_with(&[0x1F, 0x8B]).then(|| CodecError::unsupported(Format::Svg, text))
}

/// As `usvg::Tree::from_xmltree` resolves it.
fn size(root: Node<'_, '_>) -> (f64, f64) {
    let length = |name| root.attribute(name).and_then(|text| Length::from_str(text.trim()).ok());
    let (width, height) = (length("width"), length("height"));
    let view_box = root.attribute("viewBox").and_then(|text| ViewBox::from_str(text).ok());
    let Some(view_box) = view_box.filter(|view_box| view_box.w > 0.0 && view_box.h > 0.0) else {
        return (pixels(width, DEFAULT_SIDE), pixels(height, DEFAULT_SIDE));
    };
    let (shown_width, shown_height) = (pixels(width, view_box.w), pixels(height, view_box.h));
    match (width, height) {
        (Some(_), None) => (shown_width, view_box.h * shown_width / view_box.w),
        (None, Some(_)) => (view_box.w * shown_height / view_box.h, shown_height),
        _ => (shown_width, shown_height),
    }
}

/// A length in CSS pixels; none is `100%` of `whole`.
fn pixels(length: Option<Length>, whole: f64) -> f64 {
    let Some(Length { number, unit }) = length else { return whole };
    number
        * match unit {
            LengthUnit::None | LengthUnit::Px => 1.0,
            LengthUnit::Em => FONT_SIZE,
            LengthUnit::Ex => FONT_SIZE / 2.0,
            LengthUnit::In => DPI,
            LengthUnit::Cm => DPI / 2.54,
            LengthUnit::Mm => DPI / 25.4,
            LengthUnit::Pt => DPI / 72.0,
            LengthUnit::Pc => DPI / 6.0,
            LengthUnit::Percent => whole / 100.0,
        }
}

fn costly(xml::Costly { what, value, limit }: xml::Costly) -> CodecError {
    CodecError::Limit { what, value, limit, key: "of any drawing" }
}

fn invalid(text: impl std::fmt::Display) -> CodecError {
    CodecError::InvalidSvg(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg_size(attributes: &str) -> Result<(u32, u32), CodecError> {
        let svg = format!("<svg xmlns='{NAMESPACE}' {attributes}/>");
        probe(svg.as_bytes(), true).map(|header| header.map(|header| (header.width, header.height)).unwrap())
    }

    #[test]
    fn the_size_is_width_and_height_else_the_view_box_else_a_hundred() {
        assert_eq!(svg_size("width='30' height='40px' viewBox='0 0 9 9'"), Ok((30, 40)));
        assert_eq!(svg_size("viewBox='5 5 300 150'"), Ok((300, 150)));
        assert_eq!(svg_size("viewBox='0 0 300 150' width='60'"), Ok((60, 30)));
        assert_eq!(svg_size("viewBox='0 0 300 150' height='50%'"), Ok((150, 75)));
        assert_eq!(svg_size("width='1in' height='2.54cm'"), Ok((96, 96)));
        assert_eq!(svg_size("width='72pt' height='3pc'"), Ok((96, 48)));
        assert_eq!(svg_size("width='25.4mm' height='2em'"), Ok((96, 32)));
        assert_eq!(svg_size(""), Ok((100, 100)));
        assert_eq!(svg_size("width='50%' height='200'"), Ok((50, 200)));
        assert_eq!(svg_size("width='10.2' height='0.1'"), Ok((11, 1)));
    }

    #[test]
    fn what_is_no_svg_is_said_to_be_none() {
        let not_svg: [&[u8]; 6] = [
            b"<svg xmlns='http://www.w3.org/2000/svg'><g></svg>",
            b"<svg width='1' height='1'/>",
            b"<svg xmlns='http://www.w3.org/1999/xhtml'/>",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='0'/>",
            b"<svg xmlns='http://www.w3.org/2000/svg' height='-5'/>",
            b"<svg xmlns='http://www.w3.org/2000/svg'>\xFF</svg>",
        ];
        for svg in not_svg {
            let error = probe(svg, true).unwrap_err();
            assert!(matches!(error, CodecError::InvalidSvg(_)), "{error}");
        }
    }

    #[test]
    fn entities_that_grow_without_bound_are_refused() {
        let mut svg = String::from("<!DOCTYPE svg [<!ENTITY a0 'aaaaaaaaaa'>");
        for i in 1..12 {
            svg.push_str(&format!("<!ENTITY a{i} '{}'>", format!("&a{};", i - 1).repeat(10)));
        }
        svg.push_str(&format!("]><svg xmlns='{NAMESPACE}'>&a11;</svg>"));
        assert!(matches!(probe(svg.as_bytes(), true), Err(CodecError::Limit { .. })));
        let itself = format!("<!DOCTYPE svg [<!ENTITY a '&a;'>]><svg xmlns='{NAMESPACE}'>&a;</svg>");
        assert!(matches!(probe(itself.as_bytes(), true), Err(CodecError::Limit { .. })));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let svg =
            format!("<svg xmlns='{NAMESPACE}'>{}{}</svg>", "<g>".repeat(100_000), "</g>".repeat(100_000));
        assert!(matches!(probe(svg.as_bytes(), true), Err(CodecError::Limit { .. })));
    }
}
