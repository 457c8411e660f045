//! What every part of the crash test begins with: a server in a directory of its own, the peer, the ledger, the work with
//! its exact results, and an empty journal.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driver::{self, Reply};
use crate::ledger::{Ledger, Named};
use crate::peer::Peer;
use crate::victim::{Answer, Victim, client};
use crate::work::{self, Source, Work};

/// How long a server may take for what is left when nobody disturbs it.
const SETTLE_PATIENCE: Duration = Duration::from_secs(300);

/// The server, and all it has to do with.
pub(crate) struct Arena {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) peer: Peer,
    pub(crate) victim: Victim,
    pub(crate) work: Arc<Work>,
}

/// A job of which every step is looked at.
pub(crate) struct Post {
    pub(crate) v1: bool,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    pub(crate) named: Vec<Named>,
}

impl Arena {
    /// `extra` is TOML for the server. It does not run yet.
    pub(crate) async fn new(program: &Path, directory: &Path, extra: &str) -> Result<Self, String> {
        let ledger = Arc::new(Ledger::new());
        let peer = Peer::start(Arc::clone(&ledger)).await;
        let mut victim = Victim::new(program, directory, "max_finished = 1000000", extra);
        let work = Arc::new(Work::prepare(&mut victim, &peer, &ledger).await?);
        // What the undisturbed server has in its journal is of no interest.
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(directory.join(format!("journal.db{suffix}")));
        }
        Ok(Self { ledger, peer, victim, work })
    }

    /// A job with the first source that is `large` or not: by 0.2's API one output to a file; by v1 one to a file and one
    /// to the peer. Its destinations begin with `name`.
    pub(crate) fn post(&self, name: &str, v1: bool, key: Option<&str>, large: bool) -> Post {
        let source = self.work.sources.iter().find(|source| source.large == large).unwrap();
        let menu = source.menus.iter().find(|menu| menu.dishes.len() == 1 + usize::from(v1)).unwrap();
        let outputs = source.dishes(menu).zip(&menu.made).enumerate();
        let named: Vec<Named> = outputs
            .map(|(index, (dish, made))| {
                let name = format!("{name}-{index}.{}", dish.extension);
                let file = (index == 0).then(|| self.victim.files().join(&name));
                Named { name, file, made: Arc::clone(made) }
            })
            .collect();
        let to: Vec<String> = named.iter().map(|named| self.url(named)).collect();
        let body = work::body(&self.peer.file(&source.name), source, menu, &to);
        Post { v1, key: key.map(str::to_owned), body, named }
    }

    /// A job of v1 with one output, which goes to the peer as `name`, and with more `members`.
    pub(crate) fn post_to_peer(&self, name: &str, members: &Value) -> Post {
        let source = &self.work.sources[0];
        self.post_from(&self.peer.file(&source.name), source, name, members)
    }

    /// The same with its source at `from`.
    pub(crate) fn post_from(&self, from: &str, source: &Source, name: &str, members: &Value) -> Post {
        let menu = &source.menus[0];
        let (dish, made) = (source.dishes(menu).next().unwrap(), Arc::clone(&menu.made[0]));
        let named = Named { name: format!("{name}.{}", dish.extension), file: None, made };
        let body = work::body(from, source, menu, &[self.url(&named)]);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        for (member, value) in members.as_object().into_iter().flatten() {
            body[member] = json!(value);
        }
        Post { v1: true, key: None, body: body.to_string(), named: vec![named] }
    }

    fn url(&self, named: &Named) -> String {
        match &named.file {
            Some(file) => format!("file://{}", file.display()),
            None => self.peer.file(&named.name),
        }
    }

    /// Posts it without the ledger, which then keeps what comes for the peer.
    pub(crate) async fn submit(&self, post: &Post) -> Reply {
        let http = client(Duration::from_secs(30));
        driver::post(&http, &self.victim.url(""), post.v1, post.key.as_deref(), None, &post.body).await
    }

    /// Posts it and tells the ledger; gives the id when it is acknowledged, else why it is not.
    pub(crate) async fn send(&self, post: &Post, how: &str) -> Result<String, String> {
        self.ledger.posted(&post.named, how);
        match self.submit(post).await {
            Reply::Acknowledged { id, .. } => {
                self.ledger.acknowledged(&post.named, &id, how);
                Ok(id)
            }
            Reply::Refused(why) => {
                self.ledger.not_acknowledged(&post.named, true, &why);
                Err(why)
            }
            Reply::BrokenOff(why) => {
                self.ledger.not_acknowledged(&post.named, false, &why);
                Err(why)
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        let request = client(Duration::from_secs(30)).get(self.victim.url(path));
        Answer::of(request).await.map_err(|error| error.to_string())
    }

    /// The job's state, by the API.
    pub(crate) async fn state(&self, id: &str) -> String {
        match self.get(&format!("/v1/jobs/{id}")).await {
            Ok(answer) => answer.body["state"].as_str().unwrap_or("unknown").to_owned(),
            Err(error) => error,
        }
    }

    /// Waits until the job is in this state.
    pub(crate) async fn reaches(&self, id: &str, state: &str, limit: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let now = self.state(id).await;
            if now == state {
                return Ok(());
            }
            if began.elapsed() > limit {
                return Err(format!("job {id} is {now}, not {state}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until no job is unfinished; gives all that the API lists.
    pub(crate) async fn settle(&mut self) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let left = self.get("/readyz").await.map(|answer| answer.body["jobs"].as_u64());
            if left == Ok(Some(0)) {
                break;
            }
            if self.victim.ended().is_some() || began.elapsed() > SETTLE_PATIENCE {
                self.ledger.problem("", format!("the jobs do not end: {left:?}"));
                return Vec::new();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let jobs = all_jobs(&self.victim.url(""), "").await;
        for job in jobs.iter().filter(|job| job["state"] == "succeeded") {
            self.ledger.succeeded(job["id"].as_str().unwrap_or_default());
        }
        jobs
    }

    /// Compares everything at the end, and stops the server. Gives what is wrong.
    pub(crate) async fn judge(&mut self, jobs: &[Value]) -> Vec<String> {
        // Whoever would store something now does it too late.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.ledger.judge(jobs);
        for entry in std::fs::read_dir(self.victim.files()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(".imgserve-part") {
                self.ledger.problem("", format!("{name} is left"));
            }
        }
        self.victim.signal("HUP");
        match self.victim.end_within(Duration::from_secs(30)).await {
            Some(status) if status.success() => {}
            other => self.ledger.problem("", format!("SIGHUP at the end: {other:?}")),
        }
        self.ledger.problems(&self.victim.log())
    }
}

/// All jobs that the API lists, with `filter` in its query.
pub(crate) async fn all_jobs(origin: &str, filter: &str) -> Vec<Value> {
    let http = client(Duration::from_secs(60));
    let mut next = Some(format!("/v1/jobs?limit=1000{filter}"));
    let mut all = Vec::new();
    while let Some(page) = next {
        let answer = Answer::of(http.get(format!("{origin}{page}"))).await.unwrap();
        all.extend(answer.body["jobs"].as_array().cloned().unwrap_or_default());
        next = answer.body["next"].as_str().map(str::to_owned);
    }
    all
}
