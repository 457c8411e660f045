//! From a request's operation and arguments to the steps that are run: one, or for a pipeline each of its steps with
//! their own defaults and checks.

use std::collections::BTreeMap;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_config::{PIPELINE, Profile};
use imgserve_sdk::{Description, Frames, InputKind, OutputKind, PixelFormat};
use imgserve_worker::Step;
use serde_json::{Map, Value, json};

use super::entry::Entry;
use super::host_arguments::writable;
use super::meant::{Reading, meant_of_host};
use super::table::Registry;

/// Most steps of a pipeline, those of pipelines in it included.
const MAX_STEPS: usize = 16;

/// What is run for a request.
#[derive(Debug)]
pub(crate) struct Chain<'r> {
    /// At least one.
    pub steps: Vec<Step>,
    /// Arguments that nobody knows, as paths.
    pub unknown: Vec<String>,
    operations: Vec<&'r Entry>,
    /// The host's own arguments: the request's over the last step's defaults.
    pub host_args: Map<String, Value>,
    reading: Reading,
}

/// An operation's arguments as they are meant, its defaults among them.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// By their own names.
    pub(crate) args: Map<String, Value>,
    /// By which other names they came, by their own.
    pub(crate) written: BTreeMap<String, String>,
}

impl Registry {
    /// The steps for an operation with these arguments.
    ///
    /// # Errors
    /// [`FaultKind::MissingArgument`], [`FaultKind::WrongType`] or [`FaultKind::InvalidArgument`], naming the argument.
    pub(crate) fn chain<'r>(
        &'r self,
        operation: &'r Entry,
        given: Given,
        reading: Reading,
    ) -> Result<Chain<'r>, Fault> {
        let (mut host_args, args) = operation.split(given.args);
        meant_of_host(&mut host_args, reading);
        let (steps, unknown, operations, host) = (vec![], vec![], vec![], Map::new());
        let mut chain = Chain { steps, unknown, operations, host_args: host, reading };
        self.add(&mut chain, operation, operation.profile, Given { args, ..given }, "")?;
        let last = chain.operations.last().map(|last| last.split(last.settings.args.clone()).0);
        chain.host_args = last.unwrap_or_default();
        chain.host_args.extend(host_args);
        chain.check_order()?;
        Ok(chain)
    }

    fn add<'r>(
        &'r self,
        chain: &mut Chain<'r>,
        operation: &'r Entry,
        profile: Profile,
        given: Given,
        at: &str,
    ) -> Result<(), Fault> {
        let Given { args, written } = given;
        let own = Value::Object(args);
        operation.check(&own).map_err(|fault| under(at, fault.as_written(&written)))?;
        let Value::Object(own) = own else { return Ok(()) };
        if chain.reading == Reading::AsMeant {
            operation.aliases.check_once(own.keys()).map_err(|fault| under(at, fault))?;
        }
        let unknown = own.keys().filter(|key| !operation.knows(key));
        chain.unknown.extend(unknown.map(|key| format!("{at}{key}")));
        if !operation.settings.is_pipeline() {
            chain.operations.push(operation);
            let at = at.trim_end_matches(".args.").to_owned();
            chain.steps.push(Step { operation: operation.name.clone(), args: own, profile, at, written });
            if chain.steps.len() > MAX_STEPS {
                let text = format!(
                    "argument `steps`: more than {MAX_STEPS} steps, those of pipelines in it included"
                );
                return Err(invalid(text));
            }
            return Ok(());
        }
        let steps = own.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if steps.is_empty() {
            return Err(invalid(format!("argument `{at}steps`: at least one step is needed")));
        }
        // Each nesting takes a level of dots, so a pipeline that names itself ends here.
        if at.matches('.').count() >= MAX_STEPS {
            return Err(invalid(format!("argument `{at}steps`: pipelines within pipelines without end")));
        }
        for (index, step) in steps.iter().enumerate() {
            self.add_step(chain, step, profile, &format!("{at}steps[{index}]."))?;
        }
        Ok(())
    }

    fn add_step<'r>(
        &'r self,
        chain: &mut Chain<'r>,
        step: &Value,
        profile: Profile,
        at: &str,
    ) -> Result<(), Fault> {
        let name = step["operationType"].as_str().unwrap_or_default();
        let operation = self.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            invalid(format!(
                "argument `{at}operationType`: \"{}\" is none of {}",
                name.escape_debug(),
                known.join(", ")
            ))
        })?;
        let given = step["args"].as_object().cloned().unwrap_or_default();
        let written = operation.aliases.written(&given);
        let given = operation.meant(given, chain.reading);
        if let Some(key) = given.keys().find(|key| operation.is_hosts(key)) {
            return Err(invalid(format!(
                "argument `{at}args.{key}` belongs into the args of the whole pipeline"
            )));
        }
        // A pipeline's profile is its steps', unless their own sections say otherwise.
        let profile = operation.settings.profile.unwrap_or(profile);
        let mut args = operation.split(operation.default_args(chain.reading)).1;
        args.extend(given);
        self.add(chain, operation, profile, Given { args, written }, &format!("{at}args."))
    }
}

impl<'r> Chain<'r> {
    /// The operation that is given the source.
    pub(crate) fn first(&self) -> &'r Entry {
        self.operations.first().expect("a chain has at least one step")
    }

    /// What comes out at the end: the last operation that does not leave the format as it is decides.
    pub(crate) fn output(&self) -> &'r OutputKind {
        let outputs = self.operations.iter().rev().map(|operation| &operation.description.output);
        let mut decided = outputs.skip_while(|output| **output == OutputKind::Source);
        decided.next().unwrap_or(&OutputKind::Source)
    }

    /// The format that a request asks for by this name.
    ///
    /// # Errors
    /// [`FaultKind::InvalidArgument`].
    pub(crate) fn format(&self, name: &str) -> Result<Format, Fault> {
        if let OutputKind::Encoded { media_type, .. } = self.output() {
            return Err(invalid(format!(
                "argument `format`: the result is {media_type}, which has no other format"
            )));
        }
        Format::from_name(name).filter(|format| format.can_encode()).ok_or_else(|| {
            let known = writable().join(", ");
            invalid(format!("argument `format`: \"{}\" is none of {known}", name.escape_debug()))
        })
    }

    /// Whether each operation can take what the one before it gives.
    fn check_order(&self) -> Result<(), Fault> {
        for (pair, steps) in self.operations.windows(2).zip(self.steps.windows(2)) {
            let ([before, after], [first, second]) = (pair, steps) else { continue };
            if let OutputKind::Encoded { media_type, .. } = &before.description.output {
                let (at, name) = (&first.at, &before.name);
                let text = format!("argument `{at}`: `{name}` gives {media_type}: it can only be the last");
                return Err(invalid(text));
            }
            if let InputKind::Encoded { formats } = &after.description.input {
                let (at, name, formats) = (&second.at, &after.name, formats.join(", "));
                let text =
                    format!("argument `{at}`: `{name}` takes {formats} files: it can only be the first");
                return Err(invalid(text));
            }
        }
        Ok(())
    }
}

fn invalid(text: String) -> Fault {
    Fault::new(FaultKind::InvalidArgument, text)
}

/// The fault of an argument of a step, named by its whole path.
fn under(at: &str, mut fault: Fault) -> Fault {
    fault.text = fault.text.replacen("argument `", &format!("argument `{at}"), 1);
    fault
}

/// What a pipeline says of itself, in the place of a plugin.
pub(super) fn description() -> Description {
    let summary = "Runs several operations one after the other, without a file in between.";
    Description {
        name: PIPELINE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: summary.to_owned(),
        input: InputKind::Pixels { formats: PixelFormat::ALL.to_vec(), frames: Frames::Each },
        output: OutputKind::Source,
        arguments: json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Args",
            "type": "object",
            "required": ["steps"],
            "properties": {
                "steps": {
                    "description": "The operations, in order. Each is planned on what the one before it gives. One that \
                        takes files can only be the first, one that gives files only the last.",
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_STEPS,
                    "items": {
                        "type": "object",
                        "required": ["operationType"],
                        "properties": {
                            "operationType": { "description": "The operation's name.", "type": "string" },
                            "args": { "description": "Its arguments.", "type": "object" }
                        }
                    }
                }
            }
        }),
        examples: Vec::new(),
    }
    .example(
        "a square icon of a drawing",
        json!({ "steps": [
            { "operationType": "rasterize", "args": { "width": 512, "height": 512, "fit": "contain" } },
            { "operationType": "resize", "args": { "width": 64, "height": 64 } }
        ] }),
    )
}
