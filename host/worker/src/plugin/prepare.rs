//! A plugin file made ready to load: read once, checked against its digest, compiled (wasm) or copied (native) into a
//! directory of our own, under a name that is its digest. So a generation of workers loads the very version that it began
//! with, whatever happens to the file. Runs in a process of its own, before any worker starts.
#![allow(clippy::disallowed_methods, reason = "in a process that does nothing else")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use imgserve_config::{PluginFile, PluginKind};
use sha2::{Digest as _, Sha256};

use super::artifact::{Artifact, hex};
use super::load_error::LoadError;
use super::{component, wasm};

/// Files in the cache that nothing has used for so long are removed.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes a plugin ready to load, in `cache`. `compiling` is called when that will take a while.
///
/// # Errors
/// [`LoadError`]: the file cannot be had, is another than the configuration says, or is no plugin.
pub fn prepare(
    PluginFile { kind, path, sha256: wanted }: &PluginFile,
    cache: &Path,
    compiling: impl FnOnce(),
) -> Result<Artifact, LoadError> {
    let bytes = fs::read(path).map_err(file_error("read", path))?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Some(wanted) = wanted.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&sha256)) {
        return Err(LoadError::Digest { path: path.clone(), wanted: wanted.clone(), found: sha256 });
    }
    make_private(cache)?;
    let size = bytes.len() as u64;
    let file = match kind {
        PluginKind::Native => {
            let file = cache.join(format!("{sha256}.so"));
            keep(&file, &sha256, || Ok(bytes))?;
            file
        }
        _ => {
            let refuse = |source| LoadError::Component { path: path.clone(), source };
            let file = cache.join(format!("{sha256}-{:016x}.cwasm", wasm::compatibility()?));
            keep(&file, "", || {
                compiling();
                let component = component::read(&bytes).map_err(refuse)?;
                wasm::compile(&component).map_err(refuse)
            })?;
            file
        }
    };
    Ok(Artifact { file, sha256, bytes: size })
}

/// Removes what nothing has used for a month.
pub fn prune(cache: &Path) {
    let old = |data: &fs::Metadata| {
        let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        data.is_file() && age.is_some_and(|age| age > UNUSED)
    };
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|data| old(&data)) {
            // What cannot be removed today is tried again at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    move |source| LoadError::File { what, path: path.to_owned(), source }
}

/// Compiled code is trusted when it is loaded, so nobody else may be able to write to where it lies.
fn make_private(cache: &Path) -> Result<(), LoadError> {
    let make = || fs::DirBuilder::new().recursive(true).mode(0o700).create(cache);
    make().map_err(file_error("make the plugins' cache ([plugins] cache_dir)", cache))?;
    let data = fs::metadata(cache).map_err(file_error("read", cache))?;
    if data.uid() == rustix::process::geteuid().as_raw() && data.mode() & 0o022 == 0 {
        return Ok(());
    }
    let text = "it belongs to another user or others can write to it, and compiled plugins are trusted code";
    Err(file_error("use [plugins] cache_dir", cache)(io::Error::other(text)))
}

/// Makes sure that `file` holds what `content` gives, whose digest is `sha256` or stands in the file beside it.
fn keep(
    file: &Path,
    sha256: &str,
    content: impl FnOnce() -> Result<Vec<u8>, LoadError>,
) -> Result<(), LoadError> {
    let beside = file.with_extension("sha256");
    let wanted =
        if sha256.is_empty() { fs::read_to_string(&beside).unwrap_or_default() } else { sha256.to_owned() };
    // A file damaged by a crash or a disk must not be loaded as code.
    if fs::read(file).is_ok_and(|bytes| hex(&Sha256::digest(&bytes)) == wanted) {
        for used in [file, &beside] {
            let _ = File::open(used).and_then(|file| file.set_modified(SystemTime::now()));
        }
        return Ok(());
    }
    let bytes = content()?;
    if sha256.is_empty() {
        write(&beside, hex(&Sha256::digest(&bytes)).as_bytes())?;
    }
    write(file, &bytes)
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    // A name that no other process has, not one of another container with this process's number either.
    let temporary = path.with_extension(format!("{}.part", uuid::Uuid::now_v7()));
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o500))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        file_error("write", path)(error)
    })
}
