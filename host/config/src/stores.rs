//! `[stores.NAME]`: buckets and directories that URLs may name, and what it takes to reach them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::access::is_key_name;
use super::error::{ConfigError, value_error};
use super::{Access, Config};
use imgserve_base::secret::HIDDEN;

/// Keys of a section; the section's name is free.
pub(super) const KEYS: [&str; 12] = [
    "kind",
    "bucket",
    "endpoint",
    "region",
    "prefix",
    "path_style",
    "anonymous",
    "credentials_file",
    "access_key_id",
    "secret_access_key",
    "account",
    "account_key",
];

/// One store's section.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// What sort of store it is.
    pub kind: StoreKind,
    /// The bucket; of Azure the container; of `file` an absolute directory.
    #[serde(default)]
    pub bucket: String,
    /// The server's URL, where that is not the kind's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What keys begin with; no others are reached.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether S3's bucket stands in paths and not in the host's name; see [`StoreSettings::path_style`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Whether requests are not signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// A file with the credentials; relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// S3's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
    /// Azure's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its key, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key: Option<String>,
}

/// What sort of store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Amazon S3, and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A directory.
    File,
}

impl StoreKind {
    /// The keys that are for other kinds.
    fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["account", "account_key"],
            Self::Gcs => {
                &["region", "path_style", "access_key_id", "secret_access_key", "account", "account_key"]
            }
            Self::Azure => &["region", "path_style", "access_key_id", "secret_access_key"],
            Self::File => &[
                "endpoint",
                "region",
                "path_style",
                "anonymous",
                "credentials_file",
                "access_key_id",
                "secret_access_key",
                "account",
                "account_key",
            ],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::File => "file",
        }
    }
}

/// Without its secrets.
impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("kind", &self.kind)
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl StoreSettings {
    /// Whether the bucket stands in paths: where nothing is said, at an endpoint of one's own.
    pub fn path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    /// The secrets, each with its key.
    pub(super) fn secrets(&mut self) -> impl Iterator<Item = (&'static str, &mut String)> {
        let all =
            [("secret_access_key", &mut self.secret_access_key), ("account_key", &mut self.account_key)];
        all.into_iter().filter_map(|(key, secret)| Some((key, secret.as_mut()?)))
    }

    /// A file is meant from where the configuration is.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(path) = &mut self.credentials_file {
            *path = directory.join(&*path);
        }
    }

    fn has(&self, key: &str) -> bool {
        match key {
            "endpoint" => self.endpoint.is_some(),
            "region" => self.region.is_some(),
            "path_style" => self.path_style.is_some(),
            "anonymous" => self.anonymous,
            "credentials_file" => self.credentials_file.is_some(),
            "access_key_id" => self.access_key_id.is_some(),
            "secret_access_key" => self.secret_access_key.is_some(),
            "account" => self.account.is_some(),
            "account_key" => self.account_key.is_some(),
            _ => false,
        }
    }

    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, text: &str| Err(value_error(&format!("stores.{name}.{key}"), text));
        if let Some(key) = self.kind.foreign().iter().find(|key| self.has(key)) {
            return wrong(key, &format!("is not for kind = {:?}", self.kind.name()));
        }
        if self.bucket.is_empty() {
            let text = "is missing: it names the bucket; of kind \"azure\" the container, of kind \"file\" the directory";
            return wrong("bucket", text);
        }
        match self.kind {
            StoreKind::File if !Path::new(&self.bucket).is_absolute() => {
                return wrong("bucket", "must be an absolute directory: a daemon works in /");
            }
            StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure if !is_bucket(&self.bucket) => {
                return wrong("bucket", "is no name of a bucket: letters, digits, -, _ and . are");
            }
            _ => {}
        }
        if let Some(endpoint) = &self.endpoint
            && !is_server(endpoint)
        {
            return wrong("endpoint", "must be the URL of a server, such as \"https://minio.example:9000\"");
        }
        let names = self.prefix.strip_suffix('/').unwrap_or(&self.prefix).split('/');
        if !self.prefix.is_empty() && names.into_iter().any(|name| ["", ".", ".."].contains(&name)) {
            return wrong("prefix", "must be names with one / between them, such as \"shop/photos/\"");
        }
        for (key, other) in [
            ("secret_access_key", ["access_key_id", "secret_access_key"]),
            ("access_key_id", ["secret_access_key", "access_key_id"]),
        ] {
            if self.has(other[0]) && !self.has(other[1]) {
                return wrong(key, &format!("is missing: `{}` has one", other[0]));
            }
        }
        let secrets = ["access_key_id", "account_key", "credentials_file"];
        let given: Vec<&str> = secrets.into_iter().filter(|key| self.has(key)).collect();
        if let [first, second, ..] = given[..] {
            return wrong(
                second,
                &format!("stands beside `{first}`: one of them says what the credentials are"),
            );
        }
        if self.anonymous && !given.is_empty() {
            return wrong(given[0], "stands beside `anonymous`, which wants none");
        }
        if let Some((key, _)) = self.clone().secrets().find(|(_, secret)| *secret == HIDDEN) {
            return wrong(key, "\"…\" stands instead of a secret: `imgserve config --secrets` prints it");
        }
        Ok(())
    }

    /// What the keys that it reaches begin with: nothing, or names that each end in a slash.
    pub fn prefix(&self) -> String {
        match self.prefix.strip_suffix('/').unwrap_or(&self.prefix) {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }
}

impl Config {
    pub(super) fn check_stores(&self) -> Result<(), ConfigError> {
        let mut before: Vec<(&str, &StoreSettings)> = Vec::new();
        for (name, store) in &self.stores {
            if !is_key_name(name) {
                let text = "must be called by 1 to 64 lowercase letters, digits, - and _, such as \"photos\"";
                return Err(value_error(&format!("stores.{}", name.escape_debug()), text));
            }
            store.check(name)?;
            let same = |(_, other): &&(&str, &StoreSettings)| {
                (store.kind, &store.bucket, store.prefix()) == (other.kind, &other.bucket, other.prefix())
            };
            if let Some((other, _)) = before.iter().find(same).filter(|_| store.kind != StoreKind::File) {
                let text = format!("has the bucket and prefix of stores.{other}: no URL tells them apart");
                return Err(value_error(&format!("stores.{name}"), &text));
            }
            before.push((name, store));
        }
        self.access.check_stores(self)
    }
}

impl Access {
    fn check_stores(&self, config: &Config) -> Result<(), ConfigError> {
        for (index, key) in self.api_keys.iter().enumerate() {
            for (position, text) in key.stores.iter().flatten().enumerate() {
                let at = format!("access.api_keys[{index}].stores[{position}]");
                let Some(right) = StoreRight::parse(text) else {
                    let text = format!(
                        "{text:?} is not a store's name with :read or :write, such as \"photos:read\""
                    );
                    return Err(value_error(&at, &text));
                };
                if !config.stores.contains_key(right.store) {
                    let text = format!("there is no section [stores.{}]", right.store);
                    return Err(value_error(&at, &text));
                }
            }
        }
        Ok(())
    }
}

/// What an API key may do with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRight<'r> {
    /// The store's name.
    pub store: &'r str,
    /// Whether objects may be stored there; else they may be fetched.
    pub writes: bool,
}

impl<'r> StoreRight<'r> {
    /// Reads `NAME:read` or `NAME:write`.
    pub fn parse(text: &'r str) -> Option<Self> {
        let (store, right) = text.split_once(':')?;
        let writes = match right {
            "read" => false,
            "write" => true,
            _ => return None,
        };
        is_key_name(store).then_some(Self { store, writes })
    }
}

fn is_bucket(name: &str) -> bool {
    name.len() <= 222 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte))
}

/// Whether it is the URL of a server, with nothing of a request in it but where all of them begin.
fn is_server(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;

    const S3: &str = "[stores.photos]\nkind = 's3'\nbucket = 'shop'\n";

    #[test]
    fn a_section_says_what_it_takes() {
        let config =
            Config::parse(&format!("{S3}prefix = 'a/b'\n[stores.x]\nkind = 'file'\nbucket = '/srv'"))
                .unwrap();
        let (photos, x) = (&config.stores["photos"], &config.stores["x"]);
        assert_eq!(
            (photos.kind, photos.prefix().as_str(), photos.path_style()),
            (StoreKind::S3, "a/b/", false)
        );
        assert_eq!((x.kind, x.prefix().as_str()), (StoreKind::File, ""));
        let own = Config::parse(&format!("{S3}endpoint = 'http://127.0.0.1:9000'")).unwrap();
        assert!(own.stores["photos"].path_style());
        let named =
            Config::parse(&format!("{S3}endpoint = 'http://minio:9000'\npath_style = false")).unwrap();
        assert!(!named.stores["photos"].path_style());
    }

    #[test]
    fn errors_name_the_key_and_the_nearest_known_one() {
        let key =
            format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']\n", "0".repeat(64));
        for (text, wanted) in [
            (
                format!("{S3}bukket = 'x'"),
                "unknown key `stores.photos.bukket`: did you mean `stores.photos.bucket`?",
            ),
            ("[stores.photos]\nbucket = 'x'".to_owned(), "stores.photos: `kind` is missing"),
            (
                "[stores.photos]\nkind = 's4'\nbucket = 'x'".to_owned(),
                "stores.photos.kind: \"s4\" is none of s3, gcs",
            ),
            ("[stores.photos]\nkind = 's3'".to_owned(), "stores.photos.bucket: is missing"),
            ("[stores.photos]\nkind = 's3'\nbucket = 'a/b'".to_owned(), "stores.photos.bucket: is no name"),
            (
                "[stores.photos]\nkind = 'file'\nbucket = 'a'".to_owned(),
                "stores.photos.bucket: must be an absolute",
            ),
            (
                "[stores.photos]\nkind = 'gcs'\nbucket = 'a'\nregion = 'x'".to_owned(),
                "stores.photos.region: is not for kind = \"gcs\"",
            ),
            (format!("{S3}endpoint = 'minio'"), "stores.photos.endpoint: must be the URL of a server"),
            (format!("{S3}endpoint = 'https://u:p@h'"), "stores.photos.endpoint: must be"),
            (format!("{S3}prefix = '/a'"), "stores.photos.prefix: must be names"),
            (format!("{S3}prefix = 'a/../b'"), "stores.photos.prefix: must be names"),
            (format!("{S3}access_key_id = 'a'"), "stores.photos.secret_access_key: is missing"),
            (format!("{S3}secret_access_key = 'a'"), "stores.photos.access_key_id: is missing"),
            (
                format!("{S3}access_key_id = 'a'\nsecret_access_key = 'b'\ncredentials_file = 'c'"),
                "stores.photos.credentials_file: stands beside `access_key_id`",
            ),
            (
                format!("{S3}anonymous = true\ncredentials_file = 'c'"),
                "stores.photos.credentials_file: stands beside `anonymous`",
            ),
            (
                format!("{S3}{}", S3.replace("photos", "more")),
                "stores.photos: has the bucket and prefix of stores.more",
            ),
            (S3.replace("photos", "'Photos 1'"), "stores.Photos 1: must be called"),
            ("[stores]\nphotos = 1".to_owned(), "stores.photos: is a section"),
            (
                format!("{key}stores = ['photos:read']"),
                "access.api_keys[0].stores[0]: there is no section [stores.photos]",
            ),
            (
                format!("{key}stores = ['photos']\n{S3}"),
                "access.api_keys[0].stores[0]: \"photos\" is not a store's name",
            ),
            (
                format!("{key}stores = ['photos:delete']\n{S3}"),
                "access.api_keys[0].stores[0]: \"photos:delete\" is not",
            ),
        ] {
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text} gave {error:?}, wanted {wanted:?}");
        }
        assert!(Config::parse(&format!("{key}stores = ['photos:read', 'photos:write']\n{S3}")).is_ok());
    }

    #[test]
    fn secrets_are_shown_to_nobody_and_what_hides_them_is_no_secret() {
        let text = format!(
            "{S3}access_key_id = 'AKIA'\nsecret_access_key = 'hush1'\n[stores.blobs]\nkind = 'azure'\nbucket = 'b'\n\
             account = 'ada'\naccount_key = 'hush2'\n"
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.secrets(), ["[stores.blobs] account_key", "[stores.photos] secret_access_key"]);
        let whole = render(&config);
        assert_eq!(Config::parse(&whole).unwrap(), config, "{whole}");
        let shown = format!("{:?}{}", config, render(&config.clone().without_secrets()));
        assert!(shown.contains("AKIA") && shown.contains("ada") && !shown.contains("hush"), "{shown}");
        let error = Config::parse(&render(&config.without_secrets())).unwrap_err().to_string();
        assert!(error.contains("stands instead of a secret"), "{error}");
    }
}
