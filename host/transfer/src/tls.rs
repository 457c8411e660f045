//! The one TLS configuration, shared by https and ftps: ring, and the authorities of the system, of Mozilla's list
//! and of the configuration.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::{TransferError, TransferErrorKind};

/// Builds the configuration. Reads the system's certificates, which blocks for some milliseconds.
///
/// # Errors
///
/// `Config`, if an extra authority is not PEM or not a certificate.
pub(super) fn client_config(extra_ca_pem: &[Vec<u8>]) -> Result<ClientConfig, TransferError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A system without certificates, or with a broken one among them, still has Mozilla's.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    extra_ca_pem.iter().try_for_each(|pem| add_pem(&mut roots, pem))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad_ca("no TLS version is usable").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), TransferError> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad_ca("an extra CA is not PEM").with_source(error))?;
        roots
            .add(certificate)
            .map_err(|error| bad_ca("an extra CA is not a certificate").with_source(error))?;
        found = true;
    }
    if found { Ok(()) } else { Err(bad_ca("an extra CA file holds no certificate")) }
}

fn bad_ca(message: &str) -> TransferError {
    TransferError::new(TransferErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_authorities_must_be_certificates() {
        assert!(client_config(&[]).is_ok());
        for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = client_config(&[pem.as_bytes().to_vec()]).unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::Config, "{pem:?}");
        }
    }
}
