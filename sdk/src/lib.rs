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
//!     fn plan(_: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
//!         Ok(Plan::new(source.width, source.height, source.pixels))
//!     }
//!
//!     fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
//!         let (mut image, _) = source.into_pixels()?;
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
//! imgserve_sdk::export_operation!(Invert);
//!
//! # fn main() {
//! // A test of it, without a server.
//! use imgserve_sdk::{Image, PixelFormat, testing, serde_json::json};
//! let image = Image::new(1, 1, PixelFormat::Rgba8, vec![0, 1, 2, 255]).unwrap();
//! let inverted = testing::run::<Invert>(&json!({}), &image, &testing::TestHost::default()).unwrap();
//! assert_eq!(inverted, Output::Pixels(Image::new(1, 1, PixelFormat::Rgba8, vec![255, 254, 253, 255]).unwrap()));
//! # }
//! ```
//!
//! `imgserve plugin new NAME` makes a crate like this, `imgserve plugin build` makes a WebAssembly component of it,
//! and three lines of TOML register it: `[operations.NAME]`, `kind = "wasm"`, `path = "…/NAME.wasm"`.
//!
//! # Layout
//! - `operation`: the [`Operation`] trait, its input and output
//! - `description`, `plan`, `image`, `error`: the values that pass between host and operation
//! - `color`: [`Color`], for arguments
//! - [`codec`]: the other kind of plugin, which reads and writes files of a format
//! - `export`, [`export_operation!`], [`export_codec!`]: makes the crate a plugin
//! - `guest`: a component's exports, against `wit/`; in wasm32 builds only
//! - [`abi`]: the C ABI table, for builtin operations and shared libraries alike; in native builds only
//! - [`testing`]: an operation or a codec run without a server
#![deny(missing_docs)]

#[cfg(not(target_arch = "wasm32"))]
pub mod abi;
mod arguments;
pub mod codec;
mod color;
mod description;
mod error;
mod export;
#[cfg(target_arch = "wasm32")]
pub mod guest;
mod image;
mod operation;
#[doc(hidden)]
pub mod plain;
mod plan;
pub mod testing;

pub use color::{Color, ColorError};
pub use description::{Description, Example, Frames, InputKind, OutputKind};
pub use error::{Error, ErrorKind};
pub use image::{Frame, Image, ImageRef, PixelFormat};
pub use operation::{Flow, Host, Input, Level, Operation, Output, Pixels, Source};
pub use plan::{DecodeHint, Plan, Rect, SourceHeader, Window};

pub use schemars;
pub use serde;
pub use serde_json;
