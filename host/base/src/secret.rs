//! Which of the values that configurations and requests hold are secrets, and what is shown instead of them: a plugin names its
//! arguments and settings as it likes, so they are known by what secrets are usually called, and by where a URL has its own.

use serde_json::{Map, Value};
use url::Url;

/// What stands instead of a secret that is not to be shown.
pub const HIDDEN: &str = "…";
/// What stands instead of a URL's query.
const HIDDEN_QUERY: &str = "...";
/// What is part of a key's name that holds a secret, without regard to case, `-` and `_`.
const NAMES: [&str; 12] = [
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "token",
    "credential",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
];

/// The URL as it may be shown and logged: without its password, and without its query, which is where signed URLs and
/// tokens keep theirs. Text that is no URL loses whatever could be one.
pub fn redact(url: &str) -> String {
    if let Ok(mut parsed) = Url::parse(url)
        && parsed.set_password(None).is_ok()
    {
        if parsed.query().is_some() {
            parsed.set_query(Some(HIDDEN_QUERY));
        }
        return parsed.into();
    }
    let shown = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let credentials = &url[scheme + 3..at];
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{}{user}{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    };
    let shown = match shown.split_once('?') {
        Some((before, _)) => format!("{before}?{HIDDEN_QUERY}"),
        None => shown,
    };
    shown.escape_debug().to_string()
}

/// A table as it may be shown to anyone.
pub fn shown(table: &Map<String, Value>) -> Map<String, Value> {
    table_shown("", table, &mut |_, _| ())
}

/// A value of the member called so, as it may be shown to anyone.
pub fn value_of(name: &str, value: &Value) -> Value {
    value_shown(name, value, is_secrets_name(name), &mut |_, _| ())
}

/// What [`shown`] hides: the path of each, below `at`, and its text.
pub fn hidden(at: &str, table: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    table_shown(at, table, &mut |path, text| found.push((path.to_owned(), text.to_owned())));
    found
}

/// Hears of what is hidden: its path and its text.
type Hears<'h> = &'h mut dyn FnMut(&str, &str);

fn table_shown(at: &str, table: &Map<String, Value>, hears: Hears<'_>) -> Map<String, Value> {
    let member = |(name, value): (&String, &Value)| {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        (name.clone(), value_shown(&path, value, is_secrets_name(name), hears))
    };
    table.iter().map(member).collect()
}

fn value_shown(path: &str, value: &Value, is_secret: bool, hears: Hears<'_>) -> Value {
    match value {
        Value::String(text) if is_secret && !text.is_empty() => {
            hears(path, text);
            Value::from(HIDDEN)
        }
        Value::String(text) => match url_shown(text) {
            Some(shown) => {
                hears(path, text);
                Value::from(shown)
            }
            None => value.clone(),
        },
        Value::Array(items) => {
            let item = |(index, item)| value_shown(&format!("{path}[{index}]"), item, is_secret, hears);
            items.iter().enumerate().map(item).collect()
        }
        Value::Object(table) => Value::Object(table_shown(path, table, hears)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn is_secrets_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    let plain = plain.to_ascii_lowercase();
    NAMES.iter().any(|secret| plain.contains(secret))
}

/// A text with a URL in it that holds a secret, without that.
fn url_shown(text: &str) -> Option<String> {
    if !text.contains("://") {
        return None;
    }
    // What `redact` makes of a URL without secrets: the same one, as the library writes it.
    let plain = Url::parse(text).map_or_else(|_| text.escape_debug().to_string(), String::from);
    Some(redact(text)).filter(|shown| *shown != plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn secrets_are_known_by_their_keys_and_in_urls_and_everything_else_stays() {
        let all = table(json!({
            "Auth-Token": "x1", "apiKey": "x2", "access_key_id": "x3", "db": { "password": "x4", "user": "ann" },
            "tokens": ["x5", "x6"], "logo": "https://u:x7@h/a.png", "more": ["ftp://h/a", "https://h/b.png?sig=x8"],
            "text": "a: b@c?", "width": 3, "secret": true, "token": "", "plain": "HTTPS://h", "none": null,
        }));
        let text = Value::Object(shown(&all)).to_string();
        for number in 1..=8 {
            assert!(!text.contains(&format!("x{number}")), "{text}");
        }
        let expected = table(json!({
            "Auth-Token": "…", "apiKey": "…", "access_key_id": "…", "db": { "password": "…", "user": "ann" },
            "tokens": ["…", "…"], "logo": "https://u@h/a.png", "more": ["ftp://h/a", "https://h/b.png?..."],
            "text": "a: b@c?", "width": 3, "secret": true, "token": "", "plain": "HTTPS://h", "none": null,
        }));
        assert_eq!(shown(&all), expected);
        assert_eq!(value_of("Pass-Word", &json!(["x"])), json!(["…"]));
        assert_eq!(value_of("width", &json!("x")), "x");
        let paths: Vec<String> = hidden("at", &all).into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            [
                "at.Auth-Token",
                "at.access_key_id",
                "at.apiKey",
                "at.db.password",
                "at.logo",
                "at.more[1]",
                "at.tokens[0]",
                "at.tokens[1]"
            ]
        );
    }
}
