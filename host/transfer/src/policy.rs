//! Which addresses and local paths a transfer may reach: pure decisions, denying whatever is not known to be public.
//! Resolving names and opening files, so that what was decided is what is used, is left to `resolve` and `file`.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::url::FileUrl;

/// What may be reached although it is not public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Where.
    pub host: AllowedHost,
    /// The one port of it; none: every port.
    pub port: Option<u16>,
}

/// Where an [`Allowed`] leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// These addresses, however they came about.
    Network(IpNet),
    /// Whatever this host of a URL resolves to; in lower case, without a dot at its end.
    Name(String),
}

impl From<IpNet> for Allowed {
    fn from(network: IpNet) -> Self {
        Self { host: AllowedHost::Network(network), port: None }
    }
}

/// To whom a connection is to be made, as the URL says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The host, if it is a name.
    pub name: Option<&'a str>,
    /// The port; none for one that is not known, which no rule names.
    pub port: Option<u16>,
}

impl Allowed {
    /// Whether it is about this address, at whatever port.
    fn is_of(&self, address: IpAddr, asked: Asked) -> bool {
        match &self.host {
            AllowedHost::Network(network) => network.contains(&address),
            AllowedHost::Name(name) => {
                asked.name.is_some_and(|asked| asked.trim_end_matches('.').eq_ignore_ascii_case(name))
            }
        }
    }

    fn has_port(&self, asked: Asked) -> bool {
        self.port.is_none_or(|port| asked.port == Some(port))
    }
}

/// An address that may not be reached, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Denied {
    /// The address.
    pub address: IpAddr,
    /// The entry of the IANA registry that makes it special.
    pub reason: &'static str,
    /// Whether other ports of it may be reached.
    pub other_ports: bool,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

/// What is not globally reachable in the IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast
/// (RFC 5771). 192.0.0.0/24 is refused whole: its two global anycast addresses serve no images.
const V4_SPECIAL: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "this network, RFC 791"),
    (v4(10, 0, 0, 0, 8), "private use, RFC 1918"),
    (v4(100, 64, 0, 0, 10), "shared address space, RFC 6598"),
    (v4(127, 0, 0, 0, 8), "loopback, RFC 1122"),
    (v4(169, 254, 0, 0, 16), "link local, RFC 3927"),
    (v4(172, 16, 0, 0, 12), "private use, RFC 1918"),
    (v4(192, 0, 0, 0, 24), "IETF protocol assignments, RFC 6890"),
    (v4(192, 0, 2, 0, 24), "documentation, RFC 5737"),
    (v4(192, 88, 99, 0, 24), "6to4 relay anycast, RFC 7526"),
    (v4(192, 168, 0, 0, 16), "private use, RFC 1918"),
    (v4(198, 18, 0, 0, 15), "benchmarking, RFC 2544"),
    (v4(198, 51, 100, 0, 24), "documentation, RFC 5737"),
    (v4(203, 0, 113, 0, 24), "documentation, RFC 5737"),
    (v4(224, 0, 0, 0, 4), "multicast, RFC 5771"),
    (v4(255, 255, 255, 255, 32), "limited broadcast, RFC 919"),
    (v4(240, 0, 0, 0, 4), "reserved, RFC 1112"),
];

/// The same for IPv6. Whatever lies outside 2000::/3 is not global unicast (RFC 4291, section 2.4) and is denied
/// without being listed; the entries outside it only give the better reason.
const V6_SPECIAL: [(Ipv6Net, &str); 11] = [
    (v6(0x64, 0xff9b, 1, 0, 48), "local-use IPv4/IPv6 translation, RFC 8215"),
    (v6(0x100, 0, 0, 0, 64), "discard only, RFC 6666"),
    (v6(0x2001, 0, 0, 0, 23), "IETF protocol assignments, RFC 2928"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation, RFC 3849"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation, RFC 9637"),
    (v6(0x5f00, 0, 0, 0, 16), "segment routing, RFC 9602"),
    (v6(0xfc00, 0, 0, 0, 7), "unique local, RFC 4193"),
    (v6(0xfe80, 0, 0, 0, 10), "link local, RFC 4291"),
    (v6(0xfec0, 0, 0, 0, 10), "site local, RFC 3879"),
    (v6(0xff00, 0, 0, 0, 8), "multicast, RFC 4291"),
    (v6(0, 0, 0, 0, 64), "loopback, unspecified or reserved, RFC 4291"),
];

const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// Decides whether `address` may be connected to for what was asked: yes if a rule of `allow` opens it, else only if it is
/// public. An IPv6 address that stands for an IPv4 one is judged as that one too.
///
/// # Errors
///
/// [`Denied`], naming `address` and why it is not public.
pub(super) fn check_address(address: IpAddr, asked: Asked, allow: &[Allowed]) -> Result<(), Denied> {
    let embedded = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
    };
    let is_of = |rule: &Allowed| {
        rule.is_of(address, asked) || embedded.is_some_and(|address| rule.is_of(address, asked))
    };
    let mut listed = allow.iter().filter(|rule| is_of(rule)).peekable();
    let other_ports = listed.peek().is_some();
    if listed.any(|rule| rule.has_port(asked)) {
        return Ok(());
    }
    match special(embedded.unwrap_or(address)) {
        Some(reason) => Err(Denied { address, reason, other_ports }),
        None => Ok(()),
    }
}

fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => {
            V4_SPECIAL.iter().find(|(network, _)| network.contains(&v4)).map(|(_, reason)| *reason)
        }
        IpAddr::V6(v6) => V6_SPECIAL
            .iter()
            .find(|(network, _)| network.contains(&v6))
            .map(|(_, reason)| *reason)
            .or_else(|| (!GLOBAL_UNICAST.contains(&v6)).then_some("not global unicast, RFC 4291")),
    }
}

/// The IPv4 address that packets to `address` end up at: IPv4-mapped and -compatible (RFC 4291, section 2.5.5),
/// NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380, section 4). Not the local-use NAT64 prefix 64:ff9b:1::/48:
/// where the IPv4 address sits in it is the operator's choice, so it is denied whole.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => join(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => join(high, low),
        [0x2002, high, low, ..] => join(high, low),
        [0x2001, 0, .., high, low] => join(!high, !low),
        _ => None,
    }
}

/// A local path that may be reached: the root to open, and the names to walk below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beneath<'a> {
    /// One of the configured roots.
    pub root: &'a Path,
    /// Relative to the root, at least one name long, free of `.` and `..`.
    pub relative: PathBuf,
}

impl Beneath<'_> {
    /// The directories below the root, outermost first, and the file's own name.
    pub(super) fn split(&self) -> (impl Iterator<Item = &OsStr>, &OsStr) {
        let directories = self.relative.parent().unwrap_or(Path::new("")).iter();
        (directories, self.relative.file_name().unwrap_or_default())
    }
}

/// Finds the root that a file URL's path lies beneath; of nested roots the innermost. None: it may not be reached.
pub(super) fn check_path<'a>(url: &FileUrl, roots: &'a [PathBuf]) -> Option<Beneath<'a>> {
    let path: PathBuf =
        std::iter::once(OsStr::new("/")).chain(url.segments.iter().map(|s| s.as_os_str())).collect();
    roots
        .iter()
        .filter_map(|root| {
            let relative =
                path.strip_prefix(root).ok().filter(|relative| !relative.as_os_str().is_empty())?;
            Some(Beneath { root, relative: relative.to_owned() })
        })
        .max_by_key(|beneath| beneath.root.components().count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SourceUrl;

    const ANY: Asked = Asked { name: None, port: Some(80) };

    fn allowed(address: &str, allow: &[&str]) -> bool {
        let allow: Vec<Allowed> =
            allow.iter().map(|network| network.parse::<IpNet>().unwrap().into()).collect();
        check_address(address.parse().unwrap(), ANY, &allow).is_ok()
    }

    #[test]
    fn a_rule_with_a_port_opens_that_port_alone() {
        let network = |text: &str, port| Allowed { port, ..text.parse::<IpNet>().unwrap().into() };
        let rules = [
            network("127.0.0.1/32", Some(9000)),
            network("10.0.0.0/8", Some(8080)),
            network("::1/128", None),
        ];
        for (address, port, open) in [
            ("127.0.0.1", Some(9000), true),
            ("::ffff:127.0.0.1", Some(9000), true),
            ("127.0.0.1", Some(9001), false),
            ("127.0.0.1", None, false),
            ("127.0.0.2", Some(9000), false),
            ("10.1.2.3", Some(8080), true),
            ("10.1.2.3", Some(9000), false),
            ("::1", Some(1), true),
            ("::1", None, true),
            ("8.8.8.8", Some(1), true),
            ("8.8.8.8", None, true),
        ] {
            let asked = Asked { name: None, port };
            let answer = check_address(address.parse().unwrap(), asked, &rules);
            assert_eq!(answer.is_ok(), open, "{address} {port:?}");
            let other = address.ends_with("127.0.0.1") || address == "10.1.2.3";
            assert_eq!(answer.is_err_and(|denied| denied.other_ports), other && !open, "{address} {port:?}");
        }
    }

    #[test]
    fn a_rule_with_a_name_opens_what_that_name_resolves_to() {
        let rules = [Allowed { host: AllowedHost::Name("media.internal".to_owned()), port: Some(443) }];
        for (name, port, open) in [
            (Some("media.internal"), Some(443), true),
            (Some("MEDIA.internal."), Some(443), true),
            (Some("media.internal"), Some(80), false),
            (Some("media.internal"), None, false),
            (Some("x.media.internal"), Some(443), false),
            (Some("media.internal.evil.example"), Some(443), false),
            (Some("evil.example"), Some(443), false),
            (None, Some(443), false),
        ] {
            let answer = check_address("10.0.0.3".parse().unwrap(), Asked { name, port }, &rules);
            assert_eq!(answer.is_ok(), open, "{name:?} {port:?}");
        }
    }

    /// First and last address of every IPv4 entry of the registry, and its public neighbours.
    #[test]
    fn special_ipv4_networks_are_denied_to_the_bit() {
        let cases = [
            ("0.0.0.0", "0.255.255.255", "1.0.0.0"),
            ("10.0.0.0", "10.255.255.255", "9.255.255.255"),
            ("100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("127.0.0.0", "127.255.255.255", "126.255.255.255"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255"),
            ("172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.2.0", "192.0.2.255", "192.0.3.0"),
            ("192.88.99.0", "192.88.99.255", "192.88.98.255"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255"),
            ("198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("198.51.100.0", "198.51.100.255", "198.51.101.0"),
            ("203.0.113.0", "203.0.113.255", "203.0.112.255"),
            ("224.0.0.0", "239.255.255.255", "223.255.255.255"),
            ("240.0.0.0", "255.255.255.255", "8.8.8.8"),
        ];
        for (first, last, outside) in cases {
            assert!(!allowed(first, &[]), "{first}");
            assert!(!allowed(last, &[]), "{last}");
            assert!(allowed(outside, &[]), "{outside}");
        }
    }

    #[test]
    fn special_ipv6_networks_are_denied() {
        for address in [
            "::",
            "::1",
            "::2:0:0:1",
            "100::1",
            "64:ff9b:1::8.8.8.8",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!allowed(address, &[]), "{address}");
        }
        for address in ["2606:4700::1111", "2a00:1450:4001:80b::200e", "2001:200::1", "2001:4860:4860::8888"]
        {
            assert!(allowed(address, &[]), "{address}");
        }
    }

    #[test]
    fn embedded_ipv4_addresses_decide() {
        for (private, public) in [
            ("::ffff:127.0.0.1", "::ffff:8.8.8.8"),
            ("::10.0.0.1", "::8.8.8.8"),
            ("64:ff9b::192.168.0.1", "64:ff9b::8.8.8.8"),
            ("2002:7f00:1::", "2002:808:808::"),
            // Teredo stores the client's address inverted: f5ff:fffe is 10.0.0.1, f7f7:f7f7 is 8.8.8.8.
            ("2001:0:102:304::f5ff:fffe", "2001:0:102:304::f7f7:f7f7"),
        ] {
            assert!(!allowed(private, &[]), "{private}");
            assert!(allowed(public, &[]), "{public}");
        }
        assert!(allowed("::ffff:127.0.0.1", &["127.0.0.0/8"]));
    }

    #[test]
    fn a_listed_network_is_opened_and_no_other() {
        assert!(allowed("127.0.0.1", &["127.0.0.0/8"]));
        assert!(!allowed("10.0.0.1", &["127.0.0.0/8"]));
        assert!(!allowed("::1", &["127.0.0.0/8"]));
        assert!(allowed("::1", &["10.0.0.0/8", "::1/128"]));
        assert!(allowed("64:ff9b:1::1", &["64:ff9b:1::/48"]));
    }

    #[test]
    fn the_reason_is_told() {
        let denied = check_address("10.0.0.3".parse().unwrap(), ANY, &[]).unwrap_err();
        assert_eq!(denied.to_string(), "private use, RFC 1918");
    }

    fn beneath(url: &str, roots: &[&str]) -> Option<(PathBuf, PathBuf)> {
        let SourceUrl::File(url) = SourceUrl::parse(url).unwrap() else { panic!("not a file URL") };
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        check_path(&url, &roots).map(|beneath| (beneath.root.to_owned(), beneath.relative))
    }

    #[test]
    fn paths_must_lie_beneath_a_root() {
        let found = |root: &str, relative: &str| Some((PathBuf::from(root), PathBuf::from(relative)));
        assert_eq!(beneath("file:///srv/a/b.png", &["/srv"]), found("/srv", "a/b.png"));
        assert_eq!(beneath("file:///srv/a/b.png", &["/srv", "/srv/a", "/"]), found("/srv/a", "b.png"));
        assert_eq!(beneath("file:///x.png", &["/"]), found("/", "x.png"));
        for outside in ["file:///srv", "file:///srvx/a.png", "file:///etc/passwd", "file:///Srv/a.png"] {
            assert_eq!(beneath(outside, &["/srv"]), None, "{outside}");
        }
        assert_eq!(beneath("file:///x.png", &[]), None);
    }

    proptest! {
        /// However an IPv4 address is dressed up as IPv6, the answer is that of the IPv4 address.
        #[test]
        fn dressing_up_changes_nothing(bits in any::<u32>()) {
            let plain = Ipv4Addr::from(bits);
            let verdict = check_address(plain.into(), ANY, &[]).is_ok();
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            prop_assert_eq!(check_address(plain.to_ipv6_mapped().into(), ANY, &[]).is_ok(), verdict);
            for dressed in [
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !high, !low),
            ] {
                prop_assert_eq!(check_address(dressed.into(), ANY, &[]).is_ok(), verdict);
            }
        }
    }
}
