//! Reading a WebP's pictures. image-webp decodes each, and libwebp what there is of one that is damaged; putting an animation's on
//! the canvas is done here, because image-webp 0.2 forgets to clear what a frame asks to be cleared.

use std::io::Cursor;

use image_webp::WebPDecoder;
use imgserve_sdk::{Image, PixelFormat};

use super::chunk::{chunk, malformed, next};
use super::{libwebp, lossless_size, lossy_size};
use crate::bounds::Bounds;
use crate::canvas::{Area, Canvas};
use crate::codec::{self, DecodedFrame, Loops};
use crate::color;
use crate::damage;
use crate::error::CodecError;
use crate::header::Header;

/// What is said of a file that ends before its picture does.
const CUT_OFF: &str = "the file is cut off";

/// The pictures of a still or an animation.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    icc: Option<&'a [u8]>,
    /// Why its colours are not in sRGB.
    unconverted: Option<String>,
    size: (u32, u32),
    bounds: Bounds,
    course: Course,
    damage: Option<String>,
    /// Whether nothing more is shown.
    over: bool,
}

enum Course {
    Still {
        done: bool,
    },
    Animation {
        canvas: Canvas,
        /// What the last frame wants cleared.
        clear: Option<Area>,
        /// Where the next chunk begins.
        at: usize,
        shown: u32,
        loops: Loops,
    },
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &Header, bounds: &Bounds) -> Result<Self, CodecError> {
        let animated =
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0);
        let (width, height) = header.coded_size();
        let course = match find(bytes, b"ANIM") {
            Some(&[_, _, _, _, low, high, ..]) if animated => Course::Animation {
                canvas: Canvas::new(width, height),
                clear: None,
                at: 12,
                shown: 0,
                loops: match u16::from_le_bytes([low, high]) {
                    0 => Loops::Forever,
                    times => Loops::Times(u32::from(times)),
                },
            },
            _ => Course::Still { done: false },
        };
        let (icc, size) = (find(bytes, b"ICCP"), header.coded_size());
        Ok(Self { bytes, icc, unconverted: None, size, bounds: *bounds, course, damage: None, over: false })
    }

    /// Pictures shown so far.
    fn shown(&self) -> u32 {
        match self.course {
            Course::Still { .. } => 0,
            Course::Animation { shown, .. } => shown,
        }
    }
}

impl codec::Frames for Frames<'_> {
    /// The next picture. Of a damaged animation, those before the damage are shown, and more of it only if it is repaired.
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        if self.over {
            return Ok(None);
        }
        let shown = self.shown();
        let (image, delay_ms) = match self.next_picture() {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(None),
            Err(CodecError::Malformed { text, .. }) if shown > 0 => {
                self.damage.get_or_insert(format!("frame {}: {text}; it ends before that", shown + 1));
                self.over = true;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let icc = self.icc.filter(|_| !self.bounds.keep_colors);
        let (image, unconverted) = color::to_srgb(image, icc);
        self.unconverted = unconverted;
        Ok(Some(DecodedFrame { image, delay_ms }))
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }

    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn loops(&self) -> Loops {
        match self.course {
            Course::Still { .. } => Loops::Times(1),
            Course::Animation { loops, .. } => loops,
        }
    }
}

impl Frames<'_> {
    /// With how long it is shown.
    fn next_picture(&mut self) -> Result<Option<(Image, u32)>, CodecError> {
        match &mut self.course {
            Course::Still { done: true } => Ok(None),
            Course::Still { done } => {
                *done = true;
                let chunks = self.bytes.get(12..).unwrap_or_default();
                let Picture { mut image, rows, wrong } =
                    decode(&Coded::find(chunks)?, self.size, self.bounds.repair)?;
                let (width, height) = (self.size.0 as usize, self.size.1 as usize);
                damage::gray(&mut image, 0, rows, width, height - rows);
                self.damage = wrong;
                Ok(Some((image, 0)))
            }
            Course::Animation { canvas, clear, at, shown, .. } => {
                let Some(frame) = Frame::next(self.bytes, at, self.bounds.repair)? else {
                    return if *shown == 0 { Err(malformed("no frame")) } else { Ok(None) };
                };
                self.bounds.check_size(frame.size.0, frame.size.1)?;
                let part = frame.part(canvas)?;
                let Picture { mut image, mut rows, wrong } =
                    decode(&Coded::find(frame.chunks)?, frame.size, self.bounds.repair)?;
                if let Some(part) = clear.take() {
                    canvas.clear(part);
                }
                if let Some(wrong) = wrong {
                    self.damage.get_or_insert(format!("frame {}: {wrong}", *shown + 1));
                    // What is missing of a later frame is as the one before left it.
                    if *shown == 0 {
                        let (width, height) = (frame.size.0 as usize, frame.size.1 as usize);
                        damage::gray(&mut image, 0, rows, width, height - rows);
                        rows = height;
                    }
                }
                draw(canvas, part, &image, rows, frame.blend);
                *clear = frame.dispose.then_some(part);
                *shown += 1;
                Ok(Some((canvas.image(), frame.delay_ms)))
            }
        }
    }
}

/// The picture of a file that is a still of this size, in its own colours: `Rgb8` or `Rgba8`.
pub(in super::super) fn still(bytes: &[u8], size: (u32, u32)) -> Result<Image, CodecError> {
    let coded = Coded::find(bytes.get(12..).unwrap_or_default())?;
    Ok(decode(&coded, size, false)?.image)
}

/// The first whole chunk of this name at the file's top level.
pub(super) fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut at = 12;
    loop {
        let (name, size, data) = chunk(bytes, at)?;
        if name == wanted && data.len() == size {
            return Some(data);
        }
        at = next(at, size);
    }
}

/// One ANMF chunk (RFC 9649, section 2.7.1.1).
struct Frame<'a> {
    left: u32,
    top: u32,
    size: (u32, u32),
    delay_ms: u32,
    blend: bool,
    dispose: bool,
    chunks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The next one from `at` on, which is moved behind it; of one that is cut off what there is, if it is repaired.
    fn next(bytes: &'a [u8], at: &mut usize, repair: bool) -> Result<Option<Self>, CodecError> {
        while let Some((name, size, data)) = chunk(bytes, *at) {
            *at = next(*at, size);
            if name != b"ANMF" {
                continue;
            }
            let (head, chunks) =
                data.split_first_chunk::<16>().ok_or_else(|| malformed("a frame without header"))?;
            if data.len() < size && !repair {
                return Err(malformed(CUT_OFF));
            }
            let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]);
            return Ok(Some(Self {
                left: 2 * number(0),
                top: 2 * number(3),
                size: (number(6) + 1, number(9) + 1),
                delay_ms: number(12),
                blend: head[15] & 2 == 0,
                dispose: head[15] & 1 != 0,
                chunks,
            }));
        }
        Ok(None)
    }

    fn part(&self, canvas: &Canvas) -> Result<Area, CodecError> {
        let part = Area::new(canvas, self.left, self.top, self.size.0, self.size.1);
        let whole = part.size() == (self.size.0 as usize, self.size.1 as usize);
        if whole { Ok(part) } else { Err(malformed("a frame beyond its canvas")) }
    }
}

/// One picture's chunks.
struct Coded<'a> {
    alpha: Option<&'a [u8]>,
    name: &'a [u8; 4],
    /// As much as there is of its data.
    data: &'a [u8],
    /// How much there is to be.
    length: usize,
}

impl<'a> Coded<'a> {
    /// The first picture, with the alpha that stands before it.
    fn find(chunks: &'a [u8]) -> Result<Self, CodecError> {
        let (mut at, mut alpha) = (0, None);
        while let Some((name, length, data)) = chunk(chunks, at) {
            match name {
                b"VP8 " => return Ok(Self { alpha, name, data, length }),
                // A lossless picture carries its own alpha.
                b"VP8L" => return Ok(Self { alpha: None, name, data, length }),
                _ if data.len() < length => return Err(malformed(CUT_OFF)),
                b"ALPH" => alpha = Some(data),
                _ => {}
            }
            at = next(at, length);
        }
        Err(malformed("no picture"))
    }

    fn is_cut_off(&self) -> bool {
        self.data.len() < self.length
    }

    /// As its own header says.
    fn size(&self) -> Option<(u32, u32)> {
        if self.name == b"VP8L" {
            lossless_size(self.data).map(|(size, _)| size)
        } else {
            lossy_size(self.data)
        }
    }

    /// A file of nothing but this picture.
    fn file(&self, (width, height): (u32, u32)) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        if let Some(alpha) = self.alpha {
            let [w0, w1, w2, _] = (width - 1).to_le_bytes();
            let [h0, h1, h2, _] = (height - 1).to_le_bytes();
            append(&mut file, b"VP8X", &[0x10, 0, 0, 0, w0, w1, w2, h0, h1, h2]);
            append(&mut file, b"ALPH", alpha);
        }
        append(&mut file, self.name, self.data);
        let size = file.len() - 8 + self.length.next_multiple_of(2) - self.data.len().next_multiple_of(2);
        file[4..8].copy_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        if self.is_cut_off() {
            // It ends where the picture does, and says how long it was to be.
            file.truncate(file.len() - self.data.len() % 2);
            let at = file.len() - self.data.len() - 4;
            file[at..at + 4].copy_from_slice(&(self.length as u32).to_le_bytes());
        }
        file
    }
}

fn append(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend_from_slice(name);
    // The data was in a chunk before, so its size fits.
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(data);
    file.resize(file.len() + data.len() % 2, 0);
}

/// A picture that was decoded, `Rgb8` or `Rgba8`.
struct Picture {
    image: Image,
    /// Rows that are there, from the top.
    rows: usize,
    /// Why that is not all of them.
    wrong: Option<String>,
}

/// All of the picture, or what there is of it if it is damaged and repaired.
fn decode(coded: &Coded<'_>, size: (u32, u32), repair: bool) -> Result<Picture, CodecError> {
    let file = coded.file(size);
    let whole = if coded.is_cut_off() { Err(malformed(CUT_OFF)) } else { decode_whole(&file, size) };
    match whole {
        Ok(image) => Ok(Picture { image, rows: size.1 as usize, wrong: None }),
        Err(CodecError::Malformed { text, .. }) if repair && coded.size() == Some(size) => {
            let (image, rows) = libwebp::decode_beginning(&file, size)?;
            Ok(Picture { image, rows, wrong: Some(text) })
        }
        Err(error) => Err(error),
    }
}

/// `Rgb8` or `Rgba8`, as the picture is.
fn decode_whole(file: &[u8], size: (u32, u32)) -> Result<Image, CodecError> {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(malformed)?;
    decoder.set_memory_limit(file.len());
    if decoder.dimensions() != size {
        return Err(malformed("a picture of another size than its header says"));
    }
    let bytes = decoder.output_buffer_size().ok_or_else(|| malformed("larger than the address space"))?;
    let mut data = vec![0; bytes];
    decoder.read_image(&mut data).map_err(malformed)?;
    let format = if decoder.has_alpha() { PixelFormat::Rgba8 } else { PixelFormat::Rgb8 };
    Image::new(size.0, size.1, format, data).map_err(malformed)
}

/// As many rows of the picture as there are.
fn draw(canvas: &mut Canvas, part: Area, picture: &Image, rows: usize, blend: bool) {
    let row = picture.width() as usize * picture.format().bytes_per_pixel();
    for (target, row) in canvas.rows(part).zip(picture.data().chunks_exact(row)).take(rows) {
        if picture.format() == PixelFormat::Rgb8 {
            let (row, _) = row.as_chunks::<3>();
            target.iter_mut().zip(row).for_each(|(pixel, &[r, g, b])| *pixel = [r, g, b, 255]);
        } else {
            let (row, _) = row.as_chunks::<4>();
            let put = |below: [u8; 4], above: [u8; 4]| if blend { over(above, below) } else { above };
            target.iter_mut().zip(row).for_each(|(pixel, above)| *pixel = put(*pixel, *above));
        }
    }
}

/// Straight alpha (RFC 9649, section 2.7.1.1, "blending method").
fn over(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    let (top, bottom) = (u32::from(above[3]) * 255, u32::from(below[3]) * (255 - u32::from(above[3])));
    let alpha = top + bottom;
    if alpha == 0 {
        return [0; 4];
    }
    let mix =
        |i: usize| ((u32::from(above[i]) * top + u32::from(below[i]) * bottom + alpha / 2) / alpha) as u8;
    [mix(0), mix(1), mix(2), ((alpha + 127) / 255) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_keeps_straight_alpha() {
        assert_eq!(over([9, 9, 9, 0], [1, 2, 3, 77]), [1, 2, 3, 77]);
        assert_eq!(over([9, 8, 7, 255], [1, 2, 3, 77]), [9, 8, 7, 255]);
        assert_eq!(over([200, 0, 0, 128], [0, 200, 0, 0]), [200, 0, 0, 128]);
        assert_eq!(over([255, 0, 0, 128], [0, 0, 255, 255]), [128, 0, 127, 255]);
        assert_eq!(over([0; 4], [0; 4]), [0; 4]);
    }
}
