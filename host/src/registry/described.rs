//! Whether what a plugin says of itself is usable. The server works with it outside of any sandbox, for every request, so
//! a description must not be able to cost it time, memory or its stack.

use std::collections::HashMap;

use imgserve_base::format::Format;
use imgserve_base::units::KIB;
use imgserve_sdk::{Description, InputKind, OutputKind};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::host_arguments::{HOST_ARGUMENTS, writable};

/// Most values of the arguments' schema, each counted as often as it is referred to.
const MAX_PARTS: usize = 2000;
/// Most patterns in it, and the most bytes that one may take compiled.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN_BYTES: usize = 64 * KIB as usize;
/// Most steps of checking arguments: their values times the schema's parts.
const MAX_STEPS: usize = 5_000_000;
/// Deepest nesting of the schema, as JSON and through references.
const MAX_DEPTH: usize = 64;
/// Longest name, version, media type or extension, in bytes.
const MAX_WORD: usize = 100;
/// Longest summary, in bytes.
const MAX_SUMMARY: usize = 1000;

/// The arguments' schema, ready to check requests with.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) validator: Validator,
    parts: usize,
}

impl Arguments {
    /// Whether arguments of this size can be checked in a moment.
    pub(super) fn can_check(&self, args: &Value) -> bool {
        values(args).saturating_mul(self.parts) <= MAX_STEPS
    }
}

/// How many values there are in a value, itself included.
fn values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(members) => members.values().map(values).sum(),
        _ => 0,
    }
}

/// The arguments' schema of a description that is usable.
///
/// # Errors
/// A text that says what is wrong with it.
pub(super) fn check(description: &Description) -> Result<Arguments, String> {
    for (what, word) in [("name", &description.name), ("version", &description.version)] {
        check_word(what, word, |c| !c.is_control())?;
    }
    let summary = &description.summary;
    if summary.len() > MAX_SUMMARY || summary.chars().any(char::is_control) {
        return Err(format!("its summary is not one line of at most {MAX_SUMMARY} bytes"));
    }
    if let Some(name) =
        HOST_ARGUMENTS.iter().find(|&&name| description.arguments["properties"].get(name).is_some())
    {
        let text = format!(
            "its argument `{name}` has a name that is the host's own ({})",
            HOST_ARGUMENTS.join(", ")
        );
        return Err(text);
    }
    match &description.input {
        InputKind::Pixels { formats, .. } if formats.is_empty() => {
            return Err("it takes pixels, and names no pixel format".to_owned());
        }
        InputKind::Encoded { formats } if formats.is_empty() => {
            return Err("it takes files, and names no file format".to_owned());
        }
        InputKind::Encoded { formats } => {
            formats.iter().try_for_each(|name| check_word("file format", name, is_extension))?;
        }
        InputKind::Pixels { .. } => {}
    }
    match &description.output {
        OutputKind::Image { format } if !Format::from_name(format).is_some_and(Format::can_encode) => {
            let known = writable().join(", ");
            return Err(format!("it gives {}, which is none of {known}", format.escape_debug()));
        }
        OutputKind::Encoded { media_type, extension } => {
            check_word("extension", extension, is_extension)?;
            // RFC 9110, 8.3.1: a type, a slash, a subtype, perhaps parameters; as far as a header's value goes.
            check_word("media type", media_type, |c| matches!(c, ' '..='~'))?;
            if !media_type.contains('/') {
                return Err(format!("its media type {media_type:?} has no slash"));
            }
        }
        OutputKind::Source | OutputKind::Image { .. } => {}
    }
    let mut schema = Schema { root: &description.arguments, sizes: HashMap::new(), patterns: 0 };
    let parts = schema.size(&description.arguments, 0)?;
    // An engine that takes time linear in its input, whatever the pattern.
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
    let validator = jsonschema::options()
        .with_pattern_options(patterns)
        .build(&description.arguments)
        .map_err(|error| format!("its argument schema is not usable: {error}"))?;
    Ok(Arguments { validator, parts })
}

fn is_extension(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

fn check_word(what: &str, word: &str, allowed: impl Fn(char) -> bool) -> Result<(), String> {
    if word.is_empty() || word.len() > MAX_WORD || !word.chars().all(allowed) {
        let shown: String = word.chars().take(MAX_WORD).collect();
        return Err(format!("its {what} {shown:?} is not one"));
    }
    Ok(())
}

/// A schema whose parts are counted as a validator walks them: through references.
struct Schema<'s> {
    root: &'s Value,
    /// Of referred to definitions; none while one is being counted.
    sizes: HashMap<&'s str, Option<usize>>,
    patterns: usize,
}

impl<'s> Schema<'s> {
    fn size(&mut self, schema: &'s Value, depth: usize) -> Result<usize, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its argument schema is more than {MAX_DEPTH} levels deep"));
        }
        let mut size: usize = 1;
        match schema {
            Value::Array(items) => {
                for item in items {
                    size = size.saturating_add(self.size(item, depth + 1)?);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    self.patterns += match (key.as_str(), value) {
                        ("pattern", _) => 1,
                        ("patternProperties", Value::Object(patterns)) => patterns.len(),
                        _ => 0,
                    };
                    size = size.saturating_add(match (key.as_str(), value) {
                        ("$ref", Value::String(reference)) => self.referred(reference, depth + 1)?,
                        ("$dynamicRef" | "$recursiveRef" | "$id" | "$anchor" | "$dynamicAnchor", _) => {
                            return Err(format!("its argument schema has `{key}`, which is not taken"));
                        }
                        // Counted where they are referred to.
                        ("$defs" | "definitions", _) => 0,
                        (_, value) => self.size(value, depth + 1)?,
                    });
                }
            }
            _ => {}
        }
        if size > MAX_PARTS || self.patterns > MAX_PATTERNS {
            let text =
                format!("its argument schema has more than {MAX_PARTS} parts or {MAX_PATTERNS} patterns");
            return Err(text);
        }
        Ok(size)
    }

    fn referred(&mut self, reference: &'s str, depth: usize) -> Result<usize, String> {
        let shown = reference.escape_debug();
        match self.sizes.get(reference) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(format!("its argument schema refers to itself by \"{shown}\"")),
            None => {}
        }
        let target = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/'));
        let target = target.and_then(|pointer| self.root.pointer(pointer));
        let target = target.ok_or_else(|| format!("its argument schema has no \"{shown}\""))?;
        self.sizes.insert(reference, None);
        let size = self.size(target, depth)?;
        self.sizes.insert(reference, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Operation as _;
    use serde_json::json;

    use super::*;

    fn with(arguments: Value) -> Result<Arguments, String> {
        check(&Description { arguments, ..imgserve_resize::Resize::describe() })
    }

    #[test]
    fn what_schemars_writes_is_usable() {
        for description in [
            imgserve_resize::Resize::describe(),
            imgserve_rasterize::Rasterize::describe(),
            super::super::chain::description(),
        ] {
            check(&description).unwrap();
        }
    }

    #[test]
    fn a_schema_cannot_cost_the_server_its_stack_or_its_time() {
        let refused = |schema: Value| with(schema).unwrap_err();
        assert!(refused(json!({ "$ref": "#" })).contains("has no"));
        let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/a" }] } } });
        assert!(refused(circle).contains("refers to itself"));
        // Each definition names the next one twice: 2^14 parts from a few hundred bytes.
        let mut definitions = serde_json::Map::new();
        for level in 0..14 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            definitions.insert(format!("d{level}"), json!({ "allOf": [next.clone(), next] }));
        }
        definitions.insert("d14".to_owned(), json!(true));
        assert!(refused(json!({ "$ref": "#/$defs/d0", "$defs": definitions })).contains("parts"));
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "not": deep });
        }
        assert!(refused(deep).contains("levels"));
        assert!(refused(json!({ "$ref": "https://example.org/schema.json" })).contains("has no"));
    }

    #[test]
    fn a_pattern_takes_no_more_than_linear_time() {
        let schema =
            json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } } });
        let validator = with(schema).unwrap().validator;
        let began = std::time::Instant::now();
        assert!(!validator.is_valid(&json!({ "a": format!("{}!", "a".repeat(50_000)) })));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        let refused = |pattern: &str| with(json!({ "properties": { "a": { "pattern": pattern } } })).is_err();
        assert!(refused("(?=a)b"), "needs backtracking");
        assert!(refused("\\pL{200}"), "takes much memory");
        let many: serde_json::Map<_, _> = (0..200).map(|i| (format!("^{i}"), json!(true))).collect();
        assert!(with(json!({ "patternProperties": many })).is_err(), "many patterns");
    }

    #[test]
    fn arguments_that_would_take_long_to_check_are_told_from_others() {
        let many: Vec<Value> = (0..500).map(|_| json!({ "type": "number" })).collect();
        let schema = with(json!({ "properties": { "a": { "items": { "allOf": many } } } })).unwrap();
        assert!(schema.can_check(&json!({ "a": [1, 2, 3] })));
        assert!(!schema.can_check(&json!({ "a": vec![0; 100_000] })));
    }

    #[test]
    fn the_hosts_own_arguments_are_not_a_plugins() {
        let text = with(json!({ "properties": { "quality": { "type": "integer" } } })).unwrap_err();
        assert!(text.contains("`quality`") && text.contains("field_name"), "{text}");
    }

    #[test]
    fn words_that_go_into_headers_and_names_are_words() {
        let resize = imgserve_resize::Resize::describe();
        let encoded = |media_type: &str, extension: &str| {
            let output = OutputKind::Encoded { media_type: media_type.into(), extension: extension.into() };
            check(&Description { output, ..resize.clone() })
        };
        assert!(encoded("text/plain", "txt").is_ok());
        for (media_type, extension) in
            [("text/plain\r\nX: y", "txt"), ("text", "txt"), ("text/plain", "a/b"), ("text/plain", "")]
        {
            assert!(encoded(media_type, extension).is_err(), "{media_type:?} {extension:?}");
        }
        let output = OutputKind::Image { format: "svg".to_owned() };
        assert!(check(&Description { output, ..resize.clone() }).unwrap_err().contains("none of jpeg"));
        assert!(check(&Description { name: "a\nb".to_owned(), ..resize.clone() }).is_err());
        for summary in ["two\nlines".to_owned(), "x".repeat(1001)] {
            assert!(check(&Description { summary, ..resize.clone() }).unwrap_err().contains("summary"));
        }
    }
}
