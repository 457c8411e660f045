//! The file formats: their names, extensions, media types, and what is written of them. No codec is named here: jobs
//! and the registry speak of formats, only workers of codecs.
//!
//! # Layout
//! - this file: what is known of each format
//! - `sniff`: how each is recognised by its first bytes

mod sniff;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use sniff::{Sniff, sniff};

/// A file format that is read, and perhaps written, here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG: read (baseline and progressive, 8 bit) and written.
    Jpeg,
    /// PNG: read (an APNG as its still picture) and written.
    Png,
    /// GIF: read and written, animations too.
    Gif,
    /// WebP: read and written, animations too.
    WebP,
    /// Windows bitmap: read.
    Bmp,
    /// TIFF: read, its first picture.
    Tiff,
    /// Windows icon: read, its largest picture.
    Ico,
    /// SVG: its size is read; drawing it is an operation's work.
    Svg,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] =
        [Self::Jpeg, Self::Png, Self::Gif, Self::WebP, Self::Bmp, Self::Tiff, Self::Ico, Self::Svg];

    /// The format whose files carry this file name extension (no dot, any case).
    pub fn from_extension(extension: &str) -> Option<Self> {
        let is_it = |format: &Self| format.extensions().iter().any(|e| e.eq_ignore_ascii_case(extension));
        Self::ALL.into_iter().find(is_it)
    }

    /// The format of this name (any case); a file name extension is taken for a name too.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name().eq_ignore_ascii_case(name)).or(Self::from_extension(name))
    }

    /// The format of a media type, in any case and with parameters.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_it = |format: &Self| {
            let known = [&[format.media_type()], format.other_media_types()].concat();
            known.iter().any(|known| known.eq_ignore_ascii_case(essence))
        };
        Self::ALL.into_iter().find(is_it)
    }

    /// The format that a file's first bytes are of.
    pub fn from_content(bytes: &[u8]) -> Option<Self> {
        match sniff(bytes) {
            Sniff::Is(format) => Some(format),
            Sniff::Open | Sniff::Unknown => None,
        }
    }

    /// The name used in JSON, in arguments and in texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Ico => "ico",
            Self::Svg => "svg",
        }
    }

    /// The registered media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Ico => "image/vnd.microsoft.icon",
            Self::Svg => "image/svg+xml",
        }
    }

    /// Media types in use beside the registered one.
    const fn other_media_types(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["image/jpg", "image/pjpeg"],
            Self::Bmp => &["image/x-bmp", "image/x-ms-bmp"],
            Self::Ico => &["image/x-icon"],
            _ => &[],
        }
    }

    /// The file name extensions in use, lowercase, without a dot, the usual one first.
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
            Self::Gif => &["gif"],
            Self::WebP => &["webp"],
            Self::Bmp => &["bmp"],
            Self::Tiff => &["tif", "tiff"],
            Self::Ico => &["ico"],
            Self::Svg => &["svg"],
        }
    }

    /// Whether it is written.
    pub const fn can_encode(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::WebP)
    }

    /// Whether more than the first frame is written.
    pub const fn can_animate(self) -> bool {
        matches!(self, Self::Gif | Self::WebP)
    }

    /// The longest side in pixels that is written: the format's own limit, except for PNG, whose 2³¹−1 is of no use, and
    /// JPEG, of which libjpeg and all browsers read no more than 65500.
    pub const fn max_side(self) -> u32 {
        match self {
            Self::WebP => 16_383,
            Self::Jpeg => 65_500,
            _ => 65_535,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
        assert_eq!(Format::from_extension("svgz"), None);
        assert_eq!(Format::from_media_type("Image/JPG; x=y"), Some(Format::Jpeg));
        assert_eq!(Format::from_media_type("application/octet-stream"), None);
    }
}
