//! Whether the default arguments that the configuration gives could be used, as far as they go: a preset that no request can
//! succeed with is found when it is written, and not by its first client.

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_sdk::Color;
use serde_json::{Map, Value};

use super::chain::Given;
use super::entry::Entry;
use super::host_arguments::{integer, kept, quality, text, writable};
use super::meant::Reading;
use super::table::Registry;

/// Longest value that an error repeats, in bytes.
const MAX_TEXT: usize = 300;

impl Registry {
    /// Looks at the default arguments of an operation, and of the steps that they name.
    ///
    /// # Errors
    /// A fault that names the operation and the argument.
    pub(super) fn check_defaults(&self, operation: &Entry) -> Result<(), Fault> {
        let name = &operation.name;
        let refuse = |text: String| {
            Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: default {text}"))
        };
        let defaults = operation.default_args(Reading::AsMeant);
        let (hosts, own) = operation.split(defaults.clone());
        check_hosts_own(&hosts).map_err(|fault| refuse(fault.text))?;
        operation.check_values(&Value::Object(own)).map_err(refuse)?;
        let chain =
            match self.chain(operation, Given { args: defaults, ..Given::default() }, Reading::ToTheLetter) {
                Ok(chain) => chain,
                // The request will bring it; but into a step that stands here it can bring nothing.
                Err(fault) if fault.kind == FaultKind::MissingArgument && !fault.text.contains("`steps[") => {
                    return Ok(());
                }
                Err(fault) => return Err(refuse(fault.text)),
            };
        if let Some(unknown) = chain.unknown.first() {
            return Err(refuse(format!("argument `{unknown}` is none that its operation has")));
        }
        if let Some(format) = text(&chain.host_args, "format").map_err(|fault| refuse(fault.text))? {
            let format = chain.format(format).map_err(|fault| refuse(fault.text))?;
            let kept = kept(&chain.host_args).and_then(|kept| kept.check(Some(format)));
            kept.map_err(|fault| refuse(fault.text))?;
        }
        for step in &chain.steps {
            let Some(operation) = self.get(&step.operation) else { continue };
            let checked = operation.check_values(&Value::Object(step.args.clone()));
            checked.map_err(|text| refuse(format!("{text} (of `{}`)", step.operation)))?;
        }
        Ok(())
    }
}

/// The arguments that an operation never sees.
fn check_hosts_own(args: &Map<String, Value>) -> Result<(), Fault> {
    if let Some(number) = integer(args, "quality")? {
        quality(number)?;
    }
    for name in ["field_name", "field_file"] {
        text(args, name)?;
    }
    kept(args)?;
    match text(args, "format")? {
        Some(format) if !writable().contains(&format) => {
            let text = format!("argument `format`: {format:?} is none of {}", writable().join(", "));
            Err(Fault::new(FaultKind::InvalidArgument, text))
        }
        _ => Ok(()),
    }
}

impl Entry {
    /// Whether each value is one that the schema allows, types and ranges; what is missing a request may bring.
    fn check_values(&self, args: &Value) -> Result<(), String> {
        if let Some((path, why)) = self.schema_error(args) {
            return Err(format!("argument `{path}`: {}", one_line(&why, MAX_TEXT)));
        }
        args.as_object().into_iter().flatten().try_for_each(|(name, value)| self.check_color(name, value))
    }

    /// A colour can be written in more ways than a schema can tell.
    fn check_color(&self, name: &str, value: &Value) -> Result<(), String> {
        match value.as_str() {
            Some(text) if self.description.arguments["properties"][name]["format"] == "color" => {
                let parsed = text.parse::<Color>();
                parsed
                    .map(|_| ())
                    .map_err(|error| format!("argument `{name}`: {}", one_line(&error.to_string(), MAX_TEXT)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use imgserve_config::{OperationSettings, PluginKind};
    use imgserve_sdk::Operation as _;
    use serde_json::json;

    use super::super::breaker::Breaker;
    use super::super::chain;
    use super::*;

    /// What is said of `x` with these default arguments, beside `resize` and `pipeline` themselves.
    fn checked(pipeline: bool, args: Value) -> Result<(), String> {
        let entry = |name: &str, plugin: &str, description, args: &Value| {
            let mut settings = OperationSettings::of_file(PluginKind::Builtin, "".into());
            settings.plugin = plugin.to_owned();
            settings.args = args.as_object().unwrap().clone();
            let breaker = Breaker::new(0, Duration::ZERO);
            Entry::new(name, settings, description, None, breaker).map(|entry| (name.to_owned(), entry))
        };
        let (none, resize) = (json!({}), imgserve_resize::Resize::describe);
        let operations = [
            entry("resize", "resize", resize(), &none),
            entry("pipeline", "pipeline", chain::description(), &none),
            match pipeline {
                true => entry("x", "pipeline", chain::description(), &args),
                false => entry("x", "resize", resize(), &args),
            },
        ];
        let operations: Result<_, Fault> = operations.into_iter().collect();
        let registry = operations.map(|operations| Registry::new(operations, Vec::new()));
        let checked = registry.and_then(|registry| registry.check_defaults(registry.get("x").unwrap()));
        checked.map_err(|fault| fault.text)
    }

    #[test]
    fn what_a_request_can_complete_is_fine() {
        for args in [
            json!({}),
            json!({ "width": 200 }),
            json!({ "fit": "contain", "quality": 80, "format": "webp" }),
            json!({ "lossless": true, "format": "webp" }),
            json!({ "width": 200, "height": 100, "field_name": "picture" }),
            json!({ "width": 200, "background": "rgb(255 136 0)", "enlarge": "never" }),
            json!({ "w": 200, "withoutEnlargement": true, "kernel": "linear", "flip": "h", "position": "Top Left" }),
            json!({ "gravity": "attention", "crop": ["10", "5 %", 20, "30%"], "Q": 7 }),
            json!({ "gravity": "NorthEast" }),
            json!({ "gravity": "top_center" }),
            json!({ "gravity": "Bottom Left" }),
            json!({ "gravity": "30% 70%" }),
        ] {
            assert_eq!(checked(false, args.clone()), Ok(()), "{args}");
        }
        let step = json!({ "operationType": "resize", "args": { "width": 2, "h": 2, "filter": "cubic", "flip": "V" } });
        for args in
            [json!({}), json!({ "steps": [step] }), json!({ "steps": [{ "operationType": "resize" }] })]
        {
            assert_eq!(checked(true, args.clone()), Ok(()), "{args}");
        }
    }

    #[test]
    fn what_no_request_could_succeed_with_is_refused_by_its_name() {
        for (args, wanted) in [
            (json!({ "width": "x" }), "default argument `width`: "),
            (json!({ "width": -3 }), "default argument `width`: "),
            (json!({ "width": 1e9 }), "default argument `width`: "),
            (json!({ "fit": "tight" }), "default argument `fit`: "),
            (json!({ "width": 9, "height": 0 }), "default argument `height`: "),
            (json!({ "background": "rad" }), "default argument `background`: \"rad\" is no colour"),
            (json!({ "quality": 1000 }), "default argument `quality`: 1000 is not in 1 to 100"),
            (json!({ "quality": "best" }), "default argument `quality`: "),
            (json!({ "format": "heic" }), "default argument `format`: \"heic\" is none of"),
            (json!({ "lossless": 1 }), "default argument `lossless`: 1 is not true or false"),
            (
                json!({ "lossless": true, "format": "avif" }),
                "default argument `lossless`: avif is written with",
            ),
            (
                json!({ "metadata": "some" }),
                "default argument `metadata`: \"some\" is none of strip, copyright, all",
            ),
            (json!({ "colors": 7 }), "default argument `colors`: 7 is not a string"),
            (json!({ "field_name": 7 }), "default argument `field_name`: 7 is not a string"),
            (json!({ "w": "x" }), "default argument `width`: "),
            (json!({ "width": 7, "w": 8 }), "default argument `w`: it is another name of `width`"),
            (json!({ "flip": "x" }), "default argument `flip`: "),
            (json!({ "gravity": "topp" }), "default argument `gravity`: "),
        ] {
            let error = checked(false, args.clone()).unwrap_err();
            assert!(error.starts_with(&format!("operation `x`: {wanted}")), "{args} gave {error}");
        }
        let steps = |step: Value| checked(true, json!({ "steps": [step] })).unwrap_err();
        assert!(steps(json!({ "operationType": "rezise" })).contains("`steps[0].operationType`"));
        let error = steps(json!({ "operationType": "pipeline", "args": {} }));
        assert_eq!(error, "operation `x`: default argument `steps[0].args.steps` is missing");
        let args = json!({ "width": 2, "height": 2, "widht": 2 });
        assert!(steps(json!({ "operationType": "resize", "args": args })).contains("`steps[0].args.widht`"));
        let args = json!({ "width": 2, "height": 2, "fit": "tight" });
        assert!(steps(json!({ "operationType": "resize", "args": args })).contains("argument `fit`"));
    }
}
