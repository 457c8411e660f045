//! The file formats: their names, extensions, media types, how they begin, and what is written of them. No codec is named
//! here: jobs and the registry speak of formats, only workers of codecs.
//!
//! # Layout
//! - this file: what is asked of a format
//! - `table`: what is known of each, one row a format
//! - `mark`: how their files are recognised by their first bytes
//! - `plugged`: those that come by plugin

mod mark;
mod plugged;
mod table;

use std::fmt;

use mark::Told;
pub use plugged::{Declared, DeclaredWritten, Plugged, declared, put_in_force};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use table::Format;
use table::{NAMES, Pace, Written};

/// What the first bytes of a file tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// They are of this format.
    Is(Format),
    /// Too few bytes to tell.
    Open,
    /// They are of none.
    Unknown,
}

/// Which format `bytes`, the first ones of a file, are of. Plugged ones are asked where it can be none that is built in.
pub fn sniff(bytes: &[u8]) -> Sniff {
    match sniff_builtin(bytes) {
        Sniff::Unknown => told_by(plugged::in_force(), bytes),
        told => told,
    }
}

fn sniff_builtin(bytes: &[u8]) -> Sniff {
    told_by(Format::ALL, bytes)
}

fn told_by(formats: impl IntoIterator<Item = Format>, bytes: &[u8]) -> Sniff {
    let mut told = Sniff::Unknown;
    for format in formats {
        match format.row().mark.told(bytes) {
            Told::Yes => return Sniff::Is(format),
            Told::Open => told = Sniff::Open,
            Told::No => {}
        }
    }
    told
}

impl Format {
    /// All formats that are found, the built-in ones first.
    fn all() -> impl Iterator<Item = Self> {
        // Few are plugged, and none where nobody has configured one.
        Self::ALL.into_iter().chain(plugged::in_force())
    }

    /// The format whose files carry this file name extension (no dot, any case).
    pub fn from_extension(extension: &str) -> Option<Self> {
        let is_it = |format: &Self| format.extensions().iter().any(|e| e.eq_ignore_ascii_case(extension));
        Self::all().find(is_it)
    }

    /// The format of this name (any case); a file name extension is taken for a name too.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|f| f.name().eq_ignore_ascii_case(name)).or(Self::from_extension(name))
    }

    /// Whether this is its name or one of its extensions.
    fn goes_by(self, word: &str) -> bool {
        self.name() == word || self.extensions().contains(&word)
    }

    /// The format of a media type, in any case and with parameters.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_it =
            |format: &Self| format.row().media_types.iter().any(|known| known.eq_ignore_ascii_case(essence));
        Self::all().find(is_it)
    }

    /// The format that a file's first bytes are of.
    pub fn from_content(bytes: &[u8]) -> Option<Self> {
        match sniff(bytes) {
            Sniff::Is(format) => Some(format),
            Sniff::Open | Sniff::Unknown => None,
        }
    }

    /// The formats whose pixels are read.
    pub fn readable() -> impl Iterator<Item = Self> {
        Self::all().filter(|format| format.can_decode())
    }

    /// The formats that are written.
    pub fn written() -> impl Iterator<Item = Self> {
        Self::all().filter(|format| format.can_encode())
    }

    /// The name used in JSON, in arguments and in texts.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The registered media type.
    pub const fn media_type(self) -> &'static str {
        self.row().media_types[0]
    }

    /// The file name extensions in use, lowercase, without a dot, the usual one first.
    pub const fn extensions(self) -> &'static [&'static str] {
        self.row().extensions
    }

    /// Whether its pixels are read, and not only its header for an operation that takes the file.
    pub const fn can_decode(self) -> bool {
        self.row().decoded
    }

    /// Whether it is written.
    pub const fn can_encode(self) -> bool {
        self.row().written.is_some()
    }

    /// Whether more than the first frame is written.
    pub const fn can_animate(self) -> bool {
        matches!(self.row().written, Some(Written { animation: true, .. }))
    }

    /// Whether transparency is written; where not, it is flattened.
    pub const fn keeps_alpha(self) -> bool {
        matches!(self.row().written, Some(Written { alpha: true, .. }))
    }

    /// Whether it is written with a loss, the larger the lower the quality that is asked for.
    pub const fn is_lossy(self) -> bool {
        matches!(self.row().written, Some(Written { lossy: true, .. }))
    }

    /// Whether a source of it gives a result of it, where nobody asks for another one.
    pub const fn follows_source(self) -> bool {
        matches!(self.row().written, Some(Written { follows: true, .. }))
    }

    /// Whether each pixel's exact value can be asked for, as far as its bits (and a GIF's colours) say it.
    pub const fn can_be_lossless(self) -> bool {
        self.pace(true).is_some()
    }

    /// How many bits of each channel are written, 8 or 16; 0 of a format that is only read.
    pub const fn bits(self) -> u8 {
        match &self.row().written {
            Some(written) => written.bits,
            None => 0,
        }
    }

    /// The longest side in pixels that is written; 0 of a format that is only read.
    pub const fn max_side(self) -> u32 {
        match &self.row().written {
            Some(written) => written.max_side,
            None => 0,
        }
    }
}

impl Format {
    /// Bytes a pixel that writing takes at its peak, beside a copy of the picture or two.
    pub const fn encoder_bytes(self, lossless: bool) -> u64 {
        match self.pace(lossless) {
            Some(pace) => pace.bytes,
            None => 0,
        }
    }

    /// Whether a picture of so many pixels, or of whoever knows how many, is written within about half a second.
    pub const fn is_written_soon(self, pixels: Option<u64>, lossless: bool) -> bool {
        match (self.pace(lossless), pixels) {
            (Some(pace), Some(pixels)) => pixels <= pace.soon,
            (Some(pace), None) => pace.soon == u64::MAX,
            (None, _) => false,
        }
    }

    /// What writing takes; none of a format that is not written so.
    const fn pace(self, lossless: bool) -> Option<&'static Pace> {
        match &self.row().written {
            Some(Written { lossy: true, exact, .. }) if lossless => exact.as_ref(),
            Some(written) => Some(&written.pace),
            None => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// By its name alone; of a plugged one, whether it is in force or was.
impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let builtin = Self::ALL.into_iter().find(|format| format.name() == name);
        builtin.or_else(|| plugged::known(&name)).ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions_lead_back_to_their_format() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert_eq!(Format::from_media_type(format.media_type()), Some(format));
            for extension in format.extensions() {
                assert_eq!(Format::from_extension(&extension.to_uppercase()), Some(format));
            }
        }
        assert_eq!(Format::from_name("jpg"), Some(Format::Jpeg));
        assert_eq!(Format::from_extension("svgz"), Some(Format::Svg));
        assert_eq!(Format::from_media_type("Image/JPG; x=y"), Some(Format::Jpeg));
        assert_eq!(Format::from_media_type("application/octet-stream"), None);
    }

    #[test]
    fn no_two_formats_share_a_name_an_extension_or_a_media_type() {
        for format in Format::ALL {
            for other in Format::ALL.into_iter().filter(|other| *other != format) {
                assert!(
                    !other
                        .extensions()
                        .iter()
                        .any(|e| format.extensions().contains(e) || *e == format.name())
                );
                assert!(!other.row().media_types.iter().any(|m| format.row().media_types.contains(m)));
            }
            let json = serde_json::to_value(format).unwrap();
            assert_eq!(json, format.name(), "one name in texts and on the wire");
        }
    }

    #[test]
    fn a_beginning_leaves_the_answer_open() {
        for start in
            [&b""[..], b"\xFF", b"GIF8", b"RIFF\x10\0\0\0WEB", b"<?xml version='1.0'", b"<sv", b"hello"]
        {
            assert_eq!(sniff(start), Sniff::Open, "{start:?}");
        }
        let avif = b"\0\0\0\x14ftypmif1\0\0\0\0avif";
        for end in 0..avif.len() {
            assert_eq!(sniff(&avif[..end]), Sniff::Open, "{end}");
        }
        assert_eq!(sniff(avif), Sniff::Is(Format::Avif));
        assert_eq!(sniff(b"\0\0\0\x14ftypheic\0\0\0\0mif1"), Sniff::Unknown);
        assert_eq!(sniff(b"GIF89a"), Sniff::Is(Format::Gif));
        assert_eq!(sniff(b"<svg>"), Sniff::Is(Format::Svg));
        assert_eq!(sniff(b"hello, and some more text"), Sniff::Unknown);
    }
}
