//! Every kind of error that a client of `/v1` is told: the faults of jobs and calls, and what is wrong with a request before
//! it is either. What each means and what to do about it is said here, once: for `GET /v1/problems` and for the manual's page
//! `problems.md`, which a test compares.

use std::fmt::Write as _;

use axum::http::StatusCode;
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::named;

use super::answer::answer;

/// Where the kinds are explained.
pub(super) const PATH: &str = "/v1/problems";

named! {
    /// What is wrong with a request that is no job's or call's fault.
    pub(super) enum RequestKind {
        /// Nothing is there.
        UnknownPath = "unknown-path",
        /// Something is there that does not answer this method.
        MethodNotAllowed = "method-not-allowed",
        /// No job has this id.
        UnknownJob = "unknown-job",
        /// The job's state does not allow it.
        WrongState = "wrong-state",
        /// The query is not understood.
        BadQuery = "bad-query",
        /// A header is not understood.
        BadHeader = "bad-header",
        /// The body is not understood.
        UnreadableBody = "unreadable-body",
        /// The body did not come in time.
        BodyTooSlow = "body-too-slow",
        /// The client has closed its side of the connection.
        ClientGone = "client-gone",
        /// The body is encoded.
        EncodedBody = "encoded-body",
        /// Something is expected of the server that it does not know.
        UnknownExpectation = "unknown-expectation",
        /// The request is for no host.
        BadHost = "bad-host",
        /// The host is not this server's.
        UnknownHost = "unknown-host",
        /// A web page of another site has sent the request.
        OtherSite = "other-site",
        /// It is no HTTP request.
        MalformedRequest = "malformed-request",
        /// Its URL is too long.
        UrlTooLong = "url-too-long",
        /// Its headers are too many or too long.
        HeadersTooLarge = "headers-too-large",
        /// There are API keys, and the request has none.
        KeyNeeded = "key-needed",
        /// Nobody has this API key.
        UnknownKey = "unknown-key",
        /// The API key is not good for this.
        KeyScope = "key-scope",
        /// The URL must be signed.
        UrlUnsigned = "url-unsigned",
        /// The URL's signature is wrong.
        UrlSignature = "url-signature",
        /// The signed URL is not good any more.
        UrlExpired = "url-expired",
    }
}

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a job or a call.
    Fault(FaultKind),
    /// Of the request itself.
    Request(RequestKind),
}

impl From<RequestKind> for Kind {
    fn from(kind: RequestKind) -> Self {
        Self::Request(kind)
    }
}

impl RequestKind {
    /// The status, and the problem document's title.
    pub(super) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath => (StatusCode::NOT_FOUND, "Unknown path"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::UnknownJob => (StatusCode::NOT_FOUND, "Unknown job"),
            Self::WrongState => (StatusCode::CONFLICT, "Not possible in this state"),
            Self::BadQuery => (StatusCode::BAD_REQUEST, "Query not understood"),
            Self::BadHeader => (StatusCode::BAD_REQUEST, "Header not understood"),
            Self::UnreadableBody => (StatusCode::BAD_REQUEST, "Body not understood"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "Body too slow"),
            Self::ClientGone => (StatusCode::REQUEST_TIMEOUT, "Client gone"),
            Self::EncodedBody => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Body encoded"),
            Self::UnknownExpectation => (StatusCode::EXPECTATION_FAILED, "Expectation not known"),
            Self::BadHost => (StatusCode::BAD_REQUEST, "Host not understood"),
            Self::UnknownHost => (StatusCode::FORBIDDEN, "Host not known"),
            Self::OtherSite => (StatusCode::FORBIDDEN, "Another site's request"),
            Self::MalformedRequest => (StatusCode::BAD_REQUEST, "Request not understood"),
            Self::UrlTooLong => (StatusCode::URI_TOO_LONG, "URL too long"),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large"),
            Self::KeyNeeded => (StatusCode::UNAUTHORIZED, "API key needed"),
            Self::UnknownKey => (StatusCode::UNAUTHORIZED, "Unknown API key"),
            Self::KeyScope => (StatusCode::FORBIDDEN, "API key without this scope"),
            Self::UrlUnsigned => (StatusCode::FORBIDDEN, "URL not signed"),
            Self::UrlSignature => (StatusCode::FORBIDDEN, "URL not signed rightly"),
            Self::UrlExpired => (StatusCode::FORBIDDEN, "URL expired"),
        }
    }
}

impl RequestKind {
    /// Those by which somebody is not let in.
    pub(super) fn denials() -> impl Iterator<Item = Self> {
        let denies =
            |kind: &Self| matches!(kind.answer().0, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        Self::ALL.into_iter().filter(denies)
    }
}

impl Kind {
    /// All of them: the request's own first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let requests = RequestKind::ALL.into_iter().map(Self::Request);
        requests.chain(FaultKind::ALL.into_iter().map(Self::Fault))
    }

    /// The kind that is called so.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let request = RequestKind::parse(name).map(Self::Request);
        request.or_else(|| FaultKind::parse(name).map(Self::Fault))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Fault(kind) => kind.as_str(),
            Self::Request(kind) => kind.as_str(),
        }
    }

    /// The problem document's `type`: where the kind is explained.
    pub(super) fn path(self) -> String {
        format!("{PATH}/{}", self.as_str())
    }

    fn title(self) -> &'static str {
        match self {
            Self::Fault(kind) => answer(&Fault::new(kind, "")).title,
            Self::Request(kind) => kind.answer().1,
        }
    }

    fn code(self) -> Option<u16> {
        match self {
            Self::Fault(kind) => answer(&Fault::new(kind, "")).code,
            Self::Request(_) => None,
        }
    }

    /// The statuses that it may come with: trouble of another server has its own, and a body over a limit too.
    fn statuses(self) -> Vec<u16> {
        let mut statuses = match self {
            Self::Request(kind) => vec![kind.answer().0],
            Self::Fault(kind) => {
                let fault = Fault::new(kind, "");
                let body = (kind == FaultKind::LimitExceeded).then_some(StatusCode::PAYLOAD_TOO_LARGE);
                let (own, remote) =
                    (answer(&fault).status, answer(&fault.clone().retried(Retry::Remote)).status);
                [own, remote].into_iter().chain(body).collect()
            }
        };
        statuses.dedup();
        statuses.iter().map(StatusCode::as_u16).collect()
    }

    /// What it means, and what to do about it.
    fn meaning(self) -> &'static str {
        match self {
            Self::Request(kind) => request_meaning(kind),
            Self::Fault(kind) => fault_meaning(kind),
        }
    }

    /// What `GET /v1/problems/KIND` answers.
    pub(super) fn explanation(self) -> String {
        let statuses = list(&self.statuses());
        let code = self.code().map_or_else(String::new, |code| format!(", code {code} of imgserve 0.2"));
        let (name, title, meaning) = (self.as_str(), self.title(), self.meaning());
        format!("{name}: {title}\n\nStatus {statuses}{code}.\n\n{meaning}\n")
    }
}

fn list(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

fn request_meaning(kind: RequestKind) -> &'static str {
    use RequestKind as K;
    match kind {
        K::UnknownPath => "Nothing is at this path. `detail` names the paths that there are.",
        K::MethodNotAllowed => {
            "The path does not answer this method. The header `Allow` names those that it does."
        }
        K::UnknownJob => {
            "No job that this client may see has this id. It may have finished too long ago (`[jobs] max_finished`)."
        }
        K::WrongState => {
            "The job's state does not allow what was asked for: one that has ended is not cancelled, one that has not \
             failed is not tried again. Look at the job."
        }
        K::BadQuery => {
            "A parameter of the query is unknown, stands twice or has no possible value. `detail` says which."
        }
        K::BadHeader => "A header has no possible value. `detail` says which, and what it may be.",
        K::UnreadableBody => {
            "The body broke off, or is not the form or the image that its headers say. Send it again, whole."
        }
        K::BodyTooSlow => {
            "The body did not come in time (`[server] body_timeout_s`, `min_body_rate_kb_s`). Send it again."
        }
        K::ClientGone => {
            "The connection was closed, or its sending side, before the answer was there, which ends what is done for it. Keep \
             both open until then."
        }
        K::EncodedBody => {
            "The body has a `Content-Encoding`, or a `Transfer-Encoding` beside `chunked`. Send it as it is: `Accept-Encoding` \
             says what is taken."
        }
        K::UnknownExpectation => {
            "The header `Expect` has another value than `100-continue`. Send the request without it."
        }
        K::BadHost => "The request has no `Host`, more than one, or one that is no host. HTTP/1.1 wants one.",
        K::UnknownHost => {
            "The `Host` is no name that the server is known by, and a web page could have it lead there. List it in \
             `[server] allowed_hosts`, or use API keys."
        }
        K::OtherSite => {
            "A browser sent this for a page of another site, which without API keys may not. List the page's origin in \
             `[cors] origins`, or use API keys."
        }
        K::MalformedRequest => "What was sent is no HTTP/1.1 request (RFC 9112). The connection is closed.",
        K::UrlTooLong => {
            "The URL is longer than 64 KiB. Send arguments in the body. The connection is closed."
        }
        K::HeadersTooLarge => {
            "There are more than 64 headers, or URL and headers together are longer than 64 KiB. The connection is closed."
        }
        K::KeyNeeded => "The server has API keys. Send one as `Authorization: Bearer KEY`.",
        K::UnknownKey => {
            "The API key is none of the server's (`[[access.api_keys]]`). Ask its operator for one."
        }
        K::KeyScope => {
            "The API key is not good for this. Ask the operator for one of the scope that `detail` names."
        }
        K::UrlUnsigned => "The URL must be signed, as `imgserve sign` does it; an API key does as well.",
        K::UrlSignature => {
            "The URL's signature is wrong. Path and query must be, byte by byte, those that were signed."
        }
        K::UrlExpired => "The signed URL was good for a time that is over. Get a new one.",
    }
}

fn fault_meaning(kind: FaultKind) -> &'static str {
    use FaultKind as K;
    match kind {
        K::NotJson => "The body is not a JSON object. `detail` says where it breaks off from one.",
        K::WrongMembers => "A member of the request is unknown, missing, there twice or of the wrong type.",
        K::UnknownOperation => "No operation has this name. `GET /v1/operations` lists them.",
        K::ArgsNotObject => "The arguments are not a JSON object.",
        K::EmptySource => "`srcURL` is empty, or no string.",
        K::EmptyDestination => "`dstURL` is empty, or no string.",
        K::MissingArgument => "The operation needs an argument that is not there. `detail` names it.",
        K::WrongType => "An argument is of another type than the operation's schema says. `detail` names it.",
        K::SourceExtension => {
            "The operation does not take sources whose name ends so. `detail` says which it takes."
        }
        K::SourceScheme => "The scheme of `srcURL` is none of http, https, ftp, ftps, file, s3, gs, az.",
        K::DestinationScheme => "The scheme of `dstURL` is none of http, https, ftp, ftps, file, s3, gs, az.",
        K::MissingFieldName => {
            "An upload through a form needs `field_name` in the arguments: the form's file field."
        }
        K::FieldNameType => "`field_name` is no string.",
        K::DestinationExtension => {
            "The name in `dstURL` does not end as what the operation gives. `detail` says how it must."
        }
        K::InvalidArgument => {
            "An argument has the right type and no possible value. `detail` names it and what is possible."
        }
        K::SourceUnavailable => {
            "The source cannot be had: it is not there, or may not be reached (422), or its server has trouble (502). \
             With 502 it is worth trying again."
        }
        K::UnreadableSource => {
            "The source is no image that can be read: of no known format, broken, cut off, or such that what reads it \
             gives up. Send another one."
        }
        K::SourceTooSmall => {
            "The source has fewer pixels than the result. Ask for less, or allow to `enlarge`."
        }
        K::InvalidSvg => "The source is not a valid SVG. `detail` says where.",
        K::DestinationUnavailable => {
            "The destination cannot be stored to: it refuses, or may not be reached (422), or its server has trouble \
             (502). With 502 it is worth trying again."
        }
        K::LimitExceeded => {
            "A limit of the configuration is exceeded: `detail` names its key, and what was counted. 413 where it is the \
             body that is too long. Send or ask for less, or ask the operator for more."
        }
        K::OperationFailed => "The operation failed, or the server in its stead. The server's log says more.",
        K::PluginTrapped => {
            "The plugin of the operation, or of a codec, ended in the midst of its work. That is for its author to mend."
        }
        K::PluginOutOfMemory => {
            "The plugin of the operation, or of a codec, wanted more memory than it may have (`memory_limit_mb`)."
        }
        K::PluginTimedOut => {
            "The plugin of the operation, or of a codec, was not done in time (`time_limit_ms`)."
        }
        K::PluginContract => {
            "The plugin of the operation, or of a codec, did what no plugin may. That is for its author to mend."
        }
        K::OperationSuspended => {
            "The operation's plugin, or a codec that the source or the result needs, has failed too often of late \
             (`[plugins] breaker_failures`). `Retry-After` says when it is tried again."
        }
        K::Busy => "The server has too much to do. Try again after `Retry-After` seconds.",
        K::ClientBusy => "This client has too many jobs here. Try again when some are done.",
        K::JournalUnavailable => {
            "The journal of jobs cannot be written or read just now. Try again after `Retry-After` seconds."
        }
        K::KeyReused => "The `Idempotency-Key` was used for another request. Take a new key for a new job.",
    }
}

/// The manual's page, which is what `GET /v1/problems` answers too.
pub(super) fn page() -> String {
    let mut page = String::from(
        "# Problems\n\n\
         Every error of `/v1` is a problem document (RFC 9457): `kind` says what sort it is, `type` is the path at which the\n\
         server itself explains that, `detail` what was wrong this time, and `code` what imgserve 0.2 would have said. Made\n\
         from the program; `GET /v1/problems` answers with it.\n\n\
         | `kind` | status | code | what it means, and what to do |\n\
         | --- | --- | --- | --- |\n",
    );
    for kind in Kind::all() {
        let (name, statuses, meaning) = (kind.as_str(), list(&kind.statuses()), kind.meaning());
        let code = kind.code().map(|code| code.to_string()).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(page, "| `{name}` | {statuses} | {code} | {meaning} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test of a file")]
    fn the_manual_has_every_kind_as_the_program_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/problems.md");
        if std::env::var_os("IMGSERVE_UPDATE_PAGES").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let manual = std::fs::read_to_string(path).unwrap();
        assert!(manual == page(), "host/docs/problems.md is old: IMGSERVE_UPDATE_PAGES=1 writes it anew");
    }

    #[test]
    fn a_kind_has_one_name_and_is_explained() {
        let mut names: Vec<&str> = Kind::all().map(Kind::as_str).collect();
        for kind in Kind::all() {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert!(kind.explanation().starts_with(kind.as_str()), "{kind:?}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "two kinds have one name");
        assert_eq!(Kind::Fault(FaultKind::LimitExceeded).statuses(), [422, 413]);
        assert_eq!(Kind::Fault(FaultKind::SourceUnavailable).statuses(), [422, 502]);
    }
}
