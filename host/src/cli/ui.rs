//! What commands say on the terminal.

use std::io::{IsTerminal as _, Write as _};

/// A line on stdout. A reader that went away (`| head`) is no error.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
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

/// The columns of the terminal that stdout is; none where it is none.
pub(super) fn width() -> Option<usize> {
    size().map(|(columns, _)| columns)
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

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_only_where_it_is_too_long() {
        assert_eq!(cut("größer", Some(6)), "größer");
        assert_eq!(cut("größer", Some(4)), "grö…");
        assert_eq!(cut("größer ", None), "größer");
    }
}
