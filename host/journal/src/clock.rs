//! The clock that moments of jobs go by in this process. Tests set one of their own.

use std::time::Duration;

use imgserve_base::clock::steady_ms;

/// What this process takes for now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    set: Option<std::sync::Arc<std::sync::atomic::AtomicU64>>,
}

impl Clock {
    /// One that shows what a test has set it to.
    #[cfg(test)]
    pub(crate) fn set_to(set: std::sync::Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self { set: Some(set) }
    }

    /// Milliseconds since 1970, by a clock that nobody sets.
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        if let Some(set) = &self.set {
            return set.load(std::sync::atomic::Ordering::Acquire);
        }
        steady_ms()
    }

    /// When so much time has passed.
    pub(crate) fn after(&self, pause: Duration) -> u64 {
        self.now().saturating_add(ms(pause))
    }

    /// How long it is until then.
    pub(crate) fn until(&self, moment: u64) -> Duration {
        Duration::from_millis(moment.saturating_sub(self.now()))
    }
}

/// A duration as stores have it.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
