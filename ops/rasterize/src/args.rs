//! What a request may say in `args` for `rasterize`. The doc comments are the published schema's descriptions,
//! so they are written for whoever sends the request.

use imgserve_sdk::schemars::JsonSchema;
use imgserve_sdk::serde::{Deserialize, Serialize};
use imgserve_sdk::{Color, Error};

/// The longest side of a result, in pixels.
pub(crate) const MAX_SIDE: u32 = 65_535;

/// Arguments of `rasterize`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// Width of the result in pixels, 1 to 65535. With `fit` = `inside` its largest width. Without `height` the aspect is kept;
    /// without both the drawing has its own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 65_535), extend("x-aliases" = { "w": {} }))]
    pub width: Option<u32>,
    /// Height of the result in pixels, 1 to 65535. With `fit` = `inside` its largest height. Without `width` the aspect is kept;
    /// without both the drawing has its own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 65_535), extend("x-aliases" = { "h": {} }))]
    pub height: Option<u32>,
    /// How a drawing of another shape is brought to width × height.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "objectFit": {} }))]
    pub fit: Fit,
    /// What shows where the drawing is transparent, and the colour of `contain`'s bars, as CSS has it: `#rgb`, `#rgba`,
    /// `#rrggbb`, `#rrggbbaa`, `rgb(255 136 0)`, `hsl(32 100% 50%)`, `transparent` or a name.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "bg": {}, "backgroundColor": {} }))]
    pub background: Color,
}

/// How a drawing of another shape is brought to width × height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Fit {
    /// Stretched to width × height; the aspect is not kept. The default.
    #[default]
    Fill,
    /// Scaled until it fits into width × height, in the middle, the rest filled with `background`.
    Contain,
    /// Scaled until it covers width × height, the surplus cropped on both sides alike.
    Cover,
    /// The largest size that fits into width × height with the aspect kept. The result may be smaller than asked
    /// in one direction.
    Inside,
}

impl Args {
    /// Whether the numbers are in their ranges.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [("width", self.width), ("height", self.height)] {
            if let Some(value) = value.filter(|value| !(1..=MAX_SIDE).contains(value)) {
                return Err(Error::invalid_argument(name, format!("{value} is not from 1 to {MAX_SIDE}")));
            }
        }
        Ok(())
    }

    /// The argument that the drawing's own size is needed for, if one is.
    pub(crate) fn needs_size(&self) -> Option<&'static str> {
        match (self.width, self.height) {
            (None, _) => Some("width"),
            (_, None) => Some("height"),
            _ => (self.fit == Fit::Inside).then_some("fit"),
        }
    }

    /// How the drawing is brought to the result's size, which has its shape where a side is not given.
    pub(crate) fn fitting(&self) -> Fit {
        if self.width.is_some() && self.height.is_some() { self.fit } else { Fit::Fill }
    }
}
