//! `imgserve plugin test`: a plugin's golden cases, run in a worker under production limits.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use imgserve_base::format::Format;
use imgserve_codec::{self as codec, Decoder, EncodeOptions, Encoder, Probe};
use imgserve_sdk::{Image, PixelFormat};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::build;
use super::lab::{Lab, LabOptions, Measured, Trial};
use crate::cli::failure::Failure;
use crate::cli::ui;

const HELP: &str = "\
The cases stand in DIR/golden/cases.toml:

    [[case]]
    name = \"default\"
    source = \"sample.png\"
    result = \"default.png\"
    args = {}
    tolerance = 0          # largest difference of any sample of a pixel; default 0

Without --file the crate in DIR is built first. A case whose result differs leaves a picture of it beside the crate's
build, in target/golden: expected, got, and the difference, eight times as strong. --update writes the results of all
cases; look at them before you commit them.

Exit codes: 0 all pass, 1 one does not.";

/// Options of `plugin test`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// Directory of the crate
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Test this plugin file instead of building the crate
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the results instead of comparing them
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    limits: LabOptions,
}

/// The cases of a crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    pub(super) case: Vec<Case>,
}

/// One source and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// In the folder of the cases, as the result is.
    source: PathBuf,
    result: PathBuf,
    #[serde(default)]
    args: Map<String, Value>,
    #[serde(default)]
    tolerance: u16,
}

impl Cases {
    /// Those of the crate in `dir`.
    ///
    /// # Errors
    /// [`Failure`] when there is no list of them, or it is none.
    pub(super) fn of(dir: &Path) -> Result<Self, Failure> {
        let list = folder(dir).join("cases.toml");
        let text =
            std::fs::read_to_string(&list).map_err(Failure::io(format!("cannot read {}", list.display())))?;
        toml::from_str(&text).map_err(|error| Failure::Other(format!("{}: {error}", list.display())))
    }
}

impl Case {
    /// The file that holds its result.
    pub(super) fn result(&self) -> &Path {
        &self.result
    }

    /// Runs it.
    pub(super) fn attempt(&self, lab: &Lab, dir: &Path) -> Result<Measured, String> {
        let source = std::fs::read(folder(dir).join(&self.source))
            .map_err(|error| format!("cannot read {}: {error}", self.source.display()))?;
        let trial = Trial {
            source: source.into(),
            extension: self.source.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
            args: self.args.clone(),
            format: lab.format_for(&self.result).map_err(|error| error.to_string())?,
        };
        lab.attempt(&trial).map_err(|fault| format!("{}: {fault}", fault.kind))
    }

    /// Whether its result is the one that is wanted.
    ///
    /// # Errors
    /// How it differs, and where that can be seen.
    pub(super) fn compare(&self, dir: &Path, got: &[u8]) -> Result<&'static str, String> {
        let wanted = std::fs::read(folder(dir).join(&self.result)).map_err(|error| {
            format!(
                "cannot read {} ({error}); `imgserve plugin test --update` writes it",
                self.result.display()
            )
        })?;
        if wanted == got {
            return Ok("ok");
        }
        let (Some(wanted), Some(got)) = (pixels(&wanted), pixels(got)) else {
            return Err(format!("other bytes than {}", self.result.display()));
        };
        let sizes = [&wanted, &got].map(|image| (image.width(), image.height()));
        if sizes[0] != sizes[1] {
            return Err(format!("{}x{} instead of {}x{}", sizes[1].0, sizes[1].1, sizes[0].0, sizes[0].1));
        }
        let differences = wanted.data().iter().zip(got.data()).map(|(a, b)| u16::from(a.abs_diff(*b)));
        let largest = differences.max().unwrap_or_default();
        if largest <= self.tolerance {
            return Ok("ok");
        }
        let picture = dir.join("target/golden").join(format!("{}.png", self.name));
        let seen =
            show(&picture, &wanted, &got).map_or_else(|error| error, |()| picture.display().to_string());
        Err(format!("differs by up to {largest}, {} allowed; see {seen}", self.tolerance))
    }
}

/// Where the cases of a crate are.
fn folder(dir: &Path) -> PathBuf {
    dir.join("golden")
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dir = &arguments.dir;
    let cases = Cases::of(dir)?;
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => build::component(dir)?,
    };
    let lab = Lab::open(&file, &arguments.limits)?;
    let mut failed = 0;
    for case in &cases.case {
        let outcome = case.attempt(&lab, dir).and_then(|measured| match arguments.update {
            true => update(&folder(dir).join(&case.result), &measured.outcome.bytes),
            false => case.compare(dir, &measured.outcome.bytes),
        });
        match outcome {
            Ok(text) => ui::say(&format!("{text:7} {}", case.name)),
            Err(text) => {
                failed += 1;
                ui::say(&format!("FAILED  {}: {text}", case.name));
            }
        }
    }
    ui::say(&format!("{} passed, {failed} failed", cases.case.len() - failed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn update(result: &Path, bytes: &[u8]) -> Result<&'static str, String> {
    if std::fs::read(result).is_ok_and(|old| old == bytes) {
        return Ok("same");
    }
    std::fs::write(result, bytes).map_err(|error| format!("cannot write {}: {error}", result.display()))?;
    Ok("updated")
}

/// The first picture of a file as rgba8; none when it is no image that the host reads.
fn pixels(bytes: &[u8]) -> Option<Image> {
    let bounds = codec::Bounds { max_pixels: 1 << 28, max_frames: 10_000, repair: false, keep_colors: false };
    let Probe::Header(header) = codec::probe(bytes, true, &bounds).ok()? else { return None };
    let frame =
        Decoder::new(bytes, &header, &imgserve_sdk::DecodeHint::default(), &bounds).ok()?.next_frame();
    Some(codec::convert(frame.ok()??.image.as_ref(), PixelFormat::Rgba8))
}

/// Expected, got and the difference, side by side.
fn show(path: &Path, wanted: &Image, got: &Image) -> Result<(), String> {
    let row = wanted.width() as usize * PixelFormat::Rgba8.bytes_per_pixel();
    let mut data = Vec::with_capacity(3 * wanted.data().len());
    for (wanted, got) in wanted.data().chunks_exact(row).zip(got.data().chunks_exact(row)) {
        data.extend_from_slice(wanted);
        data.extend_from_slice(got);
        let pixels = wanted.as_chunks::<4>().0.iter().zip(got.as_chunks::<4>().0);
        for (a, b) in pixels {
            let difference: [u8; 4] = std::array::from_fn(|i| a[i].abs_diff(b[i]).saturating_mul(8));
            // A difference in alpha alone would not be seen.
            data.extend(difference[..3].iter().map(|&level| level.max(difference[3])));
            data.push(255);
        }
    }
    let image = Image::new(3 * wanted.width(), wanted.height(), PixelFormat::Rgba8, data);
    let image = image.map_err(|error| error.to_string())?;
    let encode = || {
        let mut encoder =
            Encoder::new(Format::Png, &EncodeOptions::default(), image.width(), image.height())?;
        encoder.push(image.as_ref(), 0)?;
        encoder.finish()
    };
    let bytes = encode().map_err(|error| error.to_string())?;
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_pixel(levels: [u8; 4]) -> Vec<u8> {
        let image = Image::new(1, 1, PixelFormat::Rgba8, levels.to_vec()).unwrap();
        let mut encoder = Encoder::new(Format::Png, &EncodeOptions::default(), 1, 1).unwrap();
        encoder.push(image.as_ref(), 0).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_difference_past_the_tolerance_fails_and_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let golden = directory.path().join("golden");
        std::fs::create_dir(&golden).unwrap();
        std::fs::write(golden.join("r.png"), one_pixel([10, 20, 30, 255])).unwrap();
        let case = |tolerance| Case {
            name: "case".to_owned(),
            source: "s.png".into(),
            result: "r.png".into(),
            args: Map::new(),
            tolerance,
        };
        let got = one_pixel([10, 23, 30, 255]);
        assert_eq!(case(3).compare(directory.path(), &got), Ok("ok"));
        let text = case(2).compare(directory.path(), &got).unwrap_err();
        assert!(text.contains("differs by up to 3, 2 allowed"), "{text}");
        let shown = pixels(&std::fs::read(directory.path().join("target/golden/case.png")).unwrap()).unwrap();
        assert_eq!((shown.width(), &shown.data()[8..]), (3, &[0, 24, 0, 255][..]));
        assert!(case(2).compare(directory.path(), b"text").unwrap_err().contains("other bytes"));
    }
}
