//! Sandboxed plugins: WebAssembly components in wasmtime. The only code that names it. A call gets a fresh store and
//! instance, a memory limit and a deadline; it reaches nothing but what `state` gives it.
//!
//! # Layout
//! - this file: loading, calling, and what went wrong
//! - `engine`: wasmtime's settings, compiling
//! - `state`: what a guest may call, and how its memory is bounded
//! - `values`: the WIT's types
#![allow(clippy::disallowed_types, reason = "wasmtime is named here")]

mod engine;
mod state;
mod values;

use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_base::units::MIB;
use imgserve_sdk::abi::{Product, RunInput};
use imgserve_sdk::{Description, Host, ImageRef, Plan, SourceHeader, Window};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, WasmList};
use wasmtime::{Store, Trap};

use super::call::{CallError, Plugin, Results, Usage};
use super::deadline::{Deadline, Expiry, TimeLimit};
use state::{Denied, State};

pub use engine::GUESTS;
pub(super) use engine::{Engine, compatibility, compile};

/// Most bytes of a description, which are copied out of the guest.
const MAX_DESCRIPTION: u64 = MIB;

/// A loaded component.
pub(super) struct WasmPlugin {
    instance: InstancePre<State>,
    describe: ComponentExportIndex,
    plan: ComponentExportIndex,
    run: ComponentExportIndex,
    interrupt: Expiry,
    deadline: Rc<Deadline>,
    max_frames: u32,
    memory_limit_mb: u64,
    time_limit: Duration,
}

impl std::fmt::Debug for WasmPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmPlugin").field("memory_limit_mb", &self.memory_limit_mb).finish_non_exhaustive()
    }
}

/// The guest of one call: its store, and how long it took to make.
struct Guest {
    store: Store<State>,
    instantiated: Duration,
}

impl WasmPlugin {
    /// A store for one guest. Of values at most `values` bytes cross at once.
    fn store(&self, host: &Rc<dyn Host>, limit: TimeLimit, values: u64) -> Store<State> {
        let state = State::new(Rc::clone(host), self.memory_limit_mb * MIB, limit.time);
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(usize::try_from(values).unwrap_or(usize::MAX));
        store
    }

    /// Calls `function` in a fresh instance.
    fn call<P, R>(
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
        let limit = self.deadline.limit(self.time_limit);
        // A result may take up all of the guest's memory, and no more exists; it is read where it lies.
        let mut store = self.store(host, limit, self.memory_limit_mb * MIB);
        let _armed = self.deadline.arm(limit, self.interrupt.clone());
        let outcome = self.instance.instantiate(&mut store).and_then(|instance| {
            let instantiated = began.elapsed();
            let function = instance.get_typed_func::<P, R>(&mut store, function)?;
            Ok((function.call(&mut store, parameters)?, instantiated))
        });
        match outcome {
            Ok((result, instantiated)) => Ok((result, Guest { store, instantiated })),
            Err(error) => Err(self.fault(&error, store.data(), limit)),
        }
    }

    /// Describes, and makes sure that the other two functions are what they should be.
    fn describe_checked(
        &self,
        host: &Rc<dyn Host>,
        limit: TimeLimit,
    ) -> Result<values::Description, CallError> {
        let mut store = self.store(host, limit, MAX_DESCRIPTION);
        let _armed = self.deadline.arm(limit, self.interrupt.clone());
        let outcome = self.instance.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<PlanParameters<'_>, Planned>(&mut store, &self.plan)?;
            instance.get_typed_func::<RunParameters<'_>, Ran>(&mut store, &self.run)?;
            let function =
                instance.get_typed_func::<(), (values::Description,)>(&mut store, &self.describe)?;
            function.call(&mut store, ())
        });
        outcome.map(|(description,)| description).map_err(|error| self.fault(&error, store.data(), limit))
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
                Denied::Limit => format!("memory_limit_mb = {}", self.memory_limit_mb),
                Denied::Worker => "[workers] memory_limit_mb".to_owned(),
            };
            return CallError::OutOfMemory { limit, text };
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

type PlanParameters<'a> = (&'a str, values::SourceHeader<'a>, &'a [u8]);
type Planned = (Result<values::Plan, values::Error>,);
type RunParameters<'a> = (&'a str, values::SourceHeader<'a>, values::Input<'a>);
type Ran = (Result<values::Output, values::Error>,);

impl Plugin for WasmPlugin {
    fn describe(&self, host: &Rc<dyn Host>) -> Result<Description, CallError> {
        let description = self.describe_checked(host, self.deadline.limit(self.time_limit))?;
        description.into_sdk().map_err(CallError::Contract)
    }

    fn plan(&self, args: &[u8], header: &SourceHeader, host: &Rc<dyn Host>) -> Result<Plan, CallError> {
        let parameters = (text(args)?, values::SourceHeader::of(header), header.head.as_slice());
        match self.call::<PlanParameters<'_>, Planned>(&self.plan, parameters, host)? {
            ((Ok(plan),), _) => plan.into_sdk().map_err(CallError::Contract),
            ((Err(error),), guest) => Err(refused(error, &guest)),
        }
    }

    fn run(
        &self,
        args: &[u8],
        header: &SourceHeader,
        input: RunInput<'_>,
        window: Window,
        host: &Rc<dyn Host>,
    ) -> Result<Box<dyn Results>, CallError> {
        let frames: Vec<values::Frame<'_>> = match input {
            RunInput::Frames(frames) => frames.iter().map(values::Frame::of).collect(),
            RunInput::Pixels(_) | RunInput::Encoded(_) => Vec::new(),
        };
        let input = match input {
            RunInput::Pixels(image) => values::Input::pixels(image, window),
            RunInput::Frames(_) => values::Input::frames(&frames, window),
            RunInput::Encoded(bytes) => values::Input::Encoded(bytes),
        };
        let parameters = (text(args)?, values::SourceHeader::of(header), input);
        match self.call::<RunParameters<'_>, Ran>(&self.run, parameters, host)? {
            ((Ok(output),), guest) => Ok(Box::new(WasmResults::new(output, guest, self.max_frames)?)),
            ((Err(error),), guest) => Err(refused(error, &guest)),
        }
    }

    fn memory_limit(&self) -> Option<u64> {
        Some(self.memory_limit_mb * MIB)
    }
}

fn refused(error: values::Error, guest: &Guest) -> CallError {
    error.into_sdk(&guest.store).map_or_else(CallError::Contract, CallError::Refused)
}

fn text(args: &[u8]) -> Result<&str, CallError> {
    std::str::from_utf8(args).map_err(|error| CallError::Contract(format!("arguments: {error}")))
}

/// Results that still lie in the guest's memory.
struct WasmResults {
    output: Lifted,
    guest: Guest,
}

/// An output whose list of frames was read; the pixels were not.
enum Lifted {
    Pixels(values::OutputImage),
    Frames(Vec<values::OutputFrame>),
    Encoded(WasmList<u8>),
}

impl WasmResults {
    fn new(output: values::Output, mut guest: Guest, max_frames: u32) -> Result<Self, CallError> {
        let output = match output {
            values::Output::Pixels(image) => Lifted::Pixels(image),
            values::Output::Encoded(bytes) => Lifted::Encoded(bytes),
            values::Output::Frames(frames) if frames.len() > max_frames as usize => {
                let text = format!(
                    "gave {} frames, more than [limits] max_source_frames = {max_frames}",
                    frames.len()
                );
                return Err(CallError::Contract(text));
            }
            values::Output::Frames(frames) => {
                let read = frames.iter(&mut guest.store).and_then(|frames| frames.collect());
                Lifted::Frames(read.map_err(|error| CallError::Contract(format!("{error:#}")))?)
            }
        };
        Ok(Self { output, guest })
    }

    fn pixels(&self, image: &values::OutputImage) -> Result<ImageRef<'_>, CallError> {
        let data = image.data.as_le_slice(&self.guest.store);
        ImageRef::new(image.width, image.height, image.format.into_sdk(), data)
            .map_err(|error| CallError::Contract(error.message().to_owned()))
    }
}

impl Results for WasmResults {
    fn products(&self) -> Result<Vec<Product<'_>>, CallError> {
        let products = match &self.output {
            Lifted::Pixels(image) => vec![Product::Pixels(self.pixels(image)?, 0)],
            Lifted::Frames(frames) => {
                let frame = |frame: &values::OutputFrame| {
                    Ok(Product::Pixels(self.pixels(&frame.image)?, frame.delay_ms))
                };
                frames.iter().map(frame).collect::<Result<_, CallError>>()?
            }
            Lifted::Encoded(bytes) => vec![Product::Encoded(bytes.as_le_slice(&self.guest.store))],
        };
        if products.is_empty() {
            return Err(CallError::Contract("run gave no result".to_owned()));
        }
        Ok(products)
    }

    fn usage(&self) -> Usage {
        Usage {
            operation_us: 0.0,
            instantiate_us: self.guest.instantiated.as_secs_f64() * 1e6,
            memory_bytes: self.guest.store.data().memory.peak(),
        }
    }
}
