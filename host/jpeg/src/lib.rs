//! JPEG (ITU-T T.81) for thumbnails, in safe Rust.
//!
//! The decoder makes pictures of 1/8, 1/4, 1/2 or all of a file's width and height, each sample from only the frequencies
//! that it needs, and of a part of a picture only what lies there. Baseline, extended sequential and progressive
//! files in Huffman coding with 8 bits a sample, of one, three or four components.
//!
//! ```
//! use imgserve_jpeg::{DecodeOptions, EncodeOptions, EncodeScratch, Region, Scale, Scratch, decode, encode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = Vec::new();
//! let gray = imgserve_jpeg::Color::Gray;
//! encode(&[200; 64 * 48], 64, 48, gray, &EncodeOptions::default(), &mut EncodeScratch::default(), &mut file)?;
//!
//! // A scratch is kept from one picture to the next.
//! let mut scratch = Scratch::new();
//! let picture = decode(&file, &DecodeOptions::at(Scale::Eighth), &mut scratch)?;
//! assert_eq!((picture.width, picture.height, picture.damage), (8, 6, None));
//! assert!(picture.data.iter().all(|sample| sample.abs_diff(200) <= 1));
//!
//! let region = Region { x: 16, y: 16, width: 32, height: 8 };
//! let part = decode(&file, &DecodeOptions::at(Scale::Quarter).within(region), &mut scratch)?;
//! assert_eq!((part.left, part.top, part.width, part.height), (4, 4, 8, 2));
//! # Ok(())
//! # }
//! ```
//!
//! # Accuracy
//! With [`Reduction::Mean`] pictures are those of libjpeg-turbo to the last bit, at every scale: its integer transforms
//! (`islow` and the reduced ones), its interpolation of chroma ("fancy upsampling"), its conversion of colours.
//! [`Reduction::Lowest`] is IJG libjpeg's way of scaling instead, in floating point: at 1/1 a component's sample is within 1
//! of libjpeg-turbo's, which in RGB may become 3, since blue has 1.772 times a chroma sample's difference. Blocks of a pattern too
//! fine for the smaller picture, of which the lowest frequencies would show another, are as with `Mean`.
//!
//! # What is not decoded
//! [`Unsupported`] lists it; the caller may have another decoder for it. Colour profiles and the orientation are not looked
//! at.
//!
//! # Damage
//! A damaged file is shown as far as it goes, in general as libjpeg shows it, and [`Picture::damage`] tells what was wrong.
//! libjpeg only warns about most of these; of a cut-off progressive file it smooths the blocks, which is not done here.
//! Runs beyond the end of a block are damage here; libjpeg does not notice them.
//!
//! # Hostile files
//! Memory: a scan's data once more (twice that for a moment, as it is gathered), but never more than 512 bytes for each
//! block; up to 8 MB for [`Cursors`], which are 1 to 2 MB for a photograph; three bytes a pixel of each component for a progressive file and one for others; and the picture. A file of a
//! few bytes may claim 65535 × 65535 pixels, hence [`DecodeOptions::max_pixels`]. Time: scans end with their data, so that it is linear in the file's length and the pixels; but a progressive scan may say in two bytes that 32767
//! blocks have nothing new, hence [`DecodeOptions::max_scans`]: the worst file costs about as much as a hundred
//! good progressive files of its size in pixels.
//!
//! Fuzzed from `fuzz/`: `cargo +nightly fuzz run decode` for any bytes with any options, `cargo +nightly fuzz run compare`
//! against jpeg-decoder; `cargo run --bin seeds corpus` there writes files to begin with. `cursors` compares the ways through a
//! scan with one another, with seeds that are stored.
//!
//! # Layout
//! - [`decode`](mod@decode): pixels at 1/8, 1/4, 1/2 or 1/1 of a file's size, only of the part that is needed
//! - [`decode_planes`], [`encode_planes`]: the same without pixels, for who resamples each component by itself
//! - [`encode`](mod@encode): pixels into a file, baseline or progressive
//! - `tables`: what the standard fixes

pub mod decode;
pub mod encode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod tables;

pub use decode::{
    ColorModel, Cursors, Damage, DecodeError, DecodeOptions, Picture, Plane, Planes, Reduction, Region,
    Scale, Scratch, Unsupported, decode, decode_planes,
};
pub use encode::{Color, EncodeError, EncodeOptions, EncodeScratch, encode, encode_planes};
