//! What the demo says on stdout: plain lines for a file, colours and pictures for a terminal that has them.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::found::Found;
use super::picture::{self, Colors};
use super::run::Report;
use crate::cli::ui;

/// Columns taken when the terminal does not tell.
const WIDTH: usize = 100;
/// Most cells of one picture.
const PICTURE_COLUMNS: u32 = 44;
const PICTURE_ROWS: u32 = 15;
const INDENT: &str = "    ";
/// Columns of a note's label.
const NOTE: usize = 10;
/// Columns of an event's label and time.
const EVENT: usize = 22;

/// Where the lines go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    styled: bool,
    pictures: Option<Colors>,
    width: usize,
}

impl Screen {
    /// Finds out what stdout can show; `pictures` says whether they are wanted.
    pub(super) fn detect(pictures: bool) -> Self {
        let set = |name: &str| std::env::var(name).unwrap_or_default();
        // https://no-color.org: any value but the empty one.
        let styled = std::io::stdout().is_terminal() && set("NO_COLOR").is_empty() && set("TERM") != "dumb";
        let rich = matches!(set("COLORTERM").as_str(), "truecolor" | "24bit");
        let colors = if rich { Colors::True } else { Colors::Palette };
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
        Self { styled, pictures: (styled && pictures).then_some(colors), width: width.unwrap_or(WIDTH) }
    }

    pub(super) fn say(&self, line: &str) {
        ui::say(line);
    }

    /// A heading.
    pub(super) fn bold(&self, text: &str) -> String {
        self.style("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.style("2", text)
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.styled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A labelled text.
    pub(super) fn note(&self, label: &str, text: &str) {
        self.lines(format!("{label:<NOTE$}"), NOTE, text);
    }

    /// A labelled text with the time when it was there.
    fn event(&self, label: &str, time: Option<Duration>, text: &str) {
        let time = time.map(milliseconds).unwrap_or_default();
        self.lines(format!("{label:<12}{time:>8}  "), EVENT, text);
    }

    /// The head is of `indent` columns, under which all lines but the first stand.
    fn lines(&self, head: String, indent: usize, text: &str) {
        let room = self.width.clamp(60, WIDTH) - INDENT.len() - indent;
        let mut head = self.dim(&head);
        for line in text.lines().flat_map(|line| wrap(line, room)) {
            ui::say(&format!("{INDENT}{head}{line}"));
            head = " ".repeat(indent);
        }
    }

    /// A job, from request to verdict.
    pub(super) fn job(&self, number: usize, report: &Report) {
        let job = &report.job;
        let way = format!("{} → {}", job.source.source(), job.destination.destination());
        ui::say("");
        ui::say(&format!(
            "{} {}",
            self.bold(&format!("{number:>2}  {}", job.title)),
            self.dim(&format!("· {way}"))
        ));
        self.note("request", &report.request);
        let sample = job.sample;
        let frames = sample.frames.len();
        let source =
            (sample.name, sample.format.name(), sample.width, sample.height, frames, sample.bytes.len());
        self.event("source", None, &file(source));
        if let Some(found) = &report.placeholder {
            self.event("placeholder", Some(found.after), &found_file(job.stored, found));
        }
        if let Some(reply) = &report.reply {
            self.event("reply", report.reply_after(), reply.text.trim_end());
            if let Some(error) = &reply.error {
                self.event("", None, &format!("X-Imgserve-Error: {error}"));
            }
        }
        if let Some(found) = &report.result {
            self.event("result", Some(found.after), &found_file(job.stored, found));
        }
        match &report.verdict {
            Ok(text) => ui::say(&format!("{INDENT}{}  {text}", self.style("1;32", "✓ right"))),
            Err(text) => ui::say(&format!("{INDENT}{} {text}", self.style("1;31", "✗ WRONG:"))),
        }
        self.pictures(report);
    }

    fn pictures(&self, report: &Report) {
        let (Some(colors), Some(result)) = (self.pictures, &report.result) else { return };
        let room = self.width.saturating_sub(INDENT.len() + 1) as u32;
        let lines = match &report.placeholder {
            Some(placeholder) if room >= 60 => {
                let columns = PICTURE_COLUMNS.min((room - 2) / 2);
                let [left, right] = [placeholder, result]
                    .map(|found| picture::draw(found.middle(), columns, PICTURE_ROWS, colors));
                picture::beside(&left, &right, 2)
            }
            _ => picture::draw(result.middle(), room.min(60), PICTURE_ROWS, colors).lines,
        };
        for line in lines {
            ui::say(&format!("{INDENT}{line}"));
        }
    }
}

fn found_file(name: &str, found: &Found) -> String {
    let Found { format, width, height, frames, bytes, .. } = found;
    file((name, format.name(), *width, *height, frames.len(), bytes.len()))
}

fn file((name, format, width, height, frames, bytes): (&str, &str, u32, u32, usize, usize)) -> String {
    let frames = if frames > 1 { format!("  {frames} frames") } else { String::new() };
    let size = format!("{width}×{height}");
    format!("{name:<16} {format:<5} {size:>9} {:>9}{frames}", amount(bytes))
}

/// A number of bytes for people.
pub(super) fn amount(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A duration for people.
pub(super) fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// Breaks a line at spaces where it is longer than `width`; a word that is longer stays whole.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let mut lines = vec![" ".repeat(indent)];
    for word in line.trim_start().split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.trim_start().is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("{:indent$}{word}", ""));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces() {
        assert_eq!(wrap(" ab cd ef", 6), [" ab cd", " ef"]);
        assert_eq!(wrap("abcdefgh i", 4), ["abcdefgh", "i"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn amounts_and_times_are_short() {
        assert_eq!([999, 1_500, 2_340_000].map(amount), ["999 B", "1.5 kB", "2.3 MB"]);
        assert_eq!(
            [2.04, 31.4].map(|ms| milliseconds(Duration::from_secs_f64(ms / 1e3))),
            ["2.0 ms", "31 ms"]
        );
    }
}
