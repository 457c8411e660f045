//! `imgserve cache`: what a running server keeps of results, and having it forgotten.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use imgserve_base::job::now_ms;
use imgserve_base::units::MIB;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::client::{Client, Reach};
use super::failure::Failure;
use super::story::{self, Line, span};
use super::ui;

const HELP: &str = "\
Results of direct calls are kept where [cache] dir names a directory. The server is asked, and does what is wanted itself: its files
are nobody else's to touch while it runs. Needs a key of scope admin where there are API keys.

Examples:
  imgserve cache size
  imgserve cache list --limit 20
  imgserve cache purge https://example.org/photo.jpg
  imgserve cache purge --all

Exit codes: 0 done (also where there was nothing to remove), 1 no results are kept or the server cannot be asked, 64 the
configuration is refused.";

/// What to do about the cache.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// List results that are kept, the last used first
    #[command(after_long_help = HELP)]
    List(List),
    /// Forget a source and all that was made of it, or everything
    #[command(after_long_help = HELP)]
    Purge(Purge),
    /// Say how much is kept
    #[command(after_long_help = HELP)]
    Size(Size),
}

/// Options of `cache list`.
#[derive(Args, Clone, Debug)]
pub(super) struct List {
    /// How many at most, up to 1000
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// One JSON object per line, as the API tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Options of `cache purge`.
#[derive(Args, Clone, Debug)]
pub(super) struct Purge {
    /// The source's URL, as renders name it
    #[arg(value_name = "URL", required_unless_present = "all", conflicts_with = "all")]
    source: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Options of `cache size`.
#[derive(Args, Clone, Debug)]
pub(super) struct Size {
    /// One JSON object, as the API tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An answer of `GET /v1/cache`.
#[derive(Debug, Deserialize)]
struct Told {
    enabled: bool,
    #[serde(default)]
    entries: u64,
    #[serde(default)]
    disk_bytes: u64,
    #[serde(default)]
    max_bytes: u64,
    #[serde(default)]
    memory_bytes: u64,
    #[serde(default)]
    results: Vec<Value>,
}

/// A result of its list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kept {
    #[serde(rename = "operationType")]
    operation: Line,
    #[serde(rename = "srcURL")]
    source: Line,
    media_type: Line,
    bytes: u64,
    made_at_ms: u64,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list(arguments),
        Command::Purge(arguments) => purge(arguments),
        Command::Size(arguments) => size(arguments),
    }
}

async fn told(client: &Client, limit: usize) -> Result<Told, Failure> {
    let told: Told = client.get(&format!("/v1/cache?limit={limit}")).await?;
    match told.enabled {
        true => Ok(told),
        false => Err(Failure::Other(format!(
            "imgserve at {} keeps no results: [cache] dir names a directory for them",
            client.base()
        ))),
    }
}

fn list(arguments: &List) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        let told = told(client, arguments.limit).await?;
        if arguments.json {
            told.results.iter().for_each(|kept| ui::say(&story::json_line(kept)));
            return Ok(());
        }
        let wrong =
            |error| Failure::Other(format!("the server tells of a result what cannot be read: {error}"));
        let kept = told.results.into_iter().map(serde_json::from_value).collect::<Result<Vec<Kept>, _>>();
        table(&kept.map_err(wrong)?, now_ms()).iter().for_each(|line| ui::say(line));
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(results: &[Kept], now_ms: u64) -> Vec<String> {
    let mut rows = vec![["OPERATION", "AGE", "BYTES", "TYPE", "SOURCE"].map(str::to_owned)];
    rows.extend(results.iter().map(|kept| {
        let age = span(now_ms.saturating_sub(kept.made_at_ms));
        let source =
            if kept.source.as_str().is_empty() { "(sent)".to_owned() } else { kept.source.to_string() };
        [kept.operation.to_string(), age, kept.bytes.to_string(), kept.media_type.to_string(), source]
    }));
    ui::table(&rows)
}

fn purge(arguments: &Purge) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        told(client, 1).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        match &arguments.source {
            Some(source) => query.append_pair("src", source),
            None => query.append_pair("all", "true"),
        };
        let answer =
            client.delete(&format!("/v1/cache?{}", query.finish())).await?.map_err(Failure::Other)?;
        let removed = answer["removed"].as_u64().unwrap_or_default();
        ui::say(&format!("{removed} {} removed", if removed == 1 { "result" } else { "results" }));
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn size(arguments: &Size) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        let told = told(client, 1).await?;
        let Told { entries, disk_bytes, max_bytes, memory_bytes, .. } = told;
        if arguments.json {
            let told = serde_json::json!({
                "entries": entries, "disk_bytes": disk_bytes, "max_bytes": max_bytes, "memory_bytes": memory_bytes,
            });
            ui::say(&story::json_line(&told));
            return Ok(());
        }
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
        ui::say(&format!("{entries} entries, {} of {} on disk", mib(disk_bytes), mib(max_bytes)));
        ui::say(&format!("{} of that in memory", mib(memory_bytes)));
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_stand_side_by_side_and_say_what_was_sent() {
        let kept = |source: &str, bytes: u64| {
            let told = json!({ "operationType": "resize", "srcURL": source, "media_type": "image/png",
                "bytes": bytes, "made_at_ms": 1000 });
            serde_json::from_value::<Kept>(told).unwrap()
        };
        assert_eq!(
            table(&[kept("http://a/b\u{7}", 9), kept("", 20_000)], 9000),
            [
                "OPERATION  AGE  BYTES  TYPE       SOURCE",
                "resize     8 s  9      image/png  http://a/b\\u{7}",
                "resize     8 s  20000  image/png  (sent)",
            ]
        );
    }
}
