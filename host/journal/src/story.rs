//! A job's story as the journal keeps it: structures made for storing, apart from what clients are told. What has a column
//! of its own (state, attempt, times, whose it is) is not in the text.
//!
//! Version 1, as imgserve 0.3 wrote it before there were versions, held those columns once more and is read by the same
//! structures. Version 3 has the source's entity tag, and is written of a job that has one. A text with another member, another value
//! or another name than these is a version 4.

use std::collections::BTreeMap;

use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{FailedAttempt, Fresh, Output, OutputState, Phase, Record};
use serde::{Deserialize, Serialize};

/// The latest version that is read, and written where an earlier one has no place for something.
pub(crate) const VERSION: u32 = 3;
/// What is written else.
const USUAL: u32 = 2;

/// What a program that calls itself so is called where it cannot read a job: what one cannot read of a story, one of the same name
/// but another version of stories can.
pub(crate) fn reader(name: &str) -> String {
    format!("{name}, stories up to version {VERSION}")
}

/// Why a stored story cannot be read. It is left as it is, for a program that can.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A later program wrote it.
    #[error("its story is of version {found}, and this program reads up to {VERSION}")]
    Later {
        /// Its version.
        found: u32,
    },
    /// It is not what its version says.
    #[error("its story cannot be understood: {0}")]
    Broken(String),
}

/// What of a job's story has no column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) source: String,
    pub(crate) source_tag: Option<String>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) attempts: Vec<FailedAttempt>,
    pub(crate) timings: BTreeMap<Phase, f64>,
    pub(crate) notify: bool,
    pub(crate) fresh: Fresh,
}

/// A story as it is kept.
pub(crate) fn text(record: &Record) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Story {
        version: if record.source_tag.is_some() { VERSION } else { USUAL },
        source: record.source.clone(),
        source_tag: record.source_tag.clone(),
        parts: record.outputs.iter().map(Part::from).collect(),
        attempts: record.attempts.iter().map(Attempt::from).collect(),
        timings: record.timings.iter().map(|(phase, ms)| (phase.as_str().to_owned(), *ms)).collect(),
        notify: record.notify,
        fresh: Count { attempt: record.fresh.attempt, failures: record.fresh.failures },
    })
}

/// Reads a kept story of any version.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn read(text: &str) -> Result<Told, Unreadable> {
    let parse = |error: serde_json::Error| Unreadable::Broken(error.to_string());
    let Numbered { version } = serde_json::from_str(text).map_err(parse)?;
    if version > VERSION {
        return Err(Unreadable::Later { found: version });
    }
    let story: Story = serde_json::from_str(text).map_err(parse)?;
    let phase = |(name, ms): (String, f64)| {
        let phase = Phase::parse(&name).ok_or_else(|| unknown("phase", &name))?;
        Ok((phase, ms))
    };
    Ok(Told {
        source: story.source,
        source_tag: story.source_tag,
        outputs: story.parts.into_iter().map(Part::understood).collect::<Result<_, _>>()?,
        attempts: story.attempts.into_iter().map(Attempt::understood).collect::<Result<_, _>>()?,
        timings: story.timings.into_iter().map(phase).collect::<Result<_, _>>()?,
        notify: story.notify,
        fresh: Fresh { attempt: story.fresh.attempt, failures: story.fresh.failures },
    })
}

#[derive(Deserialize)]
struct Numbered {
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

#[derive(Serialize, Deserialize)]
struct Story {
    #[serde(default = "first")]
    version: u32,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_tag: Option<String>,
    parts: Vec<Part>,
    attempts: Vec<Attempt>,
    /// Milliseconds by phase.
    timings: BTreeMap<String, f64>,
    notify: bool,
    #[serde(default)]
    fresh: Count,
}

#[derive(Serialize, Deserialize)]
struct Part {
    operation: String,
    destination: String,
    state: String,
    width: u32,
    height: u32,
    format: String,
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Serialize, Deserialize)]
struct Attempt {
    number: u32,
    ended_at_ms: u64,
    error: Failure,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    kind: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Count {
    attempt: u32,
    failures: usize,
}

impl From<&Output> for Part {
    fn from(output: &Output) -> Self {
        Self {
            operation: output.operation.clone(),
            destination: output.destination.clone(),
            state: output.state.as_str().to_owned(),
            width: output.width,
            height: output.height,
            format: output.format.clone(),
            bytes: output.bytes,
            warnings: output.warnings.clone(),
            error: output.error.as_ref().map(Failure::from),
        }
    }
}

impl Part {
    fn understood(self) -> Result<Output, Unreadable> {
        Ok(Output {
            operation: self.operation,
            destination: self.destination,
            state: OutputState::parse(&self.state).ok_or_else(|| unknown("state", &self.state))?,
            width: self.width,
            height: self.height,
            format: self.format,
            bytes: self.bytes,
            warnings: self.warnings,
            error: self.error.map(Failure::understood).transpose()?,
        })
    }
}

impl From<&FailedAttempt> for Attempt {
    fn from(attempt: &FailedAttempt) -> Self {
        let FailedAttempt { number, ended_at_ms, error } = attempt;
        Self { number: *number, ended_at_ms: *ended_at_ms, error: error.into() }
    }
}

impl Attempt {
    fn understood(self) -> Result<FailedAttempt, Unreadable> {
        let Self { number, ended_at_ms, error } = self;
        Ok(FailedAttempt { number, ended_at_ms, error: error.understood()? })
    }
}

impl From<&Fault> for Failure {
    fn from(fault: &Fault) -> Self {
        // Which codec is to blame is counted as it happens; of a story its text tells.
        let Fault { kind, text, operation, codec: _, retry_after_s, retry } = fault;
        Self {
            kind: kind.as_str().to_owned(),
            text: text.clone(),
            operation: operation.clone(),
            retry_after_s: *retry_after_s,
            retry: (*retry != Retry::Never).then(|| retry.as_str().to_owned()),
        }
    }
}

impl Failure {
    fn understood(self) -> Result<Fault, Unreadable> {
        let retry = match &self.retry {
            None => Retry::Never,
            Some(name) => Retry::parse(name).ok_or_else(|| unknown("retry", name))?,
        };
        Ok(Fault {
            kind: FaultKind::parse(&self.kind).ok_or_else(|| unknown("kind of fault", &self.kind))?,
            text: self.text,
            operation: self.operation,
            codec: None,
            retry_after_s: self.retry_after_s,
            retry,
        })
    }
}

fn unknown(what: &str, name: &str) -> Unreadable {
    Unreadable::Broken(format!("no {what} is called `{name}`"))
}
