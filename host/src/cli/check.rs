//! Whether a start would succeed, found out without one: all that it does before it serves, by the code that does it. For
//! `config check`, and for `restart` before it ends a server that is well.

#![allow(clippy::disallowed_methods, reason = "a command: nothing else runs in its process")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use imgserve_config::Config;
use rustix::fs::Access;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::failure::Failure;
use super::options::{Place, absolute};
use super::pid_file::{self, State};
use super::report::Report;
use super::{log, process, start};
use crate::{descriptors, server};

/// What a start would have.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Operations that requests may name.
    pub(super) operations: usize,
    /// What others have of it, and what there would be less of than the configuration says.
    pub(super) warnings: Vec<String>,
}

/// Does what a start with this configuration does, but serve. Port and journal may be in use: with `replacing`, by the server of
/// `place` alone.
pub(super) fn run(config: &Config, place: &Place, replacing: bool) -> Result<Checked, Failure> {
    let pid_file = place.pid_file();
    can_be_written(&pid_file).map_err(|why| Failure::Other(format!("cannot write the pid file: {why}")))?;
    let mut warnings = others(config, place, replacing)?;
    warnings.extend(descriptors::fit(&mut config.clone(), descriptors::raise()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let checked = runtime.block_on(server::check(config, start::program()?));
    let operations = checked.map_err(|fault| Failure::Other(fault.text))?;
    Ok(Checked { operations, warnings })
}

/// Whether a daemon could log to this directory.
pub(super) fn log_directory(directory: &Path) -> Result<(), Failure> {
    let file = can_be_written(&directory.join(log::FILE));
    file.map_err(|why| Failure::Other(format!("cannot write the log: {why}")))
}

/// Whether a file is there that this user may write, or could be made, with the directories that are missing; else why not.
fn can_be_written(path: &Path) -> Result<(), String> {
    let path = &absolute(path);
    let refuse = |of: &Path, why: &str| Err(format!("{} {why}", of.display()));
    let may = |of: &Path, wanted: Access| rustix::fs::access(of, wanted);
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => return refuse(path, "is a directory"),
        Ok(_) => return may(path, Access::WRITE_OK).or_else(|errno| refuse(path, &errno.to_string())),
        Err(_) => {}
    }
    for above in path.ancestors().skip(1) {
        match std::fs::metadata(above) {
            Ok(data) if !data.is_dir() => return refuse(above, "is no directory"),
            Ok(_) => {
                let entered = may(above, Access::WRITE_OK | Access::EXEC_OK);
                return entered.or_else(|errno| refuse(above, &errno.to_string()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return refuse(above, &error.to_string()),
        }
    }
    refuse(path, "is nowhere")
}

/// What of the address and the journal others have than the server of `place`.
///
/// # Errors
/// The address cannot be had, or the server that is to be replaced would be stopped in vain.
fn others(config: &Config, place: &Place, replacing: bool) -> Result<Vec<String>, Failure> {
    let running = pid_file::state(&place.pid_file())?;
    let address = SocketAddr::new(config.server.host, config.server.port);
    let ours = listens_there(place, running, address);
    let mut warnings = Vec::new();
    if is_in_use(address, !replacing || ours)? && !ours {
        warnings.push(format!("{address} is in use: a start waits for it, and fails where it stays so"));
    }
    if let Some(text) = foreign_journal(config, place, running) {
        // Where no server is to be stopped, that one may be ending: the start waits for it.
        if replacing && matches!(running, State::Running(_)) {
            return Err(Failure::Other(text));
        }
        warnings.push(text);
    }
    Ok(warnings)
}

/// Whether the port is perhaps in use by the server of `place`.
fn listens_there(place: &Place, running: State, address: SocketAddr) -> bool {
    let State::Running(pid) = running else { return false };
    let report = pid.and_then(|pid| Report::read(&place.pid_file(), pid));
    report.is_none_or(|report| report.address.port() == address.port())
}

/// That another server has the journal than that of `place`, as far as can be seen.
fn foreign_journal(config: &Config, place: &Place, running: State) -> Option<String> {
    let journal = config.journal();
    let lock = std::fs::metadata(imgserve_journal::held(&journal)?).ok()?;
    let foreign = match running {
        State::Running(Some(pid)) => process::has_open(pid, &lock) == Some(false),
        State::Running(None) => false,
        State::Stale(_) | State::Foreign(_) | State::Absent => true,
    };
    let pid_file = place.pid_file();
    foreign.then(|| {
        format!("another imgserve has the journal {journal} than that of the pid file {}", pid_file.display())
    })
}

/// Whether the port is in use. Nobody can connect meanwhile: it does not listen.
///
/// # Errors
/// This machine has no such address, this user may not have the port, or it is in use where it `may` not be.
fn is_in_use(address: SocketAddr, may: bool) -> Result<bool, Failure> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let bound = || {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // As a start does: what is left of connections that are over does not count.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)
    };
    match bound() {
        Ok(()) => Ok(false),
        Err(Errno::ADDRINUSE) if may => Ok(true),
        Err(errno) => Err(Failure::io(format!("cannot listen on {address}"))(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_this_machines_and_a_port_may_be_in_use_where_that_is_expected() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(is_in_use(address, true).unwrap());
        let error = is_in_use(address, false).unwrap_err();
        assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
        // TEST-NET-1 (RFC 5737).
        assert!(is_in_use("192.0.2.1:0".parse().unwrap(), true).is_err());
        assert!(is_in_use("[::1]:0".parse().unwrap(), false).is_ok() || !ipv6());
    }

    #[test]
    fn a_file_can_be_written_where_it_is_or_could_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::write(at("file"), "").unwrap();
        for path in ["file", "new", "a/b/c/new"] {
            assert_eq!(can_be_written(&at(path)), Ok(()), "{path}");
        }
        assert!(!at("a").exists(), "nothing is made");
        for (path, wanted) in [("file/x", "file: Not a directory"), (".", "is a directory")] {
            let why = can_be_written(&at(path)).unwrap_err();
            assert!(why.contains(wanted) || why.contains("is no directory"), "{path}: {why}");
        }
    }

    fn ipv6() -> bool {
        std::net::TcpListener::bind("[::1]:0").is_ok()
    }
}
