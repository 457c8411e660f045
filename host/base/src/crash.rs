//! Crash points: named places at which the crash test ends the process, or makes the disk fail. They are nothing unless
//! built with the feature `failpoints`.

/// Reads the crash points to be armed from the environment's `FAILPOINTS`.
#[cfg(feature = "failpoints")]
pub fn arm() {
    // Forgotten, as its end would disarm them all.
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(not(feature = "failpoints"))]
pub fn arm() {}

/// Ends the process as `kill -9` would, where `name` is armed with the action `return`.
#[cfg(feature = "failpoints")]
pub fn point(name: &'static str) {
    if fail::eval(name, |_| ()).is_some() {
        std::process::abort();
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn point(_name: &'static str) {}

/// Whether `name` is to fail here. The action `return(TEXT)` makes it fail only where `place` contains the text, so that
/// tests in one process do not hit each other.
#[cfg(feature = "failpoints")]
pub fn fails(name: &'static str, place: &str) -> bool {
    fail::eval(name, |text| text.is_none_or(|text| place.contains(&text))).unwrap_or_default()
}

#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn fails(_name: &'static str, _place: &str) -> bool {
    false
}
