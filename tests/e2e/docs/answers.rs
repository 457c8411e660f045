//! What a command gave, held against what its page says.

use serde_json::Value;

/// What is wrong with what a command gave, when `shown` stands on the page as its answer.
pub(super) fn unlike(given: &str, shown: Option<(&str, String)>) -> Option<String> {
    let given = given.replace('\r', "");
    let problem =
        given.contains("\"msg\":") || (given.contains("\"title\":") && given.contains("\"detail\":"));
    match shown {
        None => problem.then(|| "it is refused".to_owned()),
        Some(("json", shown)) => {
            let Some(body) = body(&given) else { return Some("it gives no JSON".to_owned()) };
            unlike_json(&serde_json::from_str(&shown).unwrap(), &body, "")
        }
        Some((_, shown)) => {
            let mut lines = given.lines();
            let missing =
                shown.lines().find(|wanted| !wanted.is_empty() && !lines.any(|line| is_like(line, wanted)));
            missing.map(|line| format!("it does not give, or not there: {line}"))
        }
    }
}

/// The JSON of an answer, after its headers if there are any.
fn body(given: &str) -> Option<Value> {
    let after = given.find("\n\n").map_or("", |end| &given[end..]);
    [given, after].iter().find_map(|text| serde_json::from_str(text.trim()).ok())
}

fn is_like(line: &str, wanted: &str) -> bool {
    let mut pieces = wanted.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut open = false;
    for piece in pieces {
        let Some(found) = rest.find(piece) else { return false };
        rest = &rest[found + piece.len()..];
        open = piece.is_empty();
    }
    open || rest.is_empty()
}

fn unlike_json(shown: &Value, given: &Value, at: &str) -> Option<String> {
    match (shown, given) {
        (Value::String(any), _) if any == "…" => None,
        (Value::Object(shown), Value::Object(given)) => {
            let more = given.keys().find(|key| !shown.contains_key(*key) && !shown.contains_key("…"));
            let wrong =
                shown.iter().filter(|(key, _)| *key != "…").find_map(|(key, value)| match given.get(key) {
                    None => Some(format!("it has no {at}.{key}")),
                    Some(given) => unlike_json(value, given, &format!("{at}.{key}")),
                });
            wrong.or(more.map(|key| format!("the page lacks {at}.{key}")))
        }
        (Value::Array(shown), Value::Array(given)) => {
            let strange = given.iter().find_map(|one| {
                let wrong: Vec<_> =
                    shown.iter().map(|shown| unlike_json(shown, one, &format!("{at}[]"))).collect();
                wrong.iter().all(Option::is_some).then(|| wrong.into_iter().flatten().next()).flatten()
            });
            strange.or((shown.is_empty() != given.is_empty()).then(|| format!("{at} has other elements")))
        }
        (shown, given) => {
            let differs = std::mem::discriminant(shown) != std::mem::discriminant(given);
            differs.then(|| format!("{at} is {given}"))
        }
    }
}

#[test]
fn answers_are_told_apart() {
    assert!(
        is_like("a 12 b", "a … b") && is_like("a 12", "a …") && is_like("x a", "… a") && is_like("a", "a")
    );
    assert!(!is_like("a 12 c", "a … b") && !is_like("a b c", "a … b") && !is_like("ab", "a"));
    let wrong = |shown: &str, given: &str| unlike(given, Some(("json", shown.to_owned())));
    assert_eq!(wrong(r#"{"a": [{"b": 1}]}"#, r#"{"a": [{"b": 2}, {"b": 3}]}"#), None);
    assert_eq!(wrong(r#"{"a": "…", "…": "…"}"#, "HTTP/1.1 200 OK\r\n\r\n{\"a\": 1, \"c\": 2}"), None);
    assert_eq!(wrong(r#"{"a": 1}"#, r#"{"a": "1"}"#).unwrap(), ".a is \"1\"");
    assert_eq!(wrong(r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#).unwrap(), "the page lacks .b");
    assert_eq!(wrong(r#"{"a": 1, "b": 2}"#, r#"{"a": 1}"#).unwrap(), "it has no .b");
    assert!(wrong(r#"{"a": []}"#, r#"{"a": [1]}"#).is_some() && wrong("{}", "none").is_some());
    assert!(
        unlike(r#"{"code":101,"msg":"request invalid"}"#, None).is_some()
            && unlike("{\"dstURL\":1}", None).is_none()
    );
    assert!(unlike("1\n2\n", Some(("text", "2\n1\n".to_owned()))).is_some());
}
