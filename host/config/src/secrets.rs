//! Which values of a configuration are secrets: by the keys that hold nothing else, and, in the settings of plugins, which name
//! their keys as they like, by what secrets are usually called and by the password of a URL.

use serde_json::{Map, Value};

use super::Config;

/// What is part of a key's name that holds a secret.
const NAMES: [&str; 8] =
    ["secret", "password", "passwd", "passphrase", "token", "credential", "api_key", "private_key"];

impl Config {
    /// The keys with secrets, each with its section. Of an API key there is the digest alone, which lets nobody in.
    pub fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.access.url_keys.is_empty() {
            found.push("[[access.url_keys]] secret".to_owned());
        }
        if !self.webhooks.secret.is_empty() {
            found.push("[webhooks] secret".to_owned());
        }
        for (name, operation) in &self.operations {
            for (table, values) in [("config", &operation.config), ("args", &operation.args)] {
                let section = format!("[operations.{name}] {table}");
                in_table(&section, values, &mut found);
            }
        }
        found
    }
}

fn in_table(path: &str, table: &Map<String, Value>, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{path}.{key}");
        let name = key.to_ascii_lowercase().replace('-', "_");
        let is_named = NAMES.iter().any(|secret| name.contains(secret));
        match value {
            Value::String(text) if is_named && !text.is_empty() => found.push(path),
            value => in_value(&path, value, found),
        }
    }
}

fn in_value(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if has_password(text) => found.push(path.to_owned()),
        Value::Array(values) => values.iter().for_each(|value| in_value(path, value, found)),
        Value::Object(table) => in_table(path, table, found),
        _ => {}
    }
}

/// Whether a text is a URL with a password in it.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let of = |text: &str| Config::parse(text).unwrap().secrets().join("; ");
        let plugin = "[operations.x]\nkind = 'wasm'\npath = '/x.wasm'\n";
        for (text, wanted) in [
            (String::new(), ""),
            (format!("[[access.url_keys]]\nname = 'a'\nsecret = '{secret}'"), "[[access.url_keys]] secret"),
            (format!("[webhooks]\nsecret = 'whsec_{secret}'"), "[webhooks] secret"),
            (
                format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']", "0".repeat(64)),
                "",
            ),
            (format!("{plugin}config = {{ Auth-Token = 'x' }}"), "[operations.x] config.Auth-Token"),
            (
                format!("{plugin}config = {{ db = {{ password = 'x', user = 'y' }} }}"),
                "[operations.x] config.db.password",
            ),
            (format!("{plugin}config = {{ apiKey = 'x', api-key = 'y' }}"), "[operations.x] config.api-key"),
            (format!("{plugin}config = {{ token = '', tokens = 3 }}"), ""),
            (format!("{plugin}args = {{ logo = 'https://u:p@h/x.png' }}"), "[operations.x] args.logo"),
            (
                format!("{plugin}args = {{ logos = ['https://h/a:b@c', 'ftp://u:p@h'] }}"),
                "[operations.x] args.logos",
            ),
            (format!("{plugin}args = {{ logo = 'https://u@h/x:y@z.png', text = 'a:b@c' }}"), ""),
        ] {
            assert_eq!(of(&text), wanted, "{text}");
        }
    }
}
