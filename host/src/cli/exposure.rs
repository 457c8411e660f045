//! What a server without API keys lets everyone do who reaches its port, told when it starts.

use std::net::SocketAddr;

use imgserve_config::{Config, Paths};

/// The warning, unless there are keys or only this machine reaches `bound`.
pub(super) fn warning(config: &Config, bound: SocketAddr) -> Option<String> {
    let access = &config.access;
    if bound.ip().is_loopback() || !access.api_keys.is_empty() {
        return None;
    }
    let who = match bound.ip().is_unspecified() {
        true => format!("anyone who reaches port {} of any of this machine's addresses", bound.port()),
        false => format!("anyone who reaches {bound}"),
    };
    let roots = match access.file_roots.as_slice() {
        [] => vec![Paths::of_this_user().files],
        roots => roots.to_vec(),
    };
    let roots = roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
    let networks = match access.allow_networks.as_slice() {
        [] => "any public address".to_owned(),
        allowed => {
            let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("any public address and {allowed} ([access] allow_networks)")
        }
    };
    Some(format!(
        "no [[access.api_keys]]: {who} can have imgserve fetch from and store to {networks}, read and overwrite files in \
         {roots} ([access] file_roots), run every operation, and see and cancel all jobs. `imgserve key api NAME` makes a \
         key, without which it is refused; -host 127.0.0.1 ([server] host) keeps it to this machine"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, bound: &str) -> Option<String> {
        warning(&Config::parse(text).unwrap(), bound.parse().unwrap())
    }

    #[test]
    fn an_open_port_is_warned_of_and_what_is_behind_it() {
        let text = told("", "0.0.0.0:8602").unwrap();
        assert!(
            text.contains("port 8602 of any of this machine's addresses")
                && text.contains("imgserve key api")
        );
        let text = told("[access]\nallow_networks = ['10.0.0.0/8']\nfile_roots = ['/srv/x']", "192.0.2.1:80")
            .unwrap();
        for part in ["anyone who reaches 192.0.2.1:80", "10.0.0.0/8 (", "/srv/x ("] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn keys_or_loopback_need_no_warning() {
        let key =
            format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']", "0".repeat(64));
        assert_eq!(told(&key, "0.0.0.0:80"), None);
        assert_eq!(told("", "127.0.0.1:80"), None);
        assert_eq!(told("", "[::1]:80"), None);
        assert!(
            told(
                "[[access.url_keys]]\nname = 'a'\nsecret = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='",
                "[::]:80"
            )
            .is_some()
        );
    }
}
