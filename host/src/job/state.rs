//! A job's states, which may follow which, and its record.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use uuid::Uuid;

use crate::fault::Fault;

/// A job's name: a version 7 UUID, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct JobId(Uuid);

impl JobId {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    /// The placeholder is being stored; the client has no reply yet.
    Accepting,
    /// The placeholder is stored; the job waits for its source or a worker.
    Accepted,
    /// A worker has it, or its result is being stored.
    Running,
    /// The result is stored.
    Succeeded,
    /// It will have no result; the record says why.
    Failed,
}

impl JobState {
    /// The legal transitions, all of them.
    pub(crate) fn may_become(self, next: Self) -> bool {
        use JobState::{Accepted, Accepting, Failed, Running, Succeeded};
        matches!(
            (self, next),
            (Accepting, Accepted) | (Accepted, Running) | (Accepted | Running, Failed) | (Running, Succeeded)
        )
    }

    /// Whether nothing will change any more.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A part of a job's way whose duration is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Phase {
    /// From the request to the plan: the source's first bytes fetched, the header read, the placeholder drawn.
    #[serde(rename = "plan_ms")]
    Plan,
    /// Storing the placeholder.
    #[serde(rename = "placeholder_ms")]
    Placeholder,
    /// From the reply until a worker began, waiting for the rest of the source included.
    #[serde(rename = "queue_ms")]
    Queue,
    /// In the worker: decode, run, encode.
    #[serde(rename = "work_ms")]
    Work,
    /// Storing the result.
    #[serde(rename = "store_ms")]
    Store,
}

/// What a job has produced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Output {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file format's name or media type.
    pub format: String,
    /// Size in bytes; none until the result is there.
    pub bytes: Option<u64>,
}

/// Everything that is told of a job.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    pub id: JobId,
    pub state: JobState,
    #[serde(rename = "operationType")]
    pub operation: String,
    /// Without passwords.
    #[serde(rename = "srcURL")]
    pub source: String,
    /// After substitution, without passwords.
    #[serde(rename = "dstURL")]
    pub destination: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub accepted_at_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at_ms: Option<u64>,
    /// How much of the work is done, 0 to 1.
    pub progress: f32,
    /// Durations in milliseconds.
    pub timings: BTreeMap<Phase, f64>,
    pub output: Output,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Record {
    /// Notes how long a phase took.
    pub(crate) fn took(&mut self, phase: Phase, duration: Duration) {
        self.timings.insert(phase, (duration.as_secs_f64() * 1e5).round() / 100.0);
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::JobState::{Accepted, Accepting, Failed, Running, Succeeded};

    #[test]
    fn an_ended_job_stays_as_it_is_and_none_is_skipped() {
        for state in [Accepting, Accepted, Running, Succeeded, Failed] {
            assert!(!Succeeded.may_become(state) && !Failed.may_become(state));
        }
        assert!(!Accepted.may_become(Succeeded) && !Accepting.may_become(Running));
        assert!(Accepted.may_become(Failed) && Running.may_become(Failed) && Running.may_become(Succeeded));
    }
}
