//! FTP and explicit FTPS: logging in, passive data connections, RETR. The control connection goes to an address that
//! passed the policy; data connections go to that same address, whatever the server says. Storing is `ftp_store`'s.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::types::{FileType, Response};
use suppaftp::{FtpError, Mode, Status};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use url::Host;

use super::clock::Clock;
use super::error::{TransferError, TransferErrorKind};
use super::resolve::Resolver;
use super::url::FtpUrl;

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// What connections need.
#[derive(Debug, Clone)]
pub(super) struct Ftp {
    pub(super) resolver: Resolver,
    pub(super) tls: Arc<ClientConfig>,
}

/// The data connection of one transfer.
pub(super) type Data = TransferStream<AsyncRustlsStream>;

/// A connection that is logged in and in binary mode. Dropping it hangs up.
pub(super) struct FtpSession {
    pub(super) control: AsyncRustlsFtpStream,
    pub(super) clock: Clock,
}

impl Ftp {
    /// Connects and logs in.
    pub(super) async fn open(&self, clock: Clock, url: &FtpUrl) -> Result<FtpSession, TransferError> {
        let tcp = clock.connect(self.connect(url)).await??;
        let peer = tcp.peer_addr().map_err(|error| ftp_error(FtpError::ConnectionError(error)))?.ip();
        let control =
            clock.answer(AsyncRustlsFtpStream::connect_with_stream(tcp)).await?.map_err(ftp_error)?;
        let mut control = control.passive_stream_builder(move |told| Box::pin(connect_data(peer, told)));
        if url.secure {
            let connector: AsyncRustlsConnector = tokio_rustls::TlsConnector::from(self.tls.clone()).into();
            let domain = server_name(&url.host);
            control = clock.connect(control.into_secure(connector, &domain)).await?.map_err(ftp_error)?;
        }
        let mut session = FtpSession { control, clock };
        session.login(url).await?;
        session.clock.answer(session.control.transfer_type(FileType::Binary)).await?.map_err(ftp_error)?;
        Ok(session)
    }

    async fn connect(&self, url: &FtpUrl) -> Result<TcpStream, TransferError> {
        let addresses = self.resolver.addresses(&url.host, url.port).await?;
        TcpStream::connect(addresses.as_slice()).await.map_err(|error| {
            TransferError::new(TransferErrorKind::Connect, "cannot connect").with_source(error)
        })
    }
}

/// A passive reply may name any address (the "FTP bounce"); only its port counts. That is the server's to choose anew for each
/// file, so it is permitted by the rule that permits the control connection, whichever port that names.
async fn connect_data(peer: IpAddr, told: SocketAddr) -> Result<TcpStream, FtpError> {
    TcpStream::connect(SocketAddr::new(peer, told.port())).await.map_err(FtpError::ConnectionError)
}

/// A host as TLS names it: IPv6 addresses without their brackets.
fn server_name(host: &Host<String>) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    }
}

impl FtpSession {
    async fn login(&mut self, url: &FtpUrl) -> Result<(), TransferError> {
        let login = self.control.login(url.user.as_str(), url.password.as_str());
        self.clock.answer(login).await?.map_err(|error| match refusal(&error) {
            Some(code) => {
                let message = format!("the FTP server does not let this user in (reply {code})");
                let transient = is_transient(code);
                TransferError::new(TransferErrorKind::Login, message).transient(transient).with_source(error)
            }
            None => ftp_error(error),
        })
    }

    /// Starts to fetch the file the session was opened for.
    pub(super) async fn retrieve(mut self, url: &FtpUrl) -> Result<FtpDownload, TransferError> {
        let size = self.size(&url.path).await?;
        let data = self.open_data(Command::Retrieve, &url.path).await.map_err(download_error)?;
        Ok(FtpDownload { data: Some(data), size, received: 0, secure: url.secure, session: self })
    }

    /// The size of a file, if the server knows the command and the file.
    pub(super) async fn size(&mut self, path: &str) -> Result<Option<u64>, TransferError> {
        match self.clock.answer(self.control.size(path)).await? {
            Ok(size) => Ok(Some(size as u64)),
            Err(FtpError::UnexpectedResponse(_) | FtpError::BadResponse) => Ok(None),
            Err(error) => Err(ftp_error(error)),
        }
    }

    /// Opens a data connection: by EPSV, and by PASV where the server does not know that.
    pub(super) async fn open_data(&mut self, command: Command, path: &str) -> Result<Data, FtpError> {
        self.control.set_mode(Mode::ExtendedPassive);
        match self.send(command, path).await {
            Err(error) if reply_code(&error).is_some_and(|code| matches!(code, 500..=504 | 522)) => {
                self.control.set_mode(Mode::Passive);
                self.send(command, path).await
            }
            opened => opened,
        }
    }

    async fn send(&mut self, command: Command, path: &str) -> Result<Data, FtpError> {
        let opening = async {
            match command {
                Command::Retrieve => self.control.retr_as_stream(path).await,
                Command::Store => self.control.put_with_stream(path).await,
            }
        };
        // The timeout travels as the I/O error it is at heart, so that callers have one error to look into.
        self.clock
            .answer(opening)
            .await
            .unwrap_or_else(|expired| Err(FtpError::ConnectionError(std::io::Error::other(expired))))
    }
}

/// A command that needs a data connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Retrieve,
    Store,
}

/// A file on its way from the server.
pub(super) struct FtpDownload {
    session: FtpSession,
    data: Option<Data>,
    pub(super) size: Option<u64>,
    received: u64,
    secure: bool,
}

impl FtpDownload {
    /// The next piece; none once the server has confirmed the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, TransferError> {
        let Some(data) = &mut self.data else { return Ok(None) };
        let mut piece = BytesMut::with_capacity(PIECE);
        let count = |read: &std::io::Result<usize>| read.as_ref().ok().copied().filter(|read| *read > 0);
        let read = match self.session.clock.data(data.read_buf(&mut piece), count).await? {
            // Many servers close without TLS's farewell; the size then tells the end from a cut.
            Err(error)
                if self.secure && error.kind() == std::io::ErrorKind::UnexpectedEof && self.is_whole() =>
            {
                0
            }
            other => other.map_err(|error| ftp_error(FtpError::ConnectionError(error)))?,
        };
        if read > 0 {
            self.received += read as u64;
            // A server that trickles must not make each of its bytes hold a whole buffer.
            let small = read < PIECE / 2;
            return Ok(Some(if small { Bytes::copy_from_slice(&piece) } else { piece.freeze() }));
        }
        self.finish().await?;
        Ok(None)
    }

    fn is_whole(&self) -> bool {
        self.size.is_some_and(|size| self.received >= size)
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        if let Some(data) = self.data.take() {
            self.session.clock.answer(data.finish()).await?.map_err(download_error)?;
        }
        match self.size {
            Some(size) if self.received < size => {
                let message = format!("the file ended after {} of {size} bytes", self.received);
                Err(TransferError::new(TransferErrorKind::Connect, message))
            }
            _ => Ok(()),
        }
    }
}

/// The code of a reply that was not the one hoped for; also of those that suppaftp does not know.
pub(super) fn reply_code(error: &FtpError) -> Option<u32> {
    let FtpError::UnexpectedResponse(Response { status, body }) = error else { return None };
    match status {
        Status::Unknown => std::str::from_utf8(body.get(..3)?).ok()?.parse().ok(),
        known => Some(known.code()),
    }
}

/// The code, if it is a negative one.
fn refusal(error: &FtpError) -> Option<u32> {
    reply_code(error).filter(|code| *code >= 400)
}

/// RFC 959, section 4.2.1: 4yz replies say that the same may work later.
fn is_transient(code: u32) -> bool {
    (400..500).contains(&code)
}

/// An error of RETR, which some servers tell only after they have opened the data connection.
fn download_error(error: FtpError) -> TransferError {
    match reply_code(&error) {
        Some(550) => {
            TransferError::new(TransferErrorKind::NotFound, "there is no such file").with_source(error)
        }
        _ => file_error(error),
    }
}

/// An error of a command about a file: a negative reply refuses the file.
pub(super) fn file_error(error: FtpError) -> TransferError {
    match refusal(&error) {
        Some(530) => {
            TransferError::new(TransferErrorKind::Login, "the FTP server wants another login (reply 530)")
        }
        Some(code) => {
            let message = format!("the FTP server refuses (reply {code})");
            TransferError::new(TransferErrorKind::Refused, message).transient(is_transient(code))
        }
        None => return ftp_error(error),
    }
    .with_source(error)
}

/// An error of the connection or the protocol.
pub(super) fn ftp_error(error: FtpError) -> TransferError {
    let (kind, message) = match error {
        FtpError::ConnectionError(io) => return connection_error(io),
        FtpError::SecureError(_) => (TransferErrorKind::Tls, "the TLS handshake failed".to_owned()),
        FtpError::UnexpectedResponse(_) => {
            let code = reply_code(&error).unwrap_or_default();
            let message = format!("the FTP server answers with reply {code}");
            let refused =
                TransferError::new(TransferErrorKind::Protocol, message).transient(is_transient(code));
            return refused.with_source(error);
        }
        _ => (TransferErrorKind::Protocol, "no valid FTP reply".to_owned()),
    };
    TransferError::new(kind, message).with_source(error)
}

/// One of ours travelling inside is taken out again.
fn connection_error(error: std::io::Error) -> TransferError {
    match error.downcast::<TransferError>() {
        Ok(ours) => ours,
        Err(error) => {
            let broke = TransferError::new(TransferErrorKind::Connect, "the FTP connection failed");
            broke.with_source(error)
        }
    }
}
