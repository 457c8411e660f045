//! One plugin with a worker process of its own, called as a server calls it and under the same limits. A codec is called through the
//! operation `resize`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use imgserve_base::fair::{Flow, Turn};
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::{Format, put_in_force};
use imgserve_config::{CodecSettings, Config, OperationSettings, PluginKind};
use imgserve_sdk::{Description, OutputKind, codec};
use imgserve_worker::plugin::{World, component};
use imgserve_worker::{Budget, Pool, PoolConfig, Prepared, Stats, Task, TaskOutput};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::cli::failure::Failure;
use crate::cli::options::Place;
use crate::cli::start;
use crate::registry::{self, Reading, Registry};

/// The limits to run under.
#[derive(Args, Clone, Debug)]
pub(super) struct LabOptions {
    /// Configuration file whose limits hold (default: the server's, if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// MiB of memory that the sandbox may take, as in the operation's section
    #[arg(long, value_name = "MB")]
    memory_limit_mb: Option<u64>,
    /// Milliseconds that one call may take, as in the operation's section
    #[arg(long, value_name = "MS")]
    time_limit_ms: Option<u64>,
    /// The operation's `config` table, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    settings: Option<Map<String, Value>>,
}

/// A JSON object, from the command line.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("must be a JSON object, such as '{\"width\": 200}'".to_owned()),
        Err(error) => Err(format!("must be a JSON object, such as '{{\"width\": 200}}': {error}")),
    }
}

/// A worker with one plugin.
pub(super) struct Lab {
    runtime: Runtime,
    pool: Pool,
    /// The operation that is called is its only one.
    registry: Registry,
    /// What the plugin says of itself.
    pub(super) plugin: Described,
}

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub(super) enum Described {
    Operation(Description),
    Codec(codec::Description),
}

impl Described {
    /// What comes of it.
    pub(super) fn output(&self) -> &OutputKind {
        match self {
            Self::Operation(description) => &description.output,
            Self::Codec(_) => &OutputKind::Source,
        }
    }
}

/// Of results where the arguments do not say otherwise.
const QUALITY: u8 = 90;

/// The operation by which a codec is tried.
const BY: &str = "resize";

/// A source, and what is to become of it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) source: Bytes,
    /// The source's file name extension.
    pub(super) extension: String,
    pub(super) args: Map<String, Value>,
    /// The result's format; none for a plugin that encodes its result itself.
    pub(super) format: Option<Format>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    /// Arguments that nobody knows.
    pub(super) unknown: Vec<String>,
    pub(super) prepared: Prepared,
    pub(super) outcome: TaskOutput,
    /// From the task's sending to its result.
    pub(super) took: Duration,
}

impl Lab {
    /// Loads the plugin file at `path`: a shared library if it is named like one, else WebAssembly.
    pub(super) fn open(path: &Path, limits: &LabOptions) -> Result<Self, Failure> {
        let path = path.canonicalize().map_err(Failure::io(format!("cannot read {}", path.display())))?;
        let mut config = Place { config: limits.config.clone(), pid: None }.load()?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Failure::io("cannot start the runtime"))?;
        if is_codec(&path)? {
            let codec = CodecSettings {
                memory_limit_mb: limits.memory_limit_mb,
                time_limit_ms: limits.time_limit_ms,
                ..CodecSettings::of_file(path)
            };
            // Others may read the same format.
            config.codecs = [(name, codec)].into();
            let resize = OperationSettings {
                plugin: BY.to_owned(),
                path: None,
                ..OperationSettings::of_file(PluginKind::Builtin, PathBuf::new())
            };
            let (pool, registry) = start_with(&runtime, config, (BY, resize))?;
            let loaded = pool.codecs().first().ok_or_else(not_loaded)?;
            let plugin = Described::Codec(loaded.description.clone());
            return Ok(Self { runtime, pool, registry, plugin });
        }
        let kind = PluginKind::of_file(&path);
        let operation = OperationSettings {
            memory_limit_mb: limits.memory_limit_mb,
            time_limit_ms: limits.time_limit_ms,
            config: limits.settings.clone().unwrap_or_default(),
            ..OperationSettings::of_file(kind, path)
        };
        let (pool, registry) = start_with(&runtime, config, (&name, operation))?;
        let loaded = pool.loaded().first().ok_or_else(not_loaded)?;
        let plugin = Described::Operation(loaded.description.clone());
        Ok(Self { runtime, pool, registry, plugin })
    }

    /// Checks the arguments as a server does, plans and runs, as a job would be.
    pub(super) fn attempt(&self, trial: &Trial) -> Result<Measured, Fault> {
        self.watched(trial, Arc::new(|_| {}))
    }

    /// The same; `progress` is told how much is done, from 0 to 1.
    pub(super) fn watched(
        &self,
        trial: &Trial,
        progress: Arc<dyn Fn(f32) + Send + Sync>,
    ) -> Result<Measured, Fault> {
        let reading = Reading::AsMeant;
        let called = self.registry.iter().next();
        let called = called.ok_or_else(|| Fault::new(FaultKind::UnknownOperation, "it is not registered"))?;
        let chain = self.registry.chain(called, called.given(trial.args.clone(), reading), reading)?;
        let quality = registry::integer(&chain.host_args, "quality")?.map(registry::quality).transpose()?;
        let task = Task {
            steps: chain.steps,
            extension: trial.extension.clone(),
            format: trial.format,
            quality: quality.unwrap_or(QUALITY),
            kept: registry::kept(&chain.host_args)?,
            seed: 0,
        };
        let unknown = chain.unknown;
        self.runtime.block_on(async {
            let prepared =
                self.pool.prepare(&Flow::default(), task.clone(), trial.source.clone(), true, true).await?;
            let (prepared, _) = prepared.ok_or_else(|| {
                Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")
            })?;
            let began = Instant::now();
            let (source, peak_bytes) = (trial.source.clone(), prepared.own_bytes);
            let turn = Turn::default();
            let mut outcomes = self.pool.run(vec![task], source, peak_bytes, &turn, progress).await?;
            Ok(Measured { unknown, prepared, outcome: outcomes.swap_remove(0)?, took: began.elapsed() })
        })
    }

    /// The names of the operation's arguments; none of a codec, which has none.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let Described::Operation(description) = &self.plugin else { return Vec::new() };
        let properties = description.arguments["properties"].as_object();
        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// The format of a result that is stored as `file`; none for a plugin that encodes its result itself.
    pub(super) fn format_for(&self, file: &Path) -> Result<Option<Format>, Failure> {
        if let OutputKind::Encoded { .. } = self.plugin.output() {
            return Ok(None);
        }
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        let format = Format::from_extension(&extension).filter(|format| format.can_encode());
        format.map(Some).ok_or_else(|| {
            let known: Vec<&str> = Format::written().map(Format::name).collect();
            Failure::Other(format!("{} must end in one of {}", file.display(), known.join(", ")))
        })
    }
}

fn not_loaded() -> Failure {
    Failure::Other("it was not loaded".to_owned())
}

/// Whether the plugin in a file is a codec. What is wrong with one that is none of both shows when it is loaded.
fn is_codec(path: &Path) -> Result<bool, Failure> {
    if PluginKind::of_file(path) != PluginKind::Wasm {
        return Ok(false);
    }
    let bytes = std::fs::read(path).map_err(Failure::io(format!("cannot read {}", path.display())))?;
    Ok(component::inspect(&bytes).is_ok_and(|found| found.world == World::Codec))
}

/// A worker with this operation alone, and what requests are checked against.
fn start_with(
    runtime: &Runtime,
    mut config: Config,
    (name, operation): (&str, OperationSettings),
) -> Result<(Pool, Registry), Failure> {
    let pool = start_pool(runtime, &config, &[(name.to_owned(), operation.clone())])?;
    config.operations = [(name.to_owned(), operation)].into();
    let registry =
        Registry::build(&config, pool.loaded(), pool.codecs()).map_err(|fault| Failure::Other(fault.text))?;
    Ok((pool, registry))
}

/// One worker with these operations and the configuration's codecs, whose formats are known from then on.
pub(in crate::cli) fn start_pool(
    runtime: &Runtime,
    config: &Config,
    operations: &[(String, OperationSettings)],
) -> Result<Pool, Failure> {
    let mut workers = config.workers.clone();
    workers.count = 1;
    let pool = PoolConfig {
        program: start::program()?,
        operations: operations.to_vec(),
        codecs: config.codecs.iter().map(|(name, codec)| (name.clone(), codec.clone())).collect(),
        cache_dir: config.cache_dir(),
        plugins: config.plugins.clone(),
        workers,
        limits: config.limits.clone(),
        codec: config.codec.clone(),
    };
    let budget = Budget::new(config.memory_budget());
    let started = runtime.block_on(Pool::start(pool, budget, Arc::new(Stats::default())));
    let pool = started.map_err(|fault| Failure::Other(fault.text))?;
    put_in_force(pool.formats().to_vec());
    Ok(pool)
}

/// Whether a plugin did what it may not.
pub(super) fn is_plugins_mistake(fault: &Fault) -> bool {
    use FaultKind::{PluginContract, PluginOutOfMemory, PluginTimedOut, PluginTrapped};
    matches!(fault.kind, PluginContract | PluginOutOfMemory | PluginTimedOut | PluginTrapped)
        || fault.operation.is_some()
}
