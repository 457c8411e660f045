//! A job's story as the API tells it, read and put into short words for a terminal. Whatever strangers have put into it
//! (URLs, names, errors) is one line without control characters once it is read.

use std::collections::BTreeMap;

use imgserve_base::fault::one_line;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::failure::Failure;
use super::ui;

/// Longest text that is shown, in bytes.
const MAX_TEXT: usize = 2000;
/// Columns of the longest name of an operation on a terminal: ids, errors and URLs stand beside it.
const LONGEST_OPERATION: usize = 16;

/// A text that is safe on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line(String);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(one_line(&text, MAX_TEXT)))
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl Line {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A job's story.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Story {
    pub(super) id: Line,
    pub(super) state: Line,
    #[serde(rename = "srcURL")]
    pub(super) source: Line,
    pub(super) priority: Line,
    pub(super) accepted_at_ms: u64,
    pub(super) finished_at_ms: Option<u64>,
    pub(super) next_attempt_at_ms: Option<u64>,
    /// 0 to 1.
    pub(super) progress: f64,
    pub(super) stage: Option<Line>,
    /// The current or last attempt's number; 0 before the first.
    pub(super) attempt: u32,
    /// Those that failed.
    pub(super) attempts: Vec<Attempt>,
    /// Milliseconds by phase.
    pub(super) timings: BTreeMap<Line, f64>,
    pub(super) error: Option<Error>,
    /// Why the server cannot do it: it waits for another program.
    pub(super) held: Option<Line>,
    /// A job with one result tells of it without a list.
    #[serde(flatten)]
    only: Part,
    outputs: Vec<Part>,
}

/// One result of a job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    #[serde(rename = "operationType")]
    pub(super) operation: Line,
    #[serde(rename = "dstURL")]
    pub(super) destination: Line,
    pub(super) state: Option<Line>,
    pub(super) output: Output,
    pub(super) error: Option<Error>,
}

/// What a result is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Output {
    width: u32,
    height: u32,
    format: Line,
    bytes: Option<u64>,
    pub(super) warnings: Vec<Line>,
}

/// An attempt that failed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) ended_at_ms: u64,
    pub(super) error: Error,
}

/// Why something failed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Error {
    kind: Line,
    text: Line,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{} {}", self.width, self.height, self.format)?;
        self.bytes.map_or(Ok(()), |bytes| write!(f, ", {}", amount(bytes)))
    }
}

impl Story {
    /// A job as the server tells it.
    ///
    /// # Errors
    /// [`Failure`] for what is no story.
    pub(super) fn read(job: &Value) -> Result<Self, Failure> {
        Self::deserialize(job).map_err(|error| {
            Failure::Other(format!("the server tells of a job in a way unknown here: {error}"))
        })
    }

    /// The results, of which there is at least one.
    pub(super) fn parts(&self) -> &[Part] {
        if self.outputs.is_empty() { std::slice::from_ref(&self.only) } else { &self.outputs }
    }

    /// Whether nothing will change any more by itself.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }

    /// The operation; the first one, and how many more there are. Cut where it stands `on_terminal`.
    pub(super) fn operation(&self, on_terminal: bool) -> String {
        let whole = and_more(self.parts(), |part| &part.operation);
        ui::cut(&whole, on_terminal.then_some(LONGEST_OPERATION))
    }

    /// Where from and where to.
    pub(super) fn way(&self) -> String {
        format!("{} → {}", self.source, and_more(self.parts(), |part| &part.destination))
    }

    /// What one would want to know first: why it failed, when it is tried again and why, or its way.
    pub(super) fn gist(&self, now_ms: u64) -> String {
        if let Some(held) = &self.held {
            return held.to_string();
        }
        match (&self.error, self.next_attempt_at_ms, self.attempts.last()) {
            (Some(error), ..) if self.has_ended() => error.to_string(),
            (_, Some(due), Some(last)) => format!("{}; {}", again(due, now_ms), last.error),
            (_, Some(due), None) => format!("{}; {}", again(due, now_ms), self.way()),
            _ => self.way(),
        }
    }

    /// How much of the work is done, for states in which that says anything.
    pub(super) fn percent(&self) -> String {
        match self.state.as_str() {
            "running" | "succeeded" => percent(self.progress),
            _ => String::new(),
        }
    }

    /// How long ago it was accepted.
    pub(super) fn age(&self, now_ms: u64) -> String {
        span(now_ms.saturating_sub(self.accepted_at_ms))
    }
}

fn and_more(parts: &[Part], text: impl Fn(&Part) -> &Line) -> String {
    match parts {
        [first, more @ ..] if !more.is_empty() => format!("{} +{}", text(first), more.len()),
        parts => parts.first().map(|part| text(part).to_string()).unwrap_or_default(),
    }
}

/// When the next attempt is due.
pub(super) fn again(due_ms: u64, now_ms: u64) -> String {
    match due_ms.saturating_sub(now_ms) {
        0 => "to be tried again now".to_owned(),
        ms => format!("to be tried again in {}", span(ms)),
    }
}

/// A share from 0 to 1, for people.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0)
}

/// A span of milliseconds in one unit, as short as a table wants it.
pub(super) fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6000 => format!("{} min", seconds / 60),
        seconds @ 6000..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A duration that was measured, in milliseconds, for people.
pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        10.0..10_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// A number of bytes for people.
pub(super) fn amount(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A moment by UTC, to the second (RFC 3339).
pub(super) fn moment(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp((ms / 1000).cast_signed()).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ms} ms"))
}

/// JSON in one line; what would be a control character to a terminal is escaped as JSON has it.
pub(super) fn json_line(value: &Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        match character.is_control() {
            true => line.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn story(value: Value) -> Story {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_strangers_wrote_is_harmless_once_it_is_read() {
        let evil = "http://x/\u{1b}[2J\nroot# \u{9b}31m";
        let story = story(json!({ "srcURL": evil, "dstURL": evil, "operationType": "a\u{7}",
            "error": { "kind": "k\r", "text": evil }, "timings": { "\u{1b}": 1.0 } }));
        let told = format!(
            "{}{}{}{:?}{}",
            story.way(),
            story.operation(false),
            story.error.as_ref().unwrap(),
            story.timings,
            story.gist(0)
        );
        assert!(!told.chars().any(char::is_control), "{told:?}");
        let line = json_line(&json!({ "url": evil, "del": "\u{7f}" }));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["url"], evil, "and is still the same JSON");
    }

    #[test]
    fn one_result_and_several_are_told_apart() {
        let one = story(json!({ "operationType": "resize", "srcURL": "a", "dstURL": "b",
            "output": { "width": 2, "height": 3, "format": "png", "bytes": 1500 } }));
        assert_eq!((one.operation(true), one.way()), ("resize".to_owned(), "a → b".to_owned()));
        assert_eq!(one.parts()[0].output.to_string(), "2×3 png, 1.5 kB");
        let part = |operation: &str| json!({ "operationType": operation, "dstURL": "d", "state": "stored" });
        let several = story(json!({ "srcURL": "a", "outputs": [part("resize"), part("blurhash")] }));
        assert_eq!((several.operation(true), several.way()), ("resize +1".to_owned(), "a → d +1".to_owned()));
        assert_eq!(several.parts()[1].state.as_ref().unwrap().as_str(), "stored");
    }

    #[test]
    fn the_gist_is_the_reason_or_the_wait_or_the_way() {
        let error = json!({ "kind": "source-unavailable", "text": "404" });
        let mut job = json!({ "state": "failed", "srcURL": "a", "dstURL": "b", "error": error });
        assert_eq!(story(job.clone()).gist(0), "source-unavailable: 404");
        job = json!({ "state": "accepted", "srcURL": "a", "dstURL": "b", "next_attempt_at_ms": 9000,
            "attempts": [{ "number": 1, "ended_at_ms": 1, "error": error }] });
        assert_eq!(story(job.clone()).gist(4000), "to be tried again in 5 s; source-unavailable: 404");
        assert!(story(job).gist(9001).starts_with("to be tried again now"));
        assert_eq!(story(json!({ "state": "running", "srcURL": "a", "dstURL": "b" })).gist(0), "a → b");
    }

    #[test]
    fn figures_are_short() {
        let spans = [0, 99_999, 100_000, 5_999_000, 6_000_000, 200_000_000].map(span);
        assert_eq!(spans, ["0 s", "99 s", "1 min", "99 min", "1 h", "2 d"]);
        assert_eq!([1.25, 34.4, 12_345.0].map(milliseconds), ["1.2 ms", "34 ms", "12.3 s"]);
        assert_eq!(
            [999, 1500, 2_340_000, 5_000_000_000].map(amount),
            ["999 B", "1.5 kB", "2.3 MB", "5.0 GB"]
        );
        assert_eq!(moment(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!([0.0, 0.404, 1.0, 7.0].map(percent), ["0 %", "40 %", "100 %", "100 %"]);
    }
}
