//! Whom a request is for: its `Host` (RFC 9110, section 7.2; RFC 9112, section 3.2), and whether that is a name of ours. A web
//! page can have a name of its own lead to this server and so read what it answers ("DNS rebinding"); it cannot have the
//! browser say another name.

use axum::http::{HeaderMap, Request, Version, header};
use imgserve_config::EVERY;
use url::Host;

/// Host and port of a request; the port is the scheme's where none is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: Host<String>,
    pub(super) port: Option<u16>,
}

/// Why a request is for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHost {
    #[error("the request has no Host, which HTTP/1.1 wants of every request")]
    Missing,
    #[error("the request has more than one Host")]
    Twice,
    #[error("the Host `{}` is no host with or without a port", .0.escape_debug())]
    Malformed(String),
    #[error("the request's target is no URL of this server: it must be a path, or http:// with a host")]
    Target,
}

/// Whom a request is for; none in HTTP/1.0 where it does not say.
pub(super) fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, NoHost> {
    let said = match said(request.headers())? {
        None if request.version() > Version::HTTP_10 => return Err(NoHost::Missing),
        said => said,
    };
    let uri = request.uri();
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => Ok(said),
        // The target's own host counts, whatever the header says.
        (None | Some("http" | "https"), Some(target)) if !target.as_str().contains('@') => {
            parse(target.as_str()).map(Some).ok_or(NoHost::Target)
        }
        _ => Err(NoHost::Target),
    }
}

fn said(headers: &HeaderMap) -> Result<Option<Authority>, NoHost> {
    let mut values = headers.get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    if second.is_some() {
        return Err(NoHost::Twice);
    }
    let authority = value.to_str().ok().and_then(parse);
    let malformed =
        || NoHost::Malformed(String::from_utf8_lossy(value.as_bytes()).chars().take(100).collect());
    authority.map(Some).ok_or_else(malformed)
}

/// `host`, `host:port`, `[address]:port`; an empty port is none.
pub(super) fn parse(text: &str) -> Option<Authority> {
    let split = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => colon,
        _ => text.len(),
    };
    let (host, port) = text.split_at(split);
    let host = Host::parse(host).ok()?;
    let port = match port.trim_start_matches(':') {
        "" => None,
        port => Some(port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?),
    };
    (!matches!(&host, Host::Domain(name) if name.split('.').all(str::is_empty)))
        .then_some(Authority { host, port })
}

/// The names of this server.
#[derive(Debug, Clone)]
pub(super) struct KnownHosts {
    /// `[server] allowed_hosts`, in lower case.
    allowed: Vec<String>,
    /// What the machine calls itself.
    own: String,
}

impl KnownHosts {
    pub(super) fn new(allowed: &[String], own: &str) -> Self {
        let own = own.trim().to_ascii_lowercase();
        Self { allowed: allowed.iter().map(|host| host.to_ascii_lowercase()).collect(), own }
    }

    /// Whether the configuration names any, so that there are no others.
    pub(super) fn are_listed(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Whether a name is this server's: an address, as nobody else's name is one; a name without a dot or below `localhost`,
    /// which no public name server knows; the machine's own; those of the configuration.
    pub(super) fn know(&self, host: &Host<String>) -> bool {
        let Host::Domain(name) = host else { return true };
        let name = name.strip_suffix('.').unwrap_or(name);
        let listed = |allowed: &String| match allowed.strip_prefix("*.") {
            Some(above) => name.strip_suffix(above).is_some_and(|below| below.ends_with('.')),
            None => allowed == name || allowed == EVERY,
        };
        !name.contains('.')
            || name.ends_with(".localhost")
            || name == self.own
            || self.allowed.iter().any(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, NoHost> {
        let request = hosts.iter().fold(Request::builder().version(version).uri(target), |request, host| {
            request.header(header::HOST, *host)
        });
        let found = authority(&request.body(()).unwrap())?;
        Ok(found.map(|found| match found.port {
            Some(port) => format!("{}:{port}", found.host),
            None => found.host.to_string(),
        }))
    }

    #[test]
    fn a_request_says_once_and_well_formed_whom_it_is_for() {
        use Version as V;
        let is = |host: &str| Ok(Some(host.to_owned()));
        for (host, wanted) in [
            ("x", "x"),
            ("Example.org:8602", "example.org:8602"),
            ("example.org:", "example.org"),
            ("example.org.", "example.org."),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]"),
            ("[::1]:8602", "[::1]:8602"),
            ("my_service:80", "my_service:80"),
        ] {
            assert_eq!(of(V::HTTP_11, "/", &[host]), is(wanted), "{host}");
        }
        for host in [
            "",
            " ",
            ".",
            "..:80",
            ":80",
            "a b",
            "a,b/",
            "x:y",
            "x:65536",
            "x:-1",
            "x:+1",
            "a:1:2",
            "u@x",
            "[::1",
            "::1",
            "[x]",
            "x/y",
            "http://x",
            "a?b",
            "a#b",
            "1.2.3.4.5",
            "256.0.0.1",
            "a\\b",
            "<x>",
        ] {
            let refused = of(V::HTTP_11, "/", &[host]);
            assert!(matches!(refused, Err(NoHost::Malformed(_))), "{host}: {refused:?}");
        }
        assert_eq!(of(V::HTTP_11, "/", &[]), Err(NoHost::Missing));
        assert_eq!(of(V::HTTP_10, "/", &[]), Ok(None));
        assert_eq!(of(V::HTTP_11, "/", &["x", "x"]), Err(NoHost::Twice));
        assert_eq!(of(V::HTTP_10, "/", &["x", "y"]), Err(NoHost::Twice));
    }

    #[test]
    fn the_host_of_a_whole_url_is_the_one_that_counts() {
        use Version as V;
        assert_eq!(
            of(V::HTTP_11, "http://evil.example/x", &["localhost"]),
            Ok(Some("evil.example".to_owned()))
        );
        assert_eq!(of(V::HTTP_10, "http://x:1/", &[]), Ok(Some("x:1".to_owned())));
        assert_eq!(of(V::HTTP_11, "http://x/", &[]), Err(NoHost::Missing));
        assert_eq!(of(V::HTTP_11, "http://x/", &["a", "b"]), Err(NoHost::Twice));
        for target in ["http://u:p@x/", "ftp://x/", "http://256.0.0.1/"] {
            assert_eq!(of(V::HTTP_11, target, &["x"]), Err(NoHost::Target), "{target}");
        }
    }

    #[test]
    fn names_that_others_can_have_are_not_ours() {
        let known = |allowed: &[&str], host: &str| {
            let allowed: Vec<String> = allowed.iter().map(|&host| host.to_owned()).collect();
            KnownHosts::new(&allowed, "Pix.example.net\n").know(&parse(host).unwrap().host)
        };
        for host in [
            "127.0.0.1",
            "[::1]:80",
            "203.0.113.7",
            "localhost",
            "LOCALHOST.:1",
            "a.localhost",
            "imgserve",
            "pix.example.net",
        ] {
            assert!(known(&[], host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "x.pix.example.net",
            "evillocalhost.x",
        ] {
            assert!(!known(&[], host), "{host}");
            assert!(!known(&["img.example.org", "*.example.com"], host), "{host}");
            assert!(known(&["*"], host), "{host}");
        }
        for (host, ours) in [
            ("img.example.org", true),
            ("IMG.example.org.:8602", true),
            ("a.img.example.org", false),
            ("a.b.example.com", true),
            ("example.com", false),
            ("evilexample.com", false),
            ("127.0.0.1", true),
        ] {
            assert_eq!(known(&["IMG.example.org", "*.example.com"], host), ours, "{host}");
        }
    }
}
