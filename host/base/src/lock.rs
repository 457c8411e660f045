//! Who has a file: one process at a time, for as long as it lives.
#![allow(clippy::disallowed_methods, reason = "it is taken once, on a thread that may block")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A file that is ours. The system lets go of it with the process; who drops it lets go of it at once, even where a program that
/// is being started has a copy of the handle until it runs (flock(2), LOCK_UN).
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the file, and makes it where there is none, for this user alone; `None` where another process has it.
    ///
    /// # Errors
    /// It cannot be opened, made or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What is in it.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What could fail here ends with the handle.
        drop(self.0.unlock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_go_has_nothing_left_though_another_has_a_copy_of_the_handle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut lock = Lock::take(&path).unwrap().unwrap();
        let copy = lock.file().try_clone().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        assert!(Lock::take(&path).unwrap().is_some());
        drop(copy);
    }
}
