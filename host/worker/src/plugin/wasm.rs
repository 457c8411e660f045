//! Sandboxed plugins: WebAssembly components in wasmtime. The only code that names it. A call gets a fresh store and
//! instance, a memory limit and a deadline; it reaches nothing but what `state` gives it.
//!
//! # Layout
//! - this file: operations; `codec`: codecs
//! - `engine`: wasmtime's settings, compiling, loading
//! - `sandbox`: calling, and what went wrong
//! - `state`: what a guest may call, and how its memory is bounded
//! - `wasi`: what it finds of WASI
//! - `values`, `codec_values`: the WIT's types
#![allow(clippy::disallowed_types, reason = "wasmtime is named here")]

mod codec;
mod codec_values;
mod engine;
mod sandbox;
mod state;
mod values;
mod wasi;

use std::rc::Rc;

use imgserve_base::units::MIB;
use imgserve_sdk::abi::{Product, RunInput};
use imgserve_sdk::{Description, Host, ImageRef, Plan, SourceHeader, Window};
use wasmtime::component::{ComponentExportIndex, WasmList};

use super::call::{CallError, Plugin, Results, Usage};
use sandbox::{Exports, Guest, Sandbox};

pub(crate) use codec::WasmCodec;
pub use engine::GUESTS;
pub(super) use engine::{Engine, compatibility, compile};

/// Most bytes of a description, which are copied out of the guest.
const MAX_DESCRIPTION: u64 = MIB;

/// A loaded operation.
#[derive(Debug)]
pub(super) struct WasmPlugin {
    sandbox: Sandbox,
    describe: ComponentExportIndex,
    plan: ComponentExportIndex,
    run: ComponentExportIndex,
    max_frames: u32,
}

impl WasmPlugin {
    /// The operation whose functions a component exports.
    ///
    /// # Errors
    /// A text that names the one that is missing.
    fn new(sandbox: Sandbox, exports: &Exports, max_frames: u32) -> Result<Self, String> {
        let (describe, plan, run) = (exports.get("describe")?, exports.get("plan")?, exports.get("run")?);
        Ok(Self { sandbox, describe, plan, run, max_frames })
    }
}

type PlanParameters<'a> = (&'a str, values::SourceHeader<'a>, &'a [u8]);
type Planned = (Result<values::Plan, values::Error>,);
type RunParameters<'a> = (&'a str, values::SourceHeader<'a>, values::Input<'a>);
type Ran = (Result<values::Output, values::Error>,);

impl Plugin for WasmPlugin {
    fn describe(&self, host: &Rc<dyn Host>) -> Result<Description, CallError> {
        // The other two functions have to be what they should be, too.
        let description: (values::Description,) =
            self.sandbox.describe(&self.describe, host, |instance, store| {
                instance.get_typed_func::<PlanParameters<'_>, Planned>(&mut *store, &self.plan)?;
                instance.get_typed_func::<RunParameters<'_>, Ran>(&mut *store, &self.run)?;
                Ok(())
            })?;
        description.0.into_sdk().map_err(CallError::Contract)
    }

    fn plan(&self, args: &[u8], header: &SourceHeader, host: &Rc<dyn Host>) -> Result<Plan, CallError> {
        let parameters = (text(args)?, values::SourceHeader::of(header), header.head.as_slice());
        match self.sandbox.call::<PlanParameters<'_>, Planned>(&self.plan, parameters, host)? {
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
        match self.sandbox.call::<RunParameters<'_>, Ran>(&self.run, parameters, host)? {
            ((Ok(output),), guest) => Ok(Box::new(WasmResults::new(output, guest, self.max_frames)?)),
            ((Err(error),), guest) => Err(refused(error, &guest)),
        }
    }

    fn memory_limit(&self) -> Option<u64> {
        Some(self.sandbox.memory_limit())
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
