//! A component that is loaded, and calls of it: each in a fresh instance, with its bounds, and blamed for what it does wrong.

use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_base::units::MIB;
use imgserve_sdk::Host;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower,
};
use wasmtime::{Store, Trap};

use super::MAX_DESCRIPTION;
use super::state::{self, State};
use super::wasi::Denied;
use crate::plugin::call::CallError;
use crate::plugin::component::World;
use crate::plugin::deadline::{Deadline, Expiry, TimeLimit};

/// What bounds each call of a component.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) memory_limit_mb: u64,
    pub(super) time: Duration,
}

/// A component, ready to be called.
pub(super) struct Sandbox {
    instance: InstancePre<State>,
    interrupt: Expiry,
    deadline: Rc<Deadline>,
    bounds: Bounds,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// The functions that a component exports.
pub(super) struct Exports {
    component: Component,
    interface: ComponentExportIndex,
}

impl Exports {
    /// The functions of a component of this world.
    ///
    /// # Errors
    /// A text that says that it is of another one.
    pub(super) fn of(component: Component, world: World) -> Result<Self, String> {
        let exported = |world: World| {
            let mut versions = world.versions().iter();
            versions.find_map(|version| component.get_export_index(None, world.interface("plugin", version)))
        };
        let interface = exported(world).ok_or_else(|| match (world, exported(World::Codec).is_some()) {
            (World::Operation, true) => "it is a codec: its section is [codecs.NAME]".to_owned(),
            (World::Operation, false) => "it does not export the operation".to_owned(),
            (World::Codec, _) => "it is an operation: its section is [operations.NAME]".to_owned(),
        })?;
        Ok(Self { component, interface })
    }

    /// The function of this name.
    ///
    /// # Errors
    /// A text that says that there is none.
    pub(super) fn get(&self, name: &str) -> Result<ComponentExportIndex, String> {
        let found = self.component.get_export_index(Some(&self.interface), name);
        found.ok_or_else(|| format!("it does not export `{name}`"))
    }
}

/// The guest of one call: its store, and how long it took to make.
pub(super) struct Guest {
    pub(super) store: Store<State>,
    pub(super) instantiated: Duration,
}

impl Sandbox {
    pub(super) fn new(
        instance: InstancePre<State>,
        interrupt: Expiry,
        deadline: Rc<Deadline>,
        bounds: Bounds,
    ) -> Self {
        Self { instance, interrupt, deadline, bounds }
    }

    /// What one call may take, in bytes.
    pub(super) fn memory_limit(&self) -> u64 {
        self.bounds.memory_limit_mb * MIB
    }

    /// A store for one guest. Of values at most `values` bytes cross at once.
    fn store(&self, host: &Rc<dyn Host>, limit: TimeLimit, values: u64) -> Store<State> {
        let state = State::new(Rc::clone(host), self.memory_limit(), limit.time);
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(usize::try_from(values).unwrap_or(usize::MAX));
        store
    }

    /// Calls `function` in a fresh instance.
    pub(super) fn call<P, R>(
        &self,
        function: &ComponentExportIndex,
        parameters: P,
        host: &Rc<dyn Host>,
    ) -> Result<(R, Guest), CallError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let began = Instant::now();
        let limit = self.deadline.limit(self.bounds.time);
        // A result may take up all of the guest's memory, and no more exists; it is read where it lies.
        let mut store = self.store(host, limit, self.memory_limit());
        let _armed = self.deadline.arm(limit, self.interrupt.clone());
        let outcome = self.instance.instantiate(&mut store).and_then(|instance| {
            let instantiated = began.elapsed();
            let function = instance.get_typed_func::<P, R>(&mut store, function)?;
            Ok((function.call(&mut store, parameters)?, instantiated))
        });
        store.data_mut().end();
        match outcome {
            Ok((result, instantiated)) => Ok((result, Guest { store, instantiated })),
            Err(error) => Err(self.fault(&error, store.data(), limit)),
        }
    }

    /// Calls the function that describes, once `check` has found that the others are what they should be.
    pub(super) fn describe<R>(
        &self,
        describe: &ComponentExportIndex,
        host: &Rc<dyn Host>,
        check: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<()>,
    ) -> Result<R, CallError>
    where
        R: ComponentNamedList + Lift,
    {
        let limit = self.deadline.limit(self.bounds.time);
        let mut store = self.store(host, limit, MAX_DESCRIPTION);
        let _armed = self.deadline.arm(limit, self.interrupt.clone());
        let outcome = self.instance.instantiate(&mut store).and_then(|instance| {
            check(&instance, &mut store)?;
            instance.get_typed_func::<(), R>(&mut store, describe)?.call(&mut store, ())
        });
        store.data_mut().end();
        outcome.map_err(|error| self.fault(&error, store.data(), limit))
    }

    /// Which limit or rule a guest broke.
    fn fault(&self, error: &wasmtime::Error, state: &State, limit: TimeLimit) -> CallError {
        let text = state.last_error();
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::Interrupt) {
            return CallError::TimedOut(limit);
        }
        // Nearly always the reason why it gave up: few guests can go on without.
        if let Some(denied) = state.memory.denied() {
            let limit = match denied {
                state::Denied::Limit => format!("memory_limit_mb = {}", self.bounds.memory_limit_mb),
                state::Denied::Worker => "[workers] memory_limit_mb".to_owned(),
            };
            return CallError::OutOfMemory { limit, text };
        }
        // What it said before it was ended for that, and that.
        if let Some(denied) = error.downcast_ref::<Denied>() {
            return CallError::Trapped(text.unwrap_or_else(|| denied.to_string()));
        }
        match trap {
            // How a guest aborts, which it does when it panics; what it said last tells why.
            Some(Trap::UnreachableCodeReached) if text.is_some() => {
                CallError::Trapped(text.unwrap_or_default())
            }
            Some(trap) => CallError::Trapped(match text {
                Some(text) => format!("trapped ({trap}): {text}"),
                None => format!("trapped ({trap})"),
            }),
            None => CallError::Contract(format!("{error:#}")),
        }
    }
}
