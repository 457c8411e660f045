//! What is kept of a guest for its calls of WASI: its clock, the lines that it has begun, what it was denied.

use std::collections::VecDeque;

use imgserve_base::fault::one_line;
use imgserve_sdk::Level;

/// What may be waited for at once.
const MOST_WAITS: usize = 10_000;
/// Longest line that is kept, in bytes.
const MAX_LINE: usize = 1000;
/// Lines of stderr that may be the reason of a trap: a traceback's last ones.
const LAST_LINES: usize = 40;

/// A guest's.
#[derive(Debug, Default)]
pub(in crate::plugin::wasm) struct Kept {
    pub(super) clock: Clock,
    stdout: Lines,
    stderr: Lines,
    /// The last lines of stderr, the newest last.
    last: VecDeque<String>,
    /// The first thing that it was denied.
    denied: Option<String>,
}

/// One of the two streams that are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Kept {
    /// Takes bytes that were written; `say` is given each line that is complete with them.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8], mut say: impl FnMut(Level, &str)) {
        match stream {
            Stream::Out => self.stdout.push(bytes, |line| say(Level::Info, line)),
            Stream::Err => {
                let last = &mut self.last;
                self.stderr.push(bytes, |line| {
                    say(Level::Warn, line);
                    note(last, line);
                });
            }
        }
    }

    /// Takes what was written without an end of the line as a line.
    pub(in crate::plugin::wasm) fn end(&mut self, mut say: impl FnMut(Level, &str)) {
        if let Some(line) = self.stdout.take() {
            say(Level::Info, &line);
        }
        if let Some(line) = self.stderr.take() {
            say(Level::Warn, &line);
            note(&mut self.last, &line);
        }
    }

    /// Keeps the first thing that was denied; whether this is it.
    pub(super) fn deny(&mut self, text: &str) -> bool {
        let first = self.denied.is_none();
        self.denied.get_or_insert_with(|| text.to_owned());
        first
    }

    /// Why a guest gave up, as far as it has said so: what it was denied, or what it wrote last.
    pub(in crate::plugin::wasm) fn reason(&self) -> Option<String> {
        match (told(&self.last), &self.denied) {
            (Some(told), Some(denied)) => Some(format!("{told}; it {denied}")),
            (None, Some(denied)) => Some(format!("it {denied}")),
            (told, None) => told,
        }
    }
}

fn note(last: &mut VecDeque<String>, line: &str) {
    if last.len() == LAST_LINES {
        last.pop_front();
    }
    last.push_back(line.to_owned());
}

/// What runtimes write behind the reason.
const NOISE: [&str; 2] = ["note: run with `RUST_BACKTRACE", "Redirecting call to abort()"];
/// What of a reason means that a guest missed a file, and what to do about it.
const HINTS: [(&str, &str); 2] = [
    (
        "No such file or directory",
        "a plugin has no files: what it needs stands in its code, or in its `config` table",
    ),
    (
        "No module named",
        "import it at the top of the file: when a plugin runs, there are no files to import from",
    ),
];

/// What an uncaught exception writes, as one line: of a traceback in Python's way or a stack in JavaScript's its message and place,
/// else the last line.
fn told(lines: &VecDeque<String>) -> Option<String> {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
    let traceback = lines.iter().rposition(|line| line.starts_with("Traceback"));
    let stack = lines.iter().rposition(|line| *line == "Stack:");
    let (message, place) = match (traceback, stack) {
        (Some(at), _) => {
            let mut traceback = lines[at + 1..].iter();
            let place = traceback.clone().rfind(|line| line.starts_with("  File "));
            // A message may have several lines; places and the source's lines are indented.
            (traceback.find(|line| !line.starts_with(' ')), place)
        }
        (None, Some(at)) => (at.checked_sub(1).and_then(|at| lines.get(at)), lines.get(at + 1)),
        (None, None) => (lines.iter().rfind(|line| !NOISE.iter().any(|noise| line.starts_with(noise))), None),
    };
    let message = message?;
    let place = place.map_or_else(String::new, |place| format!(" ({})", place.trim()));
    let hint = HINTS.iter().find(|(what, _)| message.contains(what));
    let hint = hint.map_or_else(String::new, |(_, hint)| format!("; {hint}"));
    Some(format!("{message}{place}{hint}"))
}

/// A line that has been begun.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut complete: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = MAX_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                complete(&self.take().unwrap_or_default());
            }
        }
    }

    fn take(&mut self) -> Option<String> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then(|| one_line(&String::from_utf8_lossy(&begun), MAX_LINE))
    }
}

/// A clock that stands still until something is waited for, which is then at once.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// In nanoseconds.
    now: u64,
    /// When each thing that is waited for is there, by its number.
    waits: Vec<u64>,
    free: Vec<u32>,
}

impl Clock {
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Something that is there at this time; none when too much is waited for already.
    pub(super) fn wait(&mut self, at: u64) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.waits.get_mut(number as usize)? = at;
            return Some(number);
        }
        let number = u32::try_from(self.waits.len()).ok()?;
        (self.waits.len() < MOST_WAITS).then(|| self.waits.push(at))?;
        Some(number)
    }

    pub(super) fn forget(&mut self, number: u32) {
        self.free.push(number);
    }

    /// Whether it is there.
    pub(super) fn is_there(&self, number: u32) -> bool {
        self.at(number) <= self.now
    }

    /// Which of these are there, once one is: that is waited for.
    pub(super) fn first(&mut self, numbers: &[u32]) -> Vec<u32> {
        let earliest = numbers.iter().map(|number| self.at(*number)).min();
        self.now = self.now.max(earliest.unwrap_or_default());
        (0_u32..).zip(numbers).filter(|(_, number)| self.is_there(**number)).map(|(at, _)| at).collect()
    }

    fn at(&self, number: u32) -> u64 {
        self.waits.get(number as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut() {
        let (mut kept, mut lines) = (Kept::default(), Vec::new());
        let mut say = |level: Level, line: &str| lines.push((level, line.to_owned()));
        for part in ["one ", "line\n\nthird"] {
            kept.write(Stream::Out, part.as_bytes(), &mut say);
        }
        for _ in 0..1000 {
            kept.write(Stream::Err, &[b'x'; 1000], &mut say);
        }
        kept.end(&mut say);
        kept.end(&mut say);
        let (long, lines) = lines.split_last().unwrap();
        assert_eq!(lines, ["one line", "", "third"].map(|line| (Level::Info, line.to_owned())));
        assert!(long.0 == Level::Warn && long.1.starts_with("xxx") && long.1.len() < 1100);
    }

    #[test]
    fn an_uncaught_exception_is_told_by_its_message_and_place() {
        let mut kept = Kept::default();
        let traceback = "Traceback (most recent call last):\n  File \"/0/app.py\", line 40, in run\n    hash(1)\n    ~^\n  \
            File \"/0/app.py\", line 7, in hash\n    raise ValueError(\"no\\nway\")\nValueError: no\nway\n";
        kept.write(Stream::Err, traceback.as_bytes(), |_, _| {});
        let place = "ValueError: no (File \"/0/app.py\", line 7, in hash)";
        assert_eq!(kept.reason().as_deref(), Some(place));
        assert!(kept.deny("opened a file") && !kept.deny("opened another"));
        assert_eq!(kept.reason(), Some(format!("{place}; it opened a file")));
        for (text, reason) in [
            ("first\nlast\n\n", "last"),
            (
                "\nthread panicked at lib.rs:1:2:\nno way\nnote: run with `RUST_BACKTRACE=1` for a backtrace\n",
                "no way",
            ),
            (
                "x is not one of the cases\nStack:\n  run@plugin.js:9:17\n  other@a.js:1:2\n\nRedirecting call to abort() to it\n",
                "x is not one of the cases (run@plugin.js:9:17)",
            ),
            (
                "Traceback (most recent call last):\n  File \"/0/app.py\", line 2, in run\nModuleNotFoundError: No module named 'a'\n",
                "ModuleNotFoundError: No module named 'a' (File \"/0/app.py\", line 2, in run); import it at the top of the file: \
                 when a plugin runs, there are no files to import from",
            ),
        ] {
            let mut kept = Kept::default();
            kept.write(Stream::Err, text.as_bytes(), |_, _| {});
            assert_eq!(kept.reason().as_deref(), Some(reason));
        }
    }

    #[test]
    fn the_clock_moves_for_what_is_waited_for_alone() {
        let mut clock = Clock::default();
        let (soon, late, there) = (clock.wait(5).unwrap(), clock.wait(1000).unwrap(), clock.wait(0).unwrap());
        assert_eq!((clock.now(), clock.is_there(soon), clock.is_there(there)), (0, false, true));
        assert_eq!(clock.first(&[late, soon, there]), [2], "what is there is not waited for");
        assert_eq!((clock.first(&[late, soon]), clock.now()), (vec![1], 5));
        assert_eq!((clock.first(&[late]), clock.now()), (vec![0], 1000));
        clock.forget(soon);
        assert_eq!(clock.wait(7), Some(soon), "numbers come back");
        assert_eq!((0..2 * MOST_WAITS).filter_map(|_| clock.wait(0)).count(), MOST_WAITS - 3);
    }
}
