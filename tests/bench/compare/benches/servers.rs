//! Servers side by side over HTTP: ours, oximg, Node with sharp, thumbor.
//!
//! `cargo bench -p imgserve-bench --bench servers -- --photos FOLDER` installs what it can of them into
//! `target/bench-rivals` (and says what is missing for the others), starts all on loopback, and lets clients ask each of them
//! in turn for JPEGs in boxes of ever different sizes; then it tells what the pictures are worth, and how long drawings take.
//! Ctrl-C ends the servers too.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and its files are its own"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use imgserve_bench::contest::{self, Settings};
use imgserve_bench::rivals::{self, Ground};
use imgserve_bench::{drawings::drawings, growth, sources, svg};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/bench-rivals");

#[derive(Debug, Parser)]
#[command(about = "Compares imgserve with other image servers on this machine")]
struct Arguments {
    /// Folder of JPEGs (an absolute path: cargo starts benches in their crate's folder), or of PNGs, WebPs and GIFs where the results
    /// are no JPEGs; synthetic photographs when it is not given
    #[arg(long)]
    photos: Option<PathBuf>,
    /// Folder of SVGs; drawings made from a seed when it is not given
    #[arg(long)]
    drawings: Option<PathBuf>,
    /// Where rivals are installed and logs are written; target/bench-rivals when it is not given
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Our program; the release build of this workspace when it is not given
    #[arg(long)]
    imgserve: Option<PathBuf>,
    /// Another build of our program, to be compared with in the same rounds as "before"
    #[arg(long)]
    before: Option<PathBuf>,
    /// Rivals, of oximg, sharp, thumbor; all when it is not given
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<String>,
    /// Install nothing; go on with what is there
    #[arg(long)]
    no_install: bool,
    /// Rounds of each server
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round, and of each drawing
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Clients that ask at once
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Processors for servers and clients together
    #[arg(long, default_value_t = 2)]
    cores: usize,
    /// Least side of the boxes that are asked for
    #[arg(long, default_value_t = 440)]
    least: u32,
    /// Greatest side
    #[arg(long, default_value_t = 520)]
    greatest: u32,
    /// Quality of the results
    #[arg(long, default_value_t = 80)]
    quality: u8,
    /// Format of the results: jpeg, png, webp, gif; any other than JPEG of ours and sharp alone
    #[arg(long, default_value = "jpeg")]
    to: String,
    /// Side of the boxes in which quality is told
    #[arg(long, default_value_t = 480)]
    quality_side: u32,
    /// Also tell how cost grows: by 1 to 64 clients, by sources of 0.1 to 50 MP, by 1 to 16 results of one source; of JPEGs
    #[arg(long)]
    growth: bool,
    /// Side of what drawings become; 0 leaves them out
    #[arg(long, default_value_t = 1024)]
    drawing_side: u32,
    #[arg(long, hide = true, help = "passed by cargo")]
    bench: bool,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    if arguments.growth && arguments.to != "jpeg" {
        return Err("--growth is of JPEGs alone".to_owned());
    }
    if arguments.greatest < arguments.least || arguments.least == 0 {
        return Err("--least must be at least 1, --greatest at least --least".to_owned());
    }
    keep_to_cores(arguments.cores)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // What is dropped with `run` ends the servers: whether it is done, is told to stop, or panics.
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        tokio::select! {
            done = run(&arguments) => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
            _ = terminate.recv() => Err("terminated".to_owned()),
        }
    })
}

/// This process, and so all that it starts.
fn keep_to_cores(count: usize) -> Result<(), String> {
    let mine = sched_getaffinity(None).map_err(|error| error.to_string())?;
    let mut kept = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|&cpu| mine.is_set(cpu)).take(count).for_each(|cpu| kept.set(cpu));
    println!("{} processors for servers and clients together", kept.count());
    sched_setaffinity(None, &kept).map_err(|error| error.to_string())
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.folder.as_deref().unwrap_or(Path::new(FOLDER));
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = absolute(folder)?;
    let ground = Ground {
        sources: folder.join("sources"),
        folder,
        cores: arguments.cores,
        quality: arguments.quality,
        format: arguments.to.clone(),
        imgserve: arguments.imgserve.as_deref().map(absolute).transpose()?,
        before: arguments.before.as_deref().map(absolute).transpose()?,
        install: !arguments.no_install,
    };
    let settings = Settings {
        clients: arguments.clients,
        rounds: arguments.rounds,
        time: Duration::from_secs_f64(arguments.seconds),
        sides: (arguments.least, arguments.greatest),
        quality_side: arguments.quality_side,
    };
    let (pictures, drawings) = lay_out(&ground, arguments)?;
    let contenders = rivals::contenders(&ground, &arguments.rivals).await?;
    let mut running = contest::start(&ground, contenders, &pictures, &settings).await?;
    println!(
        "{} pictures into boxes of {} to {} px, {} of quality {}, {} clients, rounds of {:?}",
        pictures.len(),
        arguments.least,
        arguments.greatest,
        arguments.to,
        arguments.quality,
        settings.clients,
        settings.time
    );
    contest::rounds(&mut running, &pictures, &settings).await;
    contest::judge(&mut running, &ground.sources, &pictures, settings.quality_side).await?;
    println!("\n{}", contest::table(&running));
    if arguments.growth {
        println!("\n{}", growth::by_clients(&mut running, &pictures, &settings).await);
        println!("{}", growth::by_size(&mut running, arguments.cores, &settings).await);
        println!("{}", growth::by_results(&running, settings.time).await?);
    }
    if arguments.drawing_side > 0 {
        println!("{}", svg::table(&running, &drawings, arguments.drawing_side, settings.time).await);
    }
    Ok(())
}

/// Without `..`, which URLs of files may not have.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let path = std::path::absolute(path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

/// Writes photographs and drawings into the folder of sources, under names that need no escaping in any URL; gives them.
fn lay_out(ground: &Ground, arguments: &Arguments) -> Result<(Vec<String>, Vec<String>), String> {
    let _ = std::fs::remove_dir_all(&ground.sources);
    std::fs::create_dir_all(&ground.sources)
        .map_err(|error| format!("{}: {error}", ground.sources.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = ground.sources.join(name);
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut pictures = Vec::new();
    let extensions: &[&str] = if arguments.to == "jpeg" { &sources::JPEGS } else { &sources::OTHERS };
    let files = sources::photographs(arguments.photos.as_deref(), extensions)?;
    if arguments.growth {
        growth::lay_out(&ground.sources, &sources::decode(&files[0])?)?;
    }
    for (number, file) in files.iter().enumerate() {
        let name = format!("photo-{number:02}.jpg");
        write(&name, file)?;
        pictures.push(name);
    }
    let mut names = Vec::new();
    for (name, svg) in drawings_of(arguments.drawings.as_deref())? {
        let name = format!("{name}.svg");
        write(&name, &svg)?;
        names.push(name);
    }
    Ok((pictures, names))
}

fn drawings_of(folder: Option<&Path>) -> Result<Vec<(String, Vec<u8>)>, String> {
    let Some(folder) = folder else {
        return Ok(drawings().into_iter().map(|(name, svg)| (name.to_owned(), svg.into_bytes())).collect());
    };
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok((stem.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"), bytes))
    };
    sources::files(folder, &["svg"])?.into_iter().map(read).collect()
}
