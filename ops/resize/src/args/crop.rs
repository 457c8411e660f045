//! `crop`: a part of the source, in pixels or in percents of it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use imgserve_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use imgserve_sdk::serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use imgserve_sdk::serde::{self};
use imgserve_sdk::{Error, Rect};

use crate::geometry::Size;

/// A part of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// From the left edge.
    pub x: Length,
    /// From the top edge.
    pub y: Length,
    /// How wide it is.
    pub width: Length,
    /// How high it is.
    pub height: Length,
}

/// A length in one direction of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// In pixels.
    Pixels(f64),
    /// As a share of the picture's side, 0 to 1.
    Share(f64),
}

impl Length {
    const NONE: Self = Self::Pixels(0.0);
    const ALL: Self = Self::Share(1.0);

    fn of(self, side: u32) -> f64 {
        match self {
            Self::Pixels(pixels) => pixels.round(),
            Self::Share(share) => (share * f64::from(side)).round(),
        }
    }

    /// What was hardly meant in pixels, but as a share.
    fn less_than_a_pixel(self) -> Option<f64> {
        match self {
            Self::Pixels(pixels) if pixels > 0.0 && pixels < 1.0 => Some(pixels),
            _ => None,
        }
    }

    fn is_possible(self) -> bool {
        let (Self::Pixels(value) | Self::Share(value)) = self;
        value.is_finite() && value >= 0.0
    }
}

impl Crop {
    /// The part of a source of this size, in whole pixels, as far as there are any.
    ///
    /// # Errors
    /// `invalid-argument` where there are none, or a length is none.
    pub(crate) fn region(self, source: Size) -> Result<Rect, Error> {
        let lengths = [self.x, self.y, self.width, self.height];
        if let Some(length) = lengths.into_iter().find_map(Length::less_than_a_pixel) {
            let text = format!(
                "{length} is less than a pixel: a part of the source is written \"{}%\"",
                length * 100.0
            );
            return Err(Error::invalid_argument("crop", text));
        }
        let across = span(self.x.of(source.width), self.width.of(source.width), source.width);
        let down = span(self.y.of(source.height), self.height.of(source.height), source.height);
        match (across, down) {
            (Some((x, width)), Some((y, height))) if lengths.into_iter().all(Length::is_possible) => {
                Ok(Rect { x, y, width, height })
            }
            _ => {
                let Size { width, height } = source;
                let text = format!("nothing of the source, which has {width}x{height} pixels, is in it");
                Err(Error::invalid_argument("crop", text))
            }
        }
    }
}

/// The part of a side that is there: where it begins, and how long it is.
fn span(start: f64, length: f64, side: u32) -> Option<(f64, f64)> {
    let length = length.min(f64::from(side) - start);
    (length >= 1.0).then_some((start, length))
}

impl FromStr for Length {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim().strip_suffix('%') {
            Some(percents) => percents.trim().parse().map(|percents: f64| Self::Share(percents / 100.0)),
            None => text.trim().parse().map(Self::Pixels),
        }
        .map_err(|_| ())
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of pixels, or a part such as \"25%\"")
            }

            fn visit_f64<E>(self, pixels: f64) -> Result<Length, E> {
                Ok(Length::Pixels(pixels))
            }

            fn visit_u64<E>(self, pixels: u64) -> Result<Length, E> {
                Ok(Length::Pixels(pixels as f64))
            }

            fn visit_i64<E>(self, pixels: i64) -> Result<Length, E> {
                Ok(Length::Pixels(pixels as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Length, E> {
                text.parse().map_err(|()| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

#[derive(serde::Deserialize)]
#[serde(crate = "imgserve_sdk::serde", field_identifier, rename_all = "lowercase")]
enum Member {
    #[serde(alias = "left")]
    X,
    #[serde(alias = "top")]
    Y,
    #[serde(alias = "w")]
    Width,
    #[serde(alias = "h")]
    Height,
}

struct Lengths;

impl<'de> Visitor<'de> for Lengths {
    type Value = Crop;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part such as [10, 20, 300, 200]: x, y, width and height")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Crop, E> {
        let lengths: Result<Vec<Length>, ()> = text.split(',').map(str::parse).collect();
        let lengths = lengths.map_err(|()| E::invalid_value(de::Unexpected::Str(text), &self))?;
        of_four(&lengths)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Crop, A::Error> {
        let mut lengths = Vec::with_capacity(4);
        while let Some(length) = values.next_element::<Length>()? {
            lengths.push(length);
        }
        of_four(&lengths)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Crop, A::Error> {
        let mut crop = Crop { x: Length::NONE, y: Length::NONE, width: Length::ALL, height: Length::ALL };
        while let Some(member) = members.next_key::<Member>()? {
            let length = match member {
                Member::X => &mut crop.x,
                Member::Y => &mut crop.y,
                Member::Width => &mut crop.width,
                Member::Height => &mut crop.height,
            };
            *length = members.next_value()?;
        }
        Ok(crop)
    }
}

fn of_four<E: de::Error>(lengths: &[Length]) -> Result<Crop, E> {
    match *lengths {
        [x, y, width, height] => Ok(Crop { x, y, width, height }),
        _ => Err(E::invalid_length(lengths.len(), &"an array of 4 values")),
    }
}

impl<'de> Deserialize<'de> for Crop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lengths)
    }
}

impl JsonSchema for Crop {
    fn schema_name() -> Cow<'static, str> {
        "Crop".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let length = json_schema!({ "anyOf": [
            { "description": "Pixels.", "type": "number", "minimum": 0 },
            { "description": "A part of the source's side such as 25%, or pixels.", "type": "string", "pattern": "^ *[0-9.]+ *%? *$" }
        ] });
        json_schema!({ "anyOf": [
            {
                "description": "x, y, width and height.",
                "type": "array", "items": length, "minItems": 4, "maxItems": 4
            },
            {
                "description": "What is left out is 0, or all there is.",
                "type": "object",
                "properties": { "x": length, "y": length, "width": length, "height": length }
            },
            { "description": "As text: x,y,width,height.", "type": "string" }
        ] })
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::serde_json::{Value, from_value, json};

    use super::*;

    fn region(value: Value) -> Option<[f64; 4]> {
        let crop: Crop = from_value(value).ok()?;
        let region = crop.region(Size { width: 400, height: 300 }).ok()?;
        Some([region.x, region.y, region.width, region.height])
    }

    #[test]
    fn a_part_is_pixels_or_shares_of_the_source() {
        for (value, wanted) in [
            (json!([10, 20, 30, 40]), [10.0, 20.0, 30.0, 40.0]),
            (json!(["25%", "50%", "50%", "10%"]), [100.0, 150.0, 200.0, 30.0]),
            (json!([0, "33.3%", 400, 50.4]), [0.0, 100.0, 400.0, 50.0]),
            (json!("10,20,25%,40"), [10.0, 20.0, 100.0, 40.0]),
            (json!({ "x": 350 }), [350.0, 0.0, 50.0, 300.0]),
            (json!({ "left": 1, "top": 2, "width": 3, "height": 4 }), [1.0, 2.0, 3.0, 4.0]),
            // As far as there is something.
            (json!([390, 290, 100, 100]), [390.0, 290.0, 10.0, 10.0]),
        ] {
            assert_eq!(region(value.clone()), Some(wanted), "{value}");
        }
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        for value in [
            json!([400, 0, 10, 10]),
            json!([0, 0, 0, 10]),
            json!([-1, 0, 10, 10]),
            json!([0, 0, 10]),
            json!(["x", 0, 1, 1]),
            json!({ "z": 1 }),
            json!("10,20"),
            json!("nan,0,1,1"),
            json!("0,0,1e999,1"),
            json!([0, 0, 0.5, 0.5]),
            json!({ "x": 0.25 }),
            json!(7),
        ] {
            assert_eq!(region(value.clone()), None, "{value}");
        }
        let crop: Crop = from_value(json!([0, 0, 0.25, 1])).unwrap();
        let error = crop.region(Size { width: 400, height: 300 }).unwrap_err();
        assert!(error.message().contains("written \"25%\""), "{error}");
    }
}
