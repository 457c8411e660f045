//! A codec in the sandbox: its four functions, and what it gives held to what it has said.

use std::rc::Rc;

use imgserve_base::units::MIB;
use imgserve_sdk::codec::{self as sdk, Decoded, Description};
use imgserve_sdk::{Frame, Host, ImageRef};
use wasmtime::component::{ComponentExportIndex, WasmList};

use super::codec_values as wit;
use super::sandbox::{Exports, Guest, Sandbox};
use super::values::{Image, OutputFrame};
use crate::plugin::call::CallError;

/// Longest colour profile that is copied out of a guest, in bytes.
const MAX_PROFILE: usize = 16 * MIB as usize;

/// A loaded codec.
#[derive(Debug)]
pub(crate) struct WasmCodec {
    sandbox: Sandbox,
    describe: ComponentExportIndex,
    probe: ComponentExportIndex,
    decode: ComponentExportIndex,
    encode: ComponentExportIndex,
}

type ProbeParameters<'a> = (&'a str, &'a [u8], bool);
type Probed = (Result<Option<wit::Header>, wit::Error>,);
type DecodeParameters<'a> = (&'a str, &'a [u8]);
type DecodedResult = (Result<wit::Decoded, wit::Error>,);
type EncodeParameters<'a> = (&'a str, Image<'a>, u8);
type Encoded = (Result<WasmList<u8>, wit::Error>,);

/// What a codec answers: a refusal is an answer, too.
type Answer<T> = Result<Result<T, sdk::Error>, CallError>;

impl WasmCodec {
    /// The codec whose functions a component exports.
    ///
    /// # Errors
    /// A text that names the one that is missing.
    pub(super) fn new(sandbox: Sandbox, exports: &Exports) -> Result<Self, String> {
        let [describe, probe, decode, encode] =
            ["describe", "probe", "decode", "encode"].map(|name| exports.get(name));
        Ok(Self { sandbox, describe: describe?, probe: probe?, decode: decode?, encode: encode? })
    }

    /// What one call may take, in bytes.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.sandbox.memory_limit()
    }

    /// What the codec says about itself.
    pub(crate) fn describe(&self, host: &Rc<dyn Host>) -> Result<Description, CallError> {
        let description: (wit::Description,) =
            self.sandbox.describe(&self.describe, host, |instance, store| {
                instance.get_typed_func::<ProbeParameters<'_>, Probed>(&mut *store, &self.probe)?;
                instance.get_typed_func::<DecodeParameters<'_>, DecodedResult>(&mut *store, &self.decode)?;
                instance.get_typed_func::<EncodeParameters<'_>, Encoded>(&mut *store, &self.encode)?;
                Ok(())
            })?;
        Ok(description.0.into_sdk())
    }

    /// What a file holds; none when these bytes do not suffice.
    pub(crate) fn probe(
        &self,
        format: &str,
        bytes: &[u8],
        complete: bool,
        host: &Rc<dyn Host>,
    ) -> Answer<Option<sdk::Header>> {
        let parameters = (format, bytes, complete);
        match self.sandbox.call::<ProbeParameters<'_>, Probed>(&self.probe, parameters, host)? {
            ((Ok(None),), _) if complete => Ok(Err(sdk::Error::malformed("it ends within its header"))),
            ((Ok(None),), _) => Ok(Ok(None)),
            ((Ok(Some(header)),), _) => {
                header.into_sdk().map(|header| Ok(Some(header))).map_err(CallError::Contract)
            }
            ((Err(error),), guest) => refusal(error, &guest),
        }
    }

    /// A file's frames, copied out of the guest, once they are what it has told of them: how many, and of which size and pixel format.
    pub(crate) fn decode(
        &self,
        format: &str,
        bytes: &[u8],
        told: &sdk::Header,
        host: &Rc<dyn Host>,
    ) -> Answer<Decoded> {
        let parameters = (format, bytes);
        match self.sandbox.call::<DecodeParameters<'_>, DecodedResult>(&self.decode, parameters, host)? {
            ((Ok(decoded),), guest) => copied(decoded, guest, told).map(Ok).map_err(CallError::Contract),
            ((Err(error),), guest) => refusal(error, &guest),
        }
    }

    /// A file of this picture.
    pub(crate) fn encode(
        &self,
        format: &str,
        image: ImageRef<'_>,
        quality: u8,
        host: &Rc<dyn Host>,
    ) -> Answer<Vec<u8>> {
        let parameters = (format, Image::of(image), quality);
        match self.sandbox.call::<EncodeParameters<'_>, Encoded>(&self.encode, parameters, host)? {
            ((Ok(file),), guest) => Ok(Ok(file.as_le_slice(&guest.store).to_vec())),
            ((Err(error),), guest) => refusal(error, &guest),
        }
    }
}

fn refusal<T>(error: wit::Error, guest: &Guest) -> Answer<T> {
    error.into_sdk(&guest.store).map(Err).map_err(CallError::Contract)
}

/// The pixels that lie in a guest's memory. None is copied before all are what was told of them: by that, memory was admitted.
fn copied(decoded: wit::Decoded, mut guest: Guest, told: &sdk::Header) -> Result<Decoded, String> {
    let wit::Decoded { frames, loops, profile } = decoded;
    if frames.len() != told.frames as usize {
        return Err(format!("told of {} frames and gave {}", told.frames, frames.len()));
    }
    let frames =
        frames.iter(&mut guest.store).and_then(|frames| frames.collect::<wasmtime::Result<Vec<_>>>());
    let frames: Vec<OutputFrame> = frames.map_err(|error| format!("{error:#}"))?;
    let told = format!("{}x{} {:?}", told.width, told.height, told.pixels);
    for OutputFrame { image, .. } in &frames {
        let given = format!("{}x{} {:?}", image.width, image.height, image.format.into_sdk());
        if given != told {
            return Err(format!("told of {told} and gave {given}"));
        }
    }
    let frame = |OutputFrame { image, delay_ms }: &OutputFrame| {
        let data = image.data.as_le_slice(&guest.store);
        let image = ImageRef::new(image.width, image.height, image.format.into_sdk(), data);
        let image = image.map_err(|error| error.message().to_owned())?.to_image();
        Ok::<_, String>(Frame { image, delay_ms: *delay_ms })
    };
    let frames = frames.iter().map(frame).collect::<Result<_, _>>()?;
    let profile = profile.map(|profile| profile.as_le_slice(&guest.store));
    if let Some(long) = profile.map(<[u8]>::len).filter(|length| *length > MAX_PROFILE) {
        return Err(format!("gave a colour profile of {long} bytes, more than {MAX_PROFILE}"));
    }
    Ok(Decoded { frames, loops, profile: profile.map(<[u8]>::to_vec) })
}
