//! What stands open and perhaps should not, told when the server starts: without API keys, what everyone may do who reaches
//! its port; a configuration with secrets that every user of the machine can read.
#![allow(clippy::disallowed_methods, reason = "read once, before the server serves")]

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use imgserve_config::{Config, EVERY, Paths};

/// The mode bit by which others than a file's user and group can read it (stat(2)).
const READABLE_BY_OTHERS: u32 = 0o004;

/// All that there is to warn of in `config`, which was read of `file`, where it listens on `bound`.
pub(super) fn warnings(config: &Config, file: Option<&Path>, bound: SocketAddr) -> Vec<String> {
    let secrets = file.and_then(|file| readable_secrets(config, file));
    [open_port(config, bound), every_page(config), secrets].into_iter().flatten().collect()
}

/// The warning of pages that may do everything.
fn every_page(config: &Config) -> Option<String> {
    let every = config.cors.origins.iter().any(|origin| origin == EVERY);
    (every && config.access.api_keys.is_empty()).then(|| {
        "no [[access.api_keys]], and [cors] origins = [\"*\"]: every web page that somebody opens whose browser reaches this \
         server can have all its operations run and see all jobs; list the origins, or make a key with `imgserve key api NAME`"
            .to_owned()
    })
}

/// The warning of an open port, unless there are keys or only this machine reaches `bound`.
pub(super) fn open_port(config: &Config, bound: SocketAddr) -> Option<String> {
    let access = &config.access;
    if bound.ip().to_canonical().is_loopback() || !access.api_keys.is_empty() {
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

/// The warning of secrets that others can read in `file`, of which `config` was read.
pub(super) fn readable_secrets(config: &Config, file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.mode();
    let secrets = config.secrets();
    if secrets.is_empty() || mode & READABLE_BY_OTHERS == 0 {
        return None;
    }
    let (file, secrets) = (file.display(), secrets.join(", "));
    Some(format!(
        "every user of this machine can read {file}, which holds secrets ({secrets}); `chmod 600 {file}` keeps it to its owner"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn told(text: &str, bound: &str) -> Option<String> {
        open_port(&Config::parse(text).unwrap(), bound.parse().unwrap())
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
    fn pages_that_may_do_everything_are_warned_of() {
        let key =
            format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']\n", "0".repeat(64));
        for (text, warned) in [
            ("[cors]\norigins = ['*']".to_owned(), true),
            ("[cors]\norigins = ['https://shop.example.org']".to_owned(), false),
            (format!("{key}[cors]\norigins = ['*']"), false),
        ] {
            let told = warnings(&Config::parse(&text).unwrap(), None, "127.0.0.1:80".parse().unwrap());
            assert_eq!(told.len(), usize::from(warned), "{text}: {told:?}");
        }
    }

    #[test]
    fn keys_or_loopback_need_no_warning() {
        let key =
            format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']", "0".repeat(64));
        assert_eq!(told(&key, "0.0.0.0:80"), None);
        assert_eq!(told("", "127.0.0.1:80"), None);
        assert_eq!(told("", "[::1]:80"), None);
        assert_eq!(told("", "[::ffff:127.0.0.1]:80"), None);
        assert!(told(&format!("[[access.url_keys]]\nname = 'a'\nsecret = '{SECRET}'"), "[::]:80").is_some());
    }

    #[test]
    fn secrets_that_every_user_can_read_are_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("imgserve.toml");
        std::fs::write(&file, "").unwrap();
        let told = |text: &str, mode| {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            readable_secrets(&Config::parse(text).unwrap(), &file)
        };
        let url = format!("[[access.url_keys]]\nname = 'a'\nsecret = '{SECRET}'");
        let webhook = format!("[webhooks]\nsecret = 'whsec_{SECRET}'");
        for text in [&url, &webhook] {
            let warning = told(text, 0o644).unwrap();
            assert!(warning.contains(&format!("`chmod 600 {}`", file.display())), "{warning}");
            assert!(!warning.contains(SECRET), "{warning}");
            assert_eq!((told(text, 0o640), told(text, 0o600)), (None, None));
        }
        let token = "[operations.x]\nkind = 'wasm'\npath = '/x.wasm'\nconfig = { token = 'hush' }";
        let warning = told(token, 0o644).unwrap();
        assert!(warning.contains("[operations.x] config.token") && !warning.contains("hush"), "{warning}");
        let digest =
            format!("[[access.api_keys]]\nname = 'a'\nsha256 = '{}'\nscopes = ['jobs']", "0".repeat(64));
        assert_eq!((told(&digest, 0o644), told("", 0o644)), (None, None));
    }
}
