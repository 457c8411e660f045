//! A running server: the workers, the API on a listener, and what signals do to it. Takes the listener and the signals
//! as arguments, so that a test can own both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::MIB;
use imgserve_cache::{Cache, CacheError};
use imgserve_config::{Config, ConfigError, NetworkRule, Paths, RuleHost, Server};
use imgserve_journal::{Database, Journal, JournalError, Opening};
use imgserve_transfer::{Allowed, AllowedHost, Transfer, TransferConfig};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::descriptors;
use crate::http;
use crate::job::{Service, reader};
use crate::stores;

/// Pause between two looks whether another server has let go of the journal.
const LOOK: Duration = Duration::from_millis(20);

/// What a server can be told, and by which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop when the accepted jobs are finished, or `[server] drain_timeout_s` is over.
    Drain(&'static str),
    /// Stop at once; results that are being stored have `[server] stop_timeout_s`.
    Stop(&'static str),
    /// Take in the changed configuration.
    Reload(&'static str),
}

/// What others than its clients want to know of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It does not serve yet, as another process has something that it needs.
    Waits(String),
    /// A reload begins, of this number counted from 1: what the configuration says from now on is taken in.
    Reloading(u64),
    /// That reload has ended: which keys it would take a restart to take in, or why nothing was taken in.
    Reloaded(u64, Result<Vec<String>, String>),
    /// It has been told to stop.
    Stopping,
}

/// Hears of events; may block.
pub(crate) type Tell = Arc<dyn Fn(Event) + Send + Sync>;
/// Hears of a configuration that a reload has taken in; may block.
pub(crate) type TakenIn = Arc<dyn Fn(&Config) + Send + Sync>;
/// Reads the configuration; blocks.
type ReadConfig = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What a server is made of.
pub(crate) struct Setup {
    /// The configuration to begin with.
    pub config: Config,
    /// The same as it was read, without what the command line says.
    pub file: Config,
    /// Reads it again for a reload.
    pub read_config: ReadConfig,
    /// imgserve itself, for its worker processes.
    pub program: PathBuf,
    /// Until when what a server that is ending still has is waited for.
    pub patience: Instant,
    /// Who hears of events.
    pub tell: Tell,
    /// Who hears of what is taken in.
    pub taken_in: TakenIn,
}

/// Serves until it is told to stop, on the listener that `listening` gives. `ready` is called with its address once requests
/// can be answered.
///
/// # Errors
/// The fault for which it cannot start.
pub(crate) async fn serve(
    setup: Setup,
    listening: impl Future<Output = Result<TcpListener, Fault>>,
    mut commands: mpsc::Receiver<Command>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Fault> {
    imgserve_base::crash::arm();
    let Setup { mut config, file, read_config, program, patience, tell, taken_in } = setup;
    for warning in descriptors::fit(&mut config, descriptors::raise()) {
        tracing::warn!("{warning}");
    }
    let waits = Arc::clone(&tell);
    let prepared = async {
        let listener = listening.await?;
        let bound = listener.local_addr();
        let bound = bound.map_err(|error| Fault::of(FaultKind::OperationFailed, &error))?;
        let (config, transfer, (journal, cache)) = blocking(move || {
            let transfer = transfer(&config)?;
            let journal = open_journal(&config, patience, &*waits)?;
            let cache = open_cache(&config, patience)?;
            Ok((config, transfer, (journal, cache)))
        })
        .await?;
        let service = Service::start(&config, program, transfer, journal, cache).await?;
        Ok::<_, Fault>((listener, bound, config, service))
    };
    let reload = Arc::new(Notify::new());
    let (listener, bound, config, service) = tokio::select! {
        prepared = prepared => prepared?,
        // What is waited for, and plugins that are compiled, may take their time.
        signal = told_to_end(&mut commands, &reload) => {
            tracing::info!("{signal}: stopped before it served");
            return Ok(());
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let (service, config) = (Arc::clone(&service), config.clone());
        async move {
            let stopped = async {
                let _ = stopped.await;
            };
            http::serve(listener, service, &config, stopped).await;
        }
    });
    ready(bound);
    // Beside the loop below, so that a reload that takes long does not keep a stop waiting.
    let reloads = Reloads {
        service: Arc::clone(&service),
        began: file,
        read_config,
        asked: Arc::clone(&reload),
        tell: Arc::clone(&tell),
        taken_in,
    };
    let reloading = tokio::spawn(reloads.run());
    let (signal, drain) = told_while_it_serves(&mut commands, &reload, &config.server).await;
    reloading.abort();
    let _ = tokio::task::spawn_blocking(move || tell(Event::Stopping)).await;
    finish(&service, (signal, drain), &config.server, &mut commands).await;
    drop(stop);
    let _ = serving.await;
    tracing::info!("stopped");
    Ok(())
}

/// By which signal it is to end, and for how long accepted jobs may finish then. Until then reloads are asked for as they come.
async fn told_while_it_serves(
    commands: &mut mpsc::Receiver<Command>,
    reload: &Notify,
    server: &Server,
) -> (&'static str, Duration) {
    loop {
        match commands.recv().await {
            Some(Command::Reload(signal)) => {
                tracing::info!("{signal}: reloading the configuration");
                reload.notify_one();
            }
            Some(Command::Drain(signal)) => return (signal, Duration::from_secs(server.drain_timeout_s)),
            Some(Command::Stop(signal)) => return (signal, Duration::ZERO),
            None => return ("nobody is left to say so", Duration::ZERO),
        }
    }
}

/// Takes no new jobs, finishes accepted ones for as long as they may and nobody says otherwise, and leaves the others.
async fn finish(
    service: &Service,
    (signal, drain): (&str, Duration),
    server: &Server,
    commands: &mut mpsc::Receiver<Command>,
) {
    service.close();
    let jobs = service.overview().jobs;
    let hint =
        if signal == "SIGHUP" { "; SIGUSR1 reloads, and [server] hangup says what SIGHUP does" } else { "" };
    tracing::info!(
        jobs,
        "stopping: finishing accepted jobs for up to {} s ({signal}{hint})",
        drain.as_secs()
    );
    // The API goes on answering while jobs finish: they can be asked for, and new ones are told "busy".
    tokio::select! {
        _ = service.drain(drain) => {}
        () = told_to_stop(commands) => {}
    }
    let left = service.stop(Duration::from_secs(server.stop_timeout_s)).await;
    if left > 0 {
        tracing::info!(jobs = left, "left in the journal; they go on at the next start");
    }
}

/// The signal by which a server that does not serve yet is told not to begin. A `reload` comes after the beginning: the
/// configuration is read by now.
async fn told_to_end(commands: &mut mpsc::Receiver<Command>, reload: &Notify) -> &'static str {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Stop(signal) | Command::Drain(signal) => return signal,
            Command::Reload(signal) => {
                tracing::info!("{signal}: reloading the configuration once it serves");
                reload.notify_one();
            }
        }
    }
    std::future::pending().await
}

async fn told_to_stop(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Stop(signal) => return tracing::info!("{signal}: stopping at once"),
            Command::Drain(signal) => tracing::info!("{signal}: stopping already"),
            Command::Reload(signal) => tracing::info!("{signal}: not reloading, as this server is stopping"),
        }
    }
    // Nobody is left to say so.
    std::future::pending().await
}

/// What a reload needs, and whom it tells.
struct Reloads {
    service: Arc<Service>,
    /// What the file said when the server began.
    began: Config,
    read_config: ReadConfig,
    asked: Arc<Notify>,
    tell: Tell,
    taken_in: TakenIn,
}

impl Reloads {
    /// Reloads whenever it is asked for, one after the other: what is asked for during a reload is one more.
    async fn run(self) {
        for number in 1.. {
            self.asked.notified().await;
            let outcome = self.reload(number).await;
            let said = self.say(&outcome);
            self.service.reloaded(said.as_ref().err().map(String::as_str));
            let (tell, taken_in) = (Arc::clone(&self.tell), Arc::clone(&self.taken_in));
            let told = move || {
                if let Ok(config) = &outcome {
                    taken_in(config);
                }
                tell(Event::Reloaded(number, said));
            };
            let _ = tokio::task::spawn_blocking(told).await;
        }
    }

    /// Logs how a reload went; gives which keys it would take a restart to take in, or why nothing was.
    fn say(&self, outcome: &Result<Config, Fault>) -> Result<Vec<String>, String> {
        let config = outcome.as_ref().map_err(|fault| {
            tracing::error!("configuration not reloaded, the old one stays: {fault}");
            fault.text.clone()
        })?;
        tracing::info!("configuration reloaded");
        let restart = config.needs_restart(&self.began);
        if !restart.is_empty() {
            tracing::warn!("it takes a restart to take in {}", restart.join(", "));
        }
        Ok(restart)
    }

    /// Takes in what the configuration says now, and gives it as it was read.
    async fn reload(&self, number: u64) -> Result<Config, Fault> {
        let (tell, read_config) = (Arc::clone(&self.tell), Arc::clone(&self.read_config));
        let (config, fitted, transfer) = blocking(move || {
            // Told before the file is read: whoever has changed it before that may count on it.
            tell(Event::Reloading(number));
            let config = read_config().map_err(|error| config_fault(&error))?;
            let mut fitted = config.clone();
            // What there is less of the start has said.
            descriptors::fit(&mut fitted, descriptors::raise());
            transfer(&fitted).map(|transfer| (config, fitted, transfer))
        })
        .await?;
        self.service.reload(&fitted, transfer).await?;
        Ok(config)
    }
}

/// All that [`serve`] does before it serves, and a reload before it takes anything in, for a process that is no server.
/// Returns how many operations there would be.
///
/// # Errors
/// The fault for which a server cannot start.
pub(crate) async fn check(config: &Config, program: PathBuf) -> Result<usize, Fault> {
    let config = config.clone();
    let config = blocking(move || {
        transfer(&config)?;
        let journal = imgserve_journal::check(&opening(&config));
        journal.map_err(|error| Fault::of(FaultKind::JournalUnavailable, &error))?;
        if config.cache.is_on() {
            imgserve_cache::check(&config.cache.dir).map_err(|error| cache_fault(&error))?;
        }
        Ok(config)
    })
    .await?;
    Service::check(&config, &program).await
}

/// Which journal the configuration names.
pub(crate) fn opening(config: &Config) -> Opening {
    let database = Database {
        node_file: config.node_file(),
        password_file: config.jobs.journal_password_file.clone(),
        ca_file: config.jobs.journal_ca_file.clone(),
        migrate: config.jobs.migrate,
        node_name: node_name(config),
        listen: config.jobs.listen,
        lease: Duration::from_secs(config.jobs.lease_s),
    };
    Opening { address: config.journal(), reader: reader(), database }
}

/// What this server is called among those that share a journal: as the machine is where nothing else is said.
fn node_name(config: &Config) -> String {
    match config.jobs.node_name.is_empty() {
        true => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        false => config.jobs.node_name.clone(),
    }
}

/// Opens the journal; that of another server which is ending is waited for, and a database that is away.
fn open_journal(config: &Config, patience: Instant, tell: &dyn Fn(Event)) -> Result<Arc<dyn Journal>, Fault> {
    let opening = opening(config);
    let mut said = false;
    loop {
        let opened = imgserve_journal::open(&opening);
        let waits = match &opened {
            Err(JournalError::InUse { journal }) => format!("{journal}, which another imgserve uses"),
            Err(JournalError::Unwritable { text }) => format!("database: {text}"),
            _ => String::new(),
        };
        if waits.is_empty() || Instant::now() >= patience {
            return opened.map_err(|error| Fault::of(FaultKind::JournalUnavailable, &error));
        }
        if !std::mem::replace(&mut said, true) {
            let seconds = config.server.start_wait_s;
            tell(Event::Waits(format!("waiting up to {seconds} s for the journal {waits}")));
        }
        std::thread::sleep(LOOK);
    }
}

/// Opens the cache, if there is to be one; that of another server which is ending is waited for.
fn open_cache(config: &Config, patience: Instant) -> Result<Option<Arc<Cache>>, Fault> {
    let cache = &config.cache;
    if !cache.is_on() {
        return Ok(None);
    }
    let settings = imgserve_cache::Settings {
        dir: cache.dir.clone(),
        max_bytes: cache.max_mb * MIB,
        max_age: Duration::from_secs(cache.max_age_h * 3600),
        memory_bytes: cache.memory_mb * MIB,
    };
    loop {
        match Cache::open(settings.clone()) {
            Err(CacheError::InUse { .. }) if Instant::now() < patience => std::thread::sleep(LOOK),
            opened => return opened.map(Some).map_err(|error| cache_fault(&error)),
        }
    }
}

fn cache_fault(error: &CacheError) -> Fault {
    Fault::of(FaultKind::OperationFailed, error)
}

/// Work that reads files, on a thread where that disturbs nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let broken_off =
        |_| Err(Fault::new(FaultKind::OperationFailed, "reading the configuration was broken off"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(broken_off)
}

fn config_fault(error: &ConfigError) -> Fault {
    Fault::of(FaultKind::OperationFailed, error)
}

/// A rule of the configuration as `transfer` has it.
fn allowed(rule: &NetworkRule) -> Allowed {
    let host = match &rule.host {
        RuleHost::Network(network) => AllowedHost::Network(*network),
        RuleHost::Name(name) => AllowedHost::Name(name.clone()),
    };
    Allowed { host, port: rule.port }
}

#[allow(clippy::disallowed_methods, reason = "called by `blocking` alone")]
fn transfer(config: &Config) -> Result<Transfer, Fault> {
    let settings = &config.transfer;
    let file_roots = match config.access.file_roots.as_slice() {
        // Made when something is stored there.
        [] => {
            let root = Paths::of_this_user().files;
            if root.exists() {
                check_root(&root)?;
            }
            vec![root]
        }
        roots => {
            roots.iter().try_for_each(|root| check_root(root))?;
            roots.to_vec()
        }
    };
    let mut extra_ca_pem = Vec::new();
    if !settings.ca_file.as_os_str().is_empty() {
        let path = settings.ca_file.display();
        let pem = std::fs::read(&settings.ca_file).map_err(|error| {
            let text = format!("[transfer] ca_file: cannot read {path}: {error}");
            Fault::new(FaultKind::OperationFailed, text)
        })?;
        extra_ca_pem.push(pem);
    }
    Transfer::new(TransferConfig {
        allow_networks: config.access.allow_networks.iter().map(allowed).collect(),
        file_roots,
        connect_timeout: Duration::from_secs(settings.connect_timeout_s),
        idle_timeout: Duration::from_secs(settings.idle_timeout_s),
        total_timeout: Duration::from_secs(settings.total_timeout_s),
        min_rate: settings.min_rate_bytes_s,
        min_rate_window: Duration::from_secs(settings.min_rate_window_s),
        max_source_bytes: config.limits.max_source_mb * MIB,
        max_redirects: settings.max_redirects,
        idle_per_server: descriptors::idle_per_server(settings.max_transfers),
        user_agent: settings.user_agent.clone(),
        extra_ca_pem,
        stores: stores::configured(config)?,
    })
    .map_err(|error| Fault::of(FaultKind::OperationFailed, &error))
}

fn check_root(root: &Path) -> Result<(), Fault> {
    let refuse = |why: &str| {
        let text = format!("[access] file_roots: {} {why}", root.display());
        Err(Fault::new(FaultKind::OperationFailed, text))
    };
    match std::fs::metadata(root) {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => refuse("is no directory"),
        Err(error) => refuse(&format!("cannot be used: {error}")),
    }
}
