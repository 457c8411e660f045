//! Servers side by side under the same load, taking turns: rates, ratios, memory, and what their pictures are worth.

use std::path::Path;
use std::time::Duration;

use crate::load::{self, Client, Round};
use crate::memory::Memory;
use crate::quality::{Light, score};
use crate::rivals::{Contender, Ground, Server};
use crate::stats::{Table, mean, median, range};

/// How it is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Clients that ask one server at once.
    pub clients: usize,
    /// Rounds of each server.
    pub rounds: usize,
    /// How long a round is.
    pub time: Duration,
    /// The sides of the boxes that are asked for, least and greatest: each request has its own, so that no server can answer
    /// two requests with one result.
    pub sides: (u32, u32),
    /// The side of the boxes in which quality is told.
    pub quality_side: u32,
}

/// A server that runs, and what it did.
#[derive(Debug)]
pub struct Running {
    /// How it is asked.
    pub contender: Contender,
    server: Server,
    rounds: Vec<Round>,
    next: usize,
    worth: Worth,
}

/// What a server's pictures are worth.
#[derive(Debug, Default)]
struct Worth {
    /// SSIMULACRA2 of each picture.
    scores: Vec<f64>,
    bytes: Vec<f64>,
    width: f64,
}

/// Starts all contenders that can be; of several ways to run the same server only the fastest stays.
///
/// # Errors
/// When the first, which is ours, does not serve.
pub async fn start(
    ground: &Ground,
    contenders: Vec<Contender>,
    sources: &[String],
    settings: &Settings,
) -> Result<Vec<Running>, String> {
    let mut all: Vec<Running> = Vec::new();
    for contender in contenders {
        let name = contender.name.clone();
        match launch(ground, contender, &sources[0]).await {
            Ok(running) => keep(&mut all, running, sources, settings).await,
            Err(reason) if all.is_empty() => return Err(format!("{name}: {reason}")),
            Err(reason) => println!("without {name}: {reason}"),
        }
    }
    Ok(all)
}

async fn launch(ground: &Ground, mut contender: Contender, source: &str) -> Result<Running, String> {
    let log = ground.folder.join(format!("{}.log", contender.name.replace([' ', '(', ')'], "")));
    let command = std::mem::replace(&mut contender.command, std::process::Command::new("true"));
    let path = (contender.picture)(source, 64);
    let server = Server::start(command, contender.listens, &path, &log).await?;
    Ok(Running { contender, server, rounds: Vec::new(), next: 0, worth: Worth::default() })
}

/// Adds a server, or puts it in the place of its slower variant, or ends it.
async fn keep(all: &mut Vec<Running>, mut running: Running, sources: &[String], settings: &Settings) {
    let trial = Settings { time: settings.time.min(Duration::from_secs(3)), ..settings.clone() };
    // Whatever is set up at first use is not to be measured.
    running.round(sources, &trial).await;
    let other = all.iter().position(|other| {
        running.contender.variant_of.is_some() && other.contender.variant_of == running.contender.variant_of
    });
    let Some(place) = other else { return all.push(running) };
    let (known, new) =
        (all[place].round(sources, &trial).await.rate, running.round(sources, &trial).await.rate);
    println!("{} {known:.1}/s, {} {new:.1}/s", all[place].contender.name, running.contender.name);
    if new > known {
        all[place] = running;
    }
}

impl Running {
    /// Where it listens.
    pub fn client(&self) -> Client {
        Client::new(self.server.address)
    }

    /// One round of requests for these.
    pub(crate) async fn round(&mut self, sources: &[String], settings: &Settings) -> Round {
        let (picture, sides) = (&self.contender.picture, settings.sides);
        let path = |number: usize| picture(&sources[number % sources.len()], side(number, sides));
        let server = (self.server.address, self.server.process());
        let (round, next) = load::round(server, &path, self.next, (settings.clients, settings.time)).await;
        self.next = next;
        if round.others > 0.1 {
            println!("{}: others took {:.1} processors meanwhile", self.contender.name, round.others);
        }
        if let Some(complaint) = &round.complaint {
            println!("{}: {} errors, the first: {complaint}", self.contender.name, round.errors);
        }
        round
    }

    fn rates(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.rate).collect()
    }

    fn peak(&self) -> Memory {
        self.rounds.iter().fold(Memory::default(), |peak, round| peak.max(round.peak))
    }
}

/// A number's side, different for all that are asked for at the same time.
fn side(number: usize, (least, greatest): (u32, u32)) -> u32 {
    let span = greatest - least + 1;
    // 37 is a prime: all sides come before one comes again, unless their number is a multiple of it.
    least + (number as u64 * 37 % u64::from(span)) as u32
}

/// All servers in turn, again and again; each round begins with another one.
pub async fn rounds(all: &mut [Running], sources: &[String], settings: &Settings) {
    for number in 0..settings.rounds {
        let mut said = Vec::new();
        for turn in 0..all.len() {
            let place = (turn + number) % all.len();
            let round = all[place].round(sources, settings).await;
            said.push(format!("{} {:.1}", all[place].contender.name, round.rate));
            all[place].rounds.push(round);
        }
        println!("round {} of {}, pictures/s: {}", number + 1, settings.rounds, said.join(", "));
    }
}

/// What each server makes of each source, compared with the best that can be made of it.
///
/// # Errors
/// When a source cannot be read.
pub async fn judge(all: &mut [Running], folder: &Path, sources: &[String], side: u32) -> Result<(), String> {
    for source in sources {
        let file = folder.join(source);
        let light = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let light = Light::of(&light)?;
        for running in all.iter_mut() {
            let path = (running.contender.picture)(source, side);
            match running.client().get(&path).await.and_then(|body| Ok((score(&light, &body)?, body.len()))) {
                Ok((score, bytes)) => {
                    running.worth.scores.push(score);
                    running.worth.bytes.push(bytes as f64);
                }
                Err(error) => println!("{}: {source}: {error}", running.contender.name),
            }
        }
    }
    let best = all.first().map_or(0.0, |first| mean(&first.worth.bytes));
    all.iter_mut().for_each(|running| running.worth.width = mean(&running.worth.bytes) / best);
    Ok(())
}

/// One row for each server.
pub fn table(all: &[Running]) -> Table {
    let mut table = Table::new(&[
        "server",
        "pictures/s",
        "range",
        "the first is … × it",
        "range",
        "errors",
        "CPU ms each",
        "peak PSS, MiB",
        "peak RSS, MiB",
        "SSIMULACRA2",
        "worst",
        "bytes",
        "of the first's",
    ]);
    let first = all.first().map(Running::rates).unwrap_or_default();
    for running in all {
        let rates = running.rates();
        let ratios: Vec<f64> = first.iter().zip(&rates).map(|(ours, its)| ours / its).collect();
        let cpu: Vec<f64> = running.rounds.iter().map(|round| round.cpu_ms).collect();
        let span = |numbers: &[f64], digits: usize| {
            let (low, high) = range(numbers);
            format!("{low:.digits$}–{high:.digits$}")
        };
        let (peak, worth) = (running.peak(), &running.worth);
        table.row([
            running.contender.name.clone(),
            format!("{:.1}", median(&rates)),
            span(&rates, 1),
            format!("{:.2}", median(&ratios)),
            span(&ratios, 2),
            running.rounds.iter().map(|round| round.errors).sum::<usize>().to_string(),
            format!("{:.2}", median(&cpu)),
            (peak.pss >> 20).to_string(),
            (peak.rss >> 20).to_string(),
            format!("{:.2}", mean(&worth.scores)),
            format!("{:.2}", range(&worth.scores).0),
            format!("{:.0}", mean(&worth.bytes)),
            format!("{:.2}", worth.width),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_same_time_have_sides_of_their_own() {
        let sides: Vec<u32> = (0..81).map(|number| side(number, (440, 520))).collect();
        assert!(sides.iter().all(|side| (440..=520).contains(side)));
        let different: std::collections::HashSet<&u32> = sides.iter().collect();
        assert_eq!(different.len(), 81);
        assert_eq!(side(5, (480, 480)), 480);
    }
}
