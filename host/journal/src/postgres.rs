//! The journal in a PostgreSQL database, which many nodes may share. Its clock is the only one: it is told durations, and leases are
//! by it. Every answer comes after the change is on disk.
//!
//! # Layout
//! - `address`, `password`, `tls`: where the database is and how it is reached; `node`: who we are among its users
//! - `link`, `value`, `pool`: connections; `schema`: the tables and their versions; `trouble`: what an error means
//! - `writer`, `change`, `batch`: the task that makes changes, what it is asked for, and many changes at once
//! - `claims`, `look`: which jobs are handed out, and of which; `jobs`, `notices`: other changes; `read`: questions; `rows`: jobs as rows
//! - `copy`: all of it, to be copied from or to
//! - `shared`: what there is beside as many nodes share it; `news`: what they tell each other

mod address;
mod batch;
mod change;
mod claims;
mod copy;
mod jobs;
mod link;
mod look;
mod news;
mod node;
mod notices;
mod password;
mod pool;
mod read;
mod rows;
mod schema;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod trouble;
mod value;
mod writer;

use std::collections::HashSet;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::database;
use imgserve_base::job::{Client, JobId, JobState, Record};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::Row as Found;
use uuid::Uuid;

use crate::clock::{Clock, ms};
use crate::rows::handed_out;
use crate::store::{
    Answer, Claimed, ClaimedNotice, Counts, Delivery, Ending, Entry, Filter, Health, Journal, JournalError,
    News, Notice, Receipt, Room, Shared, Submitted, Undelivered,
};
use crate::{Opening, story};
use address::Address;
pub use address::Database;
use change::{Change, Doubt, Sql};
pub use claims::HEAD_START;
use claims::{Handed, Turns};
pub(crate) use copy::Copying;
use link::Link;
use news::Basket;
use node::Node;
use pool::{Lent, Pool};
use rows::{Row, integer};
use trouble::Trouble;
use value::values;
use writer::Writer;

/// Connections for claims: one for jobs and one for webhooks.
const CLAIMS: usize = 2;
/// Connections for questions; more would wait for the database's own cores.
const QUESTIONS: usize = 6;
/// How often a job is submitted whose idempotency key is in use and then is not.
const TRIES: usize = 5;

/// The journal in a database.
#[derive(Debug)]
pub(crate) struct Postgres {
    writer: Writer,
    /// For claims, which no question keeps waiting.
    claims: Pool,
    questions: Pool,
    turns: tokio::sync::Mutex<Turns>,
    /// Flows of which jobs were taken in since the last claim.
    come: Mutex<HashSet<Arc<str>>>,
    /// Jobs that this node is accepting.
    accepting: Mutex<HashSet<JobId>>,
    /// Whether the answer to a claim was lost, and with it perhaps what it had claimed.
    lost_claim: AtomicBool,
    /// What this program calls itself where it cannot read a job.
    reader: String,
    clock: Clock,
    node: Arc<Node>,
    /// How long a job that is being accepted is its node's without a further word.
    lease: Duration,
    /// What is to be told to other nodes, and what they say; none where nobody listens.
    news: Option<(Arc<Basket>, Arc<Basket>)>,
    /// In which the connections live: whatever else the process does, they go on.
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Opens the journal, and makes or changes its tables where that is needed and allowed. Blocks.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where another process is this node, [`JournalError::TooNew`], [`JournalError::Open`];
    /// [`JournalError::Unwritable`] where the database is away: later it may work.
    pub(crate) fn open(opening: &Opening, clock: Clock) -> Result<Self, JournalError> {
        let Opening { database, .. } = opening;
        let address = Arc::new(address_of(opening)?);
        let node = Arc::new(Node::take(&database.node_file, &database.node_name, address.shown())?);
        let reader = story::reader(&opening.reader);
        let runtime = runtime(&address)?;
        let (id, migrate, comes) = (node.id, database.migrate, node.comes());
        let linked = wait(runtime.handle(), {
            let (address, reader) = (Arc::clone(&address), reader.clone());
            async move {
                let mut link = Link::open(&address).await?;
                prepare(&mut link, &address, migrate).await?;
                let entered = link.query(comes.text, &comes.values).await;
                entered.map_err(|trouble| trouble.unwritable())?;
                let taken = schema::take_over(&mut link, id, &reader).await;
                taken.map_err(|trouble| cannot(&address, &trouble.unwritable()))?;
                Ok(link)
            }
        });
        let link = match linked {
            Ok(link) => link,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let told = (Arc::clone(&node), reader.clone());
        let writer = Writer::start(runtime.handle(), Arc::clone(&address), link, told);
        let news = database.listen.then(|| {
            let (out, heard) = (Arc::default(), Arc::default());
            runtime.spawn(news::run(Arc::clone(&address), id, Arc::clone(&out), Arc::clone(&heard)));
            (out, heard)
        });
        let pool = |most| Pool::new(Arc::clone(&address), runtime.handle().clone(), most);
        let (claims, questions) = (pool(CLAIMS), pool(QUESTIONS));
        let (turns, come, accepting, lost_claim) = Default::default();
        Ok(Self {
            writer,
            claims,
            questions,
            turns,
            come,
            accepting,
            lost_claim,
            reader,
            clock,
            node,
            lease: database.lease,
            news,
            runtime: Some(runtime),
        })
    }

    /// Asks for a change now, and answers when it is made.
    fn change(&self, sql: Sql) -> Answer<'_, ()> {
        Box::pin(self.writer.change((Some(sql), None), Doubt::Repeat, |_| Ok(())))
    }

    /// The same for one that is refused where it finds no row.
    fn current(&self, (sql, made): (Sql, Option<Sql>), doubt: Doubt, record: &Record) -> Answer<'_, ()> {
        let (id, attempt) = (record.id, record.attempt);
        let stale = move |rows: &[Found]| match rows.is_empty() {
            true => Err(JournalError::Stale { id, attempt }),
            false => Ok(()),
        };
        Box::pin(self.writer.change((Some(sql), made), doubt, stale))
    }

    /// The same for one that says whether it found a row.
    fn whether(&self, (sql, made): (Sql, Sql)) -> Answer<'_, bool> {
        let found = |rows: &[Found]| Ok(!rows.is_empty());
        Box::pin(self.writer.change((Some(sql), Some(made)), Doubt::Repeat, found))
    }

    /// A connection for a claim, when all is made that nobody waited for.
    async fn link(&self) -> Result<Lent, JournalError> {
        self.writer.settled().await?;
        self.claims.take().await
    }

    /// A connection for a question, which also an earlier state answers.
    async fn reader(&self) -> Result<Lent, JournalError> {
        // Where the database is away, the next line says so.
        let _ = self.writer.settled().await;
        self.questions.take().await.map_err(|error| match error {
            JournalError::Unwritable { text } => JournalError::Unreadable { text },
            error => error,
        })
    }

    /// Tells other nodes, if there are any and they listen.
    fn tell(&self, news: impl IntoIterator<Item = News>) {
        if let Some((out, _)) = &self.news
            && self.node.others.load(Ordering::Acquire) > 0
        {
            out.put(news);
        }
    }

    /// Tells them once a job's state has changed.
    fn telling<'a, T: Send + 'a>(&'a self, id: JobId, changed: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let changed = changed.await?;
            self.tell([News::Changed(id)]);
            Ok(changed)
        })
    }

    /// Offers jobs to others once they wait.
    fn offering<'a>(&'a self, wait: Answer<'a, ()>) -> Answer<'a, ()> {
        Box::pin(async move {
            wait.await?;
            self.offer();
            Ok(())
        })
    }

    fn accepting(&self) -> MutexGuard<'_, HashSet<JobId>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submitted(&self, entry: Entry) -> Result<Submitted, JournalError> {
        let (id, text) = (entry.record.id, rows::text(&entry.record)?);
        for _ in 0..TRIES {
            let (sql, made) =
                jobs::submit(&entry, text.clone(), (self.node.id, self.lease), self.clock.now());
            let is_new = |rows: &[Found]| Ok(!rows.is_empty());
            self.accepting().insert(id);
            self.come.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.flow.as_str().into());
            let is_new = self.writer.change((Some(sql), Some(made)), Doubt::Withdraw(id), is_new).await;
            if !matches!(is_new, Ok(true)) {
                self.accepting().remove(&id);
            }
            let Some(key) = entry.key.as_ref().filter(|_| matches!(is_new, Ok(false))) else {
                return match is_new {
                    Ok(true) => Ok(Submitted::New),
                    Ok(false) => {
                        Err(JournalError::Unwritable { text: format!("there is a job {id} already") })
                    }
                    Err(error) => Err(error),
                };
            };
            if let Some(receipt) = self.receipt(&key.client, &key.key).await? {
                return Ok(Submitted::Known(receipt));
            }
            // The one that had it was withdrawn meanwhile.
        }
        Err(JournalError::Unwritable { text: "its idempotency key is in use again and again".to_owned() })
    }

    async fn claimed(&self, room: Room, lease: Duration) -> Result<Claimed, JournalError> {
        let mut turns = self.turns.lock().await;
        let mut link = self.link().await?;
        let now_ms = self.clock.now();
        let come = std::mem::take(&mut *self.come.lock().unwrap_or_else(PoisonError::into_inner));
        let handed =
            claims::claim(&mut link, (&mut *turns, come), &room, (self.node.id, lease), now_ms).await;
        let Handed { taken, full, next_due } = handed.map_err(|trouble| {
            // Of several statements those before the one that failed are done.
            self.lost_claim.store(true, Ordering::Release);
            trouble.unwritable()
        })?;
        link.well();
        let (claims, held) = handed_out(taken, |id, attempt, why| self.hold(id, attempt, why));
        self.tell(claims.iter().map(|claim| News::Changed(claim.record.id)));
        if full {
            self.offer();
        }
        Ok(Claimed { full, claims, held, next_due })
    }
}

/// Whether the store could be opened.
///
/// # Errors
/// As of opening it.
pub(crate) fn check(opening: &Opening) -> Result<(), JournalError> {
    let address = address_of(opening)?;
    let runtime = runtime(&address)?;
    let migrate = opening.database.migrate;
    let checked = wait(runtime.handle(), async move {
        let mut link = Link::open(&address).await?;
        match migrate {
            true => schema::could_open(&mut link, &address).await,
            false => schema::check(&mut link, &address).await,
        }
    });
    runtime.shutdown_background();
    checked
}

/// Makes the tables of this version. Blocks.
///
/// # Errors
/// [`JournalError::TooNew`], [`JournalError::Open`].
pub(crate) fn migrate(opening: &Opening) -> Result<i64, JournalError> {
    let address = address_of(opening)?;
    let runtime = runtime(&address)?;
    let migrated = wait(runtime.handle(), async move {
        let mut link = Link::open(&address).await?;
        schema::migrate(&mut link, &address).await
    });
    runtime.shutdown_background();
    migrated.map(|()| schema::KNOWN)
}

async fn prepare(link: &mut Link, address: &Address, migrate: bool) -> Result<(), JournalError> {
    match migrate {
        true => schema::migrate(link, address).await,
        false => schema::check(link, address).await,
    }
}

fn address_of(opening: &Opening) -> Result<Address, JournalError> {
    let address = Address::of(&opening.address, &opening.database);
    address.map_err(|text| JournalError::Open { journal: database::shown(&opening.address), text })
}

fn runtime(address: &Address) -> Result<Runtime, JournalError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("journal").enable_all().build();
    runtime
        .map_err(|error| JournalError::Open { journal: address.shown().to_owned(), text: error.to_string() })
}

/// Waits for what is done there, on a thread that may block, and may be another runtime's.
fn wait<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, JournalError>> + Send + 'static,
) -> Result<T, JournalError> {
    let (done, answer) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        // Whoever waits for it is there until it comes.
        let _ = done.send(work.await);
    });
    let gone = |_| Err(JournalError::Broken { text: "opening it was broken off".to_owned() });
    answer.recv().unwrap_or_else(gone)
}

fn cannot(address: &Address, error: &JournalError) -> JournalError {
    let text = match error {
        JournalError::Unwritable { text } => text.clone(),
        error => error.to_string(),
    };
    JournalError::Open { journal: address.shown().to_owned(), text }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.writer.end();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks a question, and gives the connection back.
macro_rules! ask {
    ($self:ident, $link:ident => $question:expr) => {
        Box::pin(async move {
            let mut $link = $self.reader().await?;
            let answer = $question.await.map_err(|trouble: Trouble| trouble.unreadable())?;
            $link.well();
            Ok(answer)
        })
    };
}

impl Journal for Postgres {
    fn submit(&self, entry: Entry) -> Answer<'_, Submitted> {
        Box::pin(self.submitted(entry))
    }

    fn withdraw(&self, id: JobId) -> Answer<'_, ()> {
        self.accepting().remove(&id);
        self.change(jobs::withdraw(id))
    }

    fn release(&self, id: JobId) {
        self.accepting().remove(&id);
        self.writer.silently(Change::lazy(jobs::release(id)));
    }

    fn claim(&self, room: Room, lease: Duration) -> Answer<'_, Claimed> {
        Box::pin(self.claimed(room, lease))
    }

    fn bring_forward(&self, job_pause: Duration, notice_pause: Duration) -> Answer<'_, ()> {
        let jobs = self.change(Sql::new(claims::BRING_FORWARD, values![integer(ms(job_pause))]));
        let notices = self.change(Sql::new(notices::BRING_FORWARD, values![integer(ms(notice_pause))]));
        Box::pin(async move {
            jobs.await?;
            notices.await
        })
    }

    fn heartbeat(&self, attempts: Vec<(JobId, u32)>, lease: Duration) -> Answer<'_, Vec<(JobId, u32)>> {
        let accepting: Vec<Uuid> = self.accepting().iter().map(|id| rows::uuid(*id)).collect();
        let lost = self.lost_claim.load(Ordering::Acquire);
        if attempts.is_empty() && accepting.is_empty() && !lost {
            return Box::pin(ready(Ok(attempts)));
        }
        let extended = (Some(jobs::heartbeat(&attempts, accepting, lease)), None);
        let read = |row: &Found| (rows::job(row.get(0)), rows::count(row.get(1)));
        let read = move |rows: &[Found]| Ok(rows.iter().map(read).collect());
        let extended = self.writer.change(extended, Doubt::Repeat, read);
        let given_back = lost.then(|| self.change(jobs::forgotten(self.node.id, &attempts)));
        Box::pin(async move {
            let extended = extended.await?;
            if let Some(given_back) = given_back {
                given_back.await?;
                self.lost_claim.store(false, Ordering::Release);
            }
            Ok(extended)
        })
    }

    fn plan(&self, record: Record, order: String, cost: u64) -> Answer<'_, ()> {
        match rows::text(&record) {
            Ok(text) => self.current((jobs::plan(&record, text, order, cost), None), Doubt::Repeat, &record),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn save(&self, record: Record) -> Answer<'_, ()> {
        match rows::text(&record) {
            Ok(text) => self.current((jobs::save(&record, text), None), Doubt::Repeat, &record),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn end(&self, record: Record, outcome: Ending) -> Answer<'_, ()> {
        let text = match rows::text(&record) {
            Ok(text) => text,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let (sql, made) = match outcome {
            Ending::Again(pause) => jobs::again(&record, text, pause),
            Ending::Ended(_) if !(record.state.is_final() && JobState::Running.may_become(record.state)) => {
                let (id, attempt) = (record.id, record.attempt);
                return Box::pin(ready(Err(JournalError::Stale { id, attempt })));
            }
            Ending::Ended(notice) => jobs::end(&record, text, notice.as_ref(), self.clock.now()),
        };
        self.telling(record.id, self.current((sql, Some(made)), Doubt::Wait, &record))
    }

    fn give_back(&self, attempts: Vec<(JobId, u32)>) -> Answer<'_, ()> {
        self.offering(self.change(jobs::give_back(&attempts)))
    }

    fn put_off(&self, attempts: Vec<(JobId, u32)>, pause: Duration) -> Answer<'_, ()> {
        self.offering(self.change(jobs::put_off(&attempts, pause)))
    }

    fn hold(&self, id: JobId, attempt: u32, why: String) {
        tracing::warn!(job = %id, "left in the journal for a program that can read it: {why}");
        self.writer.silently(Change::silent(jobs::hold((id, attempt), &self.reader, &why)));
    }

    fn cancel(&self, record: Record, notice: Option<Notice>) -> Answer<'_, bool> {
        let text = match rows::text(&record) {
            Ok(text) if record.state == JobState::Cancelled => text,
            Ok(_) => return Box::pin(ready(Ok(false))),
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let id = record.id;
        let cancelled = self.whether(jobs::cancel(&record, text, notice.as_ref(), self.clock.now()));
        Box::pin(async move {
            let cancelled = cancelled.await?;
            if cancelled {
                self.accepting().remove(&id);
                self.tell([News::Changed(id)]);
            }
            Ok(cancelled)
        })
    }

    fn replay(&self, record: Record) -> Answer<'_, bool> {
        match rows::text(&record) {
            Ok(text) => {
                let replayed = self.whether(jobs::replay(&record, text, self.node.id, self.clock.now()));
                self.telling(record.id, replayed)
            }
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn order(&self, id: JobId) -> Answer<'_, Option<String>> {
        ask!(self, link => read::order(&mut link, id))
    }

    fn get(&self, id: JobId) -> Answer<'_, Option<Record>> {
        Box::pin(async move {
            let mut link = self.reader().await?;
            let row = read::job(&mut link, id, self.clock.now()).await;
            let row = row.map_err(|trouble| trouble.unreadable())?;
            link.well();
            row.map(Row::record).transpose()
        })
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Record>> {
        Box::pin(async move {
            let mut link = self.reader().await?;
            let rows = read::list(&mut link, &filter, self.clock.now()).await;
            let rows = rows.map_err(|trouble| trouble.unreadable())?;
            link.well();
            let logged = |row: Row| row.record().inspect_err(|error| tracing::error!("{error}")).ok();
            Ok(rows.into_iter().filter_map(logged).collect())
        })
    }

    fn counts(&self) -> Answer<'_, Counts> {
        ask!(self, link => read::counts(&mut link))
    }

    fn receipt(&self, client: &Client, key: &str) -> Answer<'_, Option<Receipt>> {
        let (client, key) = (client.to_string(), key.to_owned());
        ask!(self, link => read::receipt(&mut link, &client, &key))
    }

    fn prune(&self, keep: usize, key_age: Duration) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut link = self.questions.take().await?;
            let pruned = read::prune(&mut link, keep, ms(key_age)).await;
            pruned.map_err(|trouble| trouble.unwritable())?;
            link.well();
            Ok(())
        })
    }

    fn claim_notices(
        &self,
        room: Room,
        lease: Duration,
    ) -> Answer<'_, (Vec<ClaimedNotice>, Option<Duration>)> {
        Box::pin(async move {
            let mut link = self.link().await?;
            let claimed = notices::claim(&mut link, &room, (self.node.id, lease), self.clock.now()).await;
            let claimed = claimed.map_err(|trouble| trouble.unwritable())?;
            link.well();
            Ok(claimed)
        })
    }

    fn end_notice(&self, id: String, attempt: u32, delivery: Delivery) -> Answer<'_, ()> {
        self.change(notices::end(id, attempt, delivery))
    }

    fn put_off_notices(&self, claims: Vec<(String, u32)>, pause: Duration) -> Answer<'_, ()> {
        self.change(notices::put_off(claims, pause))
    }

    fn notice(&self, job: JobId) -> Answer<'_, Option<Undelivered>> {
        ask!(self, link => notices::of_job(&mut link, job, self.clock.now()))
    }

    fn health(&self) -> Health {
        self.writer.health()
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }
}
