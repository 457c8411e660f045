//! `imgserve plugin bench`: what a plugin takes on one file, by part, and beside another build of it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::build::readable;
use super::lab::{Lab, LabOptions, Measured, Trial, object};
use super::run::warn;
use crate::cli::failure::Failure;
use crate::cli::ui;

const HELP: &str = "\
Example: imgserve plugin bench target/plugins/tint.wasm photo.jpg --against old/tint.wasm

Runs the plugin again and again in a worker process, under the limits of a server, and tells the median and the 95th of 100
for each part. With --against another build runs in turn with it, on the same file and arguments, and its ratio is told: the
median of both builds' times run by run, and the quarters around it. Below 1 the plugin is the faster one. What stands
within these quarters of 1 is noise.

Exit codes: 0 measured, 1 refused or failed; the message says why.";

/// Options of `plugin bench`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The plugin: a .wasm component or a .so library
    file: PathBuf,
    /// The source image
    input: PathBuf,
    /// Another build of it, to compare with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The operation's arguments, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    args: Map<String, Value>,
    /// Runs of each, beside one that is not counted
    #[arg(long, value_name = "TIMES", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// The format of the results, such as webp (default: png); nothing for a plugin that encodes its results itself
    #[arg(long, value_name = "FORMAT", default_value = "png")]
    format: String,
    /// Print JSON, in milliseconds and bytes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: LabOptions,
}

/// A part of a run, and what it takes, in milliseconds.
type Part = (&'static str, fn(&Measured) -> f64);

const PARTS: [Part; 4] = [
    ("whole", |run| run.took.as_secs_f64() * 1e3),
    ("operation", |run| run.outcome.usage.operation_us / 1e3),
    ("instantiation", |run| run.outcome.usage.instantiate_us / 1e3),
    // Decoding and encoding.
    ("codecs", |run| (run.outcome.work_us as f64 - run.outcome.usage.operation_us) / 1e3),
];

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let shown = arguments.input.display();
    let source = std::fs::read(&arguments.input).map_err(Failure::io(format!("cannot read {shown}")))?;
    let lab = Lab::open(&arguments.file, &arguments.limits)?;
    let other = arguments.against.as_deref().map(|file| Lab::open(file, &arguments.limits)).transpose()?;
    let trial = Trial {
        source: source.into(),
        extension: arguments.input.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
        args: arguments.args.clone(),
        format: lab.format_for(&PathBuf::from(format!("result.{}", arguments.format)))?,
    };
    let attempt =
        |lab: &Lab| lab.attempt(&trial).map_err(|fault| Failure::Other(format!("{}: {fault}", fault.kind)));
    // Whatever is set up at first use is not what later runs take.
    warn(&lab, &attempt(&lab)?);
    other.as_ref().map(attempt).transpose()?;
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        own.push(attempt(&lab)?);
        others.extend(other.as_ref().map(attempt).transpose()?);
    }
    if arguments.json {
        ui::say(&told_as_json(&own, &others).to_string());
    } else {
        table(&own, &others).iter().for_each(|line| ui::say(line));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(own: &[Measured], others: &[Measured]) -> Vec<String> {
    let beside = if others.is_empty() { "" } else { "   its median    ratio, and its quarters" };
    let mut lines = vec![format!("{:14}   median      p95{beside}   ({} runs, ms)", "part", own.len())];
    for (name, part) in PARTS {
        let (own, others) = (figures(own, part), figures(others, part));
        // Native plugins are not instantiated.
        if own.iter().all(|&figure| figure == 0.0) {
            continue;
        }
        let mut line = format!("{name:14} {:8.3} {:8.3}", quantile(&own, 0.5), quantile(&own, 0.95));
        if !others.is_empty() {
            let ratios = ratios(&own, &others);
            let [low, middle, high] = [0.25, 0.5, 0.75].map(|part| quantile(&ratios, part));
            line += &format!("   {:10.3}    {middle:.3} ({low:.3} to {high:.3})", quantile(&others, 0.5));
        }
        lines.push(line);
    }
    let memory = |runs: &[Measured]| runs.iter().map(|run| run.outcome.usage.memory_bytes).max().unwrap_or(0);
    if memory(own) > 0 {
        let other = if others.is_empty() {
            String::new()
        } else {
            format!(", the other {}", readable(memory(others) as usize))
        };
        lines.push(format!("{:14} {} at its peak{other}", "memory", readable(memory(own) as usize)));
    }
    lines
}

fn told_as_json(own: &[Measured], others: &[Measured]) -> Value {
    let of = |runs: &[Measured]| -> Value {
        let parts = PARTS.map(|(name, part)| {
            let figures = figures(runs, part);
            (name.to_owned(), json!({ "median": quantile(&figures, 0.5), "p95": quantile(&figures, 0.95) }))
        });
        let memory = runs.iter().map(|run| run.outcome.usage.memory_bytes).max();
        json!({ "parts_ms": Map::from_iter(parts), "memory_bytes": memory })
    };
    let mut told = json!({ "runs": own.len(), "plugin": of(own) });
    if !others.is_empty() {
        told["against"] = of(others);
        let ratio = |(name, part): Part| {
            (name.to_owned(), json!(quantile(&ratios(&figures(own, part), &figures(others, part)), 0.5)))
        };
        told["ratios"] = Map::from_iter(PARTS.map(ratio)).into();
    }
    told
}

fn figures(runs: &[Measured], part: fn(&Measured) -> f64) -> Vec<f64> {
    runs.iter().map(part).collect()
}

/// Of runs that took turns; where neither took any time they are alike.
fn ratios(own: &[f64], others: &[f64]) -> Vec<f64> {
    own.iter().zip(others).map(|(own, other)| if own == other { 1.0 } else { own / other }).collect()
}

/// The number that this part of them does not exceed.
fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_runs_that_took_turns() {
        assert_eq!(ratios(&[2.0, 3.0, 0.0], &[4.0, 3.0, 0.0]), [0.5, 1.0, 1.0]);
        let figures: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.25, 0.5, 0.95, 1.0].map(|part| quantile(&figures, part)), [25.0, 50.0, 95.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.25), 7.0);
    }
}
