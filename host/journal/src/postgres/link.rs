//! One connection: how it is set up, its statements, and many of them at once in one round trip.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, Error, Row, Statement};

use super::address::Address;
use super::trouble::{Trouble, failed};
use super::value::Value;
use crate::store::JournalError;

/// How long a connection may take to come about, over all hosts of the address.
const CONNECT: Duration = Duration::from_secs(15);
/// How long the other end may take for an answer: longer than the database lets a statement take.
const ANSWER: Duration = Duration::from_secs(20);

/// What a connection begins with. A statement ends, and a lock is waited for, within these; a transaction that its node does not
/// go on with holds nothing up. Plans are made once: the indexes are made for the statements, and statistics of tables whose
/// rows come and go tell nothing. What is committed is on disk, whatever the database's default is.
const SET_UP: &str = "SET statement_timeout = '15s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = warning; SET jit = off; \
     SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// What a connection has that does not wait for the disk, where that cannot be set.
const NOT_ON_DISK: &str =
    "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit' AND reset_val IN ('off', 'local')";

/// A connection. Dropped, it is closed.
pub(super) struct Link {
    client: Client,
    statements: Statements,
}

/// How statements are said.
#[derive(Debug)]
enum Statements {
    /// Once on each connection, then by name.
    Kept(HashMap<&'static str, Statement>),
    /// Anew each time: behind a pooler in transaction mode the next transaction is another connection's, which does not know the
    /// name, or knows it of something else.
    Anew,
}

impl Link {
    /// Connects. Needs tokio's runtime, in which the connection then lives.
    pub(super) async fn open(address: &Address) -> Result<Self, JournalError> {
        Self::opened(address, None).await
    }

    /// The same for who listens; and what is said. That ends with the connection.
    pub(super) async fn listening(
        address: &Address,
    ) -> Result<(Self, UnboundedReceiver<String>), JournalError> {
        let (said, heard) = unbounded_channel();
        Ok((Self::opened(address, Some(said)).await?, heard))
    }

    async fn opened(address: &Address, said: Option<UnboundedSender<String>>) -> Result<Self, JournalError> {
        match tokio::time::timeout(CONNECT, Self::connect(address, said)).await {
            Ok(opened) => opened,
            Err(_) => Err(JournalError::Unwritable {
                text: format!("{} does not answer within {} s", address.shown(), CONNECT.as_secs()),
            }),
        }
    }

    async fn connect(address: &Address, said: Option<UnboundedSender<String>>) -> Result<Self, JournalError> {
        let cannot = |text: String| JournalError::Unwritable {
            text: format!("cannot connect to {}: {text}", address.shown()),
        };
        let config = address.config().map_err(&cannot)?;
        let connected = config.connect(address.tls().map_err(&cannot)?).await;
        let (client, mut connection) = connected.map_err(|error| cannot(failed(&error)))?;
        tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        // Who does not listen any more lets go of the connection, too.
                        let _ = said.as_ref().map(|said| said.send(notification.payload().to_owned()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        return tracing::debug!("a connection of the journal ended: {}", failed(&error));
                    }
                    None => return,
                }
            }
        });
        client.batch_execute(SET_UP).await.map_err(|error| cannot(failed(&error)))?;
        if !address.is_pooled() {
            return Ok(Self { client, statements: Statements::Kept(HashMap::new()) });
        }
        let not_on_disk =
            client.query_typed(NOT_ON_DISK, &[]).await.map_err(|error| cannot(failed(&error)))?;
        if let Some(row) = not_on_disk.first() {
            let (user, is) = (address.user(), row.get::<_, &str>(0));
            return Err(cannot(format!(
                "its synchronous_commit is {is}, which a pooler lets nobody set ([jobs] listen): \
                 ALTER ROLE {user} SET synchronous_commit = on"
            )));
        }
        Ok(Self { client, statements: Statements::Anew })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements that give nothing.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Trouble> {
        answered(self.client.batch_execute(sql)).await
    }

    /// Runs a statement.
    pub(super) async fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Trouble> {
        let mut all = self.together(&[(sql, values)]).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// Runs statements one after the other, all sent at once. Each is a transaction of its own.
    pub(super) async fn together(
        &mut self,
        statements: &[(&'static str, &[Value])],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        let prepared = self.prepared(statements).await?;
        let sent = statements.iter().zip(prepared).map(|((_, values), statement)| {
            let sent: Sent<'_> = Box::pin(self.rows(statement, values));
            sent
        });
        answered(in_order(sent.collect()))
            .await?
            .into_iter()
            .map(|rows| rows.map_err(Trouble::from))
            .collect()
    }

    /// The same, all of them one transaction.
    pub(super) async fn in_transaction(
        &mut self,
        statements: &[(&'static str, &[Value])],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        if statements.len() < 2 {
            return self.together(statements).await;
        }
        self.between("BEGIN", statements).await
    }

    /// The same, which is not waited for until it is on disk: whatever is waited for that comes after it is so after it.
    pub(super) async fn in_lazy_transaction(
        &mut self,
        statements: &[(&'static str, &[Value])],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        self.between("BEGIN; SET LOCAL synchronous_commit = off", statements).await
    }

    /// The same, of one moment's state, and nothing is changed.
    pub(super) async fn in_snapshot(
        &mut self,
        statements: &[(&'static str, &[Value])],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        self.between("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", statements).await
    }

    async fn between(
        &mut self,
        begin: &'static str,
        statements: &[(&'static str, &[Value])],
    ) -> Result<Vec<Vec<Row>>, Trouble> {
        let prepared = self.prepared(statements).await?;
        let mut sent: Vec<Sent<'_>> = vec![Box::pin(self.done(begin))];
        for ((_, values), statement) in statements.iter().zip(prepared) {
            sent.push(Box::pin(self.rows(statement, values)));
        }
        // Where a statement has failed it rolls back.
        sent.push(Box::pin(self.done("COMMIT")));
        let answers = answered(in_order(sent)).await?.into_iter();
        let mut rows = answers.map(|rows| rows.map_err(Trouble::from)).collect::<Result<Vec<_>, _>>()?;
        rows.pop();
        rows.remove(0);
        Ok(rows)
    }

    /// Statements as they are sent.
    async fn prepared(&mut self, statements: &[(&'static str, &[Value])]) -> Result<Vec<Said>, Trouble> {
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, _) in statements {
            let Statements::Kept(kept) = &mut self.statements else {
                prepared.push(Said::InFull(sql));
                continue;
            };
            let statement = match kept.get(sql) {
                Some(statement) => statement.clone(),
                None => {
                    let statement = answered(self.client.prepare(sql)).await?;
                    kept.insert(sql, statement.clone());
                    statement
                }
            };
            prepared.push(Said::ByName(statement));
        }
        Ok(prepared)
    }

    async fn rows(&self, statement: Said, values: &[Value]) -> Result<Vec<Row>, Error> {
        match statement {
            Said::ByName(statement) => {
                let values: Vec<_> = values.iter().map(|value| value.sql()).collect();
                self.client.query(&statement, &values).await
            }
            Said::InFull(sql) => {
                let values: Vec<_> = values.iter().map(|value| (value.sql(), value.kind())).collect();
                self.client.query_typed(sql, &values).await
            }
        }
    }

    async fn done(&self, sql: &'static str) -> Result<Vec<Row>, Error> {
        self.client.batch_execute(sql).await.map(|()| Vec::new())
    }
}

/// A statement as it is sent.
enum Said {
    ByName(Statement),
    InFull(&'static str),
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

/// Waits for the database no longer than it may take.
async fn answered<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Trouble>
where
    Trouble: From<E>,
{
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(Trouble::from),
        Err(_) => Err(Trouble::Lost(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

/// Sends all, then waits for each: they are answered in order.
async fn in_order(mut all: Vec<Sent<'_>>) -> Result<Vec<Result<Vec<Row>, Error>>, Trouble> {
    let mut answers: Vec<Option<Result<Vec<Row>, Error>>> = all.iter().map(|_| None).collect();
    let (mut sent, mut next) = (false, 0);
    poll_fn(|context| {
        if !std::mem::replace(&mut sent, true) {
            for (one, answer) in all.iter_mut().zip(&mut answers) {
                if let Poll::Ready(rows) = one.as_mut().poll(context) {
                    *answer = Some(rows);
                }
            }
        }
        while next < all.len() {
            if answers[next].is_none() {
                // Where one is not answered, none behind it is.
                let Poll::Ready(rows) = all[next].as_mut().poll(context) else { return Poll::Pending };
                answers[next] = Some(rows);
            }
            next += 1;
        }
        Poll::Ready(())
    })
    .await;
    Ok(answers.into_iter().flatten().collect())
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("statements", &self.statements).finish_non_exhaustive()
    }
}
