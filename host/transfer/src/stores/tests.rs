//! Which store a URL leads to, and what is said of one that leads to none.

#![allow(clippy::disallowed_methods, reason = "a test waits for nothing else meanwhile")]

use super::*;
use crate::tests::{config, fetch, mark, serve, stored};
use crate::{Destination, SourceUrl, Transfer};

pub(super) fn section(name: &str, kind: StoreKind, bucket: &str, prefix: &str) -> StoreConfig {
    StoreConfig {
        name: name.to_owned(),
        kind,
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: Some("http://127.0.0.1:9".parse().unwrap()),
        region: None,
        path_style: true,
        anonymous: true,
        credentials: Vec::new(),
    }
}

fn transfer() -> Transfer {
    let stores = vec![
        section("photos", StoreKind::S3, "shop", "photos/"),
        section("secret", StoreKind::S3, "shop", "photos/secret/"),
        section("all", StoreKind::Gcs, "shop", ""),
        section("archive", StoreKind::File, "/srv/archive", "2026/"),
    ];
    Transfer::new(crate::TransferConfig { stores, ..config() }).unwrap()
}

fn named(url: &str) -> Result<Vec<String>, String> {
    let transfer = transfer();
    let named = transfer.stores_of(url).map_err(|error| error.to_string())?;
    Ok(named.into_iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn a_url_leads_to_the_store_that_says_most_of_its_key() {
    for (url, stores) in [
        ("s3://shop/photos/a.png", &["photos"][..]),
        ("s3://shop/photos/secret/a.png", &["secret"]),
        ("gs://shop/a.png", &["all"]),
        ("file://archive/2026/a.png", &["archive"]),
        ("http://h/a.png", &[]),
        ("file:///srv/a.png", &[]),
        // A name may lead further than its template says.
        ("s3://shop/photos/{$basename}.png", &["photos", "secret"]),
        ("s3://shop/{$basename}.png", &["photos", "secret"]),
        ("s3://shop/photos/secret/{$basename}.png", &["photos", "secret"]),
    ] {
        assert_eq!(named(url).unwrap(), stores, "{url}");
    }
}

#[tokio::test]
async fn what_is_in_no_store_is_refused_with_the_section_to_write() {
    for (url, wanted) in [
        (
            "s3://other/a.png",
            "no store has the bucket `other`: write a section [stores.NAME] with kind = \"s3\" and bucket = \"other\"",
        ),
        ("az://shop/a.png", "with kind = \"azure\" and bucket = \"shop\""),
        (
            "file://attic/a.png",
            "no store is called `attic`, and a file that is in none has no host but localhost: write a section [stores.attic] with",
        ),
        (
            "file://archive/a.png",
            "of bucket `archive` only keys are reached that begin with \"2026/\" ([stores.archive])",
        ),
        ("s3://shop/other/a.png", "only keys are reached that begin with \"photos/\" ([stores.photos]) or"),
        ("s3://shop/x-{$basename}.png", "only keys are reached that begin with"),
    ] {
        let error = named(url).unwrap_err();
        let shown = url.replace('{', "%7B").replace('}', "%7D");
        assert!(error.starts_with(&shown) && error.contains(wanted), "{error}");
    }
    let (transfer, url) = (transfer(), SourceUrl::parse("s3://other/a.png").unwrap());
    let error = transfer.fetch(&url).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotAllowed);
    assert!(error.to_string().contains("[stores.NAME]"), "{error}");
}

#[tokio::test]
async fn files_of_a_store_lie_beneath_its_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in/a.txt");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "hello").unwrap();
    std::fs::write(directory.path().join("b.txt"), "no").unwrap();
    let stores = vec![section("box", StoreKind::File, directory.path().to_str().unwrap(), "in/")];
    let transfer = Transfer::new(crate::TransferConfig { stores, ..config() }).unwrap();
    let mut fetch = transfer.fetch(&SourceUrl::parse("file://box/in/a.txt").unwrap()).await.unwrap();
    assert_eq!(fetch.chunk().await.unwrap().unwrap(), "hello");
    assert!(transfer.cached_file(&SourceUrl::parse("file://box/in/a.txt").unwrap()).is_some());
    for outside in ["file://box/b.txt", "file://box/inside/a.txt"] {
        let error = transfer.fetch(&SourceUrl::parse(outside).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotAllowed, "{outside}: {error}");
    }
    let made = Destination::parse("file://box/in/new/c.txt").unwrap();
    transfer.store(&made, stored("made", None), &mark()).await.unwrap();
    assert_eq!(std::fs::read(directory.path().join("in/new/c.txt")).unwrap(), b"made");
}

#[tokio::test]
async fn a_bucket_has_its_places_and_its_servers_machine() {
    let transfer = transfer();
    let server = SourceUrl::parse("s3://shop/photos/a.png").unwrap().server().unwrap();
    assert_eq!(server.to_string(), "s3://shop");
    let machines = transfer.machines(&server).await;
    assert_eq!(machines.iter().map(|machine| &**machine).collect::<Vec<_>>(), ["127.0.0.1"]);
    assert!(SourceUrl::parse("file://archive/2026/a.png").unwrap().server().is_none());
}

#[test]
fn a_section_of_which_no_store_can_be_made_is_refused_by_name() {
    for (section, wanted) in [
        (
            StoreConfig { endpoint: None, ..section("blobs", StoreKind::Azure, "b", "") },
            "[stores.blobs]: Azure wants an account",
        ),
        (
            StoreConfig { path_style: false, ..section("photos", StoreKind::S3, "b", "") },
            "[stores.photos]: its endpoint has no name to put the bucket before: write path_style = true",
        ),
        (
            StoreConfig {
                anonymous: false,
                credentials: vec![("aws_access_key_id".to_owned(), "x".to_owned())],
                ..section("photos", StoreKind::S3, "b", "")
            },
            "[stores.photos]: it cannot be opened",
        ),
        (
            StoreConfig {
                anonymous: false,
                credentials: vec![("google_application_credentials".to_owned(), "/nowhere".to_owned())],
                ..section("all", StoreKind::Gcs, "b", "")
            },
            "[stores.all]: it cannot be opened",
        ),
    ] {
        let error = Transfer::new(crate::TransferConfig { stores: vec![section], ..config() });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Config);
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
    let named = StoreConfig {
        endpoint: Some("http://minio.example:9000".parse().unwrap()),
        path_style: false,
        ..section("photos", StoreKind::S3, "shop", "")
    };
    assert_eq!(open::origin(&named).unwrap().as_str(), "http://shop.minio.example:9000/");
    let own = StoreConfig { endpoint: None, region: Some("eu-west-1".to_owned()), ..named };
    assert_eq!(open::origin(&own).unwrap().as_str(), "https://shop.s3.eu-west-1.amazonaws.com/");
}

/// A bucket at one server, whose credentials `giver` gives: the answer to a fetch, and what it was authorized by. The settings are
/// names, and what comes of the giver's origin and of a file that holds `token`.
async fn by_role(giver: axum::Router, settings: &[(&str, &str)]) -> (Result<Vec<u8>, TransferError>, String) {
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::get;

    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let saw = Arc::clone(&seen);
    let object = move |headers: HeaderMap| async move {
        *saw.lock().unwrap() = headers["authorization"].to_str().unwrap().to_owned();
        "hello"
    };
    let bucket = serve(Router::new().route("/shop/a.txt", get(object))).await;
    let giver = format!("http://{}", serve(giver).await);
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "token").unwrap();
    let file = token.path().display().to_string();
    let value = |value: &str| value.replace("{giver}", &giver).replace("{file}", &file);
    let store = StoreConfig {
        endpoint: Some(format!("http://{bucket}").parse().unwrap()),
        anonymous: false,
        credentials: settings.iter().map(|(name, given)| ((*name).to_owned(), value(given))).collect(),
        ..section("photos", StoreKind::S3, "shop", "")
    };
    // Neither is reached but by the operator's word.
    let closed = crate::TransferConfig { allow_networks: Vec::new(), stores: vec![store], ..config() };
    let fetched = fetch(&Transfer::new(closed).unwrap(), "s3://shop/a.txt").await;
    let seen = seen.lock().unwrap().clone();
    (fetched, seen)
}

/// Credentials as a container or an instance is given them.
const GIVEN: &str =
    r#"{"AccessKeyId":"AKID","SecretAccessKey":"x","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn credentials_of_a_containers_role_are_fetched_and_used() {
    use axum::http::StatusCode;
    use axum::routing::get;

    let answer = async |status: u16, body: &'static str| {
        let answer = move || async move { (StatusCode::from_u16(status).unwrap(), body) };
        let settings = [
            ("aws_container_credentials_full_uri", "{giver}/role"),
            ("aws_container_authorization_token_file", "{file}"),
        ];
        by_role(axum::Router::new().route("/role", get(answer)), &settings).await
    };
    let (fetched, authorized) = answer(200, GIVEN).await;
    assert_eq!(fetched.unwrap(), b"hello");
    assert!(authorized.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorized}");
    for (status, transient) in [(403, false), (503, true)] {
        let (fetched, authorized) = answer(status, "not now").await;
        let error = fetched.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Store, transient), "{error}");
        assert!(
            error.to_string().contains("no credentials of [stores.photos] are had from 127.0.0.1"),
            "{error}"
        );
        assert!(authorized.is_empty());
    }
}

#[tokio::test]
async fn credentials_of_an_instances_role_are_fetched_and_used() {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, put};

    // Whoever has no token of the session is told nothing (IMDSv2).
    let told = |headers: &HeaderMap, text: &'static str| {
        let has = headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == "session");
        if has { (StatusCode::OK, text) } else { (StatusCode::UNAUTHORIZED, "") }
    };
    let roles = "/latest/meta-data/iam/security-credentials/";
    let giver = Router::new()
        .route("/latest/api/token", put(|| async { "session" }))
        .route(roles, get(move |headers: HeaderMap| async move { told(&headers, "painter") }))
        .route(
            &format!("{roles}painter"),
            get(move |headers: HeaderMap| async move { told(&headers, GIVEN) }),
        );
    let (fetched, authorized) = by_role(giver, &[("aws_metadata_endpoint", "{giver}")]).await;
    assert_eq!(fetched.unwrap(), b"hello");
    assert!(authorized.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorized}");
}

#[tokio::test]
async fn a_web_identitys_token_is_sent_by_https_alone() {
    let asked = Arc::new(std::sync::Mutex::new(0));
    let counted = Arc::clone(&asked);
    let giver = axum::Router::new().fallback(move || async move { *counted.lock().unwrap() += 1 });
    let settings = [
        ("aws_web_identity_token_file", "{file}"),
        ("aws_role_arn", "arn:aws:iam::123456789012:role/painter"),
        ("aws_endpoint_url_sts", "{giver}"),
    ];
    let (fetched, authorized) = by_role(giver, &settings).await;
    let error = imgserve_base::fault::chain(&fetched.unwrap_err());
    assert!(error.contains("no credentials of [stores.photos] are had"), "{error}");
    assert!(error.contains("credentials are asked for by https alone"), "{error}");
    assert!(authorized.is_empty() && *asked.lock().unwrap() == 0);
}
