//! What a store answers that is no success, and whose fault that is: the operator's, whose section names the bucket, the credentials
//! and the region; the client's, who named an object that is not there; or the store's own.

use std::time::{Duration, SystemTime};

use imgserve_base::fault::one_line;
use reqwest::Response;
use reqwest::header::{DATE, RETRY_AFTER};

use super::super::error::{TransferError, TransferErrorKind};
use super::super::http::wait;
use super::Store;
use super::send::Heard;

/// The most of a store's own words that is told again, in bytes.
const MAX_MESSAGE: usize = 200;
/// By how much a store lets clocks differ (Amazon S3, "Authenticating requests"; Azure takes the same).
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

/// Codes of a store that does not know the credentials, or them no more.
const UNKNOWN_CREDENTIALS: [&str; 10] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "TokenRefreshRequired",
    "InvalidSecurity",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
];
/// Of one that has no such bucket.
const NO_BUCKET: [&str; 5] =
    ["NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "ContainerDisabled", "ContainerBeingDeleted"];
/// Of one that has it elsewhere.
const ELSEWHERE: [&str; 4] = [
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];
/// Of one whose clock says another time.
const SKEWED: [&str; 2] = ["RequestTimeTooSkewed", "RequestExpired"];
/// Of one that does not know a condition that it is asked to hold.
const NOT_IMPLEMENTED: [&str; 2] = ["NotImplemented", "UnsupportedHeader"];

/// An answer that is no success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    /// What the store calls it; empty where it does not say.
    code: String,
    message: String,
    retry_after: Option<Duration>,
    /// How far its clock is from ours.
    skew: Duration,
    /// Whether it is the store's, and not of whoever gives credentials.
    is_store: bool,
    /// Who has answered.
    host: String,
}

impl Answer {
    /// What the head of a response tells.
    pub(super) fn of_head(response: &Response, is_store: bool) -> Self {
        let (now, header) = (SystemTime::now(), |name| response.headers().get(name)?.to_str().ok());
        let date = header(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let apart = |date: SystemTime| now.duration_since(date).unwrap_or_else(|ahead| ahead.duration());
        Self {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER).and_then(|text| wait(text, now)),
            skew: date.map_or(Duration::ZERO, apart),
            is_store,
            host: response.url().host_str().unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// The same with what its body says; none of a success.
    pub(super) fn with_body(mut self, body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let is_success = (200..300).contains(&self.status) || self.status == 304;
        // S3 says 200 before it knows whether it will put an object's parts together.
        match is_success && !text.contains("<Error>") {
            true => return None,
            false if is_success => self.status = 503,
            false => {}
        }
        (self.code, self.message) = match element(&text, "Code") {
            Some(code) => (code, element(&text, "Message").unwrap_or_default()),
            None if text.trim_start().starts_with('<') => Default::default(),
            None => (String::new(), one_line(&text, MAX_MESSAGE)),
        };
        Some(self)
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    /// Whether the condition of a request is one that the store does not know.
    pub(super) fn is_not_implemented(&self) -> bool {
        self.status == 501 || self.is_one_of(&NOT_IMPLEMENTED)
    }

    /// Whether it says what there is none of, or what may not be had.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// What the store says, in its words.
    fn said(&self) -> String {
        let code = if self.code.is_empty() { format!("status {}", self.status) } else { self.code.clone() };
        if self.message.is_empty() { code } else { format!("{code}: {}", self.message) }
    }

    fn error(&self, store: &Store) -> TransferError {
        let (section, said) = (store.section(), self.said());
        let ours = |text: String| TransferError::new(TransferErrorKind::Store, text);
        let denied = self.status == 401 || self.is_one_of(&UNKNOWN_CREDENTIALS);
        if !self.is_store {
            let text = format!("no credentials of {section} are had from {}: {said}", self.host);
            return ours(text).transient(self.status >= 500 || self.status == 429);
        }
        if self.is_one_of(&SKEWED) || ((denied || self.status == 403) && self.skew > MAX_SKEW) {
            let apart = self.skew.as_secs();
            return ours(format!("the clocks of the store and of this machine are {apart} s apart: {said}"));
        }
        if denied {
            return ours(format!("the store does not take the credentials of {section}: {said}"));
        }
        if self.is_one_of(&NO_BUCKET) {
            let bucket = store.called();
            return ours(format!("there is no bucket `{bucket}` at {}, see {section}: {said}", self.host));
        }
        if self.is_one_of(&ELSEWHERE) || matches!(self.status, 300..=399) {
            let text = format!(
                "the store has the bucket elsewhere, see `region` and `endpoint` of {section}: {said}"
            );
            return ours(text);
        }
        match self.status {
            404 => TransferError::new(TransferErrorKind::NotFound, "there is no such object"),
            403 => {
                let text = format!("the store does not let {section} have it: {said}");
                TransferError::new(TransferErrorKind::Refused, text)
            }
            409 | 412 => {
                let text = format!("others store there at the same time: {said}");
                TransferError::new(TransferErrorKind::Status(self.status), text).transient(true)
            }
            status => {
                TransferError::new(TransferErrorKind::Status(status), said).retry_after(self.retry_after)
            }
        }
    }
}

/// The text of an XML element.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(one_line(content, MAX_MESSAGE))
}

/// Why an operation on a store has failed, by what was heard of it.
pub(super) fn failure(store: &Store, heard: Heard, error: object_store::Error) -> TransferError {
    match heard {
        Heard { failed: Some((failed, true)), .. } => failed,
        Heard { failed: Some((failed, false)), .. } => {
            let text = format!("no credentials of {} are had", store.section());
            let transient = failed.is_transient();
            TransferError::new(TransferErrorKind::Store, text).with_source(failed).transient(transient)
        }
        Heard { answer: Some(answer), .. } => answer.error(store),
        // It was not even asked: a file with credentials is missing, say.
        Heard { .. } => {
            let text = format!("{} cannot be used", store.section());
            TransferError::new(TransferErrorKind::Store, text).with_source(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::section;
    use super::super::{Place, StoreKind};
    use super::*;
    use crate::Blame;

    fn store() -> Store {
        let config = section("photos", StoreKind::S3, "shop", "");
        Store { config, place: Place::Directory("/".into()) }
    }

    fn answered(status: u16, body: &str) -> TransferError {
        let answer = Answer { status, is_store: true, host: "s3.example".to_owned(), ..Answer::default() };
        answer.with_body(body.as_bytes()).unwrap().error(&store())
    }

    fn xml(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it\nis</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>"
        )
    }

    #[test]
    fn each_answer_is_whose_fault_it_is() {
        for (status, code, blame, transient, wanted) in [
            (
                403,
                "SignatureDoesNotMatch",
                Blame::Us,
                false,
                "does not take the credentials of [stores.photos]: Sig",
            ),
            (403, "InvalidAccessKeyId", Blame::Us, false, "does not take the credentials"),
            (400, "ExpiredToken", Blame::Us, false, "does not take the credentials"),
            (404, "NoSuchBucket", Blame::Us, false, "no bucket `shop` at s3.example, see [stores.photos]"),
            (404, "ContainerNotFound", Blame::Us, false, "no bucket `shop`"),
            (403, "RequestTimeTooSkewed", Blame::Us, false, "the clocks of the store and of this machine"),
            (
                301,
                "PermanentRedirect",
                Blame::Us,
                false,
                "elsewhere, see `region` and `endpoint` of [stores.photos]",
            ),
            (400, "AuthorizationHeaderMalformed", Blame::Us, false, "elsewhere"),
            (404, "NoSuchKey", Blame::Remote, false, "there is no such object"),
            (
                403,
                "AccessDenied",
                Blame::Remote,
                false,
                "does not let [stores.photos] have it: AccessDenied: so it\\nis",
            ),
            (503, "SlowDown", Blame::Remote, true, "SlowDown: so it"),
            (500, "InternalError", Blame::Remote, true, "InternalError"),
            (412, "PreconditionFailed", Blame::Remote, true, "others store there at the same time"),
            (400, "KeyTooLongError", Blame::Remote, false, "KeyTooLongError"),
        ] {
            let error = answered(status, &xml(code));
            assert_eq!((error.blame(), error.is_transient()), (blame, transient), "{code}: {error}");
            assert!(error.to_string().contains(wanted), "{code}: {error}");
            assert!(!format!("{error:?}").contains("AKIA"), "{error:?}");
        }
        assert_eq!(answered(503, "").kind(), TransferErrorKind::Status(503));
        assert_eq!(answered(404, "").kind(), TransferErrorKind::NotFound);
        assert_eq!(answered(502, "<html><body>Bad gateway</body></html>").to_string(), "status 502");
        assert_eq!(answered(400, "{\"error\": 1}").to_string(), "status 400: {\"error\": 1}");
    }

    #[test]
    fn parts_that_the_store_did_not_put_together_are_no_success() {
        let answer = |body: &str| {
            Answer { status: 200, is_store: true, ..Answer::default() }.with_body(body.as_bytes())
        };
        assert_eq!(answer("<CompleteMultipartUploadResult/>"), None);
        let error = answer(&xml("InternalError")).unwrap().error(&store());
        assert!(error.is_transient() && error.blame() == Blame::Remote, "{error}");
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_from_credentials_that_are() {
        let skewed = Answer {
            status: 403,
            code: "AuthenticationFailed".to_owned(),
            skew: Duration::from_secs(3600),
            is_store: true,
            ..Answer::default()
        };
        assert!(skewed.error(&store()).to_string().contains("3600 s apart"));
        let near = Answer { skew: Duration::from_secs(60), ..skewed };
        assert!(near.error(&store()).to_string().contains("credentials"));
    }

    #[test]
    fn who_gives_no_credentials_is_named_apart_from_the_store() {
        let failed = Answer { status: 404, host: "169.254.169.254".to_owned(), ..Answer::default() };
        let error = failed.error(&store());
        assert!(error.to_string().contains("no credentials of [stores.photos] are had from 169.254.169.254"));
        assert_eq!((error.blame(), error.is_transient()), (Blame::Us, false));
        let refused =
            TransferError::new(TransferErrorKind::Connect, "cannot connect").at("http://169.254.169.254/");
        let heard = Heard { failed: Some((refused, false)), ..Heard::default() };
        let generic = object_store::Error::Generic { store: "S3", source: "x".into() };
        let error = failure(&store(), heard, generic);
        assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Store, true));
        assert!(format!("{error:?}").contains("cannot connect"), "{error:?}");
    }
}
