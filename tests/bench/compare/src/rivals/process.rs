//! Processes of other people's programs: installed with a time limit, served from, and ended with all their children
//! however the bench ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::load::Client;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(3);
/// How often a long step says that it is still under way.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Whether a program is there.
pub(super) fn has(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub enum Listens {
    /// On the port that it was told.
    On(u16),
    /// Where its first line says: the number at its end.
    WhereItSays,
}

/// A port of loopback that nobody listens on.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// A child with a group of its own, which ends with this value.
#[derive(Debug)]
struct Group {
    child: Child,
    leader: Pid,
}

impl Group {
    fn start(mut command: Command) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let said = |error| format!("{program}: {error}");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = tokio::process::Command::from(command).spawn().map_err(said)?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, leader: id.ok_or("a process without an id")? })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < STOP && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its children too, whether it has ended or not: the group is there as long as one of them is.
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

/// Runs one step of an installation, whose output goes to the file `log`.
///
/// # Errors
/// When it fails or takes longer than `limit`; the end of its output.
pub(super) async fn install(
    what: &str,
    mut command: Command,
    log: &Path,
    limit: Duration,
) -> Result<(), String> {
    let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let second = file.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(file).stderr(second);
    println!("installing {what}; its output is in {}", log.display());
    let began = Instant::now();
    let mut group = Group::start(command)?;
    loop {
        match tokio::time::timeout(HEARTBEAT, group.child.wait()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => return Err(format!("{what}: {status}; {}", end_of(log))),
            Ok(Err(error)) => return Err(format!("{what}: {error}")),
            Err(_) if began.elapsed() > limit => return Err(format!("{what}: not done within {limit:?}")),
            Err(_) => println!("installing {what}: {:.0} s", began.elapsed().as_secs_f64()),
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// A server that answers; it ends with this value.
#[derive(Debug)]
pub struct Server {
    group: Group,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts one and waits until it answers `path` with 200. What it complains of goes to the file `log`.
    ///
    /// # Errors
    /// What it said when it did not.
    pub async fn start(
        mut command: Command,
        listens: Listens,
        path: &str,
        log: &Path,
    ) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stderr(file);
        command.stdout(if matches!(listens, Listens::On(_)) { Stdio::null() } else { Stdio::piped() });
        let mut group = Group::start(command)?;
        let port = match listens {
            Listens::On(port) => port,
            Listens::WhereItSays => {
                said_port(&mut group).await.ok_or_else(|| format!("it says no port; {}", end_of(log)))?
            }
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let began = Instant::now();
        loop {
            let answer = Client::new(address).get(path).await;
            let ended = matches!(group.child.try_wait(), Ok(Some(_)));
            match answer {
                Ok(_) => return Ok(Self { group, address }),
                Err(error) if ended || began.elapsed() > START => {
                    return Err(format!("it does not serve: {error}; {}", end_of(log)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Its first process.
    pub fn process(&self) -> u32 {
        self.group.leader.as_raw_nonzero().get().cast_unsigned()
    }
}

async fn said_port(group: &mut Group) -> Option<u16> {
    let output = group.child.stdout.take()?;
    let mut lines = BufReader::new(output).lines();
    let line = tokio::time::timeout(START, lines.next_line()).await.ok()?.ok()??;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn children_of_a_child_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("pid");
        let group = Group::start(shell(&format!("sleep 60 & echo $! > {}; wait", name.display()))).unwrap();
        let grandchild = loop {
            match std::fs::read_to_string(&name).map(|text| text.trim().parse::<u32>()) {
                Ok(Ok(id)) => break id,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        drop(group);
        // A zombie's memory is gone even before its new parent has asked for its status.
        let gone = || {
            std::fs::read_to_string(format!("/proc/{grandchild}/statm")).map_or(true, |t| t.starts_with("0 "))
        };
        let began = Instant::now();
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(10), "still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn an_installation_that_fails_tells_the_end_of_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let done = install("nothing", shell("echo no cmake here; exit 3"), &log, START).await;
        assert!(done.unwrap_err().contains("no cmake here"));
        install("nothing", shell("true"), &log, START).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_ends_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let port = Listens::On(free_port().unwrap());
        let error = Server::start(shell("echo bad port >&2; exit 1"), port, "/", &log).await.unwrap_err();
        assert!(error.contains("bad port"), "{error}");
    }
}
