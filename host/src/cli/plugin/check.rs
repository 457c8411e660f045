//! `imgserve plugin check`: what a plugin says of itself, and whether it keeps to the contract on sources of every shape. What is a
//! codec's own is `codec`'s.

mod codec;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use imgserve_base::fault::{Fault, one_line};
use imgserve_base::format::Format;
use imgserve_codec::{EncodeOptions, Encoder};
use imgserve_config::PluginKind;
use imgserve_sdk::{Description, Frames, InputKind, OutputKind, PixelFormat};
use imgserve_worker::plugin::component;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::build::readable;
use super::lab::{Described, Lab, LabOptions, Trial, is_plugins_mistake, object};
use super::sample;
use crate::cli::failure::Failure;
use crate::cli::ui;

/// Widths and heights that find what a round number hides; the last one is a photograph's.
const SHAPES: [(u32, u32); 9] =
    [(1, 1), (1, 2), (2, 1), (3, 5), (17, 13), (1, 4096), (4096, 1), (255, 257), (4000, 3000)];

const HELP: &str = "\
Reads the file's version and imports, loads it in a worker, shows its description and runs it under production limits:
on images of odd, thin and large shapes in every pixel format that it takes, with the arguments of its own examples; or,
for a plugin that reads files itself, on --sample, on cut and damaged copies of it, and on garbage. A codec reads the same, and
what it writes of such images, through the operation `resize`.

A refusal with an error of the contract is a right answer. A trap, a panic, a result that is not as planned, or one
that differs the second time is not.

Exit codes: 0 it keeps to the contract, 1 it does not.";

/// Options of `plugin check`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The plugin: a .wasm component or a .so library
    file: PathBuf,
    /// Arguments to try, as a JSON object; may be given several times (default: those of its examples)
    #[arg(long = "args", value_name = "JSON", value_parser = object)]
    args: Vec<Map<String, Value>>,
    /// A file that it reads, for a plugin that reads files itself
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    #[command(flatten)]
    limits: LabOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    say_file(&arguments.file)?;
    let lab = Lab::open(&arguments.file, &arguments.limits)?;
    let mut verdict = Verdict::default();
    let sample = arguments.sample.as_deref().map(read).transpose()?;
    match &lab.plugin {
        Described::Operation(description) => {
            say_description(description);
            verdict.schema(description);
            let tried = match arguments.args.as_slice() {
                [] => from_examples(description),
                given => given.to_vec(),
            };
            try_operation(&lab, description, (sample, &tried), &mut verdict)?;
        }
        Described::Codec(description) => {
            codec::describe(description);
            let tried = match arguments.args.as_slice() {
                [] => vec![Map::new()],
                given => given.to_vec(),
            };
            codec::try_all(&lab, description, (sample, &tried), &mut verdict)?;
        }
    }
    verdict.say()
}

fn try_operation(
    lab: &Lab,
    description: &Description,
    (sample, tried): (Option<Vec<u8>>, &[Map<String, Value>]),
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    for (what, source, extension) in &sources(description, sample)? {
        for args in tried {
            let trial = Trial {
                source: source.clone(),
                extension: extension.clone(),
                args: args.clone(),
                format: match description.output {
                    OutputKind::Encoded { .. } => None,
                    OutputKind::Source | OutputKind::Image { .. } => Some(Format::Png),
                },
            };
            verdict.trial(lab, what, &trial);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(Failure::io(format!("cannot read {}", file.display())))
}

fn say_file(file: &Path) -> Result<(), Failure> {
    let bytes = read(file)?;
    let digest = imgserve_worker::plugin::hex(&Sha256::digest(&bytes));
    ui::say(&format!("file         {}, {}", file.display(), readable(bytes.len())));
    ui::say(&format!("sha256       {digest}"));
    if PluginKind::of_file(file) == PluginKind::Wasm {
        let found = component::inspect(&bytes)
            .map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
        ui::say(&format!("contract     {}@{}", found.world.package(), found.version));
        ui::say(&format!(
            "imports      {}",
            if found.imports.is_empty() { "nothing".to_owned() } else { found.imports.join(", ") }
        ));
        ui::say(&format!("simd         {}", if component::has_simd(&bytes) { "yes" } else { "no" }));
    }
    Ok(())
}

fn say_description(description: &Description) {
    let Description { name, version, summary, .. } = description;
    say("operation", &format!("{name} {version}: {summary}"));
    let takes = match &description.input {
        InputKind::Pixels { formats, frames } => {
            let formats: Vec<String> =
                formats.iter().map(|format| format!("{format:?}").to_lowercase()).collect();
            let frames = if *frames == Frames::All { ", all frames at once" } else { "" };
            format!("pixels: {}{frames}", formats.join(", "))
        }
        InputKind::Encoded { formats } => format!("files: {}", formats.join(", ")),
    };
    say("takes", &takes);
    let gives = match &description.output {
        OutputKind::Source => "pixels, in the source's file format".to_owned(),
        OutputKind::Image { format } => format!("pixels, as {format}"),
        OutputKind::Encoded { media_type, extension } => format!("{media_type} (.{extension})"),
    };
    say("gives", &gives);
    let properties = description.arguments["properties"].as_object();
    for (argument, schema) in properties.into_iter().flatten() {
        let required = description.arguments["required"].as_array();
        let required = required.is_some_and(|names| names.iter().any(|name| name == argument));
        let default = schema.get("default").map_or(String::new(), |value| format!(", default {value}"));
        let need = if required { ", required".to_owned() } else { default };
        let text = schema["description"].as_str().unwrap_or("(not documented)").replace('\n', " ");
        say("argument", &format!("{argument}{need}: {text}"));
    }
}

/// A line whose text is the plugin's: nothing in it can move the cursor or fake another line.
fn say(what: &str, text: &str) {
    ui::say(&format!("{what:12} {}", one_line(text, 500)));
}

/// The arguments of its examples, or none at all when it has none.
fn from_examples(description: &Description) -> Vec<Map<String, Value>> {
    let examples = description.examples.iter().filter_map(|example| example.arguments.as_object().cloned());
    let mut all: Vec<_> = examples.collect();
    if all.is_empty() {
        all.push(Map::new());
    }
    all
}

type Source = (String, Bytes, String);

fn sources(description: &Description, sample: Option<Vec<u8>>) -> Result<Vec<Source>, Failure> {
    match &description.input {
        InputKind::Pixels { formats, .. } => {
            let shapes = SHAPES.iter().flat_map(|&shape| formats.iter().map(move |&format| (shape, format)));
            shapes.map(|((width, height), format)| picture(width, height, format)).collect()
        }
        InputKind::Encoded { formats } => {
            let extension = formats.first().map(String::as_str).unwrap_or_default();
            let whole = match sample {
                Some(sample) => sample,
                None if extension == "svg" => DRAWING.as_bytes().to_vec(),
                None => Vec::new(),
            };
            Ok(damaged(&whole)
                .into_iter()
                .map(|(what, bytes)| (what, bytes.into(), extension.to_owned()))
                .collect())
        }
    }
}

const DRAWING: &str =
    "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><circle r='9' cx='20' cy='15'/></svg>";

fn picture(width: u32, height: u32, format: PixelFormat) -> Result<Source, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Other(imgserve_base::fault::chain(error));
    let picture = sample::paint(width, height).map_err(|error| failed(&error))?;
    let image = imgserve_codec::convert(picture.as_ref(), format);
    let mut encoder = Encoder::new(Format::Png, &EncodeOptions::default(), width, height)
        .map_err(|error| failed(&error))?;
    encoder.push(image.as_ref(), 0).map_err(|error| failed(&error))?;
    let bytes = encoder.finish().map_err(|error| failed(&error))?;
    let what = format!("{width}x{height} {}", format!("{format:?}").to_lowercase());
    Ok((what, bytes.into(), "png".to_owned()))
}

/// A file, cut at several places, with bytes changed, and garbage in its place.
fn damaged(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("one byte".to_owned(), vec![b'x']),
        ("zeros".to_owned(), vec![0; 65_536]),
        ("noise".to_owned(), (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ];
    if whole.is_empty() {
        return all;
    }
    all.insert(0, ("the sample".to_owned(), whole.to_vec()));
    for tenth in 1..10 {
        let cut = (whole.len() * tenth / 10).max(1);
        all.push((format!("the sample cut at {cut}"), whole[..cut].to_vec()));
    }
    for round in 0..24_usize {
        let mut bytes = whole.to_vec();
        // The beginning, where sizes stand, is hit more often than the rest.
        let at = if round % 2 == 0 { round.min(bytes.len() - 1) } else { (round * 7919) % bytes.len() };
        bytes[at] ^= 1 << (round % 8) | 0x80;
        all.push((format!("the sample with byte {at} changed"), bytes));
    }
    all
}

/// What was found so far.
#[derive(Default)]
struct Verdict {
    done: usize,
    refused: usize,
    mistakes: usize,
}

impl Verdict {
    fn schema(&mut self, description: &Description) {
        for example in &description.examples {
            let valid = jsonschema::validate(&description.arguments, &example.arguments);
            if let Err(error) = valid {
                self.mistake(&format!("example \"{}\" does not fit the schema: {error}", example.name));
            }
        }
    }

    fn trial(&mut self, lab: &Lab, what: &str, trial: &Trial) {
        let label = || format!("{what} {}", Value::Object(trial.args.clone()));
        match lab.attempt(trial) {
            Ok(first) => match lab.attempt(trial) {
                Ok(second) if second.outcome.bytes == first.outcome.bytes => self.done += 1,
                Ok(_) => self.mistake(&format!("{}: another result the second time", label())),
                Err(fault) => self.mistake(&format!("{}: failed the second time: {fault}", label())),
            },
            Err(fault) if is_plugins_mistake(&fault) => {
                self.mistake(&format!("{}: {}", label(), said(&fault)))
            }
            Err(_) => self.refused += 1,
        }
    }

    fn mistake(&mut self, text: &str) {
        self.mistakes += 1;
        ui::say(&format!("MISTAKE      {text}"));
    }

    fn say(self) -> Result<ExitCode, Failure> {
        let Self { done, refused, mistakes } = self;
        ui::say(&format!("tried        {done} done, {refused} refused, {mistakes} mistakes"));
        if done == 0 && mistakes == 0 {
            let text =
                "it has done nothing: give arguments that it takes with --args, or a file with --sample";
            return Err(Failure::Other(text.to_owned()));
        }
        Ok(if mistakes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn said(fault: &Fault) -> String {
    format!("{}: {fault}", fault.kind)
}
