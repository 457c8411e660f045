//! The stores of a configuration made ready for `transfer`: whose credentials they are used with, out of their sections, out of files
//! and out of the environment.

use std::collections::BTreeMap;
use std::path::Path;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_config::{Config, StoreKind, StoreSettings};
use imgserve_transfer as transfer;

/// What is read of the environment, and of a file with lines `NAME = VALUE`, in lower case as `object_store` calls it: S3's.
const OF_S3: [&str; 10] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_web_identity_token_file",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_endpoint_url_sts",
    "aws_container_credentials_relative_uri",
    "aws_container_credentials_full_uri",
    "aws_container_authorization_token_file",
];
/// Google's, which has files of its own.
const OF_GCS: [&str; 3] = ["google_service_account", "google_service_account_key", GOOGLE_FILE];
/// Azure's.
const OF_AZURE: [&str; 9] = [
    AZURE_ACCOUNT,
    "azure_storage_account_key",
    "azure_storage_sas_key",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "azure_authority_host",
    "azure_federated_token_file",
    "azure_msi_endpoint",
];
const AZURE_ACCOUNT: &str = "azure_storage_account_name";
const GOOGLE_FILE: &str = "google_application_credentials";
/// Where S3's region stands where the section has none.
const REGIONS: [&str; 2] = ["aws_region", "aws_default_region"];
/// The one part that is read of a file of several.
const DEFAULT_PROFILE: &str = "[default]";
/// The largest file with credentials, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Settings by their names in lower case.
type Settings = BTreeMap<String, String>;

/// All stores of a configuration; reads files.
///
/// # Errors
/// The fault of a file that cannot be read, or is none, with the key that names it.
pub(crate) fn configured(config: &Config) -> Result<Vec<transfer::StoreConfig>, Fault> {
    let of_us = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.to_str()?.to_ascii_lowercase(), value.to_str()?.to_owned()))
    };
    let environment: Settings =
        std::env::vars_os().filter_map(of_us).filter(|(_, value)| !value.is_empty()).collect();
    config.stores.iter().map(|(name, store)| of_section(name, store, &environment)).collect()
}

fn of_section(
    name: &str,
    store: &StoreSettings,
    environment: &Settings,
) -> Result<transfer::StoreConfig, Fault> {
    let mut credentials = credentials(name, store, environment)?;
    let of_environment = || REGIONS.into_iter().find_map(|region| environment.get(region));
    let of_file = credentials.remove(REGIONS[0]);
    let region = store.region.clone().or(of_file).or_else(|| of_environment().cloned());
    let endpoint = store.endpoint.as_deref().map(|endpoint| {
        endpoint.parse().map_err(|_| fault(name, "endpoint", &format!("{endpoint:?} is no URL")))
    });
    Ok(transfer::StoreConfig {
        name: name.to_owned(),
        kind: match store.kind {
            StoreKind::S3 => transfer::StoreKind::S3,
            StoreKind::Gcs => transfer::StoreKind::Gcs,
            StoreKind::Azure => transfer::StoreKind::Azure,
            StoreKind::File => transfer::StoreKind::File,
        },
        bucket: store.bucket.clone(),
        prefix: store.prefix(),
        endpoint: endpoint.transpose()?,
        region,
        path_style: store.path_style(),
        anonymous: store.anonymous,
        credentials: credentials.into_iter().collect(),
    })
}

/// With what requests are signed: what the section says, else its file, else the environment. What none of them says, the machine's
/// own role does.
fn credentials(name: &str, store: &StoreSettings, environment: &Settings) -> Result<Settings, Fault> {
    let known: &[&str] = match store.kind {
        StoreKind::S3 => &OF_S3,
        StoreKind::Gcs => &OF_GCS,
        StoreKind::Azure => &OF_AZURE,
        StoreKind::File => &[],
    };
    let mut found = Settings::new();
    if let Some(path) = &store.credentials_file {
        found = match store.kind {
            StoreKind::Gcs => {
                read(name, path)?;
                [(GOOGLE_FILE.to_owned(), path.display().to_string())].into()
            }
            _ => parsed(&read(name, path)?, known)
                .map_err(|why| fault(name, "credentials_file", &format!("{}: {why}", path.display())))?,
        };
    } else if store.access_key_id.is_none() && store.account_key.is_none() && !store.anonymous {
        let known = environment.iter().filter(|(name, _)| known.contains(&name.as_str()));
        found.extend(known.map(|(name, value)| (name.clone(), value.clone())));
    }
    for (key, value) in [
        ("aws_access_key_id", &store.access_key_id),
        ("aws_secret_access_key", &store.secret_access_key),
        (AZURE_ACCOUNT, &store.account),
        ("azure_storage_account_key", &store.account_key),
    ] {
        found.extend(value.clone().map(|value| (key.to_owned(), value)));
    }
    if store.kind == StoreKind::Azure && !found.contains_key(AZURE_ACCOUNT) {
        found.extend(
            environment.get(AZURE_ACCOUNT).map(|account| (AZURE_ACCOUNT.to_owned(), account.clone())),
        );
    }
    Ok(found)
}

#[allow(clippy::disallowed_methods, reason = "called on a thread for reading files")]
fn read(name: &str, path: &Path) -> Result<String, Fault> {
    let wrong = |why: String| fault(name, "credentials_file", &format!("{}: {why}", path.display()));
    match std::fs::metadata(path) {
        Ok(data) if data.len() > MAX_FILE => return Err(wrong(format!("it has more than {MAX_FILE} bytes"))),
        Ok(_) => {}
        Err(error) => return Err(wrong(error.to_string())),
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}

/// Reads lines `NAME = VALUE`, as of an environment or of `~/.aws/credentials`. No error repeats a value.
fn parsed(text: &str, known: &[&str]) -> Result<Settings, String> {
    let mut found = Settings::new();
    let mut counts = true;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            counts = line.eq_ignore_ascii_case(DEFAULT_PROFILE);
            continue;
        }
        if !counts {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| format!("line {number} has no `=`"))?;
        let name = match name.trim().to_ascii_lowercase() {
            name if name == "region" => REGIONS[0].to_owned(),
            name => name,
        };
        if !known.contains(&name.as_str()) && name != REGIONS[0] {
            return Err(format!("line {number}: what stands before its `=` is none of {}", known.join(", ")));
        }
        found.insert(name, value.trim().trim_matches('"').to_owned());
    }
    match found.is_empty() {
        true => Err(format!("it says nothing: write lines such as {} = …", known.first().unwrap_or(&"NAME"))),
        false => Ok(found),
    }
}

fn fault(store: &str, key: &str, why: &str) -> Fault {
    Fault::new(FaultKind::OperationFailed, format!("[stores.{store}] {key}: {why}"))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of the test's own")]
mod tests {
    use super::*;

    fn environment(of: &[(&str, &str)]) -> Settings {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of(section: &str, environment: &Settings) -> Result<transfer::StoreConfig, String> {
        let config = Config::parse(&format!("[stores.photos]\nbucket = 'shop'\n{section}")).unwrap();
        of_section("photos", &config.stores["photos"], environment).map_err(|fault| fault.text)
    }

    fn said(config: &transfer::StoreConfig, name: &str) -> Option<String> {
        config.credentials.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn credentials_are_of_the_section_or_of_its_file_or_of_the_environment() {
        let around = environment(&[
            ("aws_access_key_id", "env"),
            ("aws_secret_access_key", "env-secret"),
            ("aws_region", "eu-west-1"),
            ("aws_endpoint", "http://elsewhere"),
            ("azure_storage_account_name", "ada"),
            ("path", "/bin"),
        ]);
        let env = of("kind = 's3'", &around).unwrap();
        assert_eq!(
            (said(&env, "aws_access_key_id").as_deref(), env.region.as_deref()),
            (Some("env"), Some("eu-west-1"))
        );
        assert_eq!(env.credentials.len(), 2, "{:?}", env.credentials);
        let own =
            of("kind = 's3'\naccess_key_id = 'own'\nsecret_access_key = 'x'\nregion = 'r'", &around).unwrap();
        assert_eq!(
            (said(&own, "aws_access_key_id").as_deref(), own.region.as_deref()),
            (Some("own"), Some("r"))
        );
        assert!(of("kind = 's3'\nanonymous = true", &around).unwrap().credentials.is_empty());
        let azure = of("kind = 'azure'\naccount_key = 'QQ=='", &around).unwrap();
        assert_eq!(said(&azure, AZURE_ACCOUNT).as_deref(), Some("ada"));

        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "# ours\n[default]\naws_access_key_id = file\nAWS_SECRET_ACCESS_KEY=\"s\"\nregion = there\n\
                    [other]\naws_access_key_id = wrong\nx = y\n";
        std::fs::write(file.path(), text).unwrap();
        let section = format!("kind = 's3'\ncredentials_file = {:?}", file.path());
        let filed = of(&section, &around).unwrap();
        assert_eq!(said(&filed, "aws_access_key_id").as_deref(), Some("file"));
        assert_eq!(
            (said(&filed, "aws_secret_access_key").as_deref(), filed.region.as_deref()),
            (Some("s"), Some("there"))
        );
        assert_eq!(filed.credentials.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_what_stands_in_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, wanted) in [
            ("", "says nothing: write lines such as aws_access_key_id = …"),
            ("hush", "line 1 has no `=`"),
            ("\naws_secret = hush", "line 2: what stands before its `=` is none of aws_access_key_id"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = of(&format!("kind = 's3'\ncredentials_file = {:?}", file.path()), &Settings::new());
            let error = error.unwrap_err();
            assert!(
                error.starts_with("[stores.photos] credentials_file: ") && error.contains(wanted),
                "{error}"
            );
            assert!(!error.contains("hush"), "{error}");
        }
        let missing =
            of("kind = 'gcs'\ncredentials_file = '/nowhere/key.json'", &Settings::new()).unwrap_err();
        assert!(missing.contains("credentials_file: /nowhere/key.json: "), "{missing}");
    }
}
