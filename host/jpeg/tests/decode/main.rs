//! The decoder against slow references and another decoder. Files are written by the tests themselves.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod cursors;
mod damage;
mod encoders;
mod errors;
mod planes;
mod reference;
mod region;
mod scans;
mod stripes;
mod writer;

use imgserve_jpeg::{DecodeError, DecodeOptions, Picture, Scale, Scratch, decode};

const SCALES: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

fn decoded(file: &[u8], scale: Scale) -> Result<Picture, DecodeError> {
    decode(file, &DecodeOptions::at(scale), &mut Scratch::new())
}

/// The largest difference of two pictures' bytes.
#[track_caller]
fn difference(one: &[u8], other: &[u8]) -> u8 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| one.abs_diff(*other)).max().unwrap_or(0)
}

/// Every n-th byte from the first on.
fn channel(picture: &Picture, index: usize) -> Vec<u8> {
    let channels = picture.data.len() / (picture.width * picture.height) as usize;
    picture.data.iter().skip(index).step_by(channels).copied().collect()
}
