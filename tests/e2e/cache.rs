//! `[cache]`: results that are kept, and what clients, sources, disks and operators do to them.

use std::sync::Arc;

use image::ImageFormat;
use imgserve_peers::{S3, Trouble, Web, samples};
use serde_json::{Value, json};

use crate::access::api_key;
use crate::direct::{Reply, operation, rendering};
use crate::harness::{Server, program, signal, until};

/// In a directory beside the server's files.
const ON: &str = "[cache]\ndir = \"FILES-kept\"\n";
const SMALL: &str = "resize?width=20&height=10";

fn png(width: u32) -> Vec<u8> {
    samples::encoded(width, 40, ImageFormat::Png)
}

/// What the cache had for an answer.
fn status(reply: &Reply) -> &str {
    assert!(reply.status == 200 || reply.status == 304, "{reply:?}");
    let status = reply.header("cache-status");
    status.strip_prefix("imgserve; ").unwrap_or(status)
}

async fn render(server: &Server, source: &str) -> Reply {
    Reply::to(rendering(server, SMALL, source)).await
}

async fn post(server: &Server, path: &str, source: &[u8]) -> Reply {
    Reply::to(operation(server, path).body(source.to_vec())).await
}

/// Lets no worker do anything any more: what is answered all the same was not made.
fn stop_work(server: &Server) {
    server.workers().into_iter().for_each(|worker| signal(worker, "STOP"));
}

/// Waits until so many entries are on disk.
async fn written(server: &Server, entries: u64) {
    until("it is written", async || server.get("/v1/cache").await.1["entries"] == entries).await;
}

async fn metric(server: &Server, name: &str) -> String {
    let (_, text) = server.get("/metrics").await;
    let text = text.as_str().unwrap_or_default().to_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("none").to_owned()
}

#[tokio::test]
async fn what_is_sent_again_is_found() {
    let server = Server::start(ON);
    let first = post(&server, SMALL, &png(60)).await;
    assert_eq!(status(&first), "fwd=miss; stored");
    assert!(first.header("age").is_empty() && first.header("server-timing").contains("work;dur="));
    for other in ["width=21&height=10", "width=20&height=10&format=jpeg", "width=20&height=10&widht=7"] {
        let other = format!("resize?{other}");
        assert_eq!(status(&post(&server, &other, &png(60)).await), "fwd=miss; stored", "{other}");
    }
    assert_eq!(status(&post(&server, SMALL, &png(61)).await), "fwd=miss; stored");
    stop_work(&server);
    let again = post(&server, SMALL, &png(60)).await;
    assert_eq!((status(&again), again.header("age"), &again.body), ("hit", "0", &first.body));
    assert_eq!((again.header("content-type"), again.header("server-timing")), ("image/png", ""));
    // Said otherwise; and with what nobody knows, of which that client is told again, and no other.
    let other = post(&server, "resize?height=10&args={\"width\":20}", &png(60)).await;
    assert_eq!((status(&other), &other.body), ("hit", &first.body));
    let unknown = post(&server, &format!("{SMALL}&widht=7"), &png(60)).await;
    assert_eq!(status(&unknown), "hit");
    assert!(unknown.header("x-imgserve-warning").contains("widht"), "{unknown:?}");
    assert!(again.header("x-imgserve-warning").is_empty(), "{again:?}");
    // Of whatever else has the same bytes.
    let file = server.write("a.png", png(60));
    let rendered = render(&server, &file).await;
    assert_eq!(
        (status(&rendered), &rendered.body),
        ("fwd=uri-miss; fwd-status=200; detail=result-kept", &first.body)
    );
    assert_eq!(metric(&server, "imgserve_cache_requests_total{outcome=\"hit\"}").await, "3");
    assert_eq!(metric(&server, "imgserve_cache_requests_total{outcome=\"miss\"}").await, "5");
    written(&server, 6).await;
    assert_eq!(metric(&server, "imgserve_cache_entries").await, "6");
}

#[tokio::test]
async fn a_file_is_looked_at_every_time() {
    let server = Server::start(ON);
    let file = server.write("a.png", png(60));
    let first = render(&server, &file).await;
    assert_eq!((status(&first), first.image()), ("fwd=uri-miss; stored", (20, 10, ImageFormat::Png)));
    let again = render(&server, &file).await;
    assert_eq!((status(&again), again.header("age"), &again.body), ("hit", "0", &first.body));
    for header in ["etag", "cache-control", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    let known = rendering(&server, SMALL, &file).header("if-none-match", first.header("etag"));
    let known = Reply::to(known).await;
    assert_eq!((known.status, status(&known), known.body.len()), (304, "hit", 0));
    // Of the same size and in the same moment.
    server.write("a.png", samples::encoded(60, 41, ImageFormat::Png));
    let changed = render(&server, &file).await;
    assert_eq!(status(&changed), "fwd=miss; stored");
    assert_ne!(changed.header("etag"), first.header("etag"));
    let known = rendering(&server, SMALL, &file).header("if-none-match", first.header("etag"));
    assert_eq!(Reply::to(known).await.status, 200);
    server.write("a.png", png(60));
    let back = render(&server, &file).await;
    assert_eq!((back.header("etag"), &back.body), (first.header("etag"), &first.body));
    std::fs::remove_file(server.files().join("a.png")).unwrap();
    assert_eq!(render(&server, &file).await.status, 422, "what is not there any more is not served");
    // Each client has what it takes.
    let file = server.write("b.jpg", samples::encoded(60, 40, ImageFormat::Jpeg));
    let auto = |accept: &str| {
        Reply::to(rendering(&server, "resize?width=20&height=10&format=auto", &file).header("accept", accept))
    };
    for _ in 0..2 {
        let (webp, jpeg) = (auto("image/webp").await, auto("*/*").await);
        assert_eq!((webp.image().2, jpeg.image().2), (ImageFormat::WebP, ImageFormat::Jpeg));
        assert_eq!((webp.header("vary"), jpeg.header("vary")), ("Accept", "Accept"));
    }
}

#[tokio::test]
async fn a_server_is_asked_whether_its_source_has_changed() {
    let (server, web) = (Server::start(ON), Web::start(None).await);
    let (then, now) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:49:37 GMT");
    for (name, header, versions, width) in
        [("tagged", "etag", ["\"v1\"", "\"v2\""], 60), ("dated", "last-modified", [then, now], 61)]
    {
        web.put(name, png(width));
        web.say(name, &[(header, versions[0])]);
        let first = render(&server, &web.file(name)).await;
        let again = render(&server, &web.file(name)).await;
        assert_eq!((status(&again), again.header("age")), ("fwd=stale; fwd-status=304", "0"), "{name}");
        assert_eq!((web.fetches(name), web.unchanged(name), &again.body), (2, 1, &first.body));
        // Another size of the same: the source is fetched once more, as nobody keeps it.
        let other = Reply::to(rendering(&server, "resize?width=9&height=9", &web.file(name))).await;
        assert!(status(&other).starts_with("fwd=") && other.image().0 == 9, "{other:?}");
        let conditional =
            rendering(&server, SMALL, &web.file(name)).header("if-none-match", first.header("etag"));
        let conditional = Reply::to(conditional).await;
        assert_eq!((conditional.status, status(&conditional)), (304, "fwd=stale; fwd-status=304"));
        web.put(name, png(width + 20));
        web.say(name, &[(header, versions[1])]);
        let changed = render(&server, &web.file(name)).await;
        assert_ne!(changed.header("etag"), first.header("etag"), "{name}: {changed:?}");
    }
    // Nothing to go by: it is fetched every time, and made once.
    web.put("plain", png(70));
    render(&server, &web.file("plain")).await;
    stop_work(&server);
    let again = render(&server, &web.file("plain")).await;
    assert_eq!((status(&again), web.fetches("plain")), ("fwd=stale; fwd-status=200; detail=result-kept", 2));
    assert!(again.header("server-timing").starts_with("fetch;dur="), "{again:?}");
    assert_eq!(render(&server, &web.file("gone")).await.status, 422);
    assert_eq!(metric(&server, "imgserve_cache_requests_total{outcome=\"revalidated\"}").await, "4");
}

#[tokio::test]
async fn for_how_long_a_source_is_certain_is_its_servers_word_or_else_the_operators() {
    let (server, web) = (Server::start(ON), Web::start(None).await);
    web.put("a", png(60));
    web.say("a", &[("cache-control", "max-age=600"), ("etag", "\"v1\"")]);
    let first = render(&server, &web.file("a")).await;
    web.put("a", png(80));
    let again = render(&server, &web.file("a")).await;
    assert_eq!((status(&again), &again.body, web.fetches("a")), ("hit", &first.body, 1));
    assert!(again.header("age").parse::<u64>().is_ok_and(|age| age < 600), "{again:?}");
    // Who reloads a page wants to know.
    let reload = rendering(&server, SMALL, &web.file("a")).header("cache-control", "no-cache");
    assert_eq!((status(&Reply::to(reload).await), web.fetches("a")), ("fwd=stale; fwd-status=304", 2));
    // What is nobody else's is not kept.
    for private in ["no-store", "private, max-age=600"] {
        web.put("b", png(61));
        web.say("b", &[("cache-control", private)]);
        for _ in 0..2 {
            let reply = render(&server, &web.file("b")).await;
            assert!(["fwd=uri-miss", "fwd=miss"].contains(&status(&reply)), "{private}: {reply:?}");
        }
    }
    assert_eq!(web.fetches("b"), 4);

    let server = Server::start(&format!("{ON}fresh_s = 600\n"));
    web.put("c", png(60));
    web.say("d", &[("cache-control", "no-cache")]);
    web.put("d", png(62));
    for name in ["c", "d"] {
        render(&server, &web.file(name)).await;
        render(&server, &web.file(name)).await;
    }
    assert_eq!((web.fetches("c"), web.fetches("d")), (1, 2));
    // What was had by other rules is not given by these.
    let config = std::fs::read_to_string(server.directory.path().join("imgserve.toml")).unwrap();
    let closed = config.replace("allow_networks = [\"127.0.0.0/8\"]", "allow_networks = []");
    std::fs::write(server.directory.path().join("imgserve.toml"), closed).unwrap();
    server.signal("USR1");
    until("nothing on loopback is reached", async || render(&server, &web.file("c")).await.status == 422)
        .await;
}

#[tokio::test]
async fn what_is_kept_outlives_a_kill() {
    let web = Web::start(None).await;
    let mut server = Server::start(ON);
    web.put("a", png(60));
    web.say("a", &[("etag", "\"v1\"")]);
    let first = render(&server, &web.file("a")).await;
    let sent = post(&server, SMALL, &png(70)).await;
    written(&server, 3).await;
    server.kill();
    server.restart();
    stop_work(&server);
    let again = render(&server, &web.file("a")).await;
    assert_eq!((status(&again), again.header("etag")), ("fwd=stale; fwd-status=304", first.header("etag")));
    assert_eq!((&again.body, web.fetches("a")), (&first.body, 2));
    let again = post(&server, SMALL, &png(70)).await;
    assert_eq!((status(&again), &again.body), ("hit", &sent.body));
    // A damaged one is made anew.
    server.kill();
    let kept = server.directory.path().join("files-kept");
    let files = std::fs::read_dir(&kept).unwrap().flatten().filter(|shelf| shelf.path().is_dir());
    for file in files.flat_map(|shelf| std::fs::read_dir(shelf.path()).unwrap().flatten()) {
        let mut bytes = std::fs::read(file.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file.path(), bytes).unwrap();
    }
    server.restart();
    let anew = post(&server, SMALL, &png(70)).await;
    assert_eq!((status(&anew), &anew.body), ("fwd=miss; stored", &sent.body));
    assert_eq!(metric(&server, "imgserve_cache_damaged_total").await, "1");
    assert!(server.log().contains("is damaged"), "{}", server.log());
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_kill_in_the_middle_of_a_file_leaves_none() {
    let mut server = Server::start_where("FAILPOINTS=cache-half-written=return", ON);
    let body = png(60);
    // It may end before it has answered.
    let _ = operation(&server, SMALL).body(body.clone()).send().await;
    server.wait_end();
    let kept = server.directory.path().join("files-kept");
    let parts = || {
        let shelves = std::fs::read_dir(&kept).unwrap().flatten().filter(|shelf| shelf.path().is_dir());
        let names = shelves.flat_map(|shelf| std::fs::read_dir(shelf.path()).unwrap().flatten());
        names.map(|file| file.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert!(parts().len() == 1 && parts()[0].ends_with(".part"), "{:?}", parts());
    server.restart_undisturbed();
    assert_eq!(status(&post(&server, SMALL, &body).await), "fwd=miss; stored");
    written(&server, 1).await;
    assert!(parts().len() == 1 && parts()[0].ends_with(".1"), "{:?}", parts());
    stop_work(&server);
    assert_eq!(status(&post(&server, SMALL, &body).await), "hit");
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_full_disk_keeps_nobody_from_an_answer() {
    let server = Server::start_where("FAILPOINTS=cache-full=return", &format!("{ON}memory_mb = 0\n"));
    for width in [60, 60, 61] {
        let reply = post(&server, SMALL, &png(width)).await;
        assert_eq!((status(&reply), reply.image().0), ("fwd=miss; stored", 20));
    }
    until("it is noticed", async || metric(&server, "imgserve_cache_unwritable").await == "1").await;
    assert_eq!(server.log().matches("results are not kept at present").count(), 1, "{}", server.log());
    assert_eq!(server.get("/v1/cache").await.1["entries"], 0);
}

#[tokio::test]
async fn who_ask_at_once_are_all_answered_rightly() {
    let (server, web) = (Arc::new(Server::start(ON)), Web::start(None).await);
    web.put("a", png(300));
    web.say("a", &[("cache-control", "max-age=600")]);
    web.hold(true);
    let all: Vec<_> =
        (0..20).map(|_| tokio::spawn(Reply::to(rendering(&server, SMALL, &web.file("a"))))).collect();
    until("all wait", async || server.get("/readyz").await.1["calls"] == 20).await;
    web.hold(false);
    let mut collapsed = 0;
    for reply in all {
        let reply = reply.await.unwrap();
        assert_eq!(reply.image(), (20, 10, ImageFormat::Png));
        collapsed += usize::from(status(&reply).ends_with("; collapsed"));
    }
    assert_eq!((collapsed, web.fetches("a")), (19, 1));
    assert_eq!(status(&render(&server, &web.file("a")).await), "hit");
    // Sent ones are each made, and each is right.
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { post(&server, SMALL, &png(90)).await })
        })
        .collect();
    let mut bodies = Vec::new();
    for reply in sent {
        bodies.push(reply.await.unwrap().body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

#[tokio::test]
async fn what_one_key_may_have_no_other_gets() {
    let s3 = S3::start(&["photos"]).await;
    s3.put("photos/a.png", png(60));
    let keys = [
        api_key("shop", "one", "['operations']"),
        "stores = ['photos:read']\n".to_owned(),
        api_key("page", "two", "['operations']"),
        "stores = []\n".to_owned(),
    ];
    let server = Server::start(&[s3.section("photos", "photos"), keys.concat(), ON.to_owned()].concat());
    let ask =
        async |key: &str| Reply::to(rendering(&server, SMALL, "s3://photos/a.png").bearer_auth(key)).await;
    assert_eq!(status(&ask("one").await), "fwd=uri-miss; stored");
    let refused = ask("two").await;
    assert!(refused.status == 422 && refused.header("cache-status").is_empty(), "{refused:?}");
    assert_eq!(Reply::to(rendering(&server, SMALL, "s3://photos/a.png")).await.status, 401);
    // It is asked by its tag whether it has changed.
    s3.trouble("GET", "/photos/a.png", Trouble::Answer(304, None, ""));
    let again = ask("one").await;
    assert_eq!(
        (status(&again), again.header("cache-control")),
        ("fwd=stale; fwd-status=304", "private, max-age=3600")
    );
    s3.put("photos/a.png", png(80));
    assert_eq!(status(&ask("one").await), "fwd=miss; stored");
    // Who holds the very bytes has them made by none but who holds them too.
    let sent = Reply::to(operation(&server, SMALL).bearer_auth("two").body(png(60))).await;
    assert_eq!(status(&sent), "hit");
    // Listing and purging is the operator's.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        let request =
            client.request(method, format!("{}/v1/cache?all=true", server.origin)).bearer_auth("one");
        assert_eq!(request.send().await.unwrap().status(), 403);
    }
}

/// Runs `imgserve cache …` against a server; gives its exit code and what it said.
fn command(server: &Server, words: &[&str]) -> (i32, String) {
    let output = program().arg("cache").args(words).args(["--url", &server.origin]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_measures_and_purges() {
    let (server, web) = (Server::start(ON), Web::start(None).await);
    for (name, width) in [("a", 60), ("b", 70)] {
        web.put(name, png(width));
        web.say(name, &[("cache-control", "max-age=600")]);
        render(&server, &web.file(name)).await;
        Reply::to(rendering(&server, "resize?width=9&height=9", &web.file(name))).await;
    }
    written(&server, 6).await;
    let (_, told) = server.get("/v1/cache?limit=3").await;
    assert_eq!(told["results"].as_array().map(Vec::len), Some(3), "{told}");
    let newest: &Value = &told["results"][0];
    assert_eq!(
        (&newest["operationType"], &newest["srcURL"]),
        (&json!("resize"), &json!(web.file("b"))),
        "{told}"
    );
    assert!(newest["bytes"].as_u64() > Some(50) && newest["made_at_ms"].as_u64() > Some(0), "{told}");
    let (code, said) = command(&server, &["list"]);
    assert!(code == 0 && said.matches(&web.file("a")).count() == 2 && said.contains("image/png"), "{said}");
    let (code, said) = command(&server, &["size"]);
    assert!(code == 0 && said.starts_with("6 entries, 0.0 MiB of 1024.0 MiB on disk"), "{said}");
    assert!(command(&server, &["size", "--json"]).1.contains("\"entries\":6"));

    assert_eq!(command(&server, &["purge", &web.file("nothing")]), (0, "0 results removed\n".to_owned()));
    assert_eq!(command(&server, &["purge", &web.file("a")]), (0, "2 results removed\n".to_owned()));
    assert_eq!(status(&render(&server, &web.file("b")).await), "hit");
    assert_eq!(
        (status(&render(&server, &web.file("a")).await), web.fetches("a")),
        ("fwd=uri-miss; stored", 3)
    );
    let (_, told) = server.delete("/v1/cache?all=true").await;
    assert_eq!(told, json!({ "removed": 3 }));
    assert_eq!(server.get("/v1/cache").await.1["entries"], 0);
    assert_eq!(status(&render(&server, &web.file("b")).await), "fwd=uri-miss; stored");
    for wrong in ["", "?src=", "?all=false", "?all=true&src=x", "?source=x"] {
        assert_eq!(server.delete(&format!("/v1/cache{wrong}")).await.0, 400, "{wrong}");
    }
    for wrong in ["?limit=0", "?limit=1001", "?limit=x"] {
        assert_eq!(server.get(&format!("/v1/cache{wrong}")).await.0, 400, "{wrong}");
    }
    assert_eq!(command(&server, &["purge"]).0, 2);
    assert!(command(&server, &["purge", "--help"]).1.contains("imgserve cache purge --all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_where_nobody_says_where() {
    let server = Server::start("");
    let reply = post(&server, SMALL, &png(60)).await;
    assert!(reply.header("cache-status").is_empty() && reply.header("age").is_empty(), "{reply:?}");
    let rendered = render(&server, &server.write("a.png", png(60))).await;
    assert!(
        rendered.header("cache-status").is_empty() && !rendered.header("etag").is_empty(),
        "{rendered:?}"
    );
    assert_eq!(server.get("/v1/cache").await, (200, json!({ "enabled": false })));
    assert_eq!(server.delete("/v1/cache?all=true").await, (200, json!({ "removed": 0 })));
    let (code, said) = command(&server, &["list"]);
    assert!(code == 1 && said.contains("[cache] dir"), "{said}");
    assert_eq!(metric(&server, "imgserve_cache_entries").await, "none");
}

#[tokio::test]
async fn a_directory_that_cannot_be_had_keeps_a_server_from_starting() {
    let server = Server::start(ON);
    let dir = server.directory.path().join("files-kept");
    let same = format!("[server]\nstart_wait_s = 0\n[cache]\ndir = {dir:?}\n");
    let said = Server::refuses(&same);
    assert!(said.contains("another imgserve's") && said.contains("[cache] dir"), "{said}");
    let file = server.files().join("file");
    std::fs::write(&file, "").unwrap();
    let said = Server::refuses(&format!("[cache]\ndir = {file:?}\n"));
    assert!(said.contains("[cache] dir") && said.contains("cannot be used"), "{said}");
    let line = server.reload(&format!("{ON}max_mb = 7\n")).await;
    assert!(line.contains("reloaded"), "{line}");
    until("it is told", async || server.log().contains("it takes a restart to take in [cache] max_mb")).await;
}
