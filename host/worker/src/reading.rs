//! Who is to blame when reading a source goes wrong: the source, and no operation. While a worker decodes one, or has a
//! builtin operation parse one, its process bears a name that says so. Should it end in the midst of that, by a signal that
//! nothing in it can answer, the name is still there for the server to see; saying it costs no message.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use imgserve_base::fault::{Fault, FaultKind};
use rustix::thread::set_name;

/// The process's name (prctl(2), PR_SET_NAME: up to 15 bytes) while it reads a source, and while it does not.
const READS: &CStr = c"imgserve:reads";
const WORKS: &CStr = c"imgserve";

/// Reads a source, or a part of it. What panics of it is the source's fault; the panic itself is in the log.
pub(super) fn reading<T>(read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let _named = Named::new();
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(gave_up()))
}

/// The fault of a source of which what reads it broke off.
pub(super) fn gave_up() -> Fault {
    Fault::new(FaultKind::UnreadableSource, "the source cannot be read: what reads it broke off in the midst")
}

/// The name that says so, for as long as this is held.
struct Named;

impl Named {
    fn new() -> Self {
        // Without it the blame is told less well, and nothing else is worse.
        let _ = set_name(READS);
        Self
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = set_name(WORKS);
    }
}

/// Whether a process that has ended, and that nobody has waited for yet, was reading a source (proc(5), comm).
#[allow(clippy::disallowed_methods, reason = "what the kernel makes up does not block")]
pub(super) fn was_reading(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_ascii_end() == READS.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_of_a_source_is_the_sources_fault() {
        let fault = reading(|| -> Result<(), Fault> { panic!("index out of bounds") }).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UnreadableSource);
        assert!(!fault.text.contains("index"), "{fault}");
        assert_eq!(reading(|| Ok(7)), Ok(7));
    }
}
