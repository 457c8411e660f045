//! What an operation can ask of its host while it runs in this worker: a log, progress, random numbers, its settings.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_sdk::{Flow, Host, Level};

use super::protocol::{self, LogLevel, Reply};
use crate::fault::one_line;

/// Progress is reported at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Longer than any task.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Lines that a task may log; the rest is counted and dropped.
const MAX_LINES: u32 = 100;
/// Longest line, in bytes.
const MAX_LINE: usize = 1000;

/// The way back to the server, while a task runs.
#[derive(Debug)]
pub(super) struct Link {
    stream: RefCell<UnixStream>,
    reported: Cell<Instant>,
    lines: Cell<u32>,
    /// When operations are told to come to an end.
    hurries: Cell<Instant>,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            stream: RefCell::new(stream),
            reported: Cell::new(now),
            lines: Cell::new(0),
            hurries: Cell::new(now + FOREVER),
        })
    }

    /// A task begins, which may take this long.
    pub(super) fn begin(&self, time: Duration) {
        let now = Instant::now();
        self.reported.set(now);
        self.lines.set(0);
        self.hurries.set(now + time);
    }

    /// Says something before the task is done.
    pub(super) fn say(&self, reply: &Reply) {
        // A server that is gone is noticed by the watching thread.
        let _ = protocol::write(&mut *self.stream.borrow_mut(), reply, &[]);
    }
}

/// One operation's host.
#[derive(Debug)]
pub(super) struct StepHost {
    link: Rc<Link>,
    operation: String,
    config: Rc<str>,
    random: Cell<u64>,
    /// Which part of the task's progress is the operation's.
    from: f32,
    share: f32,
}

impl StepHost {
    /// The host of step `index` of `count`.
    pub(super) fn new(
        link: &Rc<Link>,
        operation: &str,
        config: &Rc<str>,
        seed: u64,
        (index, count): (usize, usize),
    ) -> Self {
        let share = 1.0 / count.max(1) as f32;
        Self {
            link: Rc::clone(link),
            operation: operation.to_owned(),
            config: Rc::clone(config),
            random: Cell::new(seed.wrapping_add(index as u64)),
            from: index as f32 * share,
            share,
        }
    }
}

impl Host for StepHost {
    fn log(&self, level: Level, message: &str) {
        let lines = self.link.lines.get() + 1;
        self.link.lines.set(lines);
        let text = match lines {
            ..=MAX_LINES => one_line(message, MAX_LINE),
            // Said once, when the first one is dropped.
            lines if lines == MAX_LINES + 1 => "further lines of this task are dropped".to_owned(),
            _ => return,
        };
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.link.say(&Reply::Log { operation: self.operation.clone(), level, text });
    }

    fn progress(&self, done: f32) -> Flow {
        if self.link.reported.get().elapsed() >= PROGRESS_INTERVAL {
            self.link.reported.set(Instant::now());
            let done = if done.is_nan() { 0.0 } else { done.clamp(0.0, 1.0) };
            self.link.say(&Reply::Progress(self.from + done * self.share));
        }
        if Instant::now() < self.link.hurries.get() { Flow::Continue } else { Flow::Cancelled }
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014, figure 15).
    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn config(&self) -> &str {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(seed: u64) -> (StepHost, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (StepHost::new(&Link::new(theirs), "test", &Rc::from("{}"), seed, (0, 1)), ours)
    }

    #[test]
    fn random_numbers_are_those_of_the_paper_and_repeat() {
        let (host, _server) = host(1_234_567);
        // The first outputs of SplitMix64 for this seed, as the reference implementation gives them.
        let numbers = [host.random(), host.random(), host.random()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_plugin_that_talks_too_much_is_cut_off_and_cannot_fake_a_line() {
        let (host, mut server) = host(0);
        let reader = std::thread::spawn(move || {
            let mut texts = Vec::new();
            while let Ok((Reply::Log { text, .. }, _)) = protocol::read::<Reply>(&mut server) {
                texts.push(text);
            }
            texts
        });
        for _ in 0..10 * MAX_LINES {
            host.log(Level::Info, &format!("line\nERROR fake {}", "x".repeat(5000)));
        }
        drop(host);
        let texts = reader.join().unwrap();
        assert_eq!(texts.len(), MAX_LINES as usize + 1);
        assert!(texts[0].starts_with("line\\nERROR fake xxx") && texts[0].len() < 1100, "{}", texts[0]);
        assert!(texts.last().unwrap().contains("dropped"));
    }
}
