//! One worker process as the server sees it: start it, hand it tasks, learn how it died. The process itself is `process`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use imgserve_base::fault::Fault;
use imgserve_base::units::MIB;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::death::Death;
use super::payload::Payload;
use super::process::Process;
use super::protocol::{Loaded, LoadedCodec, RESULTS_TOGETHER, Reply, Request, Setup};
use super::wire::{Blame, Wire};

/// How long a new worker may take to load its plugins.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);

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
    process: Process,
    wire: Wire,
    /// What it has loaded.
    pub(super) loaded: Vec<Loaded>,
    /// The codecs among it.
    pub(super) codecs: Vec<LoadedCodec>,
    /// What the kernel cannot enforce of its sandbox.
    pub(super) unenforced: Vec<String>,
}

impl Child {
    /// Starts `program worker` and waits until its plugins are loaded.
    pub(super) async fn start(program: &Path, setup: &Setup) -> Result<Self, SpawnError> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(SpawnError::Process)?;
        ours.set_nonblocking(true).map_err(SpawnError::Process)?;
        let stream = UnixStream::from_std(ours).map_err(SpawnError::Process)?;
        let mut command = Command::new(program);
        command
            .arg("worker")
            .env_clear()
            .envs(MALLOC_ENV)
            // Of its own group, so that a Ctrl-C in the terminal reaches the server alone.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let process = Process::start(command).map_err(SpawnError::Process)?;
        let wire = Wire::new(stream, RESULTS_TOGETHER * (setup.limits.max_result_mb * MIB));
        let mut child =
            Self { process, wire, loaded: Vec::new(), codecs: Vec::new(), unenforced: Vec::new() };
        let mut blame = Blame::default();
        let hear = |event| blame.hear(&event);
        let (request, nothing) = (Request::Setup(setup.clone()), Payload::NONE);
        let asked = child.wire.ask(&request, &nothing, std::future::pending(), hear);
        match tokio::time::timeout(SETUP_TIMEOUT, asked).await {
            Ok(Ok((Reply::Ready { loaded, codecs, unenforced }, _))) => {
                Ok(Self { loaded, codecs, unenforced, ..child })
            }
            Ok(Ok((Reply::Unready(fault), _))) => Err(SpawnError::Unready(fault)),
            Ok(Ok(_)) => Err(SpawnError::Died("it spoke another protocol".to_owned())),
            Ok(Err(_)) => {
                let death = child.death(blame.late).await;
                Err(SpawnError::Died(match blame.culprit {
                    Some(operation) => format!("operation `{operation}`: its plugin ended it ({death})"),
                    None => death.to_string(),
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
        self.process.forget_words();
        &mut self.wire
    }

    /// Resolves when the process ends by itself.
    pub(super) async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Makes sure the process is gone and says how it ended; `late` is whether it had said that a plugin's time was over.
    pub(super) async fn death(self, late: bool) -> Death {
        self.process.death(late).await
    }
}
