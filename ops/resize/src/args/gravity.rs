//! `gravity`: which part of a picture is kept, or where it stands: one of nine places, a point, or what is most interesting.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use imgserve_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use imgserve_sdk::serde::de::value::StrDeserializer;
use imgserve_sdk::serde::de::{
    self, Deserialize, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use imgserve_sdk::serde::ser::{Serialize, Serializer};
use imgserve_sdk::{Error, serde};

/// Which part is kept by `cover`, and where the picture stands in `contain`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gravity {
    /// At a place.
    At(Anchor),
    /// With the point that lies these shares from the left and from the top, 0 to 1, as near the middle as may be.
    Point([f64; 2]),
    /// The most interesting part: edges, skin, strong colours.
    Smart,
}

/// A place in a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Anchor {
    /// Centred from left to right; from top to bottom one third of the surplus above and two thirds below, where
    /// faces and horizons tend to be. The default.
    #[default]
    Upper,
    /// The middle.
    Center,
    /// The middle of the top edge.
    North,
    /// The top right corner.
    Northeast,
    /// The middle of the right edge.
    East,
    /// The bottom right corner.
    Southeast,
    /// The middle of the bottom edge.
    South,
    /// The bottom left corner.
    Southwest,
    /// The middle of the left edge.
    West,
    /// The top left corner.
    Northwest,
}

/// What may be written for it.
const NAMES: [&str; 11] = [
    "upper",
    "center",
    "north",
    "northeast",
    "east",
    "southeast",
    "south",
    "southwest",
    "west",
    "northwest",
    "smart",
];
/// What other programs call the same.
const OTHERS: [(&str, &str); 26] = [
    ("centre", "center"),
    ("middle", "center"),
    ("center center", "center"),
    ("top", "north"),
    ("top center", "north"),
    ("center top", "north"),
    ("top right", "northeast"),
    ("right top", "northeast"),
    ("right", "east"),
    ("right center", "east"),
    ("center right", "east"),
    ("bottom right", "southeast"),
    ("right bottom", "southeast"),
    ("bottom", "south"),
    ("bottom center", "south"),
    ("center bottom", "south"),
    ("bottom left", "southwest"),
    ("left bottom", "southwest"),
    ("left", "west"),
    ("left center", "west"),
    ("center left", "west"),
    ("top left", "northwest"),
    ("left top", "northwest"),
    ("attention", "smart"),
    ("entropy", "smart"),
    ("auto", "smart"),
];

impl Default for Gravity {
    fn default() -> Self {
        Self::At(Anchor::default())
    }
}

impl Gravity {
    /// Whether the point is in the picture.
    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Self::Point([x, y]) if !(0.0..=1.0).contains(&x) || !(0.0..=1.0).contains(&y) => {
                Err(Error::invalid_argument("gravity", format!("[{x}, {y}] are not two shares from 0 to 1")))
            }
            _ => Ok(()),
        }
    }

    /// Where what is kept begins: so much of `all`, which has `kept` of it, lies left of it and above it. What is most
    /// interesting is nobody's guess here: it is taken for the middle.
    pub(crate) fn place(self, all: (f64, f64), kept: (f64, f64)) -> (f64, f64) {
        let surplus = ((all.0 - kept.0).max(0.0), (all.1 - kept.1).max(0.0));
        match self {
            Self::At(anchor) => {
                let (x, y) = anchor.shares();
                (surplus.0 * x, surplus.1 * y)
            }
            Self::Point([x, y]) => (
                (all.0 * x - kept.0 / 2.0).clamp(0.0, surplus.0),
                (all.1 * y - kept.1 / 2.0).clamp(0.0, surplus.1),
            ),
            Self::Smart => (surplus.0 / 2.0, surplus.1 / 2.0),
        }
    }

    /// The shares of the space left of and above a picture that does not fill it.
    pub(crate) fn shares(self) -> (f64, f64) {
        match self {
            Self::At(anchor) => anchor.shares(),
            Self::Point([x, y]) => (x, y),
            Self::Smart => (0.5, 0.5),
        }
    }
}

impl Anchor {
    fn shares(self) -> (f64, f64) {
        match self {
            Self::Upper => (0.5, 1.0 / 3.0),
            Self::Center => (0.5, 0.5),
            Self::North => (0.5, 0.0),
            Self::Northeast => (1.0, 0.0),
            Self::East => (1.0, 0.5),
            Self::Southeast => (1.0, 1.0),
            Self::South => (0.5, 1.0),
            Self::Southwest => (0.0, 1.0),
            Self::West => (0.0, 0.5),
            Self::Northwest => (0.0, 0.0),
        }
    }
}

/// What is meant by a name of ours.
fn named(name: &str) -> Option<Gravity> {
    if name == "smart" {
        return Some(Gravity::Smart);
    }
    let name: StrDeserializer<'_, de::value::Error> = name.into_deserializer();
    Anchor::deserialize(name).ok().map(Gravity::At)
}

/// Two shares, or percentages, with a comma or a space between them.
fn point(text: &str) -> Option<[f64; 2]> {
    let share = |word: &str| match word.strip_suffix('%') {
        Some(percents) => percents.parse().ok().map(|percents: f64| percents / 100.0),
        None => word.parse().ok(),
    };
    let mut words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let point = [share(words.next()?)?, share(words.next()?)?];
    words.next().is_none().then_some(point)
}

impl<'de> Deserialize<'de> for Gravity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrPoint)
    }
}

struct NameOrPoint;

impl<'de> Visitor<'de> for NameOrPoint {
    type Value = Gravity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name such as \"center\", or a point such as [0.3, 0.7]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Gravity, E> {
        let found = point(text).map(Gravity::Point).or_else(|| named(text));
        found.ok_or_else(|| E::unknown_variant(text, &NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Gravity, A::Error> {
        let mut point = [0.5; 2];
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "x" => point[0] = members.next_value()?,
                "y" => point[1] = members.next_value()?,
                _ => return Err(de::Error::unknown_field(&name, &["x", "y"])),
            }
        }
        Ok(Gravity::Point(point))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Gravity, A::Error> {
        let mut point = Vec::with_capacity(2);
        while let Some(value) = values.next_element::<f64>()? {
            point.push(value);
        }
        match point[..] {
            [x, y] => Ok(Gravity::Point([x, y])),
            _ => Err(de::Error::invalid_length(point.len(), &"an array of 2 values")),
        }
    }
}

impl Serialize for Gravity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(anchor) => anchor.serialize(serializer),
            Self::Point(point) => point.serialize(serializer),
            Self::Smart => serializer.serialize_str("smart"),
        }
    }
}

impl JsonSchema for Gravity {
    fn schema_name() -> Cow<'static, str> {
        "Gravity".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = json_schema!({ "type": "number", "minimum": 0, "maximum": 1 });
        json_schema!({
            "anyOf": [
                generator.subschema_for::<Anchor>(),
                {
                    "description": "The most interesting part: edges, skin, strong colours. Of an animation, whose pictures \
                                    are looked at one by one, the middle.",
                    "type": "string",
                    "const": "smart"
                },
                {
                    "description": "The point that lies these shares from the left and from the top, such as [0.3, 0.7] \
                                    (as text `0.3,0.7` or `30% 70%`): it comes as near the middle as may be.",
                    "type": "array",
                    "items": share,
                    "minItems": 2,
                    "maxItems": 2
                },
                { "description": "The same.", "type": "object", "properties": { "x": share, "y": share } },
                { "description": "The same as text.", "type": "string", "pattern": "^[0-9.]+%?[, ]+[0-9.]+%?$" }
            ],
            "x-values": BTreeMap::from(OTHERS)
        })
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::serde_json::{Value, from_value, json};

    use super::*;

    fn gravity(value: Value) -> Result<Gravity, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_points_are_read() {
        for (value, wanted) in [
            (json!("upper"), Gravity::default()),
            (json!("southwest"), Gravity::At(Anchor::Southwest)),
            (json!("smart"), Gravity::Smart),
            (json!("30% 100%"), Gravity::Point([0.3, 1.0])),
            (json!({ "x": 0.3, "y": 1 }), Gravity::Point([0.3, 1.0])),
            (json!({ "y": 1 }), Gravity::Point([0.5, 1.0])),
            (json!([0.3, 1]), Gravity::Point([0.3, 1.0])),
            (json!("0.3, 1"), Gravity::Point([0.3, 1.0])),
        ] {
            assert_eq!(gravity(value.clone()), Ok(wanted), "{value}");
        }
        for wrong in [
            json!("up"),
            json!("centre"),
            json!(""),
            json!("0.3"),
            json!("0 1 2"),
            json!([0.3]),
            json!([1, 2, 3]),
            json!(["0", "1"]),
            json!(5),
            json!({ "z": 1 }),
        ] {
            assert!(gravity(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(NAMES.iter().chain(OTHERS.iter().map(|(_, own)| own)).all(|name| named(name).is_some()));
    }

    #[test]
    fn a_point_comes_as_near_the_middle_as_may_be() {
        let place = |point| Gravity::Point(point).place((300.0, 100.0), (100.0, 100.0));
        assert_eq!(place([0.5, 0.5]), (100.0, 0.0));
        assert_eq!(place([0.4, 0.9]), (70.0, 0.0));
        assert_eq!(place([0.0, 0.0]), (0.0, 0.0));
        assert_eq!(place([1.0, 0.0]), (200.0, 0.0));
        assert!(Gravity::Point([0.5, 1.1]).check().is_err() && Gravity::Point([0.0, 1.0]).check().is_ok());
    }
}
