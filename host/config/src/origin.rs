//! Names of `[server] allowed_hosts` and `[cors] origins`: what a valid one is. What they let in is decided in `http`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::{ConfigError, value_error};
use super::{Cors, Server};

/// Stands for every host, and for every origin.
pub const EVERY: &str = "*";

impl Server {
    pub(super) fn check_hosts(&self) -> Result<(), ConfigError> {
        for (index, host) in self.allowed_hosts.iter().enumerate() {
            if host != EVERY && !is_host(host.strip_prefix("*.").unwrap_or(host)) {
                let text = format!(
                    "`{}` is no host: write it as clients do, without scheme and port: \"img.example.org\", \
                     \"*.example.org\" for all below it, or \"*\" for every host",
                    host.escape_debug()
                );
                return Err(value_error(&format!("server.allowed_hosts[{index}]"), &text));
            }
        }
        Ok(())
    }
}

impl Cors {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (index, origin) in self.origins.iter().enumerate() {
            if origin != EVERY && !is_origin(origin) {
                let text = format!(
                    "`{}` is no origin: write it as browsers send it, scheme and host in lower case, a port only if it is \
                     not the scheme's, and no path: \"https://shop.example.org\", or \"*\" for every page there is",
                    origin.escape_debug()
                );
                return Err(value_error(&format!("cors.origins[{index}]"), &text));
            }
        }
        Ok(())
    }
}

/// A host's name or address, as a Host header may have it: addresses as browsers write them (WHATWG URL, section 3.5), as
/// another way to write them is never met.
fn is_host(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = inside {
        let parsed = address.parse::<Ipv6Addr>();
        return parsed.is_ok_and(|parsed| written(parsed) == address.to_ascii_lowercase());
    }
    // What ends in a number is an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|first: char| first.is_ascii_digit()) && is_number(last) {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut labels = text.split('.');
    text.len() <= 253 && labels.all(|label| !label.is_empty() && label.bytes().all(fits))
}

fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// An address as browsers write it.
fn written(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    }
}

/// An origin as browsers serialise it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(fits) {
        return false;
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host, None),
    };
    let own = match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    };
    let port_fits =
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    host == host.to_ascii_lowercase() && is_host(host) && port_fits && (port.is_none() || port != own)
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn error(text: &str) -> Option<String> {
        Config::parse(text).err().map(|error| error.to_string())
    }

    #[test]
    fn hosts_are_names_without_scheme_and_port() {
        for host in [
            "img.example.org",
            "IMG.Example.org",
            "*.example.org",
            "*",
            "localhost",
            "my_host",
            "10.0.0.1",
            "[::1]",
            "[2001:DB8::1]",
            "4you.example",
            "1.example",
        ] {
            assert_eq!(error(&format!("[server]\nallowed_hosts = ['{host}']")), None, "{host}");
        }
        for host in [
            "",
            "https://x",
            "x:8602",
            "x/y",
            "a b",
            "*x",
            "x.*",
            "*.",
            "a..b",
            "x.",
            "u@x",
            "[x]",
            "é",
            "::1",
            "[::1]:80",
            "[0:0:0:0:0:0:0:1]",
            "[::1%eth0]",
            "256.0.0.1",
            "127.1",
            "10.0.0.01",
            "0x7f.1",
        ] {
            let error = error(&format!("[server]\nallowed_hosts = ['a', '{host}']")).unwrap();
            assert!(error.starts_with("server.allowed_hosts[1]: `"), "{host}: {error}");
        }
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        for origin in [
            "https://shop.example.org",
            "http://localhost:3000",
            "http://[::1]:3000",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
            "http://[::ffff:a00:1]",
            "capacitor://localhost",
            "*",
        ] {
            assert_eq!(error(&format!("[cors]\norigins = ['{origin}']")), None, "{origin}");
        }
        for origin in [
            "",
            "null",
            "shop.example.org",
            "https://shop.example.org/",
            "https://Shop.example.org",
            "HTTPS://shop.example.org",
            "https://shop.example.org:443",
            "http://x:80",
            "http://x:080",
            "http://x:",
            "http://u@x",
            "https://*.example.org",
            "https://a b",
            "https://shop.example.org.",
            "http://[2001:DB8::1]",
            "http://[2001:db8:0:0:0:0:0:1]",
            "http://[::ffff:10.0.0.1]",
            "http://[::1]:80",
            "http://127.1",
            "http://x:65536",
            "http://x:+1",
            "file://",
        ] {
            let error = error(&format!("[cors]\norigins = ['{origin}']")).unwrap();
            assert!(error.starts_with("cors.origins[0]: `"), "{origin}: {error}");
        }
    }
}
