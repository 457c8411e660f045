//! FTP and FTPS against libunftp, a real server.
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use imgserve_peers::{Authority, Ftp};

use super::tls::trusting;
use super::{fetch, mark, stored, transfer};
use crate::{Destination, Transfer, TransferError, TransferErrorKind};

async fn store(transfer: &Transfer, url: &str, body: &[u8]) -> Result<(), TransferError> {
    let body = bytes::Bytes::copy_from_slice(body);
    transfer.store(&Destination::parse(url).unwrap(), stored(body, None), &mark()).await
}

async fn store_over_and_fetch(transfer: &Transfer, server: &Ftp, base: &str) {
    let result: Vec<u8> = (0..300_000).map(|i| i as u8).collect();
    let url = format!("{base}/x%20y.png");
    store(transfer, &url, b"placeholder\r\n").await.unwrap();
    assert_eq!(std::fs::read(server.path("x y.png")).unwrap(), b"placeholder\r\n");
    store(transfer, &url, &result).await.unwrap();
    assert_eq!(server.names(), ["x y.png"], "temporary files must not stay");
    let fetched = transfer.fetch(&super::source(&url)).await.unwrap();
    assert_eq!(fetched.size_hint, Some(300_000));
    assert!(super::read(fetched).await.unwrap() == result);
}

#[tokio::test]
async fn ftp_stores_over_and_fetches() {
    let server = Ftp::start(None).await;
    store_over_and_fetch(&transfer(), &server, &format!("ftp://localhost:{}", server.port)).await;
}

#[tokio::test]
async fn ftps_stores_over_and_fetches() {
    let certified = Authority::new();
    let server = Ftp::start(Some(&certified)).await;
    for host in ["localhost", "127.0.0.1"] {
        let base = format!("ftps://ann:p%3Aw@{host}:{}", server.port);
        store_over_and_fetch(&trusting(&certified), &server, &base).await;
    }
}

#[tokio::test]
async fn ftps_trusts_no_stranger_and_never_falls_back_to_plain() {
    let certified = Authority::new();
    let secure = Ftp::start(Some(&certified)).await;
    let url = format!("ftps://localhost:{}/x", secure.port);
    assert_eq!(fetch(&transfer(), &url).await.unwrap_err().kind(), TransferErrorKind::Tls);
    let plain = Ftp::start(None).await;
    std::fs::write(plain.path("x"), "x").unwrap();
    let url = format!("ftps://localhost:{}/x", plain.port);
    assert_eq!(fetch(&trusting(&certified), &url).await.unwrap_err().kind(), TransferErrorKind::Protocol);
}

#[tokio::test]
async fn paths_and_logins_are_those_of_the_url() {
    let server = Ftp::start(None).await;
    std::fs::create_dir(server.path("d")).unwrap();
    let base = format!("127.0.0.1:{}", server.port);
    store(&transfer(), &format!("ftp://ann:p%3Aw@{base}/d/x.png"), b"1").await.unwrap();
    assert_eq!(fetch(&transfer(), &format!("ftp://{base}/%2Fd/x.png")).await.unwrap(), b"1");
    let login = fetch(&transfer(), &format!("ftp://ann:secret@{base}/d/x.png")).await.unwrap_err();
    assert_eq!((login.kind(), login.is_transient()), (TransferErrorKind::Login, false));
    assert!(!format!("{login} {login:?}").contains("secret"));
    let missing = fetch(&transfer(), &format!("ftp://{base}/missing.png")).await.unwrap_err();
    assert_eq!(missing.kind(), TransferErrorKind::NotFound);
    let nowhere = store(&transfer(), &format!("ftp://{base}/no/such/x.png"), b"1").await.unwrap_err();
    assert_eq!(nowhere.kind(), TransferErrorKind::Refused, "{nowhere:?}");
}

#[tokio::test]
async fn an_ftp_source_over_the_limit_is_refused() {
    let server = Ftp::start(None).await;
    std::fs::write(server.path("x"), vec![0; (1 << 20) + 1]).unwrap();
    let error = fetch(&transfer(), &format!("ftp://127.0.0.1:{}/x", server.port)).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::TooLarge);
}
