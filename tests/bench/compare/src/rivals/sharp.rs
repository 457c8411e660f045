//! Node with sharp (libvips), behind the small server of `sharp.mjs`; and sharp alone, as what writes files (`encode.mjs`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{has, install};
use super::{Contender, Ground, Listens, not_installed};

const VERSION: &str = "0.35.5";
const LIMIT: Duration = Duration::from_secs(5 * 60);
const SERVER: &str = include_str!("sharp.mjs");
const ENCODE: &str = include_str!("encode.mjs");

/// Where it is, installed if need be.
async fn installed(ground: &Ground) -> Result<PathBuf, String> {
    let folder = ground.folder.join("sharp");
    if !has("node", "--version") || !has("npm", "--version") {
        return Err("it needs Node 20 or later with npm: apt-get install -y nodejs npm".to_owned());
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if !folder.join("node_modules/sharp/package.json").exists() {
        not_installed(ground)?;
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        command.arg(format!("sharp@{VERSION}")).env("npm_config_cache", ground.folder.join("npm-cache"));
        install("sharp", command, &ground.folder.join("sharp-install.log"), LIMIT).await?;
    }
    Ok(folder)
}

/// What writes each PNG of a folder into another one, in these formats and qualities, and prints how long each took.
pub(super) async fn writer(
    ground: &Ground,
    [pictures, written]: [&Path; 2],
    formats: &str,
    qualities: &str,
) -> Result<Command, String> {
    let folder = installed(ground).await?;
    let script = folder.join("encode.mjs");
    std::fs::write(&script, ENCODE).map_err(|error| format!("{}: {error}", script.display()))?;
    let mut command = Command::new("node");
    command.arg(&script).arg(&folder).arg(pictures).arg(written).args([formats, qualities]);
    Ok(command)
}

pub(super) async fn contenders(ground: &Ground) -> Result<Vec<Contender>, String> {
    let folder = installed(ground).await?;
    let script = folder.join("server.mjs");
    std::fs::write(&script, SERVER).map_err(|error| format!("{}: {error}", script.display()))?;
    // Pictures at once and threads for each: which is fastest depends on the machine, so the bench tries.
    let ways = [(ground.cores, 1), (2 * ground.cores, 1), (ground.cores, ground.cores)];
    let one = |(pictures, threads): (usize, usize)| {
        let mut command = Command::new("node");
        command.arg(&script).arg(&ground.sources).arg(&folder);
        command.env("QUALITY", ground.quality.to_string()).env("FORMAT", &ground.format);
        command.env("UV_THREADPOOL_SIZE", pictures.to_string());
        command.env("SHARP_CONCURRENCY", threads.to_string()).env("NODE_ENV", "production");
        Contender {
            name: format!("sharp ({pictures} × {threads})"),
            command,
            listens: Listens::WhereItSays,
            picture: Box::new(|source, side| format!("/resize/{side}/{side}/{source}")),
            drawing: Some(Box::new(|source, side| format!("/svg/{side}/{side}/{source}"))),
            job: None,
            variant_of: Some("sharp"),
        }
    };
    Ok(ways.map(one).into())
}
