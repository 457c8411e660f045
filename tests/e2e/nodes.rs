//! Three nodes on one database: a job is one job whichever of them is asked, and loses nothing whichever of them ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use image::ImageFormat;
use imgserve_peers::{Postgres, S3, Trouble, Web, samples};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, is_placeholder, program, until};

/// Short enough for a test to wait for.
const LEASE: Duration = Duration::from_secs(3);

/// Nodes, and what they share.
struct Nodes {
    all: Vec<Server>,
    /// Files that all of them see.
    files: TempDir,
    /// How the database is reached.
    database: String,
}

impl Nodes {
    /// On a database of their own.
    fn start(extra: &str) -> Self {
        Self::start_with(extra, "")
    }

    /// The same with more lines of `[jobs]`.
    fn start_with(extra: &str, jobs: &str) -> Self {
        static DATABASE: OnceLock<Postgres> = OnceLock::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = DATABASE.get_or_init(|| Postgres::start(true));
        let name = format!("nodes_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        database.sql("postgres", &format!("CREATE DATABASE {name}"));
        Self::on(&database.url(&name), extra, jobs)
    }

    fn on(url: &str, extra: &str, jobs: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let all = ["a", "b", "c"].map(|name| start(name, url, &files, extra, jobs));
        Self { all: all.into(), files, database: url.to_owned() }
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.files.path().join(name).display())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.files.path().join(name)).unwrap()
    }

    /// A picture that all of them see.
    fn source(&self) -> String {
        std::fs::write(self.files.path().join("source.png"), samples::encoded(200, 100, ImageFormat::Png))
            .unwrap();
        self.url("source.png")
    }

    /// Until each has seen the others.
    async fn see_each_other(&self) {
        for node in &self.all {
            until("it sees them all", async || {
                let (_, metrics) = node.get("/metrics").await;
                metrics.as_str().unwrap().lines().any(|line| line == "imgserve_nodes 3")
            })
            .await;
            assert_eq!(up(node).await, ["a", "b", "c"]);
        }
    }
}

fn start(name: &str, url: &str, files: &TempDir, extra: &str, jobs: &str) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let (node, roots) = (directory.path().join("node"), files.path());
    let config = format!(
        "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [{roots:?}]\n{extra}\n[workers]\ncount = 1\n\
         [jobs]\njournal = {url:?}\nnode_file = {node:?}\nnode_name = {name:?}\nlease_s = {}\n{jobs}\n",
        LEASE.as_secs()
    );
    Server::start_in(directory, &config)
}

/// The names of the nodes that are there, as one of them tells.
async fn up(node: &Server) -> Vec<String> {
    let (status, told) = node.get("/v1/nodes").await;
    assert_eq!(status, 200, "{told}");
    let nodes = told["nodes"].as_array().unwrap();
    let mut names: Vec<String> = nodes
        .iter()
        .filter(|node| node["up"] == true)
        .map(|node| node["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn resize(source: &str, destination: &str) -> Value {
    let args = json!({ "width": 20, "height": 10 });
    json!({ "operationType": "resize", "srcURL": source, "dstURL": destination, "args": args })
}

/// Posts a job before anything is fetched for it; its id.
async fn post(node: &Server, source: &str, destination: &str) -> String {
    let (status, _, told) = node.post_job(&resize(source, destination), &[("prefer", "respond-async")]).await;
    assert_eq!(status, 202, "{told}");
    told["id"].as_str().unwrap().to_owned()
}

async fn story(node: &Server, id: &str) -> Value {
    let (status, story) = node.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(status, 200, "{story}");
    story
}

async fn runs(node: &Server, id: &str) {
    until("it runs", async || story(node, id).await["state"] == "running").await;
}

/// A server whose files are waited for.
async fn held() -> Web {
    let web = Web::start(None).await;
    web.put("source.png", samples::encoded(200, 100, ImageFormat::Png));
    web.hold(true);
    web
}

/// How many results, not placeholders, were stored there.
fn results(web: &Web, name: &str) -> usize {
    web.versions(name).iter().filter(|bytes| !is_placeholder(bytes)).count()
}

const SHARED: &str = "shared_files = true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_one_world_whichever_node_is_asked() {
    let nodes = Nodes::start(SHARED);
    nodes.see_each_other().await;
    let source = nodes.source();
    let mut ids = Vec::new();
    for number in 0..30 {
        let node = &nodes.all[number % 3];
        let name = format!("{number}.png");
        ids.push((
            node.submit("resize", &source, &nodes.url(&name), json!({ "width": 20, "height": 10 })).await,
            name,
        ));
    }
    for (number, (id, name)) in ids.iter().enumerate() {
        let story = nodes.all[(number + 1) % 3].ended(id).await;
        assert_eq!(story["state"], "succeeded", "{story}");
        assert!(["a", "b", "c"].contains(&story["node"].as_str().unwrap()), "{story}");
        assert_eq!(image::load_from_memory(&nodes.read(name)).unwrap().width(), 20);
    }
    for node in &nodes.all {
        let (_, list) = node.get("/v1/jobs?state=succeeded&limit=100").await;
        assert_eq!(list["jobs"].as_array().unwrap().len(), 30);
        until("nothing waits any more", async || node.get("/readyz").await.1["jobs"] == 0).await;
    }
    let run = |command: &str| {
        let output = program().args([command, "--url", &nodes.all[1].origin]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = run("nodes");
    assert!(
        told.contains("b (asked)") && told.lines().filter(|line| line.contains(" up ")).count() == 3,
        "{told}"
    );
    assert!(run("top").contains("node     c: up "));
    let (_, metrics) = nodes.all[2].get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "imgserve_node_info{node=\"c\"} 1",
        "imgserve_nodes 3",
        "imgserve_journal_jobs{state=\"succeeded\"} 30",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line} in {metrics}");
    }

    // Whoever waits at another node hears of the end at once, and so does who follows.
    let web = held().await;
    let id = post(&nodes.all[0], &web.file("source.png"), &web.file("o.png")).await;
    runs(&nodes.all[1], &id).await;
    let path = format!("/v1/jobs/{id}");
    let events = reqwest::get(format!("{}{path}/events", nodes.all[2].origin)).await.unwrap();
    let client = reqwest::Client::new();
    let waits = client.get(format!("{}{path}", nodes.all[1].origin)).header("prefer", "wait=50").send();
    let (waits, events, ()) = tokio::join!(waits, events.text(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        web.hold(false);
    });
    let told: Value = serde_json::from_str(&waits.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(told["state"], "succeeded", "{told}");
    let last = events.unwrap();
    let last: Value = serde_json::from_str(last.trim().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!(last["state"], "succeeded", "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_cancelled_and_tried_again_by_nodes_that_do_not_have_it() {
    let nodes = Nodes::start(SHARED);
    nodes.see_each_other().await;
    let web = held().await;
    let id = post(&nodes.all[0], &web.file("source.png"), &web.file("o.png")).await;
    runs(&nodes.all[1], &id).await;
    let path = format!("/v1/jobs/{id}");
    let (status, story) = nodes.all[1].delete(&path).await;
    assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
    assert_eq!(nodes.all[0].delete(&path).await.0, 200, "cancelling twice is once");
    web.hold(false);
    let (status, story) = nodes.all[2].post_to(&format!("{path}/retry")).await;
    assert_eq!((status, &story["state"]), (202, &json!("accepted")), "{story}");
    assert_eq!(nodes.all[1].ended(&id).await["state"], "succeeded");
    assert_eq!(results(&web, "o.png"), 1);
    assert_eq!(nodes.all[1].delete(&path).await.0, 409, "what is stored stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_do_not_hear_of_each_other_they_see() {
    let nodes = Nodes::start_with(SHARED, "listen = false");
    nodes.see_each_other().await;
    let web = held().await;
    let [ended, cancelled] = ["ended.png", "cancelled.png"];
    let ended = post(&nodes.all[0], &web.file("source.png"), &web.file(ended)).await;
    let cancelled = post(&nodes.all[0], &web.file("source.png"), &web.file(cancelled)).await;
    runs(&nodes.all[0], &cancelled).await;
    let (status, story) = nodes.all[1].delete(&format!("/v1/jobs/{cancelled}")).await;
    assert_eq!((status, &story["state"]), (200, &json!("cancelled")), "{story}");
    let url = format!("{}/v1/jobs/{ended}", nodes.all[2].origin);
    let waits = reqwest::Client::new().get(url).header("prefer", "wait=50").send();
    let (waits, ()) = tokio::join!(waits, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        web.hold(false);
    });
    let told: Value = serde_json::from_str(&waits.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(told["state"], "succeeded", "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_enough_leaves_jobs_to_those_that_have_none() {
    let nodes = Nodes::start(&format!("{SHARED}\n[transfer]\nmax_transfers = 2"));
    nodes.see_each_other().await;
    let web = held().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(post(&nodes.all[0], &web.file("source.png"), &web.file(&format!("{number}.png"))).await);
    }
    until("each has some", async || {
        let (_, told) = nodes.all[0].get("/v1/nodes").await;
        told["nodes"].as_array().unwrap().iter().all(|node| node["running"].as_u64() > Some(0))
    })
    .await;
    web.hold(false);
    for id in &ids {
        assert_eq!(nodes.all[1].ended(id).await["state"], "succeeded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_has_that_is_killed_others_do() {
    let mut nodes = Nodes::start(SHARED);
    nodes.see_each_other().await;
    let web = held().await;
    let names: Vec<String> = (0..12).map(|number| format!("{number}.png")).collect();
    let mut ids = Vec::new();
    for name in &names {
        ids.push(post(&nodes.all[0], &web.file("source.png"), &web.file(name)).await);
    }
    for id in &ids {
        runs(&nodes.all[0], id).await;
    }
    nodes.all[0].kill();
    web.hold(false);
    let began = Instant::now();
    for id in &ids {
        assert_eq!(nodes.all[1].ended(id).await["state"], "succeeded");
    }
    assert!(began.elapsed() < 2 * LEASE + Duration::from_secs(2), "{:?}", began.elapsed());
    for name in &names {
        assert_eq!(results(&web, name), 1, "{name}");
    }
    until("it is not there", async || up(&nodes.all[1]).await == ["b", "c"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_for_its_lease_stores_nothing_over_anothers_result() {
    let nodes = Nodes::start(SHARED);
    nodes.see_each_other().await;
    let web = held().await;
    let id = post(&nodes.all[0], &web.file("source.png"), &web.file("o.png")).await;
    runs(&nodes.all[1], &id).await;
    assert_eq!(story(&nodes.all[1], &id).await["node"], "a");
    nodes.all[0].signal("STOP");
    // What it waits for comes meanwhile.
    web.hold(false);
    let told = nodes.all[1].ended(&id).await;
    assert_eq!((&told["state"], &told["attempt"]), (&json!("succeeded"), &json!(2)), "{told}");
    let before = web.versions("o.png");
    nodes.all[0].signal("CONT");
    until("it gives up", async || nodes.all[0].log().contains("its lease is over")).await;
    until("it has nothing left", async || nodes.all[0].get("/readyz").await.1["running"] == 0).await;
    assert_eq!(web.versions("o.png"), before);
    assert_eq!(story(&nodes.all[0], &id).await, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_stopped_is_told_by_all_and_loses_nothing() {
    let database = Postgres::start(true);
    let nodes = Nodes::on(&database.url("postgres"), SHARED, "");
    nodes.see_each_other().await;
    let source = nodes.source();
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(post(&nodes.all[number % 3], &source, &nodes.url(&format!("{number}.png"))).await);
    }
    database.stop();
    for node in &nodes.all {
        let reply =
            node.post("resize", &source, &nodes.url("no.png"), json!({ "width": 9, "height": 9 })).await;
        assert_eq!((reply.status, &reply.body["code"]), (503, &json!(301)), "{reply:?}");
        assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply:?}");
        until("it is not ready", async || node.get("/readyz").await.0 == 503).await;
    }
    database.start_again();
    for (number, id) in ids.iter().enumerate() {
        let node = &nodes.all[(number + 1) % 3];
        until("it answers", async || node.get(&format!("/v1/jobs/{id}")).await.0 == 200).await;
        assert_eq!(node.ended(id).await["state"], "succeeded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_posts_of_one_key_to_three_nodes_are_one_job() {
    let nodes = Nodes::start(SHARED);
    let body = resize(&nodes.source(), &nodes.url("one.png")).to_string();
    let client = reqwest::Client::new();
    let posts: Vec<_> = (0..100)
        .map(|number| {
            let url = format!("{}/v1/jobs", nodes.all[number % 3].origin);
            let request = client.post(url).header("idempotency-key", "one").body(body.clone());
            let placed = nodes.files.path().join("one.png");
            tokio::spawn(async move {
                let reply = request.send().await.unwrap();
                assert_eq!(reply.status(), 202);
                assert!(std::fs::exists(placed).unwrap(), "it is acknowledged before anything stands there");
                serde_json::from_str::<Value>(&reply.text().await.unwrap()).unwrap()["id"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for post in posts {
        ids.insert(post.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(nodes.all[0].ended(ids.first().unwrap()).await["state"], "succeeded");
    let (_, list) = nodes.all[1].get("/v1/jobs").await;
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_restarted_one_after_the_other_while_jobs_are_posted() {
    let mut nodes = Nodes::start(SHARED);
    nodes.see_each_other().await;
    let (source, folder) = (nodes.source(), nodes.url(""));
    let origins = Arc::new(Mutex::new(nodes.all.iter().map(|node| node.origin.clone()).collect::<Vec<_>>()));
    let over = Arc::new(AtomicBool::new(false));
    let posting = tokio::spawn({
        let (origins, over) = (Arc::clone(&origins), Arc::clone(&over));
        async move {
            let (client, mut ids) = (reqwest::Client::new(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let number = ids.len();
                ids.push(
                    post_to_any(
                        &client,
                        &origins,
                        number,
                        &resize(&source, &format!("{folder}{number}.png")),
                    )
                    .await,
                );
            }
            ids
        }
    });
    for number in 0..3 {
        let node = &mut nodes.all[number];
        node.signal("HUP");
        assert!(node.wait_end().success());
        node.restart();
        origins.lock().unwrap()[number] = node.origin.clone();
    }
    over.store(true, Ordering::Relaxed);
    let ids = posting.await.unwrap();
    for id in &ids {
        assert_eq!(nodes.all[0].ended(id).await["state"], "succeeded");
    }
    for number in 0..ids.len() {
        assert_eq!(image::load_from_memory(&nodes.read(&format!("{number}.png"))).unwrap().width(), 20);
    }
}

/// Posts a job to one node after the other until one takes it; each may be stopping, or gone.
async fn post_to_any(
    client: &reqwest::Client,
    origins: &Mutex<Vec<String>>,
    number: usize,
    body: &Value,
) -> String {
    for attempt in number.. {
        let origin = origins.lock().unwrap()[attempt % 3].clone();
        let request = client.post(format!("{origin}/v1/jobs")).header("idempotency-key", number.to_string());
        let Ok(reply) = request.body(body.to_string()).send().await else { continue };
        let (status, told) = (reply.status().as_u16(), reply.text().await.unwrap_or_default());
        match serde_json::from_str::<Value>(&told) {
            Ok(told) if status == 202 => return told["id"].as_str().unwrap().to_owned(),
            // Broken off.
            Err(_) => {}
            Ok(told) => assert!(status == 503 && told["kind"] == "busy", "{status} {told}"),
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_hold_over_all_nodes_and_what_ends_elsewhere_makes_room() {
    let nodes = Nodes::start(&format!("{SHARED}\n[limits]\nmax_queue = 40"));
    nodes.see_each_other().await;
    let web = held().await;
    let posts = async |count: usize| {
        let mut taken = Vec::new();
        for number in 0..count {
            let to = web.file(&format!("{number}.png"));
            let body = resize(&web.file("source.png"), &to);
            let node = &nodes.all[number % 3];
            let (status, headers, told) = node.post_job(&body, &[("prefer", "respond-async")]).await;
            match status {
                202 => taken.push(told["id"].as_str().unwrap().to_owned()),
                _ => assert!(status == 503 && headers.contains_key("retry-after"), "{status} {told}"),
            }
        }
        taken
    };
    let taken = posts(90).await;
    assert!((38..=42).contains(&taken.len()), "{} were taken", taken.len());
    web.hold(false);
    for id in &taken {
        assert_eq!(nodes.all[0].ended(id).await["state"], "succeeded");
    }
    for node in &nodes.all {
        until("it has room", async || node.get("/readyz").await.1["jobs"] == 0).await;
    }
    assert_eq!(posts(6).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_one_node_alone_sees_are_left_to_it() {
    let mut nodes = Nodes::start("");
    nodes.see_each_other().await;
    let web = held().await;
    let id = post(&nodes.all[0], &web.file("source.png"), &nodes.url("o.png")).await;
    runs(&nodes.all[1], &id).await;
    nodes.all[0].kill();
    web.hold(false);
    until("its lease ends", async || story(&nodes.all[1], &id).await["state"] == "accepted").await;
    let told = story(&nodes.all[1], &id).await;
    assert_eq!((&told["waits_for_node"], &told["node"]), (&json!("a"), &json!("a")), "{told}");
    nodes.all[0].restart();
    let told = nodes.all[1].ended(&id).await;
    assert_eq!((&told["state"], &told["node"]), (&json!("succeeded"), &json!("a")), "{told}");
    assert_eq!(image::load_from_memory(&nodes.read("o.png")).unwrap().width(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_from_a_store_to_a_store_is_any_nodes() {
    let s3 = S3::start(&["photos"]).await;
    s3.put("photos/source.png", samples::encoded(200, 100, ImageFormat::Png));
    let mut nodes = Nodes::start(&s3.section("photos", "photos"));
    nodes.see_each_other().await;
    s3.trouble("GET", "/photos/source.png", Trouble::Hold);
    let id = post(&nodes.all[0], "s3://photos/source.png", "s3://photos/o.png").await;
    runs(&nodes.all[1], &id).await;
    let first = story(&nodes.all[1], &id).await["node"].as_str().unwrap().to_owned();
    let index = ["a", "b", "c"].iter().position(|name| *name == first).unwrap();
    nodes.all[index].kill();
    let told = nodes.all[(index + 1) % 3].ended(&id).await;
    assert_eq!(told["state"], "succeeded", "{told}");
    assert_ne!(told["node"], first, "{told}");
    assert_eq!(image::load_from_memory(&s3.object("photos/o.png").unwrap()).unwrap().width(), 20);
    s3.release();
}

/// Types `journal copy` of a file in a server's directory: its exit code, and what it said.
fn copy_of(server: &Server, from: &str, to: &str) -> (Option<i32>, String) {
    let directory = server.directory.path();
    let config = directory.join("copy.toml");
    std::fs::write(&config, format!("[jobs]\nnode_file = {:?}\n", directory.join("node"))).unwrap();
    let mut command = program();
    command.args(["journal", "copy"]).arg(directory.join(from)).arg(to).arg("--config").arg(config);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_moves_from_its_file_into_a_database() {
    let nodes = Nodes::start(SHARED);
    let mut alone = Server::start("");
    let source = alone.write("source.png", samples::encoded(200, 100, ImageFormat::Png));
    let done = alone
        .succeed("resize", &source, &alone.file_url("o.png"), json!({ "width": 20, "height": 10 }))
        .await;
    let web = held().await;
    let waits = post(&alone, &web.file("source.png"), &web.file("o.png")).await;
    runs(&alone, &waits).await;
    let copy = |server: &Server, to: &str| copy_of(server, "journal.db", to);
    let (code, said) = copy_of(&alone, "journal-that-is-not.db", &nodes.database);
    assert!(code == Some(1) && said.contains("there is no journal"), "{said}");
    let (code, said) = copy(&alone, &nodes.database);
    assert!(code == Some(1) && said.contains("another imgserve uses"), "{said}");
    alone.kill();
    let (code, said) = copy(&alone, &nodes.database);
    assert!(code == Some(1) && said.contains("another imgserve uses"), "nodes are there: {said}");
    let Nodes { all, database, files } = nodes;
    for mut node in all {
        node.signal("TERM");
        node.wait_end();
    }
    let (code, said) = copy(&alone, &database);
    assert!(code == Some(0) && said.contains("copied 2 jobs, 0 idempotency keys and 0 webhooks"), "{said}");
    let (code, said) = copy(&alone, &database);
    assert!(code == Some(0) && said.contains("2 of it were there already"), "{said}");
    web.hold(false);
    let node = start("d", &database, &files, SHARED, "");
    let told = node.ended(&waits).await;
    assert_eq!((&told["state"], &told["node"]), (&json!("succeeded"), &json!("d")), "{told}");
    assert_eq!(story(&node, done["id"].as_str().unwrap()).await["finished_at_ms"], done["finished_at_ms"]);
}

#[test]
fn the_demo_shows_nodes_of_which_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let output = program()
        .args(["demo", "--nodes", "2", "--journal", "temporary", "--dir"])
        .arg(directory.path().join("demo"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("60 of 60 results right"), "{said}");
    assert!(said.contains("node-2 killed") && !said.contains("WRONG"), "{said}");
}
