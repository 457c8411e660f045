//! Signed URLs. What is signed is the path and the query as they are sent, byte by byte, up to `&sig=`: HMAC-SHA256 over
//! `PATH?QUERY`, in base64url without padding. The query names the key (`key=NAME`) and may say until when it is good
//! (`expires=SECONDS`, since 1970); both are covered by the signature, which stands last.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use imgserve_config as config;
use sha2::Sha256;

use super::denied::Denied;

/// Parameters of a signed URL that are no arguments of the operation.
pub(crate) const RESERVED: [&str; 3] = ["key", "expires", "sig"];

/// Between what is signed and its signature.
const SIGNATURE: &str = "&sig=";

/// A key that signs URLs.
#[derive(Clone)]
pub(crate) struct UrlKey {
    /// As URLs have it.
    pub(crate) name: String,
    secret: Vec<u8>,
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl UrlKey {
    /// The key of the configuration, which has checked it; none if its secret is none.
    pub(crate) fn new(key: &config::UrlKey) -> Option<Self> {
        Some(Self { name: key.name.clone(), secret: key.bytes()? })
    }

    /// `path_and_query` with `key`, `expires` (seconds since 1970) and `sig` at its end. It must not have any of them.
    pub(crate) fn sign(&self, path_and_query: &str, expires: Option<u64>) -> String {
        let joint = if path_and_query.contains('?') { '&' } else { '?' };
        let mut url = format!("{path_and_query}{joint}key={}", self.name);
        if let Some(expires) = expires {
            url.push_str(&format!("&expires={expires}"));
        }
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&url).finalize().into_bytes());
        url + SIGNATURE + &signature
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.chain_update(signed)
    }
}

/// Whether a URL claims to be signed.
pub(super) fn is_signed(path_and_query: &str) -> bool {
    path_and_query.contains(SIGNATURE)
}

/// The key that has signed a URL which is still good at `now`, in seconds since 1970.
///
/// # Errors
/// [`Denied`] says what is wrong with the URL.
pub(super) fn verify<'a>(keys: &'a [UrlKey], path_and_query: &str, now: u64) -> Result<&'a UrlKey, Denied> {
    let (signed, signature) = path_and_query.rsplit_once(SIGNATURE).ok_or(Denied::Unsigned)?;
    if signature.contains('&') {
        return Err(Denied::Malformed("`sig` as its last parameter"));
    }
    let query = signed.split_once('?').map_or("", |(_, query)| query);
    let name = only(query, "key", "one `key`")?.ok_or(Denied::Malformed("one `key`"))?;
    let expires = only(query, "expires", "at most one `expires`")?;
    let key = keys.iter().find(|key| key.name == name).ok_or(Denied::UnknownUrlKey)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Denied::WrongSignature)?;
    // In constant time.
    key.mac(signed).verify_slice(&signature).map_err(|_| Denied::WrongSignature)?;
    let Some(expires) = expires else { return Ok(key) };
    let expires: u64 = expires.parse().map_err(|_| Denied::Malformed("`expires` in seconds since 1970"))?;
    match now.checked_sub(expires) {
        None | Some(0) => Ok(key),
        Some(seconds) => Err(Denied::Expired { seconds }),
    }
}

/// The value of the one parameter of this name, if there is one.
fn only<'a>(query: &'a str, name: &str, wanted: &'static str) -> Result<Option<&'a str>, Denied> {
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Denied::Malformed(wanted)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "/v1/operations/resize/render?src=https%3A%2F%2Fexample.org%2Fa.jpg&width=200";

    fn key(name: &str, secret: &[u8]) -> UrlKey {
        UrlKey { name: name.to_owned(), secret: secret.to_vec() }
    }

    fn keys() -> [UrlKey; 2] {
        [key("web", b"0123456789abcdef0123456789abcdef"), key("app", b"another secret of 32 bytes and on")]
    }

    fn verify(url: &str, now: u64) -> Result<String, Denied> {
        super::verify(&keys(), url, now).map(|key| key.name.clone())
    }

    /// `printf '%s' "$URL" | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | basenc --base64url`
    #[test]
    fn signatures_are_those_of_openssl() {
        let plain = format!("{PATH}&key=web&sig=ocrWg7S9Swgbx34HcA4u7xBm7-3s74_F4vh1q0xnu4I");
        assert_eq!(keys()[0].sign(PATH, None), plain);
        let until =
            format!("{PATH}&key=web&expires=2000000000&sig=hwj9z7VC6n8K7hek1YebvJsgkuwQ0YJZ-P7HL8I8PVY");
        assert_eq!(keys()[0].sign(PATH, Some(2_000_000_000)), until);
        assert_eq!(verify(&plain, 0), Ok("web".to_owned()));
        assert_eq!(verify(&until, 2_000_000_000), Ok("web".to_owned()));
    }

    #[test]
    fn a_url_expires_and_cannot_be_made_not_to() {
        let url = keys()[0].sign(PATH, Some(1000));
        assert!(verify(&url, 1000).is_ok());
        assert_eq!(verify(&url, 1007), Err(Denied::Expired { seconds: 7 }));
        for changed in [
            url.replace("&expires=1000", ""),
            url.replace("expires=1000", "expires=9000"),
            url.replace("expires=1000", "expires="),
            url.replace("expires=1000", "Expires=1000"),
        ] {
            assert_eq!(verify(&changed, 0), Err(Denied::WrongSignature), "{changed}");
        }
        let twice = url.replace("&key", "&expires=9000&key");
        assert_eq!(verify(&twice, 0), Err(Denied::Malformed("at most one `expires`")));
        let never = keys()[0].sign(&format!("{PATH}&expires=soon"), None);
        assert_eq!(verify(&never, 0), Err(Denied::Malformed("`expires` in seconds since 1970")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let url = keys()[0].sign(PATH, None);
        for (changed, wanted) in [
            (PATH.to_owned(), Denied::Unsigned),
            (url.replace("&sig=", "&s="), Denied::Unsigned),
            (url.replace("width=200", "width=2000"), Denied::WrongSignature),
            (url.replace("resize", "rasterize"), Denied::WrongSignature),
            (url.replace("key=web", "key=app"), Denied::WrongSignature),
            (url.replace("key=web", "key=wob"), Denied::UnknownUrlKey),
            (url.replace("key=web", "k=web"), Denied::Malformed("one `key`")),
            (url.replace("key=web", "key=web&key=web"), Denied::Malformed("one `key`")),
            (format!("{url}&width=9"), Denied::Malformed("`sig` as its last parameter")),
            (format!("{url}&sig="), Denied::WrongSignature),
            (format!("{url}="), Denied::WrongSignature),
            (url[..url.len() - 1].to_owned(), Denied::WrongSignature),
        ] {
            assert_eq!(verify(&changed, 0), Err(wanted), "{changed}");
        }
        let told = verify(&url.replace("width=200", "width=201"), 0).unwrap_err().to_string();
        assert!(!told.contains(&keys()[0].sign(&PATH.replace("200", "201"), None)[PATH.len() + 10..]));
    }

    #[test]
    fn a_path_without_a_query_is_signed_as_well() {
        let url = keys()[1].sign("/v1/operations/x/render", None);
        assert!(url.starts_with("/v1/operations/x/render?key=app&sig="), "{url}");
        assert_eq!(verify(&url, 0), Ok("app".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_taken_and_nothing_else(
            query in "[a-z0-9=&%+._~-]{0,60}",
            expires in proptest::option::of(100_u64..1 << 60),
            place in any::<prop::sample::Index>(),
            byte in b'!'..=b'~',
        ) {
            let query = query.replace("sig=", "").replace("key=", "").replace("expires=", "");
            let url = keys()[0].sign(&format!("/v1/operations/resize/render?{query}"), expires);
            prop_assert_eq!(verify(&url, 99), Ok("web".to_owned()));
            let mut changed = url.clone().into_bytes();
            changed[place.index(url.len())] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(verify(&changed, 99).is_ok(), changed == url, "{}", changed);
        }
    }
}
