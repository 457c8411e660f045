//! One worker process as the server sees it: start it, hand it tasks, learn how it died.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgserve_base::fault::Fault;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::payload::Payload;
use super::protocol::{Loaded, RESULTS_TOGETHER, Reply, Request, Setup};
use super::wire::{Event, Wire};

/// How long a new worker may take to load its plugins.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a dead worker's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Longest line taken from a worker's stderr, in bytes; the rest of the line is dropped.
const MAX_LINE: usize = 2048;

/// Large buffers stay with the process instead of going back to the kernel after each task: fresh pages cost more
/// than the work on them. glibc takes the values from the environment.
const MALLOC_ENV: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "67108864"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// Why a worker cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    /// The process cannot be started, or ended at once.
    #[error("cannot start a worker process")]
    Process(#[source] io::Error),
    /// It did not become ready.
    #[error("a new worker process died: {0}")]
    Died(String),
    /// It cannot load its plugins.
    #[error("{0}")]
    Unready(Fault),
}

/// A running worker process. Killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    wire: Wire,
    last_line: Arc<Mutex<String>>,
    log: Option<JoinHandle<()>>,
    /// What it has loaded.
    pub(super) loaded: Vec<Loaded>,
    /// What the kernel cannot enforce of its sandbox.
    pub(super) unenforced: Vec<String>,
}

impl Child {
    /// Starts `program worker` and waits until its plugins are loaded.
    pub(super) async fn start(program: &Path, setup: &Setup) -> Result<Self, SpawnError> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(SpawnError::Process)?;
        ours.set_nonblocking(true).map_err(SpawnError::Process)?;
        let stream = UnixStream::from_std(ours).map_err(SpawnError::Process)?;
        let mut process = Command::new(program)
            .arg("worker")
            .env_clear()
            .envs(MALLOC_ENV)
            // Of its own group, so that a Ctrl-C in the terminal reaches the server alone.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(SpawnError::Process)?;
        let last_line = Arc::new(Mutex::new(String::new()));
        let log = process
            .stderr
            .take()
            .map(|stderr| tokio::spawn(log_lines(stderr, process.id().unwrap_or(0), Arc::clone(&last_line))));
        let wire = Wire::new(stream, RESULTS_TOGETHER * (setup.limits.max_result_mb << 20));
        let mut child = Self { process, wire, last_line, log, loaded: Vec::new(), unenforced: Vec::new() };
        let mut culprit = None;
        let hear = |event| {
            if let Event::Calls(operation) = event {
                culprit = operation;
            }
        };
        let (request, nothing) = (Request::Setup(setup.clone()), Payload::NONE);
        let asked = child.wire.ask(&request, &nothing, std::future::pending(), hear);
        match tokio::time::timeout(SETUP_TIMEOUT, asked).await {
            Ok(Ok((Reply::Ready { loaded, unenforced }, _))) => Ok(Self { loaded, unenforced, ..child }),
            Ok(Ok((Reply::Unready(fault), _))) => Err(SpawnError::Unready(fault)),
            Ok(Ok(_)) => Err(SpawnError::Died("it spoke another protocol".to_owned())),
            Ok(Err(_)) => {
                let end = child.obituary().await;
                Err(SpawnError::Died(match culprit {
                    Some(operation) => format!("operation `{operation}`: its plugin ended it ({end})"),
                    None => end,
                }))
            }
            Err(_) => Err(SpawnError::Died(format!("not ready after {} s", SETUP_TIMEOUT.as_secs()))),
        }
    }

    /// The process id, for people and tests.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The way to hand it a task; what it said of earlier ones is forgotten.
    pub(super) fn for_task(&mut self) -> &mut Wire {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clear();
        &mut self.wire
    }

    /// Resolves when the process ends by itself.
    pub(super) async fn ended(&mut self) {
        // An error here means the process cannot be waited for, which is as good as gone.
        let _ = self.process.wait().await;
    }

    /// Makes sure the process is gone and says how it ended.
    pub(super) async fn obituary(mut self) -> String {
        let status = match tokio::time::timeout(Duration::from_secs(1), self.process.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.process.start_kill();
                self.process.wait().await
            }
        };
        // The last words may still be in the pipe; the task that reads them ends with it.
        if let Some(log) = self.log.take() {
            let _ = tokio::time::timeout(LAST_WORDS, log).await;
        }
        let line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let how = status.map_or_else(|error| error.to_string(), describe);
        if line.is_empty() { how } else { format!("{how}: {line}") }
    }
}

fn describe(status: ExitStatus) -> String {
    // signal(7), the ones that end a process which did something wrong or was made to end.
    const NAMES: [(i32, &str); 9] = [
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (31, "SIGSYS"),
    ];
    match (status.signal(), status.code()) {
        (Some(signal), _) => match NAMES.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("signal {signal}"),
        },
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "unknown end".to_owned(),
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
