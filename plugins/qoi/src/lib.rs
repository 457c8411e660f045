//! Reads QOI, the "Quite OK Image Format", so that imgserve takes a format it knows nothing of.
//!
//! The format is specified in one page, <https://qoiformat.org/qoi-specification.pdf>; the crate `qoi` decodes it.

use imgserve_sdk::{
    Description, Error, ErrorKind, Host, Image, InputKind, Operation, Output, OutputKind, PixelFormat, Plan,
    Source, SourceHeader,
};
use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize, serde_json::json};
use qoi_format::{Channels, Decoder, Header, consts::QOI_HEADER_SIZE};

/// The most pixels that one byte of a file stands for: a run is at most 62 long.
const PIXELS_PER_BYTE: usize = 62;

/// `qoi` has no arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {}

/// Decodes a QOI file.
#[derive(Debug)]
pub struct Qoi;

impl Operation for Qoi {
    type Args = Args;

    fn describe() -> Description {
        Description {
            input: InputKind::Encoded { formats: vec!["qoi".to_owned()] },
            output: OutputKind::Image { format: "png".to_owned() },
            ..Description::new::<Args>("qoi", env!("CARGO_PKG_VERSION"), "Makes a PNG of a QOI file.")
        }
        .example("as PNG", json!({}))
    }

    fn plan(_: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        let header = header(&source.head)?;
        let mut plan = Plan::new(header.width, header.height, pixel_format(header));
        // No codec of the host's tells it the size of the pixels that come of these bytes.
        plan.peak_bytes = plan.pixels.bytes(plan.width, plan.height);
        Ok(plan)
    }

    fn run(_: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let bytes = source.encoded()?;
        let header = header(bytes)?;
        // A short file that claims to be a huge picture is refused before memory is taken for it.
        if header.n_pixels() > bytes.len().saturating_mul(PIXELS_PER_BYTE) {
            return Err(unsupported("it ends before its last pixel"));
        }
        let mut image = Image::zeroed(header.width, header.height, pixel_format(header))?;
        Decoder::new(bytes)
            .and_then(|mut decoder| decoder.decode_to_buf(image.data_mut()))
            .map_err(unsupported)?;
        Ok(Output::Pixels(image))
    }
}

imgserve_sdk::export_operation!(Qoi);

/// The header of a file of which `bytes` are the first.
fn header(bytes: &[u8]) -> Result<Header, Error> {
    if bytes.len() < QOI_HEADER_SIZE {
        return Err(unsupported("it ends within its header"));
    }
    qoi_format::decode_header(bytes).map_err(unsupported)
}

fn pixel_format(header: Header) -> PixelFormat {
    match header.channels {
        Channels::Rgb => PixelFormat::Rgb8,
        Channels::Rgba => PixelFormat::Rgba8,
    }
}

fn unsupported(reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::UnsupportedSource, format!("the source is no readable QOI file: {reason}"))
}
