//! The demo as a client: posts requests to imgserve as any client does, over HTTP, and asks for the jobs' records.
#![allow(clippy::disallowed_methods, reason = "the replies are those of our own server")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::fault::chain;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::cli::failure::Failure;

/// How long any one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a job may take, from its reply on.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two questions after a job.
const POLL: Duration = Duration::from_millis(10);

/// A client of one imgserve.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    origin: String,
}

/// A reply to a POST.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// The body as it came.
    pub(super) text: String,
    pub(super) body: Value,
    /// `X-Job-Id`, if there was one.
    pub(super) job: Option<String>,
    /// `X-Imgserve-Error`, if there was one.
    pub(super) error: Option<String>,
    pub(super) posted: Instant,
    pub(super) received: Instant,
}

impl Client {
    pub(super) fn new(server: SocketAddr) -> Result<Self, Failure> {
        let failed =
            |error: &dyn std::error::Error| Failure::Other(format!("no HTTP client: {}", chain(error)));
        // reqwest wants a TLS configuration even where all is plain HTTP; this one trusts nobody and reads no file.
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .timeout(TIMEOUT)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { http, origin: format!("http://{server}") })
    }

    /// Posts a request; the error says what went wrong on the way.
    pub(super) async fn post(&self, request: &str) -> Result<Reply, String> {
        let posted = Instant::now();
        let sending = self.http.post(format!("{}/", self.origin)).body(request.to_owned()).send();
        let response = sending.await.map_err(|error| chain(&error))?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (job, error) = (header("x-job-id"), header("x-imgserve-error"));
        let text = response.text().await.map_err(|error| chain(&error))?;
        let received = Instant::now();
        let body = serde_json::from_str(&text).map_err(|error| format!("the reply is not JSON: {error}"))?;
        Ok(Reply { text, body, job, error, posted, received })
    }

    /// The server's address.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Posts a job of `/v1`; what is answered.
    pub(super) async fn post_job(&self, body: &Value) -> Result<Value, String> {
        told(self.http.post(format!("{}/v1/jobs", self.origin)).body(body.to_string())).await
    }

    /// Asks for a path; what is answered.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        told(self.http.get(format!("{}{path}", self.origin))).await
    }

    /// Waits until a job has succeeded; the error is the job's own.
    pub(super) async fn finished(&self, job: &str) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let record = self.record(job).await?;
            match record["state"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("failed") => return Err(format!("the job failed: {}", record["error"])),
                Some(state) if Instant::now() > deadline => {
                    return Err(format!("the job is still {state} after {} s", DEADLINE.as_secs()));
                }
                Some(_) => tokio::time::sleep(POLL).await,
                None => return Err(format!("the server does not know the job: {record}")),
            }
        }
    }

    async fn record(&self, job: &str) -> Result<Value, String> {
        self.get(&format!("/v1/jobs/{job}")).await
    }
}

/// The JSON of an answer.
async fn told(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let answer = request.send().await.map_err(|error| chain(&error))?;
    let text = answer.text().await.map_err(|error| chain(&error))?;
    serde_json::from_str(&text).map_err(|error| format!("the answer is not JSON: {error}"))
}
