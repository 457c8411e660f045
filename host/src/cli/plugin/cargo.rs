//! What cargo is asked: which package a directory holds, and its library built as a plugin. Paths are taken from cargo's
//! messages, never guessed.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use clap::Args;
use imgserve_config::PluginKind;
use serde::Deserialize;

use super::toolchain::{TARGET, Toolchain};
use crate::cli::failure::Failure;

/// Vector instructions: every engine has them, and pixels are what they are for.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// What is passed on to cargo.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct Options {
    /// Features of the crate to turn on, separated by commas
    #[arg(long, value_name = "FEATURES")]
    features: Option<String>,
    /// Which package, when DIR is a workspace of several
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    /// Let cargo use only crates that it has already
    #[arg(long)]
    offline: bool,
    /// Fail if Cargo.lock would have to change
    #[arg(long)]
    locked: bool,
}

impl Options {
    /// Whether any of them is.
    pub(super) fn are_given(&self) -> bool {
        let Self { features, package, offline, locked } = self;
        features.is_some() || package.is_some() || *offline || *locked
    }

    fn common(&self) -> impl Iterator<Item = &'static str> {
        [(self.offline, "--offline"), (self.locked, "--locked")]
            .into_iter()
            .filter_map(|(wanted, flag)| wanted.then_some(flag))
    }
}

/// A package, as `cargo metadata` knows it.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    id: String,
    pub(super) name: String,
    manifest_path: PathBuf,
    /// Where cargo puts what it builds.
    #[serde(skip)]
    pub(super) target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

/// The package in `directory`, or of the workspace there the one that is asked for.
///
/// # Errors
/// [`Failure`] when there is none; cargo has said why.
pub(super) fn package(
    toolchain: &Toolchain,
    directory: &Path,
    options: &Options,
) -> Result<Package, Failure> {
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Failure::Other(format!(
            "there is no plugin in {}: no Cargo.toml, and no src/plugin.c, .js or .py",
            directory.display()
        )));
    }
    let mut command = toolchain.command("metadata", directory);
    command
        .args(["--no-deps", "--format-version=1", "--manifest-path"])
        .arg(&manifest)
        .args(options.common());
    let output = command.stderr(Stdio::inherit()).output().map_err(no_cargo())?;
    let text = succeeded(output.status, "read the crate's manifest").map(|()| output.stdout)?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| Failure::Other(format!("cargo metadata is not as expected: {error}")))?;
    let wanted = |package: &Package| match &options.package {
        Some(name) => package.name == *name,
        None => package.manifest_path == manifest,
    };
    let names: Vec<_> = metadata.packages.iter().map(|package| package.name.clone()).collect();
    match metadata.packages.into_iter().find(wanted) {
        Some(package) => Ok(Package { target_directory: metadata.target_directory, ..package }),
        None => Err(Failure::Other(format!(
            "name one package of the workspace in {} with --package: {}",
            directory.display(),
            names.join(", ")
        ))),
    }
}

/// Builds the package's library as a plugin and says where it is.
///
/// # Errors
/// [`Failure`] when cargo fails; it has said why.
pub(super) fn build(
    toolchain: &Toolchain,
    package: &Package,
    options: &Options,
    kind: PluginKind,
) -> Result<PathBuf, Failure> {
    let directory = package.manifest_path.parent().unwrap_or(Path::new("."));
    let mut command = toolchain.command("rustc", directory);
    command.args(["--lib", "--crate-type=cdylib", "--release", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(&package.manifest_path).args(options.common());
    if let Some(features) = &options.features {
        command.args(["--features", features]);
    }
    if kind == PluginKind::Wasm {
        command.args(["--target", TARGET]).args(&toolchain.flags);
        with_simd(&mut command, |name| std::env::var_os(name));
    } else {
        // What a debugger reads is most of a library's size; a component loses it when it is made.
        command.args(["--config", "profile.release.strip=\"debuginfo\""]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(no_cargo())?;
    let extension = kind.extension().unwrap_or_default();
    let mut built = None;
    // To the end in any case: cargo must not find its pipe closed.
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.map_err(Failure::io("cannot read what cargo says"))?;
        built = artifact(&line, &package.id, extension).or(built);
    }
    let status = child.wait().map_err(Failure::io("cannot wait for cargo"))?;
    succeeded(status, &format!("build `{}`", package.name))?;
    built.ok_or_else(|| Failure::Other(format!("cargo built no .{extension} file of `{}`", package.name)))
}

fn no_cargo() -> impl FnOnce(std::io::Error) -> Failure {
    Failure::io("cannot start cargo; plugins need Rust: https://rustup.rs")
}

fn succeeded(status: ExitStatus, what: &str) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::Other(format!("cargo could not {what} ({status}); its messages above say why")))
}

/// Adds [`SIMD`] to whatever flags the user has. Of the places that flags can come from cargo takes the first only, so
/// these go to that one ("build.rustflags" in cargo's reference).
fn with_simd(command: &mut Command, variable: impl Fn(&str) -> Option<OsString>) {
    for (name, separator) in [("CARGO_ENCODED_RUSTFLAGS", "\x1f"), ("RUSTFLAGS", " ")] {
        if let Some(mut flags) = variable(name) {
            if !flags.is_empty() {
                flags.push(separator);
            }
            flags.push(SIMD);
            command.env(name, flags);
            return;
        }
    }
    command.arg("--config").arg(format!("target.{TARGET}.rustflags=[\"{SIMD}\"]"));
}

/// A line of cargo's output, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The file of this kind that `line` says was built of the package.
fn artifact(line: &str, package: &str, extension: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let ours = message.reason == "compiler-artifact" && message.package_id == package;
    let mut files = message.filenames.into_iter();
    files.find(|file| ours && file.extension().is_some_and(|found| found == extension))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    /// What `with_simd` adds, given these variables: arguments, and variables set.
    fn simd(variables: &[(&str, &str)]) -> (Vec<String>, Vec<(String, String)>) {
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        let mut command = Command::new("cargo");
        with_simd(&mut command, |name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.into())
        });
        let set = command.get_envs().map(|(name, value)| (text(name), text(value.unwrap())));
        (command.get_args().map(text).collect(), set.collect())
    }

    #[test]
    fn simd_is_added_to_the_flags_that_count() {
        let set = |name: &str, value: &str| (Vec::new(), vec![(name.to_owned(), value.to_owned())]);
        assert_eq!(
            simd(&[("RUSTFLAGS", "-Cdebuginfo=1")]),
            set("RUSTFLAGS", "-Cdebuginfo=1 -Ctarget-feature=+simd128")
        );
        assert_eq!(
            simd(&[("RUSTFLAGS", "-Cx"), ("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1fa b")]),
            set("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1fa b\x1f-Ctarget-feature=+simd128")
        );
        assert_eq!(simd(&[("RUSTFLAGS", "")]), set("RUSTFLAGS", "-Ctarget-feature=+simd128"));
        let (arguments, variables) = simd(&[]);
        assert_eq!(
            arguments,
            ["--config", "target.wasm32-unknown-unknown.rustflags=[\"-Ctarget-feature=+simd128\"]"]
        );
        assert!(variables.is_empty());
    }

    #[test]
    fn the_file_is_the_one_that_cargo_names() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///p#1.0.0","target":{"kind":["cdylib"]},
            "filenames":["/t/release/libp.rlib","/t/release/p.wasm"],"fresh":true}"#;
        assert_eq!(artifact(line, "path+file:///p#1.0.0", "wasm"), Some("/t/release/p.wasm".into()));
        assert_eq!(artifact(line, "path+file:///p#1.0.0", "so"), None);
        assert_eq!(artifact(line, "path+file:///q#1.0.0", "wasm"), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#, "", "wasm"), None);
        assert_eq!(artifact("warning: not JSON", "", "wasm"), None);
    }
}
