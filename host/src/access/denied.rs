//! Why a request is refused, in words that its sender may read.

use imgserve_base::job::Client;
use imgserve_config::Scope;

/// Why something is refused. No text says what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Denied {
    /// There are keys, and the client has sent none.
    #[error("an API key is needed: send it as \"Authorization: Bearer KEY\"")]
    NoKey,
    /// It has sent one that is not in the configuration.
    #[error("nobody has this API key ([[access.api_keys]])")]
    UnknownKey,
    /// Its key is not good for this.
    #[error("the API key `{client}` has not the scope `{}` ([[access.api_keys]])", scope.as_str())]
    OutOfScope {
        /// Whose key it is.
        client: Client,
        /// What it would need.
        scope: Scope,
    },
    /// The URL has no signature, and there is a key that could have made one.
    #[error("the URL is not signed: it must end in &sig=…, which `imgserve sign` adds; or send an API key")]
    Unsigned,
    /// The URL's query is not as `sign` makes it.
    #[error("the signed URL must have {0}, as `imgserve sign` writes it")]
    Malformed(&'static str),
    /// `key` is not in the configuration.
    #[error("no key for URLs has the name that the URL gives as `key` ([[access.url_keys]])")]
    UnknownUrlKey,
    /// It was signed otherwise, or not by this key.
    #[error("the URL's signature is wrong: path and query must be, byte by byte, those that were signed")]
    WrongSignature,
    /// It was good for a time that is over.
    #[error("the signed URL has expired ({seconds} s ago)")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
}
