//! What goes wrong in a change, and what it means: refused by itself, nothing written, or a file whose state nobody
//! knows.

use rusqlite::ffi;

use crate::store::JournalError;

/// Why a change is not made.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not allowed; the other changes of its transaction are.
    Refused(JournalError),
    /// What SQLite says.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Trouble {
    /// Separates what is one change's own fault from what ends its transaction.
    pub(super) fn own(self) -> Result<JournalError, rusqlite::Error> {
        use rusqlite::ErrorCode::{ConstraintViolation, TooBig};
        match self {
            Self::Refused(error) => Ok(error),
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ConstraintViolation | TooBig) => {
                    Ok(JournalError::Unwritable { text: error.to_string() })
                }
                _ => Err(error),
            },
        }
    }
}

/// What an error that ended a transaction means. Only what is known to have left the file as it was may be tried again;
/// after a failed fsync a later one succeeds although the data is lost (fsync(2), Linux).
pub(super) fn verdict(error: &rusqlite::Error) -> JournalError {
    use rusqlite::ErrorCode as Code;
    let text = error.to_string();
    let harmless = match error.sqlite_error() {
        Some(error) if error.code == Code::SystemIoFailure => matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_NOMEM
                | ffi::SQLITE_IOERR_LOCK
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMLOCK
                | ffi::SQLITE_IOERR_SHMMAP
        ),
        Some(error) => matches!(
            error.code,
            Code::DiskFull
                | Code::ReadOnly
                | Code::PermissionDenied
                | Code::OutOfMemory
                | Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::CannotOpen
                | Code::OperationInterrupted
        ),
        None => false,
    };
    if harmless { JournalError::Unwritable { text } } else { JournalError::Broken { text } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: i32) -> JournalError {
        verdict(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn only_what_left_the_file_as_it_was_may_be_tried_again() {
        for code in
            [ffi::SQLITE_FULL, ffi::SQLITE_READONLY_DBMOVED, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_BUSY]
        {
            assert!(matches!(judged(code), JournalError::Unwritable { .. }), "{code}");
        }
        let unknown = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_DATA,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_NOTADB,
        ];
        for code in unknown {
            assert!(matches!(judged(code), JournalError::Broken { .. }), "{code}");
        }
    }
}
