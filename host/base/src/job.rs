//! A job's states, which may follow which, and its story, whose state changes here alone. How it is stored is the journal's
//! to say, how it is told `job`'s.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fault::{Fault, Retry};
use crate::named;

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

named! {
    /// Where a job is on its way.
    pub enum JobState {
        /// It is durable, and the placeholder is being stored; the client has no reply yet.
        Accepting = "accepting",
        /// It waits for its turn, or for its next attempt.
        Accepted = "accepted",
        /// An attempt is under way.
        Running = "running",
        /// All results are stored.
        Succeeded = "succeeded",
        /// At least one result will not be; the record says why.
        Failed = "failed",
        /// It was cancelled before all results were stored.
        Cancelled = "cancelled",
    }
}

impl JobState {
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

    /// The legal transition to `next`; only from one of the states that `from` takes.
    fn become_from(&mut self, from: impl Fn(Self) -> bool, next: Self) -> Result<(), IllegalTransition> {
        if !from(*self) || !self.may_become(next) {
            return Err(IllegalTransition { from: *self, to: next });
        }
        *self = next;
        Ok(())
    }

    /// Whether a job in this state may be tried again as if it were new.
    pub fn may_be_replayed(self) -> bool {
        self.is_final() && self.may_become(Self::Accepted)
    }

    /// Whether nothing will change any more, unless somebody asks for it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A job's state does not allow what was to become of it; nothing of it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {from} cannot become {to}")]
pub struct IllegalTransition {
    pub from: JobState,
    pub to: JobState,
}

named! {
    /// Which job goes first.
    #[derive(Default)]
    pub enum Priority {
        /// When there is nothing else to do.
        Low = "low",
        /// In the order they came.
        #[default]
        Normal = "normal",
        /// Before all others.
        High = "high",
    }
}

named! {
    /// A part of a job's way whose duration is recorded, in milliseconds.
    pub enum Phase {
        /// From the request to the plan: the source's first bytes fetched, the header read, the placeholder drawn.
        Plan = "plan_ms",
        /// Storing the placeholder.
        Placeholder = "placeholder_ms",
        /// From the claim until the source is there.
        Fetch = "fetch_ms",
        /// From then until a worker began.
        Queue = "queue_ms",
        /// In the worker: decode, run, encode.
        Work = "work_ms",
        /// Storing the results.
        Store = "store_ms",
    }
}

/// One result of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The operation's name.
    pub operation: String,
    /// After substitution, without passwords.
    pub destination: String,
    pub state: OutputState,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file format's name or media type.
    pub format: String,
    /// Size in bytes; none until the result is there.
    pub bytes: Option<u64>,
    /// What the client should know of the result that is there.
    pub warnings: Vec<String>,
    pub error: Option<Fault>,
}

named! {
    /// Where one result is on its way.
    pub enum OutputState {
        /// The placeholder stands at its destination.
        Waiting = "waiting",
        /// The result stands there.
        Stored = "stored",
        /// It will have no result.
        Failed = "failed",
        /// It was cancelled before its result was stored.
        Cancelled = "cancelled",
    }
}

/// An attempt that did not end the job well.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedAttempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it ended, in milliseconds since 1970-01-01 UTC.
    pub ended_at_ms: u64,
    /// What it failed of.
    pub error: Fault,
}

/// Who posts a job, as far as keys tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Client {
    /// Whoever comes where there are no API keys.
    #[default]
    Anyone,
    /// Whoever has the API key of this name.
    Key(String),
    /// Whoever has a URL that the key of this name signed.
    SignedUrl(String),
}

/// Before the name of a key that signs URLs; no key's name holds a colon.
const SIGNED: &str = "url:";

impl Client {
    /// The client that is written so: "", an API key's name, or `url:NAME`.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix(SIGNED) {
            Some(name) => Self::SignedUrl(name.to_owned()),
            None if text.is_empty() => Self::Anyone,
            None => Self::Key(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone => Ok(()),
            Self::Key(name) => f.write_str(name),
            Self::SignedUrl(name) => write!(f, "{SIGNED}{name}"),
        }
    }
}

/// A job's whole story.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: JobId,
    pub state: JobState,
    /// The first output's operation.
    pub operation: String,
    pub client: Client,
    pub priority: Priority,
    /// Without passwords.
    pub source: String,
    /// The entity tag of the object that results were made of; none of a source that is in no store.
    pub source_tag: Option<String>,
    /// At least one, unless the story cannot be read.
    pub outputs: Vec<Output>,
    /// Milliseconds since 1970-01-01 UTC.
    pub accepted_at_ms: u64,
    /// When it is due: the acceptance, or the next attempt. Milliseconds since 1970-01-01 UTC.
    pub due_at_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub finished_at_ms: Option<u64>,
    /// The current or last attempt's number; 0 before the first claim.
    pub attempt: u32,
    /// The attempts that failed.
    pub attempts: Vec<FailedAttempt>,
    /// Durations in milliseconds.
    pub timings: BTreeMap<Phase, f64>,
    /// Whether somebody is told of the outcome.
    pub notify: bool,
    /// Since when attempts count.
    pub fresh: Fresh,
    /// What keeps this program from doing the job.
    pub held: Option<Held>,
    /// Which of several nodes has it, or had it last; none where there is one alone.
    pub node: Option<OnNode>,
}

/// Which of the nodes that share a journal has a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnNode {
    /// What it calls itself.
    pub name: String,
    /// Whether no other one can do the job.
    pub stays: bool,
}

/// A job that this program cannot do, as it cannot read what is stored of it. It waits for a program that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What cannot be read, and why.
    pub why: String,
    /// Whether it is the story: then nothing but its identity and state is known here, and it must not be written over.
    pub story: bool,
}

/// From where on attempts count: those before the job was last asked to be tried again do not, nor do those of several that came to
/// nothing in a row for want of time or room but the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// How many attempts do not count.
    pub attempt: u32,
    /// How many of `attempts` were before.
    pub failures: usize,
}

impl Record {
    /// The attempt under way has ended the job: no output waits any more, and together they decide how.
    ///
    /// # Errors
    /// No attempt is under way.
    pub fn end(&mut self, now_ms: u64) -> Result<(), IllegalTransition> {
        let outcome = self.outcome();
        self.state.become_from(|state| state == JobState::Running, outcome)?;
        self.finished_at_ms = Some(now_ms);
        Ok(())
    }

    /// The job is cancelled before an attempt at it begins, whatever of it has failed already: that was not to be decided
    /// yet.
    ///
    /// # Errors
    /// An attempt is under way, whose own the end is, or the job has ended.
    pub fn cancel(&mut self, now_ms: u64) -> Result<(), IllegalTransition> {
        self.state.become_from(|state| state != JobState::Running, JobState::Cancelled)?;
        self.cancel_waiting();
        self.finished_at_ms = Some(now_ms);
        Ok(())
    }

    /// The job is tried again as if it were new: what is not stored waits again, and the attempts so far do not count.
    ///
    /// # Errors
    /// The job has not ended, or all of it is stored.
    pub fn replay(&mut self, due_at_ms: u64) -> Result<(), IllegalTransition> {
        self.state.become_from(JobState::may_be_replayed, JobState::Accepted)?;
        for output in self.outputs.iter_mut().filter(|output| output.state != OutputState::Stored) {
            (output.state, output.error) = (OutputState::Waiting, None);
        }
        (self.finished_at_ms, self.due_at_ms) = (None, due_at_ms);
        self.fresh = Fresh { attempt: self.attempt, failures: self.attempts.len() };
        Ok(())
    }

    /// The outputs that wait will have no result, as the job is cancelled.
    pub fn cancel_waiting(&mut self) {
        self.waiting().for_each(|output| output.state = OutputState::Cancelled);
    }

    /// The outputs that wait have failed for good.
    pub fn fail_waiting(&mut self, fault: &Fault) {
        for output in self.waiting() {
            (output.state, output.error) = (OutputState::Failed, Some(fault.clone()));
        }
    }

    fn waiting(&mut self) -> impl Iterator<Item = &mut Output> {
        self.outputs.iter_mut().filter(|output| output.state == OutputState::Waiting)
    }

    /// What becomes of a job whose outputs wait no more.
    fn outcome(&self) -> JobState {
        let any = |state| self.outputs.iter().any(|output| output.state == state);
        match (any(OutputState::Cancelled), any(OutputState::Failed)) {
            (true, _) => JobState::Cancelled,
            (false, true) => JobState::Failed,
            (false, false) => JobState::Succeeded,
        }
    }

    /// The attempt under way has failed. Of those that there was no time or room for there may be very many in a row: the last one
    /// stands for them.
    pub fn failed(&mut self, ended_at_ms: u64, error: Fault) {
        let later = error.retry == Retry::Later;
        let attempt = FailedAttempt { number: self.attempt, ended_at_ms, error };
        match self.attempts.get_mut(self.fresh.failures..).and_then(<[_]>::last_mut) {
            Some(last) if later && last.error.retry == Retry::Later => {
                *last = attempt;
                self.fresh.attempt += 1;
            }
            _ => self.attempts.push(attempt),
        }
    }

    /// The failed attempts that count.
    pub fn failures(&self) -> &[FailedAttempt] {
        self.attempts.get(self.fresh.failures..).unwrap_or_default()
    }

    /// Attempts of which nobody knows how they ended: the server ended with them.
    pub fn lost(&self) -> u32 {
        let begun = self.attempt.saturating_sub(self.fresh.attempt).saturating_sub(1);
        begun.saturating_sub(self.failures().len() as u32)
    }

    /// Whether its story is another program's: it must not be written over.
    pub fn is_foreign(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.story)
    }

    /// Why it failed: of the first output that did.
    pub fn error(&self) -> Option<&Fault> {
        self.outputs.iter().find_map(|output| output.error.as_ref())
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
    use super::*;
    use crate::fault::FaultKind;

    /// A job in `state` with one output in each of `outputs`.
    fn record(state: JobState, outputs: &[OutputState]) -> Record {
        let output = |state: &OutputState| Output {
            operation: "resize".to_owned(),
            destination: "file:///a.png".to_owned(),
            state: *state,
            width: 1,
            height: 1,
            format: "png".to_owned(),
            bytes: None,
            warnings: Vec::new(),
            error: (*state == OutputState::Failed).then(fault),
        };
        Record {
            id: JobId::generate(),
            state,
            operation: "resize".to_owned(),
            client: Client::Anyone,
            priority: Priority::Normal,
            source: "file:///b.png".to_owned(),
            source_tag: None,
            outputs: outputs.iter().map(output).collect(),
            accepted_at_ms: 1,
            due_at_ms: 2,
            finished_at_ms: state.is_final().then_some(3),
            attempt: 4,
            attempts: vec![FailedAttempt { number: 4, ended_at_ms: 3, error: fault() }],
            timings: BTreeMap::new(),
            notify: false,
            fresh: Fresh::default(),
            held: None,
            node: None,
        }
    }

    fn fault() -> Fault {
        Fault::new(FaultKind::OperationFailed, "x")
    }

    fn states(record: &Record) -> Vec<OutputState> {
        record.outputs.iter().map(|output| output.state).collect()
    }

    #[test]
    fn attempts_for_which_there_was_no_room_do_not_pile_up_in_the_story() {
        let later = || Fault::new(FaultKind::Busy, "x").retried(Retry::Later);
        let mut tried = record(JobState::Running, &[OutputState::Waiting]);
        (tried.attempt, tried.attempts) = (0, Vec::new());
        for number in 1..=1000 {
            tried.attempt = number;
            tried.failed(number.into(), later());
        }
        // Nobody takes them for attempts of which the server died.
        tried.attempt = 1001;
        assert_eq!((tried.attempts.len(), tried.attempts[0].number, tried.lost()), (1, 1000, 0));
        tried.failed(1, fault());
        tried.attempt = 1002;
        tried.failed(2, later());
        tried.attempt = 1004;
        assert_eq!((tried.failures().len(), tried.lost()), (3, 1), "of one nobody knows how it ended");
        // Those from before a replay are left as they are.
        tried.fresh = Fresh { attempt: 1004, failures: 3 };
        tried.attempt = 1005;
        tried.failed(3, later());
        assert_eq!((tried.attempts.len(), tried.failures().len()), (4, 1));
    }

    #[test]
    fn an_attempt_ends_a_job_as_its_outputs_say() {
        use OutputState::{Cancelled, Failed, Stored};
        for (outputs, outcome) in [
            ([Stored, Stored], JobState::Succeeded),
            ([Stored, Failed], JobState::Failed),
            ([Failed, Cancelled], JobState::Cancelled),
        ] {
            let mut ended = record(JobState::Running, &outputs);
            ended.end(9).unwrap();
            assert_eq!((ended.state, ended.finished_at_ms), (outcome, Some(9)));
        }
    }

    #[test]
    fn a_job_that_waits_is_cancelled_with_the_outputs_that_wait() {
        use OutputState::{Cancelled, Failed, Stored, Waiting};
        let mut cancelled = record(JobState::Accepted, &[Stored, Failed, Waiting]);
        cancelled.cancel(9).unwrap();
        assert_eq!((cancelled.state, cancelled.finished_at_ms), (JobState::Cancelled, Some(9)));
        assert_eq!(states(&cancelled), [Stored, Failed, Cancelled]);
    }

    #[test]
    fn a_replayed_job_is_as_new_but_for_its_story() {
        use OutputState::{Cancelled, Failed, Stored, Waiting};
        let mut replayed = record(JobState::Failed, &[Stored, Failed, Cancelled]);
        replayed.replay(9).unwrap();
        assert_eq!(
            (replayed.state, replayed.finished_at_ms, replayed.due_at_ms),
            (JobState::Accepted, None, 9)
        );
        assert_eq!((states(&replayed), replayed.error()), (vec![Stored, Waiting, Waiting], None));
        assert_eq!((replayed.failures().len(), replayed.lost(), replayed.attempts.len()), (0, 0, 1));
    }

    #[test]
    fn what_fails_for_good_are_the_outputs_that_wait() {
        use OutputState::{Failed, Stored, Waiting};
        let mut failed = record(JobState::Running, &[Stored, Waiting]);
        failed.fail_waiting(&fault());
        assert_eq!((states(&failed), failed.error()), (vec![Stored, Failed], Some(&fault())));
    }

    #[test]
    fn a_transition_that_is_not_legal_changes_nothing() {
        use JobState::{Accepted, Accepting, Cancelled, Failed, Running};
        type Transition = fn(&mut Record, u64) -> Result<(), IllegalTransition>;
        let transitions: [(Transition, &[JobState]); 3] = [
            (Record::end, &[Running]),
            (Record::cancel, &[Accepting, Accepted]),
            (Record::replay, &[Failed, Cancelled]),
        ];
        for (transition, legal) in transitions {
            for state in JobState::ALL {
                let before = record(state, &[OutputState::Waiting, OutputState::Cancelled]);
                let mut after = before.clone();
                let made = transition(&mut after, 9);
                assert_eq!(made.is_ok(), legal.contains(&state), "from {state}: {made:?}");
                assert_eq!(after == before, made.is_err(), "from {state}");
                assert!(made.is_err() || state.may_become(after.state));
            }
        }
    }

    #[test]
    fn a_client_is_read_as_it_was_written() {
        for (text, client) in [
            ("", Client::Anyone),
            ("shop", Client::Key("shop".to_owned())),
            ("url:web", Client::SignedUrl("web".to_owned())),
        ] {
            assert_eq!((Client::parse(text), client.to_string().as_str()), (client, text));
        }
    }

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
