//! Requests of 0.2's four members that say nothing but what 0.2 could be told: they are held to what 0.2 refused, though more
//! is possible here. Pure.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_config::PluginKind;
use serde_json::{Map, Value};

use super::formats::not_taken;
use crate::registry::{Entry, Reading};

/// The operations of 0.2, which have learnt more since.
const OPERATIONS: [&str; 2] = [RESIZE, "rasterize"];
const RESIZE: &str = "resize";
/// What 0.2 could be told of them.
const ARGUMENTS: [&str; 4] = ["width", "height", "field_name", "field_file"];
/// Those that they needed.
const REQUIRED: [&str; 2] = ["width", "height"];
/// The extensions of the sources that `resize` took; those of `rasterize` are the same now.
const SOURCES: [&str; 4] = ["png", "gif", "jpg", "jpeg"];

/// A request that says nothing new.
pub(super) struct OfOld<'r> {
    operation: &'r Entry,
}

impl<'r> OfOld<'r> {
    /// Whether these arguments say nothing new; what nobody knows was ignored then, too.
    pub(super) fn of(operation: &'r Entry, args: &Map<String, Value>, reading: Reading) -> Option<Self> {
        let builtin =
            operation.settings.kind == PluginKind::Builtin && OPERATIONS.contains(&operation.name.as_str());
        let old = |name: &String| ARGUMENTS.contains(&name.as_str()) || !operation.understands(name);
        (reading == Reading::ToTheLetter && builtin && args.keys().all(old)).then_some(Self { operation })
    }

    /// Whether what 0.2 needed is there.
    ///
    /// # Errors
    /// [`FaultKind::MissingArgument`].
    pub(super) fn check_required(&self, args: &Map<String, Value>) -> Result<(), Fault> {
        let defaults = &self.operation.settings.args;
        match REQUIRED.into_iter().find(|name| !args.contains_key(*name) && !defaults.contains_key(*name)) {
            None => Ok(()),
            Some(name) => {
                let text = format!(
                    "argument `{name}` is missing; one side alone, or none, is enough beside an argument that 0.2 had not, \
                     such as `fit`, and at /v1"
                );
                Err(Fault::new(FaultKind::MissingArgument, text))
            }
        }
    }

    /// Whether 0.2 took this source's extension. One of a format whose results follow it now is taken for a destination of the same.
    ///
    /// # Errors
    /// [`FaultKind::SourceExtension`].
    pub(super) fn check_source(&self, source: &str, destination: Option<&str>) -> Result<(), Fault> {
        let follows = Format::from_extension(source).is_some_and(Format::follows_source);
        if self.operation.name != RESIZE
            || SOURCES.contains(&source)
            || self.operation.settings.args.contains_key("format")
            || (follows && destination == Some(source))
        {
            return Ok(());
        }
        let mut fault = not_taken(self.operation, source, &SOURCES);
        fault.text.push_str(" (others with the argument `format`)");
        Err(fault)
    }
}
