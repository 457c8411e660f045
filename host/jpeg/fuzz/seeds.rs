//! Writes small JPEGs of many kinds, as seeds: `cargo run --bin seeds DIRECTORY` fills DIRECTORY/decode and
//! DIRECTORY/compare.

use std::error::Error;
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const SAMPLINGS: [(u8, u8); 8] = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (1, 4), (2, 4)];
const SIZES: [(u16, u16); 6] = [(1, 1), (8, 8), (16, 16), (23, 9), (17, 40), (47, 33)];
const COLORS: [ColorType; 4] = [ColorType::Luma, ColorType::Rgb, ColorType::Cmyk, ColorType::CmykAsYcck];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("a directory is missing")?);
    for target in ["decode", "compare"] {
        std::fs::create_dir_all(directory.join(target))?;
    }
    let mut number = 0;
    for color in COLORS {
        for sampling in SAMPLINGS.iter().take(if color == ColorType::Luma { 1 } else { 8 }) {
            for kind in 0..8 {
                let file = encoded(color, *sampling, kind, SIZES[number % SIZES.len()], number)?;
                write(&directory, number, &file)?;
                number += 1;
            }
        }
    }
    Ok(())
}

fn encoded(
    color: ColorType,
    sampling: (u8, u8),
    kind: usize,
    (width, height): (u16, u16),
    number: usize,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, [30, 75, 95][number % 3]);
    encoder.set_sampling_factor(SamplingFactor::from_factors(sampling.0, sampling.1).ok_or("bad factors")?);
    // With the others it counts too few symbols, and panics.
    encoder.set_optimized_huffman_tables(kind == 1);
    encoder.set_progressive(kind & 2 != 0);
    if kind & 4 != 0 {
        encoder.set_restart_interval(1 + number as u16 % 3);
    }
    let channels = match color {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let pixels = pixels(usize::from(width), usize::from(height), channels, number);
    encoder.encode(&pixels, width, height, color)?;
    Ok(file)
}

/// Waves, with noise in every other picture.
fn pixels(width: usize, height: usize, channels: usize, number: usize) -> Vec<u8> {
    let mut noise = number as u32 + 1;
    let sample = |at: usize| {
        let (x, y, channel) = (at / channels % width, at / channels / width, at % channels);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wave = (x as f32 * 0.3 + channel as f32).sin() * 60.0 + (y as f32 * 0.2).cos() * 50.0 + 128.0;
        wave as u8 ^ if number.is_multiple_of(2) { 0 } else { (noise >> 27) as u8 }
    };
    (0..width * height * channels).map(sample).collect()
}

/// The file for `compare`; for `decode` with options before it.
fn write(directory: &Path, number: usize, file: &[u8]) -> std::io::Result<()> {
    std::fs::write(directory.join("compare").join(format!("{number}.jpg")), file)?;
    let mut with_options = vec![number as u8 % 16, 0, 3, 0, 5, 0, 9, 0, 7];
    with_options.extend_from_slice(file);
    std::fs::write(directory.join("decode").join(format!("{number}.bin")), with_options)
}
