//! Form uploads against pages with and without forms.

use axum::Router;
use axum::extract::Multipart;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use tokio::sync::mpsc;

use super::{mark, serve, stored, transfer};
use crate::{Destination, TransferError, TransferErrorKind};

/// One upload as a server saw it: its headers, and each field as `name=value` or `name=@file;type;bytes`.
type Upload = (HeaderMap, Vec<String>);

fn recorder() -> (impl Fn(HeaderMap, Multipart) -> Recording + Clone, mpsc::UnboundedReceiver<Upload>) {
    let (sender, uploads) = mpsc::unbounded_channel();
    let record = move |headers: HeaderMap, mut form: Multipart| -> Recording {
        let sender = sender.clone();
        Box::pin(async move {
            let mut fields = Vec::new();
            while let Some(field) = form.next_field().await.unwrap() {
                let name = field.name().unwrap().to_owned();
                let file =
                    field.file_name().map(|file| format!("@{file};{};", field.content_type().unwrap()));
                fields.push(format!("{name}={}{}", file.unwrap_or_default(), field.text().await.unwrap()));
            }
            sender.send((headers, fields)).unwrap();
            "thank you"
        })
    };
    (record, uploads)
}

type Recording = std::pin::Pin<Box<dyn Future<Output = &'static str> + Send>>;

async fn upload(destination: &str) -> Result<(), TransferError> {
    let destination = Destination::parse(destination).unwrap();
    transfer().store(&destination, stored("PNG", Some("pic")), &mark()).await
}

const FILE: &str = "pic=@x.png;image/png;PNG";

#[tokio::test]
async fn the_form_is_submitted_with_its_fields_and_cookies() {
    let page = r#"<form action="/no"><input type=file name=other></form>
        <form action="../take?k=v" method=get enctype=text/plain><input type=hidden name=token value=t0>
        <input type=FILE name=pic><input name=note value="a b"><input type=submit name=go value=Send></form>"#;
    let (record, mut uploads) = recorder();
    let start = || async { ([(header::SET_COOKIE, "first=1; Path=/")], Redirect::to("/dir/page")) };
    let show = move || async move { ([(header::SET_COOKIE, "second=2; Path=/take")], Html(page)) };
    let routes =
        Router::new().route("/start", get(start)).route("/dir/page", get(show)).route("/take", post(record));
    let address = serve(routes).await;
    upload(&format!("http://u:p@{address}/start:x.png")).await.unwrap();
    let (headers, fields) = uploads.recv().await.unwrap();
    assert_eq!(fields, ["token=t0", FILE, "note=a b", "go=Send"]);
    let cookies = headers[header::COOKIE].to_str().unwrap();
    assert!(cookies.contains("first=1") && cookies.contains("second=2"), "{cookies}");
    assert_eq!(headers[header::REFERER], format!("http://{address}/dir/page"));
    assert!(headers.contains_key(header::AUTHORIZATION));
    assert!(headers.contains_key(header::CONTENT_LENGTH));
}

#[tokio::test]
async fn a_form_may_post_to_another_origin_which_learns_no_secrets() {
    let (record, mut uploads) = recorder();
    let other = serve(Router::new().route("/take", post(record))).await;
    let page =
        format!("<form action='http://localhost:{}/take'><input type=file name=pic></form>", other.port());
    let show = move || async move { ([(header::SET_COOKIE, "c=1; Path=/")], Html(page)) };
    let address = serve(Router::new().route("/", get(show))).await;
    upload(&format!("http://u:p@{address}/:x.png")).await.unwrap();
    let (headers, fields) = uploads.recv().await.unwrap();
    assert_eq!(fields, [FILE]);
    for private in [header::COOKIE, header::AUTHORIZATION, header::REFERER] {
        assert!(!headers.contains_key(&private), "{private}");
    }
}

#[tokio::test]
async fn without_a_form_the_page_itself_is_posted_to() {
    let form_in_text = "<form action=/no><input type=file name=pic></form>";
    let pages = [
        StatusCode::NOT_FOUND.into_response(),
        StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Html("<form action=/no><input type=file name=other></form>").into_response(),
        Html("").into_response(),
        ([(header::CONTENT_TYPE, "text/plain")], form_in_text).into_response(),
        Html(format!("{form_in_text}{}", " ".repeat(2 << 20))).into_response(),
    ];
    for page in pages {
        let (record, mut uploads) = recorder();
        let page = std::sync::Arc::new(tokio::sync::Mutex::new(Some(page)));
        let show = move || async move { page.lock().await.take().unwrap() };
        let address = serve(Router::new().route("/up", get(show).post(record))).await;
        upload(&format!("http://{address}/up:x.png")).await.unwrap();
        assert_eq!(uploads.recv().await.unwrap().1, [FILE]);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_on_get_is_posted_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (record, mut uploads) = recorder();
    let inner = serve(Router::new().route("/", post(record))).await;
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(super::read_head(&mut first).await.starts_with("GET "));
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        let mut target = tokio::net::TcpStream::connect(inner).await.unwrap();
        tokio::io::copy_bidirectional(&mut second, &mut target).await
    });
    upload(&format!("http://{address}/:x.png")).await.unwrap();
    assert_eq!(uploads.recv().await.unwrap().1, [FILE]);
}

#[tokio::test]
async fn a_form_cannot_lead_past_the_policy() {
    for action in ["http://10.0.0.1/take", "http://[::1]/", "javascript:alert(1)", "ftp://h/x"] {
        let page = format!("<form action='{action}'><input type=file name=pic></form>");
        let address = serve(Router::new().route("/", get(move || async move { Html(page) }))).await;
        let error = upload(&format!("http://{address}/:x.png")).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotAllowed, "{action}");
    }
}

#[tokio::test]
async fn redirects_after_the_post_are_followed() {
    let (record, mut uploads) = recorder();
    let again = || async { Redirect::temporary("/take") };
    let done = || async { Redirect::to("/done") };
    let routes = Router::new()
        .route("/307", post(again))
        .route("/303", post(done))
        .route("/302", post(|| async { (StatusCode::FOUND, [(header::LOCATION, "/done")]) }))
        .route("/take", post(record))
        .route("/done", get(|| async { "thank you" }));
    let address = serve(routes).await;
    upload(&format!("http://{address}/307:x.png")).await.unwrap();
    assert_eq!(uploads.recv().await.unwrap().1, [FILE]);
    upload(&format!("http://{address}/303:x.png")).await.unwrap();
    upload(&format!("http://{address}/302:x.png")).await.unwrap();
}

#[tokio::test]
async fn a_refused_post_is_an_error_and_a_field_is_needed() {
    let address = serve(Router::new().route("/", post(StatusCode::INTERNAL_SERVER_ERROR))).await;
    let error = upload(&format!("http://{address}/:x.png")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Status(500), true));
    let destination = Destination::parse(&format!("http://{address}/:x.png")).unwrap();
    let error = transfer().store(&destination, stored("PNG", None), &mark()).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::InvalidUrl);
}

#[tokio::test]
async fn a_form_whose_action_is_no_url_is_sent_nowhere() {
    let (record, mut uploads) = recorder();
    let page = "<form action='http://['><input type=file name=pic></form>";
    let address = serve(Router::new().route("/", get(move || async move { Html(page) }).post(record))).await;
    let error = upload(&format!("http://{address}/:x.png")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Protocol, false));
    assert!(error.to_string().contains("the upload form's action is no URL: \"http://[\""), "{error}");
    assert!(uploads.try_recv().is_err(), "it was sent to the page itself");
}
