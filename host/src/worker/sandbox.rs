//! How a worker limits itself before it sees any input: memory, core dumps, its core. What else the kernel can
//! enforce (Landlock, seccomp) belongs into [`enter`] as well.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Applies the limits to this process.
///
/// # Errors
/// What the kernel refused; a worker without its memory limit must not work.
pub(super) fn enter(memory_limit: u64, core: Option<usize>) -> io::Result<()> {
    // RLIMIT_DATA counts what is written to, unlike RLIMIT_AS, which wasm's address reservations would exhaust.
    setrlimit(Resource::Data, Rlimit { current: Some(memory_limit), maximum: Some(memory_limit) })?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            // Pinning is for speed; a container that forbids it can still work.
            eprintln!("cannot be pinned to core {core}: {error}");
        }
    }
    Ok(())
}

/// The cores that this process may run on.
pub(super) fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}
