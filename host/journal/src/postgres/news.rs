//! What nodes tell each other, on a connection of its own (`LISTEN`, `NOTIFY`). It is told soon and not surely: what a node must know
//! it looks for as well, so nothing is kept for when the database is back. A commit with a `NOTIFY` waits for all others of the
//! database: it is never one of a job's, and holds all that has come together in a little while.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgserve_base::job::JobId;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::address::Address;
use super::link::Link;
use super::rows::{job, uuid};
use super::trouble::Trouble;
use super::value::values;
use crate::store::{JournalError, News};

/// For how long news come together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Most news of one message: of its 8000 bytes each takes 34 at most.
const AT_ONCE: usize = 200;
/// Most news that wait to be told or heard; of more nobody is told.
const MOST: usize = 10_000;
/// When a connection is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// In which all nodes of one schema tell each other.
const CHANNEL: &str = "SELECT 'imgserve_' || abs(hashtext(current_schema()))::text";
const TELL: &str = "SELECT pg_notify($1::text, $2::text)";

/// News that wait, each once.
#[derive(Debug, Default)]
pub(super) struct Basket {
    news: Mutex<BTreeSet<News>>,
    more: Notify,
}

impl Basket {
    pub(super) fn put(&self, news: impl IntoIterator<Item = News>) {
        let mut waiting = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        for news in news {
            if waiting.len() < MOST {
                waiting.insert(news);
            }
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub(super) async fn take(&self) -> Vec<News> {
        loop {
            let news = self.now();
            if !news.is_empty() {
                return news;
            }
            self.more.notified().await;
        }
    }

    fn now(&self) -> Vec<News> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Tells and hears, for as long as the journal is open. Whoever is not connected hears afterwards that jobs may wait.
pub(super) async fn run(address: Arc<Address>, node: Uuid, out: Arc<Basket>, heard: Arc<Basket>) {
    let mut told = false;
    loop {
        let lost = match Link::listening(&address).await {
            Ok((link, notified)) => {
                told = false;
                talk(link, notified, node, (&out, &heard)).await.text().to_owned()
            }
            Err(JournalError::Unwritable { text }) => text,
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut told, true) {
            tracing::debug!("nodes do not hear each other at once: {lost}; connecting again");
        }
        drop(out.now());
        tokio::time::sleep(RETRY).await;
    }
}

/// Until the connection ends; why it did.
async fn talk(
    mut link: Link,
    mut notified: UnboundedReceiver<String>,
    node: Uuid,
    (out, heard): (&Basket, &Basket),
) -> Trouble {
    let channel = match listen(&mut link).await {
        Ok(channel) => channel,
        Err(trouble) => return trouble,
    };
    // Something may have been said meanwhile.
    heard.put([News::Waiting]);
    loop {
        tokio::select! {
            news = out.take() => {
                tokio::time::sleep(TOGETHER).await;
                let mut all: Vec<News> = news;
                all.extend(out.now());
                for some in all.chunks(AT_ONCE) {
                    if let Err(trouble) = link.query(TELL, &values![channel.clone(), written(node, some)]).await {
                        return trouble;
                    }
                }
            }
            message = notified.recv() => match message {
                Some(message) => heard.put(read(node, &message)),
                None => return Trouble::Lost("its connection ended".to_owned()),
            },
        }
    }
}

/// Begins to listen; where.
async fn listen(link: &mut Link) -> Result<String, Trouble> {
    // That somebody is told needs not be on disk.
    link.run("SET synchronous_commit = off").await?;
    let rows = link.query(CHANNEL, &[]).await?;
    let channel: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
    link.run(&format!("LISTEN {channel}")).await?;
    Ok(channel)
}

/// A message: whose it is, and what.
fn written(node: Uuid, news: &[News]) -> String {
    let mut text = node.simple().to_string();
    for news in news {
        text.push(' ');
        match news {
            News::Waiting => text.push('w'),
            News::Cancel(id) => text.push_str(&format!("x{}", uuid(*id).simple())),
            News::Changed(id) => text.push_str(&format!("c{}", uuid(*id).simple())),
        }
    }
    text
}

/// What another node says; what a later program's may mean beside is passed over.
fn read(node: Uuid, message: &str) -> Vec<News> {
    let mut words = message.split(' ');
    let own = node.simple().to_string();
    if words.next() == Some(&own) {
        return Vec::new();
    }
    let id = |text: &str| -> Option<JobId> { Uuid::parse_str(text).ok().map(job) };
    words
        .filter_map(|word| match word.split_at_checked(1)? {
            ("w", "") => Some(News::Waiting),
            ("x", text) => id(text).map(News::Cancel),
            ("c", text) => id(text).map(News::Changed),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_others_and_fits_a_message() {
        let [me, other] = [Uuid::now_v7(), Uuid::now_v7()];
        let news: Vec<News> = (0..AT_ONCE)
            .map(|number| match number {
                0 => News::Waiting,
                number if number % 2 == 0 => News::Changed(JobId::generate()),
                _ => News::Cancel(JobId::generate()),
            })
            .collect();
        let message = written(me, &news);
        assert!(message.len() < 8000, "{}", message.len());
        assert_eq!(read(other, &message), news);
        assert_eq!(read(me, &message), [], "one's own");
        assert_eq!(read(other, &format!("{} z1 w cx é", me.simple())), [News::Waiting]);
    }
}
