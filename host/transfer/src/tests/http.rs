//! Fetch and PUT against HTTP servers, well-behaved and hostile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, put};
use imgserve_base::fair::Flow;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{config, fetch, impatient, mark, raw, serve, stored, transfer};
use crate::{Asked, Destination, IDLE_SERVERS, Transfer, TransferConfig, TransferError, TransferErrorKind};

#[tokio::test]
async fn a_source_is_fetched_with_its_size_and_our_user_agent() {
    let echo = |headers: HeaderMap| async move { headers[header::USER_AGENT].as_bytes().to_vec() };
    let address = serve(Router::new().route("/x.png", get(echo))).await;
    let config = TransferConfig { user_agent: "Mozilla/5.0 (test)".to_owned(), ..config() };
    let fetched = Transfer::new(config)
        .unwrap()
        .fetch(&super::source(format!("http://{address}/x.png?q#f")))
        .await
        .unwrap();
    assert_eq!(fetched.size_hint, Some(18));
    assert_eq!(super::read(fetched).await.unwrap(), b"Mozilla/5.0 (test)");
}

/// A server that keeps connections; how many are open is counted in `open`.
async fn keeps_connections(open: &Arc<AtomicUsize>) -> String {
    let (listener, open) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::clone(open));
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = Arc::clone(&open);
            open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await.unwrap();
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    format!("http://{address}/x.png")
}

#[tokio::test]
async fn connections_are_kept_to_few_servers_and_few_to_each() {
    let (transfer, open) = (Arc::new(transfer()), Arc::new(AtomicUsize::new(0)));
    let mut servers = Vec::new();
    for _ in 0..IDLE_SERVERS + 4 {
        servers.push(keeps_connections(&open).await);
        assert_eq!(fetch(&transfer, servers.last().unwrap()).await.unwrap(), b"x");
    }
    let until = async |most: usize| {
        let ended = async {
            while open.load(Ordering::SeqCst) > most {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(ended.is_ok(), "{} connections are kept", open.load(Ordering::SeqCst));
    };
    until(IDLE_SERVERS).await;
    assert_eq!(open.load(Ordering::SeqCst), IDLE_SERVERS);
    // One that is asked often is kept to, however many others there are; many at once are not kept.
    let (busy, others) = servers.split_last().unwrap();
    for other in others {
        assert_eq!(fetch(&transfer, busy).await.unwrap(), b"x");
        assert_eq!(fetch(&transfer, other).await.unwrap(), b"x");
    }
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (transfer, busy) = (Arc::clone(&transfer), busy.clone());
        many.spawn(async move { fetch(&transfer, &busy).await.unwrap() });
    }
    assert!(many.join_all().await.iter().all(|fetched| fetched == b"x"));
    until(IDLE_SERVERS - 1 + config().idle_per_server).await;
}

#[tokio::test]
async fn statuses_become_errors_without_the_password() {
    let address = serve(Router::new().route("/busy", get(StatusCode::SERVICE_UNAVAILABLE))).await;
    let missing = fetch(&transfer(), &format!("http://u:secret@{address}/x")).await.unwrap_err();
    assert_eq!((missing.kind(), missing.is_transient()), (TransferErrorKind::Status(404), false));
    assert!(missing.to_string().ends_with("/x: status 404 Not Found"), "{missing}");
    assert!(!format!("{missing:?}").contains("secret"));
    let busy = fetch(&transfer(), &format!("http://{address}/busy")).await.unwrap_err();
    assert_eq!((busy.kind(), busy.is_transient()), (TransferErrorKind::Status(503), true));
}

/// `/N` redirects to `/N-1`, and `/0` is the file.
async fn countdown() -> String {
    let step = |uri: Uri| async move {
        match uri.path()[1..].parse::<u32>().unwrap() {
            0 => "arrived".into_response(),
            n => Redirect::temporary(&format!("{}", n - 1)).into_response(),
        }
    };
    format!("http://{}", serve(Router::new().fallback(step)).await)
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let server = countdown().await;
    assert_eq!(fetch(&transfer(), &format!("{server}/5")).await.unwrap(), b"arrived");
    let error = fetch(&transfer(), &format!("{server}/6")).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Protocol);
    assert!(error.to_string().ends_with("more than 5 redirects"), "{error}");
}

#[tokio::test]
async fn redirects_end_at_the_policy() {
    for target in [
        "http://10.0.0.1/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ftp://h/x",
    ] {
        let address = serve(Router::new().fallback(move || async move { Redirect::to(target) })).await;
        let error = fetch(&transfer(), &format!("http://{address}/x")).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotAllowed, "{target}");
        assert!(error.to_string().starts_with(&target[..4]), "{error}");
    }
    let (nowhere, _task) = raw("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").await;
    let error = fetch(&transfer(), &format!("http://{nowhere}/x")).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Protocol);
}

#[tokio::test]
async fn loopback_is_denied_by_default_however_it_is_written() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let strict = Transfer::new(TransferConfig { allow_networks: Vec::new(), ..config() }).unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0", "127.0.0.1."] {
        for scheme in ["http", "https", "ftp", "ftps"] {
            let error = fetch(&strict, &format!("{scheme}://{host}:{port}/x.png")).await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::NotAllowed, "{scheme}://{host}: {error:?}");
            assert!(error.to_string().contains("[access] allow_networks"), "{error}");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn too_large_a_source_ends_early() {
    let endless = || async {
        // No length announced, and no end: only the limit stops it.
        let chunks = endless_body();
        Body::new(chunks)
    };
    let address = serve(
        Router::new()
            .route("/endless", get(endless))
            .route("/announced", get(|| async { vec![0; (1 << 20) + 1] })),
    )
    .await;
    for path in ["endless", "announced"] {
        let error = fetch(&transfer(), &format!("http://{address}/{path}")).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::TooLarge, "{path}");
        assert!(error.to_string().contains("[limits] max_source_mb"), "{error}");
    }
}

/// A body without length or end.
fn endless_body() -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> {
    struct Endless;
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[7; 4096])))))
        }
    }
    Endless
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left() {
    let (mid_body, task) = raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome").await;
    let error = fetch(&impatient(), &format!("http://{mid_body}/x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Timeout, true));
    assert!(error.to_string().contains("[transfer] idle_timeout_s"), "{error}");
    task.await.unwrap();
    let (mute, _task) = raw("").await;
    assert_eq!(
        fetch(&impatient(), &format!("http://{mute}/x")).await.unwrap_err().kind(),
        TransferErrorKind::Timeout
    );
}

#[tokio::test]
async fn dropping_a_fetch_closes_its_connection() {
    let (address, closed) = raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome").await;
    let mut fetched = transfer().fetch(&super::source(format!("http://{address}/x"))).await.unwrap();
    assert_eq!(fetched.chunk().await.unwrap().unwrap(), "some");
    drop(fetched);
    closed.await.unwrap();
}

#[tokio::test]
async fn a_cut_source_is_no_source() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        super::read_head(&mut peer).await;
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";
        tokio::io::AsyncWriteExt::write_all(&mut peer, cut).await.unwrap();
    });
    let mut fetched = transfer().fetch(&super::source(format!("http://{address}/x"))).await.unwrap();
    let error = loop {
        match fetched.chunk().await {
            Ok(chunk) => assert!(chunk.is_some(), "a cut source ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Connect, true));
    assert!(fetched.chunk().await.is_err(), "a failed fetch must not look ended");
}

#[tokio::test]
async fn a_client_whose_names_are_not_answered_keeps_no_other_from_its_servers() {
    let address = serve(Router::new().route("/a", get(|| async { "a" }))).await;
    let url = format!("http://localhost:{}/a", address.port());
    let connect_timeout = Duration::from_millis(300);
    let transfer = Transfer::new(TransferConfig { connect_timeout, ..config() }).unwrap();
    let _unanswered: Vec<_> = std::iter::from_fn(|| transfer.ftp.resolver.lookups.try_take("many")).collect();
    let of = |client: &str| transfer.on_behalf_of(&Flow::new(client, 1));
    for url in [url.clone(), format!("ftp://localhost:{}/a", address.port())] {
        let error = fetch(&of("many"), &url).await.unwrap_err();
        assert!(error.to_string().contains("connect_timeout_s"), "{url}: {error}");
    }
    assert_eq!(fetch(&of("few"), &url).await.unwrap(), b"a");
}

#[tokio::test]
async fn nobody_listening_and_no_such_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = fetch(&transfer(), &format!("http://{address}/x")).await.unwrap_err();
    assert_eq!(refused.kind(), TransferErrorKind::Connect);
    let unknown = fetch(&transfer(), "http://no-such-host.invalid/x").await.unwrap_err();
    assert_eq!(unknown.kind(), TransferErrorKind::Dns);
}

async fn authorization(headers: HeaderMap) -> String {
    headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let other = serve(Router::new().route("/x", get(authorization))).await;
    let away = format!("http://{other}/x");
    let routes = Router::new()
        .route("/x", get(authorization))
        .route("/same", get(|| async { Redirect::to("/x") }))
        .route("/away", get(move || async move { Redirect::to(&away) }));
    let address = serve(routes).await;
    // RFC 7617's own example.
    let expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    for (path, seen) in [("x", expected), ("same", expected), ("away", "")] {
        let url = format!("http://Aladdin:open%20sesame@{address}/{path}");
        assert_eq!(String::from_utf8(fetch(&transfer(), &url).await.unwrap()).unwrap(), seen, "{path}");
    }
}

/// What a server was sent.
type Seen = (Method, String, HeaderMap, Bytes);

/// A server for PUT: `/NNN` redirects to `/here` by that status.
async fn put_server() -> (String, mpsc::UnboundedReceiver<Seen>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let record = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let sender = sender.clone();
        async move {
            sender.send((method, uri.path().to_owned(), headers, body)).unwrap();
            match uri.path()[1..].parse().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
                Some(status) => (status, [(header::LOCATION, "/here")]).into_response(),
                None => StatusCode::CREATED.into_response(),
            }
        }
    };
    (format!("http://{}", serve(Router::new().fallback(any(record))).await), seen)
}

async fn store(url: &str, body: impl Into<Bytes>) -> Result<(), TransferError> {
    transfer().store(&Destination::parse(url).unwrap(), stored(body, None), &mark()).await
}

#[tokio::test]
async fn put_sends_type_length_and_bytes() {
    let (server, mut seen) = put_server().await;
    let body = Bytes::from(vec![9; 200_000]);
    store(&format!("{server}/a/x.png"), body.clone()).await.unwrap();
    let (method, path, headers, sent) = seen.recv().await.unwrap();
    assert_eq!((method, path.as_str(), sent), (Method::PUT, "/a/x.png", body));
    assert_eq!(headers[header::CONTENT_TYPE], "image/png");
    assert_eq!(headers[header::CONTENT_LENGTH], "200000");
}

#[tokio::test]
async fn put_is_sent_again_after_all_redirects_but_303() {
    let (server, mut seen) = put_server().await;
    for (status, then) in
        [(301, Method::PUT), (302, Method::PUT), (307, Method::PUT), (308, Method::PUT), (303, Method::GET)]
    {
        store(&format!("{server}/{status}"), "PNG").await.unwrap();
        assert_eq!(seen.recv().await.unwrap().0, Method::PUT);
        let (method, path, _, body) = seen.recv().await.unwrap();
        let expected = if then == Method::PUT { "PNG" } else { "" };
        assert_eq!((method, path.as_str(), &body[..]), (then, "/here", expected.as_bytes()), "{status}");
    }
}

#[tokio::test]
async fn a_refused_put_is_an_error() {
    let address = serve(Router::new().route("/x", put(StatusCode::FORBIDDEN))).await;
    let error = store(&format!("http://{address}/x"), "PNG").await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Status(403));
}

#[tokio::test]
async fn a_server_that_stops_reading_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Far more than the sockets' buffers hold.
    let body = Bytes::from(vec![0; 64 << 20]);
    let destination = Destination::parse(&format!("http://{address}/x")).unwrap();
    let (accepted, stored) = tokio::join!(listener.accept(), async {
        impatient().store(&destination, stored(body, None), &mark()).await
    });
    assert_eq!(stored.unwrap_err().kind(), TransferErrorKind::Timeout);
    drop(accepted);
}

#[tokio::test]
async fn whose_tag_it_is_is_asked_by_it_and_nobody_else() {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let (told, other) = (asked.clone(), asked);
    let tagged = move |headers: HeaderMap| {
        let condition = headers.get(header::IF_NONE_MATCH).map(|value| value.to_str().unwrap().to_owned());
        told.send(condition.clone()).unwrap();
        async move {
            match condition {
                Some(_) => (StatusCode::NOT_MODIFIED, [(header::CACHE_CONTROL, "max-age=9")]).into_response(),
                None => ([(header::ETAG, "\"x\"")], "bytes").into_response(),
            }
        }
    };
    let tagged = format!("http://{}/b", serve(Router::new().route("/b", get(tagged))).await);
    let target = tagged.clone();
    let leads_there = move |headers: HeaderMap| {
        other.send(headers.get(header::IF_NONE_MATCH).map(|_| "leaked".to_owned())).unwrap();
        let target = target.clone();
        async move { Redirect::temporary(&target) }
    };
    let first = serve(Router::new().route("/a", get(leads_there))).await;
    let (transfer, url) = (transfer(), super::source(format!("http://{first}/a")));
    let version = *transfer.fetch(&url).await.unwrap().version;
    assert_eq!(version.tag.as_deref(), Some("\"x\""));
    match transfer.fetch_unless(&url, version.clone()).await.unwrap() {
        Asked::Same(freshness) => assert_eq!(freshness.lasts, Some(Duration::from_secs(9))),
        changed => panic!("{changed:?}"),
    }
    let mut all = Vec::new();
    while let Ok(condition) = asks.try_recv() {
        all.push(condition);
    }
    assert_eq!(all, [None, None, None, Some("\"x\"".to_owned())]);
    // It leads elsewhere by now, where another has a tag of that name.
    let elsewhere =
        serve(Router::new().route("/a", get(|| async { ([(header::ETAG, "\"x\"")], "others") }))).await;
    let known = version.clone();
    match transfer.fetch_unless(&super::source(format!("http://{elsewhere}/a")), version).await.unwrap() {
        Asked::Changed(fetch) => assert_eq!(super::read(*fetch).await.unwrap(), b"others"),
        same @ Asked::Same(_) => panic!("{same:?}"),
    }
    // Who was not asked has not answered.
    let (address, _served) = raw("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let error = fetch(&transfer, &format!("http://{address}/x")).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Status(304));
    // Nor who is led to from where one could have been asked.
    let (address, _served) = raw("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let leads = Router::new()
        .route("/a", get(move || async move { Redirect::temporary(&format!("http://{address}/x")) }));
    let leads = super::source(format!("http://{}/a", serve(leads).await));
    let error = transfer.fetch_unless(&leads, known).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Status(304));
}
