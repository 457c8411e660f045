//! Starting imgserve once more: detached, or as another user. Done by executing the program again, so that no code runs
//! between a fork and an exec, and so that the process that serves never had another user's rights.
#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::fchown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgserve_config::Paths;

use super::failure::Failure;
use super::options::{StartOptions, absolute};
use super::own_file::{self, beside};
use super::pid_file::make_parent;
use super::{log, report, ui};

/// First word of what the daemon says when it serves.
pub(super) const READY: &str = "ready";
/// First word of what it says before that, when it has to wait for something.
pub(super) const WAIT: &str = "wait";

/// Starts the daemon and waits until it serves; gives the address where.
pub(super) fn detach(arguments: &StartOptions) -> Result<SocketAddr, Failure> {
    let (stderr, log_file) = log_file(arguments)?;
    let mut command = again(arguments, &["--detached"])?;
    let mut daemon = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Only a crash writes here; the log itself is written through the rotating file.
        .stderr(stderr)
        .spawn()
        .map_err(Failure::io("cannot start the daemon"))?;
    let mut said = String::new();
    // The pipe ends when the daemon dies without a word.
    for line in daemon
        .stdout
        .take()
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).lines())
        .map_while(Result::ok)
    {
        match line.strip_prefix(WAIT) {
            Some(text) => ui::say(text.trim()),
            None => {
                said = line;
                break;
            }
        }
    }
    match said.trim().strip_prefix(READY).and_then(|address| address.trim().parse().ok()) {
        Some(address) => {
            ui::say(&format!(
                "imgserve started: pid {}, http://{address}, log {}",
                daemon.id(),
                log_file.display()
            ));
            Ok(address)
        }
        None if said.trim().is_empty() => {
            Err(Failure::Other(format!("the daemon died at its start; see {}", log_file.display())))
        }
        None => Err(Failure::Other(said.trim().to_owned())),
    }
}

/// The daemon's log file, in a directory that is made if it is missing.
fn log_file(arguments: &StartOptions) -> Result<(File, PathBuf), Failure> {
    let log_dir = arguments.log_dir();
    let made = std::fs::create_dir_all(&log_dir);
    made.map_err(Failure::io(format!("cannot make log directory {}", log_dir.display())))?;
    let path = log_dir.join(log::FILE);
    Ok((append_to(&path)?, path))
}

/// Does all that the start of this server does but serve, in a process that has its rights; gives that one's exit code. What
/// is wrong it says itself.
pub(super) fn check(arguments: &StartOptions) -> Result<u8, Failure> {
    let mut flags = vec!["--check"];
    match arguments.foreground {
        true => flags.push("--foreground"),
        // Made by whoever types the command: a daemon may have no right to.
        false => drop(log_file(arguments)?),
    }
    let checked = again(arguments, &flags)?.stdin(Stdio::null()).status();
    let status = checked.map_err(Failure::io("cannot check the configuration"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Becomes the user of `-uid` and `-gid` in this process; returns only when that fails.
pub(super) fn become_other(arguments: &StartOptions) -> Failure {
    match again(arguments, &["--foreground"]) {
        Ok(mut command) => Failure::io("cannot become the other user (only root can)")(command.exec()),
        Err(failure) => failure,
    }
}

/// The same command, as the asked-for user, with files prepared for it.
fn again(arguments: &StartOptions, flags: &[&str]) -> Result<Command, Failure> {
    let journal = arguments.config()?.journal_file();
    let program = std::env::current_exe().map_err(Failure::io("cannot find imgserve's own program file"))?;
    let mut command = Command::new(program);
    command.arg("start").args(flags);
    let mut path_option = |name: &str, path: Option<PathBuf>| {
        if let Some(path) = path {
            command.arg(name).arg(absolute(&path));
        }
    };
    // Said explicitly, because the defaults differ between users.
    path_option("--config", arguments.place.config_file());
    path_option("--pid", Some(arguments.place.pid_file()));
    path_option("--logdir", Some(arguments.log_dir()));
    // A database's address may hold a password, which others could read in a command line: it stands in the configuration, or was
    // typed there.
    path_option("--journal", journal.clone());
    let root = (!arguments.foreground).then(|| PathBuf::from("/"));
    path_option("--chdir", arguments.chdir.clone().or(root));
    for (name, value) in [
        ("--host", arguments.host.map(|host| host.to_string())),
        ("--port", arguments.port.map(|port| port.to_string())),
        ("--umask", arguments.umask.map(|mask| format!("{mask:o}"))),
        ("--journal", arguments.journal.clone().filter(|_| journal.is_none())),
    ] {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    }
    if arguments.force {
        command.arg("--force");
    }
    switch_user(arguments, journal.as_deref(), &mut command)?;
    Ok(command)
}

fn switch_user(
    arguments: &StartOptions,
    journal: Option<&Path>,
    command: &mut Command,
) -> Result<(), Failure> {
    let user = arguments.uid.as_deref().map(|name| lookup(name, "/etc/passwd", "user")).transpose()?;
    let group = arguments.gid.as_deref().map(|name| lookup(name, "/etc/group", "group")).transpose()?;
    // A user without a named group gets its own, never root's; a mere number gets the group of that number.
    let group =
        group.map(|group| group.id).or_else(|| user.as_ref().map(|user| user.group.unwrap_or(user.id)));
    if let Some(group) = group {
        command.gid(group);
    }
    let Some(user) = user else { return Ok(()) };
    command.uid(user.id);
    if let Some(home) = &user.home {
        command.env("HOME", home);
    }
    let pid_file = arguments.place.pid_file();
    make_parent(&pid_file)?;
    let log_dir = arguments.log_dir();
    let log_file = log_dir.join(log::FILE);
    let mut files = vec![(directory(&log_dir)?, log_dir)];
    let report = report::path(&pid_file);
    for path in [log_file, pid_file, report] {
        files.push((append_to(&path)?, path));
    }
    if let Some(journal) = journal {
        files.extend(journal_files(journal)?);
    }
    for (file, path) in files {
        fchown(&file, Some(user.id), group).map_err(Failure::io(format!(
            "cannot give {} to user {}",
            path.display(),
            user.id
        )))?;
    }
    Ok(())
}

fn directory(path: &Path) -> Result<File, Failure> {
    own_file::directory(path).map_err(Failure::io(format!("cannot open directory {}", path.display())))
}

fn append_to(path: &Path) -> Result<File, Failure> {
    own_file::append_to(path).map_err(Failure::io(format!("cannot write {}", path.display())))
}

/// Where the journal is, and what is there of it: its directory only if it is the one that is nobody else's.
fn journal_files(journal: &Path) -> Result<Vec<(File, PathBuf)>, Failure> {
    let mut files = Vec::new();
    if journal == Paths::of_this_user().journal
        && let Some(parent) = journal.parent()
    {
        files.push((directory(parent)?, parent.to_owned()));
    }
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = beside(journal, suffix);
        if path.exists() {
            files.push((append_to(&path)?, path));
        }
    }
    Ok(files)
}

struct Account {
    id: u32,
    group: Option<u32>,
    home: Option<String>,
}

/// Finds a user or group by name or number in a file of passwd(5) or group(5) format.
fn lookup(name: &str, file: &str, what: &str) -> Result<Account, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::io(format!("cannot read {file}")))?;
    let fields = text
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name) || fields.get(2) == Some(&name));
    if let Some(fields) = fields
        && let Some(id) = fields.get(2).and_then(|id| id.parse().ok())
    {
        let is_user = what == "user";
        return Ok(Account {
            id,
            group: is_user.then(|| fields.get(3).and_then(|group| group.parse().ok())).flatten(),
            home: is_user.then(|| fields.get(5).map(|home| (*home).to_owned())).flatten(),
        });
    }
    // A number needs no entry: containers often have none.
    let id = name.parse().map_err(|_| Failure::Other(format!("there is no {what} `{name}` in {file}")))?;
    Ok(Account { id, group: None, home: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_or_number_and_numbers_need_no_entry() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passwd");
        std::fs::write(&file, "root:x:0:0:root:/root:/bin/sh\nimg:x:77:78::/srv/img:/bin/false\n").unwrap();
        let file = file.to_str().unwrap();
        for name in ["img", "77"] {
            let account = lookup(name, file, "user").unwrap();
            assert_eq!(
                (account.id, account.group, account.home.as_deref()),
                (77, Some(78), Some("/srv/img"))
            );
        }
        assert_eq!(lookup("4321", file, "user").unwrap().id, 4321);
        assert!(lookup("nobody-here", file, "user").is_err());
    }
}
