//! The servers that the demo's jobs fetch from and store to, all its own: web, FTP, and a directory for `file` URLs.
#![allow(clippy::disallowed_methods, reason = "small files of the demo's own, and nobody else to disturb")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::net::TcpListener;
use url::Url;

use super::folder::Folder;
use super::samples::Samples;
use super::shelf::Shelf;
use super::{ftp, web};
use crate::cli::failure::Failure;

/// Where a source is fetched from or a result stored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// HTTP GET and PUT.
    Web,
    /// The upload form.
    Form,
    /// FTP.
    Ftp,
    /// A local file.
    File,
    /// The store that [`STORE`] configures.
    Store,
}

/// A store: a directory here, as it may be a bucket elsewhere.
pub(super) const STORE: &str = "album";

impl Place {
    /// The name as a place to fetch from.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Web | Self::Form => "http",
            Self::Ftp => "ftp",
            Self::File => "file",
            Self::Store => "store",
        }
    }

    /// Whether it is in the directory of files.
    pub(super) fn is_folder(self) -> bool {
        matches!(self, Self::File | Self::Store)
    }

    /// The name as a place to store to.
    pub(super) fn destination(self) -> &'static str {
        match self {
            Self::Web => "http put",
            Self::Form => "http form",
            Self::Ftp | Self::File | Self::Store => self.source(),
        }
    }
}

/// The running servers.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) web_address: SocketAddr,
    pub(super) ftp_address: SocketAddr,
    pub(super) folder: Folder,
    web: Shelf,
    ftp: Shelf,
    folder_url: String,
}

impl Peers {
    /// Starts all three, each offering all samples; `files` is an empty directory.
    pub(super) async fn start(files: PathBuf, samples: &Samples) -> Result<Self, Failure> {
        let (web, ftp) = (Shelf::default(), Shelf::default());
        for sample in samples.all() {
            web.put(sample.name, sample.bytes.clone());
            ftp.put(sample.name, sample.bytes.clone());
            let path = files.join(sample.name);
            std::fs::write(&path, &sample.bytes)
                .map_err(Failure::io(format!("cannot write {}", path.display())))?;
        }
        let folder_url = Url::from_directory_path(&files)
            .map_err(|()| Failure::Other(format!("{} is not an absolute path", files.display())))?;
        let (web_listener, web_address) = listen().await?;
        let (ftp_listener, ftp_address) = listen().await?;
        web::serve(web_listener, web.clone());
        ftp::serve(ftp_listener, ftp.clone());
        let folder = Folder::watch(files);
        Ok(Self { web_address, ftp_address, folder, web, ftp, folder_url: folder_url.into() })
    }

    /// The URL that names `file` there, as a request says it.
    pub(super) fn url(&self, place: Place, file: &str) -> String {
        match place {
            Place::Web => format!("http://{}/{file}", self.web_address),
            Place::Form => format!("http://{}/:{file}", self.web_address),
            Place::Ftp => format!("ftp://{}@{}/{file}", ftp::LOGIN, self.ftp_address),
            Place::File => format!("{}{file}", self.folder_url),
            Place::Store => format!("file://{STORE}/{file}"),
        }
    }

    /// What is kept there.
    pub(super) fn shelf(&self, place: Place) -> &Shelf {
        match place {
            Place::Web | Place::Form => &self.web,
            Place::Ftp => &self.ftp,
            Place::File | Place::Store => self.folder.shelf(),
        }
    }
}

/// A listener on a free port of the loopback interface.
pub(super) async fn listen() -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(Failure::io("cannot listen on 127.0.0.1"))?;
    let address = listener.local_addr().map_err(Failure::io("cannot learn the port"))?;
    Ok((listener, address))
}
