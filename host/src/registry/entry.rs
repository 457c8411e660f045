//! One operation as requests see it: its settings, what its plugin says of itself, and the checks of its arguments.

use std::mem;

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_base::format::Format;
use imgserve_base::secret;
use imgserve_config::{self as config, PluginKind, Profile};
use imgserve_sdk::{Description, InputKind};
use imgserve_worker::LINEAR;
use imgserve_worker::plugin::Artifact;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use serde_json::{Map, Value};

use super::aliases::Aliases;
use super::breaker::Breaker;
use super::described;
use super::host_arguments::{HOST_ARGUMENTS, LATER_ARGUMENTS};
use super::meant::Reading;
use super::textual::{Allowed, parts};

/// The most of a value and of a name that is told again, in bytes.
const MAX_VALUE: usize = 100;
const MAX_NAME: usize = 100;
/// The schema of what no schema is there for.
static NOTHING: Value = Value::Null;

/// The argument that says what becomes of a source that is too small. 0.2 refused one.
const ENLARGE: &str = "enlarge";

/// One operation.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name in the registry.
    pub name: String,
    /// Its section of the configuration.
    pub settings: config::OperationSettings,
    /// Whether its work is for time or quality; `[codec]` says it where its section does not.
    pub profile: Profile,
    /// What its plugin says of itself.
    pub description: Description,
    /// Its plugin's file; none for a builtin one.
    pub artifact: Option<Artifact>,
    /// Whether it is refused for a while.
    pub breaker: Breaker,
    /// Other names of its arguments.
    pub(super) aliases: Aliases,
    arguments: described::Arguments,
}

impl Entry {
    /// An operation of this profile's default, whose settings and description are checked.
    pub(super) fn new(
        name: &str,
        settings: config::OperationSettings,
        description: Description,
        artifact: Option<Artifact>,
        breaker: Breaker,
    ) -> Result<Self, Fault> {
        let refuse =
            |text: String| Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: {text}"));
        let arguments = described::check(&description).map_err(refuse)?;
        let (name, profile) = (name.to_owned(), Profile::default());
        let aliases = Aliases::of(&description.arguments);
        let mut operation =
            Self { name, settings, profile, description, artifact, breaker, aliases, arguments };
        let defaults = operation.aliases.renamed(mem::take(&mut operation.settings.args));
        let once = operation.aliases.check_once(defaults.keys());
        once.map_err(|fault| refuse(format!("default {}", fault.text)))?;
        if let Some(key) = defaults.keys().find(|key| !operation.knows(key) && !operation.is_hosts(key)) {
            return Err(refuse(format!(
                "default argument `{key}` is none of {}",
                operation.argument_names().join(", ")
            )));
        }
        operation.settings.args = defaults;
        Ok(operation)
    }

    /// Arguments of requests that do not say otherwise.
    pub(crate) fn default_args(&self, reading: Reading) -> Map<String, Value> {
        let mut args = Map::new();
        if reading == Reading::ToTheLetter && self.has_of_ours(ENLARGE) {
            args.insert(ENLARGE.to_owned(), Value::Bool(false));
        }
        args.extend(self.settings.args.clone());
        args
    }

    /// The same as they may be shown to anyone, with what a worker takes for said where nobody says it.
    pub(crate) fn shown_default_args(&self) -> Map<String, Value> {
        let mut args = secret::shown(&self.default_args(Reading::AsMeant));
        if self.profile == Profile::Best && self.has_of_ours(LINEAR) {
            args.entry(LINEAR).or_insert(Value::Bool(true));
        }
        args
    }

    /// Whether it is one of ours that has this argument. What an argument of that name is to a third party's plugin is its
    /// own business.
    fn has_of_ours(&self, argument: &str) -> bool {
        self.settings.kind == PluginKind::Builtin && self.knows(argument)
    }

    /// Whether its schema has this argument.
    pub(crate) fn knows(&self, argument: &str) -> bool {
        self.description.arguments["properties"].get(argument).is_some()
    }

    /// Whether an argument of this name is the host's own.
    pub(super) fn is_hosts(&self, argument: &str) -> bool {
        let later = || LATER_ARGUMENTS.contains(&argument) && !self.knows(argument);
        HOST_ARGUMENTS.contains(&argument) || later()
    }

    /// The host's own arguments, and the operation's.
    pub(super) fn split(&self, args: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
        args.into_iter().partition(|(key, _)| self.is_hosts(key))
    }

    /// Whether this argument means something, by whatever name, to it or to the host.
    pub(crate) fn understands(&self, argument: &str) -> bool {
        self.knows(argument) || self.aliases.own_name(argument).is_some() || self.is_hosts(argument)
    }

    fn argument_names(&self) -> Vec<&str> {
        let properties = self.description.arguments["properties"].as_object();
        properties.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// The file name extensions of the sources it takes, lowercase.
    pub(crate) fn source_extensions(&self) -> Vec<&str> {
        match &self.description.input {
            InputKind::Pixels { .. } => {
                Format::readable().flat_map(|format| format.extensions()).copied().collect()
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
        let root = &self.description.arguments;
        for error in self.arguments.validator.iter_errors(args) {
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    let name = LocationSegment::from(property.as_str().unwrap_or_default());
                    let place = error.instance_path().segments().chain([name]);
                    let text = format!("argument `{}` is missing", path(place));
                    return Err(Fault::new(FaultKind::MissingArgument, text));
                }
                _ if has_wrong_type(&error) => {
                    wrong_type.get_or_insert_with(|| type_fault(&error, root));
                }
                _ => {}
            }
        }
        match wrong_type.or_else(|| self.fractional_integer(args)) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Where and why the schema does not allow a value of these arguments; that one is missing does not count.
    pub(super) fn schema_error(&self, args: &Value) -> Option<(String, String)> {
        // What is wrong with all of them together is that some are missing.
        let missing = |error: &ValidationError<'_>| error.instance_path().to_string().is_empty();
        let error = self.arguments.validator.iter_errors(args).find(|error| !missing(error))?;
        let why = match shown(&error) == **error.instance() {
            true => error.to_string(),
            false => error.masked().to_string(),
        };
        Some((path(error.instance_path().segments()), why))
    }

    /// Whether arguments of this size can be checked in a moment.
    pub(super) fn can_check(&self, args: &Value) -> bool {
        self.arguments.can_check(args)
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

/// Where in the arguments something is, as texts have it: `region.y`, `steps[0].args`.
fn path<'s>(segments: impl Iterator<Item = LocationSegment<'s>>) -> String {
    let mut path = String::new();
    for segment in segments {
        match segment {
            LocationSegment::Property(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&one_line(&name, MAX_NAME));
            }
            LocationSegment::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
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

/// The value that is wrong, as it may be shown: errors of default arguments are told to everyone.
fn shown(error: &ValidationError<'_>) -> Value {
    let names = error.instance_path().segments().filter_map(|segment| match segment {
        LocationSegment::Property(name) => Some(name),
        LocationSegment::Index(_) => None,
    });
    secret::value_of(&names.last().unwrap_or_default(), error.instance())
}

fn type_fault(error: &ValidationError<'_>, root: &Value) -> Fault {
    let place = error.instance_path();
    let wanted = Allowed::of(root, schema_at(root, place.segments())).told();
    let value = one_line(&shown(error).to_string(), MAX_VALUE);
    let text = format!("argument `{}`: {value} is not {wanted}", path(place.segments()));
    Fault::new(FaultKind::WrongType, text)
}

/// The part of a schema that a value at this place is under; nothing where none is.
fn schema_at<'s>(root: &'s Value, place: impl Iterator<Item = LocationSegment<'s>>) -> &'s Value {
    place.fold(root, |schema, segment| {
        let parts = parts(root, schema);
        let found = match &segment {
            LocationSegment::Property(name) => {
                parts.iter().find_map(|part| part["properties"].get(name.as_ref()))
            }
            LocationSegment::Index(_) => parts.iter().find_map(|part| part.get("items")),
        };
        found.unwrap_or(&NOTHING)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use imgserve_sdk::Operation as _;
    use serde_json::json;

    use super::*;

    fn operation(kind: PluginKind, args: &Value, description: Description) -> Entry {
        let settings = config::OperationSettings {
            args: args.as_object().unwrap().clone(),
            ..config::OperationSettings::of_file(kind, "".into())
        };
        Entry::new("test", settings, description, None, Breaker::new(0, Duration::ZERO)).unwrap()
    }

    #[test]
    fn an_argument_of_a_name_that_the_host_took_later_is_the_operations_own() {
        let arguments = json!({ "properties": { "colors": { "type": "integer" } } });
        let description = Description { arguments, ..imgserve_resize::Resize::describe() };
        let entry = operation(PluginKind::Wasm, &json!({}), description);
        let args = json!({ "colors": 7, "metadata": "all", "quality": 9 });
        let (hosts, own) = entry.split(args.as_object().unwrap().clone());
        assert_eq!(
            (json!(hosts), json!(own)),
            (json!({ "metadata": "all", "quality": 9 }), json!({ "colors": 7 }))
        );
        let texts = ["colors", "lossless"]
            .map(|name| (name.to_owned(), if name == "colors" { "7" } else { "true" }.to_owned()));
        assert_eq!(json!(entry.read_texts(&texts)), json!({ "colors": 7, "lossless": true }));
    }

    #[test]
    fn an_argument_is_named_by_its_whole_path() {
        let side = json!({ "type": "integer" });
        let region =
            json!({ "type": "object", "required": ["x", "y"], "properties": { "x": side, "y": side } });
        let arguments = json!({ "type": "object", "properties": {
            "region": region,
            "regions": { "type": "array", "items": { "$ref": "#/$defs/Region" } },
            "fit": { "oneOf": [{ "const": "cover", "type": "string" }, { "const": "fill", "type": "string" }] },
        }, "$defs": { "Region": region } });
        let description = Description { arguments, ..imgserve_resize::Resize::describe() };
        let operation = operation(PluginKind::Wasm, &json!({}), description);
        for (args, text) in [
            (json!({ "region": { "x": 1 } }), "argument `region.y` is missing"),
            (json!({ "region": { "x": 1, "y": "2" } }), "argument `region.y`: \"2\" is not an integer"),
            (json!({ "region": 7 }), "argument `region`: 7 is not an object"),
            (json!({ "regions": [{ "x": 1, "y": 2 }, { "x": 1 }] }), "argument `regions[1].y` is missing"),
            (
                json!({ "regions": [{ "x": 1, "y": true }] }),
                "argument `regions[0].y`: true is not an integer",
            ),
            (json!({ "fit": 5 }), "argument `fit`: 5 is not \"cover\" or \"fill\""),
        ] {
            assert_eq!(operation.check(&args).unwrap_err().text, text, "{args}");
        }
    }

    #[test]
    fn an_error_repeats_no_secret() {
        let number = json!({ "type": "integer" });
        let arguments = json!({ "properties": { "auth": { "properties": { "token": number } }, "logos": { "items": number } } });
        let description = Description { arguments, ..imgserve_resize::Resize::describe() };
        let operation = operation(PluginKind::Wasm, &json!({}), description);
        for (args, place) in [
            (json!({ "auth": { "token": "hunter2" } }), "auth.token"),
            (json!({ "logos": ["https://u:hunter2@h/"] }), "logos[0]"),
        ] {
            let text = operation.check(&args).unwrap_err().text;
            assert!(
                text.starts_with(&format!("argument `{place}`: \"")) && !text.contains("hunter2"),
                "{text}"
            );
            let (path, why) = operation.schema_error(&args).unwrap();
            assert!(path == place && !why.contains("hunter2"), "{path}: {why}");
        }
        let (_, why) = operation.schema_error(&json!({ "logos": ["x"] })).unwrap();
        assert!(why.contains("\"x\""), "{why}");
    }

    #[test]
    fn default_arguments_are_shown_without_their_secrets() {
        let arguments = json!({ "properties": { "auth_token": {}, "logo": {}, "width": {} } });
        let description = Description { arguments, ..imgserve_resize::Resize::describe() };
        let args = json!({ "auth_token": "x", "logo": "https://u:p@h/logo.png", "width": 3 });
        let operation = operation(PluginKind::Wasm, &args, description);
        assert_eq!(Value::Object(operation.default_args(Reading::AsMeant)), args);
        let shown = json!({ "auth_token": "…", "logo": "https://u@h/logo.png", "width": 3 });
        assert_eq!(Value::Object(operation.shown_default_args()), shown);
    }

    #[test]
    fn to_the_letter_a_source_that_is_too_small_is_refused_where_nobody_says_otherwise() {
        let (resize, rasterize) =
            (imgserve_resize::Resize::describe, imgserve_rasterize::Rasterize::describe);
        for (operation, wanted) in [
            (operation(PluginKind::Builtin, &json!({}), resize()), json!({ "enlarge": false })),
            (
                operation(PluginKind::Builtin, &json!({ "enlarge": "never" }), resize()),
                json!({ "enlarge": "never" }),
            ),
            (operation(PluginKind::Wasm, &json!({}), resize()), json!({})),
            (operation(PluginKind::Builtin, &json!({}), rasterize()), json!({})),
        ] {
            let args = operation.default_args(Reading::ToTheLetter);
            assert_eq!(Value::Object(args), wanted, "{operation:?}");
            assert!(
                !operation.settings.args.is_empty() || operation.default_args(Reading::AsMeant).is_empty()
            );
        }
    }

    #[test]
    fn quality_is_linear_where_a_builtin_operation_can_be_and_its_section_does_not_say() {
        let (resize, rasterize) =
            (imgserve_resize::Resize::describe, imgserve_rasterize::Rasterize::describe);
        let (builtin, wasm) = (PluginKind::Builtin, PluginKind::Wasm);
        for (mut operation, fast, best) in [
            (operation(builtin, &json!({}), resize()), json!({}), json!({ "linear": true })),
            (
                operation(builtin, &json!({ "width": 7 }), resize()),
                json!({ "width": 7 }),
                json!({ "width": 7, "linear": true }),
            ),
            (
                operation(builtin, &json!({ "linear": false }), resize()),
                json!({ "linear": false }),
                json!({ "linear": false }),
            ),
            (operation(builtin, &json!({}), rasterize()), json!({}), json!({})),
            (operation(wasm, &json!({}), resize()), json!({}), json!({})),
        ] {
            for (profile, shown) in [(Profile::Fast, &fast), (Profile::Best, &best)] {
                operation.profile = profile;
                assert_eq!(Value::Object(operation.shown_default_args()), *shown, "{operation:?}");
                let own = Value::Object(operation.default_args(Reading::AsMeant));
                assert_eq!(own, fast, "what nobody says is not said for them: {operation:?}");
            }
        }
    }
}
