//! How a worker's process ended. The one place where that is made out; the last words are for people alone.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What the Rust runtime says before it aborts for want of memory. It is the one sign that a program can give of that:
/// the hook of `handle_alloc_error` is not stable, and an allocator of our own that ends the process would end it where
/// null is an answer as well (`try_reserve`, the codecs' C code).
const ALLOCATION_FAILED: &str = "memory allocation of";

/// signal(7): what `abort` raises.
const SIGABRT: i32 = 6;

/// The end of a worker's process.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) way: Way,
    /// Whether it came while the process read a source.
    pub(super) reading: bool,
    /// The last line of its stderr; empty when there was none.
    words: String,
}

/// In which way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// An allocation failed, at its memory limit or at the machine's; it aborted.
    OutOfMemory,
    /// It aborted because the plugin that it called was not done in time, as it said.
    PluginLate,
    /// It aborted of something else: a panic where none can be caught, a broken invariant of its code or a plugin's.
    Aborted,
    /// It was ended by this signal.
    Signal(i32),
    /// It ended by itself, with this code.
    Exit(i32),
    /// It did not end, and the server killed it.
    Killed,
    /// The system does not say.
    Unknown,
}

impl Death {
    /// The end of a process by this status; `late` is whether it had said that a plugin's time was over.
    pub(super) fn of(status: ExitStatus, late: bool, words: String) -> Self {
        let way = match (status.signal(), status.code()) {
            (Some(SIGABRT), _) if late => Way::PluginLate,
            (Some(SIGABRT), _) if words.contains(ALLOCATION_FAILED) => Way::OutOfMemory,
            (Some(SIGABRT), _) => Way::Aborted,
            (Some(signal), _) => Way::Signal(signal),
            (None, Some(code)) => Way::Exit(code),
            (None, None) => Way::Unknown,
        };
        Self { way, reading: false, words }
    }

    /// The same of a process that was reading a source, if it was.
    pub(super) fn over(self, reading: bool) -> Self {
        Self { reading, ..self }
    }

    /// The end of a process that the server had to kill.
    pub(super) fn killed(words: String) -> Self {
        Self { way: Way::Killed, reading: false, words }
    }

    /// The end of a process that cannot be waited for.
    pub(super) fn unknown(error: &std::io::Error, words: &str) -> Self {
        let words = if words.is_empty() { error.to_string() } else { format!("{error}: {words}") };
        Self { way: Way::Unknown, reading: false, words }
    }
}

impl Way {
    /// Whether the process did something that nothing can go on after, rather than that somebody ended it.
    pub(super) fn is_crash(self) -> bool {
        // signal(7): SIGILL, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
        matches!(self, Self::Aborted | Self::Signal(4 | 7 | 8 | 11 | 31))
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words.as_str() {
            "" => self.way.fmt(f),
            words => write!(f, "{}: {words}", self.way),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // signal(7), the ones that end a process which did something wrong or was made to end.
        const NAMES: [(i32, &str); 8] = [
            (4, "SIGILL"),
            (7, "SIGBUS"),
            (8, "SIGFPE"),
            (9, "SIGKILL"),
            (11, "SIGSEGV"),
            (15, "SIGTERM"),
            (24, "SIGXCPU"),
            (31, "SIGSYS"),
        ];
        match *self {
            Self::OutOfMemory | Self::PluginLate | Self::Aborted => f.write_str("SIGABRT"),
            Self::Killed => f.write_str("SIGKILL"),
            Self::Signal(signal) => match NAMES.iter().find(|(number, _)| *number == signal) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "signal {signal}"),
            },
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Unknown => f.write_str("unknown end"),
        }
    }
}
