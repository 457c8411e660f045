//! TLS by a certificate authority of our own: https here, and the certificates for ftps.

use imgserve_peers::{Authority, Web};

use super::{config, fetch, transfer};
use crate::{Transfer, TransferConfig, TransferErrorKind};

pub(super) fn trusting(authority: &Authority) -> Transfer {
    let extra_ca_pem = vec![authority.ca_pem.clone().into_bytes()];
    Transfer::new(TransferConfig { extra_ca_pem, ..config() }).unwrap()
}

#[tokio::test]
async fn https_trusts_the_extra_authority_and_no_stranger() {
    let certified = Authority::new();
    let web = Web::start(Some(&certified)).await;
    web.put("x", "body");
    let port = web.address.port();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/files/x");
        let error = fetch(&transfer(), &url).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Tls, false), "{error:?}");
        assert_eq!(fetch(&trusting(&certified), &url).await.unwrap(), b"body");
    }
    let wrong_name = format!("https://127.0.0.2:{port}/x");
    assert!(fetch(&trusting(&certified), &wrong_name).await.is_err());
}
