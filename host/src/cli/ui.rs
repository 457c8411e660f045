//! What commands say on the terminal.

use std::io::Write as _;

/// A line on stdout. A reader that went away (`| head`) is no error.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line on stderr, under the program's name.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "imgserve: {line}");
}
