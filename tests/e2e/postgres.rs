//! The journal on PostgreSQL: the whole program with a real server, which is stopped as a crash would, as is the program itself.

use image::ImageFormat;
use imgserve_peers::{Postgres, samples};
use serde_json::{Value, json};

use crate::harness::{Server, program, until};

/// Its password is nobody's business: the tests' server asks for none.
const PASSWORD: &str = "s3cret-of-the-database";

/// A server on a database.
fn start(database: &Postgres) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let url = database.url("postgres").replace("imgserve@", &format!("imgserve:{PASSWORD}@"));
    let journal = format!("[jobs]\njournal = {url:?}\nnode_file = {:?}", directory.path().join("node"));
    let access = "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]";
    Server::start_in(directory, &format!("{access}\n{journal}\n"))
}

/// Posts jobs with results of these names; their ids.
async fn post(server: &Server, source: &str, names: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        let args = json!({ "width": 20, "height": 10 });
        ids.push(server.submit("resize", source, &server.file_url(name), args).await);
    }
    ids
}

fn names(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of}{number}.png")).collect()
}

async fn readiness(server: &Server) -> (u16, Value) {
    server.get("/readyz").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_and_a_server_that_end_lose_no_job() {
    let database = Postgres::start(true);
    let mut server = start(&database);
    let source = server.write("source.png", samples::encoded(200, 100, ImageFormat::Png));
    let first = post(&server, &source, &names("first", 5)).await;
    for id in &first {
        assert_eq!(server.ended(id).await["state"], "succeeded");
    }

    database.stop();
    until("it tells that the database is away", async || readiness(&server).await.0 == 503).await;
    let (_, told) = readiness(&server).await;
    let why = told["journal_error"].as_str().unwrap();
    assert!(why.contains("cannot be written") && !why.contains(PASSWORD), "{why}");
    let reply =
        server.post("resize", &source, &server.file_url("no.png"), json!({ "width": 9, "height": 9 })).await;
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!(301)), "{reply:?}");
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply:?}");
    let (status, _, _) = server
        .post_job(
            &json!({ "operationType": "resize", "srcURL": source,
        "dstURL": server.file_url("no.png"), "args": { "width": 9, "height": 9 } }),
            &[],
        )
        .await;
    assert_eq!(status, 503);
    // What needs no journal goes on.
    let render = format!("/v1/operations/resize/render?width=9&height=9&src={source}");
    assert_eq!(server.get(&render).await.0, 200);

    database.start_again();
    until("it finds it again by itself", async || readiness(&server).await.0 == 200).await;
    for id in &first {
        assert_eq!(server.ended(id).await["state"], "succeeded", "what was stored is there");
    }
    let second = post(&server, &source, &names("second", 30)).await;
    server.kill();
    database.stop();
    database.start_again();
    server.restart();
    for id in &second {
        assert_eq!(server.ended(id).await["state"], "succeeded");
    }
    for name in names("second", 30) {
        assert_eq!(image::load_from_memory(&server.read(&name)).unwrap().width(), 20);
    }
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_while_the_database_is_away_is_written_down_afterwards() {
    let database = Postgres::start(true);
    let server = start(&database);
    let source = server.write("source.png", samples::encoded(2000, 1500, ImageFormat::Png));
    let ids = post(&server, &source, &names("many", 40)).await;
    database.stop();
    database.start_again();
    for id in &ids {
        until("it has ended", async || server.get(&format!("/v1/jobs/{id}")).await.0 == 200).await;
        assert_eq!(server.ended(id).await["state"], "succeeded");
    }
    let (status, list) = server.get("/v1/jobs?state=succeeded&limit=100").await;
    assert_eq!((status, list["jobs"].as_array().map(Vec::len)), (200, Some(40)), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_by_a_command_where_a_start_may_not_and_no_secret_is_shown() {
    let database = Postgres::start(false);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("imgserve.toml");
    let url = database.url("postgres").replace("imgserve@", &format!("imgserve:{PASSWORD}@"));
    let text = format!(
        "[jobs]\njournal = {url:?}\nmigrate = false\nnode_file = {:?}\n[plugins]\ncache_dir = {:?}\n",
        directory.path().join("node"),
        directory.path().join("cache"),
    );
    std::fs::write(&file, text).unwrap();
    let run = |arguments: &[&str]| {
        let output = program().args(arguments).arg("--config").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };
    let pid = directory.path().join("pid").display().to_string();
    let start = ["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "-pid", &pid];
    let (code, said) = run(&start);
    assert!(code == Some(1) && said.contains("`imgserve migrate`") && !said.contains(PASSWORD), "{said}");
    let (code, said) = run(&["migrate"]);
    assert!(code == Some(0) && said.contains("version 1") && !said.contains(PASSWORD), "{said}");
    assert_eq!(database.sql("postgres", "SELECT version FROM imgserve_journal"), "1");
    assert_eq!(run(&["migrate"]).0, Some(0), "again");
    let (code, said) = run(&["config"]);
    assert!(code == Some(0) && said.contains("imgserve:…@") && !said.contains(PASSWORD), "{said}");
    let (code, said) = run(&["config", "check"]);
    assert_eq!(code, Some(0), "{said}");
}
