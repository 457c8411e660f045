//! Sources and destinations in stores: a real S3 server that checks signatures, and all that may be wrong with one.

use image::ImageFormat;
use imgserve_peers::{Emulator, S3, Trouble, Web, samples};
use serde_json::{Value, json};

use crate::access::api_key;
use crate::harness::{Server, is_placeholder, look, program, until};

/// An XML answer of S3's.
macro_rules! answer {
    ($code:literal) => {
        concat!("<?xml version=\"1.0\"?><Error><Code>", $code, "</Code><Message>of a test</Message></Error>")
    };
}

/// A server with the store `photos`, and `extra` in its configuration; `photos/a.png` is there.
async fn world(extra: &str) -> (Server, S3) {
    let s3 = s3().await;
    (Server::start(&format!("{}{extra}", s3.section("photos", "photos"))), s3)
}

async fn s3() -> S3 {
    let s3 = S3::start(&["photos", "thumbs"]).await;
    s3.put("photos/a.png", samples::encoded(60, 40, ImageFormat::Png));
    s3
}

fn job(source: &str, destination: &str, more: Value) -> Value {
    let mut job = json!({
        "operationType": "resize", "srcURL": source, "dstURL": destination, "args": { "width": 30, "height": 20 },
    });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

/// Posts a job that is accepted, and waits for its end.
async fn done(server: &Server, job: &Value) -> Value {
    let (status, _, accepted) = server.post_job(job, &[]).await;
    assert_eq!(status, 202, "{accepted}");
    server.ended(accepted["id"].as_str().unwrap()).await
}

/// What is said of a job that is refused.
async fn refused(server: &Server, source: &str, destination: &str) -> (u16, String) {
    let (status, _, problem) = server.post_job(&job(source, destination, json!({})), &[]).await;
    (status, problem["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_job_goes_from_a_store_to_a_store_and_its_placeholder_comes_first() {
    let (server, s3) = world("").await;
    let wanted = job("s3://photos/a.png", "s3://photos/made/{$basename}_{$width}x{$height}.jpg", json!({}));
    let record = done(&server, &wanted).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    let puts = s3.puts("photos/made/a_30x20.jpg");
    assert_eq!(puts.len(), 2, "{:?}", s3.asked());
    assert!(is_placeholder(&puts[0].bytes) && !is_placeholder(&puts[1].bytes));
    assert_eq!(look(&s3.object("photos/made/a_30x20.jpg").unwrap()), (30, 20, ImageFormat::Jpeg));
    assert!(puts.iter().all(|put| put.headers["content-type"] == "image/jpeg"));
    // The placeholder only where nothing stood, or where stood what it found; the result whatever stands there.
    assert_eq!(puts[0].headers["if-none-match"], "*");
    assert!(!puts[1].headers.contains_key("if-match") && !puts[1].headers.contains_key("if-none-match"));
    let again = done(&server, &wanted).await;
    assert_eq!(again["state"], "succeeded", "{again}");
    let puts = s3.puts("photos/made/a_30x20.jpg");
    assert!(puts.len() == 4 && puts[2].headers.contains_key("if-match"), "{:?}", puts[2]);
}

#[tokio::test]
async fn a_job_that_is_taken_at_once_and_0_2_reach_stores_too() {
    let (server, s3) = world("").await;
    let at_once = job("s3://photos/a.png", "s3://photos/now.png", json!({ "accept": "now" }));
    let record = done(&server, &at_once).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    assert_eq!(look(&s3.object("photos/now.png").unwrap()).0, 30);
    let args = json!({ "width": 20, "height": 10 });
    server.succeed("resize", "s3://photos/a.png", "s3://photos/{$basename}-old.{$ext}", args).await;
    assert_eq!(look(&s3.object("photos/a-old.png").unwrap()).0, 20);
}

#[tokio::test]
async fn a_late_placeholder_never_stands_over_a_result() {
    let (server, s3) = world("[transfer]\nidle_timeout_s = 1\nconnect_timeout_s = 1\n").await;
    // The first one takes its time, is given up, and is done when the result is there.
    s3.trouble("PUT", "/photos/made.png", Trouble::Hold);
    let record = done(&server, &job("s3://photos/a.png", "s3://photos/made.png", json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    let asked = || s3.asked().iter().filter(|asked| asked.starts_with("PUT /photos/made.png")).count();
    assert_eq!((asked(), s3.puts("photos/made.png").len()), (3, 2), "{:?}", s3.asked());
    s3.release();
    // Whatever comes of it comes before the next answer.
    until("the late one is done", async || s3.held() == 0).await;
    assert_eq!(s3.puts("photos/made.png").len(), 2, "it was stored");
    assert!(!is_placeholder(&s3.object("photos/made.png").unwrap()));
}

#[tokio::test]
async fn a_result_tells_of_itself_what_its_job_says() {
    let (server, s3) = world("").await;
    let web = Web::start(None).await;
    let headers = json!({ "Cache-Control": "max-age=60", "X-Meta-Owner": "ann" });
    let output = json!({ "output": { "format": "png", "headers": headers } });
    for destination in ["s3://photos/made.png", &web.file("made.png")] {
        let record = done(&server, &job("s3://photos/a.png", destination, output.clone())).await;
        assert_eq!(record["state"], "succeeded", "{record}");
    }
    let puts = s3.puts("photos/made.png");
    let said = |head: &reqwest::header::HeaderMap, name: &str| head[name].to_str().unwrap().to_owned();
    let stored: Vec<_> = puts.iter().map(|put| &put.headers).collect();
    assert_eq!(said(stored[1], "cache-control"), "max-age=60");
    // Nobody is to keep what stands there for a moment.
    assert_eq!(said(stored[0], "cache-control"), "no-cache");
    assert_eq!(said(stored[1], "x-amz-meta-owner"), "ann");
    let heads = web.heads("made.png");
    assert_eq!(said(&heads[1], "cache-control"), "max-age=60");
    assert_eq!(
        (said(&heads[0], "cache-control"), said(&heads[1], "x-meta-owner")),
        ("no-cache".into(), "ann".into())
    );

    for (output, wanted) in [
        (json!({ "headers": { "Host": "x" } }), "output.headers.Host: is none of cache-control"),
        (json!({ "headers": "x" }), "output.headers is a string, not an object"),
    ] {
        let wrong = job("s3://photos/a.png", "s3://photos/made.png", json!({ "output": output }));
        let (status, _, problem) = server.post_job(&wrong, &[]).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(wanted), "{problem}");
    }
}

/// A PNG of more than one part: nothing of noise can be packed.
fn noise() -> Vec<u8> {
    let mut state: u32 = 1;
    let mut level = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    let picture = image::RgbImage::from_fn(1800, 1800, |_, _| image::Rgb([level(), level(), level()]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb8(picture).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_large_result_goes_in_parts_and_nothing_of_a_failed_upload_is_left() {
    let (server, s3) = world("").await;
    s3.put("photos/noise.png", noise());
    s3.trouble("PUT", "partNumber=2", Trouble::Answer(503, None, answer!("SlowDown")));
    let args = json!({ "args": { "width": 1800, "height": 1800 } });
    let record = done(&server, &job("s3://photos/noise.png", "s3://photos/large.png", args)).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    assert!(record["attempts"].to_string().contains("SlowDown"), "{record}");
    let stored = s3.object("photos/large.png").unwrap();
    assert!(stored.len() > 8 << 20, "{} bytes are one part", stored.len());
    assert_eq!(look(&stored), (1800, 1800, ImageFormat::Png));
    let asked = |beginning: &str, text: &str| {
        s3.asked().iter().filter(|asked| asked.starts_with(beginning) && asked.contains(text)).count()
    };
    assert_eq!((asked("POST", "uploads"), asked("DELETE", "uploadId=")), (2, 1), "{:?}", s3.asked());
    assert!(s3.left().is_empty(), "{:?}", s3.left());
}

#[tokio::test]
async fn what_a_store_is_short_of_for_a_moment_costs_one_more_try() {
    let (server, s3) = world("").await;
    for trouble in [
        ("GET", Trouble::Answer(503, None, answer!("SlowDown"))),
        ("GET", Trouble::Cut(100)),
        ("PUT", Trouble::Answer(503, None, answer!("SlowDown"))),
        ("PUT", Trouble::Answer(500, None, answer!("InternalError"))),
    ] {
        s3.trouble(trouble.0, "/photos/", trouble.1.clone());
        let record = done(&server, &job("s3://photos/a.png", "s3://photos/made.png", json!({}))).await;
        assert_eq!(record["state"], "succeeded", "{trouble:?}: {record}");
    }
    assert!(!server.log().contains("ERROR"), "another's trouble is none of ours: {}", server.log());
}

/// Whether an error of the server's own is about this URL.
fn is_logged(server: &Server, url: &str) -> bool {
    server.log().lines().any(|line| line.contains("ERROR") && line.contains(url))
}

#[tokio::test]
async fn what_is_wrong_for_good_is_said_with_whose_it_is() {
    let s3 = s3().await;
    let wrong_secret = s3.section("wrong", "thumbs").replace(S3::SECRET, "another");
    let missing = s3.section("missing", "nowhere");
    let server = Server::start(&[s3.section("photos", "photos"), wrong_secret, missing].concat());
    let skewed =
        || Trouble::Answer(403, Some("Mon, 01 Jan 2001 00:00:00 GMT"), answer!("RequestTimeTooSkewed"));
    s3.trouble("GET", "/photos/late.png", skewed());
    // As Amazon says it; to s3s-fs every bucket is one.
    for method in ["GET", "PUT"] {
        s3.trouble(method, "/nowhere/", Trouble::Answer(404, None, answer!("NoSuchBucket")));
    }
    s3.trouble("GET", "/photos/closed.png", Trouble::Answer(403, None, answer!("AccessDenied")));
    for (source, ours, wanted) in [
        ("s3://thumbs/a.png", true, "does not take the credentials of [stores.wrong]: SignatureDoesNotMatch"),
        ("s3://nowhere/a.png", true, "there is no bucket `nowhere` at 127.0.0.1, see [stores.missing]"),
        ("s3://photos/late.png", true, "the clocks of the store and of this machine are"),
        ("s3://photos/gone.png", false, "there is no such object"),
        ("s3://photos/closed.png", false, "the store does not let [stores.photos] have it: AccessDenied"),
        ("s3://other/a.png", false, "no store has the bucket `other`: write a section [stores.NAME]"),
    ] {
        let (status, detail) = refused(&server, source, "s3://photos/made.png").await;
        assert_eq!(status, 422, "{detail}");
        assert!(detail.starts_with(source) && detail.contains(wanted), "{detail}");
        if ours {
            until("it is logged", async || is_logged(&server, source)).await;
        }
        assert!(!detail.contains(S3::KEY) && !server.log().contains(S3::SECRET), "{detail}");
    }
    for others in ["s3://photos/gone.png", "s3://photos/closed.png", "s3://other/a.png"] {
        assert!(!is_logged(&server, others), "{others}: {}", server.log());
    }
    for (destination, wanted) in [
        ("s3://thumbs/a.png", "does not take the credentials of [stores.wrong]"),
        ("s3://nowhere/a.png", "there is no bucket `nowhere`"),
        ("gs://photos/a.png", "kind = \"gcs\" and bucket = \"photos\""),
        ("s3://photos/a.png?versionId=1", "a destination names no version"),
    ] {
        let (status, detail) = refused(&server, "s3://photos/a.png", destination).await;
        assert!(status == 422 && detail.contains(wanted), "{status} {detail}");
    }
}

#[tokio::test]
async fn a_version_is_asked_for_and_the_tag_stands_in_the_story() {
    let (server, s3) = world("").await;
    let record =
        done(&server, &job("s3://photos/a.png?versionId=v.7", "s3://photos/made.png", json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    assert_eq!(record["srcURL"], "s3://photos/a.png?versionId=v.7", "{record}");
    assert!(
        s3.asked().iter().any(|asked| asked.starts_with("GET /photos/a.png?versionId=v.7")),
        "{:?}",
        s3.asked()
    );
    let tag = record["source_etag"].as_str().unwrap_or_default();
    assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{record}");
}

#[tokio::test]
async fn an_api_key_is_held_to_its_stores() {
    let s3 = s3().await;
    let held =
        api_key("shop", "one", "['jobs', 'operations']") + "stores = ['photos:read', 'thumbs:write']\n";
    let free = api_key("all", "two", "['jobs', 'operations']");
    let sections = [s3.section("photos", "photos"), s3.section("thumbs", "thumbs"), held, free].concat();
    let server = Server::start(&sections);
    let post = async |key: &str, source: &str, destination: &str| {
        let bearer = format!("Bearer {key}");
        let wanted = job(source, destination, json!({}));
        let (status, _, body) = server.post_job(&wanted, &[("authorization", bearer.as_str())]).await;
        (status, body["detail"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(post("one", "s3://photos/a.png", "s3://thumbs/a.png").await.0, 202);
    assert_eq!(post("two", "s3://photos/a.png", "s3://photos/b.png").await.0, 202);
    for (source, destination, wanted) in [
        ("s3://thumbs/a.png", "s3://thumbs/b.png", "may not read from the store `thumbs`"),
        ("s3://photos/a.png", "s3://photos/b.png", "the API key `shop` may not write to the store `photos`"),
        ("s3://photos/a.png", "s3://photos/{$basename}.png", "may not write to the store `photos`"),
    ] {
        let (status, detail) = post("one", source, destination).await;
        assert!(status == 422 && detail.contains(wanted), "{status} {detail}");
    }
    let render = async |key: &str, source: &str| {
        let url = format!("{}/v1/operations/resize/render?width=9&height=9&src={source}", server.origin);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).bearer_auth(key).send().await.unwrap().status().as_u16()
    };
    until("the thumb is there", async || s3.object("thumbs/a.png").is_some()).await;
    assert_eq!(
        (render("one", "s3://photos/a.png").await, render("two", "s3://thumbs/a.png").await),
        (200, 200)
    );
    assert_eq!(render("one", "s3://thumbs/a.png").await, 422);
}

#[tokio::test]
async fn a_prefix_and_a_directory_are_stores_too() {
    let s3 = s3().await;
    s3.put("photos/public/a.png", samples::encoded(60, 40, ImageFormat::Png));
    let box_of_files = tempfile::tempdir().unwrap();
    let sections = format!(
        "{}prefix = \"public/\"\n[stores.box]\nkind = \"file\"\nbucket = {:?}\n",
        s3.section("photos", "photos"),
        box_of_files.path()
    );
    let server = Server::start(&sections);
    let record =
        done(&server, &job("s3://photos/public/a.png", "file://box/made/{$basename}.png", json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    let made = std::fs::read(box_of_files.path().join("made/a.png")).unwrap();
    assert_eq!(look(&made), (30, 20, ImageFormat::Png));
    let record = done(&server, &job("file://box/made/a.png", "s3://photos/public/b.png", json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    for (source, wanted) in [
        (
            "s3://photos/a.png",
            "of bucket `photos` only keys are reached that begin with \"public/\" ([stores.photos])",
        ),
        ("file://attic/a.png", "no store is called `attic`"),
    ] {
        let (status, detail) = refused(&server, source, "file://box/b.png").await;
        assert!(status == 422 && detail.contains(wanted), "{status} {detail}");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_reach_its_stores_is_refused_before_it_serves() {
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let file = directory.path().join("imgserve.toml");
        std::fs::write(&file, text).unwrap();
        let checked = program().args(["config", "check", "--config"]).arg(&file).output().unwrap();
        (checked.status.success(), String::from_utf8_lossy(&checked.stderr).into_owned())
    };
    let section = "[stores.photos]\nkind = 's3'\nbucket = 'shop'\n";
    for (text, wanted) in [
        (
            format!("{section}bukket = 'x'"),
            "unknown key `stores.photos.bukket`: did you mean `stores.photos.bucket`?",
        ),
        (format!("{section}credentials_file = 'keys'"), "[stores.photos] credentials_file: "),
        ("[stores.blobs]\nkind = 'azure'\nbucket = 'b'".to_owned(), "[stores.blobs]: Azure wants an account"),
    ] {
        let (fits, said) = check(&text);
        assert!(!fits && said.contains(wanted), "{said}");
    }
    std::fs::write(directory.path().join("keys"), "aws_access_key_id = a\naws_secret_access_key = hush\n")
        .unwrap();
    let journal = format!("[jobs]\njournal = {:?}\n", directory.path().join("jobs.db"));
    let (fits, said) = check(&format!("{section}credentials_file = 'keys'\n{journal}"));
    assert!(fits, "{said}");
    let file = directory.path().join("imgserve.toml");
    std::fs::write(&file, format!("{section}access_key_id = 'a'\nsecret_access_key = 'hush'\n")).unwrap();
    let shown = program().args(["config", "--config"]).arg(&file).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("[stores.photos]") && shown.contains("access_key_id") && !shown.contains("hush"),
        "{shown}"
    );
}

/// Makes a container in Azurite ("Authorize with Shared Key", version 2015-02-21 and later).
async fn make_container(azure: &Emulator, container: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::Mac as _;

    let (account, date) = (Emulator::AZURE_ACCOUNT, httpdate::fmt_http_date(std::time::SystemTime::now()));
    let version = "2021-08-06";
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/{account}/{account}/{container}\nrestype:container"
    );
    let key = STANDARD.decode(Emulator::AZURE_KEY).unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(signed.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client
        .put(format!("{}/{account}/{container}?restype=container", azure.origin))
        .header("x-ms-date", date)
        .header("x-ms-version", version)
        .header("authorization", format!("SharedKey {account}:{signature}"))
        .header("content-length", "0");
    let made = made.send().await.unwrap();
    assert_eq!(made.status(), 201, "{:?}", made.text().await);
}

/// A job into the store behind `bucket`, from there to a file, and what is said of an object that is not there.
async fn there_and_back(server: &Server, bucket: &str) {
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let there = format!("{bucket}/made/b c.png");
    let record = done(server, &job(&source, &there, json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    // Over what stands there, too.
    let record = done(server, &job(&source, &there, json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    let record = done(server, &job(&there, &server.file_url("back.png"), json!({}))).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    let back = server.read("back.png");
    assert!(look(&back) == (30, 20, ImageFormat::Png) && !is_placeholder(&back));
    let (status, detail) = refused(server, &format!("{bucket}/gone.png"), &there).await;
    assert!(status == 422 && detail.contains("there is no such object"), "{status} {detail}");
}

#[tokio::test]
async fn azure_is_a_store() {
    let azure = Emulator::azure().await;
    make_container(&azure, "pictures").await;
    let section = |name: &str, container: &str, key: &str| {
        let (account, origin) = (Emulator::AZURE_ACCOUNT, &azure.origin);
        format!(
            "[stores.{name}]\nkind = \"azure\"\nbucket = {container:?}\nendpoint = \"{origin}/{account}\"\n\
             account = {account:?}\naccount_key = {key:?}\n"
        )
    };
    let sections = section("blobs", "pictures", Emulator::AZURE_KEY)
        + &section("wrong", "wrong", "d3Jvbmc=")
        + &section("missing", "missing", Emulator::AZURE_KEY);
    let server = Server::start(&sections);
    there_and_back(&server, "az://pictures").await;
    for (source, wanted) in [
        ("az://wrong/a.png", "does not take the credentials of [stores.wrong]"),
        ("az://missing/a.png", "there is no bucket `missing`"),
    ] {
        let (status, detail) = refused(&server, source, "az://pictures/x.png").await;
        assert!(status == 422 && detail.contains(wanted), "{status} {detail}");
    }
    let server_noise = server.write("noise.png", noise());
    let args = json!({ "args": { "width": 1800, "height": 1800 } });
    let record = done(&server, &job(&server_noise, "az://pictures/large.png", args)).await;
    assert_eq!(record["state"], "succeeded", "{record}");
    assert!(record["output"]["bytes"].as_u64().unwrap() > 8 << 20, "{record}");
}

#[tokio::test]
async fn google_is_a_store() {
    let google = Emulator::google("pictures").await;
    let section = format!(
        "[stores.exports]\nkind = \"gcs\"\nbucket = \"pictures\"\nendpoint = {:?}\nanonymous = true\n",
        google.origin
    );
    there_and_back(&Server::start(&section), "gs://pictures").await;
}
