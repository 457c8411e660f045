//! What each format that has a quality makes of photographs at the same quality: how they look, bytes and time.
//!
//! `cargo bench -p imgserve-bench --bench formats -- --photos FOLDER` takes the middle of each photograph, at most 640 × 480, writes and
//! reads it by the codecs of imgserve, and prints a line for each format and quality.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench prints, reads its files itself, and a step that fails ends it"
)]

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use imgserve_base::format::Format;
use imgserve_bench::quality::compare;
use imgserve_bench::sources::Rgb;
use imgserve_codec::{Bounds, Decoder, EncodeOptions, Encoder, Probe, convert, probe};
use imgserve_sdk::{DecodeHint, Image, ImageRef, PixelFormat};

/// The middle of each photograph that is taken.
const SIZE: (u32, u32) = (640, 480);
/// Longest side that a photograph is halved down to, so that the middle shows something.
const LONGEST: u32 = 1400;
const BOUNDS: Bounds = Bounds { max_pixels: 1 << 28, max_frames: 1, repair: false, keep_colors: false };

#[derive(Debug, Parser)]
#[command(about = "Looks, bytes and time of the formats that have a quality")]
struct Arguments {
    /// Folder of photographs in any format that is read (an absolute path)
    #[arg(long)]
    photos: PathBuf,
    /// Qualities, 1 to 100
    #[arg(long, value_delimiter = ',', default_values_t = [50, 80, 90])]
    qualities: Vec<u8>,
    /// Formats; all that have a quality where none is given
    #[arg(long, value_delimiter = ',')]
    formats: Vec<String>,
    /// As much time as `[codec] profile = "best"` takes
    #[arg(long)]
    thorough: bool,
    #[arg(long, hide = true, help = "passed by cargo")]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&arguments.photos).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let pictures: Vec<Image> =
        files.iter().filter_map(|file| read(&std::fs::read(file).unwrap())).map(middle).collect();
    println!("{} photographs, SSIMULACRA2 and bytes a pixel in the mean, time of writing", pictures.len());
    println!("| format | quality | SSIMULACRA2 | lowest | bytes a pixel | ms a megapixel |");
    let named = |format: &Format| {
        arguments.formats.is_empty() || arguments.formats.iter().any(|name| name == format.name())
    };
    for format in Format::written().filter(|format| format.is_lossy()).filter(named) {
        for &quality in &arguments.qualities {
            let options = EncodeOptions { quality, thorough: arguments.thorough, ..EncodeOptions::default() };
            line(format, &options, &pictures);
        }
    }
}

fn line(format: Format, options: &EncodeOptions, pictures: &[Image]) {
    let (mut scores, mut bytes, mut pixels, mut seconds) = (Vec::new(), 0, 0, 0.0);
    for picture in pictures {
        let began = Instant::now();
        let mut encoder = Encoder::new(format, options, picture.width(), picture.height()).unwrap();
        encoder.push(picture.as_ref(), 0).unwrap();
        let file = encoder.finish().unwrap();
        seconds += began.elapsed().as_secs_f64();
        (bytes, pixels) = (bytes + file.len(), pixels + picture.data().len() / 3);
        scores.push(compare(&rgb(picture), &rgb(&read(&file).unwrap())).unwrap());
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let (size, pace) = (bytes as f64 / pixels as f64, seconds * 1e9 / pixels as f64);
    println!("| {format} | {} | {mean:.1} | {lowest:.1} | {size:.3} | {pace:.0} |", options.quality);
}

/// None for what is no picture.
fn read(file: &[u8]) -> Option<Image> {
    let Ok(Probe::Header(header)) = probe(file, true, &BOUNDS) else { return None };
    let mut decoder = Decoder::new(file, &header, &DecodeHint::default(), &BOUNDS).unwrap();
    let image = decoder.next_frame().unwrap()?.image;
    Some(convert(image.as_ref(), PixelFormat::Rgb8))
}

/// Halved as often as it is too large, and cut.
fn middle(mut picture: Image) -> Image {
    while picture.width().max(picture.height()) > LONGEST {
        picture = halved(picture.as_ref());
    }
    let (width, height) = (SIZE.0.min(picture.width()), SIZE.1.min(picture.height()));
    let (left, top) = ((picture.width() - width) / 2, (picture.height() - height) / 2);
    let rows = picture.data().chunks_exact(3 * picture.width() as usize);
    let rows = rows.skip(top as usize).take(height as usize);
    let data = rows.flat_map(|row| &row[3 * left as usize..][..3 * width as usize]).copied().collect();
    Image::new(width, height, PixelFormat::Rgb8, data).unwrap()
}

fn halved(picture: ImageRef<'_>) -> Image {
    let row = 3 * picture.width() as usize;
    let (width, height) = (picture.width() / 2, picture.height() / 2);
    let sample = |y: usize, at: usize| u16::from(picture.data()[y * row + at]);
    let data = (0..height as usize).flat_map(|y| {
        (0..3 * width as usize).map(move |at| {
            let left = at / 3 * 6 + at % 3;
            let sum = sample(2 * y, left) + sample(2 * y, left + 3);
            ((sum + sample(2 * y + 1, left) + sample(2 * y + 1, left + 3) + 2) / 4) as u8
        })
    });
    Image::new(width, height, PixelFormat::Rgb8, data.collect()).unwrap()
}

fn rgb(picture: &Image) -> Rgb {
    Rgb { width: picture.width(), height: picture.height(), data: picture.data().to_vec() }
}
