//! `imgserve status`.

use std::process::ExitCode;

use super::failure::Failure;
use super::options::Place;
use super::pid_file::{self, State};
use super::ui;

/// Exit codes as init scripts know them (Linux Standard Base, "Init Script Actions").
const STALE: u8 = 1;
const NOT_RUNNING: u8 = 3;

pub(super) fn run(place: &Place) -> Result<ExitCode, Failure> {
    let path = place.pid_file();
    let shown = path.display();
    let (text, code) = match pid_file::state(&path)? {
        State::Running(Some(pid)) => (format!("imgserve is running (pid {pid})"), ExitCode::SUCCESS),
        State::Running(None) => ("imgserve is starting".to_owned(), ExitCode::SUCCESS),
        State::Stale(_) => {
            (format!("imgserve is not running; its pid file {shown} is stale"), ExitCode::from(STALE))
        }
        State::Foreign(pid) => (
            format!("imgserve is not running; {shown} is stale: process {pid} is something else"),
            ExitCode::from(STALE),
        ),
        State::Absent => ("imgserve is not running".to_owned(), ExitCode::from(NOT_RUNNING)),
    };
    ui::say(&text);
    Ok(code)
}
