//! The table of formats: a format is one row here, and a file and a row in `imgserve-codec`. Everything that is asked of a
//! format without opening it is looked up in its row. That of one that comes by plugin is made in `plugged`.

use super::mark::Mark;
use super::plugged::Plugged;

/// What is known of a format.
pub(super) struct Row {
    /// In JSON, in arguments and in texts.
    pub(super) name: &'static str,
    /// The registered one first, then others in use.
    pub(super) media_types: &'static [&'static str],
    /// Lowercase, without a dot, the usual one first.
    pub(super) extensions: &'static [&'static str],
    /// How its files begin.
    pub(super) mark: Mark,
    /// Whether its pixels are read here.
    pub(super) decoded: bool,
    /// What is kept of a picture in a file that is written here; none for a format that is only read.
    pub(super) written: Option<Written>,
}

/// What is kept of a picture in a file that is written here.
pub(super) struct Written {
    /// The longest side in pixels.
    pub(super) max_side: u32,
    /// More than the first frame.
    pub(super) animation: bool,
    /// Which pixels are transparent.
    pub(super) alpha: bool,
    /// Bits of each channel: 8 or 16.
    pub(super) bits: u8,
    /// Not each pixel's exact value: there is a choice of quality.
    pub(super) lossy: bool,
    /// What it takes to write each pixel's exact value all the same, where that can be chosen.
    pub(super) exact: Option<Pace>,
    /// A source of it gives a result of it, where nobody asks for another one: what browsers show.
    pub(super) follows: bool,
    /// What the encoder does with a picture.
    pub(super) pace: Pace,
}

/// What an encoder takes for a picture.
pub(super) struct Pace {
    /// Bytes a pixel at its peak, beside a copy of the picture or two.
    pub(super) bytes: u64,
    /// As many pixels are written within about half a second, where that is not much.
    pub(super) soon: u64,
}

/// A copy or two suffice, and it is written as soon as it is read.
pub(super) const QUICK: Pace = Pace { bytes: 0, soon: u64::MAX };

/// Makes of the rows the type, the list of all and the table.
macro_rules! formats {
    ($($(#[$doc:meta])+ $format:ident = $name:literal { $($fields:tt)+ })+) => {
        /// A file format that is read, and perhaps written, here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])+ $format,)+
            /// One that came by plugin.
            Plugged(Plugged),
        }

        /// Where in the tables a format stands.
        #[derive(Clone, Copy)]
        enum Place { $($format),+ }

        impl Format {
            /// All formats that are built in.
            pub const ALL: [Self; ROWS.len()] = [$(Self::$format),+];

            /// Where it stands among [`Self::ALL`]; none for one that came by plugin.
            pub const fn place(self) -> Option<usize> {
                match self {
                    $(Self::$format => Some(Place::$format as usize),)+
                    Self::Plugged(_) => None,
                }
            }

            pub(super) const fn row(self) -> &'static Row {
                match self {
                    $(Self::$format => &ROWS[Place::$format as usize],)+
                    Self::Plugged(plugged) => plugged.row(),
                }
            }
        }

        pub(super) const NAMES: [&str; [$($name),+].len()] = [$($name),+];

        static ROWS: [Row; [$($name),+].len()] = [$(Row { name: $name, $($fields)+ }),+];
    };
}

formats! {
    /// JPEG: read (baseline and progressive, 8 bit) and written.
    Jpeg = "jpeg" {
        media_types: &["image/jpeg", "image/jpg", "image/pjpeg"],
        extensions: &["jpg", "jpeg"],
        mark: Mark::Magic(3, |bytes| matches!(bytes, [0xFF, 0xD8, 0xFF, ..])),
        decoded: true,
        // The format could hold 65535; libjpeg and all browsers read no more than this.
        written: Some(Written {
            max_side: 65_500, animation: false, alpha: false, bits: 8, lossy: true, exact: None, follows: true,
            pace: QUICK,
        }),
    }

    /// PNG: read (an APNG as its still picture) and written.
    Png = "png" {
        media_types: &["image/png"],
        extensions: &["png"],
        mark: Mark::Magic(8, |bytes| bytes.starts_with(b"\x89PNG\r\n\x1A\n")),
        decoded: true,
        // The format's own 2³¹−1 is of no use.
        written: Some(Written {
            max_side: 65_535, animation: false, alpha: true, bits: 16, lossy: false, exact: None, follows: true,
            pace: QUICK,
        }),
    }

    /// GIF: read and written, animations too.
    Gif = "gif" {
        media_types: &["image/gif"],
        extensions: &["gif"],
        mark: Mark::Magic(6, |bytes| matches!(bytes, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])),
        decoded: true,
        written: Some(Written {
            max_side: 65_535, animation: true, alpha: true, bits: 8, lossy: false, exact: None, follows: true,
            pace: QUICK,
        }),
    }

    /// WebP: read and written, animations too.
    WebP = "webp" {
        media_types: &["image/webp"],
        extensions: &["webp"],
        mark: Mark::Magic(12, |bytes| {
            matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
        }),
        decoded: true,
        written: Some(Written {
            max_side: 16_383, animation: true, alpha: true, bits: 8, lossy: true, exact: Some(Pace { bytes: 48, soon: 500_000 }), follows: true,
            pace: QUICK,
        }),
    }

    /// AVIF: read, animations too, and written, one picture.
    Avif = "avif" {
        media_types: &["image/avif", "image/avif-sequence"],
        extensions: &["avif", "avifs"],
        mark: Mark::Brand(&[*b"avif", *b"avis"]),
        decoded: true,
        // The longest side of the advanced profile.
        written: Some(Written {
            max_side: 16_384, animation: false, alpha: true, bits: 8, lossy: true, exact: None, follows: true,
            pace: Pace { bytes: 40, soon: 500_000 },
        }),
    }

    /// JPEG XL: read, animations too, and written, one picture.
    Jxl = "jxl" {
        media_types: &["image/jxl"],
        extensions: &["jxl"],
        // A bare codestream, or the first box of a container.
        mark: Mark::Magic(12, |bytes| {
            bytes.starts_with(b"\xFF\x0A") || bytes.starts_with(b"\0\0\0\x0CJXL \r\n\x87\n")
        }),
        decoded: true,
        written: Some(Written {
            max_side: 65_535, animation: false, alpha: true, bits: 16, lossy: true, exact: Some(Pace { bytes: 64, soon: 500_000 }), follows: true,
            pace: Pace { bytes: 32, soon: 2_000_000 },
        }),
    }

    /// Windows bitmap: read and written.
    Bmp = "bmp" {
        media_types: &["image/bmp", "image/x-bmp", "image/x-ms-bmp"],
        extensions: &["bmp"],
        // The header behind the file's own has the length of one that exists: "BM" alone is too common.
        mark: Mark::Magic(18, |bytes| {
            let known = matches!(bytes.get(14), Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124));
            known && matches!(bytes, [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, _, 0, 0, 0, ..])
        }),
        decoded: true,
        // The format's own 2³¹−1 is of no use.
        written: Some(Written {
            max_side: 65_535, animation: false, alpha: true, bits: 8, lossy: false, exact: None, follows: false,
            pace: QUICK,
        }),
    }

    /// TIFF: read, its first picture, and written, one picture.
    Tiff = "tiff" {
        media_types: &["image/tiff"],
        extensions: &["tif", "tiff"],
        // 43 is BigTIFF.
        mark: Mark::Magic(4, |bytes| {
            matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
        }),
        decoded: true,
        written: Some(Written {
            max_side: 65_535, animation: false, alpha: true, bits: 16, lossy: false, exact: None, follows: false,
            pace: QUICK,
        }),
    }

    /// Windows icon: read, its largest picture, and written, one picture in several sizes.
    Ico = "ico" {
        media_types: &["image/vnd.microsoft.icon", "image/x-icon"],
        extensions: &["ico"],
        // Type 1 (icon), and a first entry whose reserved byte is 0, or 255 as .NET writes it.
        mark: Mark::Magic(10, |bytes| matches!(bytes, [0, 0, 1, 0, 1..=255, 0, _, _, _, 0 | 255, ..])),
        decoded: true,
        // What the byte of a side can say.
        written: Some(Written {
            max_side: 256, animation: false, alpha: true, bits: 8, lossy: false, exact: None, follows: false,
            pace: QUICK,
        }),
    }

    /// SVG: its size is read; drawing it is an operation's work.
    Svg = "svg" {
        media_types: &["image/svg+xml"],
        // svgz is the same, compressed.
        extensions: &["svg", "svgz"],
        mark: Mark::Root(b"svg"),
        decoded: false,
        written: None,
    }
}
