//! Rules that open one port of an address or of a host's name, as transfers meet them.
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::response::Redirect;
use axum::routing::get;
use imgserve_peers::Ftp;
use ipnet::IpNet;
use tokio::net::TcpListener;

use super::{config, fetch, mark, serve, stored};
use crate::{Allowed, AllowedHost, Destination, Transfer, TransferConfig, TransferErrorKind};

fn loopback(port: u16) -> Allowed {
    Allowed { port: Some(port), .."127.0.0.1/32".parse::<IpNet>().unwrap().into() }
}

fn named(port: u16) -> Allowed {
    Allowed { host: AllowedHost::Name("localhost".to_owned()), port: Some(port) }
}

fn allowing(rules: &[Allowed]) -> Transfer {
    Transfer::new(TransferConfig { allow_networks: rules.to_vec(), ..config() }).unwrap()
}

/// A server that must not be connected to, and how often it was.
async fn closed() -> (u16, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, connections)
}

#[tokio::test]
async fn other_ports_of_a_listed_address_or_name_stay_closed() {
    let to = |Path((host, port)): Path<(String, u16)>| async move {
        Redirect::temporary(&format!("http://{host}:{port}/x.png"))
    };
    let router = Router::new().route("/x.png", get(|| async { "there" })).route("/to/{host}/{port}", get(to));
    let open = serve(router).await.port();
    let (closed, connections) = closed().await;
    for (rule, host, other) in
        [(loopback(open), "127.0.0.1", "localhost"), (named(open), "localhost", "127.0.0.1")]
    {
        let transfer = allowing(std::slice::from_ref(&rule));
        assert_eq!(fetch(&transfer, &format!("http://{host}:{open}/x.png")).await.unwrap(), b"there");
        let mut refused = vec![
            format!("http://{host}:{closed}/x.png"),
            format!("https://{host}:{closed}/x.png"),
            format!("ftp://{host}:{closed}/x.png"),
            format!("http://{other}:{closed}/x.png"),
            format!("http://{host}:{open}/to/{host}/{closed}"),
            format!("http://{host}:{open}/to/{other}/{closed}"),
        ];
        if matches!(rule.host, AllowedHost::Name(_)) {
            // A name opens itself alone, not what it resolves to.
            refused.push(format!("http://127.0.0.1:{open}/x.png"));
        }
        for url in refused {
            let error = fetch(&transfer, &url).await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::NotAllowed, "{url}: {error:?}");
            assert!(error.to_string().contains("[access] allow_networks"), "{error}");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "a port that is closed was connected to");
}

#[tokio::test]
async fn ftp_data_goes_by_the_rule_of_its_control_connection() {
    let server = Ftp::start(None).await;
    for rule in [loopback(server.port), named(server.port)] {
        let host = if matches!(rule.host, AllowedHost::Name(_)) { "localhost" } else { "127.0.0.1" };
        let (transfer, url) = (allowing(&[rule]), format!("ftp://{host}:{}/x.png", server.port));
        let body = bytes::Bytes::from_static(b"there");
        let destination = Destination::parse(&url).unwrap();
        transfer.store(&destination, stored(body, None), &mark()).await.unwrap();
        assert_eq!(fetch(&transfer, &url).await.unwrap(), b"there");
    }
}
