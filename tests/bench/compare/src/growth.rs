//! How cost grows: with the clients that ask at once, with the size of the source, with the results of one source.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::contest::{Running, Settings};
use crate::load::Round;
use crate::sources::{self, Coding, Rgb};
use crate::stats::{Table, median, quantile};

const CLIENTS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Of the sources, in pixels of 3:2.
const SIZES: [(&str, (u32, u32)); 7] = [
    ("0.1", (387, 258)),
    ("0.4", (774, 516)),
    ("1.5", (1500, 1000)),
    ("6", sources::SIX_MEGAPIXELS),
    ("12", (4242, 2828)),
    ("24", sources::TWENTY_FOUR_MEGAPIXELS),
    ("50", (8640, 5760)),
];
const RESULTS: [usize; 5] = [1, 2, 4, 8, 16];
/// The boxes of several results of one source, the least and the greatest.
const SIDES: (u32, u32) = (100, 1600);
/// The source of several results.
const LARGE: &str = "12";

/// The sources of all sizes, made of a photograph: smaller, or with its mirror images beside it.
///
/// # Errors
/// That one cannot be encoded or written.
pub fn lay_out(folder: &Path, photograph: &Rgb) -> Result<(), String> {
    for (megapixels, size) in SIZES {
        let path = folder.join(source(megapixels));
        std::fs::write(&path, sources::encode(&of_size(photograph, size)?, Coding::Baseline)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn of_size(photograph: &Rgb, size: (u32, u32)) -> Result<Rgb, String> {
    if size.0 <= photograph.width && size.1 <= photograph.height {
        sources::resized(photograph, size)
    } else {
        Ok(sources::tiled(photograph, size))
    }
}

fn source(megapixels: &str) -> String {
    format!("megapixels-{megapixels}.jpg")
}

/// One row for each number of clients and each server.
pub async fn by_clients(all: &mut [Running], pictures: &[String], settings: &Settings) -> Table {
    let mut table = table("clients");
    for clients in CLIENTS {
        println!("{clients} clients");
        rows(&mut table, &clients.to_string(), all, pictures, &Settings { clients, ..settings.clone() })
            .await;
    }
    table
}

/// One row for each size of source and each server, for as many clients as there are processors.
pub async fn by_size(all: &mut [Running], cores: usize, settings: &Settings) -> Table {
    let mut table = table("MP");
    for (megapixels, _) in SIZES {
        println!("{megapixels} megapixels");
        let settings = Settings { clients: cores, ..settings.clone() };
        rows(&mut table, megapixels, all, &[source(megapixels)], &settings).await;
    }
    table
}

fn table(first: &str) -> Table {
    Table::new(&[first, "server", "pictures/s", "errors", "p50 ms", "p99 ms", "CPU ms each", "peak PSS, MiB"])
}

/// Each server's rounds in turn.
async fn rows(table: &mut Table, what: &str, all: &mut [Running], pictures: &[String], settings: &Settings) {
    let mut rounds: Vec<Vec<Round>> = all.iter().map(|_| Vec::new()).collect();
    for _ in 0..settings.rounds {
        for (running, rounds) in all.iter_mut().zip(&mut rounds) {
            rounds.push(running.round(pictures, settings).await);
        }
    }
    for (number, (running, rounds)) in all.iter().zip(&rounds).enumerate() {
        let middle = |of: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
        let waits: Vec<f64> = rounds.iter().flat_map(|round| round.waits.iter().copied()).collect();
        table.row([
            if number == 0 { what.to_owned() } else { String::new() },
            running.contender.name.clone(),
            format!("{:.1}", middle(&|round| round.rate)),
            rounds.iter().map(|round| round.errors).sum::<usize>().to_string(),
            format!("{:.1}", quantile(&waits, 0.5)),
            format!("{:.1}", quantile(&waits, 0.99)),
            format!("{:.2}", middle(&|round| round.cpu_ms)),
            (rounds.iter().map(|round| round.peak.pss).max().unwrap_or_default() >> 20).to_string(),
        ]);
    }
}

/// One row for each number of results of one source and each server: how long it takes until all are there that were asked for at
/// once, and in one job of those that have such jobs.
///
/// # Errors
/// What a server says instead of a result.
pub async fn by_results(all: &[Running], time: Duration) -> Result<Table, String> {
    let mut table = Table::new(&["results", "server", "ms by requests at once", "ms in one job"]);
    for count in RESULTS {
        println!("{count} results of one source");
        let sides: Vec<u32> = (0..count).map(|number| side(number, count)).collect();
        let mut times = vec![(Vec::new(), Vec::new()); all.len()];
        let began = Instant::now();
        while began.elapsed() < time || times[0].0.len() < 3 {
            for (running, (apart, together)) in all.iter().zip(&mut times) {
                apart.push(at_once(running, &sides).await?);
                together.extend(in_one(running, &sides).await?);
            }
        }
        for (number, (running, (apart, together))) in all.iter().zip(&times).enumerate() {
            let said = |times: &[f64]| {
                if times.is_empty() { "–".to_owned() } else { format!("{:.0}", median(times)) }
            };
            let first = if number == 0 { count.to_string() } else { String::new() };
            table.row([first, running.contender.name.clone(), said(apart), said(together)]);
        }
    }
    Ok(table)
}

/// Sides that lie evenly between the least and the greatest.
fn side(number: usize, count: usize) -> u32 {
    let (least, greatest) = SIDES;
    least + (greatest - least) * (number as u32 + 1) / count as u32
}

/// Milliseconds until requests for all of these that are made at once are answered.
async fn at_once(running: &Running, sides: &[u32]) -> Result<f64, String> {
    let began = Instant::now();
    let mut asked = JoinSet::new();
    for &side in sides {
        let (path, mut client) = ((running.contender.picture)(&source(LARGE), side), running.client());
        asked.spawn(async move { client.get(&path).await.map(drop) });
    }
    while let Some(answer) = asked.join_next().await {
        answer.map_err(|error| error.to_string())?.map_err(|error| told(running, &error))?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds until one job has made them all, if there are such jobs.
async fn in_one(running: &Running, sides: &[u32]) -> Result<Option<f64>, String> {
    let Some(job) = &running.contender.job else { return Ok(None) };
    let ((path, job), mut client) = (job(&source(LARGE), sides), running.client());
    let began = Instant::now();
    let story = client.post(&path, &job).await.map_err(|error| told(running, &error))?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let story = String::from_utf8_lossy(&story);
    if story.contains("\"succeeded\"") { Ok(Some(took)) } else { Err(told(running, &story)) }
}

fn told(running: &Running, what: &str) -> String {
    format!("{}: {what}", running.contender.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_lie_evenly_up_to_the_greatest() {
        let sides = |count| (0..count).map(|number| side(number, count)).collect::<Vec<_>>();
        assert_eq!(sides(1), [1600]);
        assert_eq!(sides(4), [475, 850, 1225, 1600]);
    }

    #[test]
    fn sizes_are_what_they_are_called() {
        for (megapixels, size) in SIZES {
            let said: f64 = megapixels.parse().unwrap();
            let pixels = f64::from(size.0) * f64::from(size.1) / 1e6;
            assert!((pixels / said - 1.0).abs() < 0.05, "{megapixels}: {pixels}");
        }
    }

    #[test]
    fn a_photograph_becomes_smaller_and_larger() {
        let photograph = sources::synthetic(60, 40);
        for size in [(30, 20), (60, 40), (90, 20), (120, 80)] {
            let picture = of_size(&photograph, size).unwrap();
            assert_eq!((picture.width, picture.height), size);
            assert_eq!(picture.data.len(), 3 * size.0 as usize * size.1 as usize);
        }
        assert_eq!(of_size(&photograph, (60, 40)).unwrap().data, photograph.data);
    }
}
