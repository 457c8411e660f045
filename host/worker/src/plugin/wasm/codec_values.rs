//! The types of the WIT's world `codec`, as wasmtime passes them. Documented in `sdk/wit`; the names here are the WIT's.
#![allow(dead_code, reason = "a lifted enum's variants are constructed by wasmtime's derive alone")]

use imgserve_base::fault::one_line;
use imgserve_sdk::codec as sdk;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Lift, WasmList, WasmStr};

use super::values::{MAX_TEXT, OutputFrame, PixelFormat};

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Magic {
    offset: u32,
    bytes: Vec<u8>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Written {
    pixels: Vec<PixelFormat>,
    lossy: bool,
    #[component(name = "max-side")]
    max_side: u32,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Format {
    name: String,
    #[component(name = "media-types")]
    media_types: Vec<String>,
    extensions: Vec<String>,
    magic: Vec<Magic>,
    written: Option<Written>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Description {
    name: String,
    version: String,
    summary: String,
    formats: Vec<Format>,
}

impl Description {
    pub(super) fn into_sdk(self) -> sdk::Description {
        let magic = |Magic { offset, bytes }| sdk::Magic { offset, bytes };
        let written = |Written { pixels, lossy, max_side }| sdk::Written {
            pixels: pixels.into_iter().map(PixelFormat::into_sdk).collect(),
            lossy,
            max_side,
        };
        let formats = self.formats.into_iter().map(|format| sdk::Format {
            name: format.name,
            media_types: format.media_types,
            extensions: format.extensions,
            magic: format.magic.into_iter().map(magic).collect(),
            written: format.written.map(written),
        });
        sdk::Description {
            name: self.name,
            version: self.version,
            summary: self.summary,
            formats: formats.collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Header {
    width: u32,
    height: u32,
    orientation: u8,
    frames: u32,
    pixels: PixelFormat,
    #[component(name = "peak-bytes")]
    peak_bytes: u64,
}

impl Header {
    /// The header, or what is impossible about it.
    pub(super) fn into_sdk(self) -> Result<sdk::Header, String> {
        let Self { width, height, orientation, frames, pixels, peak_bytes } = self;
        if width == 0 || height == 0 || frames == 0 {
            return Err(format!("told of {frames} frames of {width}x{height} pixels"));
        }
        if !(1..=8).contains(&orientation) {
            return Err(format!("told of an orientation of {orientation}"));
        }
        Ok(sdk::Header { width, height, orientation, frames, pixels: pixels.into_sdk(), peak_bytes })
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Decoded {
    pub(super) frames: WasmList<OutputFrame>,
    pub(super) loops: u32,
    pub(super) profile: Option<WasmList<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Error {
    #[component(name = "malformed")]
    Malformed(WasmStr),
    #[component(name = "unsupported")]
    Unsupported(WasmStr),
}

impl Error {
    /// The error, its text read where it lies and cut to a line of a sensible length; or what is wrong with it.
    pub(super) fn into_sdk<T: 'static>(self, store: &Store<T>) -> Result<sdk::Error, String> {
        let line = |text: WasmStr| {
            let text =
                text.to_str(store).map_err(|error| format!("gave an error that is no text: {error:#}"))?;
            Ok::<_, String>(one_line(&text, MAX_TEXT))
        };
        Ok(match self {
            Self::Malformed(text) => sdk::Error::Malformed(line(text)?),
            Self::Unsupported(text) => sdk::Error::Unsupported(line(text)?),
        })
    }
}
