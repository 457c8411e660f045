//! An operation's arguments as a person is told them, from the schema that requests are checked by.

use serde_json::Value;

use super::entry::Entry;
use super::textual::{Allowed, parts};

/// An argument.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// Other names of it.
    pub(crate) aliases: Vec<String>,
    /// The types and values that are allowed, and the range of a number.
    pub(crate) values: String,
    /// What it is where nobody says it, as JSON.
    pub(crate) default: Option<String>,
    /// Whether a request must bring it.
    pub(crate) required: bool,
    /// What it means.
    pub(crate) meaning: String,
}

impl Entry {
    /// Its arguments, by name.
    pub(crate) fn told(&self) -> Vec<Told> {
        let root = &self.description.arguments;
        let required = |name: &str| {
            let names = root["required"].as_array();
            names.is_some_and(|names| names.iter().any(|required| required == name))
        };
        let told = |(name, schema): (&String, &Value)| Told {
            name: name.clone(),
            aliases: self.aliases.of_argument(name),
            values: [Some(Allowed::of(root, schema).told()), range(root, schema)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
            default: schema.get("default").map(Value::to_string),
            required: required(name),
            meaning: schema["description"]
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        };
        root["properties"].as_object().into_iter().flatten().map(told).collect()
    }
}

/// The range of a number, where one is said.
fn range(root: &Value, schema: &Value) -> Option<String> {
    let parts = parts(root, schema);
    let bound = |key: &str| parts.iter().find_map(|part| part[key].as_number());
    Some(format!("{} to {}", bound("minimum")?, bound("maximum")?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use imgserve_config::{OperationSettings, PluginKind};
    use imgserve_sdk::Operation as _;

    use super::super::breaker::Breaker;
    use super::*;

    #[test]
    fn every_argument_says_what_it_takes_and_means() {
        let settings = OperationSettings::of_file(PluginKind::Builtin, "".into());
        let description = imgserve_resize::Resize::describe();
        let entry =
            Entry::new("resize", settings, description, None, Breaker::new(0, Duration::ZERO)).unwrap();
        let told = entry.told();
        let of = |name: &str| told.iter().find(|told| told.name == name).unwrap();
        let width = of("width");
        assert_eq!(
            (width.values.as_str(), &width.default, width.required),
            ("an integer, 1 to 65535", &None, false)
        );
        assert_eq!(width.aliases, ["w"]);
        assert_eq!(of("fit").default.as_deref(), Some("\"cover\""));
        assert!(of("enlarge").values.contains("true or false") && of("enlarge").values.contains("\"never\""));
        for told in &told {
            assert!(!told.meaning.is_empty() && !told.values.contains("schema"), "{told:?}");
        }
    }
}
