//! A colour as a request writes it, for operations that fill, pad or flatten. How it is written in CSS, and no
//! colour names beyond the three that need no table.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A colour in sRGB with straight alpha. In JSON it is a string: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa` (CSS
/// Color Module Level 4, section 5.2), `transparent`, `white` or `black`, in either case.
///
/// ```
/// use imgserve_sdk::Color;
///
/// assert_eq!("#f80".parse(), Ok(Color { red: 255, green: 136, blue: 0, alpha: 255 }));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Color {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
    /// 0 is fully transparent, 255 opaque.
    pub alpha: u8,
}

/// A string that is no colour.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no colour: write #rgb, #rgba, #rrggbb, #rrggbbaa, transparent, white or black")]
pub struct ColorError(String);

impl Color {
    /// Nothing at all; also the default.
    pub const TRANSPARENT: Self = Self { red: 0, green: 0, blue: 0, alpha: 0 };
    /// Opaque white.
    pub const WHITE: Self = Self { red: 255, green: 255, blue: 255, alpha: 255 };
    /// Opaque black.
    pub const BLACK: Self = Self { red: 0, green: 0, blue: 0, alpha: 255 };

    /// Whether nothing shows through.
    pub const fn is_opaque(self) -> bool {
        self.alpha == 255
    }

    /// Whether it can be told by luma alone.
    pub const fn is_gray(self) -> bool {
        self.red == self.green && self.green == self.blue
    }

    /// Red, green, blue and straight alpha, as in a pixel of `rgba8`.
    pub const fn rgba(self) -> [u8; 4] {
        [self.red, self.green, self.blue, self.alpha]
    }
}

impl FromStr for Color {
    type Err = ColorError;

    fn from_str(text: &str) -> Result<Self, ColorError> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "transparent" => Some(Self::TRANSPARENT),
            "white" => Some(Self::WHITE),
            "black" => Some(Self::BLACK),
            other => other.strip_prefix('#').and_then(from_digits),
        }
        .ok_or_else(|| ColorError(text.chars().take(32).collect()))
    }
}

/// From 3, 4, 6 or 8 hexadecimal digits.
fn from_digits(digits: &str) -> Option<Color> {
    let digits: Vec<u8> = digits.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let channels: Vec<u8> = match digits.len() {
        3 | 4 => digits.iter().map(|digit| digit * 0x11).collect(),
        6 | 8 => digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
        _ => return None,
    };
    let alpha = channels.get(3).copied().unwrap_or(255);
    Some(Color { red: channels[0], green: channels[1], blue: channels[2], alpha })
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)?;
        if self.is_opaque() { Ok(()) } else { write!(f, "{:02x}", self.alpha) }
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Color;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a colour such as \"#ff8800\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Color, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Color {
    fn schema_name() -> Cow<'static, str> {
        "Color".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const HEX: &str = "#([0-9a-fA-F]{3}|[0-9a-fA-F]{4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})";
        const NAMES: &str =
            "[tT][rR][aA][nN][sS][pP][aA][rR][eE][nN][tT]|[wW][hH][iI][tT][eE]|[bB][lL][aA][cC][kK]";
        json_schema!({ "type": "string", "pattern": format!("^({HEX}|{NAMES})$") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_is_read() {
        for (text, rgba) in [
            ("#f80", [255, 136, 0, 255]),
            ("#f807", [255, 136, 0, 119]),
            ("#0102Fe", [1, 2, 254, 255]),
            ("#0102fe80", [1, 2, 254, 128]),
            ("Transparent", [0, 0, 0, 0]),
            ("WHITE", [255; 4]),
            ("black", [0, 0, 0, 255]),
        ] {
            let color: Color = text.parse().unwrap();
            assert_eq!(color.rgba(), rgba, "{text}");
            assert_eq!(color.to_string().parse(), Ok(color), "{text} as it is written back");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "#", "f80", "#f8", "#f8000", "#f80000f", "#ggg", "#+12", "#ß1", "red", " white"] {
            assert!(text.parse::<Color>().is_err(), "{text}");
        }
    }

    #[test]
    fn in_json_it_is_a_string_and_an_error_says_what_to_write() {
        let color: Color = serde_json::from_str("\"#0102fe80\"").unwrap();
        assert_eq!(serde_json::to_string(&color).unwrap(), "\"#0102fe80\"");
        let error = serde_json::from_str::<Color>("\"red\"").unwrap_err().to_string();
        assert!(error.starts_with("\"red\" is no colour: write #rgb"), "{error}");
        let error = serde_json::from_str::<Color>("7").unwrap_err().to_string();
        assert!(error.starts_with("invalid type"), "{error}");
    }
}
