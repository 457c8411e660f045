//! A log file that is moved aside when it has grown: to `imgserve.log.1`, what was there to `.2`, and so on. Other programs
//! move and make files in its directory as well. Whatever cannot be moved or opened costs no line and ends nobody who writes
//! one: the file that is open is gone on with, and it is tried again when as much more has been written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use imgserve_base::units::MIB;
use imgserve_config as config;

use crate::cli::own_file::{append_to, beside};

/// When the file is moved aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Past so many bytes.
    pub(super) size: u64,
    /// So many are kept beside it.
    pub(super) max_files: usize,
}

impl Rotation {
    pub(super) fn of(config: &config::Log) -> Self {
        Self { size: config.max_size_mb.saturating_mul(MIB), max_files: config.max_files }
    }
}

/// The log file, open.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    /// Bytes in it, as far as they count for its size.
    size: u64,
    rotation: Rotation,
    /// Whether what a crash says goes to it, too: stderr is it.
    stderr: bool,
}

impl Rotated {
    /// The file at `path`, made if it is missing with the directories above it.
    pub(super) fn open(path: PathBuf, rotation: Rotation, stderr: bool) -> io::Result<Self> {
        let file = open(&path)?;
        let mut log = Self { path, file, size: 0, rotation, stderr };
        log.size = log.file.metadata()?.len();
        Ok(log)
    }

    /// Moves it aside as this says from now on.
    pub(super) fn rotate_by(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    /// Goes on in the file that has the log's name now.
    ///
    /// # Errors
    /// It cannot be opened, and the old one is gone on with.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = file;
        if self.stderr {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
    }

    /// Moves the file aside and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let moved = move_aside(&self.path, self.rotation.max_files);
        // Another program may have taken it away by now.
        moved.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        self.reopen()
    }
}

impl Write for Rotated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size > self.rotation.size {
            self.size = 0;
            if let Err(error) = self.rotate() {
                // Not by way of the log, which is being written. If there is no room for it, there may be for the line.
                let _ =
                    writeln!(self.file, "the log file cannot be moved aside, it is gone on with: {error}");
            }
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    append_to(path)
}

/// Makes place at `path`: each of its predecessors becomes an older one, of which so many are kept.
fn move_aside(path: &Path, max_files: usize) -> io::Result<()> {
    let older = |number: usize| beside(path, &format!(".{number}"));
    // More were kept once.
    (max_files + 1..).take_while(|number| std::fs::remove_file(older(*number)).is_ok()).for_each(drop);
    if max_files == 0 {
        return std::fs::remove_file(path);
    }
    // As far as they follow each other: what stands beyond a gap need not make place.
    let there = (1..max_files).take_while(|number| older(*number).exists()).count();
    for number in (1..=there).rev() {
        std::fs::rename(older(number), older(number + 1))?;
    }
    std::fs::rename(path, older(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that is moved aside past ten bytes, and what stands in a file of its directory.
    fn log(max_files: usize) -> (tempfile::TempDir, Rotated, impl Fn(&str) -> Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log/imgserve.log");
        let log = Rotated::open(path.clone(), Rotation { size: 10, max_files }, false).unwrap();
        let text = move |suffix: &str| std::fs::read_to_string(beside(&path, suffix)).ok();
        (directory, log, text)
    }

    fn say(log: &mut Rotated, lines: &[&str]) {
        lines.iter().for_each(|line| log.write_all(format!("{line}\n").as_bytes()).unwrap());
    }

    #[test]
    fn so_many_older_ones_are_kept() {
        let (_directory, mut log, text) = log(2);
        say(&mut log, &["a123456789", "b123456789", "c123456789", "d123456789", "e"]);
        let texts = ["", ".1", ".2", ".3"].map(&text);
        let line = |text: &str| Some(format!("{text}\n"));
        assert_eq!(texts, [line("e"), line("d123456789"), line("c123456789"), None]);
        log.rotate_by(Rotation { size: 1, max_files: 1 });
        say(&mut log, &["f"]);
        assert_eq!(["", ".1", ".2"].map(&text), [line("f"), line("e"), None], "fewer are kept by now");
        log.rotate_by(Rotation { size: 1, max_files: 0 });
        say(&mut log, &["g"]);
        assert_eq!(["", ".1"].map(&text), [line("g"), None], "none is");
    }

    #[test]
    fn a_log_that_was_moved_away_is_begun_anew() {
        let (directory, mut log, text) = log(3);
        let (path, moved) = (log.path.clone(), directory.path().join("moved"));
        say(&mut log, &["one"]);
        std::fs::rename(&path, &moved).unwrap();
        say(&mut log, &["two"]);
        log.reopen().unwrap();
        say(&mut log, &["three"]);
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(text("").unwrap(), "three\n");
        // With its directory, and without anybody's saying so.
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        say(&mut log, &["four, of some length", "five"]);
        assert_eq!(["", ".1"].map(&text), [Some("five\n".to_owned()), None]);
    }

    #[test]
    fn files_that_others_have_put_beside_it_are_in_nobodys_way() {
        let (_directory, mut log, text) = log(3);
        std::fs::write(beside(&log.path, ".1"), "another's").unwrap();
        say(&mut log, &["a123456789", "b"]);
        let wanted = [Some("b\n"), Some("a123456789\n"), Some("another's")];
        assert_eq!(["", ".1", ".2"].map(&text), wanted.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn what_cannot_be_moved_aside_is_gone_on_with_and_tried_again() {
        let (_directory, mut log, text) = log(1);
        let in_the_way = beside(&log.path, ".1");
        std::fs::create_dir_all(in_the_way.join("full")).unwrap();
        say(&mut log, &["a123456789", "b123456789", "c"]);
        let told = text("").unwrap();
        assert!(told.starts_with("a123456789\nthe log file cannot be moved aside"), "{told}");
        assert!(told.contains("\nb123456789\n") && told.ends_with("\nc\n"), "no line is lost: {told}");
        std::fs::remove_dir_all(&in_the_way).unwrap();
        say(&mut log, &["d123456789", "e"]);
        assert!(text("").unwrap().ends_with("e\n") && text(".1").unwrap().contains("c\n"));
    }
}
