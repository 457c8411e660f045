//! `POST /v1/operations/{name}` and `GET /v1/operations/{name}/render`: operations whose client waits for the result.

use std::collections::BTreeSet;
use std::sync::Arc;

use image::ImageFormat;
use imgserve_peers::{Web, samples};
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Server, look, plugin, section, until};

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Width, height and format of an image that came with the right media type.
    pub(crate) fn image(&self) -> (u32, u32, ImageFormat) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let (width, height, format) = look(&self.body);
        assert_eq!(self.header("content-type"), format.to_mime_type());
        (width, height, format)
    }

    /// Status, kind and code of a problem document.
    fn problem(&self) -> (u16, String, Value) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert!(problem["detail"].is_string() && problem["title"].is_string(), "{problem}");
        (self.status, problem["kind"].as_str().unwrap_or_default().to_owned(), problem["code"].clone())
    }

    fn detail(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn operation(server: &Server, path: &str) -> RequestBuilder {
    Client::new().post(format!("{}/v1/operations/{path}", server.origin))
}

pub(crate) fn rendering(server: &Server, path: &str, source: &str) -> RequestBuilder {
    let (name, query) = path.split_once('?').unwrap_or((path, ""));
    let source: String = url::form_urlencoded::byte_serialize(source.as_bytes()).collect();
    Client::new().get(format!("{}/v1/operations/{name}/render?{query}&src={source}", server.origin))
}

/// A form with an image and perhaps arguments, as any client writes it.
fn form(request: RequestBuilder, file_name: &str, image: &[u8], args: Option<&Value>) -> RequestBuilder {
    let mut body = Vec::new();
    if let Some(args) = args {
        body.extend(
            format!("--XX\r\ncontent-disposition: form-data; name=\"args\"\r\n\r\n{args}\r\n").bytes(),
        );
    }
    let head =
        format!("--XX\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{file_name}\"\r\n\r\n");
    body.extend(head.bytes());
    body.extend(image);
    body.extend(b"\r\n--XX--\r\n");
    request.header("content-type", "multipart/form-data; boundary=XX").body(body)
}

#[tokio::test]
async fn a_posted_image_comes_back_done() {
    let server = Server::start("");
    let jpeg = samples::encoded(120, 80, ImageFormat::Jpeg);
    let post = |query: &str, body: &[u8]| {
        Reply::to(operation(&server, &format!("resize?{query}")).body(body.to_vec()))
    };
    let reply = post("width=60&height=40", &jpeg).await;
    assert_eq!(reply.image(), (60, 40, ImageFormat::Jpeg));
    for part in ["plan;dur=", "queue;dur=", "work;dur="] {
        assert!(reply.header("server-timing").contains(part), "{reply:?}");
    }
    assert_eq!(post("width=60&height=40&format=webp", &jpeg).await.image(), (60, 40, ImageFormat::WebP));
    // As JSON, with a plain parameter over it, of another type.
    let args = "args=%7B%22width%22%3A60%2C%22height%22%3A1%7D&height=30&enlarge=true";
    assert_eq!(post(args, &jpeg).await.image(), (60, 30, ImageFormat::Jpeg));
    // Its content says what it is; a bitmap is written only where one is asked for.
    let bitmap = samples::encoded(120, 80, ImageFormat::Bmp);
    assert_eq!(post("width=60&height=40", &bitmap).await.image(), (60, 40, ImageFormat::Png));
    assert_eq!(post("width=60&height=40&format=bmp", &bitmap).await.image(), (60, 40, ImageFormat::Bmp));
    let animation = post("width=40&height=30", &samples::animation(80, 60, 5)).await;
    assert_eq!(animation.image(), (40, 30, ImageFormat::Gif));
    let reply = post("width=60&height=40&widht=7", &jpeg).await;
    assert!(reply.status == 200 && reply.header("x-imgserve-warning").contains("widht"), "{reply:?}");
    let lowest = post("width=60&height=40&quality=1", &jpeg).await.body.len();
    assert!(lowest < post("width=60&height=40&quality=95", &jpeg).await.body.len() / 2);
}

#[tokio::test]
async fn a_form_brings_image_and_arguments() {
    let server = Server::start(&section("qoi", &plugin("qoi.wasm"), ""));
    let png = samples::encoded(120, 80, ImageFormat::Png);
    let args = json!({ "width": 60, "height": 40, "format": "jpeg" });
    let reply = Reply::to(form(operation(&server, "resize"), "a.png", &png, Some(&args))).await;
    assert_eq!(reply.image(), (60, 40, ImageFormat::Jpeg));
    let both = form(operation(&server, "resize?args={\"width\":50}&height=20"), "a.png", &png, Some(&args));
    assert_eq!(Reply::to(both).await.image(), (50, 20, ImageFormat::Jpeg), "the query goes over the form");
    let reply = Reply::to(form(
        operation(&server, "rasterize?width=40&height=20"),
        "x",
        samples::DRAWING.as_bytes(),
        None,
    ));
    assert_eq!(reply.await.image(), (40, 20, ImageFormat::Png));
    // Two pixels of QOI, a format that the host does not know: the file's name says what it is.
    let qoi =
        [b"qoif\0\0\0\x02\0\0\0\x01\x03\0".as_slice(), &[0xfe, 255, 0, 0, 0xc0], &[0; 7], &[1]].concat();
    let reply = Reply::to(form(operation(&server, "qoi"), "two.QOI", &qoi, None)).await;
    assert_eq!(reply.image(), (2, 1, ImageFormat::Png));
    let typed = operation(&server, "qoi").header("content-type", "image/x-qoi").body(qoi.clone());
    assert_eq!(Reply::to(typed).await.image(), (2, 1, ImageFormat::Png));
    assert_eq!(Reply::to(operation(&server, "qoi").body(qoi)).await.problem().1, "unreadable-source");
    let nothing = operation(&server, "resize").header("content-type", "multipart/form-data; boundary=X");
    assert_eq!(Reply::to(nothing.body("--X--\r\n")).await.problem().0, 400);
}

#[tokio::test]
async fn what_is_no_image_comes_as_what_it_is() {
    let server = Server::start(&section("blurhash", &plugin("blurhash.wasm"), ""));
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let reply = Reply::to(operation(&server, "blurhash").body(png.clone())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.header("content-type").starts_with("text/plain"), "{reply:?}");
    assert!(reply.body.len() > 6 && reply.body.iter().all(u8::is_ascii_graphic), "{reply:?}");
    let reply = Reply::to(operation(&server, "blurhash?format=png").body(png.clone())).await;
    assert_eq!(reply.problem().1, "invalid-argument");
    let reply =
        Reply::to(operation(&server, "blurhash?format=auto").header("accept", "image/webp").body(png));
    assert!(reply.await.header("content-type").starts_with("text/plain"));
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem() {
    let server = Server::start("[limits]\nmax_source_mb = 1\nsource_memory_mb = 1");
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let size = "width=20&height=10";
    for (path, body, wanted) in [
        ("nothing", png.clone(), (404, "unknown-operation", 102)),
        ("pipeline", png.clone(), (400, "missing-argument", 106)),
        ("resize?width=wide&height=10", png.clone(), (400, "wrong-type", 107)),
        ("resize?width=2.5&height=10", png.clone(), (400, "wrong-type", 107)),
        ("resize?args=7", png.clone(), (400, "args-not-object", 103)),
        ("resize?width=0&height=10", png.clone(), (400, "invalid-argument", 114)),
        (&format!("resize?{size}&format=tga"), png.clone(), (400, "invalid-argument", 114)),
        (&format!("resize?{size}&quality=101"), png.clone(), (400, "invalid-argument", 114)),
        ("resize?width=200&height=100&enlarge=refuse", png.clone(), (422, "source-too-small", 203)),
        (&format!("resize?{size}"), b"no image at all".to_vec(), (422, "unreadable-source", 202)),
        (&format!("resize?{size}"), Vec::new(), (422, "unreadable-source", 202)),
        (&format!("resize?{size}"), samples::DRAWING.into(), (422, "unreadable-source", 202)),
        (&format!("rasterize?{size}"), png.clone(), (422, "unreadable-source", 202)),
        (&format!("resize?{size}"), vec![0; 3 << 20], (413, "limit-exceeded", 206)),
    ] {
        let reply = Reply::to(operation(&server, path).body(body)).await;
        let (status, kind, code) = (wanted.0, wanted.1.to_owned(), json!(wanted.2));
        assert_eq!(reply.problem(), (status, kind, code), "{path}: {}", reply.detail());
    }
    let reply = Reply::to(operation(&server, "resize?width=wide&height=10").body(png.clone())).await;
    assert!(reply.detail().starts_with("argument `width`: \"wide\""), "{}", reply.detail());
    // Without a length, in pieces; and too many of them.
    let path = format!("/v1/operations/resize?{size}");
    assert!(chunked(&server, &path, &png).await.starts_with("HTTP/1.1 200 OK"));
    let told = chunked(&server, &path, &vec![0; 2 << 20]).await;
    assert!(told.starts_with("HTTP/1.1 413") && told.contains("max_source_mb = 1"), "{told}");
    let large = form(operation(&server, &format!("resize?{size}")), "a.png", &vec![0; 2 << 20], None);
    assert_eq!(Reply::to(large).await.problem().0, 413);
}

/// POSTs a body in chunks of 64 KiB (RFC 9112, 7.1), and gives what comes back.
async fn chunked(server: &Server, path: &str, body: &[u8]) -> String {
    let address = server.origin.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.chunks(64 << 10) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn a_render_is_kept_by_its_tag() {
    let server = Server::start("[server]\nrender_max_age_s = 77");
    let web = Web::start(None).await;
    web.put("a", samples::encoded(60, 40, ImageFormat::Png));
    let path = "resize?width=20&height=10";
    let first = Reply::to(rendering(&server, path, &web.file("a"))).await;
    assert_eq!(first.image(), (20, 10, ImageFormat::Png));
    assert_eq!(first.header("cache-control"), "public, max-age=77");
    assert_eq!(first.header("vary"), "");
    assert!(first.header("server-timing").contains("fetch;dur="), "{first:?}");
    let tag = first.header("etag").to_owned();
    assert!(tag.len() > 20 && tag.starts_with('"'), "{tag}");

    let again = rendering(&server, path, &web.file("a")).header("if-none-match", &tag);
    let again = Reply::to(again).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!((again.header("etag"), again.header("cache-control")), (&*tag, "public, max-age=77"));
    // The same result by another way of saying it, and from another place.
    let file = server.write("b.png", samples::encoded(60, 40, ImageFormat::Png));
    let same = Reply::to(rendering(&server, "resize?height=10&args={\"width\":20}&sig=x&key=y", &file)).await;
    assert_eq!((same.header("etag"), &same.body), (&*tag, &first.body));
    for other in ["resize?width=21&height=10", "resize?width=20&height=10&format=jpeg"] {
        let other = Reply::to(rendering(&server, other, &file).header("if-none-match", &tag)).await;
        assert!(other.status == 200 && other.header("etag") != tag, "{other:?}");
    }
    web.put("a", samples::encoded(80, 40, ImageFormat::Png));
    let changed = rendering(&server, path, &web.file("a")).header("if-none-match", &tag);
    assert_eq!(Reply::to(changed).await.status, 200);

    let get = rendering(&server, path, &file).build().unwrap();
    let head = Reply::to(Client::new().head(get.url().clone())).await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, &*tag));
    assert_eq!(head.header("content-length"), first.body.len().to_string());
    assert_eq!(head.header("content-type"), "image/png");
}

#[tokio::test]
async fn the_client_may_leave_the_format_to_us() {
    let server = Server::start("");
    let file = server.write("a.jpg", samples::encoded(60, 40, ImageFormat::Jpeg));
    let path = "resize?width=20&height=10&format=auto";
    let accept = |path: &str, accept: &str| rendering(&server, path, &file).header("accept", accept);
    let browser = Reply::to(accept(path, "image/webp,*/*;q=0.8")).await;
    assert_eq!(browser.image(), (20, 10, ImageFormat::WebP));
    // By the operator's order, and not by the client's.
    let newer = Reply::to(accept(path, "image/jxl,image/webp,image/avif,*/*;q=0.8")).await;
    assert_eq!((newer.header("content-type"), &newer.body[4..12]), ("image/avif", &b"ftypavif"[..]));
    let newest = Reply::to(accept(path, "image/jxl,image/avif;q=0")).await;
    assert_eq!((newest.header("content-type"), &newest.body[..2]), ("image/jxl", &b"\xFF\x0A"[..]));
    // One that takes long for as many pixels as are asked for is passed over.
    let large = accept("resize?width=1300&enlarge=always&format=auto", "image/avif,image/webp");
    let large = Reply::to(large).await;
    assert_eq!((large.status, large.header("content-type")), (200, "image/webp"));
    let other = Reply::to(rendering(&server, path, &file).header("accept", "*/*")).await;
    assert_eq!(other.image(), (20, 10, ImageFormat::Jpeg));
    assert_ne!(browser.header("etag"), other.header("etag"));
    assert_eq!((browser.header("vary"), other.header("vary")), ("Accept", "Accept"));
}

#[tokio::test]
async fn a_source_that_cannot_be_had_is_a_problem() {
    let server = Server::start("");
    let web = Web::start(None).await;
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}/a.png", port.local_addr().unwrap());
    drop(port);
    let path = "resize?width=20&height=10";
    let closed = rendering(&server, path, &dead);
    assert_eq!(Reply::to(closed).await.problem(), (502, "source-unavailable".to_owned(), json!(201)));
    for (source, status, kind) in [
        (web.file("none.png"), 422, "source-unavailable"),
        ("http://10.0.0.1/a.png".to_owned(), 422, "source-unavailable"),
        ("file:///etc/passwd".to_owned(), 422, "source-unavailable"),
        ("gopher://x/a.png".to_owned(), 400, "source-scheme"),
        (String::new(), 400, "empty-source"),
    ] {
        let reply = Reply::to(rendering(&server, path, &source)).await;
        let told = reply.problem();
        assert_eq!((told.0, told.1.as_str()), (status, kind), "{source}: {}", reply.detail());
    }
    let post = Reply::to(Client::new().post(format!("{}/v1/operations/resize/render", server.origin))).await;
    assert_eq!(post.problem().0, 405);
}

#[tokio::test]
async fn the_same_render_at_the_same_time_is_done_once() {
    const CLIENTS: usize = 50;
    let (server, web) = (Arc::new(Server::start("")), Web::start(None).await);
    web.put("slow.jpg", samples::encoded(300, 200, ImageFormat::Jpeg));
    let ask = |path: &'static str, count: usize| -> Vec<_> {
        let asking = || tokio::spawn(Reply::to(rendering(&server, path, &web.file("slow.jpg"))));
        (0..count).map(|_| asking()).collect()
    };
    web.hold(true);
    let same = ask("resize?width=30&height=20", CLIENTS);
    let other = ask("resize?width=20&height=30", 1);
    until("all wait", async || server.get("/readyz").await.1["calls"] == CLIENTS + 1).await;
    until("both are fetched", async || web.fetches("slow.jpg") == 2).await;
    web.hold(false);
    // Times in microseconds: two computations do not agree in all of them.
    let mut timings = BTreeSet::new();
    for reply in same {
        let reply = reply.await.unwrap();
        assert_eq!(reply.image(), (30, 20, ImageFormat::Jpeg));
        timings.insert(reply.header("server-timing").to_owned());
    }
    assert_eq!((timings.len(), web.fetches("slow.jpg")), (1, 2), "{timings:?}");
    for reply in other {
        assert_eq!(reply.await.unwrap().image(), (20, 30, ImageFormat::Jpeg));
    }
    // It is not a cache; and a failure is shared and forgotten like a result.
    web.hold(true);
    let failing = ask("resize?width=3000&height=20&enlarge=refuse", CLIENTS);
    until("all wait", async || server.get("/readyz").await.1["calls"] == CLIENTS).await;
    web.hold(false);
    for reply in failing {
        assert_eq!(reply.await.unwrap().problem().1, "source-too-small");
    }
    assert_eq!(web.fetches("slow.jpg"), 3);
    for reply in ask("resize?width=30&height=20", 1) {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    assert_eq!(web.fetches("slow.jpg"), 4);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_not_worked_for() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    web.put("slow.jpg", samples::encoded(300, 200, ImageFormat::Jpeg));
    web.hold(true);
    let path = "resize?width=30&height=20";
    let (goes, stays) = (
        tokio::spawn(Reply::to(rendering(&server, path, &web.file("slow.jpg")))),
        tokio::spawn(Reply::to(rendering(&server, path, &web.file("slow.jpg")))),
    );
    until("both wait", async || server.get("/readyz").await.1["calls"] == 2).await;
    goes.abort();
    until("one is gone", async || server.get("/readyz").await.1["calls"] == 1).await;
    web.hold(false);
    assert_eq!(stays.await.unwrap().status, 200, "who stays is served");
    assert_eq!(web.fetches("slow.jpg"), 1);

    web.hold(true);
    let goes = tokio::spawn(Reply::to(rendering(&server, path, &web.file("slow.jpg"))));
    until("it is fetched", async || web.fetches("slow.jpg") == 2).await;
    goes.abort();
    until("nobody waits", async || server.get("/readyz").await.1["calls"] == 0).await;
    // Had it gone on, this one would have joined it.
    let next = tokio::spawn(Reply::to(rendering(&server, path, &web.file("slow.jpg"))));
    until("it is fetched again", async || web.fetches("slow.jpg") == 3).await;
    web.hold(false);
    assert_eq!(next.await.unwrap().status, 200);
}

#[tokio::test]
async fn eight_clients_at_once_are_all_served() {
    let server = Arc::new(Server::start("[limits]\nmax_source_mb = 1\nsource_memory_mb = 1"));
    let source = samples::encoded(1000, 700, ImageFormat::Jpeg);
    // All of them together have more than the memory for sources: some wait for their turn.
    assert!(source.len() * 8 > 1 << 20);
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (server, source) = (Arc::clone(&server), source.clone());
            tokio::spawn(async move {
                for round in 0..10 {
                    let (width, height) = (20 + client, 10 + round);
                    let path = format!("resize?width={width}&height={height}");
                    let reply = Reply::to(operation(&server, &path).body(source.clone())).await;
                    assert_eq!(reply.image(), (width, height, ImageFormat::Jpeg));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(server.get("/readyz").await.1["calls"], 0);
}

#[tokio::test]
async fn who_waits_for_the_servers_memory_is_not_told_to_be_slow() {
    let server = Server::start(
        "[server]\nbody_timeout_s = 1\n[limits]\nsource_memory_mb = 8\nmax_source_mb = 8\n[workers]\ncount = 1",
    );
    // Of this one a worker makes nothing, as it does nothing any more.
    for worker in server.workers() {
        crate::harness::signal(worker, "STOP");
    }
    let url = "resize?width=20&height=10";
    let large = || operation(&server, url).body(vec![b'x'; 7 << 20]);
    let holds = tokio::spawn(large().send());
    crate::harness::until("the first one is here", async || {
        server.get("/readyz").await.1["calls"].as_u64() == Some(1)
    })
    .await;
    let waits = large().send().await.unwrap();
    let (status, headers) = (waits.status().as_u16(), waits.headers().clone());
    let text = waits.text().await.unwrap();
    assert_eq!(status, 503, "{text}");
    assert!(headers.contains_key("retry-after") && text.contains("source_memory_mb"), "{text}");
    holds.abort();
}
