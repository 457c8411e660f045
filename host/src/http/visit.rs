//! Requests that a web page makes a browser send. Without API keys the server cannot tell its clients by what they bring, and
//! a browser on their machine reaches it as they do: what a stranger's page asks for is refused here, by what browsers say and
//! no page can change (`Origin`, `Sec-Fetch-Site`, `Host`). Clients that are no browsers say none of it.

use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use imgserve_base::fault::one_line;

use super::cors::Origins;
use super::host::{self, Authority, KnownHosts};
use super::kind::RequestKind;
use super::peer::Peer;
use super::problem::Problem;

/// Where a request comes from, as seen from where it goes (W3C, Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");
const BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");

/// The most of a header's value that is told again, in bytes.
const MAX_VALUE: usize = 100;

/// Who may come from a browser.
#[derive(Clone, Debug)]
pub(super) struct Visits {
    pub(super) hosts: KnownHosts,
    pub(super) origins: Origins,
    /// Whether nobody but this machine reaches the server, so that its names are few.
    pub(super) local: bool,
}

/// Why a request is taken for a stranger's page's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error(
        "`{0}` is not known as a name of this server, and a web page can have a name of its own lead here: list it in [server] \
         allowed_hosts, or use API keys ([[access.api_keys]])"
    )]
    Host(String),
    #[error(
        "a web page of {0} has sent this, and without API keys no page of another origin may: list its origin in [cors] \
         origins, or use API keys ([[access.api_keys]])"
    )]
    Page(String),
}

impl Stranger {
    /// The answer to it.
    pub(super) fn refusal(&self) -> Response {
        self.problem().into_response()
    }

    fn problem(&self) -> Problem {
        let kind = match self {
            Self::Host(_) => RequestKind::UnknownHost,
            Self::Page(_) => RequestKind::OtherSite,
        };
        Problem::new(kind, self.to_string())
    }
}

impl Visits {
    /// Whether the request is for a name that is not ours, where the configuration lists all that are.
    fn unlisted(&self, authority: Option<&Authority>) -> Option<Stranger> {
        let host = &authority.filter(|_| self.hosts.are_listed())?.host;
        (!self.hosts.know(host)).then(|| Stranger::Host(host.to_string()))
    }

    /// Whom a request is for.
    ///
    /// # Errors
    /// The answer to one that is for nobody here, or expects what there is not.
    pub(super) fn meant<B>(&self, request: &axum::http::Request<B>) -> Result<Option<Authority>, Problem> {
        let authority =
            host::authority(request).map_err(|none| Problem::new(RequestKind::BadHost, none.to_string()))?;
        if let Some(stranger) = self.unlisted(authority.as_ref()) {
            return Err(stranger.problem());
        }
        match unknown_expectation(request) {
            None => Ok(authority),
            Some(value) => {
                let detail =
                    format!("`Expect: {value}` is not 100-continue, which is all that can be expected");
                Err(Problem::new(RequestKind::UnknownExpectation, detail))
            }
        }
    }

    /// Whether a request that brings nothing by which its client is known may come from a stranger's page.
    pub(super) fn stranger<B>(&self, request: &axum::http::Request<B>) -> Option<Stranger> {
        let (method, headers) = (request.method(), request.headers());
        if let Some(host) = self.unknown(request)
            && (self.local || may_be_browsers(method, headers))
        {
            return Some(Stranger::Host(host));
        }
        self.page(method, headers, request.extensions().get::<Authority>()).map(Stranger::Page)
    }

    /// Whether a request for what not everybody may know comes from a browser of this very machine that a page's own name led
    /// here, perhaps: a script can leave out all that a reading browser is known by, but not where it runs.
    pub(super) fn reader<B>(&self, request: &axum::http::Request<B>) -> Option<Stranger> {
        let host = self.unknown(request).filter(|_| reads(request.method()))?;
        let from_here = request.extensions().get::<Peer>().is_some_and(Peer::is_this_machine);
        (from_here && !is_vouched_for(request.headers())).then_some(Stranger::Host(host))
    }

    /// The name that a request is for, where it is none of ours.
    fn unknown<B>(&self, request: &axum::http::Request<B>) -> Option<String> {
        let host = &request.extensions().get::<Authority>()?.host;
        (!self.hosts.know(host)).then(|| host.to_string())
    }

    /// The other origin whose page has sent a request.
    fn page(&self, method: &Method, headers: &HeaderMap, authority: Option<&Authority>) -> Option<String> {
        let origin = match headers.get_all(header::ORIGIN).iter().count() {
            0 | 1 => text(headers, header::ORIGIN),
            // No browser says two, and nobody can tell which of them is meant.
            _ => return Some("more than one origin".to_owned()),
        };
        if self.origins.are_all() || origin.is_some_and(|origin| self.origins.allow(origin)) {
            return None;
        }
        let is_ours = |origin: &str| authority.is_some_and(|authority| is_origin_of(origin, authority));
        let sites: Vec<_> =
            headers.get_all(SITE).iter().map(|site| site.to_str().unwrap_or_default()).collect();
        match (sites.as_slice(), origin) {
            // The browser itself has compared them, whatever a proxy has made of the Host.
            (["same-origin"], _) => None,
            ([] | ["none"], None) => None,
            ([] | ["none"], Some(origin)) => (!is_ours(origin)).then(|| origin.to_owned()),
            (_, Some(origin)) => Some(origin.to_owned()),
            // Somebody follows a link: the page that it stood on sees nothing of the answer.
            (_, None) if follows_link(method, headers) => None,
            (_, None) => {
                // No page can say another's address here, though it may say none.
                let referrer = text(headers, header::REFERER).and_then(origin_of);
                let allowed = referrer.as_deref().is_some_and(|origin| self.origins.allow(origin));
                (!allowed).then(|| referrer.unwrap_or_else(|| "another site".to_owned()))
            }
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("an unreadable origin"))
}

/// The origin of a URL.
fn origin_of(url: &str) -> Option<String> {
    let origin = url::Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Whether an origin is the server's own, as the client calls it. Which scheme that is a proxy may know better.
fn is_origin_of(origin: &str, authority: &Authority) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let own = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => return false,
    };
    let Some(origin) = host::parse(rest) else { return false };
    origin.host == authority.host && origin.port.or(own) == authority.port.or(own)
}

fn follows_link(method: &Method, headers: &HeaderMap) -> bool {
    let says = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    reads(method) && says(MODE, "navigate") && says(DESTINATION, "document")
}

/// Whether a browser itself says that no other site's page has sent a request. Over plain HTTP browsers do not say
/// `Sec-Fetch-Site`, and where they do, nobody's name but ours leads here: over TLS it would have to have our certificate.
fn is_vouched_for(headers: &HeaderMap) -> bool {
    headers.get(SITE).is_some_and(|site| site == "same-origin" || site == "none")
}

/// Whether a request for an unknown name may come from a browser that was led to this server by that name. With what does not
/// GET browsers say the origin; 0.2's clients do nothing else, and say none.
fn may_be_browsers(method: &Method, headers: &HeaderMap) -> bool {
    if headers.contains_key(SITE) {
        return !is_vouched_for(headers);
    }
    let agent =
        headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    // Some programs say that they take every language.
    let languages = headers.get(header::ACCEPT_LANGUAGE).is_some_and(|languages| languages != "*");
    let marks = agent || languages || headers.contains_key(BRANDS) || headers.contains_key(header::REFERER);
    headers.contains_key(header::ORIGIN) || (reads(method) && marks)
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What a request expects of the server that it does not know (RFC 9110, section 10.1.1).
fn unknown_expectation<B>(request: &axum::http::Request<B>) -> Option<String> {
    let all = request.headers().get_all(header::EXPECT).iter();
    let mut unknown = all.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    unknown.next().map(|value| one_line(&String::from_utf8_lossy(value.as_bytes()), MAX_VALUE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "https://shop.example.org";

    fn visits(allowed: &[&str], origins: &[&str], local: bool) -> Visits {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Visits {
            hosts: KnownHosts::new(&owned(allowed), "pix"),
            origins: Origins::new(&owned(origins)),
            local,
        }
    }

    /// `METHOD HOST; name: value; …`
    fn request(text: &str) -> axum::http::Request<()> {
        let mut parts = text.split("; ");
        let (method, host) = parts.next().unwrap().split_once(' ').unwrap();
        let mut request = axum::http::Request::builder().method(method).uri("/").header(header::HOST, host);
        for (name, value) in parts.map(|part| part.split_once(": ").unwrap()) {
            request = request.header(name, value);
        }
        let mut request = request.body(()).unwrap();
        let authority = host::authority(&request).unwrap().unwrap();
        request.extensions_mut().insert(authority);
        request
    }

    #[test]
    fn what_programs_send_is_let_in() {
        for text in [
            "POST localhost:8602",
            "POST 127.0.0.1:8602; user-agent: Mozilla/5.0; content-type: text/plain",
            "POST imgserve",
            "GET pix:8602; accept: */*; user-agent: curl/8.0",
            "POST img:8602; user-agent: Mozilla/4.0 (Win32); accept-language: de",
            "GET 192.0.2.1; accept-language: *; sec-fetch-mode: cors; user-agent: node",
        ] {
            assert_eq!(visits(&[], &[], true).stranger(&request(text)), None, "{text}");
            assert_eq!(visits(&[], &[], false).stranger(&request(text)), None, "{text}");
        }
        for text in [
            "POST img.example.org:8602; user-agent: Mozilla/4.0 (Win32); accept-language: de",
            "GET img.example.org; user-agent: Python-urllib/2.5",
            "GET img.example.org; accept-language: *; sec-fetch-mode: cors; user-agent: node",
            "GET img.example.org; sec-fetch-site: same-origin; user-agent: Mozilla/5.0; accept-language: de",
        ] {
            assert_eq!(visits(&[], &[], false).stranger(&request(text)), None, "{text}");
            let local = visits(&[], &[], true).stranger(&request(text));
            assert_eq!(local, Some(Stranger::Host("img.example.org".to_owned())), "{text}");
            assert_eq!(visits(&["*.example.org"], &[], true).stranger(&request(text)), None, "{text}");
        }
    }

    #[test]
    fn a_name_of_the_pages_own_is_refused_to_browsers() {
        for text in [
            "GET evil.example:8602; user-agent: Mozilla/5.0",
            "GET evil.example; accept-language: en",
            "GET evil.example; referer: http://evil.example/",
            "HEAD evil.example; sec-ch-ua: \"Chromium\"",
            "POST evil.example:8602; origin: http://evil.example:8602",
            "DELETE evil.example; origin: http://evil.example",
        ] {
            for local in [true, false] {
                let refused = visits(&["img.example.org"], &[], local).stranger(&request(text));
                assert_eq!(refused, Some(Stranger::Host("evil.example".to_owned())), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn who_reads_on_this_machine_by_a_name_that_is_not_ours_is_refused_however_little_it_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _theirs = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = Peer::new(listener.accept().await.unwrap().0, 1);
        let visits = visits(&["img.example.org"], &[], false);
        for (text, refused) in [
            ("GET evil.example:8602; user-agent: x; accept-language: *", true),
            ("HEAD evil.example", true),
            ("GET img.example.org", false),
            ("GET localhost", false),
            ("GET evil.example; sec-fetch-site: same-origin", false),
            ("GET evil.example; sec-fetch-site: cross-site", true),
            // Browsers say with it what page sends it.
            ("POST evil.example", false),
        ] {
            let mut request = request(text);
            assert_eq!(visits.reader(&request), None, "from who knows where: {text}");
            request.extensions_mut().insert(peer.clone());
            assert_eq!(visits.reader(&request).is_some(), refused, "{text}");
        }
    }

    #[test]
    fn a_strangers_page_is_refused_and_ours_is_not() {
        for (text, stranger) in [
            ("POST localhost:8602; origin: http://localhost:8602", false),
            ("POST 127.0.0.1:8602; origin: http://127.0.0.1:8602; sec-fetch-site: same-origin", false),
            ("POST localhost; origin: https://localhost", false),
            ("POST localhost:443; origin: https://localhost", false),
            ("GET localhost:8602; sec-fetch-site: none", false),
            ("GET localhost:8602; sec-fetch-site: same-origin", false),
            ("POST proxied; origin: https://img.example.org; sec-fetch-site: same-origin", false),
            (
                "GET localhost; sec-fetch-site: cross-site; sec-fetch-mode: navigate; sec-fetch-dest: document",
                false,
            ),
            ("POST localhost:8602; origin: https://evil.example", true),
            ("POST localhost:8602; origin: https://evil.example; content-type: text/plain", true),
            ("POST localhost:8602; origin: null", true),
            ("POST localhost:8602; origin: http://localhost:3000", true),
            ("POST localhost:8602; origin: http://127.0.0.1:8602", true),
            ("POST localhost:8602; origin: http://localhost:8602; sec-fetch-site: cross-site", true),
            ("POST localhost:8602; origin: ftp://localhost:8602", true),
            ("POST localhost:8602; origin: https://evil.example; sec-fetch-site: none", true),
            ("POST localhost:8602; origin: http://localhost:8602; origin: https://evil.example", true),
            ("POST localhost:8602; origin: http://localhost:8602; origin: http://localhost:8602", true),
            ("POST localhost:8602; origin: ", true),
            ("POST localhost:8602; origin: http://u@localhost:8602", true),
            ("POST localhost:8602; origin: http://localhost:8602/", true),
            ("POST localhost:8602; origin: http://localhost.:8602", true),
            ("POST localhost:8602; origin: http://LOCALHOST:8602", false),
            ("POST [::1]:8602; origin: http://[::1]:8602", false),
            ("POST [::1]:8602; origin: http://[::2]:8602", true),
            ("POST localhost:8602; sec-fetch-site: Same-Origin", true),
            ("POST localhost:8602; sec-fetch-site: ", true),
            ("POST localhost:8602; sec-fetch-site: same-origin, none", true),
            ("POST localhost:8602; sec-fetch-site: cross-site", true),
            (
                "GET localhost:8602; sec-fetch-site: cross-site; sec-fetch-mode: no-cors; sec-fetch-dest: image",
                true,
            ),
            ("GET localhost:8602; sec-fetch-site: same-site", true),
            ("GET localhost:8602; sec-fetch-site: what", true),
            ("GET localhost:8602; sec-fetch-site: same-origin; sec-fetch-site: cross-site", true),
            (
                "POST localhost; sec-fetch-site: cross-site; sec-fetch-mode: navigate; sec-fetch-dest: document",
                true,
            ),
            (
                "GET localhost; sec-fetch-site: cross-site; sec-fetch-mode: navigate; sec-fetch-dest: iframe",
                true,
            ),
        ] {
            for local in [true, false] {
                let found = visits(&[], &[], local).stranger(&request(text));
                assert_eq!(matches!(found, Some(Stranger::Page(_))), stranger, "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn nothing_but_to_go_on_can_be_expected() {
        for (text, known) in [
            ("POST x", true),
            ("POST x; expect: 100-continue", true),
            ("POST x; expect: 100-Continue", true),
            ("POST x; expect: ", false),
            ("POST x; expect: 200-ok", false),
            ("POST x; expect: 100-continue, more", false),
            ("POST x; expect: 100-continue; expect: more", false),
        ] {
            let meant = visits(&[], &[], false).meant(&request(text));
            let status = meant.err().map(|problem| problem.into_response().status().as_u16());
            assert_eq!(status, (!known).then_some(417), "{text}");
        }
    }

    #[test]
    fn listed_origins_are_let_in_and_no_others() {
        let refused =
            |origins: &[&str], text: &str| visits(&[], origins, false).stranger(&request(text)).is_some();
        for text in [
            "POST localhost:8602; origin: https://shop.example.org; sec-fetch-site: cross-site",
            "POST localhost:8602; origin: https://shop.example.org; sec-fetch-site: same-site",
            "POST localhost:8602; origin: https://shop.example.org",
            "GET localhost:8602; sec-fetch-site: cross-site; referer: https://shop.example.org/page?x",
        ] {
            assert!(!refused(&[SHOP], text) && !refused(&["*"], text) && refused(&[], text), "{text}");
        }
        for text in [
            "POST localhost:8602; origin: https://evil.example; referer: https://shop.example.org/",
            "GET localhost:8602; sec-fetch-site: cross-site; referer: https://evil.example/https://shop.example.org",
            "GET localhost:8602; sec-fetch-site: cross-site; referer: https://shop.example.org.evil.example/",
            "GET localhost:8602; sec-fetch-site: cross-site",
        ] {
            assert!(refused(&[SHOP], text) && !refused(&["*"], text), "{text}");
        }
    }
}
