//! `imgserve sign`: a URL of `GET …/render`, signed with a key of the configuration.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use imgserve_config::Config;
use url::Url;

use super::failure::Failure;
use super::options::Place;
use super::ui;
use crate::access::{RESERVED, UrlKey};

const HELP: &str = "\
URL is http(s)://HOST/v1/operations/NAME/render?… or only the part from /v1 on. What is signed is path and query, not the
host: the same signature is good wherever the server is reached. A proxy may change the host, but neither path nor query.

  imgserve sign '/v1/operations/resize/render?src=https://example.org/a.jpg&width=200&height=200' --expires-in 86400

prints it with &key=NAME&expires=SECONDS&sig=… at its end. A value that holds & or # or % must be percent-encoded. How another
program signs is told by `imgserve key url --help`.";

/// Any host, for a URL that has none.
const NOWHERE: &str = "http://nowhere.invalid";

/// Options of `sign`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    /// The URL to sign
    url: String,
    /// The key of [[access.url_keys]] to sign with, by name (default: the only one)
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Seconds from now after which the URL is good no more (default: never)
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
    /// Configuration file (default: as for `imgserve start`)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Place { config: arguments.config.clone(), pid: None }.load()?;
    let key = choose(&config, arguments.key.as_deref())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let expires = arguments.expires_in.map(|seconds| now.saturating_add(seconds));
    ui::say(&signed(&arguments.url, &key, expires).map_err(Failure::Other)?);
    Ok(ExitCode::SUCCESS)
}

fn choose(config: &Config, name: Option<&str>) -> Result<UrlKey, Failure> {
    let keys = &config.access.url_keys;
    let names = || keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
    let key = match (name, keys.as_slice()) {
        (_, []) => {
            let text = "the configuration has no [[access.url_keys]]; `imgserve key url NAME` makes one";
            return Err(Failure::Other(text.to_owned()));
        }
        (None, [only]) => only,
        (None, _) => return Err(Failure::Other(format!("say which key signs: --key {}", names()))),
        (Some(name), _) => keys.iter().find(|key| key.name == name).ok_or_else(|| {
            Failure::Other(format!("[[access.url_keys]] has no key `{name}`; there is {}", names()))
        })?,
    };
    UrlKey::new(key).ok_or_else(|| Failure::Other(format!("the secret of the key `{}` is none", key.name)))
}

/// The URL with its signature, written as a browser sends it.
fn signed(url: &str, key: &UrlKey, expires: Option<u64>) -> Result<String, String> {
    let from = if url.starts_with('/') { format!("{NOWHERE}{url}") } else { url.to_owned() };
    let parsed = Url::parse(&from).map_err(|error| format!("{url} is not a URL: {error}"))?;
    let segments: Vec<&str> = parsed.path_segments().into_iter().flatten().collect();
    if !matches!(segments[..], ["v1", "operations", name, "render"] if !name.is_empty()) {
        return Err(format!(
            "{} is not /v1/operations/NAME/render: only such URLs are signed, with the path that imgserve itself sees",
            parsed.path()
        ));
    }
    if parsed.fragment().is_some() {
        return Err("the URL has a #, and what follows is never sent: write it as %23".to_owned());
    }
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| RESERVED.contains(&name.as_ref())) {
        return Err(format!("the URL has `{name}` already, which signing adds: leave it out"));
    }
    let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
    let signed = key.sign(&format!("{}{query}", parsed.path()), expires);
    let origin = match from.starts_with(NOWHERE) {
        true => String::new(),
        false => parsed.origin().ascii_serialization(),
    };
    Ok(origin + &signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Keys;

    const TWO: &str = "[[access.url_keys]]\nname = 'web'\nsecret = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='\n\
                       [[access.url_keys]]\nname = 'app'\nsecret = 'ZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGU='\n";

    fn config() -> Config {
        Config::parse(TWO).unwrap()
    }

    #[test]
    fn a_signed_url_is_taken_and_its_host_is_of_no_account() {
        let key = choose(&config(), Some("app")).unwrap();
        let path = "/v1/operations/resize/render?src=https://example.org/größe 1.jpg&width=200";
        let local = signed(path, &key, None).unwrap();
        let remote = signed(&format!("https://Img.example.org:444{path}"), &key, None).unwrap();
        assert_eq!(remote, format!("https://img.example.org:444{local}"));
        assert!(local.contains("gr%C3%B6%C3%9Fe%201.jpg&width=200&key=app&sig="), "{local}");
        let keys = Keys::new(&config().access);
        assert_eq!(keys.may_render(None, &local, 0).unwrap().client.to_string(), "url:app");
        let until = signed(path, &key, Some(100)).unwrap();
        assert!(keys.may_render(None, &until, 100).is_ok() && keys.may_render(None, &until, 101).is_err());
    }

    #[test]
    fn what_could_never_be_taken_is_not_signed() {
        let key = choose(&config(), Some("web")).unwrap();
        for (url, why) in [
            ("resize", "is not a URL"),
            ("/v1/operations/resize?src=x", "is not /v1/operations/NAME/render"),
            ("https://example.org/img/v1/operations/resize/render", "the path that imgserve itself sees"),
            ("/v1/operations/resize/render?sig=x", "has `sig` already"),
            ("/v1/operations/resize/render?%6bey=x", "has `key` already"),
            ("/v1/operations/resize/render?background=#fff", "write it as %23"),
        ] {
            let error = signed(url, &key, None).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn the_key_is_the_only_one_or_is_named() {
        let told = |name| choose(&config(), name).map(|key| key.name).map_err(|error| error.to_string());
        assert_eq!(told(Some("web")).unwrap(), "web");
        assert_eq!(told(None).unwrap_err(), "say which key signs: --key web, app");
        assert!(told(Some("x")).unwrap_err().contains("there is web, app"));
        let one = Config::parse(TWO.rsplit_once("[[").unwrap().0).unwrap();
        assert_eq!(choose(&one, None).unwrap().name, "web");
        let none = choose(&Config::parse("").unwrap(), None).unwrap_err().to_string();
        assert!(none.contains("`imgserve key url NAME` makes one"), "{none}");
    }
}
