//! An AVIF's pictures: decoded piece by piece, put together, in sRGB. What is damaged of a grid is gray, as is all of a damaged
//! picture: AV1 gives no part of one.

use imgserve_sdk::{Image, PixelFormat};

use super::av1::{Av1, Picture};
use super::file::{Course, File, Layer};
use super::malformed;
use super::meta::Meta;
use super::samples::{Canvas, Matrix};
use super::track::Sample;
use crate::bounds::Bounds;
use crate::codec::{self, DecodedFrame, Loops};
use crate::color::{self, Described};
use crate::damage::GRAY;
use crate::error::CodecError;
use crate::header::Header;

/// What is said of a file that ends before its picture does.
const CUT_OFF: &str = "the file is cut off";

pub(super) struct Frames<'a> {
    file: File<'a>,
    pixels: PixelFormat,
    bounds: Bounds,
    animation: Option<Animation<'a>>,
    shown: u32,
    /// Whether nothing more is shown.
    over: bool,
    damage: Option<String>,
    unconverted: Option<String>,
}

/// Samples and the decoders that remember those before.
struct Animation<'a> {
    color: (Av1, std::vec::IntoIter<Sample<'a>>),
    alpha: Option<(Av1, std::vec::IntoIter<Sample<'a>>)>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &Header, bounds: &Bounds) -> Result<Self, CodecError> {
        let other = || malformed("not the file that was probed");
        let file = File::read(bytes, true)?.ok_or_else(other)?;
        let (crop, pixels) = (file.crop, header.pixels);
        if (crop.width, crop.height) != header.coded_size() || file.pixels() != pixels {
            return Err(other());
        }
        bounds.check_size(file.coded.0, file.coded.1)?;
        bounds.check_frames(file.frames())?;
        let animation = match &file.course {
            Course::Still { .. } => None,
            Course::Animation { color, alpha, .. } => {
                let decoder = || Av1::new(file.coded, 0).map_err(malformed);
                let alpha = alpha.as_ref().map(|alpha| Ok((decoder()?, alpha.samples()?.into_iter())));
                let color = (decoder()?, color.samples()?.into_iter());
                Some(Animation { color, alpha: alpha.transpose()? })
            }
        };
        let (damage, unconverted) = (None, None);
        Ok(Self { file, pixels, bounds: *bounds, animation, shown: 0, over: false, damage, unconverted })
    }

    fn still(&mut self) -> Result<DecodedFrame, CodecError> {
        self.over = true;
        let Course::Still { meta, color, alpha } = &self.file.course else {
            return Err(malformed("no picture"));
        };
        let mut canvas = canvas(&self.file, self.pixels)?;
        let mut wrong = None;
        let mut failed = |error: String| match self.bounds.repair {
            true => {
                wrong.get_or_insert(error);
                Ok(())
            }
            false => Err(malformed(error)),
        };
        let colors = self.file.colors;
        each(meta, color, |picture, place| match picture {
            Ok(picture) => {
                let (matrix, full) = matrix(colors.points, &picture)?;
                check(&picture, self.pixels)?;
                canvas.draw(&picture, place, matrix, full);
                Ok(())
            }
            Err(error) => failed(error),
        })?;
        if let Some(alpha) = alpha {
            each(meta, alpha, |picture, place| match picture {
                Ok(picture) => {
                    canvas.draw_alpha(&picture, place);
                    Ok(())
                }
                Err(error) => failed(error),
            })?;
        }
        self.damage = wrong;
        self.finish(canvas, 0)
    }

    fn next_of_animation(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(Animation { color, alpha }) = &mut self.animation else { return Ok(None) };
        let Some(sample) = color.1.next() else { return Ok(None) };
        let mut canvas = canvas(&self.file, self.pixels)?;
        let size = self.file.coded;
        let picture = decoded(&mut color.0, sample.bytes, sample.whole, size);
        let drawn = picture.and_then(|picture| {
            check(&picture, self.pixels).map_err(|error| error.to_string())?;
            let (matrix, full) =
                matrix(self.file.colors.points, &picture).map_err(|error| error.to_string())?;
            canvas.draw(&picture, (0, 0), matrix, full);
            if let Some((decoder, samples)) = alpha {
                let sample = samples.next().ok_or("a frame without its alpha")?;
                let alpha = decoded(decoder, sample.bytes, sample.whole, size)?;
                canvas.draw_alpha(&alpha, (0, 0));
            }
            Ok(())
        });
        if let Err(error) = drawn {
            if self.shown > 0 || !self.bounds.repair {
                return Err(malformed(error));
            }
            // The first picture is shown as gray, and later ones may refer to it.
            self.damage = Some(error);
            self.over = true;
        }
        self.finish(canvas, sample.delay_ms).map(Some)
    }

    fn finish(&mut self, mut canvas: Canvas, delay_ms: u32) -> Result<DecodedFrame, CodecError> {
        if self.file.premultiplied {
            canvas.divide();
        }
        let (image, unconverted) = self.to_srgb(canvas.image);
        self.unconverted = unconverted;
        self.shown += 1;
        Ok(DecodedFrame { image, delay_ms })
    }

    /// By the profile, else by primaries and transfer, of which those of television (BT.601, BT.709 and BT.2020 for SDR) are shown
    /// as sRGB's, as all who show them do.
    fn to_srgb(&self, image: Image) -> color::Converted<Image> {
        if self.bounds.keep_colors {
            return (image, None);
        }
        if let Some(profile) = self.file.colors.profile {
            return color::to_srgb(image, Some(profile));
        }
        let Some(([primaries, transfer, _], _)) = self.file.colors.points else { return (image, None) };
        let transfer = if matches!(transfer, 1 | 2 | 6 | 14 | 15) { 13 } else { transfer };
        let primaries = if primaries == 2 { 1 } else { primaries };
        let number = |number: u16| u8::try_from(number).unwrap_or(0);
        match Described::of_points(number(primaries), number(transfer), true) {
            Ok(described) => described.apply(image),
            Err(why) => (image, Some(why)),
        }
    }
}

fn canvas(file: &File<'_>, pixels: PixelFormat) -> Result<Canvas, CodecError> {
    let mut blank = [GRAY; 8];
    let opaque = if pixels == PixelFormat::Rgba16 { 6.. } else { 3.. };
    blank[opaque].fill(if pixels.has_alpha() { 0xFF } else { GRAY });
    Canvas::new(file.crop, pixels, blank).ok_or_else(|| malformed("a picture of no size"))
}

/// Decodes a layer's pictures and hands over each, or what is wrong with it, and where it stands.
fn each(
    meta: &Meta<'_>,
    layer: &Layer,
    mut take: impl FnMut(Result<Picture, String>, (u32, u32)) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    // One for all: a decoder's buffers take longer to make than a small picture to decode.
    let mut ready = None;
    for index in 0..layer.items.len() {
        let (bytes, whole) = layer.bytes(meta, index)?;
        let decoder = ready.take().map_or_else(|| Av1::new(layer.tile, layer.operating_point), Ok);
        let picture = decoder.and_then(|mut decoder| {
            let picture = decoded(&mut decoder, &bytes, whole, layer.tile)?;
            ready = Some(decoder.afresh());
            Ok(picture)
        });
        let (column, row) = (index as u32 % layer.columns, index as u32 / layer.columns);
        take(picture, (column * layer.tile.0, row * layer.tile.1))?;
    }
    Ok(())
}

fn decoded(decoder: &mut Av1, bytes: &[u8], whole: bool, size: (u32, u32)) -> Result<Picture, String> {
    if !whole {
        return Err(CUT_OFF.to_owned());
    }
    let picture = decoder.picture(bytes.to_vec())?;
    if (picture.width, picture.height) != size {
        return Err("a picture of another size than its header says".to_owned());
    }
    Ok(picture)
}

/// What a picture's samples mean: by what the file says, else as JPEG has them, in the range that the picture itself tells.
fn matrix(points: Option<([u16; 3], bool)>, picture: &Picture) -> Result<(Matrix, bool), CodecError> {
    let ([primaries, _, matrix], full) = points.unwrap_or(([2; 3], picture.full));
    let matrix = Matrix::of_points(matrix, primaries).map_err(super::unsupported)?;
    Ok((matrix, full))
}

fn check(picture: &Picture, pixels: PixelFormat) -> Result<(), CodecError> {
    if pixels == PixelFormat::Gray8 && !picture.is_gray() {
        return Err(malformed("a picture in colours, where its header says that it has none"));
    }
    Ok(())
}

impl codec::Frames for Frames<'_> {
    /// The next picture. Of a damaged animation, those before the damage are shown.
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        if self.over {
            return Ok(None);
        }
        if self.animation.is_none() {
            return self.still().map(Some);
        }
        match self.next_of_animation() {
            Err(CodecError::Malformed { text, .. }) if self.shown > 0 => {
                self.damage = Some(format!("frame {}: {text}; it ends before that", self.shown + 1));
                self.over = true;
                Ok(None)
            }
            next => next,
        }
    }

    fn loops(&self) -> Loops {
        match self.file.course {
            Course::Animation { forever: true, .. } => Loops::Forever,
            Course::Animation { times, .. } => Loops::Times(times.max(1)),
            Course::Still { .. } => Loops::Times(1),
        }
    }

    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }
}
