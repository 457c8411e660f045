//! TLS by a certificate authority of our own: https here, and the certificates for ftps.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{config, fetch, transfer};
use crate::transfer::{Transfer, TransferConfig, TransferErrorKind};

/// A certificate for localhost and 127.0.0.1, and who signed it.
pub(super) struct Certified {
    pub(super) ca_pem: String,
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
}

pub(super) fn certify() -> Certified {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap();
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    Certified { ca_pem, certificate, key }
}

pub(super) fn trusting(certified: &Certified) -> Transfer {
    let extra_ca_pem = vec![certified.ca_pem.clone().into_bytes()];
    Transfer::new(TransferConfig { extra_ca_pem, ..config() }).unwrap()
}

/// Answers every request over TLS with `body`.
async fn https(certified: &Certified) -> SocketAddr {
    let key = PrivateKeyDer::Pkcs8(certified.key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            // A client that does not trust us ends the handshake; the next one is welcome.
            let Ok(mut peer) = acceptor.accept(peer).await else { continue };
            let mut request = [0; 4096];
            let _request = peer.read(&mut request).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
            peer.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn https_trusts_the_extra_authority_and_no_stranger() {
    let certified = certify();
    let port = https(&certified).await.port();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/x");
        let error = fetch(&transfer(), &url).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::Tls, false), "{error:?}");
        assert_eq!(fetch(&trusting(&certified), &url).await.unwrap(), b"body");
    }
    let wrong_name = format!("https://127.0.0.2:{port}/x");
    assert!(fetch(&trusting(&certified), &wrong_name).await.is_err());
}
