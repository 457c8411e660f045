//! What a guest reaches: the functions of the WIT's interface `host`, four for an operation, and memory up to its limit.

use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_base::fault::one_line;
use imgserve_sdk::{Flow, Host};
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Error, ResourceLimiter, StoreContextMut};

use super::values;
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
}

impl State {
    pub(super) fn new(host: Rc<dyn Host>, memory_limit: u64, time_limit: Duration) -> Self {
        let hurries = Instant::now() + time_limit.mul_f32(0.9);
        Self {
            host,
            last_error: None,
            hurries,
            memory: Memory { limit: memory_limit, peak: 0, denied: None },
        }
    }

    fn progress(&self, done: f32) -> values::Flow {
        let flow = self.host.progress(done);
        values::Flow::of(if Instant::now() < self.hurries { flow } else { Flow::Cancelled })
    }

    /// The last line of level error, which is a panic's message if the guest has panicked.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.clone()
    }
}

/// The bounds of a guest's memory.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
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
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired as u64 > self.limit {
            self.denied = Some(Denied::Limit);
            return Ok(false);
        }
        self.peak = self.peak.max(desired as u64);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: Error) -> wasmtime::Result<()> {
        self.denied.get_or_insert(Denied::Worker);
        Ok(())
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables.
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
    host.func_wrap("random", |store: StoreContextMut<'_, State>, (): ()| Ok((store.data().host.random(),)))?;
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
    store.data().host.log(level.into_sdk(), &line);
    if level == values::Level::Error {
        store.data_mut().last_error = Some(line);
    }
    Ok(())
}
