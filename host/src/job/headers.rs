//! `output.headers`: what a client wants said of a result where it is stored. Only what says something of the result itself, and
//! nothing that a server acts by.

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_transfer::{Scheme, scheme_of, split_form};
use serde_json::{Map, Value};

use super::request::type_name;

/// Headers that are stored with a result, in lower case.
const KNOWN: [&str; 3] = ["cache-control", "content-disposition", "content-language"];
/// What stands before the names of a result's own.
const OWN: &str = "x-meta-";
/// Longest name of a result's own, in bytes.
const MAX_NAME: usize = 64;
/// Most bytes of all names and values of a result together: what S3 takes.
const MAX_BYTES: usize = 2048;

/// Headers of a result: names in lower case, and values.
pub(super) type Headers = Vec<(String, String)>;

/// Reads `output.headers`, which stands at `at`, of a result for `destination`.
///
/// # Errors
/// [`FaultKind::InvalidArgument`] or [`FaultKind::WrongType`], naming the header.
pub(super) fn read(headers: &Value, at: &str, destination: &str) -> Result<Headers, Fault> {
    let wrong =
        |what: &str, text: &str| Fault::new(FaultKind::InvalidArgument, format!("{at}{what}: {text}"));
    let typed = |what: String, value: &Value| {
        Fault::new(FaultKind::WrongType, format!("{at}{what} is {}, not {}", type_name(value), wanted(&what)))
    };
    let object: &Map<String, Value> = headers.as_object().ok_or_else(|| typed(String::new(), headers))?;
    if !object.is_empty() && !takes_headers(destination) {
        return Err(wrong("", "only a PUT by http or https and a store keep headers of a result"));
    }
    let mut read = Headers::new();
    for (name, value) in object {
        let (member, lower) = (format!(".{}", one_line(name, MAX_NAME)), name.to_ascii_lowercase());
        if !KNOWN.contains(&lower.as_str()) && !lower.strip_prefix(OWN).is_some_and(is_own_name) {
            let text = format!("is none of {} and {OWN}NAME (letters, digits, - and _)", KNOWN.join(", "));
            return Err(wrong(&member, &text));
        }
        let text = value.as_str().ok_or_else(|| typed(member.clone(), value))?;
        if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || text.trim() != text {
            return Err(wrong(&member, "must be visible ASCII, with spaces between it alone"));
        }
        if read.iter().any(|(known, _)| *known == lower) {
            return Err(wrong(&member, "stands twice"));
        }
        read.push((lower, text.to_owned()));
    }
    match read.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() {
        0..=MAX_BYTES => Ok(read),
        bytes => Err(wrong("", &format!("are {bytes} bytes in all, at most {MAX_BYTES} are possible"))),
    }
}

/// The same for a picture that stands there until there is a result, or instead of one: it is not to be kept.
pub(super) fn of_placeholder(headers: &Headers) -> Headers {
    let kept = |(name, value): &(String, String)| match name.as_str() {
        "cache-control" => (name.clone(), "no-cache".to_owned()),
        _ => (name.clone(), value.clone()),
    };
    headers.iter().map(kept).collect()
}

fn wanted(member: &str) -> &'static str {
    if member.is_empty() { "an object" } else { "a string" }
}

fn is_own_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

fn takes_headers(destination: &str) -> bool {
    match scheme_of(destination) {
        Some(Scheme::Http | Scheme::Https) => split_form(destination).is_none(),
        Some(Scheme::Store(_)) => true,
        Some(Scheme::Ftp | Scheme::Ftps | Scheme::File) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reads(headers: Value, destination: &str) -> Result<Headers, String> {
        read(&headers, "output.headers", destination).map_err(|fault| fault.text)
    }

    #[test]
    fn what_says_something_of_the_result_is_kept() {
        let headers =
            json!({ "Cache-Control": "max-age=60", "X-Meta-Owner": "ann b", "content-language": "de" });
        for destination in ["s3://b/a.png", "http://h/a.png", "https://h/{$basename}.png"] {
            let read = reads(headers.clone(), destination).unwrap();
            let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let wanted =
                [("cache-control", "max-age=60"), ("x-meta-owner", "ann b"), ("content-language", "de")];
            assert!(wanted.iter().all(|header| read.contains(header)) && read.len() == 3, "{read:?}");
        }
        assert_eq!(reads(json!({}), "file:///a.png"), Ok(Headers::new()));
        let placeholder = of_placeholder(&reads(headers, "s3://b/a.png").unwrap());
        assert!(placeholder.contains(&("cache-control".to_owned(), "no-cache".to_owned())));
        assert!(placeholder.contains(&("content-language".to_owned(), "de".to_owned())));
    }

    #[test]
    fn everything_else_is_refused_with_its_name() {
        let long = "x".repeat(MAX_BYTES);
        for (headers, wanted) in [
            (json!([]), "output.headers is an array, not an object"),
            (json!({ "Host": "h" }), "output.headers.Host: is none of cache-control"),
            (json!({ "Content-Type": "a/b" }), "output.headers.Content-Type: is none of"),
            (json!({ "X-Amz-Acl": "public-read" }), "output.headers.X-Amz-Acl: is none of"),
            (json!({ "X-Meta-": "a" }), "output.headers.X-Meta-: is none of"),
            (json!({ "X-Meta-ä": "a" }), "output.headers.X-Meta-ä: is none of"),
            (json!({ "Cache-Control": 1 }), "output.headers.Cache-Control is a number, not a string"),
            (json!({ "Cache-Control": "" }), "output.headers.Cache-Control: must be visible ASCII"),
            (json!({ "X-Meta-A": "a\r\nHost: b" }), "output.headers.X-Meta-A: must be visible ASCII"),
            (json!({ "X-Meta-A": "1", "x-meta-a": "2" }), "output.headers.x-meta-a: stands twice"),
            (json!({ "X-Meta-A": long }), "output.headers: are 2056 bytes in all, at most 2048"),
        ] {
            let error = reads(headers.clone(), "s3://b/a.png").unwrap_err();
            assert!(error.starts_with(wanted), "{headers} gave {error}");
        }
        for destination in ["ftp://h/a.png", "file:///a.png", "file://archive/a.png", "http://h/form:a.png"] {
            let error = reads(json!({ "Cache-Control": "a" }), destination).unwrap_err();
            assert!(error.starts_with("output.headers: only a PUT"), "{destination}: {error}");
        }
    }
}
