//! `imgserve plugin dev`: builds and runs a crate again whenever one of its files changes. `watch` sees that; `served` is a server
//! with the plugin in it.

mod served;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use imgserve_base::fault::one_line;
use serde_json::{Map, Value};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::build;
use super::golden::Cases;
use super::lab::{Lab, LabOptions, Measured, Trial, object};
use super::run::warn;
use crate::cli::failure::Failure;
use crate::cli::{log, ui};
use served::Served;
use watch::Snapshot;

const HELP: &str = "\
Example: imgserve plugin dev --source photo.jpg --args '{\"color\": \"#704214\"}'

Builds the crate in DIR, runs it on its golden cases (golden/cases.toml), or on --source, and tells for each what it took, what the
plugin logged, and whether the result is the golden one. Results lie in DIR/target/dev. Then it waits until a file of the
crate changes, and does so again. Ctrl-C ends it.

With --serve a server on loopback runs the plugin too, and takes in each new build: no request fails meanwhile.

Exit codes: 0 ended, 1 it could not begin; what is wrong with a build is said, and the next change waited for.";

/// Options of `plugin dev`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// Directory of the crate
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Run it on this image instead of the golden cases
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Arguments for --source, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}", requires = "source")]
    args: Map<String, Value>,
    /// Serve it as well, on this port of 127.0.0.1
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8602")]
    serve: Option<u16>,
    #[command(flatten)]
    limits: LabOptions,
}

/// How often it is looked for changes.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dir = &arguments.dir;
    if arguments.source.is_none() {
        Cases::of(dir).map_err(|error| {
            Failure::Other(format!("{error}; --source FILE names an image to run it on instead"))
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::io("cannot start the runtime"))?;
    let _entered = runtime.enter();
    let mut ends = Ends::new()?;
    log::plugins_to_stderr();
    let mut bench = Workbench { arguments, before: HashMap::new(), served: None };
    loop {
        // What changes while it is built is built next.
        let seen = Snapshot::of(dir);
        bench.round();
        ui::say("waiting for a change; Ctrl-C ends it");
        if !runtime.block_on(ends.or_change(dir, &seen)) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The signals that end it.
struct Ends([Signal; 2]);

impl Ends {
    fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(Failure::io("cannot listen for signals"));
        Ok(Self([of(SignalKind::interrupt())?, of(SignalKind::terminate())?]))
    }

    /// Waits until a file is not as it was seen; false where it is to end.
    async fn or_change(&mut self, dir: &Path, seen: &Snapshot) -> bool {
        let Self([interrupt, terminate]) = self;
        let change = async {
            while Snapshot::of(dir) == *seen {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => false,
            _ = terminate.recv() => false,
            () = change => true,
        }
    }
}

/// What goes on from build to build.
struct Workbench<'a> {
    arguments: &'a Arguments,
    /// Milliseconds that the operation took last, by case.
    before: HashMap<String, f64>,
    served: Option<Served>,
}

impl Workbench<'_> {
    /// Builds and runs it; says what is wrong.
    fn round(&mut self) {
        if let Err(error) = self.try_round() {
            ui::complain(&imgserve_base::fault::chain(&error));
        }
    }

    fn try_round(&mut self) -> Result<(), Failure> {
        let arguments = self.arguments;
        let began = Instant::now();
        let file = build::component(&arguments.dir)?;
        let built = began.elapsed();
        let lab = Lab::open(&file, &arguments.limits)?;
        match &arguments.source {
            Some(source) => self.run_source(&lab, source)?,
            None => self.run_cases(&lab)?,
        }
        let ran = began.elapsed() - built;
        ui::say(&format!(
            "built in {:.1} s, loaded and run in {:.2} s",
            built.as_secs_f64(),
            ran.as_secs_f64()
        ));
        if let Some(port) = arguments.serve {
            self.serve(&file, port)?;
        }
        Ok(())
    }

    fn run_source(&mut self, lab: &Lab, source: &Path) -> Result<(), Failure> {
        let bytes =
            std::fs::read(source).map_err(Failure::io(format!("cannot read {}", source.display())))?;
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = PathBuf::from(&name).with_added_extension("png");
        let trial = Trial {
            source: bytes.into(),
            extension: source.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
            args: self.arguments.args.clone(),
            format: lab.format_for(&result)?,
        };
        match lab.attempt(&trial) {
            Ok(measured) => self.tell(lab, (&name, &result), &measured, "done"),
            Err(fault) => ui::say(&format!("FAILED  {name}: {}: {fault}", fault.kind)),
        }
        Ok(())
    }

    fn run_cases(&mut self, lab: &Lab) -> Result<(), Failure> {
        let dir = &self.arguments.dir;
        for case in &Cases::of(dir)?.case {
            match case.attempt(lab, dir) {
                Ok(measured) => {
                    let verdict = case.compare(dir, &measured.outcome.bytes);
                    let said = verdict.as_ref().map_or("DIFFERS", |same| same);
                    self.tell(lab, (&case.name, case.result()), &measured, said);
                    if let Err(text) = &verdict {
                        ui::say(&format!("        {text}"));
                    }
                }
                Err(text) => ui::say(&format!("FAILED  {}: {text}", case.name)),
            }
        }
        Ok(())
    }

    /// One line about a run, and its result as a file.
    fn tell(&mut self, lab: &Lab, (name, result): (&str, &Path), measured: &Measured, verdict: &str) {
        warn(lab, measured);
        let usage = &measured.outcome.usage;
        let operation = usage.operation_us / 1e3;
        let before = self.before.insert(name.to_owned(), operation);
        let before = before.map_or(String::new(), |before| format!(", before {before:.2}"));
        let memory = match usage.memory_bytes {
            0 => String::new(),
            bytes => format!(", {}", build::readable(bytes as usize)),
        };
        ui::say(&format!(
            "{verdict:7} {}: {}x{}, operation {operation:.2} ms{before}{memory}",
            one_line(name, 100),
            measured.outcome.width,
            measured.outcome.height
        ));
        let folder = self.arguments.dir.join("target/dev");
        let path = folder.join(result.file_name().unwrap_or_default());
        let written =
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &measured.outcome.bytes));
        if let Err(error) = written {
            ui::complain(&format!("cannot write {}: {error}", path.display()));
        }
    }

    fn serve(&mut self, file: &Path, port: u16) -> Result<(), Failure> {
        if let Some(served) = self.served.as_mut()
            && served.runs()
        {
            return served.reload();
        }
        let served = Served::start(&self.arguments.dir, file, port)?;
        ui::say(&format!("served  {}", served.address()));
        self.served = Some(served);
        Ok(())
    }
}
