//! wasmtime's settings, the same for compiling and for calling; loading what was compiled.

use std::rc::Rc;
use std::sync::Arc;

use imgserve_base::units::MIB;
use imgserve_config::{CodecSettings, GuestSize, OperationSettings};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::WasmPlugin;
use super::codec::WasmCodec;
use super::sandbox::{Bounds, Exports, Sandbox};
use super::state::{self, State};
use super::wasi;
use crate::plugin::artifact::Artifact;
use crate::plugin::component::{ComponentError, World};
use crate::plugin::deadline::{Deadline, Expiry};
use crate::plugin::load_error::LoadError;

/// Guests alive at once: in a chain of operations one holds the pixels that the next one is given.
pub const GUESTS: u32 = 2;
/// Bytes of a guest's memory whose pages are kept for the next guest: a 12 MP rgba8 image and then some. Wiping a page is
/// cheaper than getting a fresh one from the kernel.
const KEEP_RESIDENT: usize = 64 * MIB as usize;
/// Bytes of stack for a guest's calls; past it, it traps.
const STACK: usize = 2 * MIB as usize;

/// The engine of one worker.
pub(in crate::plugin) struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    interrupt: Expiry,
    deadline: Rc<Deadline>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What a plugin may use and how it is compiled. Whatever could make the same plugin give other pixels on another
/// machine (but for the bits of a NaN, which no pixel has), or reach for more than its memory, is off.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .wasm_component_model(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        // Backtraces hold no more than a panic's message does, and the guest has no names.
        .wasm_backtrace_max_frames(None);
    config
}

fn unusable(error: wasmtime::Error) -> LoadError {
    LoadError::Compiled { path: "wasmtime".into(), text: format!("{error:#}") }
}

/// Compiles a component, for this processor.
///
/// # Errors
/// [`ComponentError::Refused`] when it uses what plugins may not use.
pub(in crate::plugin) fn compile(component: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let refuse = |error: wasmtime::Error| ComponentError::Refused(format!("{error:#}"));
    wasmtime::Engine::new(&settings())
        .and_then(|engine| engine.precompile_component(component))
        .map_err(refuse)
}

/// A number that differs between engines which cannot load each other's compiled plugins.
pub(in crate::plugin) fn compatibility() -> Result<u64, LoadError> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let engine = wasmtime::Engine::new(&settings()).map_err(unusable)?;
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Ok(hasher.finish())
}

impl Engine {
    /// An engine to call plugins with.
    ///
    /// # Errors
    /// [`LoadError::Compiled`] when the system does not give it the address space.
    pub(in crate::plugin) fn for_calls(deadline: &Rc<Deadline>, size: &GuestSize) -> Result<Self, LoadError> {
        let GuestSize { max_core_instances, max_memories, max_tables, max_table_elements } = *size;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(GUESTS)
            .total_core_instances(GUESTS * max_core_instances)
            .max_core_instances_per_component(max_core_instances)
            .total_memories(GUESTS * max_memories)
            .max_memories_per_component(max_memories)
            .max_memories_per_module(max_memories)
            .total_tables(GUESTS * max_tables)
            .max_tables_per_component(max_tables)
            .max_tables_per_module(max_tables)
            .table_elements(max_table_elements as usize)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(max_table_elements as usize * size_of::<usize>())
            .pagemap_scan(Enabled::Auto);
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = wasmtime::Engine::new(&config).map_err(unusable)?;
        let mut linker = Linker::new(&engine);
        for world in World::ALL {
            for version in world.versions() {
                state::link(&mut linker, world, version).map_err(unusable)?;
            }
        }
        let interrupt = {
            let engine = engine.clone();
            Expiry::Interrupt(Arc::new(move || engine.increment_epoch()))
        };
        Ok(Self { engine, linker, interrupt, deadline: Rc::clone(deadline) })
    }

    /// Loads a compiled operation.
    ///
    /// # Errors
    /// [`LoadError::Compiled`], naming what does not fit.
    pub(in crate::plugin) fn load(
        &self,
        artifact: &Artifact,
        operation: &OperationSettings,
        max_frames: u32,
    ) -> Result<WasmPlugin, LoadError> {
        let time = operation.time_limit().unwrap_or_default();
        let bounds = Bounds { memory_limit_mb: operation.memory_limit_mb(), time };
        let (sandbox, exports) = self.sandbox(artifact, World::Operation, bounds)?;
        WasmPlugin::new(sandbox, &exports, max_frames).map_err(|text| refused(artifact, text))
    }

    /// Loads a compiled codec.
    ///
    /// # Errors
    /// [`LoadError::Compiled`], naming what does not fit.
    pub(in crate::plugin) fn load_codec(
        &self,
        artifact: &Artifact,
        codec: &CodecSettings,
    ) -> Result<WasmCodec, LoadError> {
        let bounds = Bounds { memory_limit_mb: codec.memory_limit_mb(), time: codec.time_limit() };
        let (sandbox, exports) = self.sandbox(artifact, World::Codec, bounds)?;
        WasmCodec::new(sandbox, &exports).map_err(|text| refused(artifact, text))
    }

    #[allow(unsafe_code, reason = "compiled code is mapped into memory and run")]
    fn sandbox(
        &self,
        artifact: &Artifact,
        world: World,
        bounds: Bounds,
    ) -> Result<(Sandbox, Exports), LoadError> {
        // SAFETY: the file was written by `compile` or checked against the digest that was written with it, into a
        // directory that only this user can write to.
        let component = unsafe { Component::deserialize_file(&self.engine, &artifact.file) };
        let component = component.map_err(|error| refused(artifact, with_key(format!("{error:#}"))))?;
        let mut linker = self.linker.clone();
        wasi::link(&mut linker, &component).map_err(|error| refused(artifact, format!("{error:#}")))?;
        let instance = linker.instantiate_pre(&component);
        let instance = instance.map_err(|error| refused(artifact, format!("{error:#}")))?;
        let exports = Exports::of(component, world).map_err(|text| refused(artifact, text))?;
        let sandbox = Sandbox::new(instance, self.interrupt.clone(), Rc::clone(&self.deadline), bounds);
        Ok((sandbox, exports))
    }
}

/// What wasmtime says of a component that is larger than the pool's places, and the key that makes them larger.
fn with_key(text: String) -> String {
    let keys = [
        ("core module instances", "max_core_instances"),
        ("Wasm linear memories", "max_memories"),
        ("minimum element size", "max_table_elements"),
        ("tables", "max_tables"),
    ];
    let found = keys.into_iter().find(|(what, _)| text.contains(what) && text.contains("exceed"));
    found.map_or(text.clone(), |(_, key)| format!("{text} ([plugins] {key})"))
}

fn refused(artifact: &Artifact, text: String) -> LoadError {
    LoadError::Compiled { path: artifact.file.clone(), text }
}
