//! `imgserve plugin run`: a plugin tried on one file, without a server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use imgserve_base::fault::{Fault, one_line};
use imgserve_worker::{Prepared, TaskOutput};
use serde_json::{Map, Value};

use super::build::readable;
use super::lab::{Lab, LabOptions, Measured, Trial, object};
use crate::cli::failure::Failure;
use crate::cli::{log, ui};

const HELP: &str = "\
Example: imgserve plugin run target/plugins/sepia.wasm photo.jpg sepia.png --args '{\"strength\": 0.5}'

The plugin runs in a worker process under the limits that a server puts on it. The result is encoded as the ending of
OUTPUT says. Arguments are checked as a server checks them; what the plugin logs, and what a client would be warned of,
goes to stderr. With --repeat the median of all runs is told, the first one not counted; `plugin bench` tells more.

Exit codes: 0 done, 1 refused or failed; the message says why.";

/// Options of `plugin run`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The plugin: a .wasm component or a .so library
    file: PathBuf,
    /// The source image
    input: PathBuf,
    /// Where the result is written
    output: PathBuf,
    /// The operation's arguments, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    args: Map<String, Value>,
    /// Run so many times more, to measure
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    repeat: usize,
    #[command(flatten)]
    limits: LabOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let shown = arguments.input.display();
    let source = std::fs::read(&arguments.input).map_err(Failure::io(format!("cannot read {shown}")))?;
    let lab = Lab::open(&arguments.file, &arguments.limits)?;
    let trial = Trial {
        source: source.into(),
        extension: arguments.input.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
        args: arguments.args.clone(),
        format: lab.format_for(&arguments.output)?,
    };
    log::plugins_to_stderr();
    let failed = |fault: Fault| Failure::Other(format!("{}: {fault}", fault.kind));
    let first = lab.watched(&trial, Arc::new(progress())).map_err(failed)?;
    warn(&lab, &first);
    let mut all = Vec::with_capacity(arguments.repeat);
    for _ in 0..arguments.repeat {
        all.push(lab.attempt(&trial).map_err(failed)?);
    }
    let output = arguments.output.display();
    std::fs::write(&arguments.output, &first.outcome.bytes)
        .map_err(Failure::io(format!("cannot write {output}")))?;
    let Prepared { width, height, own_bytes, guest_bytes, .. } = first.prepared;
    let size = readable(first.outcome.bytes.len());
    ui::say(&format!("result       {output}: {width}x{height}, {size}"));
    let guest = if guest_bytes > 0 {
        format!(", {} in the sandbox", readable(guest_bytes as usize))
    } else {
        String::new()
    };
    ui::say(&format!("planned      {} in the worker{guest}", readable(own_bytes as usize)));
    if all.is_empty() {
        all.push(first);
    }
    report(&all);
    Ok(ExitCode::SUCCESS)
}

/// Says what a client would be warned of.
pub(super) fn warn(lab: &Lab, measured: &Measured) {
    let TaskOutput { damage, unconverted, left_out, .. } = &measured.outcome;
    let known = lab.arguments().join(", ");
    let unknown = measured.unknown.iter().map(|name| match known.as_str() {
        "" => format!("argument `{name}` means nothing to it: it has none"),
        _ => format!("argument `{name}` means nothing to it: it has {known}"),
    });
    let left_out = left_out.iter().map(|what| format!("not kept of the source: {what}"));
    for text in unknown.chain(damage.clone()).chain(unconverted.clone()).chain(left_out) {
        ui::complain(&format!("warning: {}", one_line(&text, 500)));
    }
}

/// Tells how much is done, in tenths, of what takes a while.
fn progress() -> impl Fn(f32) + Send + Sync {
    let (began, told) = (Instant::now(), AtomicU32::new(0));
    move |done| {
        let tenths = (done * 10.0) as u32;
        if began.elapsed() > Duration::from_secs(1) && told.fetch_max(tenths, Ordering::Relaxed) < tenths {
            ui::note(&format!("progress     {} %", tenths * 10));
        }
    }
}

fn report(all: &[Measured]) {
    let runs = if all.len() > 1 { format!(" (median of {})", all.len()) } else { String::new() };
    let all_took = median(all, |measured| measured.took.as_secs_f64() * 1e3);
    let operation = median(all, |measured| measured.outcome.usage.operation_us / 1e3);
    ui::say(&format!("time         {all_took:.2} ms with decoding and encoding{runs}"));
    ui::say(&format!("operation    {operation:.2} ms"));
    let memory = all.iter().map(|measured| measured.outcome.usage.memory_bytes).max().unwrap_or_default();
    if memory > 0 {
        let instantiation = median(all, |measured| measured.outcome.usage.instantiate_us);
        ui::say(&format!("instantiated in {instantiation:.0} us"));
        ui::say(&format!("memory       {} at its peak", readable(memory as usize)));
    }
}

fn median(all: &[Measured], figure: impl Fn(&Measured) -> f64) -> f64 {
    let mut figures: Vec<f64> = all.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
