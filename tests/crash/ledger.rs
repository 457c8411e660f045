//! What was seen of every destination, and what was told of every job. It says at once when something is there that must
//! not be, and at the end whether everything is there that must be.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use crate::work::Made;

/// Most problems that are told with their story.
const TOLD: usize = 10;

/// How the watcher sees what a file destination holds.
const FILE: &str = "file holds";

/// What is at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Placeholder,
    Result,
    /// Neither: so many bytes.
    Foreign(usize),
}

impl Sight {
    fn of(made: &Made, bytes: &[u8]) -> Self {
        match bytes {
            bytes if bytes == made.result => Self::Result,
            bytes if bytes == made.placeholder => Self::Placeholder,
            bytes => Self::Foreign(bytes.len()),
        }
    }
}

/// What the client was told of the request that names a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing (yet): the connection broke.
    Unknown,
    /// Nothing of it remains.
    Refused,
    /// It will be done.
    Acknowledged,
}

struct Place {
    /// Its file, or none where the peer has it.
    file: Option<PathBuf>,
    made: Arc<Made>,
    fate: Fate,
    id: Option<String>,
    last: Option<Sight>,
    /// The API has said that its job has succeeded.
    succeeded: bool,
    /// Inode and time of the file when it did.
    identity: Option<(u64, i64, i64)>,
    story: Vec<(f64, String)>,
}

/// The ledger.
pub(crate) struct Ledger {
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    places: HashMap<String, Place>,
    by_id: HashMap<String, Vec<String>>,
    /// Acknowledged, and not known to have succeeded.
    outstanding: HashSet<String>,
    unexpected: HashMap<String, Vec<Bytes>>,
    /// Place (or "") and what is wrong.
    problems: Vec<(String, String)>,
    kills: Vec<f64>,
}

/// A destination that a request names.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: Option<PathBuf>,
    pub(crate) made: Arc<Made>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), inside: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the beginning.
    pub(crate) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub(crate) fn killed(&self) {
        let now = self.now();
        self.lock().kills.push(now);
    }

    /// Something is wrong; `name`: the destination concerned, or "".
    pub(crate) fn problem(&self, name: &str, text: impl Into<String>) {
        let now = self.now();
        self.lock().problem(now, name, text.into());
    }

    /// A request is about to be sent.
    pub(crate) fn posted(&self, named: &[Named], how: &str) {
        let now = self.now();
        let mut inside = self.lock();
        for Named { name, file, made } in named {
            let place = inside.places.entry(name.clone()).or_insert_with(|| Place {
                file: file.clone(),
                made: Arc::clone(made),
                fate: Fate::Unknown,
                id: None,
                last: None,
                succeeded: false,
                identity: None,
                story: Vec::new(),
            });
            // Whoever was refused may be taken when it posts the same again.
            if place.fate == Fate::Refused {
                place.fate = Fate::Unknown;
            }
            place.story.push((now, format!("posted ({how})")));
        }
    }

    /// The connection broke, or the request was refused.
    pub(crate) fn not_acknowledged(&self, named: &[Named], refused: bool, why: &str) {
        let now = self.now();
        let mut inside = self.lock();
        for Named { name, .. } in named {
            let place = inside.places.get_mut(name).unwrap();
            place.story.push((now, format!("{}: {why}", if refused { "refused" } else { "broken off" })));
            // Whoever posts an idempotency key again may be refused although the first one was taken.
            if refused && !place.story.iter().any(|(_, text)| text.starts_with("broken off")) {
                place.fate = Fate::Refused;
            }
        }
    }

    /// The client has its acknowledgement. Gives the destinations at which nothing stands yet.
    pub(crate) fn acknowledged(&self, named: &[Named], id: &str, how: &str) -> Vec<String> {
        let now = self.now();
        let mut inside = self.lock();
        let mut empty = Vec::new();
        for Named { name, file, .. } in named {
            let place = inside.places.get_mut(name).unwrap();
            place.story.push((now, format!("acknowledged as {id} ({how})")));
            let other = place.id.replace(id.to_owned()).filter(|known| known != id);
            place.fate = Fate::Acknowledged;
            let absent = match file {
                None => place.last.is_none(),
                Some(file) => !file.exists(),
            };
            if absent {
                empty.push(name.clone());
            }
            if let Some(other) = other {
                inside.problem(now, name, format!("one Idempotency-Key gave the jobs {other} and {id}"));
            }
        }
        if !inside.by_id.contains_key(id) {
            inside.outstanding.insert(id.to_owned());
        }
        inside.by_id.insert(id.to_owned(), named.iter().map(|named| named.name.clone()).collect());
        empty
    }

    /// Jobs that are acknowledged and not known to have succeeded.
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().outstanding.len()
    }

    /// The API says that this job has succeeded.
    pub(crate) fn succeeded(&self, id: &str) {
        let now = self.now();
        let mut inside = self.lock();
        let Inside { places, by_id, outstanding, .. } = &mut *inside;
        outstanding.remove(id);
        for name in by_id.get(id).into_iter().flatten() {
            let place = places.get_mut(name).unwrap();
            if !std::mem::replace(&mut place.succeeded, true) {
                place.story.push((now, "the API says that it has succeeded".to_owned()));
                place.identity = place.file.as_deref().and_then(identity);
            }
        }
    }

    /// A body has come to its end at the peer.
    pub(crate) fn stored(&self, name: &str, body: &Bytes) {
        let now = self.now();
        let mut inside = self.lock();
        match inside.places.get(name).map(|place| Sight::of(&place.made, body)) {
            Some(sight) => inside.seen(now, name, sight, "PUT"),
            None => inside.unexpected.entry(name.to_owned()).or_default().push(body.clone()),
        }
    }

    /// Bodies for a name of which nothing is expected.
    pub(crate) fn unexpected_bodies(&self, name: &str) -> Vec<Bytes> {
        self.lock().unexpected.get(name).cloned().unwrap_or_default()
    }

    /// File destinations at which something may change.
    pub(crate) fn watched(&self) -> Vec<(String, PathBuf)> {
        let inside = self.lock();
        let changing = inside.places.iter().filter(|(_, place)| !place.succeeded);
        changing.filter_map(|(name, place)| Some((name.clone(), place.file.clone()?))).collect()
    }

    /// What the watcher has read of a file destination.
    pub(crate) fn read(&self, name: &str, bytes: Option<&[u8]>) {
        let now = self.now();
        let mut inside = self.lock();
        let Some(place) = inside.places.get(name) else { return };
        match bytes.map(|bytes| Sight::of(&place.made, bytes)) {
            Some(sight) if place.last != Some(sight) => inside.seen(now, name, sight, FILE),
            None if place.last.is_some() => inside.problem(now, name, "its file has gone".to_owned()),
            _ => {}
        }
    }

    /// Destinations, by what the client was told: acknowledged, refused, unknown.
    pub(crate) fn count(&self) -> [usize; 3] {
        let inside = self.lock();
        [Fate::Acknowledged, Fate::Refused, Fate::Unknown]
            .map(|fate| inside.places.values().filter(|place| place.fate == fate).count())
    }

    /// Compares everything with what must be there; `jobs` are all jobs that the API lists.
    pub(crate) fn judge(&self, jobs: &[Value]) {
        let now = self.now();
        let mut inside = self.lock();
        let listed = inside.judge_jobs(now, jobs);
        let names: Vec<String> = inside.places.keys().cloned().collect();
        for name in names {
            for wrong in inside.places[&name].wrong(listed.contains(&name)) {
                inside.problem(now, &name, wrong);
            }
        }
    }

    /// The problems, each with its story; `log` is the server's.
    pub(crate) fn problems(&self, log: &str) -> Vec<String> {
        let inside = self.lock();
        let mut told: Vec<String> = Vec::new();
        for (name, text) in inside.problems.iter().take(TOLD) {
            told.push(format!("{text}\n{}", inside.story(name, log)));
        }
        if inside.problems.len() > TOLD {
            told.push(format!("… and {} more", inside.problems.len() - TOLD));
        }
        told
    }
}

impl Inside {
    fn problem(&mut self, now: f64, name: &str, text: String) {
        if let Some(place) = self.places.get_mut(name) {
            place.story.push((now, format!("WRONG: {text}")));
        }
        let text = if name.is_empty() { text } else { format!("{name}: {text}") };
        self.problems.push((name.to_owned(), text));
    }

    fn seen(&mut self, now: f64, name: &str, sight: Sight, how: &str) {
        let place = self.places.get_mut(name).expect("it was posted");
        place.story.push((now, format!("{how}: {sight:?}")));
        let before = place.last.replace(sight);
        let wrong = match sight {
            Sight::Foreign(bytes) => Some(format!("{bytes} bytes that are neither placeholder nor result")),
            Sight::Placeholder if before == Some(Sight::Result) => {
                Some("a placeholder came after the result".to_owned())
            }
            // A file is seen some time after it was stored: only another one after the result was stored late.
            _ if place.succeeded && (how != FILE || before == Some(Sight::Result)) => {
                Some("it was stored after its job had succeeded".to_owned())
            }
            _ if place.fate == Fate::Refused => Some("it was stored although it was refused".to_owned()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.problem(now, name, wrong);
        }
    }

    /// Checks the jobs themselves; gives the names of all their destinations.
    fn judge_jobs(&mut self, now: f64, jobs: &[Value]) -> HashSet<String> {
        let mut listed = HashMap::new();
        for job in jobs {
            let id = job["id"].as_str().unwrap_or_default().to_owned();
            for name in destinations(job) {
                // What was cancelled on purpose is nobody's here.
                let cancelled = job["state"] == "cancelled" && !self.places.contains_key(&name);
                if job["state"] != "succeeded" && !cancelled {
                    let text = format!("job {id} has ended otherwise: {job}");
                    self.problem(now, &name, text);
                }
                if let Some(other) = listed.insert(name.clone(), id.clone()) {
                    self.problem(now, &name, format!("two jobs have it: {other} and {id}"));
                }
            }
        }
        let acknowledged: Vec<(String, Vec<String>)> = self.by_id.clone().into_iter().collect();
        for (id, names) in acknowledged {
            for name in names.iter().filter(|name| listed.get(*name) != Some(&id)) {
                self.problem(now, name, format!("the API does not list the acknowledged job {id}"));
            }
        }
        listed.into_keys().collect()
    }

    fn story(&self, name: &str, log: &str) -> String {
        let Some(place) = self.places.get(name) else { return String::new() };
        let mut lines = place.story.clone();
        let (first, last) = (lines[0].0 - 1.0, lines[lines.len() - 1].0 + 1.0);
        let kills = self.kills.iter().filter(|at| (first..last).contains(at));
        lines.extend(kills.map(|at| (*at, "— the server was killed".to_owned())));
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut text: String = lines.iter().map(|(at, line)| format!("    {at:9.3} s  {line}\n")).collect();
        if let Some(id) = &place.id {
            for line in log.lines().filter(|line| line.contains(id.as_str())) {
                text.push_str(&format!("    log: {line}\n"));
            }
        }
        text
    }
}

impl Place {
    /// What is wrong at the end; `listed`: whether a job has it.
    fn wrong(&self, listed: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let there = match &self.file {
            Some(file) => std::fs::read(file).ok().map(|bytes| Sight::of(&self.made, &bytes)),
            None => self.last,
        };
        let must = match self.fate {
            Fate::Acknowledged => there == Some(Sight::Result),
            Fate::Refused => there.is_none() && !listed,
            Fate::Unknown => there == listed.then_some(Sight::Result),
        };
        if !must {
            let fate = format!("{:?}", self.fate).to_lowercase();
            let job = if listed { "a job has it" } else { "no job has it" };
            wrong.push(format!("{fate}, {job}, and at the end there is {there:?}"));
        }
        if let (Some(file), Some(before)) = (&self.file, self.identity)
            && identity(file) != Some(before)
        {
            wrong.push("its file was written again after its job had succeeded".to_owned());
        }
        wrong
    }
}

/// Changes whenever the file is replaced or written to.
fn identity(file: &Path) -> Option<(u64, i64, i64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Names of a job's destinations.
fn destinations(job: &Value) -> Vec<String> {
    let outputs = job["outputs"].as_array().cloned().unwrap_or_else(|| vec![job.clone()]);
    let name = |output: &Value| {
        let url = output["dstURL"].as_str().unwrap_or_default();
        url.rsplit('/').next().unwrap_or_default().to_owned()
    };
    outputs.iter().map(name).collect()
}
