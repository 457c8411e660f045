//! The address to listen on, as people write it: `127.0.0.1`, `::1`, `[::1]`, `localhost`, a name of this machine's.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The address that is meant. A name that is not `localhost` is asked for, which may block for seconds.
///
/// # Errors
/// A text that says what is wrong with it.
pub fn parse(text: &str) -> Result<IpAddr, String> {
    let wrong = |why: &str| {
        format!(
            "{text:?} {why}: write an address of this machine, such as 127.0.0.1, ::1 or localhost; 0.0.0.0 is all of them"
        )
    };
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>()
        && (bare.is_none() || address.is_ipv6())
    {
        return Ok(address);
    }
    // Some systems' tables have ::1 first, where those who connect to 127.0.0.1 would find nobody.
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    if text.is_empty()
        || bare.is_some()
        || text.contains([':', '/', '@'])
        || text.contains(char::is_whitespace)
    {
        return Err(wrong("is no address"));
    }
    let found = (text, 0).to_socket_addrs().map_err(|error| wrong(&format!("cannot be found ({error})")))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let best = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    best.copied().ok_or_else(|| wrong("has no address"))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_is_taken_however_it_is_written() {
        for (text, wanted) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("localhost", "127.0.0.1"),
            ("LocalHost", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::", "::"),
            ("[::ffff:10.0.0.1]", "::ffff:10.0.0.1"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for text in [
            "",
            " ",
            "127.0.0.1:80",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "http://localhost",
            "::1::",
            "a b",
            "name.invalid",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("such as 127.0.0.1"), "{error}");
        }
    }
}
