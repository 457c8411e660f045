//! Whether a journal could be opened, found out from its file's header alone: nothing is made, changed or locked. Not for the
//! process that has the journal open: closing another handle of its file would end SQLite's locks (fcntl(2), POSIX locks).
#![allow(clippy::disallowed_methods, reason = "a journal is checked once, on a thread that may block")]

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{file, schema};
use crate::store::JournalError;

/// SQLite's header (SQLite file format, 1.3).
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where it has what a program calls the version of its tables, and the program's own number.
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

/// Whether this process could open the journal at `path`, or make it.
///
/// # Errors
/// As of opening it, but for [`JournalError::InUse`].
pub(crate) fn check(path: &Path) -> Result<(), JournalError> {
    let cannot = |text: String| JournalError::Open { journal: path.display().to_string(), text };
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => return Err(cannot("it is a directory".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return can_be_made(path).map_err(cannot),
        Err(error) => return Err(cannot(error.to_string())),
    }
    access(path, Access::READ_OK | Access::WRITE_OK).map_err(|errno| cannot(errno.to_string()))?;
    let header = header(path).map_err(|error| cannot(error.to_string()))?;
    match header.as_slice() {
        // Made, and nothing written yet.
        [] => return Ok(()),
        header if header.len() < HEADER || !header.starts_with(MAGIC) => {
            return Err(cannot("file is not a database".to_owned()));
        }
        _ => {}
    }
    let number = |at: usize| header[at..at + 4].iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
    let (found, known) = (number(USER_VERSION), schema::known());
    match number(APPLICATION_ID) {
        // Its tables stand in the log beside it still.
        0 if found == 0 => Ok(()),
        schema::APPLICATION_ID if found > known => {
            Err(JournalError::TooNew { journal: path.display().to_string(), found, known })
        }
        schema::APPLICATION_ID => Ok(()),
        _ => Err(cannot("it is a database of another program".to_owned())),
    }
}

/// The file whose lock the server holds that has the journal at `path`; none where no server has it.
pub(crate) fn held(path: &Path) -> Option<PathBuf> {
    let lock = file::lock_of(path);
    let file = File::open(&lock).ok()?;
    let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    // At once, for a server that starts now (`Lock`).
    drop(file.unlock());
    held.then_some(lock)
}

fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)?.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(header)
}

/// Whether the nearest folder above that is there can be written to.
fn can_be_made(path: &Path) -> Result<(), String> {
    let above: PathBuf =
        path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new(".")).into();
    match std::fs::metadata(&above) {
        Ok(data) if data.is_dir() => access(&above, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|errno| format!("cannot write to {}: {errno}", above.display())),
        _ => Err(format!("cannot make a directory in {}, which is none", above.display())),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::clock::Clock;
    use crate::sqlite::Sqlite;

    #[test]
    fn what_would_be_refused_is_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let refused = |path: &Path| check(path).unwrap_err().to_string();
        assert!(check(&place("new/folder/journal.db")).is_ok() && !place("new").exists());
        std::fs::write(place("text"), "no database. ".repeat(100)).unwrap();
        assert!(refused(&place("text")).contains("file is not a database"));
        assert!(refused(&place("text/journal.db")).contains("text"));
        assert!(refused(directory.path()).contains("is a directory"));
        let foreign = Connection::open(place("foreign")).unwrap();
        foreign.execute_batch("CREATE TABLE t (a); PRAGMA application_id = 7").unwrap();
        assert!(refused(&place("foreign")).contains("another program"));
    }

    #[tokio::test]
    async fn one_that_is_in_use_is_fine_and_a_newer_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        assert_eq!(held(&path), None);
        let journal = Sqlite::open(&path, "test", Clock::default()).unwrap();
        assert!(check(&path).is_ok());
        assert_eq!(held(&path), Some(directory.path().join("journal.db.lock")));
        drop(journal);
        assert!(check(&path).is_ok() && held(&path).is_none());
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", schema::known() + 1).unwrap();
        newer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(newer);
        let error = check(&path).unwrap_err();
        assert!(matches!(error, JournalError::TooNew { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            Sqlite::open(&path, "test", Clock::default()).unwrap_err().to_string(),
            "as opening it says"
        );
    }
}
