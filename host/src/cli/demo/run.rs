//! One job from the POST to the verdict.

use std::time::Duration;

use serde_json::json;

use super::check::Expected;
use super::client::{Client, Reply};
use super::found::Found;
use super::jobs::{Job, Outcome};
use super::peers::Peers;

/// What a job did.
#[derive(Clone, Debug)]
pub(super) struct Report<'a> {
    pub(super) job: Job<'a>,
    /// The request's body.
    pub(super) request: String,
    pub(super) reply: Option<Reply>,
    pub(super) placeholder: Option<Found>,
    pub(super) result: Option<Found>,
    /// What was measured, or what is wrong.
    pub(super) verdict: Result<String, String>,
}

impl Report<'_> {
    /// From the POST to the reply.
    pub(super) fn reply_after(&self) -> Option<Duration> {
        self.reply.as_ref().map(|reply| reply.received - reply.posted)
    }
}

/// Posts a job, waits for what comes of it, and judges.
pub(super) async fn run<'a>(job: Job<'a>, peers: &Peers, client: &Client) -> Report<'a> {
    let request = job.request(peers);
    let verdict = Ok(String::new());
    let mut report = Report { job, request, reply: None, placeholder: None, result: None, verdict };
    report.verdict = report.judge(peers, client).await;
    report
}

impl Report<'_> {
    async fn judge(&mut self, peers: &Peers, client: &Client) -> Result<String, String> {
        let reply = client.post(&self.request).await?;
        self.reply = Some(reply.clone());
        match self.job.outcome.clone() {
            Outcome::Code(code) => self.check_refusal(&reply, code, peers),
            Outcome::Result(expected) => {
                self.take_placeholder(&reply, &expected, peers)?;
                let destination = json!({ "dstURL": peers.url(self.job.destination, self.job.stored) });
                if reply.body != destination {
                    return Err(format!("the reply must be {destination}"));
                }
                client.finished(reply.job.as_deref().ok_or("the reply names no job (X-Job-Id)")?).await?;
                self.take_result(&reply, &expected, peers)
            }
        }
    }

    /// The placeholder must be at the destination now that the reply is here.
    fn take_placeholder(&mut self, reply: &Reply, expected: &Expected, peers: &Peers) -> Result<(), String> {
        let Some(version) = versions(&self.job, peers).into_iter().next() else {
            return Err("nothing was at the destination when the reply came".to_owned());
        };
        let wrong = |text: String| format!("the placeholder: {text}");
        let mut found = Found::read(&version, reply.posted).map_err(wrong)?;
        // A file is noticed a moment after it was there.
        found.after = found.after.min(reply.received - reply.posted);
        let checked = expected.check_placeholder(&found).map_err(wrong);
        // A file may have been replaced before anyone looked; there was one, and that is all that can be said.
        if checked.is_err() && self.job.destination.is_folder() && expected.check_result(&found).is_ok() {
            return Ok(());
        }
        self.placeholder = Some(found);
        checked
    }

    fn take_result(&mut self, reply: &Reply, expected: &Expected, peers: &Peers) -> Result<String, String> {
        let versions = versions(&self.job, peers);
        let version = versions.last().ok_or("there is no result")?;
        let wrong = |text: String| format!("the result: {text}");
        let found = Found::read(version, reply.posted).map_err(wrong)?;
        let replaced = self.placeholder.as_ref().is_none_or(|placeholder| placeholder.bytes != found.bytes);
        let checked = expected.check_result(&found).map_err(wrong);
        self.result = Some(found);
        if !replaced {
            return Err("the placeholder was not replaced".to_owned());
        }
        checked
    }

    fn check_refusal(&self, reply: &Reply, code: u16, peers: &Peers) -> Result<String, String> {
        let wanted = json!({ "msg": "request invalid", "code": code });
        if reply.body != wanted {
            return Err(format!("the reply must be {wanted}"));
        }
        if reply.error.is_none() {
            return Err("the reply does not say why (X-Imgserve-Error)".to_owned());
        }
        if !versions(&self.job, peers).is_empty() {
            return Err("something was stored all the same".to_owned());
        }
        Ok(format!("refused with code {code}, nothing stored"))
    }
}

/// What has been at the job's destination so far.
fn versions(job: &Job, peers: &Peers) -> Vec<super::shelf::Version> {
    if job.destination.is_folder() {
        peers.folder.look(job.stored);
    }
    peers.shelf(job.destination).versions(job.stored)
}
