//! The demo's directory of files: watched, so that every version of a file is kept, however quickly the next one
//! replaces it. Where the system has no watch to spare (inotify's limits), only what is there when one looks is seen.
#![allow(clippy::disallowed_methods, reason = "small files of the demo's own, and nobody else to disturb")]

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::shelf::Shelf;

/// How often the watching thread sees whether anyone is still interested.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A watched directory. The watching ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    shelf: Shelf,
}

impl Folder {
    /// Watches `path` from now on.
    pub(super) fn watch(path: PathBuf) -> Self {
        let folder = Self(Arc::new(Inner { path, shelf: Shelf::default() }));
        if let Ok(events) = subscribe(&folder.0.path) {
            let inner = Arc::downgrade(&folder.0);
            std::thread::spawn(move || follow(&events, &inner));
        }
        folder
    }

    /// Notes the file's present state, if it is a new one.
    pub(super) fn look(&self, name: &str) {
        self.0.look(name);
    }

    /// What was seen so far.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }
}

impl Inner {
    fn look(&self, name: &str) {
        self.shelf.notice(name, || std::fs::read(self.path.join(name)).ok());
    }
}

/// Events about files that are complete: imgserve writes under another name and renames.
fn subscribe(path: &Path) -> rustix::io::Result<OwnedFd> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&events, path, inotify::WatchFlags::MOVED_TO)?;
    Ok(events)
}

fn follow(events: &OwnedFd, folder: &Weak<Inner>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    loop {
        let _ = poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&PAUSE));
        let Some(folder) = folder.upgrade() else { return };
        while let Ok(event) = reader.next() {
            if let Some(Ok(name)) = event.file_name().map(|name| name.to_str()) {
                folder.look(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn versions_are_kept_when_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::watch(directory.path().to_owned());
        let deadline = Instant::now() + Duration::from_secs(10);
        for content in ["one", "two"] {
            std::fs::write(directory.path().join(".part"), content).unwrap();
            std::fs::rename(directory.path().join(".part"), directory.path().join("x")).unwrap();
            // Without inotify the look is what notices.
            folder.look("x");
            while folder.shelf().latest("x").is_none_or(|bytes| bytes != content) {
                assert!(Instant::now() < deadline);
            }
        }
        assert_eq!(folder.shelf().versions("x").len(), 2);
    }
}
