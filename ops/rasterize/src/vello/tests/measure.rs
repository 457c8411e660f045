//! Times of both renderers, on request:
//! `IMGSERVE_DRAWINGS=DIR cargo test --release -p imgserve-rasterize --lib -- --ignored --nocapture measure`.
//! Each `.svg` file in DIR is drawn at 1024 pixels by one and the other in turns; medians in ms, and how they differ.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a tool's own files and its report")]

use std::time::Instant;

use resvg::usvg::Tree;

use super::compare::Difference;
use super::{fast, reference};

const ROUNDS: usize = 21;
const SIDE: u32 = 1024;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What `work` gives, and the milliseconds it took.
fn timed<T>(times: &mut Vec<f64>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    times.push(start.elapsed().as_secs_f64() * 1e3);
    result
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let directory = std::env::var("IMGSERVE_DRAWINGS").expect("IMGSERVE_DRAWINGS names a directory");
    let rounds = std::env::var("IMGSERVE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "svg"));
    paths.sort();
    println!(
        "{:32} {:>8} {:>8} {:>8} {:>6}  difference or reason",
        "drawing", "parse", "resvg", "vello", "ratio"
    );
    for path in paths {
        let (mut parsing, mut resvg, mut vello) = (Vec::new(), Vec::new(), Vec::new());
        let data = std::fs::read(&path).unwrap();
        let mut outcome = String::new();
        for _ in 0..rounds {
            let tree = timed(&mut parsing, || Tree::from_data(&data, &crate::options()).unwrap());
            let wanted = timed(&mut resvg, || reference(&tree, SIDE));
            outcome = match timed(&mut vello, || fast(&tree, SIDE)) {
                Ok(got) => format!("{:?}", Difference::between(&wanted, &got)),
                Err(reason) => format!("{reason:?}"),
            };
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let [parsing, resvg, vello] = [parsing, resvg, vello].map(median);
        let ratio = vello / resvg;
        println!("{name:32.32} {parsing:8.2} {resvg:8.2} {vello:8.2} {ratio:6.2}  {outcome}");
    }
}
