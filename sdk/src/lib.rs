//! Write an image operation for imgserve: one trait, three functions.
//!
//! A complete operation that inverts colours:
//!
//! ```
//! use imgserve_sdk::{Description, Error, Host, Operation, Output, Plan, Source, SourceHeader};
//! use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize};
//!
//! /// What a request may say in `args`.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "imgserve_sdk::serde")]
//! #[schemars(crate = "imgserve_sdk::schemars")]
//! struct Args {
//!     /// Invert alpha too (default false).
//!     #[serde(default)]
//!     alpha: bool,
//! }
//!
//! struct Invert;
//!
//! impl Operation for Invert {
//!     type Args = Args;
//!
//!     fn describe() -> Description {
//!         Description::new::<Args>("invert", env!("CARGO_PKG_VERSION"), "Inverts the colours of an image.")
//!     }
//!
//!     fn plan(_: &Args, source: &SourceHeader) -> Result<Plan, Error> {
//!         Ok(Plan::new(source.width, source.height, source.pixels))
//!     }
//!
//!     fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
//!         let mut image = source.pixels()?.0.to_image();
//!         let format = image.format();
//!         let alpha = format.bytes_per_pixel() - format.bytes_per_pixel() / 4;
//!         for pixel in image.data_mut().chunks_exact_mut(format.bytes_per_pixel()) {
//!             let kept = if format.has_alpha() && !args.alpha { alpha } else { pixel.len() };
//!             pixel[..kept].iter_mut().for_each(|byte| *byte = !*byte);
//!         }
//!         Ok(Output::Pixels(image))
//!     }
//! }
//!
//! // The table through which a host calls it, checked as a host would check it.
//! static TABLE: imgserve_sdk::abi::Table = imgserve_sdk::abi::table::<Invert>();
//! let plugin = imgserve_sdk::abi::Plugin::new(&TABLE).unwrap();
//! assert_eq!(plugin.describe().unwrap().name, "invert");
//! ```
//!
//! # Layout
//! - `operation`: the [`Operation`] trait, its input and output
//! - `description`, `plan`, `image`, `error`: the values that pass between host and operation
//! - `color`: [`Color`], for arguments
//! - [`abi`]: the C ABI table that carries them, for builtin operations and shared libraries alike
#![deny(missing_docs)]

pub mod abi;
mod arguments;
mod color;
mod description;
mod error;
mod image;
mod operation;
mod plan;

pub use color::{Color, ColorError};
pub use description::{Description, Example, Frames, InputKind, OutputKind};
pub use error::{Error, ErrorKind};
pub use image::{Frame, Image, ImageRef, PixelFormat};
pub use operation::{Flow, Host, Input, Level, Operation, Output, Source};
pub use plan::{DecodeHint, Plan, Rect, SourceHeader, Window};

pub use schemars;
pub use serde;
pub use serde_json;
