//! SVG: whether it is one, and its size, as `imgserve-drawing` reads it for whoever draws it. Nothing is drawn here.

use imgserve_base::format::Format;
use imgserve_drawing::{self as drawing, xml};
use imgserve_sdk::PixelFormat;

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
    beside: None,
};

fn probe(bytes: &[u8], complete: bool) -> Result<Option<Header>, CodecError> {
    if !complete {
        return Ok(None);
    }
    let text = drawing::complete(drawing::text(bytes).map_err(unreadable)?);
    xml::check(&text).map_err(costly)?;
    let shape = drawing::parse(&text, true, |document| {
        let root = document.root_element();
        let drawn = root.tag_name().name() == "svg"
            && matches!(root.tag_name().namespace(), None | Some("" | drawing::NAMESPACE));
        drawn.then(|| drawing::shape(root))
    });
    let Some(shape) = shape.map_err(invalid)? else {
        let text = format!("the root element is not `svg` in the namespace {}", drawing::NAMESPACE);
        return Err(invalid(text));
    };
    let (Some(width), Some(height)) = (side(shape.width), side(shape.height)) else {
        return Err(invalid("it has no positive size"));
    };
    let mut header = Header::still(Format::Svg, (width, height), Orientation::UPRIGHT, PixelFormat::Rgba8);
    header.cost = Cost::default();
    Ok(Some(header))
}

/// A side in whole pixels; 0 for one that is that of what is shown, and none for one that is no size.
fn side(side: Option<f64>) -> Option<u32> {
    let Some(side) = side else { return Some(0) };
    (side > 0.0 && side.is_finite()).then(|| side.ceil().min(f64::from(u32::MAX)) as u32)
}

fn unreadable(error: drawing::TextError) -> CodecError {
    match error {
        drawing::TextError::TooLong => CodecError::Limit {
            what: "bytes or more when it is decompressed and in UTF-8",
            value: drawing::MAX_BYTES as u64 + 1,
            limit: drawing::MAX_BYTES as u64,
            key: "of any drawing",
        },
        error => invalid(error),
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
        let svg = format!("<svg xmlns='{}' {attributes}/>", drawing::NAMESPACE);
        probe(svg.as_bytes(), true).map(|header| header.map(|header| (header.width, header.height)).unwrap())
    }

    #[test]
    fn the_size_is_in_whole_pixels_and_nothing_where_only_its_renderer_knows_it() {
        assert_eq!(svg_size("width='30' height='40px' viewBox='0 0 9 9'"), Ok((30, 40)));
        assert_eq!(svg_size("viewBox='5 5 300 150'"), Ok((300, 150)));
        assert_eq!(svg_size("width='10.2' height='0.1'"), Ok((11, 1)));
        assert_eq!(svg_size(""), Ok((0, 0)));
        assert_eq!(svg_size("width='50%' height='200'"), Ok((0, 200)));
    }

    #[test]
    fn what_others_draw_is_one_whatever_it_is_written_in() {
        let utf_16 = "<svg width='7' height='9'><!-- é --></svg>".encode_utf16();
        let utf_16: Vec<u8> = [0xFEFF].into_iter().chain(utf_16).flat_map(u16::to_le_bytes).collect();
        let svgs: [&[u8]; 6] = [
            b"<svg width='7' height='9'/>",
            b"<svg xmlns='' width='7' height='9'/>",
            b"<!DOCTYPE svg><svg width='7' height='9'><use xlink:href='#a'/></svg>",
            b"<?xml version='1.0' encoding='ISO-8859-1'?><svg width='7' height='9'>\xE9</svg>",
            b"\n<?xml version='1.0' encoding='windows-1252'?><svg width='7' height='9'>\x80</svg>",
            &utf_16,
        ];
        for svg in svgs {
            let header = probe(svg, true).unwrap().unwrap();
            assert_eq!((header.width, header.height), (7, 9), "{}", String::from_utf8_lossy(svg));
        }
    }

    #[test]
    fn what_is_no_svg_is_said_to_be_none() {
        let not_svg: [&[u8]; 8] = [
            b"<svg xmlns='http://www.w3.org/2000/svg'><g></svg>",
            b"<svg xmlns='x' width='1' height='1'/>",
            b"<?xml version='1.0' encoding='x-nonsense'?><svg>\xFF</svg>",
            b"\x1F\x8B\x08\0\0\0\0\0",
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
        svg.push_str(&format!("]><svg xmlns='{}'>&a11;</svg>", drawing::NAMESPACE));
        assert!(matches!(probe(svg.as_bytes(), true), Err(CodecError::Limit { .. })));
        let itself = String::from("<!DOCTYPE svg [<!ENTITY a '&a;'>]><svg>&a;</svg>");
        assert!(matches!(probe(itself.as_bytes(), true), Err(CodecError::Limit { .. })));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let svg = format!("<svg>{}{}</svg>", "<g>".repeat(100_000), "</g>".repeat(100_000));
        assert!(matches!(probe(svg.as_bytes(), true), Err(CodecError::Limit { .. })));
    }
}
