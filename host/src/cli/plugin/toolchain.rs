//! Finds a way to compile to WebAssembly on this machine, and says what to install when there is none.
//!
//! Rust's standard library for wasm32 is a download of its own: rustup has it, and where rustup cannot be had, Debian
//! has the library's source, from which cargo builds it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cli::failure::Failure;
use crate::cli::ui;

/// What plugins are compiled for: no operating system at all.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// The oldest compiler that the sdk is for.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");
/// What a download by rustup may take: some 20 MB.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// Where Debian's packages put their programs.
const DEBIAN: &str = "/usr/bin";
const DEBIAN_PACKAGES: &str = "apt-get install rustc-web cargo-web rust-web-src lld";

/// Which toolchain compiles to WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Choice {
    /// The active one if it has the target or rustup can add it, else Debian's
    Auto,
    /// The one that `cargo` in this directory is; rustup may add the target to it
    Active,
    /// Debian's packages rustc-web, cargo-web and rust-web-src, the standard library built from source
    Debian,
}

/// A way to call cargo.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// What it is, for a person.
    pub(super) name: String,
    cargo: PathBuf,
    /// Set, or with `None` removed.
    environment: Vec<(&'static str, Option<OsString>)>,
    /// For `cargo rustc`.
    pub(super) flags: Vec<&'static str>,
}

impl Toolchain {
    /// Whatever `cargo` is in `directory`, where a file may choose it.
    pub(super) fn active(directory: &Path) -> Self {
        let version = first_line(active_rustc(directory).arg("--version"));
        let name = version.unwrap_or_else(|| "the active toolchain".to_owned());
        Self { name, cargo: "cargo".into(), environment: Vec::new(), flags: Vec::new() }
    }

    /// One that compiles to [`TARGET`].
    ///
    /// # Errors
    /// [`Failure`] with the commands to type when there is none.
    pub(super) fn for_wasm(choice: Choice, directory: &Path) -> Result<Self, Failure> {
        let has = || active_has_target(directory);
        match choice {
            Choice::Auto | Choice::Active if has() || (add_target(directory) && has()) => {
                Ok(Self::active(directory))
            }
            Choice::Active => Err(nothing(choice, "")),
            Choice::Auto | Choice::Debian => debian(directory).map_err(|missing| nothing(choice, &missing)),
        }
    }

    /// `cargo subcommand` in `directory`, what it reads from the terminal closed, its messages on ours.
    pub(super) fn command(&self, subcommand: &str, directory: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command.arg(subcommand).current_dir(directory).stdin(Stdio::null());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

fn nothing(choice: Choice, debian: &str) -> Failure {
    let rustup = format!("rustup target add {TARGET}    (rustup: https://rustup.rs)");
    let commands = match choice {
        Choice::Auto => format!("{rustup}\nor, as root on Debian,\n  {debian}"),
        Choice::Active => rustup,
        Choice::Debian => debian.to_owned(),
    };
    Failure::Other(format!(
        "nothing on this machine compiles to WebAssembly; type\n  {commands}\nand try again"
    ))
}

/// The compiler that cargo calls.
fn active_rustc(directory: &Path) -> Command {
    let program = std::env::var_os("RUSTC").filter(|program| !program.is_empty());
    let mut command = Command::new(program.unwrap_or_else(|| "rustc".into()));
    command.current_dir(directory);
    command
}

/// The first line that `command` prints; nothing when it fails or is not there.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    text.lines().next().map(str::to_owned)
}

/// Whether the active toolchain has the target's standard library; `rustc` names its place whether it is there or not.
fn active_has_target(directory: &Path) -> bool {
    let place = first_line(active_rustc(directory).args(["--print", "target-libdir", "--target", TARGET]));
    let entries = place.and_then(|place| std::fs::read_dir(place).ok()).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).any(|name| is_core(&name))
}

fn is_core(name: &str) -> bool {
    name.starts_with("libcore-") && name.ends_with(".rlib")
}

/// Lets rustup add the target to the active toolchain; whether it did.
fn add_target(directory: &Path) -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).current_dir(directory).stdin(Stdio::null());
    // Standard output is for what was built.
    command.stdout(std::io::stderr());
    let Ok(child) = command.spawn() else { return false };
    ui::complain(&format!("the active toolchain lacks {TARGET}: rustup target add {TARGET}"));
    ends_well_within(RUSTUP_TIMEOUT, child)
}

fn ends_well_within(limit: Duration, mut child: Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(POLL),
            Err(_) => break,
        }
    }
    // Without a network it may hang; what it leaves behind it cleans up the next time.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Debian's toolchain, or what to type to have it.
fn debian(directory: &Path) -> Result<Toolchain, String> {
    let missing = || DEBIAN_PACKAGES.to_owned();
    let (rustc, cargo) = (Path::new(DEBIAN).join("rustc"), Path::new(DEBIAN).join("cargo"));
    let version = first_line(Command::new(&rustc).arg("--version")).ok_or_else(missing)?;
    let sysroot = first_line(Command::new(&rustc).args(["--print", "sysroot"])).ok_or_else(missing)?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std");
    // Debian's plain `rustc` is an old one.
    if !is_new_enough(&version) || !cargo.exists() || !library.exists() {
        return Err(missing());
    }
    let linker = linker(directory).ok_or_else(|| "apt-get install lld".to_owned())?;
    let mut path = OsString::from(DEBIAN);
    if let Some(others) = std::env::var_os("PATH") {
        path.push(":");
        path.push(others);
    }
    Ok(Toolchain {
        name: format!("Debian's {version}, the standard library built from source"),
        cargo,
        environment: vec![
            ("PATH", Some(path)),
            ("RUSTC", Some(rustc.into())),
            // Would make rustup's cargo and rustc of what is called by these names.
            ("RUSTUP_TOOLCHAIN", None),
            // `-Z build-std` is for nightly compilers, or for those that are told to be one.
            ("RUSTC_BOOTSTRAP", Some("1".into())),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", Some(linker.into())),
        ],
        flags: vec!["-Zbuild-std=std,panic_abort"],
    })
}

/// Whether `rustc 1.96.0 (…)` is at least the oldest that will do.
fn is_new_enough(version: &str) -> bool {
    let numbers = |text: &str| {
        let mut numbers = text.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next())
    };
    version.split(' ').nth(1).is_some_and(|version| numbers(version) >= numbers(OLDEST))
}

/// LLVM's linker for WebAssembly, which Debian's rustc does not bring: the one that the active toolchain brings, or
/// Debian's newest.
fn linker(directory: &Path) -> Option<PathBuf> {
    let own = Path::new(DEBIAN).join("rust-lld");
    if own.exists() {
        return Some(own);
    }
    let sysroot = first_line(active_rustc(directory).args(["--print", "sysroot"]));
    let hosts = sysroot.and_then(|sysroot| std::fs::read_dir(Path::new(&sysroot).join("lib/rustlib")).ok());
    let brought = hosts.into_iter().flatten().flatten().map(|host| host.path().join("bin/rust-lld"));
    let debian = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = debian.filter_map(|path| Some((wasm_ld_version(path.file_name()?)?, path))).max();
    brought.into_iter().find(|path| path.exists()).or(newest.map(|(_, path)| path))
}

/// 14 of `wasm-ld-14`, 0 of `wasm-ld`.
fn wasm_ld_version(name: &OsStr) -> Option<u32> {
    match name.to_str()?.strip_prefix("wasm-ld")? {
        "" => Some(0),
        version => version.strip_prefix('-')?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_new_enough_by_its_numbers() {
        for (version, enough) in [
            ("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)", true),
            ("rustc 1.95.0-nightly", true),
            ("rustc 1.100.1", true),
            ("rustc 2.0.0", true),
            ("rustc 1.63.0", false),
            ("rustc 1.9.0", false),
            ("rustc", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    #[test]
    fn of_debians_linkers_the_newest_is_taken() {
        for (name, version) in
            [("wasm-ld", Some(0)), ("wasm-ld-14", Some(14)), ("wasm-ldx", None), ("ld.lld", None)]
        {
            assert_eq!(wasm_ld_version(OsStr::new(name)), version, "{name}");
        }
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let hangs = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!ends_well_within(Duration::from_millis(1), hangs));
        assert!(ends_well_within(Duration::from_secs(60), Command::new("true").spawn().unwrap()));
        assert!(!ends_well_within(Duration::from_secs(60), Command::new("false").spawn().unwrap()));
    }

    #[test]
    fn when_there_is_no_way_the_commands_are_named() {
        let text = nothing(Choice::Auto, DEBIAN_PACKAGES).to_string();
        assert!(text.contains("rustup target add wasm32-unknown-unknown"), "{text}");
        assert!(text.contains("apt-get install rustc-web cargo-web rust-web-src"), "{text}");
        assert!(!nothing(Choice::Active, "").to_string().contains("apt-get"));
    }
}
