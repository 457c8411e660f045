//! JSON that a stranger sends, read: no deeper than anything looks at it. On `/v1` a member that stands twice is refused, as
//! nobody can tell which of the two is meant, and a byte order mark is passed over (RFC 8259, sections 4 and 8.1); 0.2 took
//! the last one, and no mark.

use std::fmt;

use imgserve_base::depth::{MAX_DEPTH, depth};
use imgserve_base::fault::one_line;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::request::type_name;
use crate::registry::Reading;

/// The most of a member's name that is told again, in bytes.
const MAX_NAME: usize = 100;

/// Why a text is not the object that was to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    /// It is no JSON object; why not.
    NotObject(String),
    /// The member at this path stands twice.
    Twice(String),
}

/// Reads a JSON object, called `what` in the text that says why it is none.
///
/// # Errors
/// [`NotRead`].
pub(super) fn object(json: &[u8], what: &str, reading: Reading) -> Result<Map<String, Value>, NotRead> {
    let refuse = |text: String| Err(NotRead::NotObject(format!("{what} is {text}")));
    let Ok(text) = std::str::from_utf8(json) else { return refuse("not text in UTF-8".to_owned()) };
    let read = match reading {
        Reading::ToTheLetter => serde_json::from_str(text),
        Reading::AsMeant => once(text.strip_prefix('\u{feff}').unwrap_or(text)),
    };
    match read {
        Ok(value) if depth(&value) > MAX_DEPTH => refuse(format!("nested more than {MAX_DEPTH} levels deep")),
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => refuse(format!("{}, not an object", type_name(&other))),
        Err(error) if error.is_data() => Err(NotRead::Twice(said(&error))),
        Err(_) if text.trim_ascii().is_empty() => refuse("empty, not a JSON object".to_owned()),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            refuse(format!("not JSON: {} at line {line} column {column}{}", told(&error), hint(text, &error)))
        }
    }
}

/// The path of a member that stands twice in this text, if it is JSON and one does.
pub(super) fn twice(text: &str) -> Option<String> {
    once(text).err().filter(serde_json::Error::is_data).map(|error| said(&error))
}

/// What the library says, but for where. Of data it is ours: there is one thing that is wrong with JSON itself and that only we
/// say, the path of a member that stands twice.
fn said(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said).to_owned()
}

/// What the library says is wrong, in plain words.
fn told(error: &serde_json::Error) -> String {
    let said = said(error);
    let plain = match said.as_str() {
        said if said.starts_with("EOF while parsing") => "it ends too early",
        "expected value" | "expected ident" => "no value",
        "expected `:`" => "no colon after a member's name",
        "expected `,` or `}`" | "expected `,` or `]`" => "neither a comma nor the end",
        "key must be a string" => "a member's name that is not in double quotes",
        "trailing comma" => "a comma with nothing after it",
        "trailing characters" => "more after the end",
        "recursion limit exceeded" => "nested too deep",
        said if said.starts_with("control character") => {
            "a control character in a string, which must be written as \\n or the like"
        }
        other => other,
    };
    plain.to_owned()
}

/// What people write who think of another language.
fn hint(text: &str, error: &serde_json::Error) -> &'static str {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = line.floor_char_boundary(error.column().saturating_sub(1));
    let start = line[..at]
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |before| before + line[before..].chars().next().map_or(1, char::len_utf8));
    let word: String = line[start..].chars().take_while(|c| c.is_alphanumeric()).collect();
    match word.to_ascii_lowercase().as_str() {
        "true" | "false" | "null" | "none" | "nil" | "undefined" => {
            "; JSON has true, false and null, in lower case"
        }
        "nan" | "inf" | "infinity" => "; JSON has no such number",
        _ if line[at..].starts_with('\'') || line[..at].ends_with('\'') => "; JSON has double quotes only",
        _ => "",
    }
}

fn once(text: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Once(Place::Whole).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place<'p> {
    Whole,
    Member(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Member(Self::Whole, name) => f.write_str(&one_line(name, MAX_NAME)),
            Self::Member(of, name) => write!(f, "{of}.{}", one_line(name, MAX_NAME)),
            Self::Item(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

/// Reads a value whose objects have each member once.
struct Once<'p>(Place<'p>);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Once(Place::Item(&self.0, array.len())))? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let place = Place::Member(&self.0, &name);
            if object.contains_key(&name) {
                return Err(A::Error::custom(place));
            }
            let value = members.next_value_seed(Once(place))?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meant(text: &str) -> Result<Map<String, Value>, NotRead> {
        object(text.as_bytes(), "the body", Reading::AsMeant)
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_any_depth_and_0_2_takes_the_last() {
        for (text, path) in [
            (r#"{"a": 1, "b": 2, "a": 1}"#, "a"),
            (r#"{"args": {"width": 1, "width": 2}}"#, "args.width"),
            (r#"{"o": [{}, {"a": [{"x": 1, "x": 1}]}]}"#, "o[1].a[0].x"),
            (r#"{"a": 1, "\u0061": 2}"#, "a"),
        ] {
            assert_eq!(meant(text), Err(NotRead::Twice(path.to_owned())), "{text}");
            assert!(object(text.as_bytes(), "the body", Reading::ToTheLetter).is_ok());
        }
        assert_eq!(twice(r#"[{"a": 1}, {"a": 1, "a": 2}]"#).as_deref(), Some("[1].a"));
        assert_eq!((twice("[1, 2]"), twice("no JSON")), (None, None));
        let last = object(br#"{"a": 1, "a": 2}"#, "the body", Reading::ToTheLetter).unwrap();
        assert_eq!(last["a"], 2);
    }

    #[test]
    fn everything_else_is_read_as_the_library_reads_it() {
        let text = r#" {"a": [1, -2, 2.5, 1e3, "ö\n", null, true, {}, [], 100000000000000000000], "b": {"a": "a"}} "#;
        assert_eq!(meant(text).unwrap(), serde_json::from_str::<Map<String, Value>>(text).unwrap());
        assert_eq!(meant("\u{feff}{}").unwrap(), Map::new());
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(matches!(meant(&deep), Err(NotRead::NotObject(text)) if text.contains("levels deep")));
        let deeper = "[".repeat(100_000);
        assert!(matches!(meant(&deeper), Err(NotRead::NotObject(_))), "its stack is the server's");
    }

    #[test]
    fn what_is_no_object_says_why() {
        for (text, wanted) in [
            ("", "the body is empty"),
            (" \n", "the body is empty"),
            ("[]", "the body is an array, not an object"),
            ("{\"a\": True}", "in lower case"),
            ("{\n \"a\":\n None}", "in lower case"),
            ("{\"a\": NaN}", "no such number"),
            ("{'a': 1}", "double quotes only"),
            ("{\"a\": 'b'}", "double quotes only"),
            ("{\"a\": 1,}", "the body is not JSON: a comma with nothing after it at line 1 column 9"),
            ("{\"a\": 1} x", "the body is not JSON: more after the end at line 1 column 10"),
            ("{\"a\" 1}", "no colon"),
            ("{\"a\": 1 \"b\"}", "neither a comma nor the end"),
            ("{\"a\": [1 2]}", "neither a comma nor the end"),
            ("{a: 1}", "not in double quotes"),
            ("{\"a\": \"b\nc\"}", "control character"),
            ("{\"a\": \"b", "it ends too early"),
            ("{\"a\": tru}", "no value"),
            ("{\"a\": }", "no value"),
        ] {
            let Err(NotRead::NotObject(told)) = meant(text) else { panic!("{text}") };
            assert!(told.contains(wanted), "{text}: {told}");
            assert!(!told.contains("expected") && !told.contains("EOF"), "{text}: {told}");
        }
        let told = object(b"{\"a\": \"\xff\"}", "args", Reading::AsMeant);
        assert_eq!(told, Err(NotRead::NotObject("args is not text in UTF-8".to_owned())));
        assert_eq!(meant("{\"a\": 1}").unwrap(), *json!({ "a": 1 }).as_object().unwrap());
    }
}
