//! Storing by FTP as atomically as the server allows: under a temporary name, its size checked, then renamed.

use bytes::Bytes;
use suppaftp::FtpError;
use tokio::io::AsyncWriteExt;

use super::error::{TransferError, TransferErrorKind};
use super::ftp::{Command, FtpSession, file_error, ftp_error, reply_code};
use super::mark::{PartMark, temporary_name};

/// How much is written between two looks at the clock, in bytes.
const PIECE: usize = 64 << 10;

impl FtpSession {
    /// Stores `body` at `path`, over what may be there.
    pub(super) async fn store(
        &mut self,
        path: &str,
        body: &Bytes,
        mark: &PartMark,
    ) -> Result<(), TransferError> {
        for stale in &mark.stale {
            // Nearly always there is none.
            self.remove(&beside(path, stale)).await?;
        }
        let temporary = beside(path, &mark.own);
        match self.put(&temporary, body).await {
            Ok(()) => {}
            // Some servers permit certain names only.
            Err(error) if is_permanent_refusal(&error) => return self.put(path, body).await,
            Err(error) => {
                // On a connection that is stuck or gone there is no tidying up.
                if matches!(error.kind(), TransferErrorKind::Refused | TransferErrorKind::Protocol) {
                    self.discard(&temporary).await;
                }
                return Err(error);
            }
        }
        if let Err(over) = mark.check() {
            self.discard(&temporary).await;
            return Err(over);
        }
        if self.replace(&temporary, path).await? {
            return Ok(());
        }
        self.discard(&temporary).await;
        self.put(path, body).await
    }

    /// STOR, the size checked where the server can tell it.
    async fn put(&mut self, path: &str, body: &Bytes) -> Result<(), TransferError> {
        let mut data = self.open_data(Command::Store, path).await.map_err(file_error)?;
        for mut piece in body.chunks(PIECE) {
            while !piece.is_empty() {
                let count = |written: &std::io::Result<usize>| written.as_ref().ok().copied();
                let written = self.clock.data(data.write(piece), count).await?.and_then(some);
                let written = written.map_err(|error| ftp_error(FtpError::ConnectionError(error)))?;
                piece = &piece[written..];
            }
        }
        self.clock.answer(data.finish()).await?.map_err(file_error)?;
        match self.size(path).await? {
            Some(size) if size != body.len() as u64 => {
                let message = format!("the FTP server stored {size} of {} bytes", body.len());
                Err(TransferError::new(TransferErrorKind::Protocol, message).transient(true))
            }
            _ => Ok(()),
        }
    }

    /// Renames, deleting the old file first where the server renames onto none. False: it does not rename at all.
    async fn replace(&mut self, from: &str, to: &str) -> Result<bool, TransferError> {
        match self.rename(from, to).await? {
            Renamed::Done => return Ok(true),
            Renamed::Unknown => return Ok(false),
            Renamed::Refused => {}
        }
        match self.clock.answer(self.control.rm(to)).await? {
            Ok(()) => Ok(matches!(self.rename(from, to).await?, Renamed::Done)),
            Err(error) if reply_code(&error).is_some() => Ok(false),
            Err(error) => Err(ftp_error(error)),
        }
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<Renamed, TransferError> {
        match self.clock.answer(self.control.rename(from, to)).await? {
            Ok(()) => Ok(Renamed::Done),
            Err(error) => match reply_code(&error) {
                Some(500..=504) => Ok(Renamed::Unknown),
                Some(_) => Ok(Renamed::Refused),
                None => Err(ftp_error(error)),
            },
        }
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// That the connection does not work any more: replies would be taken for those of other commands.
    async fn remove(&mut self, path: &str) -> Result<(), TransferError> {
        match self.clock.answer(self.control.rm(path)).await? {
            Err(error) if reply_code(&error).is_none() => Err(ftp_error(error)),
            _ => Ok(()),
        }
    }

    /// Removes a temporary file, if it is there and the connection still works.
    async fn discard(&mut self, path: &str) {
        // What failed before is what the caller hears of.
        let _removed = self.clock.answer(self.control.rm(path)).await;
    }
}

/// A connection that takes nothing any more is at its end.
fn some(written: usize) -> std::io::Result<usize> {
    if written == 0 { Err(std::io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// What came of a rename.
enum Renamed {
    Done,
    /// Perhaps because the target exists.
    Refused,
    /// The server does not know the command; deleting the target would only lose it.
    Unknown,
}

fn is_permanent_refusal(error: &TransferError) -> bool {
    error.kind() == TransferErrorKind::Refused && !error.is_transient()
}

/// A temporary name in the same directory.
fn beside(path: &str, mark: &str) -> String {
    let (directory, name) =
        path.rsplit_once('/').map_or(("", path), |(dir, name)| (&path[..dir.len() + 1], name));
    format!("{directory}{}", temporary_name(name, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_lie_beside_their_target() {
        for (path, directory) in [("x.png", ""), ("a/b/x.png", "a/b/"), ("/x.png", "/")] {
            let temporary = beside(path, "1");
            let name = temporary.strip_prefix(directory).unwrap();
            assert!(name.starts_with(".x.png.") && name.ends_with(".imgserve-part"), "{temporary}");
        }
    }
}
