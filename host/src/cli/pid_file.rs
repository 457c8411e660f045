//! The pid file. The server holds a lock on it as long as it lives, so that a file left by a crash is never taken for a
//! running server, whatever process has its pid now.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

use super::failure::Failure;

/// How often and at which pause the lock is tried for.
const LOCK_TRIES: u32 = 15;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a pid file says about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A server holds the file.
    Running(Option<Pid>),
    /// The server is gone and left the file.
    Stale(Option<Pid>),
    /// The file names a living process that does not hold it: another program, or imgserve 0.2.
    Foreign(Pid),
    /// There is no file, or an empty one that a server left behind on purpose.
    Absent,
}

/// Looks at the pid file.
pub(super) fn state(path: &Path) -> Result<State, Failure> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(error) => return Err(Failure::io(format!("cannot read pid file {}", path.display()))(error)),
    };
    let mut text = String::new();
    // Whatever else is in there, a pid is within its first bytes.
    let _ = (&mut file).take(32).read_to_string(&mut text);
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(State::Running(pid)),
        Err(TryLockError::Error(error)) => {
            Err(Failure::io(format!("cannot lock pid file {}", path.display()))(error))
        }
        Ok(()) => Ok(match pid {
            Some(pid) if lives(pid) => State::Foreign(pid),
            None if text.trim().is_empty() => State::Absent,
            pid => State::Stale(pid),
        }),
    }
}

/// A killed process that nobody has waited for yet (state Z, proc(5)) still has its pid and does not live.
fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    test_kill_process(pid).is_ok() && !matches!(state, Some('Z' | 'X'))
}

/// A running server's hold on its pid file.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Takes hold of the file and writes this process's pid into it.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let cannot = |what: &str| Failure::io(format!("cannot {what} pid file {}", path.display()));
        make_parent(path)?;
        let mut file = hold(path, true)?;
        file.set_len(0).map_err(cannot("write"))?;
        file.rewind().map_err(cannot("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(cannot("write"))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

/// Opens the file and takes its lock. Whoever only looks at the file holds the lock for a moment, and a server that
/// ends removes the file: neither is mistaken for a running server.
fn hold(path: &Path, create: bool) -> Result<File, Failure> {
    let cannot = || Failure::io(format!("cannot open pid file {}", path.display()));
    for _ in 0..LOCK_TRIES {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(create).truncate(false).open(path).map_err(cannot())?;
        let ours = file.metadata().map_err(cannot())?.ino();
        if file.try_lock().is_ok() && std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(Failure::Other(format!("imgserve is already running: its pid file {} is held", path.display())))
}

/// Removes a file that no server holds.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    let _held = hold(path, false)?;
    std::fs::remove_file(path).map_err(Failure::io(format!("cannot remove {}", path.display())))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Where the directory belongs to another user (/var/run after -uid) the file can only be emptied.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
    }
}

/// Makes the directory that a file is to lie in.
pub(super) fn make_parent(path: &Path) -> Result<(), Failure> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent)
            .map_err(Failure::io(format!("cannot make directory {}", parent.display()))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_file_runs_and_a_left_one_is_stale() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/imgserve.pid");
        assert_eq!(state(&path).unwrap(), State::Absent);
        let held = PidFile::take(&path).unwrap();
        assert!(
            matches!(state(&path).unwrap(), State::Running(Some(pid)) if pid == rustix::process::getpid())
        );
        assert!(PidFile::take(&path).unwrap_err().to_string().contains("already running"));
        drop(held);
        assert_eq!(state(&path).unwrap(), State::Absent);

        // Above the largest pid that Linux gives out.
        std::fs::write(&path, "4194305\n").unwrap();
        assert!(matches!(state(&path).unwrap(), State::Stale(Some(_))));
        std::fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert!(matches!(state(&path).unwrap(), State::Foreign(_)));
        std::fs::write(&path, "nonsense").unwrap();
        assert_eq!(state(&path).unwrap(), State::Stale(None));
    }
}
