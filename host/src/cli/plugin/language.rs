//! The languages that a plugin can be written in: which one a folder holds, what a new folder begins with, and, for those that are not
//! Rust, how it is built: by the language's own tool, which is looked for and named where it is missing, and only where the sources
//! or the tool have changed since.
//!
//! # Layout
//! - `c`, `javascript`, `python`: each language's tool and files; Rust's are `cargo`'s, `toolchain`'s and `new`'s

mod c;
mod javascript;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use imgserve_worker::plugin::{World, component, hex};
use sha2::{Digest as _, Sha256};

use crate::cli::failure::Failure;
use crate::cli::ui;

/// A language that `plugin new` and `plugin build` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Language {
    /// Built by cargo
    Rust,
    /// Built by clang and wasm-ld
    C,
    /// Built by componentize-js, from npm
    Javascript,
    /// Built by componentize-py, from PyPI
    Python,
}

/// A plugin's folder whose language is not Rust.
#[derive(Debug)]
pub(super) struct Project {
    /// Absolute.
    directory: PathBuf,
    /// What is made on the way, within it.
    made: PathBuf,
}

/// What builds one of these languages.
trait Tool {
    /// What it is, for a person, with its version.
    fn name(&self) -> String;

    /// Builds the plugin, a component or a core module with its type.
    fn build(&self, project: &Project) -> Result<Vec<u8>, Failure>;
}

/// What a folder of a language begins with.
pub(super) struct Template {
    /// Path and text of each file; `{{name}}` stands for the plugin's name.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// How its tool is installed, and how its own tests are run, as typed in the folder.
    pub(super) install: &'static str,
    pub(super) test: &'static str,
    /// The name in its sources, which is replaced.
    name: &'static str,
    /// What it does, for a person, and its golden case's result.
    pub(super) what: &'static str,
    pub(super) result: &'static str,
}

const README: &str = include_str!("template/other/README.md");
const CASES: &str = include_str!("template/other/cases.toml");

impl Language {
    /// The language of the plugin in a folder; Rust where nothing tells of another.
    pub(super) fn of(directory: &Path) -> Self {
        let others = [Self::C, Self::Javascript, Self::Python];
        let is_it =
            |language: &Self| language.source().is_some_and(|source| directory.join(source).is_file());
        let rust = directory.join("Cargo.toml").is_file();
        others.into_iter().find(is_it).filter(|_| !rust).unwrap_or(Self::Rust)
    }

    /// The file that a folder of it has.
    pub(super) fn source(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::C => Some("src/plugin.c"),
            Self::Javascript => Some("src/plugin.js"),
            Self::Python => Some("src/plugin.py"),
        }
    }

    /// What a new folder begins with; none for Rust, which has another one.
    pub(super) fn template(self) -> Option<&'static Template> {
        match self {
            Self::Rust => None,
            Self::C => Some(&c::TEMPLATE),
            Self::Javascript => Some(&javascript::TEMPLATE),
            Self::Python => Some(&python::TEMPLATE),
        }
    }

    fn tool(self, project: &Project) -> Result<Box<dyn Tool>, Failure> {
        match self {
            Self::Rust => Err(Failure::Other("cargo builds what is written in Rust".to_owned())),
            Self::C => Ok(Box::new(c::Clang::find()?)),
            Self::Javascript => Ok(Box::new(javascript::ComponentizeJs::find(project)?)),
            Self::Python => Ok(Box::new(python::ComponentizePy::find(project)?)),
        }
    }
}

impl Template {
    /// The files of a plugin of this name: path and text.
    pub(super) fn filled(&self, name: &str) -> Vec<(&'static str, String)> {
        let common = [("README.md", README), ("golden/cases.toml", CASES), (".gitignore", IGNORE)];
        let fill = |text: &str| {
            let filled = text.replace(self.name, name).replace("{{name}}", name);
            let filled = filled.replace("{{install}}", self.install).replace("{{test}}", self.test);
            filled.replace("{{what}}", self.what).replace("{{result}}", self.result)
        };
        self.files.iter().chain(&common).map(|(path, text)| (*path, fill(text))).collect()
    }
}

const IGNORE: &str = "/target\n/node_modules\n/.venv\n__pycache__\n";

/// Builds the plugin in `directory`; gives the component.
///
/// # Errors
/// [`Failure`] that says what to type where the language's tool is missing, or that the tool failed, which has said why.
pub(super) fn build(language: Language, directory: &Path) -> Result<Vec<u8>, Failure> {
    let project = Project { directory: directory.to_owned(), made: directory.join("target/imgserve") };
    let failed = |path: &Path| Failure::io(format!("cannot make {}", path.display()));
    std::fs::create_dir_all(&project.made).map_err(failed(&project.made))?;
    let tool = language.tool(&project)?;
    let (stamp, kept) = (project.made.join("stamp"), project.made.join("plugin.wasm"));
    let digest = project.digest(&tool.name())?;
    let known = std::fs::read_to_string(&stamp).is_ok_and(|known| known == digest);
    if let Some(bytes) = known.then(|| std::fs::read(&kept).ok()).flatten() {
        ui::complain(&format!("nothing has changed since it was built with {}", tool.name()));
        return Ok(bytes);
    }
    ui::complain(&format!("building with {}", tool.name()));
    let built = tool.build(&project)?;
    let unusable = |error| Failure::Other(format!("what {} made is no plugin: {error}", tool.name()));
    // A component as it came from its tool; of a core module, one is made.
    let component = if component::is_component(&built).map_err(unusable)? {
        built
    } else {
        component::encode(&built).map_err(unusable)?
    };
    component::read(&component).map_err(unusable)?;
    std::fs::write(&kept, &component).map_err(failed(&kept))?;
    std::fs::write(&stamp, digest).map_err(failed(&stamp))?;
    Ok(component)
}

impl Project {
    fn source(&self) -> PathBuf {
        self.directory.join("src")
    }

    /// Puts a file of ours where the tool finds it.
    fn lay(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.made.join(name);
        std::fs::write(&path, text).map_err(Failure::io(format!("cannot write {}", path.display())))?;
        Ok(path)
    }

    /// Puts a copy of the sources into a folder of ours.
    fn copy_source(&self, folder: &str) -> Result<(), Failure> {
        let (source, folder) = (self.source(), self.made.join(folder));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .map_err(Failure::io(format!("cannot remove {}", folder.display())))?;
        }
        for path in files(&source)? {
            let copy = folder.join("src").join(path.strip_prefix(&source).unwrap_or(&path));
            let failed = || Failure::io(format!("cannot write {}", copy.display()));
            std::fs::create_dir_all(copy.parent().unwrap_or(&folder)).map_err(failed())?;
            std::fs::copy(&path, &copy).map_err(failed())?;
        }
        Ok(())
    }

    /// The contract, for tools that read it.
    fn contract(&self) -> Result<PathBuf, Failure> {
        self.lay("operation.wit", World::Operation.contract())
    }

    /// Of everything that the plugin is built of.
    fn digest(&self, tool: &str) -> Result<String, Failure> {
        let mut digest = Sha256::new_with_prefix(tool);
        digest.update(concat!(env!("CARGO_PKG_VERSION"), "\0"));
        for path in files(&self.source())? {
            let bytes =
                std::fs::read(&path).map_err(Failure::io(format!("cannot read {}", path.display())))?;
            let name = path.to_string_lossy().into_owned();
            digest.update(format!("{name}\0{}\0", bytes.len()));
            digest.update(bytes);
        }
        Ok(hex(&digest.finalize()))
    }
}

/// All files beneath a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = || Failure::io(format!("cannot read {}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(failed())?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed())?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        match path.is_dir() {
            true if path.ends_with("__pycache__") => {}
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// Runs a language's tool, its messages on ours; `missing` is said when there is no such program.
fn run(command: &mut Command, missing: &str) -> Result<(), Failure> {
    // Standard output is for what was built.
    let ended = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let program = command.get_program().to_string_lossy().into_owned();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Other(format!("{program} failed ({status}): its messages say why"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::Other(missing.to_owned())),
        Err(error) => Err(Failure::io(format!("cannot run {program}"))(error)),
    }
}

/// The first line that a program prints of itself.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    text.lines().next().map(str::to_owned)
}

/// The program of this name that a shell would find.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_the_language_of_its_source() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Language::of(folder.path()), Language::Rust);
        std::fs::create_dir(folder.path().join("src")).unwrap();
        for language in [Language::Python, Language::Javascript, Language::C] {
            let source = folder.path().join(language.source().unwrap());
            std::fs::write(&source, "").unwrap();
            assert_eq!(Language::of(folder.path()), language);
            std::fs::remove_file(source).unwrap();
        }
    }

    #[test]
    fn a_template_is_filled_in_completely() {
        for language in [Language::C, Language::Javascript, Language::Python] {
            let template = language.template().unwrap();
            let files = template.filled("my-own");
            assert!(files.iter().any(|(path, _)| Some(*path) == language.source()), "{language:?}");
            for (path, text) in &files {
                assert!(
                    !text.contains("{{") && !text.contains(template.name),
                    "{language:?}: {path}: {text}"
                );
            }
            let cases = &files.iter().find(|(path, _)| *path == "golden/cases.toml").unwrap().1;
            assert!(cases.parse::<toml::Table>().unwrap()["case"].as_array().is_some());
        }
    }

    #[test]
    fn what_a_plugin_is_built_of_is_all_that_its_digest_knows() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project { directory: folder.path().to_owned(), made: folder.path().join("target") };
        std::fs::create_dir_all(folder.path().join("src/inner")).unwrap();
        let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
        write("src/inner/a.py", "1");
        let first = project.digest("tool 1").unwrap();
        write("README.md", "of no account");
        assert_eq!(project.digest("tool 1").unwrap(), first);
        assert_ne!(project.digest("tool 2").unwrap(), first);
        write("src/inner/a.py", "2");
        assert_ne!(project.digest("tool 1").unwrap(), first);
    }

    #[test]
    fn a_tool_that_is_missing_is_named_with_what_to_type() {
        let error = run(&mut Command::new("/no/such/tool"), "type this").unwrap_err();
        assert_eq!(error.to_string(), "type this");
        let error = run(&mut Command::new("false"), "").unwrap_err().to_string();
        assert!(error.starts_with("false failed (exit status: 1)"), "{error}");
    }
}
