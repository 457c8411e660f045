//! Arguments that came as text, such as in a URL's query: which JSON value each means, by the operation's schema. What
//! cannot be read as any type that the schema allows stays a string, so that the check of the schema says what is wrong.

use serde_json::{Map, Number, Value, json};

use super::entry::Entry;
use super::host_arguments::LOSSLESS;

/// Deepest chain of references and alternatives that is followed; a usable schema's is no deeper.
pub(super) const MAX_DEPTH: usize = 64;

impl Entry {
    /// The JSON values of arguments that came as text.
    pub(crate) fn read_texts(&self, texts: &[(String, String)]) -> Map<String, Value> {
        let read = |(name, text): &(String, String)| (name.clone(), self.read_text(name, text));
        texts.iter().map(read).collect()
    }

    fn read_text(&self, name: &str, text: &str) -> Value {
        let name = self.aliases.own_name(name).unwrap_or(name);
        // The arguments of the host's own that are no strings.
        match name {
            "quality" => return value(&json!(null), &json!({ "type": "integer" }), text),
            LOSSLESS if !self.knows(name) => return value(&json!(null), &json!({ "type": "boolean" }), text),
            _ => {}
        }
        let root = &self.description.arguments;
        match root["properties"].get(name) {
            Some(schema) => value(root, schema, text),
            None => Value::from(text),
        }
    }
}

/// The value that a text means under a schema, a part of `root`.
fn value(root: &Value, schema: &Value, text: &str) -> Value {
    Allowed::of(root, schema).read(text).unwrap_or_else(|| Value::from(text))
}

/// The types and the single values that a schema allows, all its alternatives together.
#[derive(Default)]
pub(super) struct Allowed<'s> {
    types: Vec<&'s str>,
    values: Vec<&'s Value>,
}

/// A schema, what it refers to, and its alternatives.
pub(super) fn parts<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut found = Vec::new();
    gather(root, schema, 0, &mut found);
    found
}

fn gather<'s>(root: &'s Value, schema: &'s Value, depth: usize, found: &mut Vec<&'s Value>) {
    if depth > MAX_DEPTH {
        return;
    }
    found.push(schema);
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    let referred = reference.and_then(|pointer| root.pointer(pointer));
    let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array());
    for part in referred.into_iter().chain(branches.flatten()) {
        gather(root, part, depth + 1, found);
    }
}

impl<'s> Allowed<'s> {
    pub(super) fn of(root: &'s Value, schema: &'s Value) -> Self {
        let mut allowed = Self::default();
        for part in parts(root, schema) {
            match &part["type"] {
                Value::String(name) => allowed.types.push(name),
                Value::Array(names) => allowed.types.extend(names.iter().filter_map(Value::as_str)),
                _ => {}
            }
            allowed.values.extend(part.get("const"));
            allowed.values.extend(part["enum"].as_array().into_iter().flatten());
        }
        allowed
    }

    /// The single values that are names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'s str> {
        self.values.iter().filter_map(|value| value.as_str())
    }

    /// Whether values of this type are allowed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.types.contains(&name)
    }

    /// Whether null is; it is where nothing is said.
    pub(super) fn takes_null(&self) -> bool {
        self.has("null")
            || self.values.contains(&&Value::Null)
            || (self.types.is_empty() && self.values.is_empty())
    }

    /// The names of the types and the values that are allowed, for a person.
    pub(super) fn told(&self) -> String {
        let values: Vec<String> = self.values.iter().map(|value| value.to_string()).collect();
        let types = self.types.iter().filter(|name| self.values.is_empty() || **name != "string");
        let mut all: Vec<&str> = types.map(|name| with_article(name)).collect();
        all.dedup();
        all.extend(values.iter().map(String::as_str));
        match all.as_slice() {
            [] => "what the operation's schema says".to_owned(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }

    fn read(&self, text: &str) -> Option<Value> {
        // A name that is listed is meant, even where it reads like a number.
        if self.values.iter().any(|value| value.as_str() == Some(text)) {
            return Some(Value::from(text));
        }
        let json: Value = serde_json::from_str(text).ok()?;
        let meant = self.values.contains(&&json) || self.types.iter().any(|name| is_of(&json, name));
        meant.then_some(json)
    }
}

/// A type of JSON Schema in words.
fn with_article(name: &str) -> &str {
    match name {
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "boolean" => "true or false",
        "array" => "an array",
        "object" => "an object",
        other => other,
    }
}

/// Whether a JSON value that was written as text may be meant where this type is wanted. Never a string: text is one as it
/// stands, without quotes.
fn is_of(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        // A number with a fraction is no integer; that it is none is for the check of the schema to say.
        Value::Number(number) => name == "number" || (name == "integer" && whole(number)),
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
        Value::String(_) => false,
    }
}

/// Whether it has no fraction: written as 200.0, it is the integer 200.
fn whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Operation as _;

    use super::*;

    fn resize(name: &str, text: &str) -> Value {
        let root = imgserve_resize::Resize::describe().arguments;
        value(&root, &root["properties"][name], text)
    }

    #[test]
    fn what_schemars_writes_is_understood() {
        assert_eq!(resize("width", "200"), json!(200));
        assert_eq!(resize("enlarge", "true"), json!(true));
        assert_eq!(resize("fit", "inside"), json!("inside"));
        assert_eq!(resize("filter", "catmull-rom"), json!("catmull-rom"));
        assert_eq!(resize("background", "#123456"), json!("#123456"));
    }

    #[test]
    fn what_does_not_fit_stays_text() {
        for (name, text) in [
            ("width", "wide"),
            ("width", ""),
            ("width", "2.5"),
            ("width", "[1]"),
            ("width", "null"),
            ("enlarge", "1"),
            ("enlarge", "yes"),
            ("fit", "7"),
            ("background", "123"),
        ] {
            assert_eq!(resize(name, text), json!(text), "{name}={text}");
        }
    }

    #[test]
    fn every_type_can_be_written_as_text() {
        let of = |schema: Value, text: &str| value(&schema, &schema, text);
        assert_eq!(of(json!({ "type": "number" }), "-1.5e3"), json!(-1500.0));
        assert_eq!(of(json!({ "type": "integer" }), "-7"), json!(-7));
        assert_eq!(of(json!({ "type": ["integer", "null"] }), "null"), Value::Null);
        assert_eq!(of(json!({ "type": ["string", "null"] }), "7"), json!("7"));
        assert_eq!(of(json!({ "type": "array" }), "[1,\"a\"]"), json!([1, "a"]));
        assert_eq!(of(json!({ "type": "object" }), "{\"a\":{}}"), json!({ "a": {} }));
        assert_eq!(of(json!({ "type": "string" }), "\"quoted\""), json!("\"quoted\""));
        assert_eq!(of(json!({ "enum": [1, "2"] }), "1"), json!(1));
        assert_eq!(of(json!({ "enum": [1, "2"] }), "2"), json!("2"));
        assert_eq!(of(json!(true), "7"), json!("7"), "a schema that says nothing");
    }

    #[test]
    fn references_and_alternatives_are_followed() {
        let root = json!({
            "$defs": { "Side": { "anyOf": [{ "const": "auto" }, { "type": "integer" }] } },
            "properties": {
                "side": { "anyOf": [{ "$ref": "#/$defs/Side" }, { "type": "null" }] },
                "circle": { "$ref": "#/properties/circle" }
            }
        });
        let of = |name: &str, text: &str| value(&root, &root["properties"][name], text);
        assert_eq!(of("side", "auto"), json!("auto"));
        assert_eq!(of("side", "12"), json!(12));
        assert_eq!(of("side", "null"), Value::Null);
        assert_eq!(
            of("circle", "12"),
            json!("12"),
            "which no usable schema has, and which ends all the same"
        );
    }
}
