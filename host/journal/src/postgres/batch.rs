//! Makes changes: all that wait are one transaction, sent at once and on disk at once. One that cannot be leaves the others alone;
//! where the database is away they are refused, or kept, until it is back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use imgserve_base::crash;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::Row;

use super::address::Address;
use super::change::{Change, Doubt, Silent};
use super::link::Link;
use super::node::Node;
use super::trouble::Trouble;
use super::value::{Value, values};
use super::{jobs, schema};
use crate::gather::Gather;
use crate::pulse::Pulse;
use crate::store::JournalError;

/// Most changes of one transaction: its time is what the first of them waits.
const MOST: usize = 256;
/// When it is looked again whether the database is back.
const RETRY: Duration = Duration::from_millis(250);
/// When it is looked whether it is still there, although nobody asks for anything.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is written down that the node is there.
const SEEN: Duration = Duration::from_secs(5);
/// How often a change is tried that others were in the way of.
const TRIES: usize = 4;

/// Makes changes, many at a time.
pub(super) struct Batches {
    address: Arc<Address>,
    pulse: Arc<Pulse>,
    link: Option<Link>,
    /// That it is there is written down, which shows that the database can be written; and that it has ended.
    node: Arc<Node>,
    /// What this program calls itself where it cannot read a job.
    reader: String,
    /// When that was written down last.
    seen: Instant,
    /// Changes that nobody waits for, or whose end nobody knows, for when the database is back.
    kept: Vec<Change>,
    /// Why it is away, if so.
    away: Option<JournalError>,
    silent: Arc<Silent>,
}

impl Batches {
    pub(super) fn new(
        address: Arc<Address>,
        pulse: Arc<Pulse>,
        link: Link,
        (node, reader): (Arc<Node>, String),
        silent: Arc<Silent>,
    ) -> Self {
        let (link, seen) = (Some(link), Instant::now());
        Self { address, pulse, link, node, reader, seen, kept: Vec::new(), away: None, silent }
    }

    /// Takes what waits, again and again, until nobody can ask any more. However much is asked for, it is looked in time whether the
    /// database is there.
    pub(super) async fn run(mut self, mut changes: UnboundedReceiver<Change>) {
        let (mut looked, mut gather) = (tokio::time::Instant::now(), Gather::new());
        loop {
            let pause = if self.away.is_some() { RETRY } else { LOOK };
            let first = match tokio::time::timeout_at(looked + pause, changes.recv()).await {
                Ok(Some(first)) => Some(first),
                Ok(None) => return self.leave().await,
                Err(_) => None,
            };
            if looked.elapsed() >= pause {
                self.look().await;
                looked = tokio::time::Instant::now();
            }
            let Some(first) = first else { continue };
            if let Some(pause) = gather.pause() {
                tokio::time::sleep(pause).await;
            }
            let mut batch = vec![first];
            while batch.len() < MOST
                && let Ok(next) = changes.try_recv()
            {
                batch.push(next);
            }
            let changes = batch.len();
            match self.away.clone() {
                None => self.make(batch).await,
                Some(error) => self.refuse(batch, &error),
            }
            gather.ended(changes);
        }
    }

    /// Makes a batch, or refuses it.
    async fn make(&mut self, batch: Vec<Change>) {
        let began = Instant::now();
        match self.transact(&batch).await {
            Ok(answers) => {
                let changes = answers.iter().flatten().count();
                if changes > 0 {
                    self.pulse.committed(changes, began.elapsed());
                }
                for (change, rows) in batch.into_iter().zip(answers) {
                    self.done(change, Ok(rows.unwrap_or_default()));
                }
            }
            // Which of them it was is found out one by one.
            Err(Trouble::Refused(_) | Trouble::InTheWay(_)) => self.one_by_one(batch).await,
            Err(trouble @ Trouble::Lost(_)) => {
                let batch = batch.into_iter().map(|change| Change { doubted: true, ..change }).collect();
                self.link = None;
                // A connection that was lost alone is at once replaced by another.
                match self.connect().await {
                    Ok(()) => self.one_by_one(batch).await,
                    Err(_) => self.go_away(batch, &trouble),
                }
            }
            Err(trouble @ Trouble::Unable(_)) => self.go_away(batch, &trouble),
        }
    }

    /// All of them, as one transaction. None for marks.
    async fn transact(&mut self, batch: &[Change]) -> Result<Vec<Option<Vec<Row>>>, Trouble> {
        let statements: Vec<(&'static str, &[Value])> = batch
            .iter()
            .filter_map(|change| change.sql.as_ref())
            .map(|sql| (sql.text, &*sql.values))
            .collect();
        let mut rows = if statements.is_empty() {
            Vec::new().into_iter()
        } else {
            let link = self.linked().await?;
            crash::point("journal-before-commit");
            let rows = match batch.iter().all(|change| change.lazy || change.sql.is_none()) {
                true => link.in_lazy_transaction(&statements).await?,
                false => link.in_transaction(&statements).await?,
            };
            crash::point("journal-after-commit");
            rows.into_iter()
        };
        Ok(batch.iter().map(|change| change.sql.as_ref().and_then(|_| rows.next())).collect())
    }

    /// Each by itself; those that may have been made are looked for first.
    async fn one_by_one(&mut self, batch: Vec<Change>) {
        let mut left = batch.into_iter();
        while let Some(change) = left.next() {
            match self.alone(&change).await {
                Ok(rows) => self.done(change, Ok(rows)),
                Err(trouble @ (Trouble::Refused(_) | Trouble::InTheWay(_))) => {
                    self.done(change, Err(trouble.unwritable()));
                }
                Err(trouble @ (Trouble::Lost(_) | Trouble::Unable(_))) => {
                    let lost = matches!(trouble, Trouble::Lost(_));
                    let change = Change { doubted: change.doubted || lost, ..change };
                    return self.go_away(std::iter::once(change).chain(left).collect(), &trouble);
                }
            }
        }
    }

    async fn alone(&mut self, change: &Change) -> Result<Vec<Row>, Trouble> {
        let Some(sql) = &change.sql else { return Ok(Vec::new()) };
        let mut tries = 0;
        loop {
            tries += 1;
            let link = self.linked().await?;
            if change.doubted {
                let rows = seen(link, change).await?;
                if !rows.is_empty() {
                    return Ok(rows);
                }
            }
            match link.query(sql.text, &sql.values).await {
                Err(Trouble::InTheWay(_)) if tries < TRIES => {}
                // The lost connection's own change may have been made only now, and this one waited for it.
                Ok(rows) if rows.is_empty() && change.doubted => return seen(link, change).await,
                answer => return answer,
            }
        }
    }

    fn done(&self, change: Change, made: Result<Vec<Row>, JournalError>) {
        if change.silent {
            self.silent.made.fetch_add(1, Ordering::AcqRel);
            if let Err(error) = &made {
                tracing::error!("a change that nobody waits for cannot be made: {error}");
            }
        }
        change.answer(made);
    }

    /// The database is away: what waits is refused or kept.
    fn go_away(&mut self, batch: Vec<Change>, trouble: &Trouble) {
        // Where it cannot be written, another of its hosts may be the one that can.
        self.link = None;
        let error = trouble.unwritable();
        if self.away.replace(error.clone()).is_none() {
            tracing::error!("{error}; trying again");
        }
        self.pulse.unwritable(Some(error.to_string()));
        self.refuse(batch, &error);
    }

    fn refuse(&mut self, batch: Vec<Change>, error: &JournalError) {
        for change in batch {
            match change.doubt {
                _ if change.silent => self.kept.push(change),
                Doubt::Wait if change.doubted => self.kept.push(change),
                Doubt::Withdraw(id) if change.doubted => {
                    self.silent.asked.fetch_add(1, Ordering::AcqRel);
                    self.kept.push(Change::silent(jobs::withdraw(id)));
                    change.answer(Err(error.clone()));
                }
                Doubt::Repeat | Doubt::Wait | Doubt::Withdraw(_) => change.answer(Err(error.clone())),
            }
        }
    }

    /// Looks whether the database is still there, or is back.
    async fn look(&mut self) {
        if self.away.is_some() {
            self.come_back().await;
            return;
        }
        let there =
            if self.seen.elapsed() >= SEEN { self.prove().await } else { self.linked().await.map(drop) };
        match there {
            Err(trouble @ (Trouble::Lost(_) | Trouble::Unable(_))) => self.go_away(Vec::new(), &trouble),
            Ok(()) | Err(Trouble::Refused(_) | Trouble::InTheWay(_)) => {}
        }
    }

    /// Nobody waits for this node's end any more, where the database is there to be told of it.
    async fn leave(&mut self) {
        let ends = self.node.ends();
        if self.away.is_none()
            && let Some(link) = &mut self.link
            && let Err(trouble) = link.query(ends.text, &ends.values).await
        {
            tracing::debug!("that this node has ended is not written down: {}", trouble.text());
        }
    }

    /// Proves that the database can be written, and makes what was kept.
    async fn come_back(&mut self) {
        if let Err(trouble) = self.prove().await {
            self.link = None;
            self.pulse.unwritable(Some(trouble.unwritable().to_string()));
            self.away = Some(trouble.unwritable());
            return;
        }
        self.away = None;
        let kept = std::mem::take(&mut self.kept);
        self.one_by_one(kept).await;
        if self.away.is_none() {
            self.pulse.unwritable(None);
            tracing::info!("the journal can be written again");
        }
    }

    /// Writes down that the node is there, and does what some node has to do now and then.
    async fn prove(&mut self) -> Result<(), Trouble> {
        let (there, tries) = (self.node.is_there(), values![self.reader.clone(), self.node.id]);
        let link = self.linked().await?;
        link.together(&[(there.text, &*there.values), (schema::TRY, &*tries)]).await?;
        self.seen = Instant::now();
        Ok(())
    }

    /// The connection; another one where it is closed.
    async fn linked(&mut self) -> Result<&mut Link, Trouble> {
        if self.link.as_ref().is_none_or(Link::is_closed) {
            self.connect().await?;
        }
        self.link.as_mut().ok_or_else(|| Trouble::Unable("there is no connection".to_owned()))
    }

    async fn connect(&mut self) -> Result<(), Trouble> {
        self.link = None;
        let link = Link::open(&self.address).await.map_err(|error| match error {
            JournalError::Unwritable { text } => Trouble::Unable(text),
            error => Trouble::Unable(error.to_string()),
        })?;
        self.link = Some(link);
        Ok(())
    }
}

/// What shows that a change is made already; nothing where it is not, or nothing shows it.
async fn seen(link: &mut Link, change: &Change) -> Result<Vec<Row>, Trouble> {
    match &change.made {
        Some(made) => link.query(made.text, &made.values).await,
        None => Ok(Vec::new()),
    }
}
