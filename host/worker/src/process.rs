//! The process of a worker, whatever it says on its socket: what it writes to stderr goes to the log, and its end is
//! waited for.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::death::Death;
use super::reading::was_reading;

/// How long a process whose socket is closed may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How long a dead worker's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Longest line taken from a worker's stderr, in bytes; the rest of the line is dropped.
const MAX_LINE: usize = 2048;

/// A running process, whose stderr is a pipe. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    process: tokio::process::Child,
    last_line: Arc<Mutex<String>>,
    log: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it. The command is gone with that, and its copy of the other end of the worker's socket: only so does it
    /// show there when the process is gone.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let mut process = command.kill_on_drop(true).spawn()?;
        let last_line = Arc::new(Mutex::new(String::new()));
        let log = process
            .stderr
            .take()
            .map(|stderr| tokio::spawn(log_lines(stderr, process.id().unwrap_or(0), Arc::clone(&last_line))));
        Ok(Self { process, last_line, log })
    }

    /// The process id, for people and tests.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Forgets what it has said so far.
    pub(super) fn forget_words(&mut self) {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Resolves when it ends by itself.
    pub(super) async fn ended(&mut self) {
        // An error here means the process cannot be waited for, which is as good as gone.
        let _ = self.process.wait().await;
    }

    /// Makes sure that it is gone and says how it ended; `late` is whether it had said that a plugin's time was over.
    pub(super) async fn death(mut self, late: bool) -> Death {
        // Once it is waited for its name is gone. It keeps that to its end: its socket is closed, it does nothing more.
        let reading = self.process.id().is_some_and(was_reading);
        let (status, killed) = match tokio::time::timeout(ENDS_WITHIN, self.process.wait()).await {
            Ok(status) => (status, false),
            Err(_) => {
                let _ = self.process.start_kill();
                (self.process.wait().await, true)
            }
        };
        // The last words may still be in the pipe; the task that reads them ends with it.
        if let Some(log) = self.log.take() {
            let _ = tokio::time::timeout(LAST_WORDS, log).await;
        }
        let words = std::mem::take(&mut *self.last_line.lock().unwrap_or_else(PoisonError::into_inner));
        match status {
            Ok(_) if killed => Death::killed(words),
            Ok(status) => Death::of(status, late, words).over(reading),
            Err(error) => Death::unknown(&error, &words),
        }
    }
}

/// Copies a worker's stderr to the log, line by line, and remembers the last line.
async fn log_lines(mut stderr: impl AsyncRead + Unpin, pid: u32, last: Arc<Mutex<String>>) {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for &byte in &buffer[..count] {
            if byte != b'\n' {
                if line.len() < MAX_LINE {
                    line.push(byte);
                }
                continue;
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            line.clear();
            // How to get a backtrace is no news to an operator, and would hide the line before it.
            if !text.is_empty() && !text.starts_with("note: ") {
                tracing::info!(worker = pid, "{text}");
                *last.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::{ExitStatus, Stdio};

    use imgserve_base::fault::{FaultKind, Retry};
    use imgserve_base::units::MIB;
    use tokio::sync::oneshot;

    use super::*;
    use crate::assignment::{Assignment, End, death_fault, perform};
    use crate::death::Way;
    use crate::host::Link;
    use crate::payload::Payload;
    use crate::plugin::{Deadline, Expiry, TimeLimit};
    use crate::protocol::{Placeholder, Reply, Request};
    use crate::sandbox;
    use crate::wire::{Blame, Wire};

    /// In the environment of a test that runs again as a process of its own: how that is to die.
    const DIES: &str = "IMGSERVE_TEST_DIES";
    const MEMORY: u64 = 256 * MIB;

    /// This test program with one test alone, to be run as the worker that `dies`.
    fn again(test: &str, dies: &str, stdin: Stdio) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&format!("process::tests::{test}"), "--exact", "--nocapture"]);
        command.env_clear().env(DIES, dies).stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Dies like this under a worker's own limits.
    fn die(how: &str) {
        sandbox::enter(MEMORY, None).unwrap();
        let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let link = Link::new(stream);
        sandbox::seal();
        match how {
            "memory" => drop(std::hint::black_box(vec![1_u8; 2 * MEMORY as usize])),
            "abort" => {
                eprintln!("not done after 1 ms (as it says)");
                std::process::abort()
            }
            "exit" => std::process::exit(7),
            "late" => {
                link.say(&Reply::Calls("slow".to_owned()));
                let deadline = Deadline::start(link.last_word()).unwrap();
                let limit = TimeLimit { time: Duration::from_millis(10), key: "time_limit_ms" };
                let _armed = deadline.arm(limit, Expiry::EndProcess);
                std::thread::park()
            }
            _ => std::thread::park(),
        }
    }

    async fn death(command: Command) -> Death {
        Process::start(command).unwrap().death(false).await
    }

    #[tokio::test]
    async fn a_worker_tells_by_its_end_what_it_died_of() {
        if let Ok(how) = std::env::var(DIES) {
            return die(&how);
        }
        for (how, way, text) in [
            ("exit", Way::Exit(7), "exit status 7"),
            ("abort", Way::Aborted, "SIGABRT: not done after 1 ms (as it says)"),
            ("memory", Way::OutOfMemory, "SIGABRT: memory allocation of 536870912 bytes failed"),
            ("waits", Way::Killed, "SIGKILL"),
        ] {
            let command = again("a_worker_tells_by_its_end_what_it_died_of", how, Stdio::null());
            let death = death(command).await;
            assert_eq!((death.way, death.to_string().as_str()), (way, text), "{how}");
        }
    }

    /// What runs the tests has threads, of which only the first gives the process its name: so `sh` stands for a worker.
    #[allow(clippy::disallowed_methods, reason = "what the kernel makes up does not block")]
    #[tokio::test]
    async fn a_worker_that_dies_of_a_source_is_told_apart() {
        for (name, signal, kind) in [
            ("imgserve:reads", "SEGV", FaultKind::UnreadableSource),
            ("imgserve:reads", "ABRT", FaultKind::UnreadableSource),
            ("imgserve:reads", "KILL", FaultKind::OperationFailed),
            ("imgserve", "SEGV", FaultKind::OperationFailed),
        ] {
            let mut command = Command::new("sh");
            let script = format!("ulimit -c 0; printf %s {name} > /proc/$$/comm; kill -{signal} $$");
            command.args(["-c", &script]).stderr(Stdio::piped());
            let process = Process::start(command).unwrap();
            // As when a worker's socket is closed: it has ended, and nobody has waited for it.
            let state = format!("/proc/{}/stat", process.id().unwrap());
            while !std::fs::read_to_string(&state).unwrap().contains(") Z ") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let fault = death_fault(&process.death(false).await, 160, None);
            assert_eq!((fault.kind, fault.retry), (kind, Retry::Worker), "{name} {signal}: {fault}");
        }
    }

    #[tokio::test]
    async fn a_signal_has_its_name() {
        for (signal, text) in [(9, "SIGKILL"), (11, "SIGSEGV"), (31, "SIGSYS"), (10, "signal 10")] {
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("ulimit -c 0; echo words >&2; kill -{signal} $$")])
                .stderr(Stdio::piped());
            let death = death(command).await;
            assert_eq!((death.way, death.to_string()), (Way::Signal(signal), format!("{text}: words")));
        }
    }

    #[tokio::test]
    async fn a_worker_whose_plugin_is_late_says_so_before_it_aborts() {
        if let Ok(how) = std::env::var(DIES) {
            return die(&how);
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let test = "a_worker_whose_plugin_is_late_says_so_before_it_aborts";
        let command = again(test, "late", Stdio::from(OwnedFd::from(theirs)));
        let process = Process::start(command).unwrap();
        let mut wire = Wire::new(tokio::net::UnixStream::from_std(ours).unwrap(), 0);
        let format = imgserve_base::format::Format::Png;
        let (outcome, _answer) = oneshot::channel();
        let assignment = Assignment {
            request: Request::Draw(Placeholder { width: 1, height: 1, format, failed: false }),
            payload: Payload::NONE,
            deadline: TimeLimit { time: Duration::from_secs(60), key: "none" },
            progress: None,
            paid: None,
            again: false,
            outcome,
        };
        let end = perform(&mut wire, assignment, || {}).await;
        let Some(End::Task(_, Blame { culprit, late: true })) = end else { panic!("{end:?}") };
        assert_eq!(culprit.as_deref(), Some("slow"));
        let death = process.death(true).await;
        assert_eq!(death.way, Way::PluginLate);
        assert_eq!(death.to_string(), "SIGABRT: not done after 10 ms (time_limit_ms)");
    }

    #[test]
    fn a_fault_says_whose_a_death_is_and_whether_another_try_may_help() {
        use std::os::unix::process::ExitStatusExt as _;
        let death =
            |status, late, words: &str| Death::of(ExitStatus::from_raw(status), late, words.to_owned());
        let (abort, segv) = (6, 11);
        let memory = "memory allocation of 7 bytes failed";
        for (death, alone, of_plugin) in [
            (
                death(abort, false, memory),
                (FaultKind::LimitExceeded, Retry::Never),
                (FaultKind::LimitExceeded, Retry::Never),
            ),
            (
                death(abort, true, "not done after 5 ms (time_limit_ms)"),
                (FaultKind::LimitExceeded, Retry::Never),
                (FaultKind::PluginTimedOut, Retry::Never),
            ),
            (
                death(abort, false, "not done after 5 ms (time_limit_ms)"),
                (FaultKind::OperationFailed, Retry::Worker),
                (FaultKind::PluginTrapped, Retry::Worker),
            ),
            (
                death(segv, false, memory),
                (FaultKind::OperationFailed, Retry::Worker),
                (FaultKind::PluginTrapped, Retry::Worker),
            ),
        ] {
            let fault = death_fault(&death, 160, None);
            assert_eq!((fault.kind, fault.retry), alone, "{death}");
            assert!(fault.operation.is_none() && fault.text.contains(&death.to_string()), "{fault}");
            let fault = death_fault(&death, 160, Some("toned"));
            assert_eq!((fault.kind, fault.retry), of_plugin, "{death}");
            assert_eq!(fault.operation.as_deref(), Some("toned"));
        }
        let text = death_fault(&death(abort, false, memory), 160, None).text;
        assert!(text.contains("[workers] memory_limit_mb = 160): SIGABRT: memory allocation of 7"), "{text}");
    }
}
