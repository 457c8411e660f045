//! Drawings to PNG: those servers that draw, one request at a time, taking turns on each drawing.

use std::time::{Duration, Instant};

use crate::contest::Running;
use crate::load::Client;
use crate::quality::compare;
use crate::sources;
use crate::stats::{Table, median};

/// A picture is given up when it takes longer than this part of the time for a drawing.
const LEAST_TURNS: usize = 3;

/// One row for each drawing and server: times, their ratio to the first server's, and SSIMULACRA2 between the two pictures,
/// which tells whether both have drawn it.
pub async fn table(all: &[Running], drawings: &[String], side: u32, time: Duration) -> Table {
    let mut table =
        Table::new(&["drawing", "server", "ms", "the first takes … of it", "bytes", "like the first's"]);
    let able: Vec<&Running> = all.iter().filter(|running| running.contender.drawing.is_some()).collect();
    for drawing in drawings {
        println!("drawing {drawing}");
        match trial(&able, drawing, side, time).await {
            Ok(results) => rows(&mut table, drawing, &able, &results),
            Err(reason) => println!("without {drawing}: {reason}"),
        }
    }
    table
}

/// What a server did with a drawing.
struct Trial {
    median_ms: f64,
    picture: Vec<u8>,
}

async fn trial(able: &[&Running], drawing: &str, side: u32, time: Duration) -> Result<Vec<Trial>, String> {
    let mut clients: Vec<(Client, String, Vec<f64>, Vec<u8>)> = Vec::new();
    for running in able {
        let path = running.contender.drawing.as_ref().ok_or("it does not draw")?(drawing, side);
        let mut client = running.client();
        let picture =
            client.get(&path).await.map_err(|error| format!("{}: {error}", running.contender.name))?;
        clients.push((client, path, Vec::new(), picture.to_vec()));
    }
    let began = Instant::now();
    while began.elapsed() < time || clients.iter().any(|(.., times, _)| times.len() < LEAST_TURNS) {
        for (client, path, times, _) in &mut clients {
            let asked = Instant::now();
            client.get(path).await?;
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(clients.into_iter().map(|(.., times, picture)| Trial { median_ms: median(&times), picture }).collect())
}

fn rows(table: &mut Table, drawing: &str, able: &[&Running], trials: &[Trial]) {
    let Some(first) = trials.first() else { return };
    for (number, (running, trial)) in able.iter().zip(trials).enumerate() {
        table.row([
            if number == 0 { drawing.to_owned() } else { String::new() },
            running.contender.name.clone(),
            format!("{:.1}", trial.median_ms),
            format!("{:.2}", first.median_ms / trial.median_ms),
            trial.picture.len().to_string(),
            likeness(&first.picture, &trial.picture).unwrap_or_else(|error| error),
        ]);
    }
}

fn likeness(one: &[u8], other: &[u8]) -> Result<String, String> {
    compare(&sources::decode(one)?, &sources::decode(other)?).map(|score| format!("{score:.1}"))
}
