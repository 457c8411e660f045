//! The journal's files: only this user's, as they hold URLs with passwords, and only one server's at a time.
#![allow(clippy::disallowed_methods, reason = "a journal is opened once, on a thread that may block")]

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use imgserve_base::lock::Lock;
use imgserve_base::units::MIB;

use crate::store::JournalError;

/// Takes the lock beside the journal, which the system ends with the process, and makes the journal's file where there
/// is none.
///
/// # Errors
/// [`JournalError::InUse`] where another server holds the lock; [`JournalError::Open`] where a file cannot be made.
pub(super) fn take(path: &Path) -> Result<Lock, JournalError> {
    let cannot = |error: io::Error| JournalError::Open {
        journal: path.display().to_string(),
        text: error.to_string(),
    };
    let parent = parent(path);
    let make_parent = || {
        // Only the last one is private: others live in those above.
        parent.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        DirBuilder::new().recursive(true).mode(0o700).create(parent)
    };
    make_parent().map_err(|error| JournalError::Open {
        journal: path.display().to_string(),
        text: format!("cannot make the directory {}: {error}", parent.display()),
    })?;
    let in_use = || JournalError::InUse { journal: path.display().to_string() };
    let lock = Lock::take(&lock_of(path)).map_err(cannot)?.ok_or_else(in_use)?;
    make(path).map_err(cannot)?;
    settle(&beside(path, "-wal")).map_err(cannot)?;
    Ok(lock)
}

/// The file whose lock the server holds that has the journal.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// SQLite gives the files that it makes beside this one the same mode. It must not have the file open yet: closing any
/// other handle of it would end the locks that SQLite holds on it (fcntl(2), POSIX locks).
fn make(path: &Path) -> io::Result<()> {
    let new = !path.exists();
    let file = open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    if new {
        // A new file is found after a power cut only when its directory is on disk too.
        File::open(parent(path))?.sync_all()?;
    }
    Ok(())
}

/// Writes the log that a predecessor left once more, over itself. If that one died of a failed sync, the system's cache
/// may show what the disk lacks and take it for clean (fsync(2)); now it is synced, or this fails.
fn settle(log: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut piece = vec![0; MIB as usize];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut piece, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&piece[..read], at)?;
        at += read as u64;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
