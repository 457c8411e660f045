//! `imgserve plugin build`: a plugin's folder compiled, made a plugin and put in its place; then what to write into the
//! configuration. Rust is built here, by `cargo`; what is in other languages, by `language`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use imgserve_config::{Paths, PluginKind};
use imgserve_worker::plugin::{World, component};

use super::artifact::{self, Artifact};
use super::cargo::{self, Package};
use super::language::{self, Language};
use super::toolchain::{Choice, Toolchain};
use crate::cli::failure::Failure;
use crate::cli::ui;

const HELP: &str = "\
A component runs in a sandbox: it reaches its arguments, its pixels and nothing else, and its memory and time are
limited. A shared library (--native) is not sandboxed and may be somewhat faster: only for code that you trust.

To compile to WebAssembly, Rust's standard library for wasm32-unknown-unknown is needed. It is looked for in the
active toolchain; else rustup is asked to add it; else Debian's packages rustc-web, cargo-web and rust-web-src are
used, which build it from source. --toolchain chooses one of these.

A folder with src/plugin.c, src/plugin.js or src/plugin.py is built by that language's own tool: clang and wasm-ld,
componentize-js of the folder's node_modules (or one that NODE_PATH names), componentize-py of the folder's .venv (or the
one on PATH). A tool that is missing is named, with what to type; what has not changed is not built again.

Exit codes: 0 built, 1 not built; the tool's messages say why.";

/// Options of `plugin build`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The plugin's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Build a shared library, which runs outside of the sandbox, instead of a WebAssembly component
    #[arg(long)]
    native: bool,
    /// Where to put the plugin (default: plugins/NAME.wasm or .so in cargo's target directory)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which toolchain compiles to WebAssembly
    #[arg(long, value_enum, default_value = "auto", conflicts_with = "native")]
    toolchain: Choice,
    #[command(flatten)]
    cargo: cargo::Options,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let built = build(arguments)?;
    ui::say(&report(&built, &Paths::of_this_user().config));
    Ok(ExitCode::SUCCESS)
}

/// What came of it.
struct Built {
    kind: PluginKind,
    world: World,
    /// The package's name.
    package: String,
    artifact: Artifact,
    /// Whether a component has vector instructions.
    simd: Option<bool>,
}

fn build(arguments: &Arguments) -> Result<Built, Failure> {
    let shown = arguments.dir.display();
    let directory = arguments.dir.canonicalize().map_err(Failure::io(format!("cannot use {shown}")))?;
    let language = Language::of(&directory);
    if language != Language::Rust {
        return build_other(language, &directory, arguments);
    }
    let kind = if arguments.native { PluginKind::Native } else { PluginKind::Wasm };
    let toolchain = match arguments.native {
        false => Toolchain::for_wasm(arguments.toolchain, &directory)?,
        true => Toolchain::active(&directory),
    };
    let package = cargo::package(&toolchain, &directory, &arguments.cargo)?;
    ui::complain(&format!("building {} with {}", package.name, toolchain.name));
    let built = cargo::build(&toolchain, &package, &arguments.cargo, kind)?;
    let bytes = std::fs::read(&built).map_err(Failure::io(format!("cannot read {}", built.display())))?;
    let (world, bytes) = match arguments.native {
        false => artifact::component(&bytes)?,
        true => (World::Operation, artifact::library(bytes)?),
    };
    let out = arguments.out.clone().unwrap_or_else(|| place(kind, &package));
    let artifact = Artifact::store(&bytes, &out)?;
    let simd = (kind == PluginKind::Wasm).then(|| component::has_simd(&bytes));
    Ok(Built { kind, world, package: package.name, artifact, simd })
}

/// The same of a folder of another language than Rust, whose tool has none of cargo's options.
fn build_other(language: Language, directory: &Path, arguments: &Arguments) -> Result<Built, Failure> {
    if arguments.native || arguments.toolchain != Choice::Auto || arguments.cargo.are_given() {
        let source = language.source().unwrap_or_default();
        let text = format!(
            "--native, --toolchain and cargo's options are for Rust, and {source} is not written in it"
        );
        return Err(Failure::Other(text));
    }
    let bytes = language::build(language, directory)?;
    let package = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = || directory.join("target/plugins").join(format!("{}.wasm", operation(&package)));
    let artifact = Artifact::store(&bytes, &arguments.out.clone().unwrap_or_else(place))?;
    let simd = Some(component::has_simd(&bytes));
    let world = component::inspect(&bytes).map_or(World::Operation, |found| found.world);
    Ok(Built { kind: PluginKind::Wasm, world, package, artifact, simd })
}

/// The component of the plugin in `dir`, built as `plugin build` does without options.
///
/// # Errors
/// [`Failure`] when it cannot be built.
pub(super) fn component(dir: &Path) -> Result<PathBuf, Failure> {
    let arguments = Arguments {
        dir: dir.to_owned(),
        native: false,
        out: None,
        toolchain: Choice::Auto,
        cargo: cargo::Options::default(),
    };
    Ok(build(&arguments)?.artifact.path)
}

/// Where a plugin goes that nobody wants elsewhere.
fn place(kind: PluginKind, package: &Package) -> PathBuf {
    let file = Path::new(operation(&package.name)).with_added_extension(kind.extension().unwrap_or_default());
    package.target_directory.join("plugins").join(file)
}

/// What was built, and how to register it.
fn report(Built { kind, world, package, artifact, simd }: &Built, config: &Path) -> String {
    let wasm = *kind == PluginKind::Wasm;
    let sections = match world {
        World::Operation => "operations",
        World::Codec => "codecs",
    };
    let what = if wasm { "component" } else { "library  " };
    let path = artifact.path.display();
    let simd = match simd {
        Some(true) => "\nsimd       yes",
        Some(false) => "\nsimd       no vector instructions in it",
        None => "",
    };
    let name = operation(package);
    let quoted = toml::Value::from(artifact.path.to_string_lossy().into_owned());
    // A sandboxed plugin may be built again and again; a trusted one is this very file.
    let pinned = if wasm { "# sha256: refuse any other file\n# " } else { "" };
    format!(
        "{what}  {path}\nsize       {}\nsha256     {}{simd}\n\n\
         To register it, add this to {} and type `imgserve reload`:\n\n\
         [{sections}.{name}]\nkind = \"{}\"\npath = {quoted}\n{pinned}sha256 = \"{}\"",
        readable(artifact.size),
        artifact.sha256,
        config.display(),
        kind.name(),
        artifact.sha256
    )
}

/// An operation is named for what it does, not for whose it is.
fn operation(package: &str) -> &str {
    package.strip_prefix("imgserve-").unwrap_or(package)
}

/// A size in the unit in which it is read best.
pub(super) fn readable(bytes: usize) -> String {
    let kib = bytes as f64 / 1024.0;
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{kib:.1} KiB"),
        _ => format!("{:.1} MiB", kib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_printed_is_what_the_configuration_takes() {
        let path = PathBuf::from("/a \"b\"/sepia.wasm");
        let built = |kind, world, simd| {
            let artifact = Artifact { path: path.clone(), size: 2048, sha256: "ab".repeat(32) };
            report(
                &Built { kind, world, package: "imgserve-sepia".to_owned(), artifact, simd },
                Path::new("/etc/i.toml"),
            )
        };
        let section =
            |text: &str| -> toml::Table { text.split_once("`imgserve reload`:").unwrap().1.parse().unwrap() };
        let text = built(PluginKind::Wasm, World::Operation, Some(true));
        let section_of_operation = section(&text);
        let operation = &section_of_operation["operations"]["sepia"];
        assert_eq!(operation["kind"].as_str(), Some("wasm"));
        assert_eq!(operation["path"].as_str(), Some("/a \"b\"/sepia.wasm"));
        assert!(operation.get("sha256").is_none(), "a component is built again and again");
        assert!(text.contains("2.0 KiB") && text.contains("simd       yes"), "{text}");
        let native = section(&built(PluginKind::Native, World::Operation, None));
        assert_eq!(native["operations"]["sepia"]["sha256"].as_str(), Some(&*"ab".repeat(32)));
        let codec = section(&built(PluginKind::Wasm, World::Codec, None));
        assert_eq!(codec["codecs"]["sepia"]["kind"].as_str(), Some("wasm"));
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (3_407_872, "3.2 MiB")]
        {
            assert_eq!(readable(bytes), text);
        }
    }
}
