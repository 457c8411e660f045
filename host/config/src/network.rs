//! A rule of `[access] allow_networks`: a network, an address or a host's name, and the one port of it that is meant, if one
//! is. What a rule opens is decided in `transfer`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What may be reached though it is not public.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkRule {
    /// Where.
    pub host: RuleHost,
    /// The one port of it; none means every port.
    pub port: Option<u16>,
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleHost {
    /// These addresses; one alone is a network of its own.
    Network(IpNet),
    /// Whatever this host of a URL resolves to. In lower case, without a dot at its end.
    Name(String),
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` {why}: write a network (\"10.1.0.0/16\"), an address or a host's name, and after a colon its one port, if it is to be one: \"127.0.0.1:9000\", \"[::1]:80\", \"10.0.0.0/8:8080\", \"media.internal:443\""
)]
pub struct RuleError {
    text: String,
    why: &'static str,
}

impl FromStr for NetworkRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |why| RuleError { text: text.escape_debug().to_string(), why };
        if text.contains("://") {
            return Err(wrong("is a URL"));
        }
        // All of an IPv6 address is colons: a port can follow only what stands in brackets.
        if let Ok(network) = network(text) {
            return Ok(Self { host: RuleHost::Network(network), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, port) = rest.split_once(']').ok_or_else(|| wrong("lacks its `]`"))?;
            let network = network(inside).ok().filter(|network| matches!(network, IpNet::V6(_)));
            let network = network.ok_or_else(|| wrong("has no IPv6 address or network in its brackets"))?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').and_then(parse_port).ok_or_else(|| wrong(PORT))?),
            };
            return Ok(Self { host: RuleHost::Network(network), port });
        }
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => (host, Some(parse_port(port).ok_or_else(|| wrong(PORT))?)),
        };
        let host = match network(host) {
            Ok(network) => RuleHost::Network(network),
            Err(()) => RuleHost::Name(name(host).map_err(wrong)?),
        };
        Ok(Self { host, port })
    }
}

/// What is wrong with a port.
const PORT: &str = "has no port from 1 to 65535 after its colon";

/// A network, or an address as the network of it alone.
fn network(text: &str) -> Result<IpNet, ()> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| ())
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// A host's name as URLs have it once they are read.
fn name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut labels = name.split('.');
    if name.len() > 253 || labels.any(|label| !(1..=63).contains(&label.len()) || !label.bytes().all(fits)) {
        return Err("is neither a network nor a host's name (in ASCII: xn--… for others)");
    }
    // A URL with such a host means an address, in a notation that only browsers know.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("is no address, and no host's name ends in a number");
    }
    Ok(name)
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (RuleHost::Network(network), None) => write!(f, "{network}"),
            (RuleHost::Network(network @ IpNet::V4(_)), Some(port)) => write!(f, "{network}:{port}"),
            (RuleHost::Network(network @ IpNet::V6(_)), Some(port)) => write!(f, "[{network}]:{port}"),
            (RuleHost::Name(name), None) => f.write_str(name),
            (RuleHost::Name(name), Some(port)) => write!(f, "{name}:{port}"),
        }
    }
}

impl TryFrom<String> for NetworkRule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<NetworkRule> for String {
    fn from(rule: NetworkRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written_again() {
        for (text, shown, port) in [
            ("127.0.0.0/8", "127.0.0.0/8", None),
            ("10.1.2.3", "10.1.2.3/32", None),
            ("::1", "::1/128", None),
            ("[::1]", "::1/128", None),
            ("fd00::/8", "fd00::/8", None),
            ("127.0.0.1:9000", "127.0.0.1/32:9000", Some(9000)),
            ("10.0.0.0/8:8080", "10.0.0.0/8:8080", Some(8080)),
            ("[::1]:80", "[::1/128]:80", Some(80)),
            ("[fd00::/8]:443", "[fd00::/8]:443", Some(443)),
            ("media.internal:443", "media.internal:443", Some(443)),
            ("Media.Internal.", "media.internal", None),
            ("localhost:1", "localhost:1", Some(1)),
            ("my_store:65535", "my_store:65535", Some(65535)),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ] {
            let rule: NetworkRule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((rule.to_string().as_str(), rule.port), (shown, port), "{text}");
            assert_eq!(shown.parse(), Ok(rule), "{text} as it is printed");
        }
    }

    #[test]
    fn what_is_no_rule_is_told_how_to_write_one() {
        for (text, why) in [
            ("", "is neither a network nor a host's name"),
            ("*", "is neither"),
            ("*.internal", "is neither"),
            ("a b", "is neither"),
            ("10.0.0.0/33", "is neither"),
            ("media.internal/24", "is neither"),
            ("bücher.example", "is neither"),
            ("http://media.internal", "is a URL"),
            ("127.0.0.1:", "has no port"),
            ("127.0.0.1:0", "has no port"),
            ("127.0.0.1:+80", "has no port"),
            ("127.0.0.1:65536", "has no port"),
            ("127.0.0.1:http", "has no port"),
            ("media.internal:80:80", "has no port"),
            ("fd00::/8:443", "has no port"),
            ("[::1", "lacks its `]`"),
            ("[::1]80", "has no port"),
            ("[127.0.0.1]:80", "has no IPv6 address"),
            ("[media.internal]:80", "has no IPv6 address"),
            ("127.1", "is no address, and no host's name"),
            ("2130706433", "is no address, and no host's name"),
            ("0x7f000001", "is no address, and no host's name"),
            (":80", "is neither"),
        ] {
            let error = text.parse::<NetworkRule>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` {why}")), "{text:?} gave {error:?}");
            assert!(error.contains("\"media.internal:443\""), "{error}");
        }
    }
}
