//! `imgserve demo`: a real server with endpoints of its own, real jobs through it, and a judgement of every result.
//! Needs no network, configuration or home directory, and touches nothing outside of its own directory.
//!
//! # Layout
//! - `samples`, painted by `landscape` and `ball`: the sources
//! - `peers`: what jobs fetch from and store to: `web`, `ftp`, `folder`; what arrives there is kept on a `shelf`
//! - `jobs`: the table of jobs; `run`, by `client`: one of them from the POST to the verdict
//! - `found`, `check`: what is at a destination, and whether it is right
//! - `nodes`: several servers on one database instead; `database`: one of the demo's own
//! - `screen`, `picture`, `page`: shown in the terminal and as `demo.html`
#![allow(clippy::disallowed_methods, reason = "small files of the demo's own, and nobody else to disturb")]

mod ball;
mod check;
mod client;
mod database;
mod folder;
mod found;
mod ftp;
mod jobs;
mod landscape;
mod nodes;
mod page;
mod peers;
mod picture;
mod run;
mod samples;
mod screen;
mod shelf;
mod web;

use std::fs::DirBuilder;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use imgserve_config::{Config, Paths};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use url::Url;

use self::client::Client;
use self::peers::Peers;
use self::run::Report;
use self::samples::Samples;
use self::screen::Screen;
use super::failure::Failure;
use super::{log, start, ui};
use crate::server::{self, Command, Setup};

/// As shells see a command that was interrupted.
const INTERRUPTED: u8 = 130;
/// How long the server may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// The demo's configuration; `[access] file_roots` is added when the directory is known.
const CONFIG: &str = r#"
[workers]
count = 2
pin = false
[access]
allow_networks = ["127.0.0.0/8"]
[log]
level = "warn"
"#;
/// An operation made of another one by configuration alone.
const PRESET: &str = r#"[operations.thumbnail]
kind = "builtin"
plugin = "resize"
args = { width = 200, height = 200 }
enabled = true"#;

const HELP: &str = "\
It paints its own pictures (a photo, a beach ball, an animation, a drawing), starts imgserve on a
free port together with a small web server and a small FTP server, and posts real jobs: resize and
rasterize, over http, ftp and file, from and to a store. For each it shows

  request      what was posted to imgserve
  placeholder  what was at the destination when the reply came: white, of the final size
  reply        the reply's body
  result       what replaced the placeholder

with times counted from the POST, and checks size, format, frames and colours of every result by
arithmetic of its own. The directory that it names in the end holds all pictures and demo.html,
which shows them side by side; delete it when you have seen enough.

It needs no network, no configuration and no rights, and leaves a running imgserve alone.

With --nodes it starts so many servers on one database instead, posts 60 jobs to all of them, kills one
in the middle, and checks that every result is there.

Exit codes: 0 every result is right, 1 something is wrong, 130 interrupted.";

/// Options of `demo`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    /// New or empty directory for the pictures and demo.html (default: a new one under the temporary directory)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Show no pictures in the terminal; demo.html has them
    #[arg(long)]
    no_pictures: bool,
    /// Show the server's log on stderr
    #[arg(long, conflicts_with = "nodes")]
    verbose: bool,
    /// Show so many servers on one database instead, 2 to 9, of which one is killed
    #[arg(long, value_name = "N", requires = "journal", value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: Option<u8>,
    /// The database of --nodes: postgresql://USER@HOST:PORT/NAME, or `temporary` for one that is made and removed, where PostgreSQL is
    /// installed
    #[arg(long, value_name = "ADDRESS", requires = "nodes")]
    journal: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let directory = make_directory(arguments.dir.as_deref())?;
    let files = directory.join(page::FILES);
    let store = format!(
        "\n[stores.{}]\nkind = \"file\"\nbucket = {}\n",
        peers::STORE,
        serde_json::Value::from(files.display().to_string())
    );
    let mut config = Config::parse(&format!("{CONFIG}{PRESET}{store}"))?;
    config.access.file_roots = vec![files];
    config.jobs.journal = directory.join("journal.db").display().to_string();
    if arguments.verbose {
        config.log.level = "info".to_owned();
    }
    log::to_stderr(&config.log);
    let screen = Screen::detect(!arguments.no_pictures);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let outcome = runtime.block_on(async {
        let interrupted = interruption()?;
        tokio::select! {
            shown = shown(arguments, config, &directory, screen) => shown,
            () = interrupted => {
                ui::complain(&format!("interrupted; what is there so far is in {}", directory.display()));
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    });
    runtime.shutdown_background();
    outcome
}

async fn shown(
    arguments: &Arguments,
    config: Config,
    directory: &Path,
    screen: Screen,
) -> Result<ExitCode, Failure> {
    match (arguments.nodes, &arguments.journal) {
        (Some(nodes), Some(journal)) => nodes::show(directory, usize::from(nodes), journal, screen).await,
        _ => show(config, directory, screen).await,
    }
}

/// A directory of the demo's own, with the two that it needs inside; its path has no symlinks.
fn make_directory(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let unique = format!("imgserve-demo-{}", &uuid::Uuid::now_v7().simple().to_string()[26..]);
    let path = wanted.map_or_else(|| std::env::temp_dir().join(unique), Path::to_owned);
    let failed = || format!("cannot use directory {}", path.display());
    match wanted {
        Some(_) => std::fs::create_dir_all(&path),
        // In a directory shared with others: made here and now, or not used.
        None => DirBuilder::new().mode(0o700).create(&path),
    }
    .map_err(Failure::io(failed()))?;
    if std::fs::read_dir(&path).map_err(Failure::io(failed()))?.next().is_some() {
        return Err(Failure::Other(format!("{} is not empty; name a new directory", path.display())));
    }
    for inside in [page::FILES, page::PICTURES] {
        std::fs::create_dir(path.join(inside)).map_err(Failure::io(failed()))?;
    }
    path.canonicalize().map_err(Failure::io(failed()))
}

/// Resolves when the user or the system wants an end.
fn interruption() -> Result<impl Future<Output = ()>, Failure> {
    let caught = |kind| signal(kind).map_err(Failure::io("cannot catch signals"));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The demo itself.
async fn show(config: Config, directory: &Path, screen: Screen) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    screen.say(&screen.bold(&format!("imgserve {} demo", env!("CARGO_PKG_VERSION"))));
    screen.say(
        "Paints pictures, starts a server on a free port, sends it requests, and checks what comes of them.",
    );
    let samples = tokio::task::spawn_blocking(Samples::make).await;
    let samples = samples.map_err(|_| Failure::Other("painting the samples was broken off".to_owned()))?;
    let samples = samples.map_err(|error| Failure::Other(format!("cannot make the samples: {error}")))?;
    let peers = Peers::start(directory.join(page::FILES), &samples).await?;
    let (address, commands, serving) = start_server(config).await?;
    introduce(screen, address, &peers);

    let client = Client::new(address)?;
    let mut reports = Vec::new();
    for job in jobs::all(&samples) {
        let report = run::run(job, &peers, &client).await;
        screen.job(reports.len() + 1, &report);
        reports.push(report);
    }
    let _ = commands.send(Command::Stop("the demo is over")).await;
    let _ = tokio::time::timeout(STOP_WAIT, serving).await;
    conclude(screen, directory, &reports, began.elapsed())
}

type Serving = tokio::task::JoinHandle<Result<(), imgserve_base::fault::Fault>>;

/// A server on a free port, ready for requests.
async fn start_server(config: Config) -> Result<(SocketAddr, mpsc::Sender<Command>, Serving), Failure> {
    let (listener, address) = peers::listen().await?;
    let (file, again) = (config.clone(), config.clone());
    let read_config = Arc::new(move || Ok(again.clone()));
    let (patience, tell, taken_in) = (Instant::now(), Arc::new(|_| {}), Arc::new(|_: &Config| {}));
    let program = start::program()?;
    let setup = Setup { config, file, read_config, program, patience, tell, taken_in };
    let (commands, receiver) = mpsc::channel(1);
    let (ready, is_ready) = oneshot::channel();
    let serving = tokio::spawn(server::serve(setup, async { Ok(listener) }, receiver, |_| {
        // The receiver waits as long as this task lives.
        let _ = ready.send(());
    }));
    if is_ready.await.is_ok() {
        return Ok((address, commands, serving));
    }
    let text = match serving.await {
        Ok(Err(fault)) => fault.text,
        Ok(Ok(())) | Err(_) => "the server ended before it was ready".to_owned(),
    };
    Err(Failure::Other(text))
}

fn introduce(screen: Screen, server: SocketAddr, peers: &Peers) {
    screen.say("");
    screen.note("imgserve", &format!("http://{server}/"));
    screen.note("web", &format!("http://{}/  files, PUT, an upload form", peers.web_address));
    screen.note("ftp", &format!("ftp://{}/", peers.ftp_address));
    screen.note("directory", &peers.folder.path().display().to_string());
    screen.note("preset", PRESET);
}

/// Writes the page and sums up.
fn conclude(
    screen: Screen,
    directory: &Path,
    reports: &[Report],
    took: Duration,
) -> Result<ExitCode, Failure> {
    let (all, right) = (reports.len(), reports.iter().filter(|report| report.verdict.is_ok()).count());
    let summary = format!("{right} of {all} jobs right, in {:.1} s", took.as_secs_f64());
    let next = next_steps(directory);
    let frame = page::Frame { summary: &summary, preset: PRESET, next: &next };
    for (i, report) in reports.iter().enumerate() {
        for (what, found) in [("placeholder", &report.placeholder), ("result", &report.result)] {
            if let Some(found) = found {
                let name = page::file_name(i + 1, what, found);
                write(&directory.join(page::PICTURES).join(name), &found.bytes)?;
            }
        }
    }
    let path = directory.join("demo.html");
    write(&path, page::render(&frame, reports).as_bytes())?;
    let url = Url::from_file_path(&path).map_or_else(|()| path.display().to_string(), String::from);
    screen.say("");
    screen.say(&format!("{}; see them side by side: {url}", screen.bold(&summary)));
    screen.say(&format!("\nGo on with a server of your own:\n\n{next}"));
    Ok(if right == all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(Failure::io(format!("cannot write {}", path.display())))
}

/// Commands that start a server and send it a request, for the user that runs this.
fn next_steps(directory: &Path) -> String {
    let program = ui::program();
    let files = Paths::of_this_user().files;
    let files = files.display();
    let photo = directory.join(page::FILES).join("photo.jpg");
    format!(
        "{program} start -host 127.0.0.1\nmkdir -p {files}\ncp {} {files}\n\
         curl http://127.0.0.1:8602/ -d '{{\"operationType\": \"resize\",\n  \
         \"srcURL\": \"file://{files}/photo.jpg\",\n  \"dstURL\": \"file://{files}/small.jpg\",\n  \
         \"args\": {{\"width\": 300, \"height\": 200}}}}'\n{program} stop",
        photo.display()
    )
}
