//! The pages are followed: every command and every JSON and TOML example of every page against the real program, every
//! quotation and link, README's picture of the crates against what the `Cargo.toml` files say.
//!
//! A page is one session of `bash -eo pipefail` in a home of its own. A fence's first word says what becomes of its block:
//! - `sh` is run; `sh not-run: REASON` is not, and is told with its reason
//! - `toml` must be a configuration that the program takes; with `toml paste` the session's server takes it in
//! - `json` is parsed; a request is posted too, and must be accepted
//! - `rust FILE`, `c FILE`, `wit FILE` must stand in that file, word by word
//! - `text` is a picture, or words
//!
//! A `json` or `text` block after a line that ends with "answers:" or "prints:" is what the command before it gives: JSON of
//! the same shape, or the same lines in the same order, where "…" stands for anything. IMGSERVE_TEST_PAGE names one page.
//!
//! # Layout
//! - this file: the tests; `page`: blocks; `session`: a page followed in a shell; `answers`: what commands gave

mod answers;
mod page;
mod session;

use std::fs;
use std::path::{Path, PathBuf};

use self::answers::unlike;
use self::page::{Block, fault, parse};
use self::session::{Peers, Session, tail};
use crate::harness::beside;

/// Where every configuration key and its default is written down.
const DEFAULTS: &str = "host/config/src/defaults.toml";
const CONFIGURATION: &str = "host/docs/configuration.md";
const README_LINES: usize = 150;
/// Fewer followed blocks than this are a sign that pages are no longer read as they are meant.
const FEWEST: usize = 75;

fn root() -> PathBuf {
    beside("..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// All pages, from the repository's root. The one in `template` is made a page by `imgserve plugin new`.
fn pages() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && !["target", "template"].contains(&name) {
                walk(&path, found);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &mut found);
    let mut pages: Vec<String> =
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect();
    pages.sort();
    pages
}

/// Follows one page; gives what is wrong, block by block.
fn follow(page: &str, blocks: &[Block], peers: &Peers) -> Vec<String> {
    let about = |block: &Block, what: &str| format!("{page}:{}: {what}", block.line);
    let mut wrong: Vec<String> =
        blocks.iter().filter_map(|block| fault(block).map(|what| about(block, &what))).collect();
    let session = Session::new(peers);
    if !wrong.is_empty()
        || (0..blocks.len()).all(|number| session.commands(number, &blocks[number]).is_empty())
    {
        return wrong;
    }
    let (given, broken) = session.follow(blocks);
    for (number, (block, given)) in blocks.iter().zip(&given).enumerate() {
        let next = blocks.get(number + 1).filter(|next| next.answer);
        let shown = next.map(|next| (next.language.as_str(), session.mean(&next.text)));
        wrong.extend(
            unlike(given, shown).map(|what| about(block, &format!("{what}; it gives:\n{}", tail(given)))),
        );
    }
    if let Some(why) = broken {
        let line = given.len().checked_sub(1).and_then(|last| blocks.get(last)).map_or(0, |block| block.line);
        wrong.push(format!("{page}:{line}: it ends here: {why}"));
    } else if given.last().is_some_and(|jobs| jobs.contains("\"id\"")) {
        wrong.push(format!("{page}: jobs of it failed:\n{}", given[blocks.len()]));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_followed() {
    let only = std::env::var("IMGSERVE_TEST_PAGE").unwrap_or_default();
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for page in pages().iter().filter(|page| page.contains(&only)) {
        let (blocks, _) = parse(&read(page));
        wrong.extend(follow(page, &blocks, &Peers::start().await));
        let (not_run, run): (Vec<_>, Vec<_>) = blocks
            .iter()
            .filter(|block| block.answer || block.language != "text")
            .partition(|block| block.note.starts_with("not-run"));
        followed += run.len();
        not_run.iter().for_each(|block| println!("{page}:{}: {}", block.line, block.note));
    }
    println!("{followed} blocks followed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(followed >= FEWEST || !only.is_empty(), "only {followed} blocks were followed, not {FEWEST}");
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let (_, prose) = parse(&read(&page));
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let here = root().join(&page);
            let target = if file.is_empty() { here } else { here.parent().unwrap().join(file) };
            assert!(target.exists(), "{page}: {link} leads nowhere");
            let found = fragment.is_empty() || {
                let (_, prose) = parse(&fs::read_to_string(&target).unwrap());
                prose.lines().any(|line| line.starts_with('#') && anchor(line) == fragment)
            };
            assert!(found, "{page}: {link}: there is no such heading");
        }
    }
}

#[test]
fn contributing_names_files_that_there_are() {
    let page = read("CONTRIBUTING.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let files =
        rows.flat_map(|cell| cell.split('`')).filter(|name| name.contains('/') && !name.contains("NAME"));
    for file in files {
        assert!(root().join(file).exists(), "CONTRIBUTING.md names {file}, which is not there");
    }
}

#[test]
fn the_readme_is_short_and_benches_have_their_names() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
    let facts: String = members().iter().map(|folder| read(format!("{folder}/Cargo.toml"))).collect();
    for page in pages() {
        let (blocks, _) = parse(&read(&page));
        for named in blocks.iter().flat_map(|block| block.text.split("--bench ").skip(1)) {
            let name = named.split_whitespace().next().unwrap_or_default().trim_matches('`');
            assert!(facts.contains(&format!("name = \"{name}\"")), "{page}: there is no bench {name}");
        }
    }
}

/// The folders of the workspace's members.
fn members() -> Vec<String> {
    let workspace = read("Cargo.toml");
    let list = workspace.split("\nmembers = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A crate's name, and its row of README's table without what it owns.
fn crate_facts(folder: &str) -> (String, String) {
    let text = read(format!("{folder}/Cargo.toml"));
    let name = text.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let section =
        text.split("\n[dependencies]\n").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
    let mut used: Vec<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("imgserve-")?.split(['.', ' ']).next())
        .map(|name| format!("`{name}`"))
        .collect();
    used.sort();
    (format!("`{name}`"), if used.is_empty() { "–".to_owned() } else { used.join(", ") })
}

#[test]
fn the_readme_tells_who_uses_whom() {
    let readme = read("README.md");
    let table = readme.split("<!-- crates -->").nth(1).unwrap().split("<!-- /crates -->").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let told: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let facts: Vec<(String, String)> = members().iter().map(|folder| crate_facts(folder)).collect();
    for (name, used) in &facts {
        let row = told.iter().find(|row| row[0] == name);
        let right = row.is_some_and(|row| row.len() == 3 && row[2] == used);
        assert!(right, "README's table of crates must have the line: | {name} | … | {used} |");
    }
    assert_eq!(told.len(), facts.len(), "README's table of crates names one that there is not");
}

#[test]
fn every_configuration_key_is_in_the_manual() {
    let manual = read(CONFIGURATION);
    for line in read(DEFAULTS).lines() {
        let key = line.split(" = ").next().unwrap_or_default();
        if !line.starts_with('#') && line.contains(" = ") {
            assert!(manual.contains(&format!("`{key}`")), "{CONFIGURATION} lacks `{key}`");
        }
    }
}
