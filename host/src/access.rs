//! Who may do what: API keys and their scopes, signed URLs, signatures of webhooks. Functions of their arguments alone:
//! knows neither HTTP nor the clock; `http` asks it and answers.
//!
//! # Layout
//! - this file: the keys of the configuration, and the client that one of them names
//! - `denied`: why something is refused
//! - `signed_url`: which URLs of `GET …/render` are signed, and with what
//! - `stores`: which stores a key is held to
//! - `webhook`: signatures by Standard Webhooks

mod denied;
mod signed_url;
mod stores;
pub(crate) mod webhook;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

pub(crate) use self::denied::Denied;
pub(crate) use self::signed_url::{RESERVED, UrlKey};
pub(crate) use self::stores::StoreRights;
use imgserve_base::job::Client;
use imgserve_config::{Access, Scope};

/// Who sends a request, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub client: Client,
    /// What it may do with stores.
    pub stores: StoreRights,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Whoever comes where no keys are: may do everything.
    pub(crate) fn anyone() -> Self {
        Self { client: Client::Anyone, stores: StoreRights::ALL, scopes: vec![Scope::Admin] }
    }

    /// Whoever asks for what needs nothing: may do nothing else.
    pub(crate) fn nobody() -> Self {
        Self { client: Client::Anyone, stores: StoreRights::ALL, scopes: Vec::new() }
    }

    /// Whether an API key let it in, and not a signed URL or an open door.
    pub(crate) fn has_key(&self) -> bool {
        matches!(self.client, Client::Key(_))
    }

    /// Whether this client may do what needs `scope`; `admin` is good for everything.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// The one client whose jobs it may see; none for scope admin, which sees all.
    pub(crate) fn sees_only(&self) -> Option<&Client> {
        (!self.may(Scope::Admin)).then_some(&self.client)
    }

    /// This client, if it may do what needs `scope`.
    ///
    /// # Errors
    /// [`Denied::OutOfScope`].
    pub(crate) fn with(self, scope: Scope) -> Result<Self, Denied> {
        match self.may(scope) {
            true => Ok(self),
            false => Err(Denied::OutOfScope { client: self.client, scope }),
        }
    }
}

/// The keys of the configuration.
pub(crate) struct Keys {
    api: Vec<ApiKey>,
    urls: Vec<UrlKey>,
    /// How many turns a client has to one of others, by its flow's name; only where that is not one.
    weights: HashMap<Arc<str>, u32>,
}

struct ApiKey {
    digest: [u8; 32],
    caller: Caller,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let api: Vec<&Caller> = self.api.iter().map(|key| &key.caller).collect();
        f.debug_struct("Keys").field("api", &api).field("urls", &self.urls).finish()
    }
}

impl Keys {
    /// Whether there are no API keys, so that everyone may do everything.
    pub(crate) fn are_none(&self) -> bool {
        self.api.is_empty()
    }

    /// The keys of a configuration, which has checked them.
    pub(crate) fn new(access: &Access) -> Self {
        let api = access.api_keys.iter().filter_map(|key| {
            let stores = StoreRights::of(key.stores.as_deref());
            let caller = Caller { client: Client::Key(key.name.clone()), stores, scopes: key.scopes.clone() };
            Some(ApiKey { digest: key.digest()?, caller })
        });
        let urls = access.url_keys.iter();
        let weights = access.api_keys.iter().map(|key| (Client::Key(key.name.clone()), key.weight));
        let weights =
            weights.chain(urls.clone().map(|key| (Client::SignedUrl(key.name.clone()), key.weight)));
        let weights = weights.filter(|(_, weight)| *weight != 1);
        Self {
            api: api.collect(),
            urls: urls.filter_map(UrlKey::new).collect(),
            weights: weights.map(|(client, weight)| (client.to_string().into(), weight)).collect(),
        }
    }

    /// How many turns the client whose flow is called so has to one of others.
    pub(crate) fn weight(&self, flow: &str) -> u32 {
        self.weights.get(flow).copied().unwrap_or(1)
    }

    /// All that are not one.
    pub(crate) fn weights(&self) -> HashMap<Arc<str>, u32> {
        self.weights.clone()
    }

    /// The client whose API key `bearer` is. Takes as long for one key as for another, right or wrong.
    ///
    /// # Errors
    /// [`Denied::NoKey`] and [`Denied::UnknownKey`]; none when there are no API keys.
    pub(crate) fn authenticate(&self, bearer: Option<&str>) -> Result<Caller, Denied> {
        if self.api.is_empty() {
            return Ok(Caller::anyone());
        }
        let digest: [u8; 32] = Sha256::digest(bearer.unwrap_or_default()).into();
        let mut found = u64::MAX;
        for (index, key) in (0_u64..).zip(&self.api) {
            found.conditional_assign(&index, key.digest.ct_eq(&digest));
        }
        let key = usize::try_from(found).ok().and_then(|index| self.api.get(index));
        match (bearer, key) {
            (None, _) => Err(Denied::NoKey),
            (Some(_), Some(key)) => Ok(key.caller.clone()),
            (Some(_), None) => Err(Denied::UnknownKey),
        }
    }

    /// The client that may have `GET …/render` at this path and query: one with an API key of the scope `operations`, or
    /// whoever has a signed URL. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the key or the URL, whichever the client has used.
    pub(crate) fn may_render(
        &self,
        bearer: Option<&str>,
        path_and_query: &str,
        now: u64,
    ) -> Result<Caller, Denied> {
        let unsigned = !signed_url::is_signed(path_and_query);
        let by_key = !self.api.is_empty() && bearer.is_some();
        if self.urls.is_empty() || (unsigned && by_key) {
            return self.authenticate(bearer)?.with(Scope::Operations);
        }
        // Either suffices: who has a good key needs no good URL, and the other way round.
        let by_key =
            by_key.then(|| self.authenticate(bearer).and_then(|caller| caller.with(Scope::Operations)));
        if let Some(Ok(caller)) = by_key {
            return Ok(caller);
        }
        let key = signed_url::verify(&self.urls, path_and_query, now)?;
        // Who signs says by that what may be had.
        let (client, stores) = (Client::SignedUrl(key.name.clone()), StoreRights::ALL);
        Ok(Caller { client, stores, scopes: vec![Scope::Operations] })
    }
}

/// SHA-256 of an API key, in hexadecimal, as the configuration has it.
pub(crate) fn digest_of(api_key: &str) -> String {
    Sha256::digest(api_key).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgserve_config::Config;

    fn keys(text: &str) -> Keys {
        Keys::new(&Config::parse(text).unwrap().access)
    }

    fn api(name: &str, key: &str, scopes: &str) -> String {
        let digest = digest_of(key);
        format!("[[access.api_keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = {scopes}\n")
    }

    const WEB: &str =
        "[[access.url_keys]]\nname = 'web'\nsecret = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='\n";

    #[test]
    fn a_key_has_the_turns_of_its_section() {
        let text =
            api("a", "1", "['jobs']") + "weight = 5\n" + &api("b", "2", "['jobs']") + WEB + "weight = 3\n";
        let keys = keys(&text);
        for (flow, weight) in [("a", 5), ("b", 1), ("url:web", 3), ("web", 1), ("ip:192.0.2.1", 1), ("", 1)] {
            assert_eq!(keys.weight(flow), weight, "{flow}");
        }
        assert_eq!(keys.weights().len(), 2);
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let known = "525e052b9f86297107b2e51778314e24547eb19c2c3f9551220a4f632372f8da";
        assert_eq!(digest_of("imgserve_test"), known);
    }

    #[test]
    fn without_keys_anyone_may_do_everything() {
        for bearer in [None, Some("x")] {
            let caller = keys("").authenticate(bearer).unwrap();
            assert!(caller.client == Client::Anyone && Scope::ALL.into_iter().all(|scope| caller.may(scope)));
            assert!(keys("").may_render(bearer, "/v1/operations/resize/render", 0).is_ok());
            assert!(keys(WEB).authenticate(bearer).is_ok(), "keys of URLs are for render alone");
        }
    }

    #[test]
    fn nobody_may_do_nothing() {
        let nobody = Caller::nobody();
        assert!(!Scope::ALL.into_iter().any(|scope| nobody.may(scope)));
        assert_eq!(nobody.sees_only(), Some(&Client::Anyone));
    }

    #[test]
    fn each_key_is_its_client_and_no_other_is_any() {
        let text = [
            api("shop", "one", "['jobs']"),
            api("site", "two", "['operations']"),
            api("me", "three", "['admin']"),
        ];
        let keys = keys(&text.concat());
        let scopes = |key| {
            let caller = keys.authenticate(Some(key)).unwrap();
            (caller.client.to_string(), Scope::ALL.map(|scope| caller.may(scope)))
        };
        assert_eq!(scopes("one"), ("shop".to_owned(), [true, false, false]));
        assert_eq!(scopes("two"), ("site".to_owned(), [false, true, false]));
        assert_eq!(scopes("three"), ("me".to_owned(), [true, true, true]));
        for wrong in ["", "on", "one ", "onE", "onetwo", &digest_of("one")] {
            assert_eq!(keys.authenticate(Some(wrong)), Err(Denied::UnknownKey), "{wrong}");
        }
        assert_eq!(keys.authenticate(None), Err(Denied::NoKey));
        let denied = keys.authenticate(Some("one")).unwrap().with(Scope::Admin).unwrap_err();
        assert_eq!(denied.to_string(), "the API key `shop` has not the scope `admin` ([[access.api_keys]])");
    }

    #[test]
    fn render_takes_a_key_or_a_signature() {
        const PATH: &str = "/v1/operations/resize/render?src=a";
        let text = format!("{WEB}{}{}", api("shop", "one", "['jobs']"), api("site", "two", "['operations']"));
        let both = keys(&text);
        let signed = both.urls[0].sign(PATH, None);
        let name = |caller: Result<Caller, Denied>| caller.map(|caller| caller.client.to_string());
        assert_eq!(name(both.may_render(Some("two"), PATH, 0)), Ok("site".to_owned()));
        assert_eq!(name(both.may_render(None, &signed, 0)), Ok("url:web".to_owned()));
        assert_eq!(name(both.may_render(Some("one"), &signed, 0)), Ok("url:web".to_owned()));
        assert_eq!(name(both.may_render(Some("three"), &signed, 0)), Ok("url:web".to_owned()));
        let broken = signed.replace("src=a", "src=b");
        assert_eq!(name(both.may_render(Some("two"), &broken, 0)), Ok("site".to_owned()));
        assert_eq!(both.may_render(None, &broken, 0), Err(Denied::WrongSignature));
        assert_eq!(both.may_render(None, PATH, 0), Err(Denied::Unsigned));
        assert_eq!(both.may_render(Some("three"), PATH, 0), Err(Denied::UnknownKey));
        let out_of_scope =
            Denied::OutOfScope { client: Client::Key("shop".to_owned()), scope: Scope::Operations };
        assert_eq!(both.may_render(Some("one"), PATH, 0), Err(out_of_scope));
        assert_eq!(keys(WEB).may_render(Some("two"), PATH, 0), Err(Denied::Unsigned));
        assert_eq!(name(keys(WEB).may_render(Some("two"), &signed, 0)), Ok("url:web".to_owned()));
        let api_alone = keys(&api("site", "two", "['operations']"));
        assert_eq!(api_alone.may_render(None, &signed, 0), Err(Denied::NoKey));
    }

    #[test]
    fn keys_do_not_show_their_secrets() {
        let shown = format!("{:?}", keys(&format!("{WEB}{}", api("shop", "one", "['jobs']"))));
        assert!(shown.contains("shop") && shown.contains("web") && shown.contains("Jobs"));
        assert!(!shown.contains("48, 49, 50") && !shown.contains("MDEy"), "{shown}");
    }
}
