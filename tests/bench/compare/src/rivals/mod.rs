//! The servers that are compared: how each is installed, started and asked for a picture.
//!
//! All read their sources from the same folder of local files, which is what each of them does fastest; each is asked for
//! results of the same format and quality, keeps none, and works on as many pictures at once as there are cores. Everything that is
//! installed goes into one folder.

mod imgserve;
mod oximg;
mod process;
mod sharp;
mod thumbor;

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

pub use process::{Listens, Server};

/// What all contenders have in common.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Where rivals are installed, and where logs go.
    pub folder: PathBuf,
    /// Where the sources are.
    pub sources: PathBuf,
    /// Pictures that are worked on at once.
    pub cores: usize,
    /// Quality of the results.
    pub quality: u8,
    /// Their format.
    pub format: String,
    /// Our program; built when it is not given.
    pub imgserve: Option<PathBuf>,
    /// Another build of it, to be compared with.
    pub before: Option<PathBuf>,
    /// Whether what is missing is installed.
    pub install: bool,
}

/// What a server is asked for: a source's name, and the width and height of a box.
type Path = Box<dyn Fn(&str, u32) -> String>;

/// What a server is posted: a source's name, and the sides of square boxes.
type Job = Box<dyn Fn(&str, &[u32]) -> (String, String)>;

/// A server that can be started.
pub struct Contender {
    /// As it is called in tables.
    pub name: String,
    /// What starts it.
    pub command: Command,
    /// Where it will listen.
    pub listens: Listens,
    /// A picture of a picture, fitted into a square box.
    pub picture: Path,
    /// A PNG of an SVG, of just that width and height; of those that draw.
    pub drawing: Option<Path>,
    /// A job that makes pictures of a picture, fitted into boxes of these sides: where it is posted to, and what; of those that have
    /// such jobs.
    pub job: Option<Job>,
    /// Whether this is one of several ways to run the same server, of which only the fastest goes on.
    pub variant_of: Option<&'static str>,
}

impl std::fmt::Debug for Contender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Contender").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All that can be had of those whose names `wanted` holds (all when it is empty), ours first; says what is missing for the
/// others.
///
/// # Errors
/// When ours cannot be had.
pub async fn contenders(ground: &Ground, wanted: &[String]) -> Result<Vec<Contender>, String> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    std::fs::create_dir_all(&ground.folder)
        .map_err(|error| format!("{}: {error}", ground.folder.display()))?;
    let mut all = imgserve::contenders(ground).await?;
    let mut take = |name: &str, found: Result<Vec<Contender>, String>| match found {
        Ok(found) => all.extend(found),
        Err(reason) => println!("without {name}: {reason}"),
    };
    let jpeg = ground.format == "jpeg";
    if is_wanted("oximg") && jpeg {
        take("oximg", oximg::contenders(ground).await);
    }
    if is_wanted("sharp") {
        take("sharp", sharp::contenders(ground).await);
    }
    if is_wanted("thumbor") && jpeg {
        take("thumbor", thumbor::contenders(ground).await);
    }
    Ok(all)
}

/// What has sharp write each PNG of the first folder into the second, in these formats and qualities (each with commas), and prints
/// a line of JSON for each file: its name, its format and quality, and how long writing took in milliseconds.
///
/// # Errors
/// When sharp cannot be had.
pub async fn sharp_writer(
    ground: &Ground,
    folders: [&FilePath; 2],
    formats: &str,
    qualities: &str,
) -> Result<Command, String> {
    sharp::writer(ground, folders, formats, qualities).await
}

/// oximg's program.
///
/// # Errors
/// When it cannot be had.
pub async fn oximg(ground: &Ground) -> Result<PathBuf, String> {
    oximg::installed(ground).await
}

/// Has oximg write the picture of a PNG, the first path, at this quality, in the format that the extension of the second path says;
/// gives how many milliseconds writing took.
///
/// # Errors
/// What the program says.
pub fn write_by_oximg(program: &FilePath, paths: [&FilePath; 2], quality: u8) -> Result<f64, String> {
    oximg::write(program, paths, quality)
}

/// What to say when something would have to be installed and may not be.
fn not_installed(ground: &Ground) -> Result<(), String> {
    if ground.install { Ok(()) } else { Err("it is not installed, and --no-install was given".to_owned()) }
}
