//! `trim`: whether a border of one colour is cut off, and how much its colour may vary.

use std::borrow::Cow;
use std::fmt;

use imgserve_sdk::Error;
use imgserve_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use imgserve_sdk::serde::de::{self, Deserialize, Deserializer, Visitor};
use imgserve_sdk::serde::ser::{Serialize, Serializer};

/// How much the colour of a border varies where nobody says it.
const USUAL: f64 = 10.0;

/// Whether a border is cut off: none, or one whose colours differ by so much of 255 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trim(pub Option<f64>);

impl Trim {
    /// Whether it is in its range.
    pub(crate) fn check(self) -> Result<(), Error> {
        match self.0.filter(|threshold| !(0.0..=255.0).contains(threshold)) {
            Some(threshold) => {
                Err(Error::invalid_argument("trim", format!("{threshold} is not from 0 to 255")))
            }
            None => Ok(()),
        }
    }
}

struct BoolOrNumber;

impl Visitor<'_> for BoolOrNumber {
    type Value = Trim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a number from 0 to 255")
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Trim, E> {
        Ok(Trim(yes.then_some(USUAL)))
    }

    fn visit_f64<E>(self, threshold: f64) -> Result<Trim, E> {
        Ok(Trim(Some(threshold)))
    }

    fn visit_u64<E>(self, threshold: u64) -> Result<Trim, E> {
        Ok(Trim(Some(threshold as f64)))
    }

    fn visit_i64<E: de::Error>(self, threshold: i64) -> Result<Trim, E> {
        Ok(Trim(Some(threshold as f64)))
    }
}

impl<'de> Deserialize<'de> for Trim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoolOrNumber)
    }
}

impl Serialize for Trim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(threshold) => serializer.serialize_f64(threshold),
            None => serializer.serialize_bool(false),
        }
    }
}

impl JsonSchema for Trim {
    fn schema_name() -> Cow<'static, str> {
        "Trim".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "boolean" },
            {
                "description": "How much of 255 a channel of the border's colours may differ from its corner's; `true` is 10.",
                "type": "number", "minimum": 0, "maximum": 255
            }
        ] })
    }
}
