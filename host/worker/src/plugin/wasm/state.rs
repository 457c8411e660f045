//! What a guest reaches: the functions of the WIT's interface `host`, four for an operation, and memory up to its limit. What it
//! may import of WASI is `wasi`'s.

use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_base::fault::one_line;
use imgserve_sdk::{Flow, Host, Level};
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Error, ResourceLimiter, StoreContextMut};

use super::{values, wasi};
use crate::plugin::component::World;

/// Longest line taken from a guest, in bytes.
const MAX_LINE: usize = 1000;

/// Beside a guest's instance.
pub(super) struct State {
    host: Rc<dyn Host>,
    last_error: Option<String>,
    /// When it is told to come to an end, shortly before it is made to.
    hurries: Instant,
    pub(super) memory: Memory,
    pub(super) wasi: wasi::Kept,
}

impl State {
    pub(super) fn new(host: Rc<dyn Host>, memory_limit: u64, time_limit: Duration) -> Self {
        let hurries = Instant::now() + time_limit.mul_f32(0.9);
        Self {
            host,
            last_error: None,
            hurries,
            memory: Memory { limit: memory_limit, size: 0, grown: 0, peak: 0, denied: None },
            wasi: wasi::Kept::default(),
        }
    }

    fn progress(&self, done: f32) -> values::Flow {
        let flow = self.host.progress(done);
        values::Flow::of(if Instant::now() < self.hurries { flow } else { Flow::Cancelled })
    }

    pub(super) fn log(&self, level: Level, line: &str) {
        self.host.log(level, line);
    }

    /// The next one of the job's.
    pub(super) fn random(&self) -> u64 {
        self.host.random()
    }

    /// A call is over: what it has written without an end of the line is one, too.
    pub(super) fn end(&mut self) {
        let Self { wasi, host, .. } = self;
        wasi.end(|level, line| host.log(level, line));
    }

    /// What the guest said last: a line of level error, which is a panic's message if it has panicked, or what it wrote to
    /// stderr.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.clone().or_else(|| self.wasi.reason())
    }
}

/// The bounds of a guest's memory.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    /// What it has, all of its memories together.
    size: u64,
    /// By how much it grew last.
    grown: u64,
    peak: u64,
    denied: Option<Denied>,
}

/// Which limit a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Its own.
    Limit,
    /// Its worker's: the system gave no more.
    Worker,
}

impl Memory {
    /// The most it had, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether it wanted more than it could have.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let grown = desired.saturating_sub(current) as u64;
        let size = self.size.saturating_add(grown);
        if size > self.limit {
            self.denied = Some(Denied::Limit);
            return Ok(false);
        }
        (self.size, self.grown) = (size, grown);
        self.peak = self.peak.max(size);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: Error) -> wasmtime::Result<()> {
        self.size -= std::mem::take(&mut self.grown);
        self.denied.get_or_insert(Denied::Worker);
        Ok(())
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables ([plugins] max_table_elements).
        Ok(true)
    }
}

/// Gives guests of this world, in this version of the WIT, what they may import.
pub(super) fn link(linker: &mut Linker<State>, world: World, version: &str) -> wasmtime::Result<()> {
    // Types alone: nothing to call.
    linker.instance(&world.interface("types", version))?;
    let mut host = linker.instance(&world.interface("host", version))?;
    host.func_wrap("log", log)?;
    if world == World::Codec {
        return Ok(());
    }
    host.func_wrap("progress", |store: StoreContextMut<'_, State>, (done,): (f32,)| {
        Ok((store.data().progress(done),))
    })?;
    host.func_wrap("random", |store: StoreContextMut<'_, State>, (): ()| Ok((store.data().random(),)))?;
    host.func_wrap("config", |store: StoreContextMut<'_, State>, (): ()| {
        Ok((store.data().host.config().to_owned(),))
    })?;
    Ok(())
}

/// The message is read where it lies: however long it is, no more than a line of it is copied.
fn log(
    mut store: StoreContextMut<'_, State>,
    (level, message): (values::Level, WasmStr),
) -> wasmtime::Result<()> {
    let line = one_line(&message.to_str(&store)?, MAX_LINE);
    store.data().log(level.into_sdk(), &line);
    if level == values::Level::Error {
        store.data_mut().last_error = Some(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_guest_count_together() {
        let mut memory = Memory { limit: 100, size: 0, grown: 0, peak: 0, denied: None };
        let grow =
            |memory: &mut Memory, current, desired| memory.memory_growing(current, desired, None).unwrap();
        assert!(grow(&mut memory, 0, 60) && grow(&mut memory, 0, 20));
        // The system gives no more: what it did not give does not count.
        assert!(grow(&mut memory, 20, 40));
        memory.memory_grow_failed(Error::msg("no memory")).unwrap();
        assert_eq!(memory.denied(), Some(Denied::Worker));
        assert!(grow(&mut memory, 60, 80), "80 of 100 were taken");
        assert!(!grow(&mut memory, 20, 21), "both together have 100 already");
        assert_eq!((memory.denied(), memory.peak()), (Some(Denied::Limit), 100));
    }
}
