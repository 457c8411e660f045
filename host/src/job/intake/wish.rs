//! How a source is to be fetched: in whose turn, by when, and what is known of it.

use std::time::Duration;

use imgserve_base::fair::Turn;
use tokio::time::Instant;

/// How a source is to be fetched.
#[derive(Clone, Debug)]
pub(in crate::job) struct Wish {
    /// Whose turn it is to be.
    pub(super) turn: Turn,
    /// How many bytes it had when it was last asked for.
    pub(super) expected: Option<u64>,
    /// Whether it was asked for, and did not fit: memory for it is taken before it is again.
    pub(super) was_asked: bool,
    /// When it waits for its turn no longer.
    until: Instant,
}

impl Wish {
    /// A source of which nothing is known yet, and how long it may wait for its turn.
    pub(in crate::job) fn new(turn: Turn, patience: Duration) -> Self {
        Self { turn, expected: None, was_asked: false, until: Instant::now() + patience }
    }

    /// How many bytes it had when it was last asked for, if that is known.
    pub(in crate::job) fn expecting(self, expected: Option<u64>) -> Self {
        Self { expected, ..self }
    }

    /// It was asked for, and did not fit.
    pub(in crate::job) fn again(self) -> Self {
        Self { was_asked: true, ..self }
    }

    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}
