//! What a directory says of its picture, checked: what is refused is refused here, by its name, before a pixel is read.

use imgserve_sdk::PixelFormat;

use super::directory::{Directory, Order, Trouble};
use super::pack::Compression;
use crate::bounds::Bounds;
use crate::orientation::Orientation;

/// Most samples of a pixel, of which more than five say nothing that is shown.
const MAX_SAMPLES: u64 = 32;

/// The numbers of the tags (TIFF 6.0, appendix A; the ICC profile's is of ICC.1, annex B.4).
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTES: u16 = 279;
    pub(in super::super) const PLANES: u16 = 284;
    pub(in super::super) const FAX_OPTIONS: u16 = 292;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLORS: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTES: u16 = 325;
    pub(in super::super) const INK_SET: u16 = 332;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const JPEG_FILE: u16 = 513;
    pub(in super::super) const JPEG_FILE_BYTES: u16 = 514;
    pub(in super::super) const LUMA: u16 = 529;
    pub(in super::super) const SUBSAMPLING: u16 = 530;
    pub(in super::super) const BLACK_WHITE: u16 = 532;
    pub(in super::super) const PROFILE: u16 = 34675;
}

/// What the colour samples of a pixel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// L*a*b* under D50; whether a* and b* are signed, as TIFF has them, or offset as in a profile.
    Lab {
        signed: bool,
    },
}

impl Colors {
    /// Samples of a pixel.
    pub(super) fn count(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::Lab { .. } => 3,
            Self::Cmyk => 4,
        }
    }
}

/// What the alpha of a pixel is, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    Straight,
    /// The colours were multiplied by it.
    Multiplied,
}

/// What is done with neighbouring samples before they are packed (TIFF 6.0, section 14; TIFF Technical Note 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Difference,
    FloatDifference,
}

/// The picture, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) order: Order,
    pub(super) size: (u32, u32),
    pub(super) orientation: Orientation,
    /// The size of a strip or tile.
    pub(super) chunk: (u32, u32),
    pub(super) tiled: bool,
    pub(super) compression: Compression,
    /// The highest bit of a byte is the last.
    pub(super) reversed: bool,
    pub(super) predictor: Predictor,
    pub(super) colors: Colors,
    pub(super) alpha: Alpha,
    /// Which of a pixel's samples the alpha is.
    pub(super) alpha_at: usize,
    /// Samples of a pixel in the file.
    pub(super) samples: usize,
    /// Each sample in a plane of its own.
    pub(super) planes: bool,
    pub(super) bits: u32,
    pub(super) float: bool,
    /// Of YCbCr: pixels that share a colour, across and down.
    pub(super) shared: (u32, u32),
}

impl Layout {
    pub(super) fn read(directory: &Directory<'_>, bounds: &Bounds) -> Result<Self, Trouble> {
        let size = (side(directory, tag::WIDTH)?, side(directory, tag::HEIGHT)?);
        bounds.check_size(size.0, size.1).map_err(Trouble::Refused)?;
        let number = |tag, absent: u64| Ok::<u64, Trouble>(directory.number(tag)?.unwrap_or(absent));
        let compression = Compression::read(directory)?;
        // Some writers say nothing but how many bits each of them has.
        let said = directory.numbers(tag::BITS)?.map_or(1, |bits| bits.len().max(1) as u64);
        let samples = number(tag::SAMPLES, said)?;
        if samples == 0 || samples > MAX_SAMPLES {
            return Err(Trouble::unsupported(format!("{samples} samples a pixel, more than {MAX_SAMPLES}")));
        }
        let samples = samples as usize;
        let colors = colors(directory, compression, samples)?;
        let (bits, float) = depth(directory, samples)?;
        let (alpha, alpha_at) = alpha(directory, colors, samples)?;
        let planes = number(tag::PLANES, 1)? == 2 && samples > 1;
        let (tiled, chunk) = chunk(directory, size)?;
        bounds.check_size(chunk.0, chunk.1).map_err(Trouble::Refused)?;
        let layout = Self {
            order: directory.order,
            size,
            orientation: Orientation::from_exif(number(tag::ORIENTATION, 1)? as u32),
            chunk,
            tiled,
            compression,
            reversed: number(tag::FILL_ORDER, 1)? == 2,
            predictor: predictor(number(tag::PREDICTOR, 1)?, compression, float)?,
            colors,
            alpha,
            alpha_at,
            samples,
            planes,
            bits,
            float,
            shared: shared(directory, colors, compression)?,
        };
        layout.check()?;
        Ok(layout)
    }

    /// Refuses combinations that no writer makes, or of which nobody says what they mean.
    fn check(&self) -> Result<(), Trouble> {
        let Self { bits, colors, compression, .. } = *self;
        let refuse = |text: String| Err(Trouble::unsupported(text));
        match colors {
            Colors::Palette if bits > 8 || self.float => refuse(format!("a palette of {bits} bits")),
            Colors::YCbCr if bits != 8 => refuse(format!("YCbCr of {bits} bits")),
            Colors::Lab { .. } if bits != 8 && bits != 16 || self.float => {
                refuse(format!("L*a*b* of {bits} bits"))
            }
            Colors::YCbCr if self.is_shared() && (self.planes || self.predictor != Predictor::None) => {
                refuse("subsampled YCbCr in planes or with a predictor".to_owned())
            }
            _ if compression.is_jpeg() && bits != 8 => refuse(format!("JPEG of {bits} bits")),
            _ if compression == Compression::WebP
                && (bits != 8 || self.planes || !matches!((colors, self.samples), (Colors::Rgb, 3 | 4))) =>
            {
                refuse("WebP of other than RGB and RGBA".to_owned())
            }
            _ if compression.is_fax() && (bits != 1 || self.samples != 1) => {
                refuse("fax coding of more than one bit a pixel".to_owned())
            }
            _ if self.predictor == Predictor::Difference && !matches!(bits, 8 | 16 | 32 | 64) => {
                refuse(format!("a predictor on samples of {bits} bits"))
            }
            _ => Ok(()),
        }
    }

    /// Whether pixels share colours in what is unpacked. What a JPEG has in it is its decoder's.
    pub(super) fn is_shared(&self) -> bool {
        self.shared != (1, 1)
    }

    /// Whether samples are more than bytes can hold. Inks are brought to bytes.
    pub(super) fn is_wide(&self) -> bool {
        self.bits > 8 && self.colors != Colors::Cmyk
    }

    /// Samples of a pixel that are shown.
    pub(super) fn shown(&self) -> usize {
        self.colors.count() + usize::from(self.alpha != Alpha::None)
    }

    /// Which sample of the file is shown as that one.
    pub(super) fn source(&self, shown: usize) -> usize {
        if shown < self.colors.count() { shown } else { self.alpha_at }
    }

    /// What is delivered.
    pub(super) fn pixels(&self) -> PixelFormat {
        match (self.is_wide(), self.alpha, self.colors) {
            (true, ..) => PixelFormat::Rgba16,
            (false, Alpha::None, Colors::WhiteIsZero | Colors::BlackIsZero) => PixelFormat::Gray8,
            (false, Alpha::None, _) => PixelFormat::Rgb8,
            (false, ..) => PixelFormat::Rgba8,
        }
    }

    /// Samples of a pixel within a strip or tile.
    pub(super) fn interleaved(&self) -> usize {
        if self.planes { 1 } else { self.samples }
    }

    /// Bytes of a row of a strip or tile, unpacked.
    pub(super) fn row_bytes(&self) -> usize {
        (self.chunk.0 as usize * self.interleaved() * self.bits as usize).div_ceil(8)
    }

    /// Bytes of `rows` rows as they come out of the compression.
    pub(super) fn packed_bytes(&self, rows: usize) -> usize {
        if !self.is_shared() {
            return self.row_bytes() * rows;
        }
        let (across, down) = self.shared;
        let units = (self.chunk.0.div_ceil(across) as usize) * rows.div_ceil(down as usize);
        units * (across as usize * down as usize + 2)
    }
}

fn side(directory: &Directory<'_>, tag: u16) -> Result<u32, Trouble> {
    let side = directory.number(tag)?.and_then(|side| u32::try_from(side).ok());
    match side {
        Some(side @ 1..) => Ok(side),
        _ => Err(Trouble::malformed("a picture without area")),
    }
}

fn colors(directory: &Directory<'_>, compression: Compression, samples: usize) -> Result<Colors, Trouble> {
    // As libtiff guesses it for files that do not say.
    let guess = if samples >= 3 { 2 } else { u64::from(!compression.is_fax()) };
    let colors = match directory.number(tag::PHOTOMETRIC)?.unwrap_or(guess) {
        0 => Colors::WhiteIsZero,
        1 => Colors::BlackIsZero,
        2 => Colors::Rgb,
        3 => Colors::Palette,
        5 if directory.number(tag::INK_SET)?.unwrap_or(1) == 1 => Colors::Cmyk,
        5 => return Err(Trouble::unsupported("inks other than CMYK")),
        // Written by some for a JPEG of one component.
        6 if samples == 1 => Colors::BlackIsZero,
        6 => Colors::YCbCr,
        8 => Colors::Lab { signed: true },
        9 => Colors::Lab { signed: false },
        4 => return Err(Trouble::unsupported("a transparency mask as its first picture")),
        10 => return Err(Trouble::unsupported("ITU L*a*b*")),
        32803 => return Err(Trouble::unsupported("a camera's colour filter array")),
        34892 => return Err(Trouble::unsupported("a camera's linear raw data")),
        32844 | 32845 => return Err(Trouble::unsupported("LogLuv colours")),
        other => return Err(Trouble::unsupported(format!("photometric interpretation {other}"))),
    };
    if samples < colors.count() {
        return Err(Trouble::malformed(format!(
            "{samples} samples a pixel, which are too few for its colours"
        )));
    }
    Ok(colors)
}

/// Bits of a sample, and whether it is a floating-point number.
fn depth(directory: &Directory<'_>, samples: usize) -> Result<(u32, bool), Trouble> {
    let all = directory.numbers(tag::BITS)?.unwrap_or_default();
    let bits = all.first().copied().unwrap_or(1);
    if all.iter().take(samples).any(|&other| other != bits) {
        return Err(Trouble::unsupported("samples of different numbers of bits"));
    }
    let formats = directory.numbers(tag::SAMPLE_FORMAT)?.unwrap_or_default();
    let format = formats.first().copied().unwrap_or(1);
    let float = match format {
        1 | 4 => false,
        // Bytes are never meant to be signed: what says so was written by mistake, and is shown unsigned by everyone.
        2 if bits == 8 => false,
        2 => return Err(Trouble::unsupported("signed samples")),
        3 => true,
        5 | 6 => return Err(Trouble::unsupported("complex numbers as samples")),
        // Of the files that say 0, all are unsigned.
        _ => false,
    };
    match (bits, float) {
        (1..=16 | 24 | 32 | 64, false) | (16 | 24 | 32 | 64, true) => Ok((bits as u32, float)),
        (bits, float) => {
            let kind = if float { "floating-point " } else { "" };
            Err(Trouble::unsupported(format!("{kind}samples of {bits} bits")))
        }
    }
}

fn alpha(directory: &Directory<'_>, colors: Colors, samples: usize) -> Result<(Alpha, usize), Trouble> {
    let first = colors.count();
    let extra = directory.numbers(tag::EXTRA_SAMPLES)?.unwrap_or_default();
    if samples == first {
        return Ok((Alpha::None, 0));
    }
    // What the first extra sample is: 0 is unspecified, which nobody shows; nothing is said by old writers of alpha.
    let alpha = match extra.first() {
        Some(0) => Alpha::None,
        Some(1) => Alpha::Multiplied,
        None if samples > first + 1 || colors == Colors::Cmyk => Alpha::None,
        _ => Alpha::Straight,
    };
    Ok((alpha, first))
}

fn chunk(directory: &Directory<'_>, (width, height): (u32, u32)) -> Result<(bool, (u32, u32)), Trouble> {
    if directory.number(tag::TILE_WIDTH)?.is_some() {
        return Ok((true, (side(directory, tag::TILE_WIDTH)?, side(directory, tag::TILE_HEIGHT)?)));
    }
    let rows = directory.number(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
    Ok((false, (width, u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, height))))
}

fn predictor(value: u64, compression: Compression, float: bool) -> Result<Predictor, Trouble> {
    match value {
        // libtiff looks for it in these only; others have it by mistake.
        _ if !compression.is_predicted() => Ok(Predictor::None),
        2 => Ok(Predictor::Difference),
        3 if float => Ok(Predictor::FloatDifference),
        3 => Err(Trouble::unsupported("a floating-point predictor on whole numbers")),
        _ => Ok(Predictor::None),
    }
}

fn shared(
    directory: &Directory<'_>,
    colors: Colors,
    compression: Compression,
) -> Result<(u32, u32), Trouble> {
    if colors != Colors::YCbCr || compression.is_jpeg() {
        return Ok((1, 1));
    }
    let factors = directory.numbers(tag::SUBSAMPLING)?.unwrap_or_default();
    match factors.as_slice() {
        [] => Ok((2, 2)),
        [across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..] => Ok((*across as u32, *down as u32)),
        _ => Err(Trouble::malformed("impossible subsampling")),
    }
}
