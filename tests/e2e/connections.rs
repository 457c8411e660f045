//! Places for connections, and file descriptors: strangers that hold them hold up nobody.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use image::ImageFormat;
use imgserve_peers::{Web, samples};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::access::answer;
use crate::harness::{Server, binary, until};

const ASK: &str = "GET /v1/operations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn address(server: &Server) -> std::net::SocketAddr {
    server.origin.trim_start_matches("http://").parse().unwrap()
}

/// A connection from this address that has sent `text`.
async fn from(server: &Server, client: &str, text: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(address(server)).await.unwrap();
    // It may have been closed already.
    let _ = stream.write_all(text.as_bytes()).await;
    stream
}

#[tokio::test]
async fn connections_that_send_nothing_hold_up_nobody() {
    let server = Server::start("[server]\nmax_connections = 20");
    let mut idle = Vec::new();
    for number in 0..100 {
        let text = ["", "POST", "POST / HTTP/1.1\r\nhost: x\r\n"][number % 3];
        idle.push(from(&server, "127.0.0.1", text).await);
    }
    // Connections that have been answered and are kept.
    for _ in 0..40 {
        let mut kept = from(&server, "127.0.0.1", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut start = [0; 12];
        kept.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        idle.push(kept);
    }
    for _ in 0..20 {
        let began = Instant::now();
        let text = answer(&server, ASK).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    drop(idle);
}

#[tokio::test]
async fn one_address_leaves_places_to_others() {
    let server = Server::start("[server]\nmax_connections = 16\nmax_connections_per_address = 4");
    // Whoever is told to go on with the body is being served, and keeps its place.
    let served = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    let go_on = async |client: &str| {
        let mut stream = from(&server, client, served).await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        (stream, start)
    };
    // All places but a share of them; what is beyond is refused.
    let mut greedy = Vec::new();
    for number in 0..20 {
        let (stream, start) = go_on("127.0.0.2").await;
        let wanted = if number < 12 { b"HTTP/1.1 100" } else { b"HTTP/1.1 503" };
        assert_eq!(&start, wanted, "connection {number}");
        greedy.push(stream);
    }
    let mut others = Vec::new();
    for _ in 0..3 {
        let (stream, start) = go_on("127.0.0.1").await;
        assert_eq!(&start, b"HTTP/1.1 100");
        others.push(stream);
    }
    let text = answer(&server, ASK).await;
    assert!(text.starts_with("HTTP/1.1 200"), "another address has its share: {text}");
    let mut refused = from(&server, "127.0.0.2", ASK).await;
    let mut text = String::new();
    refused.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("max_connections_per_address"), "{text}");
    // Whom the server has begun to serve it goes on with.
    for stream in others.iter_mut().chain(&mut greedy[..12]) {
        stream.write_all(b"{        ").await.unwrap();
        // What is left of the words to go on, and the answer.
        let mut told = [0; 25];
        stream.read_exact(&mut told).await.unwrap();
        assert!(told.ends_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
    }
}

/// What this many clients are answered that come at once, each with a small request that is there in whole.
async fn burst(server: &Server, clients: usize) -> Vec<String> {
    let address = address(server);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..clients {
        let (path, connection) =
            [("POST /", "close"), ("GET /v1/operations", "close"), ("GET /healthz", "keep-alive")]
                [number % 3];
        // Not by tasks, of which one may write long after it has connected where the machine is busy.
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let text = format!("{path} HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n");
        let _ = stream.write_all(text.as_bytes());
        stream.set_nonblocking(true).unwrap();
        asking.spawn(async move {
            let mut stream = TcpStream::from_std(stream).unwrap();
            let mut told = vec![0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut told)).await;
            let read = read.map_or(0, |read| read.unwrap_or(0));
            String::from_utf8_lossy(&told[..read]).into_owned()
        });
    }
    asking.join_all().await
}

#[tokio::test]
async fn nobody_whose_request_has_come_is_left_without_an_answer() {
    for config in [
        "[server]\nmax_connections = 8",
        "[server]\nmax_connections = 8\nmax_connections_per_address = 2",
        "[server]\nmax_connections = 40",
    ] {
        let server = Server::start(config);
        for _ in 0..5 {
            let told = burst(&server, 400).await;
            let of = |start: &str| told.iter().filter(|text| text.starts_with(start)).count();
            let (answered, busy) = (of("HTTP/1.1 200"), of("HTTP/1.1 503"));
            println!("{config:?}: {answered} answered, {busy} told that there is no place");
            assert_eq!(answered + busy, told.len(), "some were told nothing");
            assert!(answered > 0);
        }
    }
}

#[tokio::test]
async fn an_idle_connection_has_a_time_of_its_own() {
    let server = Server::start("[server]\nkeep_alive_idle_s = 1\nheader_timeout_s = 60");
    let began = Instant::now();
    let mut stream = from(&server, "127.0.0.1", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && began.elapsed() >= Duration::from_secs(1), "{text}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// A server that may open so many files.
fn with_files(limit: u32, config: &str) -> Server {
    limited(&format!("-n {limit}"), config)
}

/// A server with such a limit, as `ulimit` takes it.
fn limited(limit: &str, config: &str) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("limited");
    let text = format!("#!/bin/sh\nulimit {limit}\nexec '{}' \"$@\"\n", binary().display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("[access]\nallow_networks = ['127.0.0.0/8']\nfile_roots = ['FILES']\n{config}");
    Server::start_program(script, directory, &config)
}

#[tokio::test]
async fn with_few_files_idle_clients_make_no_job_fail() {
    let server = with_files(200, "[workers]\ncount = 1");
    let log = server.log();
    assert!(
        log.contains("[server] max_connections = 1024 needs more open files than the system allows (200)"),
        "{log}"
    );
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(from(&server, "127.0.0.1", "POST").await);
    }
    for number in 0..5 {
        let args = json!({ "width": 20, "height": 10 });
        let destination = server.file_url(&format!("{number}.png"));
        let job = server.submit("resize", &source, &destination, args).await;
        assert_eq!(server.ended(&job).await["state"], "succeeded");
    }
    drop(idle);
}

#[tokio::test]
async fn what_is_announced_takes_no_memory() {
    let server = limited("-v 1500000", "[server]\nmax_body_kb = 4000000");
    // More than there is, of which nothing comes.
    let boasts = "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 3500000000\r\n\r\n{";
    let mut boasting = Vec::new();
    for _ in 0..3 {
        boasting.push(from(&server, "127.0.0.1", boasts).await);
    }
    for _ in 0..3 {
        let text = answer(&server, ASK).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    for mut stream in boasting {
        // It still waits for the body.
        let more = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

/// Lets a process open no file more, or as many as it may.
fn limit_files(server: &Server, none: bool) {
    let pid = Pid::from_raw(server.pid().cast_signed());
    let open = |fd: &u64| std::path::Path::new(&format!("/proc/{}/fd/{fd}", server.pid())).exists();
    // A limit is one of numbers: with the lowest free one as the limit there is none.
    let free = (0..).find(|fd| !open(fd));
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: if none { free } else { most }, maximum: most })
        .unwrap();
}

#[tokio::test]
async fn want_of_files_is_the_servers_trouble_and_passes() {
    let server = Server::start("");
    let web = Web::start(None).await;
    web.put("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let file = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let named = web.file("a.png").replace("127.0.0.1", "localhost");
    let mut stream = TcpStream::connect(address(&server)).await.unwrap();
    // What is answered has been accepted.
    assert!(exchange(&mut stream, "/", "{}").await.starts_with("http/1.1 200"));
    limit_files(&server, true);
    for source in [&web.file("a.png"), &file, &named] {
        let job = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("out.png"),
                          "args": { "width": 20, "height": 10 } })
        .to_string();
        for path in ["/", "/v1/jobs"] {
            let text = exchange(&mut stream, path, &job).await;
            assert!(
                text.starts_with("http/1.1 503") && text.contains("retry-after: "),
                "{path} {source}: {text}"
            );
            assert!(text.contains("\"code\":301"), "{path} {source}: {text}");
        }
    }
    // Who comes now has its answer as well, by the one descriptor that is kept, and who comes after it.
    drop(stream);
    for _ in 0..3 {
        let text = answer(&server, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    limit_files(&server, false);
    let (destination, args) = (server.file_url("out.png"), json!({ "width": 20, "height": 10 }));
    until("there are files again", async || {
        let reply = server.post("resize", &named, &destination, args.clone()).await;
        reply.body.get("dstURL").is_some()
    })
    .await;
}

/// Posts on a connection that is kept; the answer in lower case.
async fn exchange(stream: &mut TcpStream, path: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut text = Vec::new();
    loop {
        text.push(stream.read_u8().await.unwrap());
        let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
        if let Some(length) = head.strip_suffix("\r\n\r\n").and_then(|head| {
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        }) {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            return head + &String::from_utf8_lossy(&body);
        }
    }
}
