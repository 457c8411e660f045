//! `imgserve key`: keys and secrets out of the system's random numbers, and what to write into the configuration. That goes to
//! stdout, to be appended to the file; what a person must know goes to stderr.
//!
//! Nothing is kept: a key that is lost is made anew.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use imgserve_config::{Paths, Scope, is_key_name};

use super::failure::Failure;
use super::ui;
use crate::access::digest_of;

/// Before an API key, so that it is known for one wherever it turns up.
const API_PREFIX: &str = "imgserve_";
const WEBHOOK_PREFIX: &str = "whsec_";

const API_HELP: &str = "\
The section goes to stdout, the key itself to stderr: in the file stands only its digest, so note the key now.

  imgserve key api shop --scopes jobs >> ~/.imgserve/imgserve.toml && imgserve reload
  curl -H 'Authorization: Bearer imgserve_…' http://127.0.0.1:8602/v1/operations

Scopes:
  jobs        POST / and /v1/jobs
  operations  POST /v1/operations/NAME and GET /v1/operations/NAME/render
  admin       everything, /metrics and everyone's jobs included

As soon as there is one API key, requests without one are refused, but for GET /, /healthz, /readyz and signed URLs. A client
of imgserve 0.2 sends no key: put a proxy before it that adds the header, or keep the port to those who may use it.
To take a key back, delete its section and type `imgserve reload`.";

const URL_HELP: &str = "\
As soon as there is one such key, GET /v1/operations/NAME/render answers only URLs that one of them has signed (and clients
with an API key). Two keys may stand side by side, so that a new one is in use before the old one goes.

  imgserve key url web >> ~/.imgserve/imgserve.toml && imgserve reload
  imgserve sign 'http://127.0.0.1:8602/v1/operations/resize/render?src=https://example.org/a.jpg&width=200&height=200'

Your own program signs like this: take path and query as they will be sent, append &key=web (and &expires=SECONDS since
1970, if it is to end), and then &sig= and the HMAC-SHA256 of all that in base64url without padding; the key of the HMAC is
the secret's bytes, decoded from base64. Whoever has the secret can sign: the file should be readable to you alone.";

const WEBHOOK_HELP: &str = "\
With it every webhook carries webhook-id, webhook-timestamp and webhook-signature as Standard Webhooks has them; the receiver
checks them with one of that project's libraries and the same secret. Without a secret no job may have a notifyURL.

  imgserve key webhook >> ~/.imgserve/imgserve.toml && imgserve reload

If the file has a section [webhooks] already, put the line `secret = …` into that one.";

/// Which key to make.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Make an API key for a client
    Api(Api),
    /// Make a key that signs the URLs of GET …/render
    Url(Url),
    /// Make the secret by which receivers know our webhooks
    #[command(after_long_help = WEBHOOK_HELP)]
    Webhook,
}

/// Options of `key api`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = API_HELP)]
pub(super) struct Api {
    /// Who gets it, for logs and for whose jobs are whose: lowercase letters, digits, - and _
    #[arg(value_parser = name)]
    name: String,
    /// What it is good for: jobs, operations, admin
    #[arg(long, value_delimiter = ',', value_parser = scope, default_value = "jobs,operations")]
    scopes: Vec<Scope>,
}

/// Options of `key url`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = URL_HELP)]
pub(super) struct Url {
    /// What URLs say as `key=NAME`: lowercase letters, digits, - and _
    #[arg(value_parser = name)]
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    let wrong = || "must be 1 to 64 lowercase letters, digits, - and _".to_owned();
    is_key_name(text).then(|| text.to_owned()).ok_or_else(wrong)
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    Scope::ALL
        .into_iter()
        .find(|scope| scope.as_str() == text)
        .ok_or_else(|| format!("the scopes are {known}"))
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let bytes = random()?;
    let made = match command {
        Command::Api(arguments) => api(arguments, &bytes),
        Command::Url(arguments) => url(arguments, &bytes),
        Command::Webhook => webhook(&bytes),
    };
    let path = Paths::of_this_user().config;
    ui::note(&format!("{}\n\nFor {}, to be taken in by `imgserve reload`:\n", made.note, path.display()));
    // Begins with an empty line, so that it can be appended to a file.
    ui::say(&format!("\n{}", made.toml));
    Ok(ExitCode::SUCCESS)
}

/// What is said of a new key.
struct Made {
    note: String,
    toml: String,
}

fn api(arguments: &Api, bytes: &[u8]) -> Made {
    let key = format!("{API_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let scopes = arguments.scopes.iter().map(|scope| format!("\"{}\"", scope.as_str()));
    let scopes = scopes.collect::<Vec<_>>().join(", ");
    let (name, digest) = (&arguments.name, digest_of(&key));
    Made {
        note: format!(
            "API key of `{name}`, which sends it as \"Authorization: Bearer KEY\". It is shown only now:\n\n{key}"
        ),
        toml: format!("[[access.api_keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nscopes = [{scopes}]"),
    }
}

fn url(arguments: &Url, bytes: &[u8]) -> Made {
    let name = &arguments.name;
    Made {
        note: format!("key `{name}`; URLs are signed with it by `imgserve sign URL --key {name}`"),
        toml: format!("[[access.url_keys]]\nname = \"{name}\"\nsecret = \"{}\"", STANDARD.encode(bytes)),
    }
}

fn webhook(bytes: &[u8]) -> Made {
    Made {
        note: "secret of webhooks; their receivers need it to check signatures".to_owned(),
        toml: format!("[webhooks]\nsecret = \"{WEBHOOK_PREFIX}{}\"", STANDARD.encode(bytes)),
    }
}

/// As many bytes as nobody can guess.
fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    let failed = |error| Failure::Other(format!("the system gives no random numbers: {error}"));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Keys;
    use imgserve_config::Config;

    #[test]
    fn what_is_to_be_pasted_is_a_configuration_in_which_the_key_is_good() {
        let name = "shop-1".to_owned();
        let arguments = Api { name: name.clone(), scopes: vec![Scope::Jobs, Scope::Admin] };
        let made = api(&arguments, &[7; 32]);
        let key = made.note.lines().last().unwrap();
        assert!(key.starts_with("imgserve_") && key.len() == 52 && !made.toml.contains(key));
        let text = [made.toml.clone(), url(&Url { name }, &[8; 32]).toml, webhook(&[9; 32]).toml];
        let config = Config::parse(&text.join("\n\n")).unwrap();
        let caller = Keys::new(&config.access).authenticate(Some(key)).unwrap();
        assert!(caller.client.to_string() == "shop-1" && caller.may(Scope::Admin));
        assert_eq!(config.access.url_keys[0].bytes().unwrap(), [8; 32]);
        assert_eq!(config.webhooks.key().unwrap(), [9; 32]);
        assert_ne!(random().unwrap(), random().unwrap());
    }

    #[test]
    fn names_and_scopes_are_checked_where_they_are_typed() {
        assert!(name("web").is_ok() && name("Web").is_err() && name("").is_err());
        assert_eq!(scope("admin"), Ok(Scope::Admin));
        assert_eq!(scope("all").unwrap_err(), "the scopes are jobs, operations, admin");
    }
}
