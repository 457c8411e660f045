//! Write a codec: what reads, and perhaps writes, files of formats that imgserve has no codec of its own for. One trait, four
//! functions.
//!
//! A complete codec, of a format with nothing but gray squares:
//!
//! ```
//! use imgserve_sdk::codec::{Codec, Decoded, Description, Error, Format, Header};
//! use imgserve_sdk::{Image, PixelFormat};
//!
//! struct Squares;
//!
//! impl Codec for Squares {
//!     fn describe() -> Description {
//!         Description::new("squares", env!("CARGO_PKG_VERSION"), "Reads gray squares.")
//!             .format(Format::new("square", "image/x-square", "sq").magic(0, b"SQUARE"))
//!     }
//!
//!     fn probe(_: &str, bytes: &[u8], _: bool) -> Result<Option<Header>, Error> {
//!         // Behind the magic its side, of which there is none longer than a byte can say.
//!         Ok(bytes.get(6).map(|side| Header::new((*side).into(), (*side).into(), PixelFormat::Gray8)))
//!     }
//!
//!     fn decode(_: &str, bytes: &[u8]) -> Result<Decoded, Error> {
//!         let (Some(side), Some(pixels)) = (bytes.get(6), bytes.get(7..)) else {
//!             return Err(Error::malformed("it ends within its header"));
//!         };
//!         let side = u32::from(*side);
//!         let image = Image::new(side, side, PixelFormat::Gray8, pixels.to_vec());
//!         Ok(Decoded::still(image.map_err(Error::malformed)?))
//!     }
//! }
//!
//! imgserve_sdk::export_codec!(Squares);
//!
//! # fn main() {
//! // A test of it, without a server.
//! use imgserve_sdk::testing;
//! let image = testing::decode::<Squares>(b"SQUARE\x02\x00\x40\x80\xFF").unwrap().frames.remove(0).image;
//! assert_eq!((image.width(), image.data()), (2, &[0, 0x40, 0x80, 0xFF][..]));
//! assert!(testing::decode::<Squares>(b"SQUARE\x02\x00").unwrap_err().to_string().ends_with("takes 4 bytes, got 1"));
//! # }
//! ```
//!
//! `imgserve plugin new NAME --codec` makes a crate like this, `imgserve plugin build` makes a WebAssembly component of it, and
//! three lines of TOML register it: `[codecs.NAME]`, `kind = "wasm"`, `path = "…/NAME.wasm"`. A codec is never a shared library:
//! what reads a stranger's files belongs into the sandbox.

use serde::{Deserialize, Serialize};

use crate::{Frame, Image, PixelFormat};

/// What reads, and perhaps writes, files of formats that it names. `format` is always the name of one of them.
pub trait Codec: 'static {
    /// What the codec is and reads. Called once, when it is registered.
    fn describe() -> Description;

    /// What a file holds, by its first bytes, or by all of them where it is `complete`; `None` when they do not suffice. Called
    /// before a client is answered, so it must be quick and must not need a pixel. The more bytes there are, the more is known,
    /// and never something else.
    ///
    /// # Errors
    /// What is wrong with the file.
    fn probe(format: &str, bytes: &[u8], complete: bool) -> Result<Option<Header>, Error>;

    /// The pixels of a file that [`probe`](Self::probe) gave a header of: as many frames, and of the size and pixel format, that it
    /// said.
    ///
    /// # Errors
    /// What is wrong with the file.
    fn decode(format: &str, bytes: &[u8]) -> Result<Decoded, Error>;

    /// A file of this picture, in one of the pixel formats of [`Written`]; called only of a format that has it. `quality` is 1
    /// (smallest) to 100 (best).
    ///
    /// # Errors
    /// Why it cannot be written.
    fn encode(format: &str, _image: &Image, _quality: u8) -> Result<Vec<u8>, Error> {
        Err(Error::unsupported(format!("{format} is only read")))
    }
}

/// What [`Codec::describe`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The codec's own name.
    pub name: String,
    /// Its version, usually `env!("CARGO_PKG_VERSION")`.
    pub version: String,
    /// One sentence for a person.
    pub summary: String,
    /// The formats that it reads, at least one.
    pub formats: Vec<Format>,
}

impl Description {
    /// A description without any format yet.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        let [name, version, summary] = [name, version, summary].map(str::to_owned);
        Self { name, version, summary, formats: Vec::new() }
    }

    /// Adds a format.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.formats.push(format);
        self
    }
}

/// A file format. Nothing of it may be that of a format which imgserve has a codec for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Its name in requests, in JSON and in texts: lowercase letters and digits, such as `heic`.
    pub name: String,
    /// Its media types, the registered one first.
    pub media_types: Vec<String>,
    /// The file name extensions in use, lowercase, without a dot, the usual one first.
    pub extensions: Vec<String>,
    /// How its files begin: as one of these says.
    pub magic: Vec<Magic>,
    /// What can be written of it; `None` for a format that is only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

impl Format {
    /// A format that is only read, of one media type and extension. The fields are public: change what differs.
    pub fn new(name: &str, media_type: &str, extension: &str) -> Self {
        Self {
            name: name.to_owned(),
            media_types: vec![media_type.to_owned()],
            extensions: vec![extension.to_owned()],
            magic: Vec::new(),
            written: None,
        }
    }

    /// Adds a way in which its files begin.
    #[must_use]
    pub fn magic(mut self, offset: u32, bytes: &[u8]) -> Self {
        self.magic.push(Magic { offset, bytes: bytes.to_vec() });
        self
    }
}

/// Bytes that stand somewhere in the beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Magic {
    /// How many bytes stand before them, at most 256.
    pub offset: u32,
    /// The bytes, 2 to 64.
    pub bytes: Vec<u8>,
}

/// What can be written of a format: still pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The pixel formats that [`Codec::encode`] takes, at least one. The host converts to the first that loses nothing, else to
    /// the last.
    pub pixels: Vec<PixelFormat>,
    /// Whether pixels are not kept exactly: there is a choice of quality.
    pub lossy: bool,
    /// The longest side in pixels.
    pub max_side: u32,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels as the picture lies in the file, at least 1.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// How the picture has to be turned to be shown, as the EXIF tag of this name says it, 1 to 8; 1 where it lies upright, or
    /// where [`Codec::decode`] turns it.
    pub orientation: u8,
    /// How many frames there are, at least 1.
    pub frames: u32,
    /// The pixel format that [`Codec::decode`] gives.
    pub pixels: PixelFormat,
    /// Memory in bytes that [`Codec::decode`] takes at its peak beside the file and the pixels that it gives; an estimate, by
    /// which the host decides how much runs at once.
    pub peak_bytes: u64,
}

impl Header {
    /// An upright still, which takes no more than itself.
    pub fn new(width: u32, height: u32, pixels: PixelFormat) -> Self {
        Self { width, height, orientation: 1, frames: 1, pixels, peak_bytes: 0 }
    }
}

/// A file's pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The frames, at least one.
    pub frames: Vec<Frame>,
    /// How often an animation is played; 0 for again and again.
    pub loops: u32,
    /// The ICC profile of the pixels' colours; `None` where these are sRGB's.
    pub profile: Option<Vec<u8>>,
}

impl Decoded {
    /// One picture, in sRGB.
    pub fn still(image: Image) -> Self {
        Self { frames: vec![Frame { image, delay_ms: 0 }], loops: 1, profile: None }
    }
}

/// Why a file is not read or written: lowercase, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file breaks its format's rules, or ends early.
    #[error("{0}")]
    Malformed(String),
    /// The file, or the picture that is to be written, is one that this codec cannot do.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    /// The file breaks its format's rules, or ends early.
    pub fn malformed(text: impl std::fmt::Display) -> Self {
        Self::Malformed(text.to_string())
    }

    /// The file, or the picture that is to be written, is one that this codec cannot do.
    pub fn unsupported(text: impl std::fmt::Display) -> Self {
        Self::Unsupported(text.to_string())
    }
}
