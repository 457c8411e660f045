//! What an operation can ask of its host while it runs in this worker: a log, progress, random numbers, its settings.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_sdk::{Flow, Host, Level};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frame;
use super::protocol::{LogLevel, Reply};

/// Progress is reported at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// The socket is looked at for a cancellation at most this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than any task.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Lines that a task may log; the rest is counted and dropped.
const MAX_LINES: u32 = 100;
/// Longest line, in bytes.
const MAX_LINE: usize = 1000;

/// The way back to the server, while a task runs.
#[derive(Debug)]
pub(super) struct Link {
    /// Shared with the thread that may end the process, so that no frame is cut in two by its last one.
    stream: Arc<Mutex<UnixStream>>,
    reported: Cell<Instant>,
    /// The most progress that was reported.
    done: Cell<f32>,
    looked: Cell<Instant>,
    cancelled: Cell<bool>,
    lines: Cell<u32>,
    /// When operations are told to come to an end.
    hurries: Cell<Instant>,
    /// When the one that is called is told to, by its own time limit.
    call_hurries: Cell<Option<Instant>>,
    /// Whether the one that is called was told to.
    hurried: Cell<bool>,
    /// When the task is given up, and its time in milliseconds.
    ends: Cell<(Instant, u64)>,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            stream: Arc::new(Mutex::new(stream)),
            reported: Cell::new(now),
            done: Cell::new(0.0),
            looked: Cell::new(now),
            cancelled: Cell::new(false),
            lines: Cell::new(0),
            hurries: Cell::new(now + FOREVER),
            call_hurries: Cell::new(None),
            hurried: Cell::new(false),
            ends: Cell::new((now + FOREVER, 0)),
        })
    }

    /// A task begins, which may take this long. Operations are told to hurry before it is given up here, and that is before
    /// the server ends the worker.
    pub(super) fn begin(&self, time: Duration) {
        let now = Instant::now();
        self.reported.set(now);
        self.done.set(0.0);
        self.looked.set(now);
        self.cancelled.set(false);
        self.lines.set(0);
        self.hurries.set(now + time.mul_f32(0.8));
        self.ends.set((now + time.mul_f32(0.9), u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        self.call_hurries.set(None);
    }

    /// An operation is called that may take this long; `None`: as long as its task.
    pub(super) fn call(&self, limit: Option<Duration>) {
        self.hurried.set(false);
        self.call_hurries.set(limit.map(|limit| Instant::now() + limit.mul_f32(0.8)));
    }

    /// Whether the operation that is called, or was the last one, was told that its time is over.
    pub(super) fn hurried(&self) -> bool {
        self.hurried.get()
    }

    fn hurries(&self) -> bool {
        let now = Instant::now();
        let over = now >= self.hurries.get() || self.call_hurries.get().is_some_and(|at| now >= at);
        self.hurried.set(self.hurried.get() || over);
        over
    }

    /// Says something before the task is done.
    pub(super) fn say(&self, reply: &Reply) {
        // A server that is gone is noticed by the watching thread.
        let _ = frame::say(&mut *lock(&self.stream), reply);
    }

    /// What says, from another thread, that the plugin being called is late and the process is about to end.
    pub(super) fn last_word(&self) -> impl Fn() + Send + use<> {
        let stream = Arc::clone(&self.stream);
        move || {
            // Where it cannot be said, the end itself tells enough to go on.
            let _ = frame::say(&mut *lock(&stream), &Reply::Late);
        }
    }

    /// Says how much is done, unless that was said a moment ago. It never goes back, as tasks that take turns would have
    /// it do.
    pub(super) fn progress(&self, done: f32) {
        if self.reported.get().elapsed() >= PROGRESS_INTERVAL {
            self.reported.set(Instant::now());
            self.done.set(done.clamp(self.done.get(), 1.0));
            self.say(&Reply::Progress(self.done.get()));
        }
    }

    /// Whether nobody waits for the task any more: there is something to read, and nothing else is ever sent during one.
    /// It stays unread; the loop that reads requests takes it as one that came too late.
    pub(super) fn cancelled(&self) -> bool {
        if !self.cancelled.get() && self.looked.get().elapsed() >= LOOK_INTERVAL {
            self.looked.set(Instant::now());
            let stream = lock(&self.stream);
            let mut fds = [PollFd::new(&*stream, PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            self.cancelled.set(poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0));
        }
        self.cancelled.get()
    }

    /// Gives up what nobody waits for, and what is not done in time.
    ///
    /// # Errors
    /// A fault that nobody will read, or [`FaultKind::LimitExceeded`].
    pub(super) fn go_on(&self) -> Result<(), Fault> {
        let (ends, ms) = self.ends.get();
        if Instant::now() >= ends {
            let text = format!("not done after {ms} ms ([workers] run_timeout_ms), and given up");
            return Err(Fault::new(FaultKind::LimitExceeded, text));
        }
        match self.cancelled() {
            true => Err(Fault::new(FaultKind::OperationFailed, "cancelled: nobody waits for the result")),
            false => Ok(()),
        }
    }
}

fn lock(stream: &Mutex<UnixStream>) -> MutexGuard<'_, UnixStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which part of a request's progress is whose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    from: f32,
    length: f32,
}

impl Share {
    /// All of it.
    pub(super) const WHOLE: Self = Self { from: 0.0, length: 1.0 };

    /// Part `index` of `count` equal ones of this share.
    pub(super) fn part(self, index: usize, count: usize) -> Self {
        let length = self.length / count.max(1) as f32;
        Self { from: self.from + index as f32 * length, length }
    }

    /// The request's progress when this share is done so far.
    pub(super) fn at(self, done: f32) -> f32 {
        let done = if done.is_nan() { 0.0 } else { done.clamp(0.0, 1.0) };
        self.from + done * self.length
    }
}

/// One operation's host.
#[derive(Debug)]
pub(super) struct StepHost {
    link: Rc<Link>,
    operation: String,
    config: Rc<str>,
    random: Cell<u64>,
    share: Share,
    /// Where the first thing that it warns of is kept, if that is to be told to the client.
    warned: Option<Warned>,
}

/// What an operation has warned of.
pub(super) type Warned = Rc<RefCell<Option<String>>>;

impl StepHost {
    /// The host of an operation whose random numbers begin at `seed`.
    pub(super) fn new(link: &Rc<Link>, operation: &str, config: &Rc<str>, seed: u64, share: Share) -> Self {
        Self {
            link: Rc::clone(link),
            operation: operation.to_owned(),
            config: Rc::clone(config),
            random: Cell::new(seed),
            share,
            warned: None,
        }
    }

    /// The same of an operation whose first warning is kept.
    pub(super) fn keeping(self, warned: &Warned) -> Self {
        Self { warned: Some(Rc::clone(warned)), ..self }
    }
}

impl Host for StepHost {
    fn log(&self, level: Level, message: &str) {
        // Who tells it to the client logs it, too.
        if let Some(warned) = self.warned.as_ref().filter(|_| level == Level::Warn) {
            warned.borrow_mut().get_or_insert_with(|| one_line(message, MAX_LINE));
            return;
        }
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
        self.link.progress(self.share.at(done));
        if self.link.hurries() || self.link.cancelled() { Flow::Cancelled } else { Flow::Continue }
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
    use super::super::inbox::Inbox;
    use super::*;

    fn host(seed: u64) -> (StepHost, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (StepHost::new(&Link::new(theirs), "test", &Rc::from("{}"), seed, Share::WHOLE), ours)
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
    fn progress_is_a_share_of_the_whole_and_never_goes_back() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (link, mut server) = (Link::new(theirs), Inbox::new(ours));
        // The second of three steps of the second of two tasks.
        let share = Share::WHOLE.part(1, 2).part(1, 3);
        assert!((share.at(0.5) - 0.75).abs() < 1e-6 && share.at(f32::NAN) == share.at(0.0));
        let (one, other) = (Share::WHOLE.part(0, 2), Share::WHOLE.part(1, 2));
        for (share, done) in [(other, 0.5), (one, 1.0), (other, 7.0)] {
            link.reported.set(Instant::now() - PROGRESS_INTERVAL);
            link.progress(share.at(done));
        }
        drop(link);
        let mut heard = Vec::new();
        while let Ok((Reply::Progress(done), _)) = frame::read::<Reply>(&mut server) {
            heard.push(done);
        }
        assert_eq!(heard, [0.75, 0.75, 1.0]);
    }

    #[test]
    fn a_plugin_that_talks_too_much_is_cut_off_and_cannot_fake_a_line() {
        let (host, server) = host(0);
        let mut server = Inbox::new(server);
        let reader = std::thread::spawn(move || {
            let mut texts = Vec::new();
            while let Ok((Reply::Log { text, .. }, _)) = frame::read::<Reply>(&mut server) {
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
