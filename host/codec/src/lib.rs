//! Encoded bytes ↔ pixels: one file per format, and nothing outside of this crate names a codec library.
//!
//! - [`probe()`] tells what a source is from its first bytes, without decoding a pixel: a [`Header`].
//! - [`Decoder`] gives its frames one by one: upright, sRGB, in the header's pixel format.
//! - [`Encoder`] writes frames.
//! - [`plug`]: has files of further formats read by a plugin's codec.
//! - [`convert()`], [`pick_format`]: between the pixel formats of the operation contract.
//!
//! All of it is meant for a worker process: bytes are hostile, and what a library gets wrong in spite of the checks
//! here (a panic, too much memory, an endless loop) is contained by the worker's limits and its deadline.
//!
//! # Layout
//! Each uses only what stands above it.
//! - `error`, `bounds`: refusals, and what a source may cost
//! - `canvas`, `color`, `part`, `orientation`, `convert`: from a file's pixels to the contract's
//! - `damage`: what is shown where there is nothing to show
//! - `beside`: what files say beside their pixels
//! - `palette`: the colours of a picture, if they are few; `quality`: what looks alike in every format
//! - `header`: what is known of a source; `codec`: what a format's file gives; `still`: the same for one picture a file
//! - `formats`: the table of the formats, and below it one file for each, and one for those whose codec is a plugin
//! - `probe`, `decode`, `encode`: the three functions of the crate, by the table; `restate`: two of them in a row
//! - `fuzz`: what they promise of any bytes, for a fuzzer and for tests

mod beside;
mod bounds;
mod canvas;
mod codec;
mod color;
mod convert;
mod damage;
mod decode;
mod encode;
mod error;
mod formats;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod header;
mod orientation;
mod palette;
mod part;
mod probe;
mod quality;
mod restate;
#[cfg(test)]
mod samples;
mod still;
#[cfg(test)]
mod tests;

pub use beside::Beside;
pub use bounds::Bounds;
pub use codec::{DecodedFrame, EncodeOptions, Loops};
pub use color::{fits, is_display_p3, to_srgb};
pub use convert::{WHITE, convert, pick_format};
pub use decode::{Decoder, decoded_bytes, decoded_scale, estimate, kept_profile};
pub use encode::Encoder;
pub use encode::holds_profile;
pub use error::CodecError;
pub use formats::{Plugged, PluggedError, formats_of, planes, plug};
pub use header::{Header, SoFar};
pub use orientation::Orientation;
pub use probe::{Probe, probe};
pub use restate::{Restated, restated};
