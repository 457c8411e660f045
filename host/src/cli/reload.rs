//! `imgserve reload`: checks the configuration here, where its faults can be seen, then tells the server.

use std::process::ExitCode;

use rustix::process::{Signal, kill_process};

use super::failure::Failure;
use super::options::Place;
use super::pid_file::{self, State};
use super::ui;

pub(super) fn run(place: &Place) -> Result<ExitCode, Failure> {
    place.load()?;
    let path = place.pid_file();
    let State::Running(Some(pid)) = pid_file::state(&path)? else {
        return Err(Failure::Other(format!("imgserve is not running (pid file {})", path.display())));
    };
    kill_process(pid, Signal::USR1)
        .map_err(|error| Failure::io(format!("cannot signal process {pid}"))(error.into()))?;
    ui::say(&format!("imgserve (pid {pid}) reloads its configuration; its log says how that went"));
    Ok(ExitCode::SUCCESS)
}
