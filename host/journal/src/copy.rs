//! Everything of one store into another, of whichever kind: jobs as they stand, idempotency keys, webhooks. Nobody may work on either.
//! What is there already is passed over, so that a copy that was broken off goes on where it ended.

use imgserve_base::clock::steady_ms;
use uuid::Uuid;

use crate::store::JournalError;
use crate::{Opening, Place, postgres, sqlite, story};

/// How much is copied at once.
pub(crate) const AT_ONCE: usize = 256;

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Jobs that were not there.
    pub jobs: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Webhooks.
    pub notices: u64,
    /// What was there already, of all three.
    pub known: u64,
}

/// A job as it stands. Moments are told by how far they are off.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) state: String,
    pub(crate) priority: i64,
    pub(crate) due_off_ms: i64,
    pub(crate) attempt: i64,
    pub(crate) operation: String,
    pub(crate) client: String,
    pub(crate) accepted_at_ms: i64,
    pub(crate) finished_at_ms: Option<i64>,
    pub(crate) flow: String,
    pub(crate) cost: i64,
    pub(crate) held_by: Option<String>,
    pub(crate) held_why: Option<String>,
    pub(crate) order: String,
    pub(crate) record: String,
}

/// An idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) client: String,
    pub(crate) key: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) receipt: String,
    pub(crate) job: Uuid,
    pub(crate) created_off_ms: i64,
}

/// A webhook; one that is given up is not due.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) id: String,
    pub(crate) job: Uuid,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) created_off_ms: i64,
    pub(crate) due_off_ms: Option<i64>,
    pub(crate) attempt: i64,
    pub(crate) flow: String,
}

/// Some of them; nothing when there is no more.
#[derive(Debug)]
pub(crate) enum Portion {
    Jobs(Vec<Job>),
    Keys(Vec<Key>),
    Notices(Vec<Notice>),
    Nothing,
}

impl Portion {
    fn len(&self) -> u64 {
        match self {
            Self::Jobs(jobs) => jobs.len() as u64,
            Self::Keys(keys) => keys.len() as u64,
            Self::Notices(notices) => notices.len() as u64,
            Self::Nothing => 0,
        }
    }
}

/// A store that is copied from or to.
pub(crate) trait Copies {
    /// The next ones, in the order in which they came.
    fn next(&mut self) -> Result<Portion, JournalError>;
    /// Takes those in that are not there; how many that are.
    fn take(&mut self, portion: &Portion) -> Result<u64, JournalError>;
}

/// Copies all of one store into the other; tells of each portion how much was copied so far. Jobs with files stay with the server that
/// has the opening's node, where it is a database, unless all nodes see the same files. Blocks.
///
/// # Errors
/// As of opening either; [`JournalError::InUse`] also where a server uses one of them.
pub fn copy(
    from: &Opening,
    to: &Opening,
    shared_files: bool,
    mut tell: impl FnMut(Copied),
) -> Result<Copied, JournalError> {
    let (mut from, mut to) = (open(from, shared_files)?, open(to, shared_files)?);
    let mut copied = Copied::default();
    loop {
        let portion = from.next()?;
        let new = to.take(&portion)?;
        match &portion {
            Portion::Jobs(_) => copied.jobs += new,
            Portion::Keys(_) => copied.keys += new,
            Portion::Notices(_) => copied.notices += new,
            Portion::Nothing => return Ok(copied),
        }
        copied.known += portion.len() - new;
        tell(copied);
    }
}

fn open(opening: &Opening, shared_files: bool) -> Result<Box<dyn Copies>, JournalError> {
    match Place::of(&opening.address)? {
        Place::File(path) => Ok(Box::new(sqlite::Copying::open(path, &opening.reader)?)),
        Place::Database => Ok(Box::new(postgres::Copying::open(opening, shared_files)?)),
    }
}

/// The portions one after the other: where the last one of a kind was not full the next kind begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Finished,
    Jobs,
    Keys,
    Notices,
    End,
}

/// How far off a moment is.
pub(crate) fn off(moment_ms: i64) -> i64 {
    moment_ms.saturating_sub(now_ms())
}

/// The moment that is so far off.
pub(crate) fn moment(off_ms: i64) -> i64 {
    now_ms().saturating_add(off_ms)
}

fn now_ms() -> i64 {
    i64::try_from(steady_ms()).unwrap_or(i64::MAX)
}

/// Whether a job reads or writes files, as far as its story tells.
pub(crate) fn has_files(record: &str) -> bool {
    story::read(record).is_ok_and(|told| {
        told.source.starts_with("file:")
            || told.outputs.iter().any(|output| output.destination.starts_with("file:"))
    })
}
