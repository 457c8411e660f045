//! `enlarge`: what becomes of a picture with fewer pixels than it would be shown at.

use std::borrow::Cow;
use std::fmt;

use imgserve_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use imgserve_sdk::serde::de::value::StrDeserializer;
use imgserve_sdk::serde::de::{Deserialize, Deserializer, Error, IntoDeserializer as _, Visitor};
use imgserve_sdk::serde::{self, Serialize};

/// What becomes of a picture with fewer pixels than it would be shown at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
pub enum Enlarge {
    /// It is refused as too small.
    Refuse,
    /// It keeps its size. The default.
    #[default]
    Never,
    /// It is enlarged.
    Always,
}

#[derive(serde::Deserialize)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
enum Name {
    Refuse,
    Never,
    Always,
}

impl<'de> Deserialize<'de> for Enlarge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrBool)
    }
}

struct NameOrBool;

impl Visitor<'_> for NameOrBool {
    type Value = Enlarge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"refuse\", \"never\", \"always\", true or false")
    }

    fn visit_bool<E: Error>(self, always: bool) -> Result<Enlarge, E> {
        Ok(if always { Enlarge::Always } else { Enlarge::Refuse })
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Enlarge, E> {
        let name: StrDeserializer<'_, E> = name.into_deserializer();
        Name::deserialize(name).map(|name| match name {
            Name::Refuse => Enlarge::Refuse,
            Name::Never => Enlarge::Never,
            Name::Always => Enlarge::Always,
        })
    }
}

impl JsonSchema for Enlarge {
    fn schema_name() -> Cow<'static, str> {
        "Enlarge".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "enum": ["refuse", "never", "always"] },
                { "description": "As it was: false is refuse, true is always.", "type": "boolean" }
            ]
        })
    }
}
