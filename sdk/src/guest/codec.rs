//! From a [`Codec`] to a component's exports. Used through [`export_codec!`](crate::export_codec).

use std::marker::PhantomData;

use super::report_panics;
use crate::codec::{Codec, Decoded, Description, Error, Format, Header, Magic, Written};
use crate::{Frame, Image, PixelFormat};

#[allow(missing_docs, unsafe_code, clippy::all, reason = "written by wit-bindgen")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/0.2.0",
        world: "codec",
        pub_export_macro: true,
    });
}

pub use bindings::export;
use bindings::exports::imgserve::codec::plugin::Guest;
use bindings::imgserve::codec::{host, types as wit};

/// Codec `C` as the component's exports.
#[derive(Debug)]
pub struct Component<C>(PhantomData<C>);

impl<C: Codec> Guest for Component<C> {
    fn describe() -> wit::Description {
        begin();
        describe(C::describe())
    }

    fn probe(name: String, bytes: Vec<u8>, complete: bool) -> Result<Option<wit::Header>, wit::Error> {
        begin();
        let probed = C::probe(&name, &bytes, complete);
        probed.map(|found| found.map(header)).map_err(error)
    }

    fn decode(name: String, bytes: Vec<u8>) -> Result<wit::Decoded, wit::Error> {
        begin();
        C::decode(&name, &bytes).map(decoded).map_err(error)
    }

    fn encode(name: String, image: wit::Image, quality: u8) -> Result<Vec<u8>, wit::Error> {
        begin();
        let image = Image::new(image.width, image.height, own_format(image.format), image.data);
        let image = image.map_err(|wrong| wit::Error::Unsupported(wrong.to_string()))?;
        C::encode(&name, &image, quality).map_err(error)
    }
}

fn begin() {
    report_panics(|text| host::log(host::Level::Error, text));
}

fn describe(Description { name, version, summary, formats }: Description) -> wit::Description {
    wit::Description { name, version, summary, formats: formats.into_iter().map(format).collect() }
}

fn format(Format { name, media_types, extensions, magic, written }: Format) -> wit::Format {
    let magic = magic.into_iter().map(|Magic { offset, bytes }| wit::Magic { offset, bytes });
    let written = written.map(|Written { pixels, lossy, max_side }| wit::Written {
        pixels: pixels.into_iter().map(pixel_format).collect(),
        lossy,
        max_side,
    });
    wit::Format { name, media_types, extensions, magic: magic.collect(), written }
}

fn header(header: Header) -> wit::Header {
    let Header { width, height, orientation, frames, pixels, peak_bytes } = header;
    wit::Header { width, height, orientation, frames, pixels: pixel_format(pixels), peak_bytes }
}

fn decoded(Decoded { frames, loops, profile }: Decoded) -> wit::Decoded {
    let frame = |Frame { image, delay_ms }: Frame| wit::Frame {
        image: wit::Image {
            width: image.width(),
            height: image.height(),
            format: pixel_format(image.format()),
            data: image.into_data(),
        },
        delay_ms,
    };
    wit::Decoded { frames: frames.into_iter().map(frame).collect(), loops, profile }
}

fn error(error: Error) -> wit::Error {
    match error {
        Error::Malformed(text) => wit::Error::Malformed(text),
        Error::Unsupported(text) => wit::Error::Unsupported(text),
    }
}

fn pixel_format(format: PixelFormat) -> wit::PixelFormat {
    match format {
        PixelFormat::Gray8 => wit::PixelFormat::Gray8,
        PixelFormat::Rgb8 => wit::PixelFormat::Rgb8,
        PixelFormat::Rgba8 => wit::PixelFormat::Rgba8,
        PixelFormat::Rgba16 => wit::PixelFormat::Rgba16,
    }
}

fn own_format(format: wit::PixelFormat) -> PixelFormat {
    match format {
        wit::PixelFormat::Gray8 => PixelFormat::Gray8,
        wit::PixelFormat::Rgb8 => PixelFormat::Rgb8,
        wit::PixelFormat::Rgba8 => PixelFormat::Rgba8,
        wit::PixelFormat::Rgba16 => PixelFormat::Rgba16,
    }
}
