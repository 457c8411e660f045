//! What of WASI works: streams that are empty or go into the log, an empty environment, a clock, random numbers.
#![allow(dead_code, reason = "a lowered variant's cases that are never given")]

use imgserve_base::units::MIB;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, WasmList};

use super::Held;
use super::kept::Stream;
use crate::plugin::wasm::state::State;

/// Most bytes that are taken or given at once.
const MOST_AT_ONCE: u64 = MIB;
/// The numbers of streams. The first one is empty.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const NANOSECONDS: u64 = 1_000_000_000;

type Cx<'a> = StoreContextMut<'a, State>;
type Streamed<T> = wasmtime::Result<(Result<T, StreamError>,)>;

/// `wasi:io/streams` `stream-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<Held>),
    #[component(name = "closed")]
    Closed,
}

/// `wasi:clocks/wall-clock` `datetime`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn of(nanoseconds: u64) -> Self {
        let rest = u32::try_from(nanoseconds % NANOSECONDS).unwrap_or_default();
        Self { seconds: nanoseconds / NANOSECONDS, nanoseconds: rest }
    }
}

/// Defines a function that works; whether it is one.
pub(super) fn link(
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match interface {
        "cli/environment" => surroundings(linker, interface, name),
        "clocks/monotonic-clock" | "clocks/wall-clock" | "io/poll" => time(linker, interface, name),
        "io/streams" => match name.starts_with("[method]output-stream") {
            true => output(linker, name),
            false => input(linker, name),
        },
        "random/random" | "random/insecure" | "random/insecure-seed" => random(linker, name),
        _ => handles(linker, interface, name),
    }
}

fn held(number: u32) -> Resource<Held> {
    Resource::new_own(number)
}

fn handles(linker: &mut LinkerInstance<'_, State>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    let stream = match (interface, name) {
        ("cli/stdin", "get-stdin") => Some(STDIN),
        ("cli/stdout", "get-stdout") => Some(STDOUT),
        ("cli/stderr", "get-stderr") => Some(STDERR),
        // What names are looked up with, which is what is refused.
        ("sockets/instance-network", "instance-network") => Some(STDIN),
        _ => None,
    };
    if let Some(stream) = stream {
        linker.func_wrap(name, move |_: Cx<'_>, (): ()| Ok((held(stream),)))?;
        return Ok(true);
    }
    match (interface, name) {
        ("cli/terminal-stdin", "get-terminal-stdin")
        | ("cli/terminal-stdout", "get-terminal-stdout")
        | ("cli/terminal-stderr", "get-terminal-stderr") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((None::<Resource<Held>>,)))?;
        }
        ("filesystem/preopens", "get-directories") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<(Resource<Held>, String)>::new(),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn surroundings(
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("cli/environment", "get-environment") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
        }
        ("cli/environment", "get-arguments") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
        }
        ("cli/environment", "initial-cwd") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((None::<String>,)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn time(linker: &mut LinkerInstance<'_, State>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    let now = |store: Cx<'_>| store.data().wasi.clock.now();
    match (interface, name) {
        ("clocks/monotonic-clock", "now") => {
            linker.func_wrap(name, move |store: Cx<'_>, (): ()| Ok((now(store),)))?;
        }
        ("clocks/monotonic-clock", "resolution") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((1_u64,)))?;
        }
        ("clocks/monotonic-clock", "subscribe-instant") => {
            linker.func_wrap(name, |store: Cx<'_>, (at,): (u64,)| wait(store, at))?;
        }
        ("clocks/monotonic-clock", "subscribe-duration") => {
            linker.func_wrap(name, |store: Cx<'_>, (time,): (u64,)| {
                let at = store.data().wasi.clock.now().saturating_add(time);
                wait(store, at)
            })?
        }
        ("clocks/wall-clock", "now") => {
            linker.func_wrap(name, move |store: Cx<'_>, (): ()| Ok((Datetime::of(now(store)),)))?;
        }
        ("clocks/wall-clock", "resolution") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Datetime::of(1),)))?;
        }
        ("io/poll", "poll") => {
            linker.func_wrap(name, |mut store: Cx<'_>, (waits,): (Vec<Resource<Held>>,)| {
                let numbers: Vec<u32> = waits.iter().map(Resource::rep).collect();
                Ok((store.data_mut().wasi.clock.first(&numbers),))
            })?;
        }
        ("io/poll", "[method]pollable.ready") => {
            linker.func_wrap(name, |store: Cx<'_>, (wait,): (Resource<Held>,)| {
                Ok((store.data().wasi.clock.is_there(wait.rep()),))
            })?;
        }
        ("io/poll", "[method]pollable.block") => {
            linker.func_wrap(name, |mut store: Cx<'_>, (wait,): (Resource<Held>,)| {
                store.data_mut().wasi.clock.first(&[wait.rep()]);
                Ok(())
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn wait(mut store: Cx<'_>, at: u64) -> wasmtime::Result<(Resource<Held>,)> {
    match store.data_mut().wasi.clock.wait(at) {
        Some(number) => Ok((held(number),)),
        None => Err(wasmtime::Error::msg("waits for too much at once")),
    }
}

fn input(linker: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            linker.func_wrap(name, |_: Cx<'_>, _: (Resource<Held>, u64)| -> Streamed<Vec<u8>> {
                Ok((Err(StreamError::Closed),))
            })?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            linker.func_wrap(name, |_: Cx<'_>, _: (Resource<Held>, u64)| -> Streamed<u64> {
                Ok((Err(StreamError::Closed),))
            })?;
        }
        "[method]input-stream.subscribe" => {
            linker.func_wrap(name, |store: Cx<'_>, _: (Resource<Held>,)| wait(store, 0))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(linker: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<bool> {
    match name.trim_start_matches("[method]output-stream.") {
        "check-write" => {
            linker.func_wrap(name, |_: Cx<'_>, _: (Resource<Held>,)| -> Streamed<u64> {
                Ok((Ok(MOST_AT_ONCE),))
            })?;
        }
        "write" | "blocking-write-and-flush" => {
            linker.func_wrap(name, |store: Cx<'_>, (to, bytes): (Resource<Held>, WasmList<u8>)| {
                write(store, &to, &bytes)
            })?;
        }
        "flush" | "blocking-flush" => {
            linker.func_wrap(name, |_: Cx<'_>, _: (Resource<Held>,)| -> Streamed<()> { Ok((Ok(()),)) })?;
        }
        "subscribe" => linker.func_wrap(name, |store: Cx<'_>, _: (Resource<Held>,)| wait(store, 0))?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The bytes are read where they lie, line by line.
fn write(mut store: Cx<'_>, to: &Resource<Held>, bytes: &WasmList<u8>) -> Streamed<()> {
    let stream = match to.rep() {
        STDOUT => Stream::Out,
        STDERR => Stream::Err,
        _ => return Ok((Err(StreamError::Closed),)),
    };
    let mut kept = std::mem::take(&mut store.data_mut().wasi);
    kept.write(stream, bytes.as_le_slice(&store), |level, line| store.data().log(level, line));
    store.data_mut().wasi = kept;
    Ok((Ok(()),))
}

fn random(linker: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-random-u64" | "get-insecure-random-u64" => {
            linker.func_wrap(name, |store: Cx<'_>, (): ()| Ok((store.data().random(),)))?;
        }
        "get-random-bytes" | "get-insecure-random-bytes" => {
            linker.func_wrap(name, |store: Cx<'_>, (length,): (u64,)| {
                if length > MOST_AT_ONCE {
                    let text = format!("wants {length} random bytes at once, more than {MOST_AT_ONCE}");
                    return Err(wasmtime::Error::msg(text));
                }
                let numbers = (0..length.div_ceil(8)).flat_map(|_| store.data().random().to_le_bytes());
                Ok((numbers.take(usize::try_from(length)?).collect::<Vec<u8>>(),))
            })?;
        }
        "insecure-seed" | "get-insecure-seed" => {
            linker.func_wrap(name, |store: Cx<'_>, (): ()| {
                Ok(((store.data().random(), store.data().random()),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
