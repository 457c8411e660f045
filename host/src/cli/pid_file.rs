//! The pid file. The server holds a lock on it as long as it lives, so that a file left by a crash is never taken for a
//! running server, whatever process has its pid now: another program, or this one, as in a container that was killed and
//! starts again.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::failure::Failure;
use super::process;
use super::report::{self, Report};

/// How long and at which pause the lock is tried for at least: whoever looks at the file holds it for a moment.
const LOCK_WAIT: Duration = Duration::from_millis(300);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a pid file says about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A server holds the file.
    Running(Option<Pid>),
    /// The server is gone and left the file.
    Stale(Option<Pid>),
    /// The file names a living server that does not hold it: imgserve 0.2, or one whose file was removed and made anew.
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
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(State::Running(pid)),
        Err(TryLockError::Error(error)) => {
            Err(Failure::io(format!("cannot lock pid file {}", path.display()))(error))
        }
        Ok(()) => Ok(match pid {
            Some(pid) if is_server(pid, path) => State::Foreign(pid),
            None if text.trim().is_empty() => State::Absent,
            pid => State::Stale(pid),
        }),
    }
}

/// Whether a process that does not hold the file is a server of this file all the same.
fn is_server(pid: Pid, path: &Path) -> bool {
    let ourselves = pid == rustix::process::getpid();
    !ourselves && process::lives(pid) && (process::is_script(pid) || process::has_open_removed(pid, path))
}

/// Whether the process of this number holds the file; none when that cannot be seen. In another container than this
/// process's it has another number, which may be anybody's here.
pub(super) fn is_held_by(path: &Path, pid: Pid) -> Option<bool> {
    process::has_open(pid, &std::fs::metadata(path).ok()?)
}

/// A running server's hold on its pid file.
#[derive(Debug)]
pub(super) struct PidFile {
    claim: Claim,
    file: File,
}

/// Which file at which path it is: another server may have put one of its own there, once this one was removed.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// Device and number (stat(2)); no other file has them as long as the server holds it.
    file: (u64, u64),
}

impl Claim {
    /// Where the file was put.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file there is still the one.
    pub(super) fn holds(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|there| identity(&there) == self.file)
    }
}

fn identity(data: &Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

impl PidFile {
    /// Takes hold of the file, until `deadline` if a server that is ending holds it, and writes this process's pid into it.
    pub(super) fn take(path: &Path, deadline: Instant) -> Result<Self, Failure> {
        let cannot = |what: &str| Failure::io(format!("cannot {what} pid file {}", path.display()));
        make_parent(path)?;
        let mut file = hold(path, true, deadline)?;
        report::remove(path);
        file.set_len(0).map_err(cannot("write"))?;
        file.rewind().map_err(cannot("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(cannot("write"))?;
        let file_itself = identity(&file.metadata().map_err(cannot("read"))?);
        Ok(Self { claim: Claim { path: path.to_owned(), file: file_itself }, file })
    }

    /// What tells whether the file is still there.
    pub(super) fn claim(&self) -> Claim {
        self.claim.clone()
    }
}

/// Opens the file and takes its lock. Whoever only looks at the file holds the lock for a moment, and a server that
/// ends removes the file: neither is mistaken for a running server.
fn hold(path: &Path, create: bool, deadline: Instant) -> Result<File, Failure> {
    let cannot = || Failure::io(format!("cannot open pid file {}", path.display()));
    let at_least = Instant::now() + LOCK_WAIT;
    loop {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(create).truncate(false).open(path).map_err(cannot())?;
        let ours = identity(&file.metadata().map_err(cannot())?);
        if file.try_lock().is_ok() && std::fs::metadata(path).is_ok_and(|there| identity(&there) == ours) {
            return Ok(file);
        }
        let now = Instant::now();
        if now > at_least && (now > deadline || !is_ending(path)) {
            let text = format!("imgserve is already running: its pid file {} is held", path.display());
            return Err(Failure::Other(text));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Whether the file is a server's that has been told to stop, or has gone meanwhile.
pub(super) fn is_ending(path: &Path) -> bool {
    match state(path) {
        Ok(State::Running(Some(pid))) => Report::read(path, pid).is_some_and(|report| report.stopping),
        Ok(State::Running(None)) | Err(_) => false,
        Ok(State::Stale(_) | State::Foreign(_) | State::Absent) => true,
    }
}

/// Removes a file that no server holds.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    let _held = hold(path, false, Instant::now())?;
    report::remove(path);
    std::fs::remove_file(path).map_err(Failure::io(format!("cannot remove {}", path.display())))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !self.claim.holds() {
            return;
        }
        report::remove(&self.claim.path);
        // Where the directory belongs to another user (/var/run after -uid) the file can only be emptied.
        if std::fs::remove_file(&self.claim.path).is_err() {
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
        let held = PidFile::take(&path, Instant::now()).unwrap();
        assert!(
            matches!(state(&path).unwrap(), State::Running(Some(pid)) if pid == rustix::process::getpid())
        );
        let second = PidFile::take(&path, Instant::now() + Duration::from_secs(60)).unwrap_err();
        assert!(
            second.to_string().contains("already running"),
            "nobody waits for one that goes on: {second}"
        );
        drop(held);
        assert_eq!(state(&path).unwrap(), State::Absent);

        // Above the largest pid that Linux gives out; a number that is none; nothing.
        for (text, stale) in [("4194305\n", true), ("-1", false), ("0", false), ("nonsense", false)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(state(&path).unwrap(), State::Stale(pid) if pid.is_some() == stale), "{text}");
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(state(&path).unwrap(), State::Absent);
    }

    #[test]
    fn a_server_takes_away_its_own_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imgserve.pid");
        let first = PidFile::take(&path, Instant::now()).unwrap();
        assert!(first.claim().holds());
        std::fs::remove_file(&path).unwrap();
        assert!(!first.claim().holds());
        let second = PidFile::take(&path, Instant::now()).unwrap();
        std::fs::write(report::path(&path), "the second's").unwrap();
        drop(first);
        assert_eq!(
            is_held_by(&path, rustix::process::getpid()),
            Some(true),
            "the second one's is still there"
        );
        assert!(report::path(&path).exists());
        drop(second);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_number_that_is_ours_or_another_programs_by_now_is_stale() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imgserve.pid");
        let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        for pid in [std::process::id(), 1, other.id()] {
            std::fs::write(&path, format!("{pid}\n")).unwrap();
            assert!(matches!(state(&path).unwrap(), State::Stale(Some(_))), "{pid}");
        }
        other.kill().unwrap();
        other.wait().unwrap();
        let held = PidFile::take(&path, Instant::now()).unwrap();
        assert_eq!(is_held_by(&path, rustix::process::getpid()), Some(true));
        drop(held);
    }

    #[test]
    fn a_server_of_0_2_is_not_taken_for_stale() {
        let directory = tempfile::tempdir().unwrap();
        let (path, script) = (directory.path().join("imgserve.pid"), directory.path().join("imgserve"));
        std::fs::write(&script, "read line").unwrap();
        let mut old = std::process::Command::new("sh");
        let mut old = old.arg(&script).stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::fs::write(&path, format!("{}\n", old.id())).unwrap();
        // It is there a moment before its arguments are.
        let until = Instant::now() + Duration::from_secs(10);
        while state(&path).unwrap() != State::Foreign(Pid::from_child(&old)) {
            assert!(Instant::now() < until, "{:?}", state(&path).unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(old.stdin.take());
        old.wait().unwrap();
        assert!(matches!(state(&path).unwrap(), State::Stale(Some(_))));
    }

    #[test]
    fn a_server_that_is_ending_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imgserve.pid");
        let held = PidFile::take(&path, Instant::now()).unwrap();
        let mut report = Report::new(
            "127.0.0.1:1".parse().unwrap(),
            None,
            &imgserve_config::Config::parse("").unwrap().server,
        );
        report.write(&path).unwrap();
        assert!(!is_ending(&path));
        report.stopping = true;
        report.write(&path).unwrap();
        assert!(is_ending(&path));
        let late = PidFile::take(&path, Instant::now());
        assert!(late.is_err(), "not for ever");
        let ended = std::thread::spawn(move || {
            std::thread::sleep(LOCK_WAIT * 2);
            drop(held);
        });
        PidFile::take(&path, Instant::now() + Duration::from_secs(60)).unwrap();
        ended.join().unwrap();
    }
}
