//! `imgserve plugin new`: a folder to start from, which compiles, passes its tests and does something. What is Rust's stands here, what
//! is other languages' in `language`; all of it is in the program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::language::{Language, Template};
use super::sample;
use crate::cli::failure::Failure;
use crate::cli::ui;

const MANIFEST: &str = include_str!("template/manifest.toml");
const SOURCE: &str = include_str!("template/lib.rs");
const README: &str = include_str!("template/README.md");
const CASES: &str = include_str!("template/cases.toml");
const CODEC_SOURCE: &str = include_str!("template/codec/lib.rs");
const CODEC_README: &str = include_str!("template/codec/README.md");
const CODEC_CASES: &str = include_str!("template/codec/cases.toml");
const IGNORE: &str = "/target\n";

/// The sdk that this program was built with; it may be gone by now.
const OWN_SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");
/// Crates of these names do not compile, or not with the sdk beside them: the language's words, and crates that are
/// always there.
const TAKEN: &str = "as async await break const continue crate dyn else enum extern false fn for gen if impl in let \
    loop match mod move mut pub ref return self static struct super trait true try type unsafe use where while \
    abstract become box do final macro override priv typeof unsized virtual yield \
    alloc core proc_macro std test imgserve imgserve_sdk";
/// As crates.io has it.
const LONGEST_NAME: usize = 64;

const HELP: &str = "\
It makes a directory NAME with

  src/lib.rs         an operation that works: arguments, plan, run, unit tests
  README.md          how to build, try and register it, and a job to post
  sample.png         a picture to try it on
  golden/cases.toml  results that must not change, for `imgserve plugin test`

With --codec it is no operation but a codec, which reads and writes files of a format of its own, for every operation.

The crate stands alone: it needs imgserve's sdk, and no other part of imgserve.

With --language c, javascript or python the operation is src/plugin.c, .js or .py, beside the same other files, and needs
nothing of imgserve but this program; README.md says which tool it is built with. Codecs are written in Rust.";

/// Options of `plugin new`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = HELP)]
pub(in crate::cli) struct Arguments {
    /// The crate's and the operation's name: lowercase letters, digits, - and _; a directory of this name is made here
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// Make a codec, which reads and writes files of a format, instead of an operation
    #[arg(long)]
    codec: bool,
    /// Directory of the crate imgserve-sdk to build with (default: the one this program was built with, if it still
    /// exists, else the published crate)
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = &arguments.name;
    check_name(name)?;
    if let Some(template) = arguments.language.template() {
        return run_other(arguments, template);
    }
    let sdk = dependency(arguments.sdk.as_deref(), Path::new(OWN_SDK))?;
    let directory = Path::new(name);
    make_directory(directory)?;
    let (what, [source, readme, cases]) = match arguments.codec {
        false => ("An image operation", [SOURCE, README, CASES]),
        true => ("A codec", [CODEC_SOURCE, CODEC_README, CODEC_CASES]),
    };
    let format = format_name(name);
    let fill = |template: &str| {
        let filled = template.replace("{{name}}", name).replace("{{sdk}}", &sdk);
        filled.replace("{{what}}", what).replace("{{format}}", &format)
    };
    for (path, text) in [
        ("Cargo.toml", fill(MANIFEST)),
        ("src/lib.rs", fill(source)),
        ("README.md", fill(readme)),
        ("golden/cases.toml", fill(cases)),
        (".gitignore", IGNORE.to_owned()),
    ] {
        write(&directory.join(path), text.as_bytes())?;
    }
    pictures(directory)?;
    next_steps(name, arguments.codec);
    Ok(ExitCode::SUCCESS)
}

/// The same in another language than Rust.
fn run_other(
    Arguments { name, codec, sdk, language }: &Arguments,
    template: &Template,
) -> Result<ExitCode, Failure> {
    if *codec || sdk.is_some() {
        let text = "--codec and --sdk are for Rust: codecs in other languages are not offered, and the SDK is a crate";
        return Err(Failure::Other(text.to_owned()));
    }
    let directory = Path::new(name);
    make_directory(directory)?;
    for (path, text) in template.filled(name) {
        let path = directory.join(path);
        if let Some(folder) = path.parent() {
            let failed = Failure::io(format!("cannot make directory {}", folder.display()));
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        write(&path, text.as_bytes())?;
    }
    pictures(directory)?;
    let (source, what) = (language.source().unwrap_or_default(), template.what);
    let build = format!("{} plugin build", ui::program());
    ui::say(&format!(
        "made {name}/: an operation that {what}, to be changed into yours in {name}/{source}\n\n\
         cd {name}\n{}\n{}\n{build}   # a WebAssembly component of it, and how to register that\n\n\
         README.md there goes on from that.",
        template.install, template.test
    ));
    Ok(ExitCode::SUCCESS)
}

/// A picture to try it on, and a small one for golden cases.
fn pictures(directory: &Path) -> Result<(), Failure> {
    write(&directory.join("sample.png"), &sample::png(360, 240)?)?;
    write(&directory.join("golden/sample.png"), &sample::png(48, 32)?)
}

/// What a codec calls its format: the plugin's name, as far as that can be an extension.
fn format_name(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
}

fn check_name(name: &str) -> Result<(), Failure> {
    let refuse = |why: String| Err(Failure::Other(format!("`{name}` cannot be a plugin's name: {why}")));
    if let Some(wrong) =
        name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c)))
    {
        return refuse(format!("{wrong:?} is no lowercase letter, digit, - or _"));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return refuse("it must begin with a letter".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return refuse(format!("it is longer than {LONGEST_NAME} characters"));
    }
    let identifier = name.replace('-', "_");
    if TAKEN.split_whitespace().any(|taken| taken == identifier) {
        return refuse("the name is taken by Rust or by imgserve".to_owned());
    }
    Ok(())
}

/// The right side of `imgserve-sdk = …`.
fn dependency(asked: Option<&Path>, own: &Path) -> Result<String, Failure> {
    let quoted = |path: PathBuf| match path.to_str() {
        Some(text) => Ok(format!("{{ path = {} }}", toml::Value::from(text))),
        None => Err(Failure::Other(format!("{} cannot be written in TOML: it is not UTF-8", path.display()))),
    };
    let Some(asked) = asked else {
        let published =
            format!("\"{}.{}\"", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
        return Ok(own.canonicalize().ok().and_then(|path| quoted(path).ok()).unwrap_or(published));
    };
    let cannot = || format!("cannot use {} as the sdk", asked.display());
    let path = asked.canonicalize().map_err(Failure::io(cannot()))?;
    if !path.join("Cargo.toml").is_file() {
        return Err(Failure::Other(format!("{}: there is no Cargo.toml in it", cannot())));
    }
    quoted(path)
}

fn make_directory(directory: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| Failure::io(format!("cannot make directory {}", path.display()));
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::Other(format!("{} exists: choose another name, or remove it", directory.display())))
        }
        made => made.map_err(failed(directory)),
    }?;
    for inside in ["src", "golden"] {
        let inside = directory.join(inside);
        std::fs::create_dir(&inside).map_err(failed(&inside))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(Failure::io(format!("cannot write {}", path.display())))
}

fn next_steps(name: &str, codec: bool) {
    let what = match codec {
        false => "an operation that tints images",
        true => "a codec of a simple format",
    };
    let build = format!("{} plugin build", ui::program());
    let width = build.len();
    ui::say(&format!(
        "made {name}/: {what}, to be changed into yours in {name}/src/lib.rs\n\n\
         cd {name}\n\
         {:width$}   # its unit tests, without a server\n\
         {build}   # a WebAssembly component of it, and how to register that\n\n\
         README.md there goes on from that.",
        "cargo test"
    ));
}

#[cfg(test)]
#[rustfmt::skip]
#[path = "template/lib.rs"]
mod template;

#[cfg(test)]
#[rustfmt::skip]
#[path = "template/codec/lib.rs"]
mod codec_template;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_crates_and_a_refusal_says_why() {
        for good in ["sepia", "smart-crop", "x2_y", "a"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("Sepia", "'S' is no lowercase letter"),
            ("a b", "' ' is no lowercase letter"),
            ("a/b", "'/' is no lowercase letter"),
            ("..", "'.' is no lowercase letter"),
            ("", "must begin with a letter"),
            ("2x", "must begin with a letter"),
            ("-x", "must begin with a letter"),
            ("fn", "taken by Rust"),
            ("imgserve-sdk", "taken by Rust or by imgserve"),
            (&"a".repeat(65), "longer than 64"),
        ] {
            let text = check_name(bad).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn the_sdk_is_the_asked_for_one_else_our_own_else_the_published() {
        let directory = tempfile::tempdir().unwrap();
        let sdk = directory.path().join("s \"d\" k");
        assert!(dependency(Some(&sdk), &sdk).is_err());
        assert_eq!(dependency(None, &sdk).unwrap().matches('.').count(), 1);
        std::fs::create_dir(&sdk).unwrap();
        assert!(dependency(Some(&sdk), &sdk).unwrap_err().to_string().contains("no Cargo.toml"));
        std::fs::write(sdk.join("Cargo.toml"), "").unwrap();
        for text in [dependency(Some(&sdk), Path::new("/")).unwrap(), dependency(None, &sdk).unwrap()] {
            let table: toml::Table = format!("sdk = {text}").parse().unwrap();
            let path = sdk.canonicalize().unwrap();
            assert_eq!(table["sdk"]["path"].as_str(), path.to_str(), "{text}");
        }
    }

    #[test]
    fn a_manifest_is_filled_in_completely() {
        let manifest =
            MANIFEST.replace("{{name}}", "x").replace("{{sdk}}", "\"0.3\"").replace("{{what}}", "A");
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("x"));
        let filled = |text: &str| {
            ["{{name}}", "{{format}}"].iter().fold(text.to_owned(), |text, key| text.replace(key, ""))
        };
        let texts = [SOURCE, README, CASES, CODEC_SOURCE, CODEC_README, CODEC_CASES];
        assert!(!texts.iter().any(|text| filled(text).contains("{{")));
        for cases in [CASES, CODEC_CASES] {
            assert!(cases.parse::<toml::Table>().unwrap()["case"].as_array().is_some());
        }
    }

    #[test]
    fn a_codecs_format_is_named_as_its_crate() {
        for (name, format) in
            [("heic", "heic"), ("my-format_2", "myformat2"), (&"a".repeat(40), &"a".repeat(16))]
        {
            assert_eq!(format_name(name), format);
        }
    }
}
