//! Whether a crate's files are as they were.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files that are looked at: a crate has fewer.
const MOST_FILES: usize = 10_000;
/// What is installed or made by building, and would have it built again.
const MADE: [&str; 6] =
    ["target", "node_modules", "__pycache__", "Cargo.lock", "package-lock.json", "wit_world"];

/// When each of its files was changed, and its size.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Snapshot {
    /// Of the files in a folder and all below it; what is hidden, built, installed or logged there is left out.
    pub(super) fn of(dir: &Path) -> Self {
        Self::without(dir, &[identity(&std::io::stdout()), identity(&std::io::stderr())])
    }

    /// The same, without the files of these identities either: what this program writes into itself, of which
    /// each build writes more.
    fn without(dir: &Path, written: &[Option<(u64, u64)>]) -> Self {
        let (mut snapshot, mut folders) = (Self::default(), vec![dir.to_owned()]);
        while let Some(folder) = folders.pop() {
            // What cannot be read is as if it were not there.
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let is_made = MADE.iter().any(|made| name == **made);
                let bytes = name.as_encoded_bytes();
                let is_left_out = is_made || bytes.starts_with(b".") || bytes.ends_with(b".log");
                if is_left_out || snapshot.0.len() >= MOST_FILES {
                    continue;
                }
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if !written.contains(&Some(of_file(&metadata))) {
                    snapshot.0.insert(entry.path(), (metadata.modified().ok(), metadata.len()));
                }
            }
        }
        snapshot
    }
}

/// What tells a file from every other: its device and number.
fn of_file(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// That of an open file; none where it cannot be told.
fn identity(open: &impl AsFd) -> Option<(u64, u64)> {
    let file = File::from(open.as_fd().try_clone_to_owned().ok()?);
    Some(of_file(&file.metadata().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_shows_and_what_is_built_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let first = Snapshot::of(dir.path());
        for (path, shows) in [
            ("target/debug/x", false),
            (".git/index", false),
            ("Cargo.lock", false),
            ("dev.log", false),
            ("src/lib.rs", true),
            ("golden/a/b.png", true),
        ] {
            let before = Snapshot::of(dir.path());
            write(path, "another");
            assert_eq!(Snapshot::of(dir.path()) != before, shows, "{path}");
        }
        let output = File::create(dir.path().join("output.txt")).unwrap();
        let without = || Snapshot::without(dir.path(), &[identity(&output)]);
        let before = without();
        write("output.txt", "a build's lines");
        assert_eq!(without(), before, "what this program writes itself");
        assert_ne!(Snapshot::of(dir.path()), before, "another's file");
        std::fs::remove_file(dir.path().join("output.txt")).unwrap();
        std::fs::remove_dir_all(dir.path().join("golden")).unwrap();
        write("src/lib.rs", "one");
        let names = |snapshot: &Snapshot| snapshot.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&Snapshot::of(dir.path())), names(&first));
    }
}
