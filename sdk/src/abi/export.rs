//! The plugin's side of the C ABI: from an [`Operation`] to a [`Table`]. Catches panics, parses and checks what
//! the host passes, and keeps a reply's memory until the host gives it back.
#![allow(unsafe_code, reason = "the functions of the table have a C signature: raw pointers in and out")]

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use super::{
    ABI_MAJOR, ABI_MINOR, Bytes, Call, DONE, ENCODED, HostCalls, MAGIC, PANICKED, REFUSED, RawImage, Reply,
    Table, format_code, format_of,
};
use crate::{
    Error, Flow, Frame, Host, Image, ImageRef, Input, Level, Operation, Output, Pixels, Source, arguments,
};

/// The table of operation `O`.
pub const fn table<O: Operation>() -> Table {
    Table {
        magic: MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        struct_size: size_of::<Table>() as u32,
        describe: describe::<O>,
        plan: plan::<O>,
        run: run::<O>,
        free,
    }
}

unsafe extern "C" fn describe<O: Operation>(reply: *mut Reply) {
    let answer = guarded(|| Ok((json(&O::describe())?, Vec::new())));
    // SAFETY: the host passes a reply to write to.
    unsafe { reply.write(answer) };
}

unsafe extern "C" fn plan<O: Operation>(
    args: Bytes,
    call: Bytes,
    head: Bytes,
    host: *const HostCalls,
    reply: *mut Reply,
) {
    let answer = guarded(|| {
        // SAFETY: the host keeps the three readable during the call.
        let (args, call, head) = unsafe { (args.as_slice(), call.as_slice(), head.as_slice()) };
        let mut call = parse_call(call)?;
        call.header.head = head.to_vec();
        // SAFETY: the host passes its calls, readable during the call.
        let host = ForeignHost(unsafe { &*host });
        let plan = O::plan(&arguments::parse(args)?, &call.header, &host)?;
        Ok((json(&plan)?, Vec::new()))
    });
    // SAFETY: the host passes a reply to write to.
    unsafe { reply.write(answer) };
}

unsafe extern "C" fn run<O: Operation>(
    args: Bytes,
    call: Bytes,
    images: *const RawImage,
    count: usize,
    host: *const HostCalls,
    reply: *mut Reply,
) {
    let answer = guarded(|| {
        // SAFETY: the host keeps the bytes readable during the call.
        let (args, call) = unsafe { (args.as_slice(), call.as_slice()) };
        let args = arguments::parse(args)?;
        let call = parse_call(call)?;
        // SAFETY: the host passes `count` images, at least one, readable during the call.
        let raw = unsafe { std::slice::from_raw_parts(images, count) };
        // SAFETY: the host passes its calls, readable during the call.
        let host = ForeignHost(unsafe { &*host });
        let frames =
            raw.iter().filter(|image| image.format != ENCODED).map(borrow).collect::<Result<Vec<_>, _>>()?;
        let input = match (frames.as_slice(), call.frames) {
            ([], _) => {
                let first = raw.first().ok_or_else(|| Error::failed("the host gave no source"))?;
                // SAFETY: the host keeps the image's bytes readable during the call.
                Input::Encoded(unsafe { first.bytes.as_slice() })
            }
            (frames, true) => Input::Frames { frames, window: call.window },
            ([(image, _), ..], false) => {
                Input::Pixels { image: Pixels::Borrowed(*image), window: call.window }
            }
        };
        let output = O::run(&args, Source { header: &call.header, input }, &host)?;
        Ok((Vec::new(), products(output)))
    });
    // SAFETY: the host passes a reply to write to.
    unsafe { reply.write(answer) };
}

unsafe extern "C" fn free(owner: *mut c_void) {
    if !owner.is_null() {
        // SAFETY: `owner` came from `Box::into_raw` in `Owner::reply`, and the host frees a reply once.
        drop(unsafe { Box::from_raw(owner.cast::<Owner>()) });
    }
}

/// A result's bytes, as [`products`] takes them out of an [`Output`].
struct Produced {
    data: Vec<u8>,
    width: u32,
    height: u32,
    format: u32,
    delay_ms: u32,
}

/// What a reply points into.
struct Owner {
    json: Vec<u8>,
    _products: Vec<Produced>,
    images: Vec<RawImage>,
}

impl Owner {
    fn reply(status: u32, json: Vec<u8>, products: Vec<Produced>) -> Reply {
        let images = products
            .iter()
            .map(|product| RawImage {
                bytes: Bytes::new(&product.data),
                width: product.width,
                height: product.height,
                format: product.format,
                delay_ms: product.delay_ms,
            })
            .collect();
        // Moving the vectors into the box leaves their contents where the images point.
        let owner = Box::new(Self { json, _products: products, images });
        Reply {
            status,
            json: Bytes::new(&owner.json),
            images: owner.images.as_ptr(),
            image_count: owner.images.len(),
            owner: Box::into_raw(owner).cast(),
        }
    }
}

fn guarded(work: impl FnOnce() -> Result<(Vec<u8>, Vec<Produced>), Error>) -> Reply {
    let (status, text) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok((json, products))) => return Owner::reply(DONE, json, products),
        Ok(Err(error)) => (REFUSED, json(&error)),
        Err(payload) => (PANICKED, json(&panic_text(payload.as_ref()))),
    };
    Owner::reply(status, text.unwrap_or_default(), Vec::new())
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".to_owned())
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::failed(format!("cannot write the answer as JSON: {error}")))
}

fn parse_call(json: &[u8]) -> Result<Call, Error> {
    serde_json::from_slice(json)
        .map_err(|error| Error::failed(format!("the host's call is not readable: {error}")))
}

fn borrow(raw: &RawImage) -> Result<(ImageRef<'_>, u32), Error> {
    let format = format_of(raw.format)
        .ok_or_else(|| Error::failed(format!("the host gave pixels of unknown format {}", raw.format)))?;
    // SAFETY: the host keeps the image's bytes readable during the call.
    let data = unsafe { raw.bytes.as_slice() };
    Ok((ImageRef::new(raw.width, raw.height, format, data)?, raw.delay_ms))
}

fn products(output: Output) -> Vec<Produced> {
    let pixels = |image: Image, delay_ms| Produced {
        width: image.width(),
        height: image.height(),
        format: format_code(image.format()),
        data: image.into_data(),
        delay_ms,
    };
    match output {
        Output::Pixels(image) => vec![pixels(image, 0)],
        Output::Frames(frames) => {
            frames.into_iter().map(|Frame { image, delay_ms }| pixels(image, delay_ms)).collect()
        }
        Output::Encoded(data) => vec![Produced { data, width: 0, height: 0, format: ENCODED, delay_ms: 0 }],
    }
}

struct ForeignHost<'a>(&'a HostCalls);

impl Host for ForeignHost<'_> {
    fn log(&self, level: Level, message: &str) {
        // SAFETY: the host's own function with the host's own context, both valid during the call.
        unsafe { (self.0.log)(self.0.context, level as u32, Bytes::new(message.as_bytes())) };
    }

    fn progress(&self, done: f32) -> Flow {
        // SAFETY: as for `log`.
        match unsafe { (self.0.progress)(self.0.context, done) } {
            0 => Flow::Continue,
            _ => Flow::Cancelled,
        }
    }

    fn random(&self) -> u64 {
        // SAFETY: as for `log`.
        unsafe { (self.0.random)(self.0.context) }
    }

    fn config(&self) -> &str {
        // SAFETY: as for `log`; the host keeps the text readable during the call.
        let text = unsafe { (self.0.config)(self.0.context).as_slice() };
        std::str::from_utf8(text).unwrap_or("{}")
    }
}
