//! What clients say of themselves in headers: which media types they take, which results they have. Pure.

use axum::http::{HeaderMap, header};

/// Whether a client names this media type among those it takes (RFC 9110, 12.5.1). One that takes everything has not
/// said that it knows this one.
pub(super) fn takes(headers: &HeaderMap, media_type: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        named && !parts.any(is_weight_of_nothing)
    })
}

/// `q=0`, with or without decimals: "not acceptable" (RFC 9110, 12.4.2).
fn is_weight_of_nothing(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0_f32)
}

/// Whether a client has the result with this entity tag (RFC 9110, 13.1.2: compared weakly, `*` is any).
pub(super) fn has(headers: &HeaderMap, entity_tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    // None of ours holds a comma.
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(entity_tag)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn with(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn only_who_names_it_takes_it() {
        let takes = |lines: &[&'static str]| takes(&with(header::ACCEPT, lines), "image/webp");
        assert!(takes(&["image/avif,image/webp,image/apng,image/*,*/*;q=0.8"]));
        assert!(takes(&["text/html", "Image/WebP ; q=0.1"]));
        assert!(!takes(&["*/*"]) && !takes(&["image/*"]) && !takes(&[]));
        assert!(!takes(&["image/webp;q=0"]) && !takes(&["image/webp; Q = 0.000"]));
    }

    #[test]
    fn a_result_is_known_by_its_tag() {
        let has = |lines: &[&'static str]| has(&with(header::IF_NONE_MATCH, lines), "abc");
        assert!(has(&["\"abc\""]) && has(&["W/\"abc\""]) && has(&["\"x\", \"abc\""]) && has(&["*"]));
        assert!(has(&["\"x\"", "\"abc\""]), "two lines");
        assert!(!has(&[]) && !has(&["\"ab\""]) && !has(&["abc"]));
    }
}
