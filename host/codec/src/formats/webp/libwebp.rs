//! libwebp's encoder behind three safe types, and of its decoder what reads the beginning of a damaged picture, which the decoder in
//! Rust does not give. All the calls into C of the codec layer are in this file.
#![allow(unsafe_code, reason = "libwebp is a C library, and no maintained crate wraps its encoder")]

use std::{ffi::c_int, mem::MaybeUninit, ptr, ptr::NonNull};

use imgserve_base::format::Format;
use imgserve_sdk::{Image, ImageRef, PixelFormat};
use libwebp_sys as sys;

use super::chunk::malformed;

use crate::codec::EncodeOptions;
use crate::error::CodecError;
use crate::quality::setting;

/// libwebp's qualities that look like a JPEG's of ours.
const QUALITY: [(u8, f32); 6] = [(1, 1.0), (40, 49.0), (60, 70.0), (80, 86.5), (90, 96.0), (100, 100.0)];
/// How hard libwebp tries to make a file without loss small, from 0 to 100: its own default.
const LOSSLESS_EFFORT: f32 = 75.0;

/// How to encode.
pub(super) struct Config(sys::WebPConfig);

impl Config {
    /// Lossy at a quality of 1 to 100, or without loss; with libwebp's default effort of 4, or with 2, which takes half the time.
    pub(super) fn new(options: &EncodeOptions) -> Result<Self, CodecError> {
        let preset = sys::WebPPreset::WEBP_PRESET_DEFAULT;
        // Without loss it is one more kind of effort.
        let quality = if options.lossless { LOSSLESS_EFFORT } else { setting(&QUALITY, options.quality) };
        let mut config = sys::WebPConfig::new_with_preset(preset, quality)
            .map_err(|()| failed("the library is of another version than its bindings"))?;
        config.method = if options.thorough { 4 } else { 2 };
        config.lossless = c_int::from(options.lossless);
        // What is clear keeps its colour.
        config.exact = c_int::from(options.lossless);
        Ok(Self(config))
    }
}

/// A still of `image`, which is `Rgb8` or `Rgba8`.
pub(super) fn encode(config: &Config, image: ImageRef<'_>) -> Result<Vec<u8>, CodecError> {
    // Planes have lost something already.
    let samples = if config.0.lossless == 0 { Samples::Planes } else { Samples::Argb };
    let mut picture = Picture::new(image, samples)?;
    let mut output = Output::new();
    picture.0.writer = Some(sys::WebPMemoryWrite);
    picture.0.custom_ptr = ptr::from_mut(&mut output.0).cast();
    // SAFETY: config and picture are initialised; the writer and its state, `output`, live across the call.
    let done = unsafe { sys::WebPEncode(&config.0, &mut picture.0) } != 0;
    if !done {
        return Err(failed(format!("{:?}", picture.0.error_code)));
    }
    Ok(output.bytes().to_vec())
}

/// The picture of a file of this size that is cut off or broken, as `Rgba8`, and how many of its rows there are from the top; the
/// others are nothing.
pub(super) fn decode_beginning(
    file: &[u8],
    (width, height): (u32, u32),
) -> Result<(Image, usize), CodecError> {
    let mut image = Image::zeroed(width, height, PixelFormat::Rgba8).map_err(malformed)?;
    let rows = {
        let pixels = image.data_mut();
        let (mode, stride) = (sys::WEBP_CSP_MODE::MODE_RGBA, (width * 4) as c_int);
        // SAFETY: the decoder writes no more than `len` bytes from the pointer on, and is gone before the pixels are touched.
        let decoder = unsafe { sys::WebPINewRGB(mode, pixels.as_mut_ptr(), pixels.len(), stride) };
        let decoder =
            NonNull::new(decoder).map(Beginning).ok_or_else(|| malformed("no memory for its decoder"))?;
        let mut rows = 0;
        // What it says of the file is known already; the rows that it has written are right.
        // SAFETY: the decoder is alive until drop and reads the file's bytes, which live as long, during this call alone.
        unsafe { sys::WebPIUpdate(decoder.0.as_ptr(), file.as_ptr(), file.len()) };
        // SAFETY: the decoder is alive; it writes how many rows there are, and takes null for what is not asked for.
        unsafe {
            let (decoder, none) = (decoder.0.as_ptr(), ptr::null_mut());
            sys::WebPIDecGetRGB(decoder, &mut rows, none, none, none);
        }
        usize::try_from(rows).unwrap_or(0).min(height as usize)
    };
    Ok((image, rows))
}

/// A decoder that takes a file bit by bit.
struct Beginning(NonNull<sys::WebPIDecoder>);

impl Drop for Beginning {
    fn drop(&mut self) {
        // SAFETY: made by `WebPINewRGB` and deleted only here.
        unsafe { sys::WebPIDelete(self.0.as_ptr()) };
    }
}

/// An animation in the making.
pub(super) struct Animation(NonNull<sys::WebPAnimEncoder>);

impl Animation {
    /// An empty animation that is played `loops` times, 0 for ever. The sides are at most 16383.
    pub(super) fn new((width, height): (u32, u32), loops: u16) -> Result<Self, CodecError> {
        let version = sys::WebPGetMuxABIVersion();
        let mut options = MaybeUninit::<sys::WebPAnimEncoderOptions>::zeroed();
        // SAFETY: the function fills the structure, for which zero is a valid value of every field.
        let known = unsafe { sys::WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), version) } != 0;
        if !known {
            return Err(failed("the library is of another version than its bindings"));
        }
        // SAFETY: initialised just above.
        let mut options = unsafe { options.assume_init() };
        options.anim_params.loop_count = c_int::from(loops);
        // SAFETY: the options are initialised and only read; a refusal is a null pointer.
        let encoder =
            unsafe { sys::WebPAnimEncoderNewInternal(width as c_int, height as c_int, &options, version) };
        NonNull::new(encoder).map(Self).ok_or_else(|| failed("no memory for an animation"))
    }

    /// Adds `image` (`Rgb8` or `Rgba8`, of the animation's size) from `start_ms` on, which never goes back.
    pub(super) fn add(
        &mut self,
        config: &Config,
        image: ImageRef<'_>,
        start_ms: i32,
    ) -> Result<(), CodecError> {
        let mut picture = Picture::new(image, Samples::Argb)?;
        // SAFETY: the encoder is alive until drop; picture and config are initialised and not kept by the library.
        let done =
            unsafe { sys::WebPAnimEncoderAdd(self.0.as_ptr(), &mut picture.0, start_ms, &config.0) } != 0;
        if done { Ok(()) } else { Err(failed(format!("frame refused, {:?}", picture.0.error_code))) }
    }

    /// The file; `end_ms` is when the last frame ends.
    pub(super) fn finish(self, end_ms: i32) -> Result<Vec<u8>, CodecError> {
        let encoder = self.0.as_ptr();
        let mut data = sys::WebPData::default();
        // SAFETY: the encoder is alive until drop. A null frame closes the stream, and null is then allowed for the
        // configuration (mux.h); `data` receives a buffer that is ours to free.
        let done = unsafe {
            sys::WebPAnimEncoderAdd(encoder, ptr::null_mut(), end_ms, ptr::null()) != 0
                && sys::WebPAnimEncoderAssemble(encoder, &mut data) != 0
        };
        if !done || data.bytes.is_null() {
            return Err(failed("the animation cannot be put together"));
        }
        // SAFETY: the library filled `data` with a buffer of this address and size.
        let file = unsafe { std::slice::from_raw_parts(data.bytes, data.size) }.to_vec();
        // SAFETY: `data` came from the library and is not used again.
        unsafe { sys::WebPDataClear(&mut data) };
        Ok(file)
    }
}

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: made by `WebPAnimEncoderNewInternal` and deleted only here.
        unsafe { sys::WebPAnimEncoderDelete(self.0.as_ptr()) };
    }
}

/// Pixels in libwebp's own memory.
struct Picture(sys::WebPPicture);

/// How libwebp keeps them: as planes, which a lossy still is coded from, or as ARGB, which animations require.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Samples {
    Planes,
    Argb,
}

impl Picture {
    fn new(image: ImageRef<'_>, samples: Samples) -> Result<Self, CodecError> {
        let picture = sys::WebPPicture::new();
        let mut picture =
            Self(picture.map_err(|()| failed("the library is of another version than its bindings"))?);
        let max = Format::WebP.max_side();
        if image.width().max(image.height()) > max {
            return Err(failed(format!("a side longer than {max} pixels")));
        }
        picture.0.width = image.width() as c_int;
        picture.0.height = image.height() as c_int;
        picture.0.use_argb = c_int::from(samples == Samples::Argb);
        let stride = (image.width() as usize * image.format().bytes_per_pixel()) as c_int;
        let import = match image.format() {
            PixelFormat::Rgb8 => sys::WebPPictureImportRGB,
            PixelFormat::Rgba8 => sys::WebPPictureImportRGBA,
            PixelFormat::Gray8 | PixelFormat::Rgba16 => return Err(failed("neither rgb8 nor rgba8")),
        };
        // SAFETY: an `ImageRef` holds exactly `height` rows of `stride` bytes, as the function reads for this
        // pixel format; the pixels are copied.
        let done = unsafe { import(&mut picture.0, image.data().as_ptr(), stride) } != 0;
        if done { Ok(picture) } else { Err(failed("no memory for a picture")) }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: initialised by `WebPPicture::new`; freeing one without pixels is allowed, and it is done only here.
        unsafe { sys::WebPPictureFree(&mut self.0) };
    }
}

/// Where libwebp writes to.
struct Output(sys::WebPMemoryWriter);

impl Output {
    fn new() -> Self {
        let mut writer = MaybeUninit::zeroed();
        // SAFETY: the function initialises the structure it is given.
        Self(unsafe {
            sys::WebPMemoryWriterInit(writer.as_mut_ptr());
            writer.assume_init()
        })
    }

    fn bytes(&self) -> &[u8] {
        if self.0.mem.is_null() {
            return &[];
        }
        // SAFETY: the library keeps `size` written bytes at `mem`, and nobody writes while this is borrowed.
        unsafe { std::slice::from_raw_parts(self.0.mem, self.0.size) }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: initialised in `new` and cleared only here.
        unsafe { sys::WebPMemoryWriterClear(&mut self.0) };
    }
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::WebP, text)
}
