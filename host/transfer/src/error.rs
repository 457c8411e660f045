//! The transfer boundary's one error: what went wrong with which URL, who is to blame, and whether trying again may help.
//! Wording is for people and may change; callers match on [`TransferErrorKind`] only.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::secret::redact;
use rustix::io::Errno;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why a fetch or a store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferErrorKind {
    /// The URL has a known scheme but cannot be understood further, or names no file.
    InvalidUrl,
    /// The address or path policy forbids it.
    NotAllowed,
    /// The file does not exist at the source.
    NotFound,
    /// The remote server, or our file system, refuses this file.
    Refused,
    /// The FTP server does not accept the user or password.
    Login,
    /// The host has no address.
    Dns,
    /// No connection could be made, or it broke.
    Connect,
    /// A connect, idle or total timeout passed.
    Timeout,
    /// The other end sends or takes less than `min_rate`.
    TooSlow,
    /// An HTTP server answered with this status instead of a 2xx.
    Status(u16),
    /// The source is larger than `max_source_bytes`.
    TooLarge,
    /// The remote server does not keep to its protocol, or redirects too often.
    Protocol,
    /// The local file system failed.
    Io,
    /// This machine has no file descriptor or memory for it at present.
    Exhausted,
    /// The TLS handshake failed, by an untrusted certificate for example.
    Tls,
    /// A store is not as its section of the configuration says: its credentials, its bucket, its region.
    Store,
    /// The configuration cannot be used; only [`super::Transfer::new`] says this.
    Config,
}

/// Whose fault a failure is; only `Us` deserves an error in our log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request asked for something it may not have.
    Caller,
    /// The server at the other end.
    Remote,
    /// This machine or its configuration.
    Us,
}

/// A failed fetch or store. `Display` says one level; `source()` carries the rest.
pub struct TransferError(Box<Inner>);

struct Inner {
    kind: TransferErrorKind,
    transient: bool,
    /// When the other end said to come back.
    retry_after: Option<Duration>,
    /// The URL concerned, without its password.
    url: Option<String>,
    message: String,
    source: Option<Cause>,
}

impl TransferError {
    pub(super) fn new(kind: TransferErrorKind, message: impl Into<String>) -> Self {
        let transient = match kind {
            TransferErrorKind::Status(code) => code == 408 || code == 429 || code >= 500,
            TransferErrorKind::Timeout
            | TransferErrorKind::TooSlow
            | TransferErrorKind::Connect
            | TransferErrorKind::Dns => true,
            _ => false,
        };
        Self(Box::new(Inner {
            kind,
            transient,
            retry_after: None,
            url: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Whatever failed for want of a file descriptor is this machine's trouble, whoever else seemed to be to blame.
    pub(super) fn with_source(mut self, source: impl Into<Cause>) -> Self {
        let source = source.into();
        if is_exhaustion(source.as_ref()) {
            self.0.kind = TransferErrorKind::Exhausted;
            self.0.transient = true;
            self.0.message =
                "the server has no file descriptor or memory left for it (ulimit -n): try again".to_owned();
        }
        self.0.source = Some(source);
        self
    }

    pub(super) fn transient(mut self, transient: bool) -> Self {
        self.0.transient = transient;
        self
    }

    pub(super) fn retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }

    /// Names the URL concerned, unless an inner step (a redirect's target) has already named a closer one.
    pub(super) fn at(mut self, url: &str) -> Self {
        self.0.url.get_or_insert_with(|| redact(url));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> TransferErrorKind {
        self.0.kind
    }

    /// Whose fault it is, derived from the kind.
    pub fn blame(&self) -> Blame {
        use TransferErrorKind::*;
        match self.0.kind {
            InvalidUrl | NotAllowed | TooLarge => Blame::Caller,
            NotFound | Refused | Login | Dns | Connect | Timeout | TooSlow | Status(_) | Protocol | Tls => {
                Blame::Remote
            }
            Io | Exhausted | Store | Config => Blame::Us,
        }
    }

    /// How long the other end asked us to wait (`Retry-After`; RFC 9110, section 10.2.3).
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same transfer may succeed later: timeouts, broken connections, DNS failures, HTTP 408, 429 and
    /// 5xx, FTP 4xx.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.url {
            Some(url) => write!(f, "{url}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferError")
            .field("kind", &self.0.kind)
            .field("transient", &self.0.transient)
            .field("url", &self.0.url)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for TransferError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Whether an error comes of too many open files, of this process or of the machine, or of no memory for one more.
fn is_exhaustion(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let shared = error.downcast_ref::<Arc<std::io::Error>>().map(Arc::as_ref);
        let io = error.downcast_ref::<std::io::Error>().or(shared);
        if let Some(errno) = io.and_then(Errno::from_io_error).or(error.downcast_ref::<Errno>().copied()) {
            return matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM);
        }
        next = cause(error);
    }
    false
}

/// What is behind an error, also where an `io::Error` wraps it (whose `source()` skips what it wraps).
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(inner) => Some(inner as _),
        None => error.source(),
    }
}

/// Finds an error of type `T` in a chain.
pub(super) fn find_cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = cause(error);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_level_without_the_password() {
        let error = TransferError::new(TransferErrorKind::Status(503), "status 503 Service Unavailable")
            .with_source(std::io::Error::other("inner"))
            .at("http://ann:secret@example.org/x.png");
        assert_eq!(error.to_string(), "http://ann@example.org/x.png: status 503 Service Unavailable");
        assert_eq!(error.source().unwrap().to_string(), "inner");
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[test]
    fn the_innermost_url_stays() {
        let error = TransferError::new(TransferErrorKind::Timeout, "late").at("http://b/").at("http://a/");
        assert_eq!(error.to_string(), "http://b/: late");
    }

    #[test]
    fn transience_and_blame_follow_the_kind() {
        let of = |kind| TransferError::new(kind, "");
        assert!(of(TransferErrorKind::Status(500)).is_transient());
        assert!(of(TransferErrorKind::Status(429)).is_transient());
        assert!(!of(TransferErrorKind::Status(404)).is_transient());
        assert!(of(TransferErrorKind::Timeout).is_transient());
        assert!(!of(TransferErrorKind::NotAllowed).is_transient());
        assert!(of(TransferErrorKind::Refused).transient(true).is_transient());
        assert_eq!(of(TransferErrorKind::NotAllowed).blame(), Blame::Caller);
        assert_eq!(of(TransferErrorKind::Login).blame(), Blame::Remote);
        assert_eq!(of(TransferErrorKind::Io).blame(), Blame::Us);
    }

    #[test]
    fn want_of_descriptors_is_nobody_elses_fault() {
        let error = |errno: i32| std::io::Error::from_raw_os_error(errno);
        for wrapped in [false, true] {
            for (name, errno, ours) in
                [("EMFILE", 24, true), ("ENFILE", 23, true), ("ECONNREFUSED", 111, false)]
            {
                let source = match wrapped {
                    false => error(errno),
                    true => std::io::Error::other(
                        TransferError::new(TransferErrorKind::Dns, "x").with_source(error(errno)),
                    ),
                };
                let failed = TransferError::new(TransferErrorKind::Refused, "cannot").with_source(source);
                let exhausted = failed.kind() == TransferErrorKind::Exhausted;
                assert_eq!((exhausted, failed.is_transient()), (ours, ours), "{name} {wrapped}: {failed:?}");
            }
        }
    }

    #[test]
    fn causes_are_found_inside_io_errors() {
        let inner = TransferError::new(TransferErrorKind::Timeout, "late");
        let outer = std::io::Error::other(std::io::Error::other(inner));
        assert_eq!(find_cause::<TransferError>(&outer).unwrap().kind(), TransferErrorKind::Timeout);
        assert!(find_cause::<TransferError>(&std::io::Error::other("no")).is_none());
    }
}
