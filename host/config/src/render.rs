//! The configuration in force as TOML, with the comments of `defaults.toml` and a mark where it differs.

use std::fmt::Write as _;

use toml_edit::{DocumentMut, Item, Table, Value};

use super::{Config, DEFAULTS};

/// `config` as a TOML file that would give the same configuration again.
pub fn render(config: &Config) -> String {
    let mut document: DocumentMut = DEFAULTS.parse().expect("defaults.toml is TOML: a test parses it");
    let wanted = toml_edit::ser::to_document(config).expect("a Config has only TOML types");
    for (section, values) in wanted.iter() {
        let Some(target) = document.get_mut(section).and_then(Item::as_table_mut) else { continue };
        let Some(values) = values.as_table_like() else { continue };
        for (key, item) in values.iter() {
            match (target.get_mut(key), item) {
                (Some(Item::Value(old)), Item::Value(new)) => replace(old, new),
                (_, item) => put_section(target, key, item),
            }
        }
    }
    let mut text = document.to_string();
    if !text.ends_with('\n') {
        let _ = writeln!(text);
    }
    text
}

/// Sets a value and keeps its comments; a value that differs from the default says so.
fn replace(old: &mut Value, new: &Value) {
    if old.to_string().trim() == new.to_string().trim() {
        return;
    }
    let default = old.to_string().trim().to_owned();
    let mut value = new.clone();
    *value.decor_mut() = old.decor().clone();
    value.decor_mut().set_suffix(format!("  # default: {default}"));
    *old = value;
}

/// The section of an operation or of a store is taken as it is: it has no comments of its own, and its keys are the user's.
fn put_section(sections: &mut Table, name: &str, item: &Item) {
    let Some(values) = item.as_table_like() else { return };
    let mut table = Table::new();
    for (key, value) in values.iter() {
        let value = value.clone().into_value().expect("its values are values");
        table.insert(key, Item::Value(value));
    }
    if let Some(existing) = sections.get(name).and_then(Item::as_table) {
        *table.decor_mut() = existing.decor().clone();
        table.set_position(existing.position());
    } else {
        table.decor_mut().set_prefix("\n");
    }
    sections.insert(name, Item::Table(table));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_gives_the_same_configuration() {
        let text = "[server]\nport = 1234\n[access]\nallow_networks = ['127.0.0.0/8']\n[operations.thumb]\n\
                    kind = 'builtin'\nplugin = 'resize'\nargs = { width = 20, fit = 'cover' }\n\
                    [operations.rasterize]\nenabled = false\n";
        let config = Config::parse(text).unwrap();
        let printed = render(&config);
        assert_eq!(Config::parse(&printed).unwrap(), config, "{printed}");
        assert!(printed.contains("port = 1234  # default: 8602"), "{printed}");
        assert!(printed.contains("# TCP port"), "{printed}");
    }

    #[test]
    fn keys_are_printed_and_their_secrets_only_when_wanted() {
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let text = format!(
            "[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs', 'admin']\n\
             [[access.url_keys]]\nname = 'web'\nsecret = '{secret}'\n[webhooks]\nsecret = 'whsec_{secret}'\n\
             [operations.x]\nkind = 'wasm'\npath = '/x.wasm'\nconfig = {{ token = '{secret}' }}\n\
             args = {{ logo = 'https://u:{secret}@h/x.png' }}\n",
            "ab".repeat(32)
        );
        let config = Config::parse(&text).unwrap();
        let whole = render(&config);
        assert_eq!(Config::parse(&whole).unwrap(), config, "{whole}");
        let shown = render(&config.without_secrets());
        assert!(!shown.contains(secret) && shown.contains(&"ab".repeat(32)), "{shown}");
        // What is hidden must not pass for a secret.
        let refused = |text: &str| Config::parse(text).unwrap_err().to_string();
        let (others, section) = shown.split_once("[operations.x]").unwrap();
        assert!(refused(others).contains("secret: must be"), "{}", refused(others));
        let error = refused(&format!("[operations.x]{section}"));
        assert!(error.starts_with("operations.x.config.token: \"…\" stands instead of a secret"), "{error}");
    }

    #[test]
    fn the_defaults_print_as_they_are_written() {
        let config = Config::parse("").unwrap();
        assert_eq!(render(&config), DEFAULTS);
    }
}
