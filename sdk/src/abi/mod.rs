//! The C ABI of an operation: one table of functions, pointer+length bytes, image descriptors.
//!
//! Builtin operations and shared libraries are called through the same [`Table`]. The table is append-only: a
//! later minor version adds functions at its end and raises `struct_size`; a host reads no further than both
//! sides know. Values without pixels (description, header, plan, error) cross as JSON, so that a field can be
//! added without changing the layout. Each side frees what it allocated; no panic crosses.
//!
//! # Layout
//! - this file: the table's types, shared by both sides
//! - `export`: the plugin's side, [`table`]
//! - `call`: the host's side, [`Plugin`]

mod call;
mod export;

use std::ffi::c_void;

use serde::{Deserialize, Serialize};

use crate::{PixelFormat, SourceHeader, Window};

pub use call::{Plugin, PluginError, Product, Results, RunInput};
pub use export::table;

/// The first bytes of every table.
pub const MAGIC: [u8; 8] = *b"IMGSRVOP";
/// The symbol that a shared library exports: an [`Entry`].
pub const SYMBOL: &str = "imgserve_operation";
/// Versions of different majors do not work together.
pub const ABI_MAJOR: u16 = 1;
/// Raised when functions are appended to the table.
pub const ABI_MINOR: u16 = 0;

/// The table through which a host calls an operation.
#[repr(C)]
#[derive(Debug)]
pub struct Table {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_MAJOR`] of the plugin's sdk.
    pub abi_major: u16,
    /// [`ABI_MINOR`] of the plugin's sdk.
    pub abi_minor: u16,
    /// Size in bytes of the table that the plugin was built with.
    pub struct_size: u32,
    /// Writes a reply whose JSON is a `Description`.
    pub describe: unsafe extern "C" fn(reply: *mut Reply),
    /// From arguments (JSON), call (JSON of `Call`) and the source's first bytes: a reply whose JSON is a `Plan`.
    pub plan: unsafe extern "C" fn(
        args: Bytes,
        call: Bytes,
        head: Bytes,
        host: *const HostCalls,
        reply: *mut Reply,
    ),
    /// From arguments, call and `count` images (or one encoded source): a reply with images.
    pub run: unsafe extern "C" fn(
        args: Bytes,
        call: Bytes,
        images: *const RawImage,
        count: usize,
        host: *const HostCalls,
        reply: *mut Reply,
    ),
    /// Frees what a reply's `owner` points to. Called once for each reply.
    pub free: unsafe extern "C" fn(owner: *mut c_void),
}

/// The function behind [`SYMBOL`]; what it points to stays as it is for as long as the library is loaded.
pub type Entry = unsafe extern "C" fn() -> *const Table;

/// Bytes borrowed for the length of a call (or, in a reply, until it is freed).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// Start; may dangle when `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// An image, or encoded bytes, borrowed like [`Bytes`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawImage {
    /// Packed rows, or the encoded bytes.
    pub bytes: Bytes,
    /// Width in pixels; 0 for encoded bytes.
    pub width: u32,
    /// Height in pixels; 0 for encoded bytes.
    pub height: u32,
    /// 0 encoded bytes, 1 gray8, 2 rgb8, 3 rgba8, 4 rgba16.
    pub format: u32,
    /// How long the frame is shown, in milliseconds; 0 for a still image.
    pub delay_ms: u32,
}

/// What every function answers.
#[repr(C)]
#[derive(Debug)]
pub struct Reply {
    /// 0 done, 1 refused or failed (JSON is an `Error`), 2 panicked (JSON is the message, a string).
    pub status: u32,
    /// The answer's JSON.
    pub json: Bytes,
    /// The answer's images.
    pub images: *const RawImage,
    /// How many images there are.
    pub image_count: usize,
    /// What all the above lies in; given to [`Table::free`].
    pub owner: *mut c_void,
}

/// What a plugin may call while it plans or runs. Append-only like the table.
#[repr(C)]
#[derive(Debug)]
pub struct HostCalls {
    /// Size in bytes of the structure that the host was built with.
    pub struct_size: u32,
    /// Given back to the host with each call.
    pub context: *const c_void,
    /// Logs a UTF-8 line; level 0 debug, 1 info, 2 warn, 3 error.
    pub log: unsafe extern "C" fn(context: *const c_void, level: u32, message: Bytes),
    /// Reports progress from 0 to 1; answers 0 go on, 1 cancelled.
    pub progress: unsafe extern "C" fn(context: *const c_void, done: f32) -> u32,
    /// The next random number.
    pub random: unsafe extern "C" fn(context: *const c_void) -> u64,
    /// The operation's `config`: the JSON of an object, readable during the call of `plan` or `run`.
    pub config: unsafe extern "C" fn(context: *const c_void) -> Bytes,
}

/// The JSON beside the arguments: what is known of the source.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    header: SourceHeader,
    window: Window,
    /// Whether the images are frames of one animation.
    frames: bool,
}

const DONE: u32 = 0;
const REFUSED: u32 = 1;
const PANICKED: u32 = 2;
const ENCODED: u32 = 0;

fn format_code(format: PixelFormat) -> u32 {
    match format {
        PixelFormat::Gray8 => 1,
        PixelFormat::Rgb8 => 2,
        PixelFormat::Rgba8 => 3,
        PixelFormat::Rgba16 => 4,
    }
}

fn format_of(code: u32) -> Option<PixelFormat> {
    PixelFormat::ALL.into_iter().find(|&format| format_code(format) == code)
}

impl Bytes {
    fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes themselves.
    ///
    /// # Safety
    /// `ptr` must be readable for `len` bytes, unchanged for `'a`, unless `len` is 0.
    #[expect(unsafe_code, reason = "bytes cross the C ABI as pointer and length")]
    unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.len == 0 || self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller promises that the pointer is readable and unchanged for 'a.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}
