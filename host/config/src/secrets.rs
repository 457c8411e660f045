//! Which keys of a configuration hold secrets: those that hold nothing else, and, in the settings of plugins, what
//! [`imgserve_base::secret`] takes for one.

use imgserve_base::database;
use imgserve_base::secret::{self, HIDDEN};
use serde_json::{Map, Value};

use super::Config;
use super::error::{ConfigError, value_error};

impl Config {
    /// The keys with secrets, each with its section. Of an API key there is the digest alone, which lets nobody in.
    pub fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.access.url_keys.is_empty() {
            found.push("[[access.url_keys]] secret".to_owned());
        }
        if database::shown(&self.jobs.journal) != self.jobs.journal {
            found.push("[jobs] journal".to_owned());
        }
        if !self.webhooks.secret.is_empty() {
            found.push("[webhooks] secret".to_owned());
        }
        for (name, store) in &self.stores {
            found.extend(store.clone().secrets().map(|(key, _)| format!("[stores.{name}] {key}")));
        }
        for (name, operation) in &self.operations {
            for (table, values) in [("config", &operation.config), ("args", &operation.args)] {
                let hidden = secret::hidden(&format!("[operations.{name}] {table}"), values);
                found.extend(hidden.into_iter().map(|(path, _)| path));
            }
        }
        found
    }

    /// The same to be shown to anyone: with "…" for each secret, which no server takes for one, and URLs without password and
    /// query.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        let secrets = self.access.url_keys.iter_mut().map(|key| &mut key.secret);
        for secret in secrets.chain([&mut self.webhooks.secret]).filter(|secret| !secret.is_empty()) {
            HIDDEN.clone_into(secret);
        }
        for store in self.stores.values_mut() {
            store.secrets().for_each(|(_, secret)| HIDDEN.clone_into(secret));
        }
        self.jobs.journal = database::shown(&self.jobs.journal);
        for operation in self.operations.values_mut() {
            operation.config = secret::shown(&operation.config);
            operation.args = secret::shown(&operation.args);
        }
        self
    }
}

/// Whether the settings of a plugin, at `path`, are whole: a configuration that was printed for others is none.
pub(super) fn check(path: &str, settings: &Map<String, Value>) -> Result<(), ConfigError> {
    match secret::hidden(path, settings).into_iter().find(|(_, text)| text == HIDDEN) {
        Some((path, _)) => {
            let text =
                format!("\"{HIDDEN}\" stands instead of a secret: `imgserve config --secrets` prints it");
            Err(value_error(&path, &text))
        }
        None => Ok(()),
    }
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
            ("[jobs]\njournal = 'postgresql://ada:x@db/jobs'".to_owned(), "[jobs] journal"),
            ("[jobs]\njournal = 'postgresql://ada@db/jobs'".to_owned(), ""),
            (
                format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']", "0".repeat(64)),
                "",
            ),
            (format!("{plugin}config = {{ Auth-Token = 'x' }}"), "[operations.x] config.Auth-Token"),
            (
                format!("{plugin}config = {{ db = {{ password = 'x', user = 'y' }} }}"),
                "[operations.x] config.db.password",
            ),
            (
                format!("{plugin}config = {{ apiKey = 'x', api-key = 'y' }}"),
                "[operations.x] config.api-key; [operations.x] config.apiKey",
            ),
            (format!("{plugin}config = {{ token = '', tokens = 3 }}"), ""),
            (format!("{plugin}args = {{ logo = 'https://u:p@h/x.png' }}"), "[operations.x] args.logo"),
            (
                format!("{plugin}args = {{ logos = ['https://h/a:b@c', 'ftp://u:p@h'] }}"),
                "[operations.x] args.logos[1]",
            ),
            (format!("{plugin}args = {{ logo = 'https://u@h/x:y@z.png', text = 'a:b@c' }}"), ""),
        ] {
            assert_eq!(of(&text), wanted, "{text}");
        }
    }
}
