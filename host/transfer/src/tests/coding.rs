//! Sources that servers send compressed, as object stores do with what was stored so.

use std::io::Write;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{fetch, serve, transfer};
use crate::TransferErrorKind;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Sends `body` with this `Content-Encoding`.
async fn encoded(coding: &'static str, body: Vec<u8>) -> String {
    let send = move || async move { ([(header::CONTENT_ENCODING, coding)], body.clone()) };
    format!("http://{}/x", serve(Router::new().route("/x", get(send))).await)
}

#[tokio::test]
async fn a_compressed_source_is_what_it_was_before() {
    let plain = vec![7; 100_000];
    let url = encoded("gzip", gzip(&plain)).await;
    assert_eq!(fetch(&transfer(), &url).await.unwrap(), plain);
    let fetched = transfer().fetch(&super::source(&url)).await.unwrap();
    assert_eq!(fetched.size_hint, None, "the length that is told is another");
    assert_eq!(fetch(&transfer(), &encoded("gzip", plain.clone()).await).await.unwrap(), plain, "it is not");
}

#[tokio::test]
async fn a_compressed_source_has_the_limit_of_any_other() {
    let url = encoded("gzip", gzip(&vec![7; (1 << 20) + 1])).await;
    let error = fetch(&transfer(), &url).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::TooLarge);
    assert!(error.to_string().contains("[limits] max_source_mb"), "{error}");
    let url = encoded("gzip", gzip(&vec![7; 1 << 20])).await;
    assert_eq!(fetch(&transfer(), &url).await.unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn what_cannot_be_decompressed_says_so() {
    let whole = gzip(b"some source");
    for (coding, body, reason) in [
        ("gzip", whole[..whole.len() - 1].to_vec(), "cut off or damaged"),
        ("br", whole.clone(), "encoded as br, which is not read"),
        ("gzip, gzip", whole, "more than once"),
    ] {
        let error = fetch(&transfer(), &encoded(coding, body).await).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Protocol, "{coding}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn every_server_on_the_way_is_told_what_can_be_read() {
    let told = |headers: HeaderMap| async move {
        let told = headers.get(header::ACCEPT_ENCODING).map(|value| value.to_str().unwrap().to_owned());
        told.unwrap_or_default().into_response()
    };
    let other = serve(Router::new().route("/x", get(told))).await;
    let away = move || async move { Redirect::to(&format!("http://{other}/x")) };
    let address = serve(Router::new().route("/x", get(told)).route("/away", get(away))).await;
    for path in ["x", "away"] {
        let seen = fetch(&transfer(), &format!("http://{address}/{path}")).await.unwrap();
        assert_eq!(seen, b"gzip, deflate", "{path}");
    }
}
