//! `imgserve operations`: the registry that the configuration makes, its plugins loaded and asked; or one of them, with its
//! arguments.

use std::process::ExitCode;

use clap::Args;
use imgserve_base::fault::one_line;
use imgserve_config::{Config, OperationSettings, PluginKind};
use imgserve_sdk::{Description, InputKind, OutputKind};
use imgserve_worker::LoadedCodec;

use super::failure::Failure;
use super::options::Place;
use super::plugin::start_pool;
use super::ui;
use crate::registry::{Registry, Told};

const HELP: &str = "\
Loads every plugin that the configuration names, as a start would, and lists the operations that requests may name: kind,
version, what they take and give, and the limits of one call; then the codecs that are plugins, if there are any. With a name: that operation's arguments, with what they take, mean
and are where nobody says it.

Exit codes: 0 listed, 1 a plugin cannot be loaded (the message says which and why) or there is no such operation, 64 the
configuration is refused.";

/// Longest line of what a plugin says of its arguments, in bytes.
const MAX_LINE: usize = 2000;

/// Options of `operations`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Arguments {
    /// One operation, to be told its arguments
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.place.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let enabled = config.operations.iter().filter(|(_, operation)| operation.enabled);
    let (pipelines, plugins): (Vec<_>, Vec<_>) = enabled.partition(|(_, operation)| operation.is_pipeline());
    let plugins: Vec<_> = plugins.into_iter().map(|(name, o)| (name.clone(), o.clone())).collect();
    let pool = start_pool(&runtime, &config, &plugins)?;
    // As a start does it: what the server would refuse is not listed as if it were well.
    let registry = Registry::build(&config, pool.loaded(), pool.codecs());
    let registry = registry.map_err(|fault| Failure::Other(fault.text))?;
    config.codec.auto(pool.formats()).map_err(|error| Failure::Other(error.to_string()))?;
    if let Some(name) = &arguments.name {
        return one(&registry, name);
    }
    let mut rows: Vec<[String; 6]> = Vec::new();
    for loaded in pool.loaded() {
        if let Some(operation) = config.operations.get(&loaded.name) {
            rows.push(row(&loaded.name, operation, &loaded.description, &config));
        }
    }
    for (name, _) in pipelines {
        let steps = [
            PluginKind::Builtin.name().to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
            "as its first step".to_owned(),
        ];
        let [kind, version, takes] = steps;
        rows.push([
            name.clone(),
            kind,
            version,
            takes,
            "as its last step".to_owned(),
            "its steps'".to_owned(),
        ]);
    }
    rows.sort();
    rows.insert(0, ["OPERATION", "KIND", "VERSION", "TAKES", "GIVES", "LIMITS"].map(str::to_owned));
    ui::table(&rows).iter().for_each(|line| ui::say(line));
    codecs(&config, pool.codecs());
    Ok(ExitCode::SUCCESS)
}

/// Lists the codecs that are plugins.
fn codecs(config: &Config, loaded: &[LoadedCodec]) {
    let rows = loaded.iter().filter_map(|LoadedCodec { name, description, .. }| {
        let settings = config.codecs.get(name)?;
        let names = |written: bool| {
            let formats = description.formats.iter().filter(|format| !written || format.written.is_some());
            let names: Vec<&str> = formats.map(|format| format.name.as_str()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let limits = format!("{} MiB, {} ms", settings.memory_limit_mb(), settings.time_limit().as_millis());
        let version = format!("{} {}", description.name, description.version);
        Some([name.clone(), version, names(false), names(true), limits])
    });
    let mut rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    rows.insert(0, ["CODEC", "VERSION", "READS", "WRITES", "LIMITS"].map(str::to_owned));
    ui::say("");
    ui::table(&rows).iter().for_each(|line| ui::say(line));
}

/// Tells an operation's arguments.
fn one(registry: &Registry, name: &str) -> Result<ExitCode, Failure> {
    let Some(operation) = registry.get(name) else {
        let known: Vec<&str> = registry.names().collect();
        let text = format!("`{}` is none of {}", name.escape_debug(), known.join(", "));
        return Err(Failure::Other(text));
    };
    let Description { name: plugin, version, summary, .. } = &operation.description;
    ui::say(&format!("{name} ({plugin} {version}): {summary}"));
    for argument in operation.told() {
        ui::say("");
        told(&argument).iter().for_each(|line| ui::say(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// An argument in lines.
fn told(argument: &Told) -> Vec<String> {
    let Told { name, aliases, values, default, required, meaning } = argument;
    let usual = match default {
        Some(default) => format!(" (default: {default})"),
        None if *required => " (required)".to_owned(),
        None => String::new(),
    };
    let mut lines = vec![format!("{name}: {values}{usual}")];
    lines.extend((!meaning.is_empty()).then(|| format!("  {meaning}")));
    lines.extend((!aliases.is_empty()).then(|| format!("  also {}", aliases.join(", "))));
    // A plugin's author wrote them.
    lines.iter().map(|line| one_line(line, MAX_LINE)).collect()
}

fn row(name: &str, operation: &OperationSettings, description: &Description, config: &Config) -> [String; 6] {
    let takes = match &description.input {
        InputKind::Pixels { .. } => "pixels".to_owned(),
        InputKind::Encoded { formats } => formats.join(", "),
    };
    let gives = match &description.output {
        OutputKind::Source => "as the source".to_owned(),
        OutputKind::Image { format } => format.clone(),
        OutputKind::Encoded { media_type, .. } => media_type.clone(),
    };
    let version = match operation.kind == PluginKind::Builtin && operation.plugin == name {
        true => description.version.clone(),
        false => format!("{} {}", description.name, description.version),
    };
    [name.to_owned(), operation.kind.name().to_owned(), version, takes, gives, limits(operation, config)]
}

fn limits(operation: &OperationSettings, config: &Config) -> String {
    let memory = match operation.kind {
        PluginKind::Wasm => operation.memory_limit_mb(),
        PluginKind::Builtin | PluginKind::Native => config.workers.memory_limit_mb,
    };
    let worker = config.workers.run_timeout_ms;
    let time = operation.time_limit().map_or(worker, |limit| limit.as_millis() as u64);
    let pixels = operation.max_output_pixels.unwrap_or(u64::MAX).min(config.limits.max_output_pixels);
    format!("{memory} MiB, {time} ms, {pixels} pixels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_told_in_lines() {
        let mut argument = Told {
            name: "width".to_owned(),
            aliases: vec!["w".to_owned(), "wide".to_owned()],
            values: "an integer, 1 to 9".to_owned(),
            default: Some("7".to_owned()),
            required: false,
            meaning: "How wide.".to_owned(),
        };
        assert_eq!(
            told(&argument),
            ["width: an integer, 1 to 9 (default: 7)", "  How wide.", "  also w, wide"]
        );
        (argument.default, argument.required, argument.meaning) = (None, true, String::new());
        argument.aliases.clear();
        argument.values.push_str("\u{1b}[2J");
        assert!(told(&argument)[0].ends_with("9\\u{1b}[2J (required)"), "{:?}", told(&argument));
        argument.values = "an integer, 1 to 9".to_owned();
        assert_eq!(told(&argument), ["width: an integer, 1 to 9 (required)"]);
    }

    #[test]
    fn columns_stand_side_by_side() {
        let rows = [["a", "bb"], ["cccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(ui::table(&rows), ["a     bb", "cccc  d"]);
    }
}
