//! The crash test: jobs are posted while the server is killed again and again, and at the end the destinations themselves
//! prove that none was lost. `tests/run crash [JOBS]` (default 10,000) is the long form, of which `tests/run` runs a short
//! one. A part's name beside the number runs that part alone: storm, points, disk, limits; and `nodes`, which nothing else runs.
//!
//! # Layout
//! - `storm`: the storm; in it `driver`: the clients; `killer`: who kills
//! - `nodes`: a storm over three nodes that share a database
//! - `points`, `turns`: crash points; `disk`: disks that are not well; `limits`: what else must hold
//! - `arena`: what all of them begin with: `victim`, the server's process; `peer`, where jobs fetch and store; `stall`, a
//!   source that stops halfway; `ledger`, what was seen, and what is wrong with it; `work`, the jobs and their exact results
//!
//! The program under test is IMGSERVE_TEST_BINARY, or the one that cargo has built for this.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a step that fails ends the test; peers and files are its own"
)]

mod arena;
mod disk;
mod driver;
#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, reason = "the crash test uses a part of the tests' harness")]
mod harness;
mod killer;
mod ledger;
mod limits;
mod nodes;
mod peer;
mod points;
mod random;
mod stall;
mod storm;
mod turns;
mod victim;
mod work;

use std::path::Path;
use std::process::ExitCode;

/// Jobs of the storm where nobody says how many.
const JOBS: usize = 10_000;
const PARTS: [&str; 4] = ["points", "disk", "limits", "storm"];
/// Parts that only run where they are named.
const APART: [&str; 1] = ["nodes"];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let jobs = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(JOBS);
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !PARTS.iter().chain(&APART).any(|part| named(part));
    let directory = tempfile::tempdir().unwrap();
    let mut well = true;
    let apart = APART.into_iter().filter(|part| named(part));
    for part in PARTS.into_iter().filter(|part| all || named(part)).chain(apart) {
        println!("crash test: {part}");
        let problems = match run(part, &directory.path().join(part), jobs).await {
            Ok(problems) => problems,
            Err(text) => vec![text],
        };
        problems.iter().for_each(|problem| println!("WRONG: {problem}"));
        well &= problems.is_empty();
    }
    if well {
        println!("crash test: 0 jobs lost, 0 torn files");
        return ExitCode::SUCCESS;
    }
    println!("crash test FAILED; everything is kept in {}", directory.keep().display());
    ExitCode::FAILURE
}

async fn run(part: &str, directory: &Path, jobs: usize) -> Result<Vec<String>, String> {
    let program = harness::binary();
    match part {
        "points" => points::points(directory).await,
        "disk" => {
            let mut problems = disk::disks(&program, directory).await?;
            problems.extend(disk::faults(&points::program()?, &directory.join("faults")).await?);
            Ok(problems)
        }
        "limits" => limits::limits(&program, directory).await,
        "nodes" => nodes::storm(&program, directory, jobs).await,
        _ => storm::storm(&program, directory, jobs).await,
    }
}
