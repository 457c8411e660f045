//! What commands say on the terminal.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Columns of the shortest piece of a URL that is shown.
const SHORTEST_URL: usize = 12;

/// Why stdout could not be written to, if it could not.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// A line on stdout; that it cannot be written is [`finish`]'s to tell.
pub(super) fn say(line: &str) {
    written(writeln!(io::stdout(), "{line}"));
}

/// Notes what became of writing to stdout. A reader that went away (`| head`) is no error.
pub(super) fn written(outcome: io::Result<()>) {
    if let Err(error) = outcome
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(error.to_string());
    }
}

/// The exit code of a command that has done its work: a failure where what it says could not be written.
pub(super) fn finish(code: ExitCode) -> ExitCode {
    written(io::stdout().flush());
    let Some(error) = UNWRITTEN.get() else { return code };
    complain(&format!("cannot write to stdout: {error}"));
    if code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
}

/// A line on stderr for whoever typed the command, while stdout is for a file or another program.
pub(super) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line on stderr, under the program's name.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "imgserve: {line}");
}

/// How this program was called, for commands to type next.
pub(super) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "imgserve".to_owned())
}

/// The columns of the terminal that stdout is, or that COLUMNS says; none where it is none.
pub(super) fn width() -> Option<usize> {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|&columns| columns > 0);
    size().map(|(columns, _)| columns).or_else(said)
}

/// Columns and rows of the terminal that stdout is.
pub(super) fn size() -> Option<(usize, usize)> {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| stdout.is_terminal())?;
    let size = (usize::from(size.ws_col), usize::from(size.ws_row));
    // One that does not know its size says 0.
    Some(size).filter(|&(columns, rows)| columns > 0 && rows > 0)
}

/// A line that fits into `width` columns, if there are such.
pub(super) fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.trim_end().to_owned(),
    }
}

/// A text that fits into `room` columns: the middles of its URLs go first, then its end.
pub(super) fn fit(text: &str, room: usize) -> String {
    let length = text.chars().count();
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let mut urls: Vec<usize> = (0..words.len()).filter(|index| words[*index].contains("://")).collect();
    if length > room {
        let size = |word: &str| word.chars().count();
        let others = length - urls.iter().map(|index| size(&words[*index])).sum::<usize>();
        let mut left = room.saturating_sub(others);
        // The short ones first: what they leave is the long ones'.
        urls.sort_by_key(|index| size(&words[*index]));
        for (done, index) in urls.iter().enumerate() {
            let share = (left / (urls.len() - done)).max(SHORTEST_URL);
            words[*index] = without_middle(&words[*index], share);
            left = left.saturating_sub(size(&words[*index]));
        }
    }
    cut(&words.join(" "), Some(room))
}

fn without_middle(word: &str, room: usize) -> String {
    let characters: Vec<char> = word.chars().collect();
    if characters.len() <= room {
        return word.to_owned();
    }
    let (head, tail) = (room / 2, room.saturating_sub(room / 2 + 1));
    let (head, tail) = (&characters[..head], &characters[characters.len() - tail..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// Rows as lines, columns side by side.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{cut, fit};

    #[test]
    fn urls_lose_their_middle_before_anything_else_is_lost() {
        let way = "http://pictures.example.org/2026/a/photo.jpg → file:///srv/out/photo-small.jpg";
        assert_eq!(fit(way, 100), way);
        for room in [60, 40, 28] {
            let line = fit(way, room);
            assert!(line.chars().count() <= room, "{line}");
            assert!(
                line.starts_with("http:/") && line.ends_with(".jpg") && line.contains(" → file:/"),
                "{line}"
            );
        }
        let short = fit("file:///a.png → https://bucket.example.org/a/long/folder/b.png", 40);
        assert_eq!(short, "file:///a.png → https://buck…older/b.png".to_owned());
        let error = fit("source-unavailable: http://pictures.example.org/a/b/c.png: 404 Not Found", 50);
        assert!(
            error.starts_with("source-unavailable: http:") && error.ends_with("404 Not Found"),
            "{error}"
        );
        assert_eq!(fit("no URL, but long", 9), "no URL, …");
        for room in 0..20 {
            assert!(fit(way, room).chars().count() <= room.max(1), "{room}");
        }
    }

    #[test]
    fn a_line_is_cut_only_where_it_is_too_long() {
        assert_eq!(cut("größer", Some(6)), "größer");
        assert_eq!(cut("größer", Some(4)), "grö…");
        assert_eq!(cut("größer ", None), "größer");
    }
}
