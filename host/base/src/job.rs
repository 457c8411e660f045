//! A job's states, which may follow which, and its story: what the journal keeps and clients are told.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fault::Fault;

/// A job's name: a version 7 UUID, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new one, later than all before.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// As the journal keeps it; sorts as the id does.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It is durable, and the placeholder is being stored; the client has no reply yet.
    Accepting,
    /// It waits for its turn, or for its next attempt.
    Accepted,
    /// An attempt is under way.
    Running,
    /// All results are stored.
    Succeeded,
    /// At least one result will not be; the record says why.
    Failed,
    /// It was cancelled before all results were stored.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Accepting, Self::Accepted, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The legal transitions, all of them.
    pub fn may_become(self, next: Self) -> bool {
        use JobState::{Accepted, Accepting, Cancelled, Failed, Running, Succeeded};
        matches!(
            (self, next),
            // The placeholder is stored; or the server ended meanwhile, and the client may have had its reply.
            (Accepting, Accepted)
                // Claimed.
                | (Accepted, Running)
                // To be tried again; or the server stopped or died.
                | (Running, Accepted)
                | (Running, Succeeded | Failed | Cancelled)
                | (Accepting | Accepted, Cancelled)
                // Replayed.
                | (Failed | Cancelled, Accepted)
        )
    }

    /// Whether nothing will change any more, unless somebody asks for it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepting => "accepting",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Which job goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When there is nothing else to do.
    Low,
    /// In the order they came.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// A part of a job's way whose duration is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// From the request to the plan: the source's first bytes fetched, the header read, the placeholder drawn.
    #[serde(rename = "plan_ms")]
    Plan,
    /// Storing the placeholder.
    #[serde(rename = "placeholder_ms")]
    Placeholder,
    /// From the claim until the source is there.
    #[serde(rename = "fetch_ms")]
    Fetch,
    /// From then until a worker began.
    #[serde(rename = "queue_ms")]
    Queue,
    /// In the worker: decode, run, encode.
    #[serde(rename = "work_ms")]
    Work,
    /// Storing the results.
    #[serde(rename = "store_ms")]
    Store,
}

/// One result of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The operation's name.
    pub operation: String,
    /// After substitution, without passwords.
    pub destination: String,
    pub state: PartState,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file format's name or media type.
    pub format: String,
    /// Size in bytes; none until the result is there.
    pub bytes: Option<u64>,
    /// What the client should know of the result that is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// Where one result is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// The placeholder stands at its destination.
    Waiting,
    /// The result stands there.
    Stored,
    /// It will have no result.
    Failed,
    /// It was cancelled before its result was stored.
    Cancelled,
}

/// An attempt that did not end the job well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it ended, in milliseconds since 1970-01-01 UTC.
    pub ended_at_ms: u64,
    /// What it failed of.
    pub error: Fault,
}

/// A job's whole story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: JobId,
    pub state: JobState,
    /// The first output's operation.
    pub operation: String,
    /// The API key's name; "" for none.
    pub client: String,
    pub priority: Priority,
    /// Without passwords.
    pub source: String,
    /// At least one.
    pub parts: Vec<Part>,
    /// Milliseconds since 1970-01-01 UTC.
    pub accepted_at_ms: u64,
    /// When it is due: the acceptance, or the next attempt. Milliseconds since 1970-01-01 UTC.
    pub due_at_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub finished_at_ms: Option<u64>,
    /// The current or last attempt's number; 0 before the first claim.
    pub attempt: u32,
    /// The attempts that failed.
    pub attempts: Vec<Attempt>,
    /// Durations in milliseconds.
    pub timings: BTreeMap<Phase, f64>,
    /// Whether somebody is told of the outcome.
    pub notify: bool,
    /// Since when attempts count.
    #[serde(default)]
    pub fresh: Fresh,
}

/// From where on attempts count: those before the job was last asked to be tried again do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// The number of the last attempt before.
    pub attempt: u32,
    /// How many of `attempts` were before.
    pub failures: usize,
}

impl Record {
    /// What becomes of a job whose outputs wait no more.
    pub fn outcome(&self) -> JobState {
        let any = |state| self.parts.iter().any(|part| part.state == state);
        match (any(PartState::Cancelled), any(PartState::Failed)) {
            (true, _) => JobState::Cancelled,
            (false, true) => JobState::Failed,
            (false, false) => JobState::Succeeded,
        }
    }

    /// The failed attempts that count.
    pub fn failures(&self) -> &[Attempt] {
        self.attempts.get(self.fresh.failures..).unwrap_or_default()
    }

    /// Attempts of which nobody knows how they ended: the server ended with them.
    pub fn lost(&self) -> u32 {
        let begun = self.attempt.saturating_sub(self.fresh.attempt).saturating_sub(1);
        begun.saturating_sub(self.failures().len() as u32)
    }

    /// Why it failed: of the first output that did.
    pub fn error(&self) -> Option<&Fault> {
        self.parts.iter().find_map(|part| part.error.as_ref())
    }

    /// Notes how long a phase took.
    pub fn took(&mut self, phase: Phase, duration: Duration) {
        self.timings.insert(phase, (duration.as_secs_f64() * 1e5).round() / 100.0);
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::JobState;

    #[test]
    fn a_job_that_succeeded_stays_so_and_no_state_is_skipped() {
        use JobState::{Accepted, Accepting, Cancelled, Failed, Running, Succeeded};
        for state in JobState::ALL {
            assert!(!Succeeded.may_become(state) && !state.may_become(Accepting) && !state.may_become(state));
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
        assert!(!Accepted.may_become(Succeeded) && !Accepting.may_become(Running));
        assert!(Running.may_become(Failed) && Running.may_become(Succeeded) && Running.may_become(Accepted));
        assert!(
            Failed.may_become(Accepted) && Cancelled.may_become(Accepted) && Accepted.may_become(Cancelled)
        );
    }
}
