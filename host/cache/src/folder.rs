//! The directory of the cache: what entries are called there, how one is put there whole or not at all, what a start finds. An entry is
//! not synced: one that a power cut leaves half written does not have its digest. Everything here blocks.
#![allow(clippy::disallowed_methods, reason = "called on threads where that disturbs nobody")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use imgserve_base::crash;
use imgserve_base::lock::Lock;
use rustix::io::Errno;

use super::CacheError;
use super::file::VERSION;
use super::key::Key;

/// How what is not whole yet ends.
const PART: &str = ".part";
/// What a server holds for as long as the directory is its own.
const LOCK: &str = "lock";
/// What is looked at of a file whose body is not wanted, in bytes.
const HEAD: u64 = 16 << 10;

/// The directory.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// What marks the temporary names of this process.
    run: String,
    _lock: Lock,
}

/// An entry that a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) bytes: u64,
    pub(crate) made_ms: u64,
    pub(crate) used_ms: u64,
}

/// All that a start finds.
#[derive(Debug, Default)]
pub(crate) struct Lies {
    pub(crate) entries: Vec<Found>,
    /// Files of a later program.
    pub(crate) later: usize,
}

impl Folder {
    /// Makes the directory where there is none, for this user alone, and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        let refuse = |what: &str, error: io::Error| unusable(path, format!("{what}: {error}"));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| refuse("it cannot be made", error))?;
        check(path)?;
        let lock = Lock::take(&path.join(LOCK)).map_err(|error| refuse("it cannot be written to", error))?;
        let lock = lock.ok_or_else(|| CacheError::InUse { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), run: uuid::Uuid::now_v7().simple().to_string(), _lock: lock })
    }

    /// Where entries of this name lie: at most 256 directories of them.
    fn shelf(&self, name: &str) -> PathBuf {
        self.path.join(&name[..2])
    }

    fn file(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.shelf(&name).join(format!("{name}.{VERSION}"))
    }

    /// A whole file.
    pub(crate) fn read(&self, key: &Key) -> io::Result<Vec<u8>> {
        fs::read(self.file(key))
    }

    /// The beginning of a file.
    pub(crate) fn beginning(&self, key: &Key) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(key))?.take(HEAD).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts a file there, over what may be there: a reader finds the one or the other. Returns its size in bytes.
    pub(crate) fn write(&self, key: &Key, head: &[u8], body: &[u8]) -> io::Result<u64> {
        let target = self.file(key);
        let temporary = target.with_extension(format!("{}{PART}", self.run));
        let written = self.fill(key, &temporary, [head, body]).and_then(|()| fs::rename(&temporary, &target));
        match written {
            Ok(()) => Ok((head.len() + body.len()) as u64),
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                Err(error)
            }
        }
    }

    fn fill(&self, key: &Key, temporary: &Path, parts: [&[u8]; 2]) -> io::Result<()> {
        let create =
            || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary);
        let mut file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(self.shelf(&key.to_string()))?;
                create()?
            }
            created => created?,
        };
        if crash::fails("cache-full", &self.path.to_string_lossy()) {
            return Err(Errno::NOSPC.into());
        }
        file.write_all(parts[0])?;
        crash::point("cache-half-written");
        file.write_all(parts[1])
    }

    pub(crate) fn remove(&self, key: &Key) {
        // One that is not there any more is what was wanted; one that cannot be removed the next start finds.
        let _ = fs::remove_file(self.file(key));
    }

    /// Notes that an entry was used now.
    pub(crate) fn used(&self, key: &Key) {
        let times = fs::FileTimes::new().set_accessed(SystemTime::now());
        // What this is for, the order in which a later start finds them, is not worth a word.
        let _ = File::open(self.file(key)).and_then(|file| file.set_times(times));
    }

    /// What lies there; what was left unfinished by others is removed.
    pub(crate) fn look(&self) -> Lies {
        let mut lies = Lies::default();
        let shelves = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let is_shelf = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        for shelf in shelves.filter(|shelf| shelf.file_name().to_str().is_some_and(is_shelf)) {
            for file in fs::read_dir(shelf.path()).into_iter().flatten().flatten() {
                if let Some(name) = file.file_name().to_str() {
                    self.look_at(name, &file, &mut lies);
                }
            }
        }
        lies
    }

    fn look_at(&self, name: &str, file: &fs::DirEntry, lies: &mut Lies) {
        let Some((known, rest)) = name.split_once('.') else { return };
        let Some(key) = Key::parse(known) else { return };
        match rest.parse::<u32>() {
            Ok(VERSION) => lies.entries.extend(found(key, file)),
            Ok(version) if version > VERSION => lies.later += 1,
            Err(_) if rest.ends_with(PART) && !rest.starts_with(&self.run) => {
                let _ = fs::remove_file(file.path());
            }
            _ => {}
        }
    }
}

fn unusable(path: &Path, text: String) -> CacheError {
    CacheError::Unusable { path: path.to_owned(), text }
}

/// Whether a directory is good for a cache; one that there is not is.
pub(crate) fn check(path: &Path) -> Result<(), CacheError> {
    let data = match fs::metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(path, format!("it cannot be read: {error}"))),
    };
    if !data.is_dir() {
        return Err(unusable(path, "it is no directory".to_owned()));
    }
    if data.uid() != rustix::process::geteuid().as_raw() || data.mode() & 0o022 != 0 {
        return Err(unusable(path, "it belongs to another user, or others can write to it".to_owned()));
    }
    Ok(())
}

fn found(key: Key, file: &fs::DirEntry) -> Option<Found> {
    let data = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
    let ms =
        |time: io::Result<SystemTime>| time.ok().and_then(since).map_or(0, |since| since.as_millis() as u64);
    let made_ms = ms(data.modified());
    Some(Found { key, bytes: data.len(), made_ms, used_ms: ms(data.accessed()).max(made_ms) })
}
