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

/// Whether a client wants it found out whether what is known is still so (RFC 9111, sections 5.2.1 and 5.4): what a browser says
/// where its user reloads a page.
pub(super) fn wants_anew(headers: &HeaderMap) -> bool {
    let texts = |name| headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let mut directives = texts(header::CACHE_CONTROL).flat_map(|line| line.split(',')).map(str::trim);
    directives.any(|directive| {
        directive.eq_ignore_ascii_case("no-cache") || directive.eq_ignore_ascii_case("max-age=0")
    }) || (!headers.contains_key(header::CACHE_CONTROL)
        && texts(header::PRAGMA).any(|line| line.trim().eq_ignore_ascii_case("no-cache")))
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
    fn who_reloads_wants_it_anew() {
        let wants = |lines: &[&'static str]| wants_anew(&with(header::CACHE_CONTROL, lines));
        assert!(wants(&["no-cache"]) && wants(&["no-transform, Max-Age=0"]) && wants(&["x", "No-Cache"]));
        assert!(!wants(&[]) && !wants(&["max-age=60"]) && !wants(&["no-store"]));
        assert!(wants_anew(&with(header::PRAGMA, &["no-cache"])));
    }

    #[test]
    fn a_result_is_known_by_its_tag() {
        let has = |lines: &[&'static str]| has(&with(header::IF_NONE_MATCH, lines), "abc");
        assert!(has(&["\"abc\""]) && has(&["W/\"abc\""]) && has(&["\"x\", \"abc\""]) && has(&["*"]));
        assert!(has(&["\"x\"", "\"abc\""]), "two lines");
        assert!(!has(&[]) && !has(&["\"ab\""]) && !has(&["abc"]));
    }
}
