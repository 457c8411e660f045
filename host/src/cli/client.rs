//! What the commands that ask a running server share: where it is, the API key that goes along, and HTTP with bounds on
//! time and size. Knows nothing of jobs.
#![allow(
    clippy::disallowed_methods,
    reason = "the key's file is the operator's own, read before anything else runs"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use imgserve_base::fault::{chain, one_line};
use imgserve_base::units::MIB;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::failure::Failure;
use super::options::Place;
use super::pid_file::{self, State};
use super::report::Report;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take; the server waits up to 10 s for a job that is being cancelled.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence between two pieces of an answer; events come at least every 15 s.
const SILENCE: Duration = Duration::from_secs(40);
/// Largest answer, in bytes: a page of 1000 jobs with long stories is a tenth of it.
const MAX_BODY: usize = 64 * MIB as usize;
/// Longest text of another program's that is repeated, in bytes.
const MAX_TEXT: usize = 2000;
/// The environment variable that holds a key.
const KEY_VARIABLE: &str = "IMGSERVE_KEY";

/// Where the server is and who asks.
#[derive(Args, Clone, Debug)]
pub(super) struct Reach {
    /// Configuration of the server, which says where it listens (default: ~/.imgserve/imgserve.toml, as root
    /// /etc/imgserve/imgserve.toml, if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's address, such as http://10.0.0.5:8602, instead of the configuration's
    #[arg(long, value_name = "URL", conflicts_with = "config", value_parser = base)]
    url: Option<String>,
    /// The server's pid file, beside which it says where it listens (default: ~/.imgserve/imgserve.pid, as root
    /// /var/run/imgserve.pid)
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pid: Option<PathBuf>,
    /// File that holds an API key (default: the key in the environment variable IMGSERVE_KEY, if there is one)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// A URL that paths can be appended to.
fn base(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; an example: http://127.0.0.1:8602"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("must be http://HOST:PORT or https://HOST:PORT".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("must name no user: a key goes into --key-file or {KEY_VARIABLE}"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Where a server that listens so is reached from its own machine.
fn local(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

impl Reach {
    /// Runs a command that asks the server.
    ///
    /// # Errors
    /// The command's own, and that there is no configuration, key or client for it.
    pub(super) fn run<T>(
        &self,
        command: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let base = match &self.url {
            Some(url) => url.clone(),
            None => local(self.find()?),
        };
        let client = Client { http: http(&base, self.authorization()?)?, base };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::io("cannot start the runtime"))?;
        runtime.block_on(command(&client))
    }

    /// Where the server listens: what the running one says, else what the configuration does.
    fn find(&self) -> Result<SocketAddr, Failure> {
        let place = Place { config: self.config.clone(), pid: self.pid.clone() };
        let path = place.pid_file();
        let report = match pid_file::state(&path) {
            Ok(State::Running(Some(pid))) => Report::read(&path, pid),
            _ => None,
        };
        match report {
            // A configuration that is named means the server that reads it.
            Some(report) if self.config.as_ref().is_none_or(|file| report.reads(file)) => Ok(report.address),
            _ if self.pid.is_some() => Err(Failure::Other(format!(
                "no imgserve runs by the pid file {} that says where it listens; say it with --url",
                path.display()
            ))),
            _ => {
                let server = place.load()?.server;
                Ok(SocketAddr::new(server.host, server.port))
            }
        }
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let (key, whence) = match &self.key_file {
            Some(file) => {
                let shown = file.display().to_string();
                let unreadable = Failure::io(format!("cannot read the API key in {shown}"));
                (std::fs::read_to_string(file).map_err(unreadable)?, shown)
            }
            None => match std::env::var(KEY_VARIABLE) {
                Ok(key) if !key.trim().is_empty() => (key, KEY_VARIABLE.to_owned()),
                _ => return Ok(None),
            },
        };
        bearer(&key)
            .map(Some)
            .ok_or_else(|| Failure::Other(format!("{whence} holds no API key: one line of text")))
    }
}

/// The header that sends a key; none for what cannot be one.
fn bearer(key: &str) -> Option<HeaderValue> {
    let key = key.trim();
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok().filter(|_| !key.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

fn http(base: &str, authorization: Option<HeaderValue>) -> Result<reqwest::Client, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Other(format!("no HTTP client: {}", chain(error)));
    let mut roots = RootCertStore::empty();
    if base.starts_with("https:") {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    // reqwest wants a TLS configuration even where all is plain HTTP; for that it trusts nobody and reads no file.
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        // A key goes to nobody but the server that was named.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE)
        .default_headers(authorization.map(|value| (AUTHORIZATION, value)).into_iter().collect::<HeaderMap>())
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|error| failed(&error))
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

/// What is asked for, or why the server does not do it.
pub(super) type Outcome = Result<Value, String>;

impl Client {
    /// The server's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What the server has at `path`.
    ///
    /// # Errors
    /// That it cannot be reached, wants another key, or refuses; the same for all functions here.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let told = self.ask(Method::GET, path).await?.map_err(Failure::Other)?;
        serde_json::from_value(told).map_err(|error| self.stranger(&error.to_string()))
    }

    /// Has the server do something; a refusal of this one thing is no error.
    pub(super) async fn post(&self, path: &str) -> Result<Outcome, Failure> {
        self.ask(Method::POST, path).await
    }

    /// The same by DELETE.
    pub(super) async fn delete(&self, path: &str) -> Result<Outcome, Failure> {
        self.ask(Method::DELETE, path).await
    }

    /// How the server is, which it also tells when it is not well.
    pub(super) async fn readiness<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let (status, told) = self.answer(Method::GET, "/readyz").await?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => {
                serde_json::from_value(told).map_err(|error| self.stranger(&error.to_string()))
            }
            _ => Err(Failure::Other(self.refusal(status, &told)?)),
        }
    }

    /// The server-sent events at `path`.
    pub(super) async fn events(&self, path: &str) -> Result<Events<'_>, Failure> {
        let sending = self.http.get(format!("{}{path}", self.base)).send();
        let mut response = sending.await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            let told = self.json(status, &self.body(&mut response).await?)?;
            return Err(Failure::Other(self.refusal(status, &told)?));
        }
        Ok(Events { client: self, response, buffer: Vec::new() })
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Outcome, Failure> {
        let (status, told) = self.answer(method, path).await?;
        if status.is_success() { Ok(Ok(told)) } else { self.refusal(status, &told).map(Err) }
    }

    async fn answer(&self, method: Method, path: &str) -> Result<(StatusCode, Value), Failure> {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(TIMEOUT);
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = self.body(&mut response).await?;
        Ok((status, self.json(status, &body)?))
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.stranger("its answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn json(&self, status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body).map_err(|_| self.stranger(&format!("it answers {status} without JSON")))
    }

    /// Why the server refuses; an error where it would refuse everything else as well.
    fn refusal(&self, status: StatusCode, problem: &Value) -> Result<String, Failure> {
        let said = problem["detail"].as_str().or_else(|| problem["title"].as_str());
        let text = said.map_or_else(|| format!("it answers {status}"), |text| one_line(text, MAX_TEXT));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Other(format!(
                "{} refuses: {text}\nGive {} key with --key-file FILE or in the environment variable {KEY_VARIABLE}.",
                self.base,
                if status == StatusCode::FORBIDDEN { "another" } else { "a" },
            ))),
            _ => Ok(text),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = &self.base;
        let cause = one_line(&cause(error), MAX_TEXT);
        Failure::Other(match error {
            error if error.is_connect() => format!(
                "no imgserve answers at {base} ({cause})\nStart one with `imgserve start`, or say with --url, --pid or \
                 --config where it is."
            ),
            error if error.is_timeout() => format!("imgserve at {base} does not answer in time"),
            _ => format!("the connection to imgserve at {base} is lost: {cause}"),
        })
    }

    fn stranger(&self, text: &str) -> Failure {
        let text = one_line(text, MAX_TEXT);
        Failure::Other(format!("what answers at {} is no imgserve that this one knows: {text}", self.base))
    }
}

/// The last cause of an error: the system's own words.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Server-sent events (HTML Living Standard, section 9.2), of which only the data matters here.
#[derive(Debug)]
pub(super) struct Events<'a> {
    client: &'a Client,
    response: Response,
    buffer: Vec<u8>,
}

impl Events<'_> {
    /// The next event's data; none when the server has no more to tell.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(event) = take_event(&mut self.buffer) {
                if let Some(data) = data(&event) {
                    let data = serde_json::from_str(&data);
                    return data.map(Some).map_err(|_| self.client.stranger("its event is not JSON"));
                }
            }
            match self.response.chunk().await.map_err(|error| self.client.unreachable(&error))? {
                Some(chunk) if self.buffer.len() + chunk.len() > MAX_BODY => {
                    return Err(self.client.stranger("its event is too long"));
                }
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Takes a whole event off the front of what has come.
fn take_event(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = buffer.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&event).into_owned())
}

/// The data of an event; none for a comment.
fn data(event: &str) -> Option<String> {
    let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client() -> Client {
        let base = "http://127.0.0.1:1".to_owned();
        Client { http: http(&base, bearer("secret")).unwrap(), base }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_at_loopback() {
        for (host, wanted) in [
            ("0.0.0.0", "http://127.0.0.1:8602"),
            ("::", "http://[::1]:8602"),
            ("10.1.2.3", "http://10.1.2.3:8602"),
        ] {
            assert_eq!(local(SocketAddr::new(host.parse().unwrap(), 8602)), wanted);
        }
    }

    #[test]
    fn addresses_are_checked_where_they_are_typed() {
        assert_eq!(base("http://10.0.0.5:8602/").unwrap(), "http://10.0.0.5:8602");
        assert_eq!(base("https://example.org/images").unwrap(), "https://example.org/images");
        for wrong in ["10.0.0.5:8602", "ftp://example.org", "http://u:p@example.org", "http://x/?a=b", "8602"]
        {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_one_line_and_never_shown() {
        let header = bearer(" k3y \n").unwrap();
        assert_eq!(header, "Bearer k3y");
        assert!(!format!("{header:?}").contains("k3y"));
        assert!(bearer(" \n").is_none() && bearer("two\nlines").is_none());
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words_and_says_how_to_give_a_key() {
        let problem = json!({ "title": "Unknown job", "detail": "no job\u{1b}[2J has this id" });
        assert_eq!(
            client().refusal(StatusCode::NOT_FOUND, &problem).unwrap(),
            "no job\\u{1b}[2J has this id"
        );
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            let text =
                client().refusal(status, &json!({ "detail": "nobody has it" })).unwrap_err().to_string();
            assert!(text.contains("nobody has it") && text.contains("--key-file"), "{text}");
            assert!(text.contains("IMGSERVE_KEY"), "{text}");
        }
    }

    #[test]
    fn events_are_cut_where_they_end() {
        let mut buffer = b":\n\nevent: state\ndata: {\"a\":1}\n\nevent: pro".to_vec();
        assert_eq!(data(&take_event(&mut buffer).unwrap()), None);
        assert_eq!(data(&take_event(&mut buffer).unwrap()).unwrap().trim(), "{\"a\":1}");
        assert!(take_event(&mut buffer).is_none());
        buffer.extend_from_slice(b"gress\ndata: 2\n\n");
        assert_eq!(data(&take_event(&mut buffer).unwrap()).unwrap().trim(), "2");
    }
}
