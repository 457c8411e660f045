//! A page's fenced blocks, and what is wrong with one that needs no server to be seen.

use serde_json::Value;

use super::read;

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// The line of the page on which its fence stands.
    pub(super) line: usize,
    pub(super) language: String,
    /// What the fence says after the language.
    pub(super) note: String,
    pub(super) text: String,
    /// Whether it is what the block before it gives.
    pub(super) answer: bool,
}

impl Block {
    /// Whether it is commands that are run.
    pub(super) fn is_run(&self) -> bool {
        self.language == "sh" && self.note.is_empty()
    }

    /// Whether it is a request, to be posted.
    pub(super) fn is_request(&self) -> bool {
        let value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        self.language == "json" && !self.answer && value.get("srcURL").is_some()
    }
}

/// A page's blocks, and its text without them.
pub(super) fn parse(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose, mut last) = (Vec::<Block>::new(), String::new(), "");
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            prose += &format!("{line}\n");
            last = if line.trim().is_empty() { last } else { line };
            continue;
        };
        let (language, note) = info.split_once(' ').unwrap_or((info, ""));
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
        let text = inside.map(|line| format!("{line}\n")).collect();
        let after = last.ends_with("answers:") || last.ends_with("prints:");
        let answer = after && blocks.last().is_some_and(Block::is_run);
        let (language, note) = (language.to_owned(), note.to_owned());
        blocks.push(Block { line: number + 1, language, note, text, answer });
        last = "";
    }
    (blocks, prose)
}

/// What is wrong with a block that needs no server to be seen.
pub(super) fn fault(block: &Block) -> Option<String> {
    match (block.language.as_str(), block.note.as_str()) {
        ("sh", "") | ("toml", "" | "paste") | ("text", "") => None,
        ("sh", note) if note.len() > "not-run: ".len() && note.starts_with("not-run: ") => None,
        ("json", "") => serde_json::from_str::<Value>(&block.text).err().map(|error| error.to_string()),
        ("rust" | "c" | "wit", file) if !file.is_empty() => {
            let source = read(file).replace("//! ", "").replace("//!\n", "\n");
            (!source.contains(&block.text)).then(|| format!("does not stand in {file}"))
        }
        (language, note) => Some(format!("nothing is known of a block `{language} {note}`")),
    }
}
