//! Operation name → what is known of its plugin and its settings. Built from the configuration and from what the
//! workers say they have loaded; requests are checked against it before anything is fetched.
//!
//! # Layout
//! - this file: the operations, and the checks of their arguments
//! - `chain`: from a request's operation to the steps that are run
//! - `described`: whether what a plugin says of itself is usable
//! - `textual`: arguments that came as text, such as in a URL's query
//! - `breaker`: an operation whose plugin keeps failing is refused for a while

mod breaker;
mod chain;
mod described;
mod textual;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_config::{self as config, Config, PluginKind, Profile};
use imgserve_sdk::{Description, InputKind};
use imgserve_worker::plugin::Artifact;
use imgserve_worker::{Loaded, Step};
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Value};

pub(crate) use breaker::{Breaker, BreakerState};
pub(crate) use chain::Chain;

/// All operations that requests may name.
#[derive(Debug)]
pub(crate) struct Registry {
    operations: BTreeMap<String, Operation>,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its name in the registry.
    pub name: String,
    /// Its section of the configuration.
    pub settings: config::Operation,
    /// Whether its work is for time or quality; `[codec]` says it where its section does not.
    pub profile: Profile,
    /// What its plugin says of itself.
    pub description: Description,
    /// Its plugin's file; none for a builtin one.
    pub artifact: Option<Artifact>,
    /// Whether it is refused for a while.
    pub breaker: Breaker,
    arguments: described::Arguments,
}

impl Registry {
    /// The enabled operations of the configuration, described by what the workers have loaded.
    ///
    /// # Errors
    /// A fault that names the operation whose schema or default arguments are not usable.
    pub(crate) fn build(config: &Config, loaded: &[Loaded]) -> Result<Self, Fault> {
        let mut operations = BTreeMap::new();
        let plugins = &config.plugins;
        for (name, settings) in config.operations.iter().filter(|(_, settings)| settings.enabled) {
            let (description, artifact) = match loaded.iter().find(|loaded| loaded.name == *name) {
                Some(Loaded { description, artifact, .. }) => (description.clone(), artifact.clone()),
                None if settings.is_pipeline() => (chain::description(), None),
                None => continue,
            };
            let pause = Duration::from_secs(plugins.breaker_pause_s);
            // A builtin operation fails on hostile images, and is not to be refused to others for it.
            let failures = if settings.kind == PluginKind::Builtin { 0 } else { plugins.breaker_failures };
            let breaker = Breaker::new(failures, pause);
            let mut operation = Operation::new(name, settings.clone(), description, artifact, breaker)?;
            operation.profile = settings.profile.unwrap_or(config.codec.profile);
            operations.insert(name.clone(), operation);
        }
        let registry = Self { operations };
        for operation in registry.operations.values() {
            registry.check_defaults(operation)?;
        }
        Ok(registry)
    }

    /// The operation of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// All operations, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// The file name extensions of the sources that an operation takes, lowercase; a pipeline takes what its first step
    /// does, and so whatever any operation does.
    pub(crate) fn source_extensions<'r>(&'r self, operation: &'r Operation) -> Vec<&'r str> {
        if !operation.settings.is_pipeline() {
            return operation.source_extensions();
        }
        let others = self.iter().filter(|operation| !operation.settings.is_pipeline());
        let all: BTreeSet<&str> = others.flat_map(Operation::source_extensions).collect();
        all.into_iter().collect()
    }

    /// Notes that a task of these steps has succeeded, or whose plugin has failed it.
    pub(crate) fn note(&self, steps: &[Step], outcome: Result<(), &Fault>) {
        match outcome {
            Ok(()) => {
                steps.iter().filter_map(|step| self.get(&step.operation)).for_each(|o| o.breaker.succeeded());
            }
            Err(fault) => {
                let blamed = fault.operation.as_deref().and_then(|name| self.get(name));
                if let Some(pause) = blamed.and_then(|operation| operation.breaker.failed()) {
                    let operation = fault.operation.as_deref().unwrap_or_default();
                    tracing::warn!(
                        operation,
                        "refused for {} s after repeated failures: {fault}",
                        pause.as_secs()
                    );
                }
            }
        }
    }

    /// Refuses steps of which one's plugin has failed too often of late.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`], with the time after which it is tried again.
    pub(crate) fn check_suspended(&self, steps: &[Step]) -> Result<(), Fault> {
        steps.iter().try_for_each(|step| self.suspended(step, Breaker::check))
    }

    /// The same for a job that will run: where an operation is to be tried again, this is the job that tries it.
    ///
    /// # Errors
    /// [`FaultKind::OperationSuspended`].
    pub(crate) fn admit(&self, steps: &[Step]) -> Result<(), Fault> {
        // All are looked at before the first is tried.
        self.check_suspended(steps)?;
        // Each operation once, however often the chain has it: its second step is the same try.
        let names: BTreeSet<&str> = steps.iter().map(|step| step.operation.as_str()).collect();
        let first = |name: &str| steps.iter().find(|step| step.operation == name);
        names.into_iter().filter_map(first).try_for_each(|step| self.suspended(step, Breaker::admit))
    }

    fn suspended(&self, step: &Step, ask: impl Fn(&Breaker) -> Result<(), Duration>) -> Result<(), Fault> {
        let Some(Err(left)) = self.get(&step.operation).map(|operation| ask(&operation.breaker)) else {
            return Ok(());
        };
        let left = breaker::seconds(left);
        let text = format!(
            "the plugin of `{}` has failed repeatedly: it is tried again in {left} s ([plugins] breaker_failures)",
            step.operation
        );
        let fault = Fault::new(FaultKind::OperationSuspended, text);
        Err(Fault { retry_after_s: Some(left), ..fault })
    }

    /// Whether the default arguments are usable, as far as they go.
    fn check_defaults(&self, operation: &Operation) -> Result<(), Fault> {
        match self.chain(operation, operation.default_args()) {
            Err(fault) if fault.kind != FaultKind::MissingArgument => {
                let text = format!("operation `{}`: default {}", operation.name, fault.text);
                Err(Fault::new(FaultKind::OperationFailed, text))
            }
            _ => Ok(()),
        }
    }
}

impl Operation {
    fn new(
        name: &str,
        settings: config::Operation,
        description: Description,
        artifact: Option<Artifact>,
        breaker: Breaker,
    ) -> Result<Self, Fault> {
        let refuse =
            |text: String| Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: {text}"));
        let arguments = described::check(&description).map_err(refuse)?;
        let (name, profile) = (name.to_owned(), Profile::default());
        let operation = Self { name, settings, profile, description, artifact, breaker, arguments };
        let defaults = &operation.settings.args;
        if let Some(key) =
            defaults.keys().find(|key| !operation.knows(key) && !HOST_ARGUMENTS.contains(&key.as_str()))
        {
            return Err(refuse(format!(
                "default argument `{key}` is none of {}",
                operation.argument_names().join(", ")
            )));
        }
        let quality =
            integer(defaults, "quality").and_then(|number| number.map(quality).transpose().map(|_| ()));
        quality.map_err(|fault| refuse(format!("default {}", fault.text)))?;
        Ok(operation)
    }

    /// Arguments of requests that do not say otherwise.
    pub(crate) fn default_args(&self) -> Map<String, Value> {
        self.settings.default_args(self.profile)
    }

    /// Whether its schema has this argument.
    pub(crate) fn knows(&self, argument: &str) -> bool {
        self.description.arguments["properties"].get(argument).is_some()
    }

    fn argument_names(&self) -> Vec<&str> {
        let properties = self.description.arguments["properties"].as_object();
        properties.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// The file name extensions of the sources it takes, lowercase.
    pub(crate) fn source_extensions(&self) -> Vec<&str> {
        match &self.description.input {
            InputKind::Pixels { .. } => {
                let readable = Format::ALL.iter().filter(|format| format.can_decode());
                readable.flat_map(|format| format.extensions()).copied().collect()
            }
            InputKind::Encoded { formats } => formats
                .iter()
                .flat_map(|name| {
                    Format::from_name(name).map_or_else(|| vec![name.as_str()], |f| f.extensions().to_vec())
                })
                .collect(),
        }
    }

    /// Checks required arguments first, then types, as 0.2's codes 106 and 107 do. Ranges are for the plan.
    ///
    /// # Errors
    /// [`FaultKind::MissingArgument`] or [`FaultKind::WrongType`], naming the argument.
    pub(crate) fn check(&self, args: &Value) -> Result<(), Fault> {
        if !self.arguments.can_check(args) {
            let text = format!("`{}` does not take so many values in its arguments", self.name);
            return Err(Fault::new(FaultKind::InvalidArgument, text));
        }
        let mut wrong_type = None;
        for error in self.arguments.validator.iter_errors(args) {
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    let text = format!("argument `{}` is missing", path(&error, name));
                    return Err(Fault::new(FaultKind::MissingArgument, text));
                }
                _ if has_wrong_type(&error) => {
                    wrong_type.get_or_insert_with(|| type_fault(&error));
                }
                _ => {}
            }
        }
        match wrong_type.or_else(|| self.fractional_integer(args)) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// JSON Schema takes 200.0 for an integer; 0.2 did not, and neither do the operations.
    fn fractional_integer(&self, args: &Value) -> Option<Fault> {
        let properties = self.description.arguments["properties"].as_object()?;
        let (name, value) = args.as_object()?.iter().find(|(name, value)| {
            value.is_f64() && properties.get(*name).is_some_and(|schema| schema["type"] == "integer")
        })?;
        // An integer too long for 64 bits is read as a float: it has the right type and an impossible value.
        if value.as_f64().is_some_and(|number| number.abs() >= 1e18) {
            return Some(Fault::new(
                FaultKind::InvalidArgument,
                format!("argument `{name}`: {value} is out of range"),
            ));
        }
        Some(Fault::new(FaultKind::WrongType, format!("argument `{name}`: {value} is not an integer")))
    }
}

/// Whether a server can work with what a plugin says of itself.
///
/// # Errors
/// A text that says what is wrong with it.
pub(crate) fn check_description(description: &Description) -> Result<(), String> {
    described::check(description).map(|_| ())
}

/// Members of `args` that are the host's own: an operation never sees them.
pub(crate) const HOST_ARGUMENTS: [&str; 4] = ["field_name", "field_file", "format", "quality"];

/// Names of the formats that are written.
pub(crate) fn writable() -> Vec<&'static str> {
    Format::written().map(Format::name).collect()
}

/// An encoding quality, 1 to 100.
///
/// # Errors
/// [`FaultKind::InvalidArgument`].
pub(crate) fn quality(quality: i64) -> Result<u8, Fault> {
    u8::try_from(quality).ok().filter(|quality| (1..=100).contains(quality)).ok_or_else(|| {
        Fault::new(FaultKind::InvalidArgument, format!("argument `quality`: {quality} is not in 1 to 100"))
    })
}

/// One of the host's own arguments, an integer.
///
/// # Errors
/// [`FaultKind::WrongType`].
pub(crate) fn integer(args: &Map<String, Value>, name: &str) -> Result<Option<i64>, Fault> {
    match args.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong_type(name, value, "an integer")),
    }
}

/// One of the host's own arguments, a string.
///
/// # Errors
/// [`FaultKind::WrongType`].
pub(crate) fn text<'a>(args: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Fault> {
    match args.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| wrong_type(name, value, "a string")),
    }
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Fault {
    Fault::new(FaultKind::WrongType, format!("argument `{name}`: {value} is not {wanted}"))
}

fn path(error: &ValidationError<'_>, property: &str) -> String {
    let parent = error.instance_path().to_string();
    let parent = parent.trim_start_matches('/').replace('/', ".");
    if parent.is_empty() { property.to_owned() } else { format!("{parent}.{property}") }
}

/// Whether a value is of another JSON type than the schema allows, rather than of the right type and impossible. The
/// schema of an enum has one branch for each of its names.
fn has_wrong_type(error: &ValidationError<'_>) -> bool {
    let other_type =
        |expected: &Value| mem::discriminant(expected) != mem::discriminant(error.instance().as_ref());
    match error.kind() {
        ValidationErrorKind::Type { .. } => true,
        ValidationErrorKind::Constant { expected_value } => other_type(expected_value),
        ValidationErrorKind::Enum { options } => {
            options.as_array().is_some_and(|all| all.iter().all(other_type))
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            context.iter().all(|branch| branch.iter().any(has_wrong_type))
        }
        _ => false,
    }
}

fn type_fault(error: &ValidationError<'_>) -> Fault {
    let name = error.instance_path().to_string().trim_start_matches('/').replace('/', ".");
    let wanted = match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => format!("of type {kind}"),
        _ => "of a type that the schema of this argument has".to_owned(),
    };
    Fault::new(FaultKind::WrongType, format!("argument `{name}`: {} is not {wanted}", error.instance()))
}
