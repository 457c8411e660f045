//! Which server a URL leads to, as far as the URL tells: what places for transfers are shared out by.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use url::{Host, Url};

use super::stores::StoreUrl;
use super::url::{Destination, HttpUrl, SourceUrl};

/// A server that a transfer goes to or comes from: its host and port, whatever way the URL writes them; or a bucket. A local
/// file has none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    host: Arc<str>,
    /// 0 of a bucket.
    port: u16,
}

impl Server {
    fn new(host: &Host<impl AsRef<str>>, port: u16) -> Self {
        let host = match host {
            // A name with a dot at its end is the same name (RFC 1034, section 3.1).
            Host::Domain(name) => name.as_ref().trim_end_matches('.').to_ascii_lowercase(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => IpAddr::V6(*ip).to_canonical().to_string(),
        };
        Self { host: host.into(), port }
    }

    /// Of a bucket, which has places of its own wherever its server is.
    fn of_bucket(url: &StoreUrl) -> Option<Self> {
        (!url.is_local()).then(|| Self { host: url.bucket_url().into(), port: 0 })
    }

    pub(super) fn of_http(url: &Url) -> Option<Self> {
        Some(Self::new(&url.host()?, url.port_or_known_default()?))
    }

    /// Whether it is a bucket, whose server its store names.
    pub(super) fn is_bucket(&self) -> bool {
        self.port == 0 && self.host.contains("://")
    }

    /// The host alone: its servers on other ports may be the same machine.
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => f.write_str(&self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl SourceUrl {
    /// The server that the source is fetched from; none for a local file.
    pub fn server(&self) -> Option<Server> {
        match self {
            Self::Http(url) => Server::of_http(url),
            Self::Ftp(url) => Some(Server::new(&url.host, url.port)),
            Self::File(_) => None,
            Self::Store(url) => Server::of_bucket(url),
        }
    }
}

impl Destination {
    /// The server that a result is stored to (of a form: that its page is on); none for a local file.
    pub fn server(&self) -> Option<Server> {
        match self {
            Self::Put { url } | Self::Form { page: url, .. } => Server::of_http(url),
            Self::Ftp(url) => Some(Server::new(&url.host, url.port)),
            Self::File(_) => None,
            Self::Store(url) => Server::of_bucket(url),
        }
    }
}

impl HttpUrl {
    /// The server that is posted to.
    pub fn server(&self) -> Option<Server> {
        Server::of_http(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Option<String> {
        SourceUrl::parse(url).unwrap().server().map(|server| server.to_string())
    }

    #[test]
    fn the_same_server_is_the_same_however_it_is_written() {
        for url in [
            "http://example.org/a.png",
            "http://EXAMPLE.org:80/b.png?c",
            "http://u:p@example.org./",
            "http://example%2Eorg/",
        ] {
            assert_eq!(server(url).as_deref(), Some("example.org:80"), "{url}");
        }
        for url in [
            "http://127.0.0.1:81/a",
            "http://0x7f.1:81/",
            "http://[::ffff:127.0.0.1]:81/",
            "ftp://2130706433:81/a",
        ] {
            assert_eq!(server(url).as_deref(), Some("127.0.0.1:81"), "{url}");
        }
        assert_eq!(server("https://[::1]/a").as_deref(), Some("::1:443"));
        assert_eq!(server("ftps://example.org/a").as_deref(), Some("example.org:21"));
        assert_eq!(server("file:///a/b.png"), None);
    }

    #[test]
    fn a_destination_is_where_its_url_leads() {
        for (url, wanted) in [
            ("http://a.example/x:b.png", Some("a.example:80")),
            ("https://a.example/b.png", Some("a.example:443")),
            ("ftp://a.example:2121/b.png", Some("a.example:2121")),
            ("file:///a/b.png", None),
            ("s3://photos/a/b.png", Some("s3://photos")),
            ("file://archive/b.png", None),
        ] {
            let found = Destination::parse(url).unwrap().server().map(|server| server.to_string());
            assert_eq!(found.as_deref(), wanted, "{url}");
        }
    }
}
