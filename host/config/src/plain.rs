//! Values of TOML that JSON does not have: a plugin's arguments and settings cannot be infinite, not a number, or a date.

use toml::{Table, Value};

use super::error::{ConfigError, value_error};

/// Refuses what no plugin and no limit can be told, anywhere in `table`, whose path is `at`.
///
/// # Errors
/// [`ConfigError::Value`] with the key's full path.
pub(super) fn check(at: &str, table: &Table) -> Result<(), ConfigError> {
    table.iter().try_for_each(|(key, value)| {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        check_value(&path, value)
    })
}

fn check_value(path: &str, value: &Value) -> Result<(), ConfigError> {
    match value {
        Value::Float(number) if !number.is_finite() => {
            Err(value_error(path, &format!("{number} is no number that anything can be")))
        }
        Value::Datetime(_) => Err(value_error(path, "is a date: write it as text, between quotation marks")),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check_value(&format!("{path}[{index}]"), value)),
        Value::Table(table) => check(path, table),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn what_json_does_not_have_is_refused_wherever_it_stands() {
        let section = "[operations.x]\nkind = 'builtin'\nplugin = 'resize'\n";
        for (text, wanted) in [
            ("args = { width = inf }", "operations.x.args.width: inf is no number"),
            ("args = { width = -inf }", "operations.x.args.width: -inf is no number"),
            ("args = { region = { x = nan } }", "operations.x.args.region.x: NaN is no number"),
            ("args = { steps = [1, { a = inf }] }", "operations.x.args.steps[1].a: inf is no number"),
            ("config = { since = 2026-01-01 }", "operations.x.config.since: is a date"),
            ("time_limit_ms = inf", "operations.x.time_limit_ms: inf is no number"),
        ] {
            let error = Config::parse(&format!("{section}{text}")).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text} gave {error}");
        }
        let error = Config::parse("[limits]\nmax_source_mb = nan").unwrap_err().to_string();
        assert!(error.starts_with("limits.max_source_mb: NaN is no number"), "{error}");
    }
}
