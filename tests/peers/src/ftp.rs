//! A real FTP server (libunftp) on a temporary directory.
#![allow(clippy::disallowed_methods, reason = "two small files before the server starts")]

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use libunftp::ServerBuilder;
use libunftp::options::FtpsRequired;
use tempfile::TempDir;
use tokio::net::TcpListener;
use unftp_core::auth::{AuthenticationError, Authenticator, Credentials, Principal};
use unftp_sbe_fs::Filesystem;

use crate::Authority;

/// The one user beside `anonymous`.
pub const USER: &str = "ann";
/// That user's password; it needs percent-encoding in a URL (`p%3Aw`).
pub const PASSWORD: &str = "p:w";

/// Lets in [`USER`] with [`PASSWORD`], and the anonymous.
#[derive(Debug)]
struct Door;

impl Authenticator for Door {
    fn authenticate<'life0, 'life1, 'life2, 'result>(
        &'life0 self,
        user: &'life1 str,
        credentials: &'life2 Credentials,
    ) -> Pin<Box<dyn Future<Output = Result<Principal, AuthenticationError>> + Send + 'result>>
    where
        'life0: 'result,
        'life1: 'result,
        'life2: 'result,
        Self: 'result,
    {
        let known = user == USER && credentials.password.as_deref() == Some(PASSWORD);
        let welcome = user == "anonymous" || known;
        let username = user.to_owned();
        Box::pin(
            async move { welcome.then_some(Principal { username }).ok_or(AuthenticationError::BadPassword) },
        )
    }
}

/// A running FTP server; with an [`Authority`] it insists on TLS for commands and data.
#[derive(Debug)]
pub struct Ftp {
    directory: TempDir,
    /// The TCP port on 127.0.0.1.
    pub port: u16,
}

impl Ftp {
    /// Starts one.
    ///
    /// # Panics
    /// When no directory or port can be had.
    pub async fn start(tls: Option<&Authority>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = directory.path().join("files");
        std::fs::create_dir(&files).expect("a directory");
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
        if let Some(authority) = tls {
            std::fs::write(&certificate, &authority.certificate_pem).expect("a file");
            std::fs::write(&key, &authority.key_pem).expect("a file");
        }
        let secure = tls.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let root = files.clone();
                let storage = Box::new(move || Filesystem::new(root.clone()).expect("a directory"));
                let mut builder = ServerBuilder::with_authenticator(storage, Arc::new(Door));
                if secure {
                    let always = FtpsRequired::All;
                    builder = builder.ftps(&certificate, &key).ftps_required(always, always);
                }
                tokio::spawn(builder.build().expect("a valid server").service(peer));
            }
        });
        Self { directory, port }
    }

    /// Where a file of this name lies on disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    /// The names of all files, sorted.
    ///
    /// # Panics
    /// When the directory cannot be read.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("")).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}
