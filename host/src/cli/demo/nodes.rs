//! `demo --nodes`: the same program several times on one database. Jobs are posted to all of them, one is killed in the middle, and every
//! result is there all the same.
#![allow(clippy::disallowed_methods, reason = "small files of the demo's own, and nobody else to disturb")]

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::format::Format;
use serde_json::{Value, json};

use super::check::Expected;
use super::client::Client;
use super::database::Temporary;
use super::found::Found;
use super::page::FILES;
use super::samples::{Sample, Samples};
use super::screen::Screen;
use super::shelf::Version;
use crate::cli::failure::Failure;
use crate::cli::start;

/// Instead of an address: a database that the demo makes and removes.
const TEMPORARY: &str = "temporary";
/// Jobs that are posted.
const JOBS: usize = 60;
/// After so many have succeeded one node is killed.
const KILLED_AFTER: usize = JOBS / 4;
/// After how many seconds others take over what a killed node had.
const LEASE_S: u64 = 3;
/// How long a node may take to start, and all jobs together.
const START: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// A server of the demo's; killed with its value.
struct Node {
    name: String,
    process: Child,
    client: Client,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Shows it with so many nodes.
pub(super) async fn show(
    directory: &Path,
    nodes: usize,
    journal: &str,
    screen: Screen,
) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    screen.say(
        &screen.bold(&format!("imgserve {} demo: {nodes} nodes on one database", env!("CARGO_PKG_VERSION"))),
    );
    let temporary = match journal {
        TEMPORARY => Some(Temporary::start()?),
        _ => None,
    };
    let journal = temporary.as_ref().map_or_else(|| journal.to_owned(), Temporary::address);
    let samples = tokio::task::spawn_blocking(Samples::make).await;
    let samples = samples.map_err(|_| Failure::Other("painting the samples was broken off".to_owned()))?;
    let photo = samples.map_err(|error| Failure::Other(format!("cannot make the samples: {error}")))?.photo;
    let files = directory.join(FILES);
    std::fs::write(files.join(photo.name), &photo.bytes).map_err(Failure::io("cannot write the photo"))?;
    let mut running = Vec::new();
    for number in 1..=nodes {
        running.push(Node::start(directory, &files, &journal, number).await?);
    }
    for node in &running {
        screen.note(&node.name, &format!("{}, process {}", node.client.origin(), node.process.id()));
    }
    let ids = post(&running, &files, &photo).await?;
    screen.say(&format!("{JOBS} jobs posted, one to each node in turn: {} a JPEG each", photo.name));
    let killed = kill_one(&mut running).await?;
    screen.say(&format!(
        "{killed} killed (kill -9) when {KILLED_AFTER} had succeeded; its jobs go on within {LEASE_S} s"
    ));
    let done = ended(&running[0].client, &ids).await?;
    let right = judge(screen, &files, &photo, &done);
    screen.say(
        &screen.bold(&format!("{right} of {JOBS} results right, in {:.1} s", began.elapsed().as_secs_f64())),
    );
    screen.say(&format!("Pictures and logs are in {}", directory.display()));
    Ok(if right == JOBS { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Node {
    async fn start(directory: &Path, files: &Path, journal: &str, number: usize) -> Result<Self, Failure> {
        let name = format!("node-{number}");
        let own = directory.join(&name);
        std::fs::create_dir(&own).map_err(Failure::io(format!("cannot make {}", own.display())))?;
        let config = own.join("imgserve.toml");
        let text = format!(
            "[workers]\ncount = 1\npin = false\n[access]\nshared_files = true\nfile_roots = [{files:?}]\n\
             [plugins]\ncache_dir = {:?}\n\
             [jobs]\njournal = {journal:?}\nnode_file = {:?}\nnode_name = {name:?}\nlease_s = {LEASE_S}\n",
            own.join("cache"),
            own.join("node")
        );
        std::fs::write(&config, text).map_err(Failure::io(format!("cannot write {}", config.display())))?;
        let log = own.join("log");
        let into = File::create(&log).map_err(Failure::io(format!("cannot write {}", log.display())))?;
        let process = Command::new(start::program()?)
            .args(["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "--config"])
            .arg(&config)
            .arg("-pid")
            .arg(own.join("pid"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(into)
            .spawn();
        let mut process = process.map_err(Failure::io(format!("cannot start {name}")))?;
        match listens(&mut process, &log).await {
            Ok(address) => Ok(Self { name, process, client: Client::new(address)? }),
            Err(failure) => {
                // It ends with the demo.
                let _ = process.kill();
                let _ = process.wait();
                Err(failure)
            }
        }
    }
}

/// Where a node listens, as its log says once it does.
async fn listens(process: &mut Child, log: &Path) -> Result<SocketAddr, Failure> {
    let began = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let address =
            said.lines().find_map(|line| line.split("listens on http://").nth(1)?.trim().parse().ok());
        if let Some(address) = address {
            return Ok(address);
        }
        if began.elapsed() > START || matches!(process.try_wait(), Ok(Some(_))) {
            return Err(Failure::Other(format!("a node does not start:\n{}", said.trim_end())));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn result(files: &Path, number: usize) -> PathBuf {
    files.join(format!("result-{number:02}.jpg"))
}

/// Width and height of a result.
fn size(number: usize) -> (u32, u32) {
    (480 + 2 * number as u32, 240 + number as u32)
}

async fn post(nodes: &[Node], files: &Path, photo: &Sample) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(JOBS);
    for number in 0..JOBS {
        let Node { name, client, .. } = &nodes[number % nodes.len()];
        let (width, height) = size(number);
        let body = json!({
            "operationType": "resize", "accept": "now",
            "srcURL": format!("file://{}", files.join(photo.name).display()),
            "dstURL": format!("file://{}", result(files, number).display()),
            "args": { "width": width, "height": height },
        });
        let told = client.post_job(&body).await.map_err(|text| Failure::Other(format!("{name}: {text}")))?;
        match told["id"].as_str() {
            Some(id) => ids.push(id.to_owned()),
            None => return Err(Failure::Other(format!("{name} does not take a job: {told}"))),
        }
    }
    Ok(ids)
}

/// Kills the last node once some jobs have succeeded; its name.
async fn kill_one(nodes: &mut Vec<Node>) -> Result<String, Failure> {
    let began = Instant::now();
    loop {
        let client = &nodes[0].client;
        let list = client.get(&format!("/v1/jobs?state=succeeded&limit={KILLED_AFTER}")).await;
        let list = list.map_err(Failure::Other)?;
        let late = began.elapsed() > PATIENCE;
        if late || list["jobs"].as_array().is_some_and(|jobs| jobs.len() >= KILLED_AFTER) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let last = nodes.pop().ok_or_else(|| Failure::Other("there is no node".to_owned()))?;
    Ok(last.name.clone())
}

/// The stories of all jobs, by any node that is left.
async fn ended(client: &Client, ids: &[String]) -> Result<Vec<Value>, Failure> {
    let (began, mut done) = (Instant::now(), Vec::with_capacity(ids.len()));
    for id in ids {
        loop {
            let story = client.get(&format!("/v1/jobs/{id}")).await.map_err(Failure::Other)?;
            let is_final = matches!(story["state"].as_str(), Some("succeeded" | "failed" | "cancelled"));
            if is_final || began.elapsed() > PATIENCE {
                done.push(story);
                break;
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(done)
}

/// How many results are right; says which node did how many, and what is wrong.
fn judge(screen: Screen, files: &Path, photo: &Sample, stories: &[Value]) -> usize {
    let (mut right, mut by_node) = (0, BTreeMap::<String, usize>::new());
    for (number, story) in stories.iter().enumerate() {
        *by_node.entry(story["node"].as_str().unwrap_or("nobody").to_owned()).or_default() += 1;
        match check(&result(files, number), photo, size(number), story) {
            Ok(()) => right += 1,
            Err(wrong) => screen.say(&format!("WRONG: result {number}: {wrong}")),
        }
    }
    for (node, jobs) in by_node {
        screen.note(&node, &format!("did {jobs} of them"));
    }
    right
}

fn check(path: &Path, photo: &Sample, (width, height): (u32, u32), story: &Value) -> Result<(), String> {
    if story["state"] != "succeeded" {
        return Err(format!("its job is {}", story["state"]));
    }
    let now = Instant::now();
    let bytes = Bytes::from(std::fs::read(path).map_err(|error| error.to_string())?);
    let found = Found::read(&Version { at: now, bytes }, now)?;
    Expected { sample: photo, format: Format::Jpeg, width, height }.check_result(&found).map(drop)
}
