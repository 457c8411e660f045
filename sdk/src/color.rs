//! A colour as a request writes it, for operations that fill, pad or flatten: as CSS has it, in digits, as `rgb()`, `hsl()` or
//! `hwb()`, or by name.

mod hue;
mod named;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A colour in sRGB with straight alpha. In JSON it is a string as CSS has it (CSS Color Module Level 4, sections 5.1, 5.2, 6.1, 7
/// and 8), in either case: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, `rgb(255 136 0)`, `rgba(255, 136, 0, 0.5)`,
/// `hsl(32 100% 50%)`, `hwb(32 0% 0%)`, `transparent`, or a name such as `orange`. The digits do without their `#`, which in a
/// URL begins a fragment.
///
/// ```
/// use imgserve_sdk::Color;
///
/// let orange = Color { red: 255, green: 136, blue: 0, alpha: 255 };
/// assert_eq!("#f80".parse(), Ok(orange));
/// assert_eq!("rgb(255 136 0 / 100%)".parse(), Ok(orange));
/// assert_eq!("White".parse(), Ok(Color::WHITE));
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
#[error(
    "{0:?} is no colour: write #rgb, #rgba, #rrggbb, #rrggbbaa, rgb(255 136 0), hsl(32 100% 50%), transparent or a name of CSS such as orange"
)]
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
        match (lower.strip_prefix('#'), lower.split_once('(')) {
            (Some(digits), _) => from_digits(digits),
            (_, Some((name, values))) => {
                values.strip_suffix(')').and_then(|values| from_values(name, values))
            }
            _ if lower == "transparent" => Some(Self::TRANSPARENT),
            _ => match named::named(&lower) {
                Some([red, green, blue]) => Some(Self { red, green, blue, ..Self::BLACK }),
                None => from_digits(&lower),
            },
        }
        .ok_or_else(|| ColorError(text.chars().take(32).collect()))
    }
}

/// From a function's name and what stands in its parentheses: three values, and perhaps an alpha; with commas, or without and a
/// slash before the alpha.
fn from_values(name: &str, values: &str) -> Option<Color> {
    let (values, alpha) = match values.split_once('/') {
        Some((values, alpha)) => (values, Some(alpha.trim())),
        None => (values, None),
    };
    let values: Vec<&str> = match values.contains(',') {
        true => values.split(',').map(str::trim).collect(),
        false => values.split_ascii_whitespace().collect(),
    };
    let (channels, alpha) = match (values.as_slice(), alpha) {
        ([red, green, blue, alpha], None) => ([red, green, blue], Some(*alpha)),
        ([red, green, blue], alpha) => ([red, green, blue], alpha),
        _ => return None,
    };
    let [first, second, third] = channels;
    let [red, green, blue] = match name {
        "rgb" | "rgba" => [part(first, 255.0)?, part(second, 255.0)?, part(third, 255.0)?],
        "hsl" | "hsla" => hue::hsl(hue::turns(first)?, part(second, 100.0)?, part(third, 100.0)?),
        "hwb" => hue::hwb(hue::turns(first)?, part(second, 100.0)?, part(third, 100.0)?),
        _ => return None,
    };
    let alpha = alpha.map_or(Some(1.0), |alpha| part(alpha, 1.0))?;
    let [red, green, blue, alpha] = [red, green, blue, alpha].map(|part| (part * 255.0).round() as u8);
    Some(Color { red, green, blue, alpha })
}

/// A number as a part of `full`, or a percentage, 0 to 1; what is beyond is taken for the nearest that is possible, as in CSS.
fn part(text: &str, full: f64) -> Option<f64> {
    let part = match text.strip_suffix('%') {
        Some(digits) => number(digits)? / 100.0,
        None => number(text)? / full,
    };
    Some(part.clamp(0.0, 1.0))
}

fn number(digits: &str) -> Option<f64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    digits.parse().ok().filter(|_| plain)
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
        json_schema!({ "type": "string", "format": "color" })
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
            ("RebeccaPurple", [0x66, 0x33, 0x99, 255]),
            ("rgb(255, 136, 0)", [255, 136, 0, 255]),
            ("RGB(255 136 0)", [255, 136, 0, 255]),
            ("rgb( 100% 0% 50% / .5 )", [255, 0, 128, 128]),
            ("rgba(255,136,0,0.25)", [255, 136, 0, 64]),
            ("rgb(300 -5 0 / 200%)", [255, 0, 0, 255]),
            ("f80", [255, 136, 0, 255]),
            ("FF8800", [255, 136, 0, 255]),
            ("ff880080", [255, 136, 0, 128]),
            ("hsl(32, 100%, 50%)", [255, 136, 0, 255]),
            ("HSL(32deg 100% 50% / 50%)", [255, 136, 0, 128]),
            ("hsla(-328 100 50 / .5)", [255, 136, 0, 128]),
            ("hsl(.5turn 100% 25%)", [0, 128, 128, 255]),
            ("hwb(32 0% 0%)", [255, 136, 0, 255]),
            ("hwb(100grad 60% 60%)", [128, 128, 128, 255]),
        ] {
            let color: Color = text.parse().unwrap();
            assert_eq!(color.rgba(), rgba, "{text}");
            assert_eq!(color.to_string().parse(), Ok(color), "{text} as it is written back");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "#",
            "f8",
            "f8000",
            "#f8",
            "#f8000",
            "#f80000f",
            "#ggg",
            "#+12",
            "#ß1",
            "reddish",
            " white",
            "rgb()",
            "rgb(1 2)",
            "rgb(1 2 3",
            "rgb(1 2 3 4)x",
            "rgb(1,,2,3)",
            "rgb(1 2 3 / )",
            "rgb(nan 0 0)",
            "rgb(1e3 0 0)",
            "hsl(1 2%)",
            "hsl(1% 2% 3%)",
            "hsl(1em 2% 3%)",
            "lab(50% 0 0)",
            "#rgb(1 2 3)",
        ] {
            assert!(text.parse::<Color>().is_err(), "{text}");
        }
    }

    #[test]
    fn in_json_it_is_a_string_and_an_error_says_what_to_write() {
        let color: Color = serde_json::from_str("\"#0102fe80\"").unwrap();
        assert_eq!(serde_json::to_string(&color).unwrap(), "\"#0102fe80\"");
        let error = serde_json::from_str::<Color>("\"rad\"").unwrap_err().to_string();
        assert!(error.starts_with("\"rad\" is no colour: write #rgb"), "{error}");
        let error = serde_json::from_str::<Color>("7").unwrap_err().to_string();
        assert!(error.starts_with("invalid type"), "{error}");
    }
}
