//! Keys and secrets of `[access]` and `[webhooks]`: what a valid one is, and its bytes. Neither an error nor a `Debug` text
//! repeats one: a file with a slip in it must not put them into the log.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{ConfigError, value_error};
use super::{Access, ApiKey, Scope, UrlKey, Webhooks};

/// Before a webhook secret's base64 (Standard Webhooks, "Signature scheme").
const WEBHOOK_PREFIX: &str = "whsec_";
/// Bytes of a webhook's secret (ibid.).
const WEBHOOK_BYTES: RangeInclusive<usize> = 24..=64;
/// Bytes of a key that signs URLs: from SHA-256's own size to what HMAC takes in without shortening it (RFC 2104).
const URL_KEY_BYTES: RangeInclusive<usize> = 32..=64;
/// Largest weight of a key.
const MAX_WEIGHT: u32 = 1000;
/// Longest name of a key.
const LONGEST_NAME: usize = 64;

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Operations, Self::Admin];

    /// The scope as it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Operations => "operations",
            Self::Admin => "admin",
        }
    }
}

impl ApiKey {
    /// SHA-256 of the key; none when it is not written as 64 hexadecimal digits.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let text = self.sha256.as_bytes();
        let mut digest = [0; 32];
        if text.len() != 2 * digest.len() {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?;
        }
        Some(digest)
    }
}

impl UrlKey {
    /// The secret's bytes; none when it is not base64 of 32 to 64 of them.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        decoded(&self.secret, &URL_KEY_BYTES)
    }
}

impl Webhooks {
    /// The secret's bytes; none when there is no (valid) secret, so that no webhook can be signed.
    pub fn key(&self) -> Option<Vec<u8>> {
        decoded(self.secret.strip_prefix(WEBHOOK_PREFIX)?, &WEBHOOK_BYTES)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.secret.is_empty() || self.key().is_some() {
            return Ok(());
        }
        let text =
            "must be \"\" or \"whsec_\" and 24 to 64 bytes in base64: `imgserve key webhook` makes one";
        Err(value_error("webhooks.secret", text))
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("max_age_h", &self.max_age_h).finish_non_exhaustive()
    }
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Access {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(root) = self.file_roots.iter().find(|root| !root.is_absolute()) {
            let text = format!("{} is not an absolute path", root.display());
            return Err(value_error("access.file_roots", &text));
        }
        check_names("access.api_keys", self.api_keys.iter().map(|key| key.name.as_str()))?;
        check_names("access.url_keys", self.url_keys.iter().map(|key| key.name.as_str()))?;
        check_weights("access.api_keys", self.api_keys.iter().map(|key| key.weight))?;
        check_weights("access.url_keys", self.url_keys.iter().map(|key| key.weight))?;
        self.check_api_keys()?;
        for (index, key) in self.url_keys.iter().enumerate() {
            if key.bytes().is_none() {
                let text = "must be 32 to 64 bytes in base64: `imgserve key url NAME` makes such a key";
                return Err(value_error(&format!("access.url_keys[{index}].secret"), text));
            }
        }
        Ok(())
    }

    fn check_api_keys(&self) -> Result<(), ConfigError> {
        let mut known = HashMap::new();
        for (index, key) in self.api_keys.iter().enumerate() {
            let wrong = |field: &str, text: &str| {
                Err(value_error(&format!("access.api_keys[{index}].{field}"), text))
            };
            let Some(digest) = key.digest() else {
                let text = "must be 64 hexadecimal digits, the SHA-256 of the key: `imgserve key api NAME` makes a key \
                            and prints them";
                return wrong("sha256", text);
            };
            if let Some(other) = known.insert(digest, &key.name) {
                return wrong(
                    "sha256",
                    &format!("is that of `{other}` too: give every client a key of its own"),
                );
            }
            if key.scopes.is_empty() {
                let text = "is empty: write at least one of \"jobs\", \"operations\", \"admin\"";
                return wrong("scopes", text);
            }
        }
        Ok(())
    }
}

/// Whether a key can be called so: its name stands in URLs, logs and the journal.
pub fn is_key_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits)
}

fn check_names<'a>(keys: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut known = HashMap::new();
    for (index, name) in names.enumerate() {
        let key = format!("{keys}[{index}].name");
        if !is_key_name(name) {
            let text = "must be 1 to 64 lowercase letters, digits, - and _, such as \"web-shop\"";
            return Err(value_error(&key, text));
        }
        if let Some(first) = known.insert(name, index) {
            let text = format!("is `{name}`, as {keys}[{first}] is called already: choose another name");
            return Err(value_error(&key, &text));
        }
    }
    Ok(())
}

fn check_weights(keys: &str, mut weights: impl Iterator<Item = u32>) -> Result<(), ConfigError> {
    match weights.position(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
        None => Ok(()),
        Some(index) => {
            let text = format!("must be from 1 to {MAX_WEIGHT}: so many turns it has to one of others");
            Err(value_error(&format!("{keys}[{index}].weight"), &text))
        }
    }
}

fn decoded(text: &str, sizes: &RangeInclusive<usize>) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| sizes.contains(&bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// A section of `[[access.api_keys]]`.
    fn api(name: &str, sha256: &str, scopes: &str) -> String {
        format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{sha256}'\nscopes = {scopes}\n")
    }

    fn url(name: &str, secret: &str) -> String {
        format!("[[access.url_keys]]\nname = '{name}'\nsecret = '{secret}'\n")
    }

    fn base64(bytes: usize) -> String {
        STANDARD.encode(vec![7; bytes])
    }

    #[test]
    fn keys_are_read() {
        let digest = "525E052b9f86297107b2e51778314e24547eb19c2c3f9551220a4f632372f8da";
        let text = [
            api("shop-1", digest, "['jobs', 'operations']"),
            api("ops_2", &"0".repeat(64), "['admin']"),
            url("web", &base64(32)),
            format!("[webhooks]\nsecret = 'whsec_{}'", base64(24)),
        ];
        let config = Config::parse(&text.concat()).unwrap();
        assert_eq!(config.access.api_keys[0].digest().unwrap()[..3], [0x52, 0x5e, 0x05]);
        assert_eq!(config.access.url_keys[0].bytes().unwrap(), [7; 32]);
        assert_eq!(config.webhooks.key().unwrap(), [7; 24]);
        assert_eq!(Config::parse("").unwrap().webhooks.key(), None);
        let text = api("a", digest, "['jobs']") + "weight = 7\n" + &api("b", &"0".repeat(64), "['jobs']");
        let weights = Config::parse(&text).unwrap().access.api_keys.into_iter().map(|key| key.weight);
        assert_eq!(weights.collect::<Vec<_>>(), [7, 1]);
    }

    #[test]
    fn errors_name_the_key_and_what_to_type() {
        let good = "ab".repeat(32);
        for (text, wanted) in [
            (api("", &good, "['jobs']"), "access.api_keys[0].name: must be 1 to 64 lowercase"),
            (api("Shop", &good, "['jobs']"), "access.api_keys[0].name: must be"),
            (api(&"x".repeat(65), &good, "['jobs']"), "access.api_keys[0].name: must be"),
            (
                api("a", &good, "['jobs']") + &api("a", &"0".repeat(64), "['jobs']"),
                "access.api_keys[1].name: is `a`, as access.api_keys[0] is called already",
            ),
            (
                api("a", &good, "['jobs']") + &api("b", &good.to_uppercase(), "['jobs']"),
                "access.api_keys[1].sha256: is that of `a` too",
            ),
            (
                api("a", "imgserve_key", "['jobs']"),
                "access.api_keys[0].sha256: must be 64 hexadecimal digits",
            ),
            (
                api("a", &"é".repeat(32), "['jobs']"),
                "access.api_keys[0].sha256: must be 64 hexadecimal digits",
            ),
            (api("a", &good, "[]"), "access.api_keys[0].scopes: is empty: write at least one of \"jobs\""),
            (
                api("a", &good, "['job']"),
                "access.api_keys[0].scopes[0]: \"job\" is none of jobs, operations, admin",
            ),
            (
                api("a", &good, "['jobs']\nx = 1"),
                "access.api_keys[0].x: `x` is none of name, sha256, scopes, stores, weight",
            ),
            (api("a", &good, "['jobs']\nweight = 0"), "access.api_keys[0].weight: must be from 1 to 1000"),
            (api("a", &good, "['jobs']\nweight = 1001"), "access.api_keys[0].weight: must be from 1 to 1000"),
            (
                url("w", &(base64(32) + "'\nweight = 0 #")),
                "access.url_keys[0].weight: must be from 1 to 1000",
            ),
            (url("w w", &base64(32)), "access.url_keys[0].name: must be"),
            (url("w", &base64(32)) + &url("w", &base64(33)), "access.url_keys[1].name: is `w`"),
            (url("w", &base64(31)), "access.url_keys[0].secret: must be 32 to 64 bytes in base64"),
            (url("w", &base64(65)), "access.url_keys[0].secret: must be 32 to 64 bytes in base64"),
            (url("w", &"-".repeat(44)), "access.url_keys[0].secret: must be"),
            (format!("[webhooks]\nsecret = '{}'", base64(32)), "webhooks.secret: must be \"\" or \"whsec_\""),
            (format!("[webhooks]\nsecret = 'whsec_{}'", base64(23)), "webhooks.secret: must be"),
            (format!("[webhooks]\nsecret = 'whsec_{}'", base64(65)), "webhooks.secret: must be"),
        ] {
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text} gave {error:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn no_text_of_ours_repeats_a_secret() {
        let (secret, webhook) = (base64(40), format!("whsec_{}", base64(30)));
        let text = format!("{}[webhooks]\nsecret = '{webhook}'\n", url("web", &secret));
        let config = format!("{:?}", Config::parse(&text).unwrap());
        assert!(config.contains("\"web\"") && !config.contains(&secret) && !config.contains(&webhook));
        for slip in [
            text.replace(&secret, &format!("{secret}x")),
            text.replace('\'', ""),
            text.replace("secret = '", "secret = '''"),
            text.replace("name", "nam"),
        ] {
            let error = Config::parse(&slip).unwrap_err();
            let told = format!("{error} {error:?} {}", imgserve_base::fault::chain(&error));
            assert!(!told.contains(&secret[..20]) && !told.contains(&webhook[..20]), "{told}");
        }
    }
}
