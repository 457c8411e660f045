//! Plugin files made ready to load, in a process of its own with limits of its own: a file that makes the compiler grow,
//! hang or crash costs a start or a reload, and says so. Both sides: the server's [`compile`], the process's [`serve`].
//!
//! They speak JSON: an [`Order`] on stdin, a [`Word`] a line on stdout.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind, chain};
use imgserve_base::units::MIB;
use imgserve_config::{OperationSettings, PluginKind, Plugins};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use super::protocol::Registered;
use crate::plugin::{self, Artifact};

/// What is to be made ready.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    operations: Vec<(String, OperationSettings)>,
    cache_dir: PathBuf,
    /// RLIMIT_DATA in bytes.
    memory_limit: u64,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// It begins with the plugin of this operation.
    Begins(String),
    /// Which will take a while.
    Compiling,
    /// It is ready.
    Ready(Option<Artifact>),
    /// It cannot be had; a text.
    Failed(String),
}

/// Has the plugin files of all operations made ready.
///
/// # Errors
/// The fault that names the operation whose plugin cannot be had.
pub(super) async fn compile(
    program: &Path,
    operations: &[(String, OperationSettings)],
    cache_dir: &Path,
    plugins: &Plugins,
) -> Result<Vec<Registered>, Fault> {
    let registered = |(name, settings): &(String, OperationSettings), artifact| Registered {
        name: name.clone(),
        settings: settings.clone(),
        artifact,
    };
    let (of_files, builtin): (Vec<_>, Vec<_>) =
        operations.iter().cloned().partition(|(_, settings)| settings.kind != PluginKind::Builtin);
    let mut ready: Vec<_> = builtin.iter().map(|operation| registered(operation, None)).collect();
    if of_files.is_empty() {
        return Ok(ready);
    }
    let order = Order {
        operations: of_files,
        cache_dir: cache_dir.to_owned(),
        memory_limit: plugins.compile_memory_mb * MIB,
    };
    let mut process = Process::start(program, &order, plugins).await?;
    for operation in &order.operations {
        ready.push(registered(operation, process.next(&operation.0).await?));
    }
    Ok(ready)
}

fn fault(text: impl Into<String>) -> Fault {
    Fault::new(FaultKind::OperationFailed, text)
}

/// The process, as the server sees it. Killed when dropped.
struct Process {
    child: tokio::process::Child,
    words: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    timeout: Duration,
}

impl Process {
    async fn start(program: &Path, order: &Order, plugins: &Plugins) -> Result<Self, Fault> {
        let failed =
            |error: io::Error| fault(format!("cannot start the process that compiles plugins: {error}"));
        let mut child = tokio::process::Command::new(program)
            .arg("compile")
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let order = serde_json::to_vec(order).expect("an order has only JSON types");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(&order).await.map_err(failed)?;
        drop(stdin);
        let words = tokio::io::BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        Ok(Self { child, words, timeout: Duration::from_secs(plugins.compile_timeout_s) })
    }

    /// What became of the plugin behind the operation of this name.
    async fn next(&mut self, name: &str) -> Result<Option<Artifact>, Fault> {
        let began = Instant::now();
        let until = tokio::time::Instant::now() + self.timeout;
        loop {
            let Ok(word) = tokio::time::timeout_at(until, self.words.next_line()).await else {
                let limit = self.timeout.as_secs();
                let text =
                    format!("operation `{name}`: not compiled after {limit} s ([plugins] compile_timeout_s)");
                return Err(fault(text));
            };
            let word = word.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
            match word {
                Some(Word::Begins(_)) => {}
                Some(Word::Compiling) => tracing::info!(operation = name, "compiling its plugin"),
                Some(Word::Ready(artifact)) => {
                    let ms = began.elapsed().as_millis() as u64;
                    tracing::debug!(operation = name, ms, "plugin ready");
                    return Ok(artifact);
                }
                Some(Word::Failed(text)) => return Err(fault(format!("operation `{name}`: {text}"))),
                None => {
                    let end = match self.child.wait().await {
                        Ok(status) => status.to_string(),
                        Err(error) => error.to_string(),
                    };
                    let text = format!(
                        "operation `{name}`: the compiler died of its plugin ({end}; [plugins] compile_memory_mb)"
                    );
                    return Err(fault(text));
                }
            }
        }
    }
}

/// The hidden command `compile`.
pub fn serve() -> ExitCode {
    match serve_order() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compile: {error} (this command is started by the server, not by hand)");
            ExitCode::FAILURE
        }
    }
}

fn serve_order() -> io::Result<()> {
    let mut text = String::new();
    let mut stdin = BufReader::new(io::stdin().lock());
    while stdin.read_line(&mut text)? > 0 {}
    let order: Order = serde_json::from_str(&text)?;
    let limit = Some(order.memory_limit);
    setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit })?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    for (name, settings) in &order.operations {
        say(&Word::Begins(name.clone()))?;
        // A broken pipe shows with the next word.
        let compiling = || drop(say(&Word::Compiling));
        match plugin::prepare(settings, &order.cache_dir, compiling) {
            Ok(artifact) => say(&Word::Ready(artifact))?,
            Err(error) => say(&Word::Failed(chain(&error)))?,
        }
    }
    plugin::prune(&order.cache_dir);
    Ok(())
}

fn say(word: &Word) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, word)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
