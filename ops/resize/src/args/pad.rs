//! `pad`: how many pixels are added around the result.

use std::borrow::Cow;
use std::fmt;

use imgserve_sdk::Error;
use imgserve_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use imgserve_sdk::serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use imgserve_sdk::serde::ser::{Serialize, Serializer};

use super::MAX_SIDE;

/// Pixels around the result: above, right, below, left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pad {
    /// Above it.
    pub top: u32,
    /// Right of it.
    pub right: u32,
    /// Below it.
    pub bottom: u32,
    /// Left of it.
    pub left: u32,
}

impl Pad {
    /// So many times as wide.
    pub(crate) fn times(self, factor: f64) -> Self {
        let times = |side: u32| (f64::from(side) * factor).round() as u32;
        let Self { top, right, bottom, left } = self;
        Self { top: times(top), right: times(right), bottom: times(bottom), left: times(left) }
    }

    /// Whether it is in its range.
    pub(crate) fn check(self) -> Result<(), Error> {
        match [self.top, self.right, self.bottom, self.left].into_iter().find(|side| *side > MAX_SIDE) {
            Some(side) => Err(Error::invalid_argument("pad", format!("{side} is not from 0 to {MAX_SIDE}"))),
            None => Ok(()),
        }
    }

    /// As CSS has it: all sides; above and below, left and right; above, right, below, left.
    fn of<E: de::Error>(sides: &[u32]) -> Result<Self, E> {
        match *sides {
            [all] => Ok(Self { top: all, right: all, bottom: all, left: all }),
            [rows, columns] => Ok(Self { top: rows, right: columns, bottom: rows, left: columns }),
            [top, right, bottom, left] => Ok(Self { top, right, bottom, left }),
            _ => Err(E::invalid_length(sides.len(), &"1, 2 or 4 numbers of pixels")),
        }
    }
}

struct Sides;

impl<'de> Visitor<'de> for Sides {
    type Value = Pad;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of pixels, or [above, right, below, left]")
    }

    fn visit_u64<E: de::Error>(self, all: u64) -> Result<Pad, E> {
        // One that is too large is told by its range.
        Pad::of(&[u32::try_from(all).unwrap_or(u32::MAX)])
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Pad, E> {
        let sides: Result<Vec<u32>, _> = text.split(',').map(|side| side.trim().parse()).collect();
        Pad::of(&sides.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Pad, A::Error> {
        let mut sides = Vec::with_capacity(4);
        while let Some(side) = values.next_element::<u32>()? {
            sides.push(side);
        }
        Pad::of(&sides)
    }
}

impl<'de> Deserialize<'de> for Pad {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Sides)
    }
}

impl Serialize for Pad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self { top, right, bottom, left } if [right, bottom, left] == [top; 3] => {
                top.serialize(serializer)
            }
            Self { top, right, bottom, left } => [top, right, bottom, left].serialize(serializer),
        }
    }
}

impl JsonSchema for Pad {
    fn schema_name() -> Cow<'static, str> {
        "Pad".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let side = json_schema!({ "type": "integer", "minimum": 0, "maximum": MAX_SIDE });
        json_schema!({ "anyOf": [
            side,
            {
                "description": "Above and below, left and right; or above, right, below, left.",
                "type": "array", "items": side, "minItems": 1, "maxItems": 4
            },
            { "description": "The same as text: 10,20,10,20.", "type": "string" }
        ] })
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn sides_are_read_as_css_has_them() {
        for (value, sides) in [
            (json!(7), [7, 7, 7, 7]),
            (json!([7]), [7, 7, 7, 7]),
            (json!([1, 2]), [1, 2, 1, 2]),
            (json!([1, 2, 3, 4]), [1, 2, 3, 4]),
            (json!("1, 2"), [1, 2, 1, 2]),
        ] {
            let Pad { top, right, bottom, left } = from_value(value.clone()).unwrap();
            assert_eq!([top, right, bottom, left], sides, "{value}");
        }
        for wrong in [json!(-1), json!(1.5), json!([1, 2, 3]), json!([]), json!("x"), json!(true)] {
            assert!(from_value::<Pad>(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(from_value::<Pad>(json!(1_u64 << 40)).unwrap().check().is_err());
        assert_eq!(to_value(Pad::default()).unwrap(), Value::from(0));
    }
}
