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
use imgserve_config::{PluginFile, Plugins};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use super::pool::PoolConfig;
use super::protocol::{Registered, RegisteredCodec};
use crate::plugin::{self, Artifact};

/// What is to be made ready.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    /// What each is the plugin of, as texts call it, and its file.
    files: Vec<(String, PluginFile)>,
    cache_dir: PathBuf,
    /// RLIMIT_DATA in bytes.
    memory_limit: u64,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// It begins with the plugin of this.
    Begins(String),
    /// Which will take a while.
    Compiling,
    /// It is ready.
    Ready(Artifact),
    /// It cannot be had; a text.
    Failed(String),
}

/// Has the plugin files of all operations and codecs made ready.
///
/// # Errors
/// The fault that names the operation or codec whose plugin cannot be had.
pub(super) async fn compile(config: &PoolConfig) -> Result<(Vec<Registered>, Vec<RegisteredCodec>), Fault> {
    let PoolConfig { program, operations, codecs, cache_dir, plugins, .. } = config;
    let of_operations = operations.iter().filter_map(|(name, settings)| {
        let file = settings.file()?;
        Some((format!("operation `{name}`"), file))
    });
    let of_codecs = codecs.iter().map(|(name, settings)| (format!("codec `{name}`"), settings.file()));
    let order = Order {
        files: of_operations.chain(of_codecs).collect(),
        cache_dir: cache_dir.clone(),
        memory_limit: plugins.compile_memory_mb * MIB,
    };
    let mut artifacts = made_ready(program, &order, plugins).await?.into_iter();
    let mut next = || artifacts.next().expect("there is one for each file");
    let operations = operations.iter().map(|(name, settings)| Registered {
        name: name.clone(),
        settings: settings.clone(),
        artifact: settings.path.is_some().then(&mut next),
    });
    let operations = operations.collect();
    let codecs = codecs.iter().map(|(name, settings)| RegisteredCodec {
        name: name.clone(),
        settings: settings.clone(),
        artifact: next(),
    });
    Ok((operations, codecs.collect()))
}

/// What becomes of each file of an order.
async fn made_ready(program: &Path, order: &Order, plugins: &Plugins) -> Result<Vec<Artifact>, Fault> {
    if order.files.is_empty() {
        return Ok(Vec::new());
    }
    let mut process = Process::start(program, order, plugins).await?;
    let mut artifacts = Vec::with_capacity(order.files.len());
    for (label, _) in &order.files {
        artifacts.push(process.next(label).await?);
    }
    Ok(artifacts)
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

    /// What became of the plugin of what is called so.
    async fn next(&mut self, label: &str) -> Result<Artifact, Fault> {
        let began = Instant::now();
        let until = tokio::time::Instant::now() + self.timeout;
        loop {
            let Ok(word) = tokio::time::timeout_at(until, self.words.next_line()).await else {
                let limit = self.timeout.as_secs();
                let text = format!("{label}: not compiled after {limit} s ([plugins] compile_timeout_s)");
                return Err(fault(text));
            };
            let word = word.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
            match word {
                Some(Word::Begins(_)) => {}
                Some(Word::Compiling) => tracing::info!("{label}: compiling its plugin"),
                Some(Word::Ready(artifact)) => {
                    let ms = began.elapsed().as_millis() as u64;
                    tracing::debug!(ms, "{label}: plugin ready");
                    return Ok(artifact);
                }
                Some(Word::Failed(text)) => return Err(fault(format!("{label}: {text}"))),
                None => {
                    let end = match self.child.wait().await {
                        Ok(status) => status.to_string(),
                        Err(error) => error.to_string(),
                    };
                    let text = format!(
                        "{label}: the compiler died of its plugin ({end}; [plugins] compile_memory_mb)"
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
    for (label, file) in &order.files {
        say(&Word::Begins(label.clone()))?;
        // A broken pipe shows with the next word.
        let compiling = || drop(say(&Word::Compiling));
        match plugin::prepare(file, &order.cache_dir, compiling) {
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
