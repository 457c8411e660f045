//! Other names of arguments, by habit from other programs: `w` for `width`. An argument's schema lists them in `x-aliases`, with
//! what their values are called here where that differs: `{"w": {}, "withoutEnlargement": {"true": "never"}}`.

use std::collections::BTreeMap;

use imgserve_base::fault::{Fault, FaultKind};
use serde_json::{Map, Value};

use super::host_arguments::HOST_ARGUMENTS;

/// Where a schema lists them.
const KEY: &str = "x-aliases";

/// The other names of an operation's arguments.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    known: BTreeMap<String, Alias>,
}

#[derive(Debug)]
struct Alias {
    /// The argument's own name.
    name: String,
    /// By the text of a value, what it is called there.
    values: Map<String, Value>,
}

impl Aliases {
    /// Those that an arguments' schema lists. A name that is an argument's own, or the host's, is none.
    pub(super) fn of(schema: &Value) -> Self {
        let mut known = BTreeMap::new();
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            for (alias, values) in property[KEY].as_object().into_iter().flatten() {
                let free = !properties.is_some_and(|own| own.contains_key(alias))
                    && !HOST_ARGUMENTS.contains(&alias.as_str());
                if free {
                    let values = values.as_object().cloned().unwrap_or_default();
                    known.insert(alias.clone(), Alias { name: name.clone(), values });
                }
            }
        }
        Self { known }
    }

    /// The argument's own name, of another one.
    pub(super) fn own_name(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(|alias| alias.name.as_str())
    }

    /// The other names of an argument.
    pub(super) fn of_argument(&self, name: &str) -> Vec<String> {
        self.known.iter().filter(|(_, alias)| alias.name == name).map(|(other, _)| other.clone()).collect()
    }

    /// Arguments by their own names. Where one is there by two names, the other one stays as it is.
    pub(super) fn renamed(&self, args: Map<String, Value>) -> Map<String, Value> {
        if !args.keys().any(|name| self.known.contains_key(name)) {
            return args;
        }
        let (others, mut args): (Map<_, _>, Map<_, _>) =
            args.into_iter().partition(|(name, _)| self.known.contains_key(name));
        for (name, value) in others {
            match self.known.get(&name) {
                Some(alias) if !args.contains_key(&alias.name) => {
                    args.insert(alias.name.clone(), alias.value(value));
                }
                _ => drop(args.insert(name, value)),
            }
        }
        args
    }

    /// By which other names arguments came, by their own: what [`Self::renamed`] gives their own names.
    pub(super) fn written(&self, args: &Map<String, Value>) -> BTreeMap<String, String> {
        let mut written = BTreeMap::new();
        for name in args.keys() {
            if let Some(own) = self.own_name(name).filter(|own| !args.contains_key(*own)) {
                written.entry(own.to_owned()).or_insert_with(|| name.clone());
            }
        }
        written
    }

    /// Refuses an argument that is there by two names: nobody can tell which of them is meant.
    ///
    /// # Errors
    /// [`FaultKind::InvalidArgument`].
    pub(super) fn check_once<'a>(&self, mut names: impl Iterator<Item = &'a String>) -> Result<(), Fault> {
        match names.find_map(|name| Some((name, self.own_name(name)?))) {
            None => Ok(()),
            Some((name, own)) => {
                let text =
                    format!("argument `{name}`: it is another name of `{own}`, which is there as well");
                Err(Fault::new(FaultKind::InvalidArgument, text))
            }
        }
    }
}

impl Alias {
    fn value(&self, value: Value) -> Value {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.values.get(&text).cloned().unwrap_or(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn aliases() -> Aliases {
        Aliases::of(&json!({ "properties": {
            "width": { "x-aliases": { "w": {}, "height": {}, "format": {} } },
            "height": {},
            "enlarge": { "x-aliases": { "withoutEnlargement": { "true": "never", "false": "always" } } }
        } }))
    }

    #[test]
    fn arguments_get_their_own_names_and_values() {
        for (given, meant) in [
            (json!({ "w": 7 }), json!({ "width": 7 })),
            (json!({ "withoutEnlargement": true }), json!({ "enlarge": "never" })),
            (json!({ "withoutEnlargement": "x" }), json!({ "enlarge": "x" })),
            (json!({ "width": 7, "w": 8 }), json!({ "width": 7, "w": 8 })),
            (
                json!({ "height": 7, "format": "png", "other": 1 }),
                json!({ "height": 7, "format": "png", "other": 1 }),
            ),
        ] {
            let Value::Object(args) = given.clone() else { panic!("{given}") };
            for (own, came) in aliases().written(&args) {
                assert!(meant[&own] != Value::Null && given[&came] != Value::Null, "{given}: {own}, {came}");
                assert_eq!((given.get(&own), meant.get(&came)), (None, None), "{given}");
            }
            assert_eq!(Value::Object(aliases().renamed(args)), meant, "{given}");
        }
    }

    #[test]
    fn an_argument_by_two_names_is_refused() {
        let twice = ["width".to_owned(), "w".to_owned()];
        let text = aliases().check_once(twice.iter()).unwrap_err().text;
        assert!(text.contains("`w`") && text.contains("`width`"), "{text}");
        assert!(aliases().check_once(twice[..1].iter()).is_ok());
    }
}
