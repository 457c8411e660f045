//! The clients: each posts one job after the other until it is acknowledged, however often that takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::ledger::{Ledger, Named};
use crate::peer::Peer;
use crate::random::Random;
use crate::victim::{Answer, client};
use crate::work::{self, Work};

/// Clients at once.
const CLIENTS: usize = 8;
/// Acknowledged jobs that may be unfinished; then the clients wait.
const MOST_OUTSTANDING: usize = 300;
/// After so many tries a request that is not acknowledged is a problem.
const MOST_TRIES: usize = 200;
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause of a client that was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// What the clients share.
pub(crate) struct Driver {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) peer: Peer,
    pub(crate) work: Arc<Work>,
    pub(crate) files: PathBuf,
    /// The servers' addresses, and whether each answers.
    pub(crate) servers: Vec<(String, watch::Receiver<bool>)>,
    /// Whether a job may have been taken in whose client was told that the journal could not be written: a database's connection may
    /// be lost at the very commit.
    pub(crate) doubts: bool,
    pub(crate) jobs: usize,
    pub(crate) begun: AtomicUsize,
    pub(crate) figures: Figures,
    pub(crate) random: Random,
}

/// What there is to count.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) broken_off: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) without_placeholder: AtomicU64,
}

pub(crate) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

/// A job to be posted.
struct Order {
    number: usize,
    v1: bool,
    source: usize,
    from_file: bool,
    menu: usize,
    /// For each output whether it goes to a file.
    to_file: Vec<bool>,
    key: Option<String>,
    wait: bool,
    /// Whether it is to be taken before anything is fetched for it.
    at_once: bool,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Acknowledged { id: String, replayed: bool, succeeded: bool },
    Refused(String),
    BrokenOff(String),
}

impl Driver {
    /// Has all jobs acknowledged.
    pub(crate) async fn drive(self: &Arc<Self>) {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let driver = Arc::clone(self);
                tokio::spawn(async move {
                    let http = client(PATIENCE);
                    loop {
                        let number = driver.begun.fetch_add(1, Ordering::Relaxed);
                        if number >= driver.jobs {
                            return;
                        }
                        driver.job(&http, driver.order(number)).await;
                        tokio::time::sleep(driver.pause()).await;
                    }
                })
            })
            .collect();
        for client in clients {
            if let Err(error) = client.await {
                self.ledger.problem("", format!("a client broke off: {error}"));
            }
        }
    }

    /// Between two jobs of a client, so that the clients outlive many servers.
    fn pause(&self) -> Duration {
        let most = if self.jobs < 1000 { 700 } else { 100 };
        Duration::from_millis(self.random.below(most))
    }

    fn order(&self, number: usize) -> Order {
        let random = &self.random;
        let large = random.percent(3);
        let of_that_size: Vec<usize> =
            (0..self.work.sources.len()).filter(|index| self.work.sources[*index].large == large).collect();
        let v1 = random.percent(60);
        let source = of_that_size[random.below(of_that_size.len() as u64) as usize];
        let several = v1 && random.percent(30);
        let menus = &self.work.sources[source].menus;
        let fitting: Vec<usize> =
            (0..menus.len()).filter(|menu| (menus[*menu].dishes.len() > 1) == several).collect();
        let menu = fitting[random.below(fitting.len() as u64) as usize];
        Order {
            number,
            v1,
            source,
            from_file: random.percent(40),
            menu,
            to_file: menus[menu].dishes.iter().map(|_| random.percent(50)).collect(),
            key: random.percent(40).then(|| format!("key-{number}")),
            wait: v1 && random.percent(10),
            at_once: v1 && random.percent(30),
        }
    }

    async fn job(&self, http: &reqwest::Client, order: Order) {
        for attempt in 0..MOST_TRIES {
            let origin = self.turn().await;
            // Without a key nobody knows what became of a request that broke off: the next one goes elsewhere.
            let series = if order.key.is_some() { 0 } else { attempt };
            let named = self.named(&order, series);
            let body = self.body(&order, &named);
            self.ledger.posted(&named, &order.describe());
            match self.post(http, origin, &order, &body).await {
                Reply::Acknowledged { id, replayed, succeeded } => {
                    count(&self.figures.acknowledged);
                    // 0.2's reply does not tell.
                    let replayed = replayed || (order.key.is_some() && attempt > 0);
                    self.acknowledged(&order, &named, &id, replayed, succeeded);
                    return self.again(http, &order, &named, &body, &id).await;
                }
                Reply::Refused(why) => {
                    count(&self.figures.refused);
                    let surely = !(self.doubts && why.starts_with("503"));
                    self.ledger.not_acknowledged(&named, surely, &why);
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Reply::BrokenOff(why) => {
                    count(&self.figures.broken_off);
                    self.ledger.not_acknowledged(&named, false, &why);
                }
            }
        }
        self.ledger.problem("", format!("job {} is never acknowledged", order.number));
    }

    /// Waits until a server serves and there is not too much under way; gives that server.
    async fn turn(&self) -> &str {
        let (origin, serving) = &self.servers[self.random.below(self.servers.len() as u64) as usize];
        let mut serving = serving.clone();
        loop {
            let _ = serving.wait_for(|serving| *serving).await;
            if self.ledger.outstanding() < MOST_OUTSTANDING {
                return origin;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn acknowledged(&self, order: &Order, named: &[Named], id: &str, replayed: bool, succeeded: bool) {
        let how = if replayed { "as known already" } else { "as new" };
        let empty = self.ledger.acknowledged(named, id, how);
        if succeeded {
            self.ledger.succeeded(id);
        }
        if replayed {
            count(&self.figures.replayed);
        }
        for name in empty {
            // After a crash between journal and placeholder the key is known, and the job will run soon.
            match replayed || order.at_once {
                true => count(&self.figures.without_placeholder),
                false => self.ledger.problem(
                    &name,
                    format!("job {} was acknowledged before its placeholder stood there", order.number),
                ),
            }
        }
    }

    /// One in three keys is posted once more, some with another body.
    async fn again(&self, http: &reqwest::Client, order: &Order, named: &[Named], body: &str, id: &str) {
        if order.key.is_none() || !self.random.percent(33) {
            return;
        }
        let origin = self.turn().await;
        let other = self.random.percent(25);
        let body = if other { format!("{body} ") } else { body.to_owned() };
        match self.post(http, origin, order, &body).await {
            Reply::Acknowledged { id: same, .. } if !other && same == id => {}
            // Nobody can look the key up just now.
            Reply::Refused(why) if self.doubts && why.starts_with("503") => {}
            Reply::Refused(why) if other && why.contains("Idempotency-Key") => {}
            // The server may be gone, or a worker that planned.
            Reply::BrokenOff(_) => {}
            reply => {
                let said = match reply {
                    Reply::Acknowledged { id, .. } => format!("acknowledged as {id}"),
                    Reply::Refused(why) | Reply::BrokenOff(why) => format!("refused: {why}"),
                };
                let body = if other { "another body" } else { "the same body" };
                self.ledger.problem(&named[0].name, format!("its key, posted again with {body}, was {said}"));
            }
        }
    }

    fn named(&self, order: &Order, series: usize) -> Vec<Named> {
        let source = &self.work.sources[order.source];
        let menu = &source.menus[order.menu];
        let outputs = source.dishes(menu).zip(&menu.made).zip(&order.to_file).enumerate();
        outputs
            .map(|(index, ((dish, made), to_file))| {
                let name = format!("j{:05}-{series}-{index}.{}", order.number, dish.extension);
                let file = to_file.then(|| self.files.join(&name));
                Named { name, file, made: Arc::clone(made) }
            })
            .collect()
    }

    fn body(&self, order: &Order, named: &[Named]) -> String {
        let source = &self.work.sources[order.source];
        let from = match order.from_file {
            true => format!("file://{}", self.files.join(&source.name).display()),
            false => self.peer.file(&source.name),
        };
        let to = |named: &Named| match &named.file {
            Some(file) => format!("file://{}", file.display()),
            None => self.peer.file(&named.name),
        };
        let to: Vec<String> = named.iter().map(to).collect();
        let body = work::body(&from, source, &source.menus[order.menu], &to);
        match order.at_once {
            true => body.replacen('{', "{\"accept\":\"now\",", 1),
            false => body,
        }
    }

    async fn post(&self, http: &reqwest::Client, origin: &str, order: &Order, body: &str) -> Reply {
        let wait = order.wait.then_some(3);
        post(http, origin, order.v1, order.key.as_deref(), wait, body).await
    }
}

/// Posts a job by either API; `wait`: seconds that the client prefers to wait.
pub(crate) async fn post(
    http: &reqwest::Client,
    origin: &str,
    v1: bool,
    key: Option<&str>,
    wait: Option<u64>,
    body: &str,
) -> Reply {
    let path = if v1 { "/v1/jobs" } else { "/" };
    let mut request = http.post(format!("{origin}{path}")).body(body.to_owned());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if let Some(wait) = wait {
        request = request.header("prefer", format!("wait={wait}"));
    }
    match Answer::of(request).await {
        Err(error) => Reply::BrokenOff(format!("{error:?}")),
        Ok(answer) if v1 => v1_reply(&answer),
        Ok(answer) => compat_reply(&answer),
    }
}

impl Reply {
    /// The job's id, or why there is none.
    pub(crate) fn id(self) -> Result<String, String> {
        match self {
            Self::Acknowledged { id, .. } => Ok(id),
            Self::Refused(why) | Self::BrokenOff(why) => Err(why),
        }
    }
}

impl Order {
    fn describe(&self) -> String {
        let path = if self.v1 { "/v1/jobs" } else { "/" };
        let key = self.key.as_deref().unwrap_or("no key");
        let when = if self.at_once { ", at once" } else { "" };
        format!("POST {path}, {key}, {} outputs{when}", self.to_file.len())
    }
}

fn v1_reply(answer: &Answer) -> Reply {
    let replayed = answer.header("idempotent-replayed") == "true";
    match (answer.status, answer.body["id"].as_str()) {
        (200 | 202, Some(id)) => {
            let succeeded = answer.body["state"] == "succeeded";
            Reply::Acknowledged { id: id.to_owned(), replayed, succeeded }
        }
        _ => Reply::Refused(format!("{} {}", answer.status, answer.body)),
    }
}

fn compat_reply(answer: &Answer) -> Reply {
    match answer.body["dstURL"].is_string() {
        true => Reply::Acknowledged {
            id: answer.header("x-job-id").to_owned(),
            replayed: answer.header("idempotent-replayed") == "true",
            succeeded: false,
        },
        false => {
            Reply::Refused(format!("{} {} {}", answer.status, answer.body, answer.header("x-imgserve-error")))
        }
    }
}
