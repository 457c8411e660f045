//! What a client means by values that are not quite of the types that an operation's schema names: `200.0` where an integer
//! is wanted is 200, as JSON Schema has it, and `null` for what may be left out leaves it out. Requests of 0.2 are held to the
//! letter: there both were refused. By which of its names an argument is called is the same to both.

use serde_json::{Map, Number, Value};

use super::chain::Given;
use super::entry::Entry;
use super::textual::{Allowed, MAX_DEPTH, parts};

/// How a request's values are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As 0.2 did.
    ToTheLetter,
    /// As they are meant.
    AsMeant,
}

impl Entry {
    /// A request's arguments as they are meant, over the defaults.
    pub(crate) fn given(&self, args: Map<String, Value>, reading: Reading) -> Given {
        let written = self.aliases.written(&args);
        let mut given = Given { args: self.default_args(reading), written };
        given.args.extend(self.meant(args, reading));
        given
    }

    /// Arguments as they are meant. Whether they are right is another check's to say.
    pub(super) fn meant(&self, args: Map<String, Value>, reading: Reading) -> Map<String, Value> {
        let mut args = Value::Object(self.aliases.renamed(args));
        if reading == Reading::AsMeant && self.can_check(&args) {
            let root = &self.description.arguments;
            settle(root, root, &mut args, 0);
        }
        match args {
            Value::Object(args) => args,
            _ => Map::new(),
        }
    }
}

/// The same for the host's own arguments, none of which may be null or has a fraction.
pub(super) fn meant_of_host(args: &mut Map<String, Value>, reading: Reading) {
    if reading == Reading::AsMeant {
        args.retain(|_, value| !value.is_null());
        args.values_mut().for_each(make_whole);
    }
}

fn settle(root: &Value, schema: &Value, value: &mut Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let schemas = parts(root, schema);
    match value {
        Value::Number(_) => {
            let allowed = Allowed::of(root, schema);
            if allowed.has("integer") && !allowed.has("number") {
                make_whole(value);
            }
        }
        Value::Object(members) => {
            for properties in schemas.iter().filter_map(|schema| schema["properties"].as_object()) {
                members.retain(|name, value| {
                    !value.is_null()
                        || properties.get(name).is_none_or(|of| Allowed::of(root, of).takes_null())
                });
                for (name, value) in members.iter_mut() {
                    if let Some(schema) = properties.get(name) {
                        settle(root, schema, value, depth + 1);
                    }
                }
            }
        }
        Value::Array(items) => {
            for schema in schemas.iter().filter_map(|schema| schema.get("items")) {
                items.iter_mut().for_each(|item| settle(root, schema, item, depth + 1));
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A number without a fraction as an integer; of those that a float tells apart.
fn make_whole(value: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number().filter(|number| number.is_f64()).and_then(Number::as_f64);
    if let Some(number) = number.filter(|number| number.fract() == 0.0 && number.abs() <= EXACT) {
        *value = Value::from(number as i64);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_and_nulls_are_taken_as_they_are_meant_at_any_depth() {
        let root = json!({
            "properties": {
                "width": { "type": "integer" },
                "share": { "type": "number" },
                "name": { "type": "string" },
                "side": { "anyOf": [{ "const": "auto" }, { "type": "integer" }] },
                "maybe": { "type": ["integer", "null"] },
                "regions": { "type": "array", "items": { "$ref": "#/$defs/Region" } },
                "region": { "anyOf": [{ "$ref": "#/$defs/Region" }, { "type": "null" }] },
                "anything": true
            },
            "$defs": { "Region": { "type": "object", "properties": { "x": { "type": "integer" } } } }
        });
        for (given, meant) in [
            (json!({ "width": 200.0 }), json!({ "width": 200 })),
            (json!({ "width": -2e2 }), json!({ "width": -200 })),
            (json!({ "width": 200.5 }), json!({ "width": 200.5 })),
            (json!({ "width": 1e300 }), json!({ "width": 1e300 })),
            (json!({ "share": 2.0, "name": 2.0 }), json!({ "share": 2.0, "name": 2.0 })),
            (json!({ "side": 7.0 }), json!({ "side": 7 })),
            (json!({ "width": null, "name": null, "side": null }), json!({})),
            (
                json!({ "maybe": null, "anything": null, "unknown": null }),
                json!({ "maybe": null, "anything": null, "unknown": null }),
            ),
            (json!({ "maybe": 3.0, "anything": 3.0 }), json!({ "maybe": 3, "anything": 3.0 })),
            (json!({ "regions": [{ "x": 1.0 }, { "x": null }] }), json!({ "regions": [{ "x": 1 }, {}] })),
            (json!({ "region": { "x": 1.0 } }), json!({ "region": { "x": 1 } })),
            (json!({ "region": null }), json!({ "region": null })),
        ] {
            let mut value = given.clone();
            settle(&root, &root, &mut value, 0);
            assert_eq!(value, meant, "{given}");
        }
    }
}
