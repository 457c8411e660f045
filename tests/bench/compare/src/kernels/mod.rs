//! JPEG decoders behind one trait, so that each is given the same files and what follows is the same for all.
//!
//! Each keeps its buffers from one picture to the next, as far as its library lets it.

mod decoders;
mod ratios;
mod resample;
#[cfg(feature = "turbojpeg")]
mod turbo;

pub use ratios::{CASES, Case, Settings, compare};
pub use resample::{Resampler, cover};

/// A part of a picture, in pixels of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Distance from the left.
    pub x: f64,
    /// Distance from the top.
    pub y: f64,
    /// Width, more than 0.
    pub width: f64,
    /// Height, more than 0.
    pub height: f64,
}

/// What a decoder gives: red, green and blue bytes of (at least) the window, at the scale that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Where the first pixel begins, in pixels of the source.
    pub origin: (f64, f64),
    /// Pixels for each pixel of the source: 1, 1/2, 1/4 or 1/8.
    pub scale: f64,
    /// Three bytes for each pixel, row after row.
    pub data: &'a [u8],
}

/// A JPEG decoder.
pub trait Decode {
    /// The library's name.
    fn name(&self) -> &'static str;

    /// Decodes at `eighths`/8 (1, 2, 4 or 8), or at the nearest larger scale that it can; `window` is all that is needed.
    ///
    /// # Errors
    /// What the library says.
    fn decode(&mut self, file: &[u8], eighths: u8, window: Window) -> Result<Pixels<'_>, String>;
}

/// All of them, libjpeg-turbo first where it is compiled in: the others are compared with the first.
///
/// # Errors
/// What a library says that cannot be set up.
pub fn decoders() -> Result<Vec<Box<dyn Decode>>, String> {
    #[cfg(feature = "turbojpeg")]
    let mut all: Vec<Box<dyn Decode>> = vec![Box::new(turbo::Turbo::new()?)];
    #[cfg(not(feature = "turbojpeg"))]
    let mut all: Vec<Box<dyn Decode>> = Vec::new();
    for ours in decoders::Ours::both() {
        all.push(Box::new(ours));
    }
    all.push(Box::new(decoders::JpegDecoder::default()));
    all.push(Box::new(decoders::Zune::default()));
    Ok(all)
}
