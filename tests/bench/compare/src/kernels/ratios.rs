//! The cases with a target: each decoder and the same resampler behind it, taking turns, compared with libjpeg-turbo.

use std::path::Path;
use std::time::{Duration, Instant};

use imgserve_jpeg::{Color, EncodeOptions, EncodeScratch, encode};
use rustix::time::{ClockId, clock_gettime};

use super::{Decode, Resampler, cover, decoders};
use crate::sources::{self, Coding, Rgb, SIX_MEGAPIXELS, TWENTY_FOUR_MEGAPIXELS};
use crate::stats::{Table, geometric_mean, mean, median, range};

/// One pipeline: what is read and what comes out.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As it is called in the table.
    pub name: &'static str,
    /// The source's size.
    pub source: (u32, u32),
    /// How the source is coded.
    pub coding: Coding,
    /// The result's size, filled by a crop of the source.
    pub result: (u32, u32),
    /// The scale at which it is decoded, in eighths.
    pub eighths: u8,
    /// Our time for decoding and resampling, as a part of libjpeg-turbo's, that must not be exceeded.
    pub target: f64,
}

/// What must hold.
pub const CASES: [Case; 4] = [
    case("6 MP → 200×120 (1/8)", SIX_MEGAPIXELS, Coding::Baseline, (200, 120), 1, 0.5),
    case("6 MP → 720×588 (1/2)", SIX_MEGAPIXELS, Coding::Baseline, (720, 588), 4, 0.9),
    case("24 MP → 800×600 (1/4)", TWENTY_FOUR_MEGAPIXELS, Coding::Baseline, (800, 600), 2, 0.75),
    case("6 MP progressive → 200×120 (1/8)", SIX_MEGAPIXELS, Coding::Progressive, (200, 120), 1, 0.25),
];

const fn case(
    name: &'static str,
    source: (u32, u32),
    coding: Coding,
    result: (u32, u32),
    eighths: u8,
    target: f64,
) -> Case {
    Case { name, source, coding, result, eighths, target }
}

/// How a comparison is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Where the photographs are.
    pub photos: Option<&'a Path>,
    /// Whether sources are tiled instead of enlarged.
    pub tile: bool,
    /// How many photographs are taken.
    pub pictures: usize,
    /// How long the contenders take turns on one photograph.
    pub time: Duration,
}

/// Runs all cases and prints the table.
///
/// # Errors
/// What is wrong with a photograph, or what a library says.
pub fn compare(settings: &Settings<'_>) -> Result<(), String> {
    let mut photographs = sources::photographs(settings.photos, &sources::JPEGS)?;
    photographs.truncate(settings.pictures);
    let pictures: Vec<Rgb> =
        photographs.iter().map(|file| sources::decode(file)).collect::<Result<_, _>>()?;
    let mut table = Table::new(&[
        "case",
        "decoder",
        "decode + resample, ms",
        "and encode, ms",
        "of the first's",
        "range",
        "and encode",
        "processor time",
        "difference",
        "target",
    ]);
    for case in CASES {
        let mut trials = Vec::new();
        for (number, picture) in pictures.iter().enumerate() {
            let file = source(picture, &case, settings.tile)?;
            println!(
                "{}: photograph {} of {}, {} KiB",
                case.name,
                number + 1,
                pictures.len(),
                file.len() >> 10
            );
            trials.push(trial(&file, &case, settings.time)?);
        }
        rows(&mut table, &case, &trials)?;
    }
    println!("\n{table}");
    Ok(())
}

fn source(picture: &Rgb, case: &Case, tile: bool) -> Result<Vec<u8>, String> {
    let large =
        if tile { sources::tiled(picture, case.source) } else { sources::resized(picture, case.source)? };
    sources::encode(&large, case.coding)
}

/// Milliseconds.
#[derive(Clone, Copy)]
struct Times {
    /// Until the result is resampled.
    resampled: f64,
    /// Until it is encoded too.
    encoded: f64,
    /// Of all processors until it is resampled: what a machine that does other things as well shows most clearly.
    processor: f64,
}

impl Times {
    /// The middle of each.
    fn median(all: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| median(&all.iter().map(of).collect::<Vec<f64>>());
        Self {
            resampled: middle(|times| times.resampled),
            encoded: middle(|times| times.encoded),
            processor: middle(|times| times.processor),
        }
    }
}

/// What a decoder did with one photograph.
struct Trial {
    /// Middle times.
    times: Times,
    /// How far its result is from the first decoder's, in levels of 255 for a sample on average: whether it is the same
    /// picture in the same place.
    difference: f64,
}

/// All decoders in turn, again and again.
fn trial(file: &[u8], case: &Case, time: Duration) -> Result<Vec<Trial>, String> {
    const LEAST_TURNS: usize = 5;
    let mut decoders = decoders()?;
    let (mut resampler, mut encoder) = (Resampler::default(), Encoder::default());
    let window = cover(case.source, case.result);
    let mut results: Vec<Vec<u8>> = Vec::new();
    for decoder in &mut decoders {
        let decoded = decoder.decode(file, case.eighths, window)?;
        results.push(resampler.resample(&decoded, window, case.result)?.to_vec());
    }
    let mut times: Vec<Vec<Times>> = vec![Vec::new(); decoders.len()];
    let began = Instant::now();
    while began.elapsed() < time || times[0].len() < LEAST_TURNS {
        for (decoder, times) in decoders.iter_mut().zip(&mut times) {
            times.push(pipeline(decoder.as_mut(), (&mut resampler, &mut encoder), file, case)?);
        }
    }
    let difference = |result: &[u8]| {
        mean(&result.iter().zip(&results[0]).map(|(a, b)| f64::from(a.abs_diff(*b))).collect::<Vec<f64>>())
    };
    let trial = |(times, result): (&Vec<Times>, &Vec<u8>)| Trial {
        times: Times::median(times),
        difference: difference(result),
    };
    Ok(times.iter().zip(&results).map(trial).collect())
}

/// Our encoder, the same for every decoder, at quality 80 and 4:2:0.
#[derive(Default)]
struct Encoder {
    scratch: EncodeScratch,
    file: Vec<u8>,
}

fn pipeline(
    decoder: &mut dyn Decode,
    (resampler, encoder): (&mut Resampler, &mut Encoder),
    file: &[u8],
    case: &Case,
) -> Result<Times, String> {
    let window = cover(case.source, case.result);
    let (began, before) = (Instant::now(), processor_ms());
    let decoded = decoder.decode(file, case.eighths, window)?;
    let result = resampler.resample(&decoded, window, case.result)?;
    let (resampled, processor) = (began.elapsed(), processor_ms() - before);
    encoder.file.clear();
    let (width, height) = (case.result.0 as u16, case.result.1 as u16);
    encode(
        result,
        width,
        height,
        Color::Rgb,
        &EncodeOptions::default(),
        &mut encoder.scratch,
        &mut encoder.file,
    )
    .map_err(|error| error.to_string())?;
    std::hint::black_box(&encoder.file);
    let encoded = began.elapsed();
    Ok(Times { resampled: resampled.as_secs_f64() * 1e3, encoded: encoded.as_secs_f64() * 1e3, processor })
}

/// Milliseconds that this process's threads took until now.
fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn rows(table: &mut Table, case: &Case, trials: &[Vec<Trial>]) -> Result<(), String> {
    for (column, decoder) in decoders()?.iter().enumerate() {
        let middle = Times::median(&trials.iter().map(|trial| trial[column].times).collect::<Vec<Times>>());
        let differences: Vec<f64> = trials.iter().map(|trial| trial[column].difference).collect();
        let ratios = |of: fn(&Times) -> f64| -> Vec<f64> {
            trials.iter().map(|trial| of(&trial[column].times) / of(&trial[0].times)).collect()
        };
        let (without, with) = (ratios(|times| times.resampled), ratios(|times| times.encoded));
        let (low, high) = range(&without);
        table.row([
            if column == 0 { case.name.to_owned() } else { String::new() },
            decoder.name().to_owned(),
            format!("{:.2}", middle.resampled),
            format!("{:.2}", middle.encoded),
            format!("{:.2}", geometric_mean(&without)),
            format!("{low:.2}–{high:.2}"),
            format!("{:.2}", geometric_mean(&with)),
            format!("{:.2}", geometric_mean(&ratios(|times| times.processor))),
            format!("{:.2}", mean(&differences)),
            target(decoder.name(), case, geometric_mean(&without)),
        ]);
    }
    Ok(())
}

/// Whether the target holds; of ours alone, and only against libjpeg-turbo.
fn target(decoder: &str, case: &Case, ratio: f64) -> String {
    if !cfg!(feature = "turbojpeg") || !decoder.starts_with("imgserve") {
        return String::new();
    }
    format!("{} {}", case.target, if ratio <= case.target { "holds" } else { "missed" })
}
