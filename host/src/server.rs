//! A running server: the workers, the API on a listener, and what signals do to it. Takes the listener and the signals
//! as arguments, so that a test can own both.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::MIB;
use imgserve_config::{Config, ConfigError, Paths};
use imgserve_transfer::{Transfer, TransferConfig};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::http;
use crate::job::{Service, reader};

/// What a server can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop when the accepted jobs are finished, or `[server] drain_timeout_s` is over.
    Drain,
    /// Stop at once; results that are being stored have `[server] stop_timeout_s`.
    Stop,
    /// Take in the changed configuration.
    Reload,
}

/// What a server is made of.
pub(crate) struct Setup {
    /// The configuration to begin with.
    pub config: Config,
    /// Reads it again for a reload.
    pub read_config: Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
    /// imgserve itself, for its worker processes.
    pub program: PathBuf,
}

/// Serves on `listener` until it is told to stop. `ready` is called once requests can be answered.
///
/// # Errors
/// The fault for which it cannot start.
pub(crate) async fn serve(
    setup: Setup,
    listener: TcpListener,
    mut commands: mpsc::Receiver<Command>,
    ready: impl FnOnce(),
) -> Result<(), Fault> {
    imgserve_base::crash::arm();
    let Setup { config, read_config, program } = setup;
    let (config, transfer, journal) = blocking(move || {
        let transfer = transfer(&config)?;
        let journal = imgserve_journal::open(&config.journal().display().to_string(), &reader());
        let journal = journal.map_err(|error| Fault::of(FaultKind::JournalUnavailable, &error))?;
        Ok((config, transfer, journal))
    })
    .await?;
    let service = Service::start(&config, program, transfer, journal).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let (service, server) = (Arc::clone(&service), config.server.clone());
        async move {
            let stopped = async {
                let _ = stopped.await;
            };
            http::serve(listener, service, &server, stopped).await;
        }
    });
    ready();
    let drain = loop {
        match commands.recv().await {
            Some(Command::Reload) => {
                // Beside this loop, so that a reload that takes long does not keep a stop waiting.
                tokio::spawn(reload(Arc::clone(&service), Arc::clone(&read_config)));
            }
            Some(Command::Drain) => break Duration::from_secs(config.server.drain_timeout_s),
            Some(Command::Stop) | None => break Duration::ZERO,
        }
    };
    service.close();
    let jobs = service.overview().jobs;
    tracing::info!(jobs, "stopping: finishing accepted jobs for up to {} s", drain.as_secs());
    // The API goes on answering while jobs finish: they can be asked for, and new ones are told "busy".
    tokio::select! {
        _ = service.drain(drain) => {}
        () = told_to_stop(&mut commands) => {}
    }
    let left = service.stop(Duration::from_secs(config.server.stop_timeout_s)).await;
    if left > 0 {
        tracing::info!(jobs = left, "left in the journal; they go on at the next start");
    }
    drop(stop);
    let _ = serving.await;
    tracing::info!("stopped");
    Ok(())
}

async fn told_to_stop(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        if command == Command::Stop {
            return;
        }
    }
    // Nobody is left to say so.
    std::future::pending().await
}

async fn reload(
    service: Arc<Service>,
    read_config: Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
) {
    let read = move || {
        let config = read_config().map_err(|error| config_fault(&error))?;
        transfer(&config).map(|transfer| (config, transfer))
    };
    let outcome = async {
        let (config, transfer) = blocking(read).await?;
        service.reload(&config, transfer).await
    };
    match outcome.await {
        Ok(()) => tracing::info!("configuration reloaded"),
        Err(fault) => tracing::error!("configuration not reloaded, the old one stays: {fault}"),
    }
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

#[allow(clippy::disallowed_methods, reason = "called by `blocking` alone")]
fn transfer(config: &Config) -> Result<Transfer, Fault> {
    let settings = &config.transfer;
    let file_roots = match config.access.file_roots.as_slice() {
        [] => vec![Paths::of_this_user().files],
        roots => roots.to_vec(),
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
        allow_networks: config.access.allow_networks.clone(),
        file_roots,
        connect_timeout: Duration::from_secs(settings.connect_timeout_s),
        idle_timeout: Duration::from_secs(settings.idle_timeout_s),
        total_timeout: Duration::from_secs(settings.total_timeout_s),
        min_rate: settings.min_rate_bytes_s,
        min_rate_window: Duration::from_secs(settings.min_rate_window_s),
        max_source_bytes: config.limits.max_source_mb * MIB,
        max_redirects: settings.max_redirects,
        user_agent: settings.user_agent.clone(),
        extra_ca_pem,
    })
    .map_err(|error| Fault::of(FaultKind::OperationFailed, &error))
}
