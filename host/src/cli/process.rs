//! Another process, held on to so that its number cannot come to mean another one (pidfd_open(2)): told a signal, waited for;
//! and what can be seen of it in proc(5). A kernel without pidfds, or a sandbox that forbids them, is asked by the number.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::options::absolute;

/// How often a process without a pidfd is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// A process that lived when it was opened.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    fd: Option<OwnedFd>,
}

impl Process {
    /// The process of this number; none when there is no such process any more.
    pub(super) fn open(pid: Pid) -> Option<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Some(Self { pid, fd: Some(fd) }),
            Err(Errno::SRCH) => None,
            Err(_) => lives(pid).then_some(Self { pid, fd: None }),
        }
    }

    /// Sends it a signal; that it has ended meanwhile is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.fd {
            Some(fd) => pidfd_send_signal(fd, signal),
            None => kill_process(self.pid, signal),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until it has ended; false when that takes longer than `most`.
    pub(super) fn ends_within(&self, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = match &self.fd {
                Some(fd) => is_readable(fd, left),
                None => {
                    std::thread::sleep(left.min(LOOK));
                    !lives(self.pid)
                }
            };
            if ended || left.is_zero() {
                return ended;
            }
        }
    }
}

/// A pidfd is readable once its process has ended (pidfd_open(2)).
fn is_readable(fd: &OwnedFd, most: Duration) -> bool {
    let most = Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: most.subsec_nanos().into(),
    };
    let mut polled = [PollFd::new(fd, PollFlags::IN)];
    // A signal to this process ends the wait early: the caller waits again.
    poll(&mut polled, Some(&most)).is_ok_and(|ready| ready > 0)
}

/// Whether a process has this number. A killed one that nobody has waited for yet (state Z, proc(5)) still has it and does
/// not live.
pub(super) fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(of(pid, "stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether this process ignores SIGHUP, as it was started by one that does (proc(5), `SigIgn`: a bit for each signal).
pub(super) fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored & (1 << (Signal::HUP.as_raw() - 1)) != 0
}

/// Whether a process has the file open of which `data` tells; none when that cannot be seen.
pub(super) fn has_open(pid: Pid, data: &Metadata) -> Option<bool> {
    let files = std::fs::read_dir(of(pid, "fd")).ok()?;
    let same = |open: Metadata| (open.dev(), open.ino()) == (data.dev(), data.ino());
    Some(files.flatten().any(|file| std::fs::metadata(file.path()).is_ok_and(same)))
}

/// Whether a process has a file open that stood at `path` and was removed since.
pub(super) fn has_open_removed(pid: Pid, path: &Path) -> bool {
    let removed = PathBuf::from(format!("{} (deleted)", without_links(path).display()));
    let files = std::fs::read_dir(of(pid, "fd")).into_iter().flatten().flatten();
    files.into_iter().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link == removed))
}

/// The path of a file as the system tells it, whether or not it is there: /var/run is a link to /run in most places.
fn without_links(path: &Path) -> PathBuf {
    let path = absolute(path);
    let directory = path.parent().and_then(|directory| std::fs::canonicalize(directory).ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path,
    }
}

/// Whether a process is a script called imgserve, as 0.2 was: its interpreter's first argument that is a file.
pub(super) fn is_script(pid: Pid) -> bool {
    let words = std::fs::read(of(pid, "cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).skip(1);
    let script = words.find(|word| !word.starts_with('-'));
    let name = |script: &str| {
        Path::new(script).file_name().is_some_and(|name| name == "imgserve" || name == "imgserve.py")
    };
    script.is_some_and(|script| name(&script))
}

fn of(pid: Pid, what: &str) -> String {
    format!("/proc/{}/{what}", pid.as_raw_pid())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("100").spawn().unwrap()
    }

    #[test]
    fn its_end_is_waited_for_with_and_without_a_pidfd() {
        for held in [true, false] {
            let mut child = sleeper();
            let pid = Pid::from_child(&child);
            let mut process = Process::open(pid).unwrap();
            if !held {
                process.fd = None;
            }
            assert!(!process.ends_within(Duration::from_millis(30)), "it still runs");
            process.signal(Signal::KILL).unwrap();
            // A zombie: nobody has waited for it.
            assert!(process.ends_within(Duration::from_secs(10)));
            assert!(!lives(pid));
            child.wait().unwrap();
            process.signal(Signal::KILL).unwrap();
            assert!(Process::open(pid).is_none());
        }
    }

    #[test]
    fn what_it_has_open_and_what_it_is_can_be_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        let (ours, data) = (rustix::process::getpid(), file.metadata().unwrap());
        let mut child = sleeper();
        let other = Pid::from_child(&child);
        assert_eq!((has_open(ours, &data), has_open(other, &data)), (Some(true), Some(false)));
        assert!(!has_open_removed(ours, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(has_open_removed(ours, &path) && !has_open_removed(other, &path));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        assert!(has_open_removed(ours, &link.join("file")), "by way of a link");
        assert!(!is_script(other) && !is_script(ours));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
