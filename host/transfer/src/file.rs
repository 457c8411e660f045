//! Local files beneath the configured roots. The kernel resolves every path (`openat2`), so that neither symlinks nor
//! a race can lead out of a root; writing is atomic and durable. All of it blocks, and so runs on blocking threads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};

use super::clock::Clock;
use super::config::KEY_FILE_ROOTS;
use super::error::{TransferError, TransferErrorKind};
use super::freshness::lies_still;
use super::length::check_folders;
use super::mark::{PartMark, temporary_name};
use super::policy::{Beneath, check_path};
use super::url::FileUrl;

/// How much is read at once, in bytes: a photograph for the web in one go, for each time costs two changes of threads.
const PIECE: u64 = 1 << 20;

/// How much of a file is looked at to recognise its format, in bytes.
const HEAD: u64 = 4 << 10;
/// Opening a FIFO without NONBLOCK would wait for its writer.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A file being read.
pub(super) struct FileReader {
    /// None once its end is reached.
    file: Option<File>,
    /// Read as the file was opened.
    first: Bytes,
    pub(super) size: u64,
    /// As it was before it was read.
    pub(super) stamp: Option<String>,
}

impl FileReader {
    /// Opens a regular file and reads its first piece; none where it has the stamp `unless`.
    pub(super) async fn open(
        clock: &Clock,
        url: FileUrl,
        roots: Arc<[PathBuf]>,
        unless: Option<String>,
    ) -> Result<Option<Self>, TransferError> {
        blocking(clock, move || open_to_read(&permitted(&url, &roots)?, unless)).await
    }

    /// The next piece.
    pub(super) async fn chunk(&mut self, clock: &Clock) -> Result<Option<Bytes>, TransferError> {
        if !self.first.is_empty() {
            return Ok(Some(std::mem::take(&mut self.first)));
        }
        let Some(file) = self.file.take() else { return Ok(None) };
        let (file, piece) = blocking(clock, move || read(file, PIECE)).await?;
        self.file = file;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// The next piece, and the file if there may be more; `expected` bytes are likely to come.
fn read(file: File, expected: u64) -> Result<(Option<File>, Bytes), TransferError> {
    // One byte more, in which the end shows.
    let mut piece = Vec::new();
    make_room(&mut piece, expected.saturating_add(1).min(PIECE) as usize)?;
    while piece.len() < PIECE as usize {
        make_room(&mut piece, 1)?;
        match rustix::io::read(&file, spare_capacity(&mut piece)) {
            Ok(0) => return Ok((None, piece.into())),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(local(errno, "cannot read the file")),
        }
    }
    Ok((Some(file), piece.into()))
}

/// Room for more bytes. Memory that the system does not give refuses this file alone.
fn make_room(piece: &mut Vec<u8>, more: usize) -> Result<(), TransferError> {
    piece.try_reserve(more).map_err(|_| local(Errno::NOMEM, "cannot read the file"))
}

/// A regular file, open for reading, whose first and last bytes are in the kernel's cache: whoever reads it is not likely
/// to wait for a disk.
#[derive(Clone, Debug)]
pub struct CachedFile {
    /// The file.
    pub file: Arc<OwnedFd>,
    /// Its size in bytes.
    pub size: u64,
    /// Its first bytes.
    pub head: Vec<u8>,
}

impl CachedFile {
    /// Opens a file if that takes no waiting. None also when there is something wrong with it: what, [`FileReader::open`]
    /// finds out.
    pub(super) fn open(url: &FileUrl, roots: &[PathBuf]) -> Option<Self> {
        let file = open_cached(url, roots)?;
        let size = regular(&file).ok().map(|stat| size(&stat)).filter(|&size| size > 0)?;
        let mut head = vec![0; size.min(HEAD) as usize];
        (is_cached(&file, &mut head, 0) && is_cached(&file, &mut [0], size - 1)).then_some(())?;
        Some(Self { file: Arc::new(file), size, head })
    }
}

/// Opens a file to be read, if that takes no waiting.
fn open_cached(url: &FileUrl, roots: &[PathBuf]) -> Option<OwnedFd> {
    let Beneath { root, relative } = check_path(url, roots)?;
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat2(CWD, root, directory, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let how = RESOLVE | ResolveFlags::CACHED;
    rustix::fs::openat2(&root, &relative, READ | OFlags::CLOEXEC, Mode::empty(), how).ok()
}

/// The stamp of a file that may be read, if it is had without waiting.
pub(super) fn cached_stamp(url: &FileUrl, roots: &[PathBuf]) -> Option<String> {
    regular(&open_cached(url, roots)?).ok().map(|stat| stamp(&stat))
}

/// What is another one when the file is another one, or has other bytes: also where its times were set back, as the time of the last
/// change of these cannot be.
fn stamp(stat: &Stat) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}",
        stat.st_dev,
        stat.st_ino,
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec
    )
}

/// The stamp of a file that is about to be read, if a change from now on shows in it.
fn reliable_stamp(stat: &Stat) -> Option<String> {
    let time =
        |seconds: i64| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?));
    // Another fraction of a second shows, whichever it is.
    let changed = time(stat.st_mtime)?.max(time(stat.st_ctime)?) + Duration::from_secs(1);
    lies_still(changed, SystemTime::now()).then(|| stamp(stat))
}

/// Reads what is in the cache; false when some of it is not there.
fn is_cached(file: &OwnedFd, bytes: &mut [u8], offset: u64) -> bool {
    let wanted = bytes.len();
    rustix::io::preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) == Ok(wanted)
}

/// Writes a file, or nothing: a reader sees the old content or the new.
pub(super) async fn store(
    clock: &Clock,
    url: FileUrl,
    roots: Arc<[PathBuf]>,
    body: Bytes,
    mark: PartMark,
) -> Result<(), TransferError> {
    let abandoned = Abandoned::default();
    let flag = abandoned.0.clone();
    blocking(clock, move || write(&permitted(&url, &roots)?, &body, &mark, &flag)).await
}

/// Set when nobody waits for a store any more. Its thread cannot be stopped, but must not put an old result over a
/// newer one.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

async fn blocking<T: Send + 'static>(
    clock: &Clock,
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    clock.total(tokio::task::spawn_blocking(work)).await?.map_err(|error| {
        TransferError::new(TransferErrorKind::Io, "the file's thread failed").with_source(error)
    })?
}

fn permitted<'a>(url: &FileUrl, roots: &'a [PathBuf]) -> Result<Beneath<'a>, TransferError> {
    check_path(url, roots).ok_or_else(|| {
        let message = format!("it is not beneath a directory of {KEY_FILE_ROOTS}");
        TransferError::new(TransferErrorKind::NotAllowed, message)
    })
}

fn open_to_read(beneath: &Beneath<'_>, unless: Option<String>) -> Result<Option<FileReader>, TransferError> {
    let root = open_root(beneath.root)?;
    let file = open_beneath(&root, &beneath.relative, READ)?;
    let stat = regular(&file)?;
    if unless.is_some_and(|known| known == stamp(&stat)) {
        return Ok(None);
    }
    let (size, stamp) = (size(&stat), reliable_stamp(&stat));
    let (file, first) = read(file.into(), size)?;
    Ok(Some(FileReader { file, first, size, stamp }))
}

fn regular(file: &OwnedFd) -> Result<Stat, TransferError> {
    let stat = rustix::fs::fstat(file).map_err(|errno| local(errno, "cannot examine the file"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_regular());
    }
    Ok(stat)
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Roots are the administrator's and may themselves be symlinks.
fn open_root(root: &Path) -> Result<OwnedFd, TransferError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, root, flags, Mode::empty())
        .map_err(|errno| local(errno, "cannot open the file root"))
}

fn open_beneath(directory: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, TransferError> {
    rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
        .map_err(|errno| local(errno, "cannot open"))
}

#[allow(clippy::disallowed_methods, reason = "called by spawn_blocking alone")]
fn write(
    beneath: &Beneath<'_>,
    body: &[u8],
    mark: &PartMark,
    abandoned: &AtomicBool,
) -> Result<(), TransferError> {
    std::fs::create_dir_all(beneath.root).map_err(|error| local(error, "cannot create the file root"))?;
    let (directories, name) = beneath.split();
    check_folders(beneath.relative.iter().count().saturating_sub(1))?;
    let mut directory = open_root(beneath.root)?;
    for name in directories {
        directory = enter(&directory, name)?;
    }
    refuse_special(&directory, name)?;
    for stale in &mark.stale {
        // Nearly always there is none.
        let _removed = rustix::fs::unlinkat(&directory, part_name(name, stale), AtFlags::empty());
    }
    let temporary = Temporary::create(&directory, part_name(name, &mark.own))?;
    temporary.fill(body)?;
    if abandoned.load(Ordering::Acquire) {
        return Err(TransferError::new(TransferErrorKind::Timeout, "the store was given up"));
    }
    mark.check()?;
    temporary.rename(name)?;
    sync(&directory)
}

/// Opens a directory, creating it if it is missing.
fn enter(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, TransferError> {
    let open = || open_beneath(parent, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY);
    match open() {
        Err(error) if error.kind() == TransferErrorKind::NotFound => {
            match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
                // Another store may have been faster.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(local(errno, "cannot create a directory")),
            }
            sync(parent)?;
            open()
        }
        opened => opened,
    }
}

/// Only a regular file may be replaced.
fn refuse_special(directory: &OwnedFd, name: &OsStr) -> Result<(), TransferError> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(()),
        Ok(_) => Err(not_regular()),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(local(errno, "cannot examine the file")),
    }
}

fn sync(directory: &OwnedFd) -> Result<(), TransferError> {
    rustix::fs::fsync(directory).map_err(|errno| local(errno, "cannot sync the directory"))
}

/// A file under its temporary name; removed when dropped, unless renamed before.
struct Temporary<'a> {
    directory: &'a OwnedFd,
    name: OsString,
    file: File,
    renamed: bool,
}

impl<'a> Temporary<'a> {
    fn create(directory: &'a OwnedFd, name: OsString) -> Result<Self, TransferError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(directory, &name, flags, Mode::from_raw_mode(0o666));
        let file = match create() {
            // The same attempt was begun before, by a server that was killed.
            Err(Errno::EXIST) => {
                let _removed = rustix::fs::unlinkat(directory, &name, AtFlags::empty());
                create()
            }
            created => created,
        };
        let file = file.map_err(|errno| local(errno, "cannot create a file"))?;
        Ok(Self { directory, name, file: file.into(), renamed: false })
    }

    fn fill(&self, body: &[u8]) -> Result<(), TransferError> {
        (&self.file)
            .write_all(body)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| local(error, "cannot write the file"))
    }

    fn rename(mut self, target: &OsStr) -> Result<(), TransferError> {
        rustix::fs::renameat(self.directory, &self.name, self.directory, target)
            .map_err(|errno| local(errno, "cannot rename the file"))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is the one to report.
            let _removed = rustix::fs::unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}

/// A long name is cut, so that the additions never push it past the file system's 255 bytes.
fn part_name(target: &OsStr, mark: &str) -> OsString {
    let bytes = target.as_bytes();
    temporary_name(&String::from_utf8_lossy(&bytes[..bytes.len().min(64)]), mark).into()
}

fn not_regular() -> TransferError {
    TransferError::new(TransferErrorKind::NotAllowed, "it is not a regular file")
}

/// Sorts a failure of the file system by what it means for the request.
fn local(error: impl Into<std::io::Error>, what: &str) -> TransferError {
    let error = error.into();
    let (kind, message) = match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => (TransferErrorKind::NotFound, "there is no such file or directory".to_owned()),
        Some(Errno::LOOP) => (TransferErrorKind::NotAllowed, "its path leads through a symlink".to_owned()),
        Some(Errno::XDEV) => {
            (TransferErrorKind::NotAllowed, "its path leads out of the file root".to_owned())
        }
        Some(
            Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG | Errno::ACCESS | Errno::PERM | Errno::NXIO,
        ) => (TransferErrorKind::Refused, what.to_owned()),
        Some(Errno::NOSYS) => {
            (TransferErrorKind::Io, "file URLs need a kernel with openat2 (Linux 5.6)".to_owned())
        }
        _ => (TransferErrorKind::Io, what.to_owned()),
    };
    // Somebody may make room.
    let full = matches!(Errno::from_io_error(&error), Some(Errno::NOSPC | Errno::DQUOT));
    TransferError::new(kind, message).transient(full).with_source(error)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
