//! What is asked of a store of jobs: the trait, and what goes in and out.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::job::{Client, JobId, JobState, Priority, Record};

/// What a store answers, when it is done.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// Why the journal does not do what it is asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be opened.
    #[error("cannot open the journal {journal} ([jobs] journal): {text}")]
    Open {
        /// Its file, or its database without a password.
        journal: String,
        /// Why.
        text: String,
    },
    /// There is no such kind of store.
    #[error(
        "no store of jobs is called `{scheme}` ([jobs] journal): the path of a file and postgresql://… are possible"
    )]
    Address {
        /// Its scheme.
        scheme: String,
    },
    /// Another server has it.
    #[error("another imgserve uses the journal {journal} ([jobs] journal)")]
    InUse {
        /// Its file.
        journal: String,
    },
    /// It was written by a later version.
    #[error(
        "the journal {journal} has format {found}, and this version knows up to {known}: use the imgserve that wrote it"
    )]
    TooNew {
        /// Its file, or its database without a password.
        journal: String,
        /// Its format.
        found: i64,
        /// The latest format known here.
        known: i64,
    },
    /// Nothing was changed, as there is no room or the file cannot be written; later it may work.
    #[error("the journal cannot be written: {text}")]
    Unwritable {
        /// Why, in the store's words.
        text: String,
    },
    /// Whether the last changes are on disk is unknown: nothing is written any more until the server is started again.
    #[error("the journal is broken ({text}): restart imgserve when the disk is well")]
    Broken {
        /// Why, in the store's words.
        text: String,
    },
    /// The attempt is not the job's current one any more, or the job's state does not allow this.
    #[error("job {id}: attempt {attempt} is not its current one")]
    Stale {
        /// The job.
        id: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// It cannot be read.
    #[error("the journal cannot be read: {text}")]
    Unreadable {
        /// Why, in the store's words.
        text: String,
    },
}

/// A new job.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its story so far, in state `accepting`.
    pub record: Record,
    /// How to do it: `job`'s own text.
    pub order: String,
    /// Whose turn it is in.
    pub flow: String,
    /// What it is planned to cost, in pixels.
    pub cost: u64,
    /// The client's key for it, if it gave one.
    pub key: Option<IdempotencyKey>,
    /// Whether none but the node that takes it in can do it.
    pub stays: bool,
}

/// By which a client that posts a job twice means one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Whose key it is.
    pub client: Client,
    /// As the client sent it.
    pub key: String,
    /// SHA-256 of the request.
    pub digest: [u8; 32],
    /// What the client is answered, to be given again: `job`'s own text.
    pub receipt: String,
}

/// What is known of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// SHA-256 of the first request.
    pub digest: [u8; 32],
    /// What was answered.
    pub receipt: String,
}

/// What came of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The job is in the journal.
    New,
    /// Its idempotency key is in use; nothing was changed.
    Known(Receipt),
}

/// A job that was handed out to be done. `record.attempt` is the claim's number.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its story so far, in state `running`.
    pub record: Record,
    /// How to do it.
    pub order: String,
    /// Whose turn it is in.
    pub flow: String,
    /// What it is planned to cost, in pixels; 0 where nobody knows.
    pub cost: u64,
}

/// What there is room for, and who has how much of it.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Jobs or webhooks that may be handed out.
    pub free: usize,
    /// Whether no flow may have more under way than are free: whoever comes then finds some.
    pub shared: bool,
    /// Those under way, by flow.
    pub under_way: HashMap<Arc<str>, usize>,
    /// How many turns of jobs a flow has to one of others, where that is not one.
    pub weights: HashMap<Arc<str>, u32>,
}

/// Jobs handed out, and when there may be more.
#[derive(Debug)]
pub struct Claimed {
    /// In their turns.
    pub claims: Vec<Claim>,
    /// Whose jobs were due beside these and are held, as their stories cannot be read.
    pub held: Vec<Client>,
    /// Whether there were as many as there is room for, held ones counted, so that more may be due.
    pub full: bool,
    /// In how long the next one that waits for its time becomes due.
    pub next_due: Option<Duration>,
}

/// How an attempt ended, for the journal.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The job has ended in `record.state`, a final one; whoever wants to know is told by this notice.
    Ended(Option<Notice>),
    /// It is to be tried again after this pause.
    Again(Duration),
}

/// A webhook to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The message's id, the same at every try.
    pub id: String,
    /// The job it is about.
    pub job: JobId,
    /// Where to.
    pub url: String,
    /// What.
    pub body: String,
    /// When it was first due, by this process's steady clock.
    pub created_ms: u64,
    /// How often it was tried; counted when claimed.
    pub attempt: u32,
}

/// A webhook that is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedNotice {
    /// The webhook.
    pub notice: Notice,
    /// Whose turn it is in: its job's.
    pub flow: String,
}

/// A webhook that is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// How often it was tried.
    pub attempt: u32,
    /// When it is tried next, by this process's steady clock; none when it is given up.
    pub due_ms: Option<u64>,
}

/// How a try at a webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is delivered.
    Delivered,
    /// It is to be tried again after this pause.
    Again(Duration),
    /// It is given up. It stays for as long as its job, to be told of.
    GivenUp,
}

/// When a webhook is due that is given up, as stores have it.
pub(crate) const NEVER_MS: u64 = i64::MAX as u64;

/// Which jobs to list; the newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only in these states; empty means all.
    pub states: Vec<JobState>,
    /// Only of this operation.
    pub operation: Option<String>,
    /// Only of this client.
    pub client: Option<Client>,
    /// Only those whose ids begin or end with these hexadecimal digits, written without hyphens.
    pub id: Option<String>,
    /// Only older than this one: the last of the page before.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: usize,
}

/// How many jobs there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By state.
    pub states: Vec<(JobState, u64)>,
    /// Unfinished ones but for those that are held, by client.
    pub unfinished: Vec<(Client, u64)>,
    /// Webhooks that are not delivered.
    pub notices: u64,
}

/// The durable job store. It goes by its own clock and is told durations; the moments in what it gives and takes (when a job
/// is due, when a webhook was) are by the steady clock of this process, and the store's to translate.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Takes a job in.
    fn submit(&self, entry: Entry) -> Answer<'_, Submitted>;
    /// Forgets a job that was never accepted, and its idempotency key.
    fn withdraw(&self, id: JobId) -> Answer<'_, ()>;
    /// Makes a submitted job claimable. Does not wait for the disk: after a crash the job is claimable as well.
    fn release(&self, id: JobId);
    /// Hands out claimable jobs that are due, as many as there is room for: the flows take turns by what their jobs cost, and of
    /// each flow's jobs those of higher priority go first, then those due first. Each is in state `running`, its attempt counted
    /// up, for as long as the lease lasts; a job whose lease has ended is claimable again.
    fn claim(&self, room: Room, lease: Duration) -> Answer<'_, Claimed>;
    /// What waits for a later time than any pause that begins now could end, waits so long at most; what was never tried is due
    /// now, and no webhook is younger. For a start: another process wrote these times, and the clock may have been set since.
    fn bring_forward(&self, job_pause: Duration, notice_pause: Duration) -> Answer<'_, ()>;
    /// Has the leases of all attempts under way last so long from now on; also those of jobs that are being accepted, where the
    /// store has such. What was claimed and is not under way, as the claim's answer was lost, is given back. Gives those whose
    /// leases do, with 0 for the attempt of a job that is being accepted: any other is not its node's any more.
    fn heartbeat(&self, attempts: Vec<(JobId, u32)>, lease: Duration) -> Answer<'_, Vec<(JobId, u32)>>;
    /// Writes down what a running job is planned to be: its story, its order, and what it costs. What a power cut undoes of that
    /// is planned once more.
    ///
    /// # Errors
    /// [`JournalError::Stale`], as of `save`.
    fn plan(&self, record: Record, order: String, cost: u64) -> Answer<'_, ()>;
    /// Writes down a running job's story so far: an output that is stored.
    ///
    /// # Errors
    /// [`JournalError::Stale`] unless `record.attempt` is the current one and running; the same for `end`.
    fn save(&self, record: Record) -> Answer<'_, ()>;
    /// Ends an attempt.
    fn end(&self, record: Record, ending: Ending) -> Answer<'_, ()>;
    /// Gives a claim back as if it had not been: the server stops. Several at once.
    fn give_back(&self, attempts: Vec<(JobId, u32)>) -> Answer<'_, ()>;
    /// The same, for jobs that cannot go on just now: they are claimable again after this pause.
    fn put_off(&self, attempts: Vec<(JobId, u32)>, pause: Duration) -> Answer<'_, ()>;
    /// Gives back a claim of a job that this program cannot read, and says so in the log. It is not offered to this program
    /// again, but to the first other one that opens the journal, and its record tells `why`.
    /// Nobody waits for it: it is made before what is asked for next, and tried until it is.
    fn hold(&self, id: JobId, attempt: u32, why: String);
    /// Ends a job that waits; false when it does not wait (any more).
    fn cancel(&self, record: Record, notice: Option<Notice>) -> Answer<'_, bool>;
    /// Makes a job that has failed or was cancelled claimable again, with `record` as its story; false when it is in
    /// another state.
    fn replay(&self, record: Record) -> Answer<'_, bool>;
    /// The order of a job, by which it is done again.
    fn order(&self, id: JobId) -> Answer<'_, Option<String>>;
    /// The job of this id.
    fn get(&self, id: JobId) -> Answer<'_, Option<Record>>;
    /// Jobs, the newest first.
    fn list(&self, filter: Filter) -> Answer<'_, Vec<Record>>;
    /// How many there are.
    fn counts(&self) -> Answer<'_, Counts>;
    /// What is known of an idempotency key.
    fn receipt(&self, client: &Client, key: &str) -> Answer<'_, Option<Receipt>>;
    /// Forgets all finished jobs but the last `keep` that have ended, by the wall's clock, and the last `keep` that came; and
    /// idempotency keys older than this.
    fn prune(&self, keep: usize, key_age: Duration) -> Answer<'_, ()>;
    /// Hands out webhooks that are due, as `claim` does, as many as there is room for, of the flow that waits longest first; and
    /// in how long the next is due.
    fn claim_notices(
        &self,
        room: Room,
        lease: Duration,
    ) -> Answer<'_, (Vec<ClaimedNotice>, Option<Duration>)>;
    /// A try at a webhook has ended.
    fn end_notice(&self, id: String, attempt: u32, delivery: Delivery) -> Answer<'_, ()>;
    /// Webhooks that were claimed (their ids and tries) are given back as if they had not been, due after this pause.
    fn put_off_notices(&self, claims: Vec<(String, u32)>, pause: Duration) -> Answer<'_, ()>;
    /// How far the last webhook about this job is; none when it is delivered, or there is none to send yet.
    fn notice(&self, job: JobId) -> Answer<'_, Option<Undelivered>>;
    /// How long commits took of late, and how many changes they held.
    fn health(&self) -> Health;
    /// What there is beside where many nodes share it.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }
}

/// What a store has beside that many nodes share. Each hears of what the others do, mostly soon; it looks for it too, as nobody
/// waits until it has heard.
pub trait Shared: Send + Sync {
    /// What this node calls itself.
    fn name(&self) -> &str;
    /// How many other nodes were there when it was last looked.
    fn others(&self) -> usize;
    /// How this node is doing, for whoever asks for the nodes.
    fn present(&self, presence: Presence);
    /// This node has more to do than it can do now: others are told.
    fn offer(&self);
    /// Waits for what other nodes say, and gives it.
    fn heard(&self) -> Pin<Box<dyn Future<Output = Vec<News>> + Send + '_>>;
    /// What has become of jobs that are watched, and what else a node has to know in time.
    fn look(&self, watched: Vec<JobId>) -> Answer<'_, Look>;
    /// Asks the node that has a job to cancel it; false when none has it.
    fn ask_to_cancel(&self, id: JobId) -> Answer<'_, bool>;
    /// All that have been there in the last day, those that came first first.
    fn nodes(&self) -> Answer<'_, Vec<NodeSeen>>;
}

/// What nodes tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    /// There may be a job to claim.
    Waiting,
    /// Somebody wants this job cancelled.
    Cancel(JobId),
    /// This job's state has changed.
    Changed(JobId),
}

/// What a node sees when it looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Those that were asked for and are there, with their attempts.
    pub watched: Vec<(JobId, JobState, u32)>,
    /// Of this node's those that somebody wants cancelled.
    pub cancel: Vec<JobId>,
    /// Unfinished jobs but for those that are held, by client, of all nodes.
    pub unfinished: Vec<(Client, u64)>,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Its worker processes.
    pub workers: usize,
    /// Its attempts under way.
    pub running: usize,
}

/// A node as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// By which its jobs are known as its own.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// imgserve's.
    pub version: String,
    /// Since when it has been there, in milliseconds since 1970-01-01 UTC.
    pub began_at_ms: u64,
    /// When it was last heard of, in milliseconds since 1970-01-01 UTC.
    pub seen_at_ms: u64,
    /// Whether it is there, as far as anybody knows.
    pub is_there: bool,
    /// Whether it is the one that tells.
    pub is_this: bool,
    /// How it was doing then.
    pub presence: Presence,
}

/// How the journal is doing.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why it takes nothing any more, if so.
    pub broken: Option<String>,
    /// Why it takes nothing at present, if so: there is no room, or the file cannot be written.
    pub unwritable: Option<String>,
    /// Commits since the start.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Seconds that they took, in all.
    pub commit_seconds: f64,
    /// How many commits took up to this many seconds, and more than those of the bucket before; bounds as in
    /// [`COMMIT_BOUNDS`].
    pub buckets: Vec<u64>,
}

/// Upper bounds in seconds of the buckets of commit times; the last bucket has no bound.
pub const COMMIT_BOUNDS: [f64; 8] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// The number that a job's priority is stored as: higher goes first.
pub fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}
