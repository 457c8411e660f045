//! The clock that due times, leases and ages go by. It shows what the wall's clock showed when the process began, and from
//! then on what has passed: whoever sets the machine's clock, back or forth, neither holds back an attempt nor ends a lease.
//! What people are told stays the wall's business ([`now_ms`]).

use std::sync::OnceLock;
use std::time::Instant;

use crate::job::now_ms;

/// A clock that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Steady {
    /// What it showed when it began, in milliseconds since 1970.
    began_ms: u64,
    began: Instant,
}

impl Steady {
    fn at(&self, now: Instant) -> u64 {
        self.began_ms.saturating_add(now.saturating_duration_since(self.began).as_millis() as u64)
    }
}

/// Milliseconds since 1970-01-01 UTC as this process counts them.
pub fn steady_ms() -> u64 {
    static CLOCK: OnceLock<Steady> = OnceLock::new();
    CLOCK.get_or_init(|| Steady { began_ms: now_ms(), began: Instant::now() }).at(Instant::now())
}

/// What the wall's clock shows when this process's shows `steady_ms`.
pub fn wall_ms(steady_ms: u64) -> u64 {
    shifted(steady_ms, self::steady_ms(), now_ms())
}

/// `moment` of a clock that shows `from` now, by one that shows `to` now.
fn shifted(moment: u64, from: u64, to: u64) -> u64 {
    match moment.checked_sub(from) {
        Some(ahead) => to.saturating_add(ahead),
        None => to.saturating_sub(from - moment),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_from_where_it_began_whatever_the_wall_shows() {
        let began = Instant::now();
        let clock = Steady { began_ms: 5_000_000, began };
        assert_eq!(clock.at(began), 5_000_000);
        assert_eq!(clock.at(began + Duration::from_millis(1500)), 5_001_500);
        let (first, second) = (steady_ms(), steady_ms());
        assert!(first <= second && second - first < 60_000);
    }

    #[test]
    fn people_are_told_moments_by_the_wall() {
        const HOUR: u64 = 3_600_000;
        let steady = 10 * HOUR;
        for wall in [steady, steady - 3 * HOUR, steady + 3 * HOUR] {
            assert_eq!(
                shifted(steady + 5000, steady, wall),
                wall + 5000,
                "due in 5 s, whatever the wall shows"
            );
            assert_eq!(shifted(steady - 5000, steady, wall), wall - 5000);
        }
        assert_eq!((shifted(u64::MAX, 1, 2), shifted(0, 5, 2)), (u64::MAX, 0));
    }
}
