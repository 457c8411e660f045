//! What a request may say in `args` for `resize`. The doc comments are the published schema's descriptions, so
//! they are written for whoever sends the request.

mod crop;
mod enlarge;
mod gravity;
mod pad;
mod trim;

use fast_image_resize::{FilterType, ResizeAlg};
use imgserve_sdk::schemars::JsonSchema;
use imgserve_sdk::serde::{Deserialize, Serialize};
use imgserve_sdk::{Color, Error};

pub use crop::{Crop, Length};
pub use enlarge::Enlarge;
pub use gravity::{Anchor, Gravity};
pub use pad::Pad;
pub use trim::Trim;

/// The longest side of a result, in pixels: what a JPEG can hold.
pub(crate) const MAX_SIDE: u32 = 65_535;

/// Most pixels of a result for one that is asked for, and fewest.
const DPR: (f64, f64) = (0.1, 10.0);
/// The widest blur and the widest sharpening, in pixels.
const MAX_BLUR: f64 = 250.0;
const MAX_SHARPEN: f64 = 10.0;

/// Arguments of `resize`. Whatever their order in a request, they are applied in this one: `crop`, `trim`, `rotate`, `flip`,
/// then size, fit and gravity, `blur`, `sharpen`, `background`, `pad`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// Width of the result in pixels, 1 to 65535. With `fit` = `inside` its largest, with `outside` its smallest
    /// width. Without `height` the aspect is kept; without both the picture keeps its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 65_535), extend("x-aliases" = { "w": {} }))]
    pub width: Option<u32>,
    /// Height of the result in pixels, 1 to 65535. With `fit` = `inside` its largest, with `outside` its smallest
    /// height. Without `width` the aspect is kept; without both the picture keeps its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 65_535), extend("x-aliases" = { "h": {} }))]
    pub height: Option<u32>,
    /// Pixels of the result for each one of `width`, `height` and `pad`, 0.1 to 10: for screens with finer ones.
    #[serde(default = "one")]
    #[schemars(range(min = 0.1, max = 10))]
    pub dpr: f64,
    /// The part of the source that is worked on: `[x, y, width, height]`, each in pixels or as a part of the source such as
    /// `"25%"`. What is beyond the source's edges is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Crop", extend("x-aliases" = { "extract": {}, "region": {} }))]
    pub crop: Option<Crop>,
    /// Whether a border is cut off whose colours are those of the top left corner. As the result's size must be known before
    /// any pixel is, it takes `width`, `height` and `fit` = `cover`, `contain` or `fill`; no more is cut off than leaves enough
    /// for the result where nothing is to be enlarged.
    #[serde(default)]
    pub trim: Trim,
    /// Degrees by which the picture is turned clockwise, -360 to 360; by other than quarter turns it grows to hold its
    /// corners, and what is around it has the `background`.
    #[serde(default)]
    #[schemars(range(min = -360, max = 360), extend("x-aliases" = { "angle": {}, "rotation": {} }))]
    pub rotate: f64,
    /// How the picture is mirrored, after it is turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Flip", extend("x-aliases" = { "mirror": {} }))]
    pub flip: Option<Flip>,
    /// How a picture of another shape is brought to width × height.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "objectFit": {} }))]
    pub fit: Fit,
    /// Which part is kept by `cover`, and where the picture stands in `contain`: a place, a point, or `smart`.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "position": {}, "objectPosition": {}, "focus": {} }))]
    pub gravity: Gravity,
    /// What becomes of a picture with fewer pixels than it would be shown at, in either direction: `refuse` refuses it as
    /// too small (the default of `POST /`), `never` leaves it its size (the default elsewhere), `always` enlarges it.
    #[serde(default)]
    #[schemars(extend("x-aliases" = {
        "withoutEnlargement": { "true": "never", "false": "always" },
        "noUpscale": { "true": "never", "false": "always" },
        "upscale": { "true": "always", "false": "never" }
    }))]
    pub enlarge: Enlarge,
    /// How pixels are averaged.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "kernel": {} }))]
    pub filter: Filter,
    /// Whether pixels are averaged in linear light, as a lens would do it, rather than as the values that stand for it:
    /// fine bright detail then stays as bright as it was. Takes longer. `nearest` averages nothing.
    #[serde(default)]
    pub linear: bool,
    /// Standard deviation in pixels of the result by which it is blurred, up to 250; 0 does not.
    #[serde(default)]
    #[schemars(range(min = 0, max = 250))]
    pub blur: f64,
    /// Standard deviation in pixels of the result of what is made clearer, up to 10, such as 1; 0 makes nothing.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub sharpen: f64,
    /// Colour of `contain`'s bars, of `pad` and of the corners of what is turned, as CSS has it: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, `rgb(255 136 0)`, `transparent`
    /// or a name. If it is opaque, it also shows through wherever the picture is transparent. A file format without
    /// transparency shows transparent bars in white.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "bg": {}, "backgroundColor": {} }))]
    pub background: Color,
    /// Pixels of `background` that are added around it all: a number, or above, right, below and left as CSS has them.
    #[serde(default)]
    #[schemars(extend("x-aliases" = { "padding": {} }))]
    pub pad: Pad,
}

fn one() -> f64 {
    1.0
}

/// How the picture is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
#[schemars(extend("x-values" = { "h": "horizontal", "v": "vertical", "hv": "both" }))]
pub enum Flip {
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
    /// Both.
    Both,
}

/// How a picture of another shape is brought to width × height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Fit {
    /// Scaled until it covers width × height, the surplus cropped where `gravity` says. The default.
    #[default]
    Cover,
    /// Scaled until it fits into width × height, the rest filled with `background`.
    Contain,
    /// Stretched to width × height; the aspect is not kept.
    Fill,
    /// The largest size that fits into width × height with the aspect kept. The result may be smaller than asked
    /// in one direction; nothing is cropped or added.
    Inside,
    /// The smallest size that covers width × height with the aspect kept. The result may be larger than asked in
    /// one direction; nothing is cropped or added.
    Outside,
}

/// How pixels are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "imgserve_sdk::schemars")]
#[schemars(extend("x-values" = {
    "triangle": "bilinear", "linear": "bilinear", "cubic": "catmull-rom", "bicubic": "catmull-rom", "lanczos": "lanczos3"
}))]
pub enum Filter {
    /// Not at all: each pixel is the nearest one of the source. For pixel art.
    Nearest,
    /// Linear: fast, soft.
    Bilinear,
    /// As fast as `bilinear` and sharper when shrinking.
    Hamming,
    /// Cubic, sharp.
    CatmullRom,
    /// Cubic, between sharp and soft.
    Mitchell,
    /// A Gaussian: soft, without ringing.
    Gaussian,
    /// Windowed sinc over three lobes: the sharpest. The default.
    #[default]
    Lanczos3,
}

impl Args {
    /// Whether the numbers are in their ranges.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [("width", self.width), ("height", self.height)] {
            if let Some(value) = value.filter(|value| !(1..=MAX_SIDE).contains(value)) {
                return Err(Error::invalid_argument(name, format!("{value} is not from 1 to {MAX_SIDE}")));
            }
        }
        for (name, value, (least, most)) in [
            ("dpr", self.dpr, DPR),
            ("rotate", self.rotate, (-360.0, 360.0)),
            ("blur", self.blur, (0.0, MAX_BLUR)),
            ("sharpen", self.sharpen, (0.0, MAX_SHARPEN)),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::invalid_argument(name, format!("{value} is not from {least} to {most}")));
            }
        }
        self.gravity.check()?;
        self.pad.check()?;
        self.trim.check()?;
        self.check_trim()
    }

    /// The result's size is told before any pixel is seen, so it must not be the border's to decide.
    fn check_trim(&self) -> Result<(), Error> {
        let sized = self.width.is_some() && self.height.is_some();
        let exact = sized && matches!(self.fit, Fit::Cover | Fit::Contain | Fit::Fill);
        let why = match self.trim.0 {
            Some(_) if !exact => {
                "the result's size would depend on it: give `width`, `height` and `fit` = `cover`, `contain` or `fill`"
            }
            Some(_) if self.rotate % 90.0 != 0.0 => {
                "it goes with quarter turns alone: `pipeline` does the one and then the other"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid_argument("trim", why))
    }

    /// Whether pixels are averaged in linear light.
    pub(crate) fn averages_light(&self) -> bool {
        self.linear && self.filter != Filter::Nearest
    }
}

impl Filter {
    pub(crate) fn algorithm(self) -> ResizeAlg {
        ResizeAlg::Convolution(match self {
            Self::Nearest => return ResizeAlg::Nearest,
            Self::Bilinear => FilterType::Bilinear,
            Self::Hamming => FilterType::Hamming,
            Self::CatmullRom => FilterType::CatmullRom,
            Self::Mitchell => FilterType::Mitchell,
            Self::Gaussian => FilterType::Gaussian,
            Self::Lanczos3 => FilterType::Lanczos3,
        })
    }
}
