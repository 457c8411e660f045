//! `imgserve nodes`: the servers that share a running server's journal.

use std::process::ExitCode;

use clap::Args;
use imgserve_base::job::now_ms;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Reach};
use super::failure::Failure;
use super::story::{self, Line, span};
use super::ui;

const HELP: &str = "\
One line for each server that shares the journal in a database, those that came first first; one that has not been heard of for 15
seconds is down, and is told of for a day. None where the journal is a file. Needs a key of scope admin where there are API keys.

Exit codes: 0 told, 1 the server cannot be asked, 64 the configuration is refused.";

/// Options of `nodes`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    /// One JSON object per line, as the API tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A node of `GET /v1/nodes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) id: Line,
    pub(super) name: Line,
    pub(super) version: Line,
    pub(super) up: bool,
    pub(super) this: bool,
    pub(super) since_ms: u64,
    pub(super) seen_at_ms: u64,
    pub(super) workers: u64,
    pub(super) running: u64,
}

#[derive(Debug, Deserialize)]
struct Nodes {
    nodes: Vec<Value>,
}

impl Node {
    /// All of them.
    pub(super) async fn all(client: &Client) -> Result<Vec<Self>, Failure> {
        let Nodes { nodes } = client.get("/v1/nodes").await?;
        nodes.into_iter().map(Self::read).collect()
    }

    fn read(node: Value) -> Result<Self, Failure> {
        let wrong =
            |error| Failure::Other(format!("the server tells of a node what cannot be read: {error}"));
        serde_json::from_value(node).map_err(wrong)
    }

    /// Whether it is there, and since when, or for how long it has not been.
    pub(super) fn state(&self, now_ms: u64) -> String {
        match self.up {
            true => format!("up {}", span(now_ms.saturating_sub(self.since_ms))),
            false => format!("down {}", span(now_ms.saturating_sub(self.seen_at_ms))),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.reach.run(async |client| {
        let Nodes { nodes } = client.get("/v1/nodes").await?;
        if arguments.json {
            nodes.iter().for_each(|node| ui::say(&story::json_line(node)));
            return Ok(());
        }
        let nodes = nodes.into_iter().map(Node::read).collect::<Result<Vec<_>, _>>()?;
        match nodes.is_empty() {
            true => ui::say("this server shares its journal with no other"),
            false => table(&nodes, now_ms()).iter().for_each(|line| ui::say(line)),
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(nodes: &[Node], now_ms: u64) -> Vec<String> {
    let mut rows = vec![["NODE", "STATE", "VERSION", "WORKERS", "RUNNING", "ID"].map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| {
        let name = if node.this { format!("{} (asked)", node.name) } else { node.name.to_string() };
        let (workers, running) = (node.workers.to_string(), node.running.to_string());
        [name, node.state(now_ms), node.version.to_string(), workers, running, node.id.to_string()]
    }));
    ui::table(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_stand_side_by_side() {
        let node = |name: &str, up: bool| {
            let told = json!({ "id": "x", "name": name, "version": "0.3.0", "up": up, "this": up, "since_ms": 1000,
                "seen_at_ms": 4000, "workers": 2, "running": 1 });
            Node::read(told).unwrap()
        };
        assert_eq!(
            table(&[node("a", true), node("b\u{7}", false)], 9000),
            [
                "NODE       STATE     VERSION  WORKERS  RUNNING  ID",
                "a (asked)  up 8 s    0.3.0    2        1        x",
                "b\\u{7}     down 5 s  0.3.0    2        1        x",
            ]
        );
    }
}
