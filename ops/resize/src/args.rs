//! What a request may say in `args` for `resize`. The doc comments are the published schema's descriptions, so
//! they are written for whoever sends the request.

use fast_image_resize::{FilterType, ResizeAlg};
use imgserve_sdk::schemars::JsonSchema;
use imgserve_sdk::serde::{Deserialize, Serialize};
use imgserve_sdk::{Color, Error};

/// The longest side of a result, in pixels: what a JPEG can hold.
pub(crate) const MAX_SIDE: u32 = 65_535;

/// Arguments of `resize`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// Width of the result in pixels, 1 to 65535. With `fit` = `inside` its largest, with `outside` its smallest
    /// width.
    #[schemars(range(min = 1, max = 65_535))]
    pub width: u32,
    /// Height of the result in pixels, 1 to 65535. With `fit` = `inside` its largest, with `outside` its smallest
    /// height.
    #[schemars(range(min = 1, max = 65_535))]
    pub height: u32,
    /// How a picture of another shape is brought to width × height.
    #[serde(default)]
    pub fit: Fit,
    /// Which part is kept by `cover`, and where the picture stands in `contain`.
    #[serde(default)]
    pub gravity: Gravity,
    /// Whether a picture may be enlarged. If not, a source with fewer pixels than the result in either direction
    /// is refused as too small.
    #[serde(default)]
    pub enlarge: bool,
    /// How pixels are averaged.
    #[serde(default)]
    pub filter: Filter,
    /// Whether pixels are averaged in linear light, as a lens would do it, rather than as the values that stand for it:
    /// fine bright detail then stays as bright as it was. Takes longer. `nearest` averages nothing.
    #[serde(default)]
    pub linear: bool,
    /// Colour of `contain`'s bars: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, `transparent`, `white` or `black`.
    /// If it is opaque, it also shows through wherever the picture is transparent. A file format without
    /// transparency shows transparent bars in white.
    #[serde(default)]
    pub background: Color,
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

/// Which part is kept by `cover`, and where the picture stands in `contain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Gravity {
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

/// How pixels are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Filter {
    /// Not at all: each pixel is the nearest one of the source. For pixel art.
    Nearest,
    /// Linear (also accepted as `triangle`): fast, soft.
    #[serde(alias = "triangle")]
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
            if !(1..=MAX_SIDE).contains(&value) {
                return Err(Error::invalid_argument(name, format!("{value} is not from 1 to {MAX_SIDE}")));
            }
        }
        Ok(())
    }

    /// Whether pixels are averaged in linear light.
    pub(crate) fn averages_light(&self) -> bool {
        self.linear && self.filter != Filter::Nearest
    }
}

impl Gravity {
    /// The shares of the horizontal and the vertical surplus that lie left of and above what is kept.
    pub(crate) fn shares(self) -> (f64, f64) {
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
