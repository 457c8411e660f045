//! What each format that has a quality makes of photographs: how they look, bytes and time, beside what sharp (libvips) and oximg make
//! of them.
//!
//! `cargo bench -p imgserve-bench --bench formats -- --photos FOLDER` takes the middle of each photograph, at most 640 × 480, writes and
//! reads it by the codecs of imgserve, and prints a line for each format and quality. The same pictures are written by the rivals, at
//! more qualities; files of all are read by imgserve. Last it says how a rival's files look that have as many bytes as ours.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench prints, reads its files itself, and a step that fails ends it"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use clap::Parser;
use imgserve_base::format::Format;
use imgserve_bench::quality::compare;
use imgserve_bench::rivals::{self, Ground};
use imgserve_bench::sources::Rgb;
use imgserve_codec::{Bounds, Decoder, EncodeOptions, Encoder, Probe, convert, probe};
use imgserve_sdk::{DecodeHint, Image, ImageRef, PixelFormat};
use serde::Deserialize;

/// Where rivals are installed where nobody says another place.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/bench-rivals");
/// The middle of each photograph that is taken.
const SIZE: (u32, u32) = (640, 480);
/// Longest side that a photograph is halved down to, so that the middle shows something.
const LONGEST: u32 = 1400;
const BOUNDS: Bounds = Bounds { max_pixels: 1 << 28, max_frames: 1, repair: false, keep_colors: false };
/// What rivals write of ours, and at which of their qualities: from few bytes to many. oximg as it is installed has no AVIF.
const OF_SHARP: [Format; 3] = [Format::Jpeg, Format::WebP, Format::Avif];
const OF_OXIMG: [Format; 2] = [Format::Jpeg, Format::WebP];
const THEIR_QUALITIES: [u8; 9] = [20, 35, 50, 60, 70, 80, 87, 93, 97];

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
    /// Rivals, of sharp, oximg; both when it is not given
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<String>,
    /// Where rivals are installed; target/bench-rivals where it is not given, as with `servers`
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Install nothing; go on with what is there
    #[arg(long)]
    no_install: bool,
    #[arg(long, hide = true, help = "passed by cargo")]
    bench: bool,
}

/// What becomes of all pictures in one format at one quality, in the mean.
struct Made {
    format: Format,
    quality: u8,
    /// SSIMULACRA2.
    scores: Vec<f64>,
    bytes: usize,
    pixels: usize,
    seconds: f64,
}

impl Made {
    fn new(format: Format, quality: u8) -> Self {
        Self { format, quality, scores: Vec::new(), bytes: 0, pixels: 0, seconds: 0.0 }
    }

    fn add(&mut self, picture: &Image, file: &[u8], seconds: f64) {
        self.seconds += seconds;
        self.bytes += file.len();
        self.pixels += picture.data().len() / 3;
        self.scores.push(compare(&rgb(picture), &rgb(&read(file).unwrap())).unwrap());
    }

    fn score(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }

    fn bytes_a_pixel(&self) -> f64 {
        self.bytes as f64 / self.pixels as f64
    }

    fn print(&self, by: &str) {
        let lowest = self.scores.iter().copied().fold(f64::INFINITY, f64::min);
        let pace = self.seconds * 1e9 / self.pixels as f64;
        println!(
            "| {} | {by} | {} | {:.1} | {lowest:.1} | {:.3} | {pace:.0} |",
            self.format,
            self.quality,
            self.score(),
            self.bytes_a_pixel()
        );
    }
}

fn main() {
    let arguments = Arguments::parse();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&arguments.photos).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let pictures: Vec<Image> =
        files.iter().filter_map(|file| read(&std::fs::read(file).unwrap())).map(middle).collect();
    println!("{} photographs, SSIMULACRA2 and bytes a pixel in the mean, time of writing", pictures.len());
    println!("| format | by | quality | SSIMULACRA2 | lowest | bytes a pixel | ms a megapixel |");
    let named = |format: &Format| {
        arguments.formats.is_empty() || arguments.formats.iter().any(|name| name == format.name())
    };
    let mut own = Vec::new();
    for format in Format::written().filter(|format| format.is_lossy()).filter(named) {
        for &quality in &arguments.qualities {
            let options = EncodeOptions { quality, thorough: arguments.thorough, ..EncodeOptions::default() };
            own.push(made(format, &options, &pictures));
        }
    }
    own.iter().for_each(|made| made.print("imgserve"));
    let all: [(&str, &[Format], By); 2] = [("sharp", &OF_SHARP, by_sharp), ("oximg", &OF_OXIMG, by_oximg)];
    let is_wanted =
        |name: &str| arguments.rivals.is_empty() || arguments.rivals.iter().any(|one| one == name);
    let [sources, written] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    lay_out(sources.path(), &pictures);
    let mut rivals = Vec::new();
    for (name, formats, by) in all.into_iter().filter(|(name, ..)| is_wanted(name)) {
        let formats: Vec<Format> = formats.iter().copied().filter(named).collect();
        let theirs = ground(&arguments)
            .and_then(|ground| by(&ground, [sources.path(), written.path()], &formats, &pictures));
        match theirs {
            Ok(theirs) => {
                theirs.iter().for_each(|made| made.print(name));
                rivals.push((name, theirs));
            }
            Err(reason) => println!("without {name}: {reason}"),
        }
    }
    rivals.iter().for_each(|(name, theirs)| beside(&own, name, theirs));
}

/// What a rival makes of the PNGs of the first folder, written into the second.
type By = fn(&Ground, [&Path; 2], &[Format], &[Image]) -> Result<Vec<Made>, String>;

/// Written by us.
fn made(format: Format, options: &EncodeOptions, pictures: &[Image]) -> Made {
    let mut made = Made::new(format, options.quality);
    for picture in pictures {
        let began = Instant::now();
        let file = file(format, options, picture);
        made.add(picture, &file, began.elapsed().as_secs_f64());
    }
    made
}

fn file(format: Format, options: &EncodeOptions, picture: &Image) -> Vec<u8> {
    let mut encoder = Encoder::new(format, options, picture.width(), picture.height()).unwrap();
    encoder.push(picture.as_ref(), 0).unwrap();
    encoder.finish().unwrap()
}

/// What `encode.mjs` says of a file.
#[derive(Deserialize)]
struct Said {
    file: String,
    format: String,
    quality: u8,
    ms: f64,
}

fn ground(arguments: &Arguments) -> Result<Ground, String> {
    let folder = arguments.folder.as_deref().unwrap_or(Path::new(FOLDER));
    let ground = Ground {
        folder: std::path::absolute(folder).map_err(|error| error.to_string())?,
        sources: arguments.photos.clone(),
        cores: 1,
        quality: 80,
        format: "jpeg".to_owned(),
        imgserve: None,
        before: None,
        install: !arguments.no_install,
    };
    std::fs::create_dir_all(&ground.folder).map_err(|error| error.to_string())?;
    Ok(ground)
}

/// The pictures as `0.png` and so on.
fn lay_out(folder: &Path, pictures: &[Image]) {
    let exact = EncodeOptions::default();
    for (index, picture) in pictures.iter().enumerate() {
        std::fs::write(folder.join(format!("{index}.png")), file(Format::Png, &exact, picture)).unwrap();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Written by sharp.
fn by_sharp(
    ground: &Ground,
    folders: [&Path; 2],
    formats: &[Format],
    pictures: &[Image],
) -> Result<Vec<Made>, String> {
    let names = formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(",");
    let qualities = THEIR_QUALITIES.map(|quality| quality.to_string()).join(",");
    let mut command = wait(rivals::sharp_writer(ground, folders, &names, &qualities))?;
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("node: {error}"))?;
    if !output.status.success() {
        return Err(format!("node: {}", output.status));
    }
    let mut all: Vec<Made> = formats
        .iter()
        .flat_map(|&format| THEIR_QUALITIES.map(|quality| Made::new(format, quality)))
        .collect();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let said: Said = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let picture: usize = said.file.split('-').next().and_then(|index| index.parse().ok()).unwrap();
        let made =
            all.iter_mut().find(|made| made.format.name() == said.format && made.quality == said.quality);
        let bytes = std::fs::read(folders[1].join(&said.file)).unwrap();
        made.unwrap().add(&pictures[picture], &bytes, said.ms / 1e3);
    }
    Ok(all)
}

/// Written by oximg.
fn by_oximg(
    ground: &Ground,
    [sources, written]: [&Path; 2],
    formats: &[Format],
    pictures: &[Image],
) -> Result<Vec<Made>, String> {
    let program = wait(rivals::oximg(ground))?;
    let mut all = Vec::new();
    for &format in formats {
        let to = written.join("oximg").with_extension(format.extensions()[0]);
        for quality in THEIR_QUALITIES {
            let mut made = Made::new(format, quality);
            for (index, picture) in pictures.iter().enumerate() {
                let from = sources.join(format!("{index}.png"));
                let ms = rivals::write_by_oximg(&program, [&from, &to], quality)?;
                made.add(picture, &std::fs::read(&to).map_err(|error| error.to_string())?, ms / 1e3);
            }
            all.push(made);
        }
    }
    Ok(all)
}

/// How a rival's files look that have as many bytes as ours, between those of its qualities.
fn beside(own: &[Made], name: &str, theirs: &[Made]) {
    println!("\n| format | quality | bytes a pixel | SSIMULACRA2 | {name}'s at as many bytes |");
    for made in own {
        let of_format: Vec<&Made> = theirs.iter().filter(|other| other.format == made.format).collect();
        let bytes = made.bytes_a_pixel();
        let around = of_format
            .windows(2)
            .find(|two| (two[0].bytes_a_pixel()..=two[1].bytes_a_pixel()).contains(&bytes));
        let Some(&[less, more]) = around else { continue };
        let share = (bytes / less.bytes_a_pixel()).ln() / (more.bytes_a_pixel() / less.bytes_a_pixel()).ln();
        let score = less.score() + share * (more.score() - less.score());
        println!("| {} | {} | {bytes:.3} | {:.1} | {score:.1} |", made.format, made.quality, made.score());
    }
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
