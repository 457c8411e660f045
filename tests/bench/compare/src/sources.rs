//! The pictures that are measured: photographs of a folder or synthetic ones, as they are or made larger, as JPEGs.

use std::path::{Path, PathBuf};

use fast_image_resize::{PixelType, ResizeOptions, Resizer, images::Image};
use imgserve_peers::samples;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// The size of a photograph that a camera of today makes small, and of one that it makes large.
pub const SIX_MEGAPIXELS: (u32, u32) = (3000, 2000);
/// See [`SIX_MEGAPIXELS`].
pub const TWENTY_FOUR_MEGAPIXELS: (u32, u32) = (6000, 4000);
/// What cameras and photographers use.
const CAMERA_QUALITY: u8 = 90;

/// Eight bits of red, green and blue for each pixel.
#[derive(Clone, Debug)]
pub struct Rgb {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Three bytes for each pixel, row after row.
    pub data: Vec<u8>,
}

/// How a source is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One scan.
    Baseline,
    /// Scans of growing detail, with libjpeg's usual script where libjpeg-turbo is compiled in.
    Progressive,
}

/// The files of a folder with one of these extensions, in the order of their names.
///
/// # Errors
/// What is wrong with the folder, or that there are none.
pub fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let is_one = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        extensions.contains(&extension.to_lowercase().as_str())
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_one).collect();
    files.sort();
    if files.is_empty() {
        Err(format!("{} has no {}", folder.display(), extensions.join(", ")))
    } else {
        Ok(files)
    }
}

/// What photographs are called.
pub const JPEGS: [&str; 2] = ["jpg", "jpeg"];
/// What else is read by all servers.
pub const OTHERS: [&str; 3] = ["png", "webp", "gif"];

/// The pictures of `folder` with one of these extensions, whole files; without a folder three synthetic ones of the size of a photograph for the Web.
///
/// # Errors
/// What is wrong with the folder or a file.
pub fn photographs(folder: Option<&Path>, extensions: &[&str]) -> Result<Vec<Vec<u8>>, String> {
    let Some(folder) = folder else {
        let sizes = [(2048, 1366), (1536, 2048), (2048, 1152)];
        return sizes
            .map(|(width, height)| encode(&synthetic(width, height), Coding::Baseline))
            .into_iter()
            .collect();
    };
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
    files(folder, extensions)?.into_iter().map(read).collect()
}

/// A picture with the statistics of a photograph.
pub fn synthetic(width: u32, height: u32) -> Rgb {
    Rgb { width, height, data: samples::picture(width, height).into_raw() }
}

/// The pixels of a JPEG, PNG or WebP.
///
/// # Errors
/// What the decoder says.
pub fn decode(bytes: &[u8]) -> Result<Rgb, String> {
    let picture = image::load_from_memory(bytes).map_err(|error| error.to_string())?.to_rgb8();
    Ok(Rgb { width: picture.width(), height: picture.height(), data: picture.into_raw() })
}

/// The picture resized until it fills `size`, its middle where it is of another shape.
///
/// # Errors
/// What the resampler says.
pub fn resized(picture: &Rgb, size: (u32, u32)) -> Result<Rgb, String> {
    let view = fast_image_resize::images::ImageRef::new(
        picture.width,
        picture.height,
        &picture.data,
        PixelType::U8x3,
    )
    .map_err(|error| error.to_string())?;
    let mut large = Image::new(size.0, size.1, PixelType::U8x3);
    let options = ResizeOptions::new().fit_into_destination(None);
    Resizer::new().resize(&view, &mut large, &options).map_err(|error| error.to_string())?;
    Ok(Rgb { width: size.0, height: size.1, data: large.into_vec() })
}

/// The picture and its mirror images side by side until they fill `size`: as much detail for each pixel as it has itself.
pub fn tiled(picture: &Rgb, size: (u32, u32)) -> Rgb {
    let mirrored = |at: u32, length: u32| {
        let at = at % (2 * length);
        if at < length { at } else { 2 * length - 1 - at }
    };
    let mut data = Vec::with_capacity(3 * size.0 as usize * size.1 as usize);
    for y in 0..size.1 {
        let row = (mirrored(y, picture.height) * picture.width) as usize;
        for x in 0..size.0 {
            let pixel = 3 * (row + mirrored(x, picture.width) as usize);
            data.extend_from_slice(&picture.data[pixel..pixel + 3]);
        }
    }
    Rgb { width: size.0, height: size.1, data }
}

/// A JPEG of quality 90 with 4:2:0 chroma.
///
/// # Errors
/// What the encoder says.
pub fn encode(picture: &Rgb, coding: Coding) -> Result<Vec<u8>, String> {
    match coding {
        Coding::Baseline => plain(picture, coding),
        Coding::Progressive => progressive(picture),
    }
}

fn plain(picture: &Rgb, coding: Coding) -> Result<Vec<u8>, String> {
    let side = |side: u32| u16::try_from(side).map_err(|error| error.to_string());
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, CAMERA_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_progressive(coding == Coding::Progressive);
    encoder
        .encode(&picture.data, side(picture.width)?, side(picture.height)?, ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(file)
}

/// With libjpeg's usual scans: jpeg-encoder knows no successive approximation.
#[cfg(feature = "turbojpeg")]
fn progressive(picture: &Rgb) -> Result<Vec<u8>, String> {
    let said = |error: turbojpeg::Error| error.to_string();
    let mut compressor = turbojpeg::Compressor::new().map_err(said)?;
    compressor.set_quality(CAMERA_QUALITY.into()).map_err(said)?;
    compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).map_err(said)?;
    compressor.set_progressive(true).map_err(said)?;
    let view = turbojpeg::Image {
        pixels: picture.data.as_slice(),
        width: picture.width as usize,
        pitch: 3 * picture.width as usize,
        height: picture.height as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    compressor.compress_to_vec(view).map_err(said)
}

#[cfg(not(feature = "turbojpeg"))]
fn progressive(picture: &Rgb) -> Result<Vec<u8>, String> {
    plain(picture, Coding::Progressive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_mirrored_at_their_seams() {
        let picture = Rgb { width: 2, height: 1, data: vec![1, 1, 1, 2, 2, 2] };
        let firsts: Vec<u8> = tiled(&picture, (6, 1)).data.iter().step_by(3).copied().collect();
        assert_eq!(firsts, [1, 2, 2, 1, 1, 2]);
    }

    #[test]
    fn both_codings_show_the_same_picture() {
        let picture = synthetic(120, 80);
        let [one, two] =
            [Coding::Baseline, Coding::Progressive].map(|coding| encode(&picture, coding).unwrap());
        // The start-of-frame marker says which it is.
        let frame = |bytes: &[u8]| {
            bytes.windows(2).find(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).map(|pair| pair[1])
        };
        assert_eq!((frame(&one), frame(&two)), (Some(0xC0), Some(0xC2)));
        let off = |a: &Rgb, b: &Rgb| a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off(&decode(&one).unwrap(), &decode(&two).unwrap()) <= Some(8));
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(photographs(Some(folder.path()), &JPEGS).unwrap_err().contains("has no jpg"));
    }
}
