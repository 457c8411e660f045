//! Who is to blame when reading a source goes wrong: the source, and no operation. While a worker decodes one, or has a
//! builtin operation parse one, its process bears a name that says so. Should it end in the midst of that, by a signal that
//! nothing in it can answer, the name is still there for the server to see; saying it costs no message.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use imgserve_base::fault::{Fault, FaultKind};
use rustix::thread::set_name;
use sha2::{Digest as _, Sha256};

use crate::plugin::hex;

/// The process's name (prctl(2), PR_SET_NAME: up to 15 bytes) while it reads a source, and while it does not.
const READS: &CStr = c"imgserve:reads";
const WORKS: &CStr = c"imgserve";

thread_local! {
    /// Whether a source is being read; what a panic says is then kept.
    static READS_NOW: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    /// The last source that the log was told of: it is probed, planned on and decoded, and may panic at each.
    static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Reads a source, or a part of it. What panics of it is the source's fault; of the panic one line is in the log, by which the
/// source can be found again.
pub(super) fn reading<T>(source: &[u8], read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let _named = Named::new();
    listen();
    READS_NOW.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    READS_NOW.set(false);
    result.unwrap_or_else(|_| {
        if let Some(line) = line(source, &PANIC.take()) {
            eprintln!("{line}");
        }
        Err(gave_up())
    })
}

/// What the log is told of a panic; nothing if it was told of this source last.
fn line(source: &[u8], panic: &str) -> Option<String> {
    let digest = hex(&Sha256::digest(source));
    let last = TOLD.replace(digest.clone());
    let length = source.len();
    (last != digest).then(|| {
        format!("a source cannot be read (SHA-256 {digest}, {length} bytes): its decoder panicked at {panic}")
    })
}

/// Keeps panics to themselves while a source is read: their own lines name nothing that would help.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !READS_NOW.get() {
                return others(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let text = info.payload_as_str().unwrap_or("no text");
            PANIC.set(format!("{place}: {}", text.replace('\n', " ")));
        }));
    });
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
        let fault =
            reading(b"source", || -> Result<(), Fault> { panic!("index out of bounds") }).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UnreadableSource);
        assert!(!fault.text.contains("index"), "{fault}");
        assert_eq!(reading(b"source", || Ok(7)), Ok(7));
    }

    #[test]
    fn the_log_is_told_once_of_a_source_with_its_digest() {
        let told = line(b"abc", "src/lib.rs:1:2: index out of bounds").unwrap();
        // What `sha256sum` says of it.
        assert!(told.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{told}");
        assert!(told.contains("src/lib.rs:1:2: index out of bounds"), "{told}");
        assert_eq!(line(b"abc", "once more"), None);
        assert!(line(b"another", "src/lib.rs:1:2: index out of bounds").is_some());
    }
}
