//! A user's TOML over the defaults. A key that the defaults do not have is refused, because a misspelt limit
//! that is silently ignored protects nobody.

use toml::{Table, Value};

use super::error::{ConfigError, value_error};
use super::{codecs, operation_name, plain, stores};

/// The defaults, with a comment on every key.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Keys of an `[operations.NAME]` section; the section's name is free.
const OPERATION_KEYS: [&str; 11] = [
    "kind",
    "plugin",
    "path",
    "sha256",
    "memory_limit_mb",
    "time_limit_ms",
    "max_output_pixels",
    "profile",
    "config",
    "args",
    "enabled",
];

/// The defaults with `text`'s values put over them.
pub(super) fn over_defaults(text: &str) -> Result<Table, ConfigError> {
    let mut merged: Table = DEFAULTS.parse().expect("defaults.toml is TOML: a test parses it");
    let user: Table = text.parse().map_err(|error| syntax_error(text, &error))?;
    plain::check("", &user)?;
    for (section, values) in user {
        let known: Vec<&str> = merged.keys().map(String::as_str).collect();
        if !known.contains(&section.as_str()) {
            return Err(unknown(&section, "", &known));
        }
        let Value::Table(values) = values else {
            return Err(value_error(&section, "is a section: write it as [section]"));
        };
        let Some(Value::Table(target)) = merged.get_mut(&section) else { continue };
        match section.as_str() {
            "operations" => merge_operations(target, values)?,
            "stores" => merge_named(target, values, ("stores", &stores::KEYS))?,
            "codecs" => {
                let names = values.keys();
                names.into_iter().try_for_each(|name| operation_name::check(name, ("codecs", "a codec")))?;
                merge_named(target, values, ("codecs", &codecs::KEYS))?;
            }
            _ => merge_section(&section, target, values)?,
        }
    }
    Ok(merged)
}

fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = text.floor_char_boundary(error.span().map_or(0, |span| span.start));
    let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
    ConfigError::Syntax {
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        text: error.message().trim().to_owned(),
    }
}

fn merge_section(section: &str, target: &mut Table, values: Table) -> Result<(), ConfigError> {
    for (key, value) in values {
        if !target.contains_key(&key) {
            let known: Vec<&str> = target.keys().map(String::as_str).collect();
            return Err(unknown(&key, section, &known));
        }
        target.insert(key, value);
    }
    Ok(())
}

fn merge_operations(target: &mut Table, operations: Table) -> Result<(), ConfigError> {
    for (name, values) in operations {
        // Before its name is part of a key's.
        operation_name::check(&name, ("operations", "an operation"))?;
        let path = format!("operations.{name}");
        let Value::Table(values) = values else {
            return Err(value_error(&path, "is a section: write it as [operations.NAME]"));
        };
        if let Some(key) = values.keys().find(|key| !OPERATION_KEYS.contains(&key.as_str())) {
            return Err(unknown(key, &path, &OPERATION_KEYS));
        }
        match target.get_mut(&name) {
            // A section that says what kind it is stands for itself; one that does not changes what is there.
            Some(Value::Table(existing)) if !values.contains_key("kind") => existing.extend(values),
            _ => {
                target.insert(name, Value::Table(values));
            }
        }
    }
    Ok(())
}

/// Sections of their own, of which the defaults have none.
fn merge_named(target: &mut Table, sections: Table, (of, keys): (&str, &[&str])) -> Result<(), ConfigError> {
    for (name, values) in sections {
        let path = format!("{of}.{}", name.escape_debug());
        let Value::Table(section) = &values else {
            return Err(value_error(&path, &format!("is a section: write it as [{of}.NAME]")));
        };
        if let Some(key) = section.keys().find(|key| !keys.contains(&key.as_str())) {
            return Err(unknown(key, &path, keys));
        }
        target.insert(name, values);
    }
    Ok(())
}

fn unknown(key: &str, section: &str, known: &[&str]) -> ConfigError {
    let full = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    let nearest = known.iter().max_by(|a, b| similarity(key, a).total_cmp(&similarity(key, b)));
    let hint = match nearest {
        Some(nearest) if similarity(key, nearest) > 0.7 => format!(": did you mean `{}`?", full(nearest)),
        _ => format!(": known are {}", known.join(", ")),
    };
    ConfigError::UnknownKey { key: full(key), hint }
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
