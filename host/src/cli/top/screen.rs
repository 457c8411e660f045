//! The terminal, borrowed for a live view: another screen, no echo, keys at once. Given back however the view ends.

use std::io::{self, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::view::{Style, Styled};

/// The other screen; no cursor; lines are cut at the margin (xterm control sequences, "DEC Private Mode Set").
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Ctrl-C, as a key.
const INTERRUPT: u8 = 3;

/// A terminal in use.
#[derive(Debug)]
pub(super) struct Screen {
    /// How stdin was; none when it is no terminal.
    before: Option<Termios>,
    colors: bool,
    keys: mpsc::Receiver<()>,
    signals: [Signal; 3],
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        let signals = [interrupt?, terminate?, hangup?];
        let before = tcgetattr(io::stdin()).ok();
        // From here on dropping it gives the terminal back.
        let colors = std::env::var("NO_COLOR").unwrap_or_default().is_empty();
        let screen = Self { before, colors, keys: keys(), signals };
        if let Some(before) = &screen.before {
            let mut quiet = before.clone();
            // Without signals too: a view that is suspended half-way would leave the terminal as it is.
            quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        }
        write(ENTER)?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, lines: &[Styled]) -> io::Result<()> {
        write(&frame(lines, self.colors))
    }

    /// Waits until the user has enough.
    pub(super) async fn quit(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            Some(()) = self.keys.recv() => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// One picture: every line over what stood there, in one write, so that nothing flickers.
fn frame(lines: &[Styled], colors: bool) -> String {
    let mut frame = String::from("\x1b[H");
    for (index, line) in lines.iter().enumerate() {
        let code = match line.style {
            Style::Plain => "",
            Style::Heading => "\x1b[1m",
            Style::Bad if colors => "\x1b[1;31m",
            Style::Bad => "\x1b[1m",
        };
        // Erased before and not after it is written: at the margin that would take its last character.
        let (erase, end) = if index + 1 < lines.len() { ("\x1b[K", "\r\n") } else { ("\x1b[J", "") };
        frame.push_str(&format!("{erase}{code}{}\x1b[0m{end}", line.text));
    }
    frame
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Tells of every key that ends the view. The thread waits for keys until the process ends.
fn keys() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for key in io::BufReader::new(io::stdin()).bytes().map_while(Result::ok) {
            if matches!(key, b'q' | b'Q' | INTERRUPT) && sender.blocking_send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_overwrites_the_one_before() {
        let line = |text: &str, style| Styled { text: text.to_owned(), style };
        let lines = [line("a", Style::Heading), line("b", Style::Bad)];
        assert_eq!(frame(&lines, true), "\x1b[H\x1b[K\x1b[1ma\x1b[0m\r\n\x1b[J\x1b[1;31mb\x1b[0m");
        assert!(!frame(&lines, false).contains("31m"));
    }
}
