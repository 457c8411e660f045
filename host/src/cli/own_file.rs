//! Files of our own in directories that may be another user's: opened as that very file, where a link could make root write to,
//! or give away, any file.
#![allow(clippy::disallowed_methods, reason = "small files of our own, opened where that may block")]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// open(2): a link in the last place is refused, a pipe does not hold us up.
const FILE_ITSELF: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;
const DIRECTORY_ITSELF: i32 = OFlags::NOFOLLOW.union(OFlags::DIRECTORY).bits() as i32;

/// The file at `path` as `options` say; not what a link there leads to.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(FILE_ITSELF).open(path)
}

/// The file at `path` to append to, made if it is missing; refused where it has other names, or is none.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let file = open(OpenOptions::new().create(true).append(true), path)?;
    let data = file.metadata()?;
    if data.is_file() && data.nlink() == 1 {
        return Ok(file);
    }
    Err(io::Error::other("it is not a file of its own (a link or a device): remove it"))
}

/// A directory, made if it is missing; not what a link there leads to.
pub(super) fn directory(path: &Path) -> io::Result<File> {
    let _ = std::fs::create_dir_all(path);
    OpenOptions::new().read(true).custom_flags(DIRECTORY_ITSELF).open(path)
}

/// The path with something after its last name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Puts a whole file at `path`, by way of one at `new`: a reader sees the one before or this one, and whatever goes wrong leaves
/// the one before.
pub(super) fn replace(
    path: &Path,
    new: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = open(OpenOptions::new().write(true).create(true).truncate(true), new)?;
    let put = write(&mut file).and_then(|()| std::fs::rename(new, path));
    if put.is_err() {
        let _ = std::fs::remove_file(new);
    }
    put
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};

    use super::*;

    #[test]
    fn what_is_not_a_file_of_its_own_is_not_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        append_to(&path("log")).unwrap();
        std::fs::hard_link(path("log"), path("second")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("link")).unwrap();
        for name in ["second", "link", "."] {
            assert!(append_to(&path(name)).is_err(), "{name}");
        }
        assert!(append_to(Path::new("/dev/null")).unwrap_err().to_string().contains("a link or a device"));
        assert!(!path("elsewhere").exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_whole_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("a"), directory.path().join("a.new"));
        replace(&path, &new, |file| file.write_all(b"before")).unwrap();
        let full = replace(&path, &new, |file| {
            file.write_all(b"af")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
