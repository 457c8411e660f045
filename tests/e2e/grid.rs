//! Every format that is read to every one that is written, of each kind of picture, held against what other programs write and read
//! (Pillow and imagecodecs, from PyPI, which `tests/run` installs beneath `target/tools`). What comes of it is the table of
//! `host/docs/formats.md`; `IMGSERVE_UPDATE_PAGES=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgserve_base::format::Format;
use serde_json::Value;

use crate::harness::{Server, call};

const SIZE: (u64, u64) = (48, 32);
const FRAMES: u64 = 3;
/// The beginning of the page's table.
const HEAD: &str = "| from \\ to |";

/// The kinds of pictures, as the sources' names have them, and how the table says that one is kept.
const KINDS: [(&str, &str); 4] = [("opaque", "o"), ("alpha", "a"), ("deep", "16"), ("moving", "m")];

/// Where those programs are, if they are installed.
pub(crate) fn tools() -> Option<PathBuf> {
    let tools = match std::env::var_os("IMGSERVE_TEST_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools"),
    };
    let found = tools.join("pictures");
    found.exists().then_some(found)
}

/// Runs `references.py`, and gives the lines that it prints.
pub(crate) fn references(tools: &Path, arguments: [&str; 2], input: String) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/grid/references.py");
    let mut child = Command::new("python3")
        .env("PYTHONPATH", tools)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "references.py {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The most that a result may differ from its source, in the mean of all pixels, in levels of 8 bits.
fn allowed(to: Format) -> f64 {
    match to {
        // Of 256 colours, of which each stands for several of a picture that has hundreds.
        Format::Gif => 16.0,
        // WebP has colours at half the size, and the pictures' change within a few pixels.
        format if format.is_lossy() => 8.0,
        // What decoders of AVIF round.
        _ => 1.5,
    }
}

/// What a result keeps of a source of this kind, by what others see of it; whatever it does not keep, it must look like its source.
fn keeps((kind, to): (&str, Format), told: &Value, wrong: &mut Vec<String>) -> bool {
    let number = |name: &str| told[name].as_f64().unwrap_or(f64::MAX);
    assert_eq!(told["size"], serde_json::json!([SIZE.0, SIZE.1]), "{told}");
    // Of a GIF a pixel is clear or opaque.
    let shown = match kind {
        "moving" => to.can_animate(),
        "alpha" => to != Format::Gif,
        _ => true,
    };
    if shown && number("error") > allowed(to) {
        wrong.push(format!("{kind} to {to}: {told}"));
    }
    match kind {
        // GIF's pixels are clear or opaque: of a source of GIF that is all there is.
        "alpha" => number("alpha") <= 1.5,
        // Eight bits are off by a quarter of a level in the mean.
        "deep" => number("error") < 0.1,
        "moving" => told["frames"].as_u64() == Some(FRAMES),
        _ => true,
    }
}

#[tokio::test]
async fn every_format_to_every_other_is_as_others_have_it() {
    let Some(tools) = tools() else {
        println!("not done: target/tools/pictures is not there; `tests/run` installs it from PyPI");
        return;
    };
    let server = Server::start("");
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let sources = references(&tools, ["make", place], String::new());
    let mut pairs = Vec::new();
    for source in &sources {
        let (kind, from) = source.split_once('.').unwrap();
        let bytes = std::fs::read(directory.path().join(source)).unwrap();
        for to in Format::written() {
            // A mean of more than eight bits shows where nothing is lost.
            let exact = if kind == "deep" && to == Format::Jxl { "&lossless=true" } else { "" };
            let path = format!("resize?quality=95&format={to}{exact}");
            let (status, _, body) = call(&server, &path, &bytes).await;
            assert_eq!(status, 200, "{source} to {to}: {}", String::from_utf8_lossy(&body));
            let result = format!("{kind}-{from}.{to}");
            std::fs::write(directory.path().join(&result), body).unwrap();
            pairs.push((kind, from, to, format!("{source} {result}\n")));
        }
    }
    let asked: String = pairs.iter().map(|(.., line)| line.as_str()).collect();
    let told = references(&tools, ["compare", place], asked);
    assert_eq!(told.len(), pairs.len());
    let mut wrong = Vec::new();
    let mut kept: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for ((kind, from, to, line), told) in pairs.iter().zip(&told) {
        let told: Value = serde_json::from_str(told).unwrap();
        let cell = kept.entry((*from, to.name())).or_default();
        if keeps((kind, *to), &told, &mut wrong) {
            cell.extend(KINDS.iter().find(|(name, _)| name == kind).map(|(_, mark)| mark));
        } else {
            println!("{} keeps less: {told}", line.trim());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    check_page(&table(&kept));
}

fn table(kept: &BTreeMap<(&str, &str), Vec<&str>>) -> String {
    let mut table = HEAD.to_owned();
    Format::written().for_each(|to| write!(table, " {to} |").unwrap());
    table.push_str("\n| --- |");
    Format::written().for_each(|_| table.push_str(" --- |"));
    for from in Format::ALL.into_iter().filter(|format| format.can_decode()) {
        write!(table, "\n| {from} |").unwrap();
        for to in Format::written() {
            let cell = kept.get(&(from.name(), to.name())).map(|marks| marks.join(" ")).unwrap_or_default();
            write!(table, " {cell} |").unwrap();
        }
    }
    table
}

/// The page has this table, or is given it.
fn check_page(table: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let start = text.find(HEAD).expect("the page has a table");
    let end = text[start..].find("\n\n").map_or(text.trim_end().len(), |end| start + end);
    if std::env::var_os("IMGSERVE_UPDATE_PAGES").is_some() {
        std::fs::write(&page, format!("{}{table}{}", &text[..start], &text[end..])).unwrap();
        return;
    }
    assert_eq!(&text[start..end], table, "IMGSERVE_UPDATE_PAGES=1 writes it");
}
