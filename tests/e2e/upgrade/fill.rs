//! Fills a journal with 200 jobs in every state, and writes it as SQL text: how `journals/` came to be.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::peers::{Peers, picture};
use crate::harness::{Server, until};

/// Jobs of a journal.
pub(crate) const JOBS: usize = 200;
/// The key under which one job is posted.
pub(crate) const KEY: &str = "order-17";

/// The configuration of the servers that fill a journal and that finish it: few places, so that most jobs wait.
pub(crate) fn config() -> String {
    "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]\n[transfer]\nmax_transfers = 8\n\
     [webhooks]\nsecret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n"
        .to_owned()
}

/// The body that was posted with [`KEY`].
pub(crate) fn keyed(peers: &Peers) -> Value {
    request(&peers.source("keyed.png"), "resize", small(), &peers.destination("well", "keyed.png"))
}

fn small() -> Value {
    json!({ "width": 20, "height": 10 })
}

fn request(source: &str, operation: &str, args: Value, destination: &str) -> Value {
    json!({ "operationType": operation, "srcURL": source, "dstURL": destination, "args": args })
}

/// One of the jobs that wait, of the kind that `number` says; its results have names of their own.
fn waiting(peers: &Peers, server: &Server, number: usize) -> Value {
    let name = |end: &str| format!("waiting-{number}{end}");
    let put = |end: &str| peers.destination("well", &name(end));
    match number % 8 {
        0 => request(&peers.source("a.svg"), "rasterize", small(), &put(".png")),
        1 => {
            let steps = json!([
                { "operationType": "rasterize", "args": { "width": 40, "height": 30 } },
                { "operationType": "resize", "args": small() },
            ]);
            request(&peers.source("a.svg"), "pipeline", json!({ "steps": steps }), &put(".png"))
        }
        2 => {
            let args = json!({ "width": 20, "height": 10, "field_name": "picture" });
            request(&peers.source("a.png"), "resize", args, &peers.form(&name("_{$width}x{$height}.png")))
        }
        3 => {
            json!({ "srcURL": peers.source("a.jpg"), "priority": "high", "notifyURL": peers.hook(), "outputs": [
            { "operationType": "resize", "args": small(), "dstURL": put("-large.jpg") },
            { "operationType": "resize", "args": { "width": 8, "height": 8 }, "dstURL": put("-tiny.webp"),
              "output": { "format": "webp", "quality": 50 } },
        ] })
        }
        4 => {
            let destination = server.file_url(&name(".png"));
            request(&server.file_url("source.png"), "resize", small(), &destination)
        }
        5 => json!({ "srcURL": peers.source("a.png"), "operationType": "resize", "args": small(),
            "dstURL": put(".png"), "priority": "low" }),
        _ => request(&peers.source("a.jpg"), "resize", small(), &put("_{$basename}.{$ext}")),
    }
}

/// Makes jobs in every state and ends the server as `kill -9` does; what it leaves is the journal.
pub(crate) async fn fill(peers: &Peers, server: &mut Server) {
    server.write("source.png", picture("source.png"));
    for number in 0..20 {
        let job = json!({ "srcURL": peers.source("a.png"), "operationType": "resize", "args": small(),
            "dstURL": peers.destination("well", &format!("done-{number}.png")), "notifyURL": peers.hook() });
        post_to_end(server, &job, "succeeded").await;
    }
    peers.fall_ill();
    let told = json!({ "srcURL": peers.source("a.png"), "operationType": "resize", "args": small(),
        "dstURL": peers.destination("well", "told-late.png"), "notifyURL": peers.hook() });
    post_to_end(server, &told, "succeeded").await;
    for number in 0..6 {
        let (source, how) = if number % 2 == 0 { ("a.png", "closed") } else { ("broken.png", "well") };
        let to = peers.destination(how, &format!("failed-{number}.png"));
        post_to_end(server, &request(&peers.source(source), "resize", small(), &to), "failed").await;
    }
    for number in 0..6 {
        let to = peers.destination("flaky", &format!("flaky-{number}.png"));
        let id = post(server, &request(&peers.source("a.png"), "resize", small(), &to), None).await;
        let tried = async || server.get(&format!("/v1/jobs/{id}")).await.1["attempts"][0].is_object();
        until("an attempt has failed", tried).await;
    }
    for number in 0..16 {
        let to = peers.destination("slow", &format!("slow-{number}.png"));
        post(server, &request(&peers.source("a.png"), "resize", small(), &to), None).await;
    }
    let running = async || server.get("/readyz").await.1["running"] == 16;
    until("the places are taken", running).await;
    post(server, &keyed(peers), Some(KEY)).await;
    let mut count = 20 + 1 + 6 + 6 + 16 + 1;
    for number in 0..5 {
        let to = peers.destination("well", &format!("cancelled-{number}.png"));
        let id = post(server, &request(&peers.source("a.png"), "resize", small(), &to), None).await;
        assert_eq!(server.delete(&format!("/v1/jobs/{id}")).await.0, 200);
        count += 1;
    }
    const STUCK: usize = 3;
    while count < JOBS - STUCK {
        post(server, &waiting(peers, server, count), None).await;
        count += 1;
    }
    let stuck = (0..STUCK).map(|number| {
        let to = peers.destination("stuck", &format!("stuck-{number}.png"));
        let body = request(&peers.source("a.png"), "resize", small(), &to);
        tokio::spawn(reqwest::Client::new().post(server.origin.clone()).body(body.to_string()).send())
    });
    let stuck: Vec<_> = stuck.collect();
    let all = async || server.get("/readyz").await.1["jobs"] == JOBS - 20 - 1 - 6 - 5;
    until("three are being accepted", all).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.kill();
    stuck.into_iter().for_each(|task| task.abort());
}

async fn post(server: &Server, job: &Value, key: Option<&str>) -> String {
    let headers: Vec<(&'static str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    let (status, _, body) = server.post_job(job, &headers).await;
    assert_eq!(status, 202, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

async fn post_to_end(server: &Server, job: &Value, state: &str) {
    let id = post(server, job, None).await;
    assert_eq!(server.ended(&id).await["state"], state);
}

/// A journal as SQL text, whatever its version.
fn dump(path: &Path) -> String {
    let db = Connection::open(path).unwrap();
    let number =
        |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    let mut text = String::new();
    for name in ["application_id", "user_version"] {
        writeln!(text, "PRAGMA {name} = {};", number(name)).unwrap();
    }
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name";
    let mut schema = db.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    };
    for entry in schema.query_map([], row).unwrap() {
        let (kind, name, sql) = entry.unwrap();
        writeln!(text, "{sql};").unwrap();
        if kind == "table" {
            text += &rows(&db, &name);
        }
    }
    text
}

fn rows(db: &Connection, table: &str) -> String {
    let names = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let quoted: Vec<String> = names.column_names().map(|name| format!("quote({name})")).collect();
    let sql = format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ', ' || "));
    let mut rows = db.prepare(&sql).unwrap();
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|values| format!("INSERT INTO {table} VALUES ({});\n", values.unwrap())).collect()
}

#[ignore = "makes journals/N.sql anew: before a release that stores a new version, by the program of the release before"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_a_journal() {
    let peers = Peers::start().await;
    let mut server = Server::start_with(&config());
    fill(&peers, &mut server).await;
    let text = dump(&server.directory.path().join("journal.db"));
    let to = crate::harness::beside("../target/journal.sql");
    std::fs::write(&to, peers.take_out(&text, &server.files())).unwrap();
    println!("{} is {} bytes long", to.display(), text.len());
}
