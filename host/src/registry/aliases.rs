//! Other names of arguments, by habit from other programs: `w` for `width`. An argument's schema lists them in `x-aliases`, with
//! what their values are called here where that differs: `{"w": {}, "withoutEnlargement": {"true": "never"}}`. Other names of
//! its values it lists in `x-values`: `{"linear": "bilinear"}`.

use std::collections::{BTreeMap, BTreeSet};

use imgserve_base::fault::{Fault, FaultKind};
use serde_json::{Map, Value};

use super::host_arguments::{HOST_ARGUMENTS, LATER_ARGUMENTS};
use super::textual::{Allowed, parts};

/// Where a schema lists them.
const KEY: &str = "x-aliases";
/// Where it lists those of its values.
const VALUES: &str = "x-values";

/// Those of the host's own arguments.
const OF_HOST: [(&str, &str); 2] = [("q", "quality"), ("fm", "format")];

/// The other names of an operation's arguments, and of the host's.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// By the letters of each, in lower case: `withoutEnlargement` is `without_enlargement`, and `Width` is `width`.
    known: BTreeMap<String, Alias>,
    own: BTreeSet<String>,
    /// Of an argument by its own name, what is meant by the letters of a value.
    values: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug)]
struct Alias {
    /// The argument's own name.
    name: String,
    /// As it is listed; none for the argument's own name in other letters.
    listed: Option<String>,
    /// By the text of a value, what it is called there.
    values: Map<String, Value>,
}

impl Aliases {
    /// Those that an arguments' schema lists. A name that is an argument's own, or the host's, is none.
    pub(super) fn of(schema: &Value) -> Self {
        let properties = schema["properties"].as_object();
        let names = properties
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .chain(HOST_ARGUMENTS)
            .chain(LATER_ARGUMENTS);
        let own = names.clone().map(str::to_owned).collect();
        let mut aliases = Self { own, ..Self::default() };
        for (name, property) in properties.into_iter().flatten() {
            aliases.values.insert(name.clone(), values(schema, property));
            for (alias, values) in property[KEY].as_object().into_iter().flatten() {
                aliases.add(alias, name, values.as_object().cloned().unwrap_or_default());
            }
        }
        OF_HOST.into_iter().for_each(|(alias, name)| aliases.add(alias, name, Map::new()));
        for name in names {
            let alias = Alias { name: name.to_owned(), listed: None, values: Map::new() };
            aliases.known.entry(letters(name)).or_insert(alias);
        }
        aliases
    }

    fn add(&mut self, alias: &str, name: &str, values: Map<String, Value>) {
        if !self.own.contains(alias) {
            let known = Alias { name: name.to_owned(), listed: Some(alias.to_owned()), values };
            self.known.entry(letters(alias)).or_insert(known);
        }
    }

    /// The argument's own name, of another one.
    pub(super) fn own_name(&self, name: &str) -> Option<&str> {
        self.alias(name).map(|alias| alias.name.as_str())
    }

    fn alias(&self, name: &str) -> Option<&Alias> {
        if self.own.contains(name) { None } else { self.known.get(&letters(name)) }
    }

    /// The other names of an argument.
    pub(super) fn of_argument(&self, name: &str) -> Vec<String> {
        let others = self.known.values().filter(|alias| alias.name == name);
        others.filter_map(|alias| alias.listed.clone()).collect()
    }

    /// Arguments and their values by their own names. Where one is there by two names, the other one stays as it is.
    pub(super) fn renamed(&self, args: Map<String, Value>) -> Map<String, Value> {
        let mut args = self.by_own_names(args);
        for (name, value) in &mut args {
            let meant = value.as_str().and_then(|text| self.values.get(name)?.get(&letters(text))).cloned();
            if let Some(meant) = meant {
                *value = meant;
            }
        }
        args
    }

    fn by_own_names(&self, args: Map<String, Value>) -> Map<String, Value> {
        if !args.keys().any(|name| self.alias(name).is_some()) {
            return args;
        }
        let (others, mut args): (Map<_, _>, Map<_, _>) =
            args.into_iter().partition(|(name, _)| self.alias(name).is_some());
        for (name, value) in others {
            match self.alias(&name) {
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

/// What is meant by the letters of a value; nothing where no other names are listed.
fn values(root: &Value, property: &Value) -> BTreeMap<String, Value> {
    let parts = parts(root, property);
    let others: Vec<_> = parts.iter().filter_map(|part| part[VALUES].as_object()).flatten().collect();
    let mut values = BTreeMap::new();
    if !others.is_empty() {
        let allowed = Allowed::of(root, property);
        let own = allowed.names().map(|name| (name, Value::from(name)));
        let others = others.into_iter().map(|(name, meant)| (name.as_str(), meant.clone()));
        for (name, meant) in own.chain(others) {
            values.entry(letters(name)).or_insert(meant);
        }
    }
    values
}

/// A name without what programs part its words by.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(|letter| !matches!(letter, '-' | '_' | ' '));
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn aliases() -> Aliases {
        Aliases::of(&json!({ "properties": {
            "width": { "x-aliases": { "w": {}, "height": {}, "format": {} } },
            "height": {},
            "filter": { "$ref": "#/$defs/Filter" },
            "fit": { "enum": ["cover", "fill"] },
            "enlarge": { "x-aliases": { "withoutEnlargement": { "true": "never", "false": "always" } } }
        }, "$defs": { "Filter": { "enum": ["bilinear", "catmull-rom"], "x-values": { "cubic": "catmull-rom", "bi linear": 7 } } } }))
    }

    #[test]
    fn arguments_get_their_own_names_and_values() {
        for (given, meant) in [
            (json!({ "w": 7 }), json!({ "width": 7 })),
            (json!({ "withoutEnlargement": true }), json!({ "enlarge": "never" })),
            (json!({ "withoutEnlargement": "x" }), json!({ "enlarge": "x" })),
            (json!({ "without_enlargement": true, "Height": 3 }), json!({ "enlarge": "never", "height": 3 })),
            (json!({ "q": 80, "FM": "png" }), json!({ "quality": 80, "format": "png" })),
            (json!({ "width": 7, "w": 8 }), json!({ "width": 7, "w": 8 })),
            (
                json!({ "filter": "Cubic", "fit": "COVER" }),
                json!({ "filter": "catmull-rom", "fit": "COVER" }),
            ),
            (
                json!({ "Filter": "CATMULL_ROM", "width": "cubic" }),
                json!({ "filter": "catmull-rom", "width": "cubic" }),
            ),
            (json!({ "filter": "Bi-Linear" }), json!({ "filter": "bilinear" })),
            (json!({ "filter": "box" }), json!({ "filter": "box" })),
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
        assert_eq!(
            (aliases().of_argument("width"), aliases().of_argument("height")),
            (vec!["w".to_owned()], vec![])
        );
        let alike = Aliases::of(&json!({ "properties": { "x": {}, "X": {}, "q": {} } }));
        assert_eq!((alike.own_name("x"), alike.own_name("X"), alike.own_name("q")), (None, None, None));
    }

    #[test]
    fn an_argument_by_two_names_is_refused() {
        let twice = ["width".to_owned(), "w".to_owned()];
        let text = aliases().check_once(twice.iter()).unwrap_err().text;
        assert!(text.contains("`w`") && text.contains("`width`"), "{text}");
        assert!(aliases().check_once(twice[..1].iter()).is_ok());
    }
}
