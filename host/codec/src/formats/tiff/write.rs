//! Writing a TIFF, of one picture: 8 or 16 bits a sample, gray or RGB, with alpha where any pixel is transparent; in strips, each row as
//! differences and by LZW (TIFF 6.0, sections 13 and 14), which every reader of compressed files knows.

use imgserve_base::format::Format;
use imgserve_sdk::{ImageRef, PixelFormat};
use weezl::BitOrder;

use super::layout::tag;
use crate::convert::{is_gray, is_opaque};
use crate::error::CodecError;

/// A strip's bytes before it is compressed, where a row has no more.
const STRIP_BYTES: usize = 64 << 10;
/// Where the list of fields begins: behind the file's header.
const FIRST: usize = 8;
/// Bytes of a field in the list, and of a value that stands in it.
const FIELD: usize = 12;
const WITHIN: usize = 4;

/// Tags that nothing is read of.
const RESOLUTION_X: u16 = 282;
const RESOLUTION_Y: u16 = 283;
const RESOLUTION_UNIT: u16 = 296;

/// Which of a pixel's samples are written.
struct Samples {
    channels: &'static [usize],
    /// Two bytes each, the lower one first.
    wide: bool,
    /// Bytes of a pixel as it is given.
    given: usize,
}

impl Samples {
    fn as_given(image: ImageRef<'_>) -> Self {
        let channels: &[usize] = match image.format() {
            PixelFormat::Gray8 => &[0],
            PixelFormat::Rgb8 => &[0, 1, 2],
            PixelFormat::Rgba8 | PixelFormat::Rgba16 => &[0, 1, 2, 3],
        };
        Self {
            channels,
            wide: image.format() == PixelFormat::Rgba16,
            given: image.format().bytes_per_pixel(),
        }
    }

    fn of(image: ImageRef<'_>) -> Self {
        let channels: &[usize] = match (image.format(), is_gray(image), is_opaque(image)) {
            (PixelFormat::Gray8, ..) | (_, true, true) => &[0],
            (_, true, false) => &[0, 3],
            (_, false, true) => &[0, 1, 2],
            (_, false, false) => &[0, 1, 2, 3],
        };
        Self { channels, ..Self::as_given(image) }
    }

    fn bytes(&self) -> usize {
        self.channels.len() * if self.wide { 2 } else { 1 }
    }

    fn alpha(&self) -> bool {
        self.channels.contains(&3)
    }

    fn sample(&self, pixel: &[u8], channel: usize) -> u16 {
        match self.wide {
            true => u16::from_le_bytes([pixel[2 * channel], pixel[2 * channel + 1]]),
            false => u16::from(pixel[channel]),
        }
    }

    /// Some rows, each sample as what it has more than the one before it.
    fn differences(&self, rows: &[u8], width: usize) -> Vec<u8> {
        let row = width * self.given;
        let mut differences = Vec::with_capacity(rows.len() / self.given * self.bytes());
        for row in rows.chunks_exact(row) {
            let mut before = [0_u16; 4];
            for pixel in row.chunks_exact(self.given) {
                for (before, &channel) in before.iter_mut().zip(self.channels) {
                    let sample = self.sample(pixel, channel);
                    let [low, high] = sample.wrapping_sub(*before).to_le_bytes();
                    differences.push(low);
                    if self.wide {
                        differences.push(high);
                    }
                    *before = sample;
                }
            }
        }
        differences
    }
}

/// A field of the list.
struct Field {
    tag: u16,
    kind: u16,
    count: usize,
    value: Vec<u8>,
}

impl Field {
    fn shorts(tag: u16, values: &[u16]) -> Self {
        let value = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { tag, kind: 3, count: values.len(), value }
    }

    fn longs(tag: u16, values: &[u32]) -> Self {
        let value = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { tag, kind: 4, count: values.len(), value }
    }

    /// A whole number as a fraction.
    fn fraction(tag: u16, value: u32) -> Self {
        Self { kind: 5, count: 1, ..Self::longs(tag, &[value, 1]) }
    }
}

/// The file; `as_given`: with all channels of the picture, whatever is in them.
pub(super) fn encode(image: ImageRef<'_>, as_given: bool) -> Result<Vec<u8>, CodecError> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples = if as_given { Samples::as_given(image) } else { Samples::of(image) };
    let rows = (STRIP_BYTES / (width * samples.bytes())).clamp(1, height);
    let packed = image.data().chunks(rows * width * samples.given).map(|rows| {
        let mut encoder = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8);
        encoder.encode(&samples.differences(rows, width)).map_err(failed)
    });
    let strips = packed.collect::<Result<Vec<_>, _>>()?;
    let fields = fields(image, &samples, rows, &strips)?;
    Ok(assemble(fields, &strips))
}

/// What is said of the picture, in the order of the tags, which is prescribed.
fn fields(
    image: ImageRef<'_>,
    samples: &Samples,
    rows: usize,
    strips: &[Vec<u8>],
) -> Result<Vec<Field>, CodecError> {
    let (count, color) = (samples.channels.len(), samples.channels.len() > 2);
    let bits = if samples.wide { 16 } else { 8 };
    let lengths: Vec<u32> = strips.iter().map(|strip| long(strip.len())).collect::<Result<_, _>>()?;
    let mut fields = vec![
        Field::longs(tag::WIDTH, &[image.width()]),
        Field::longs(tag::HEIGHT, &[image.height()]),
        Field::shorts(tag::BITS, &vec![bits; count]),
        // LZW.
        Field::shorts(tag::COMPRESSION, &[5]),
        // RGB, or gray of which 0 is black.
        Field::shorts(tag::PHOTOMETRIC, &[if color { 2 } else { 1 }]),
        Field::longs(tag::STRIP_OFFSETS, &vec![0; strips.len()]),
        Field::shorts(tag::SAMPLES, &[count as u16]),
        Field::longs(tag::ROWS_PER_STRIP, &[long(rows)?]),
        Field::longs(tag::STRIP_BYTES, &lengths),
        // Required, and nothing is known of it: 72 pixels an inch, as others write it.
        Field::fraction(RESOLUTION_X, 72),
        Field::fraction(RESOLUTION_Y, 72),
        // Channels lie together.
        Field::shorts(tag::PLANES, &[1]),
        Field::shorts(RESOLUTION_UNIT, &[2]),
        // Differences along rows.
        Field::shorts(tag::PREDICTOR, &[2]),
    ];
    if samples.alpha() {
        // By which colours are not multiplied.
        fields.push(Field::shorts(tag::EXTRA_SAMPLES, &[2]));
    }
    let places = offsets(&fields, &lengths)?;
    if let Some(field) = fields.iter_mut().find(|field| field.tag == tag::STRIP_OFFSETS) {
        *field = Field::longs(tag::STRIP_OFFSETS, &places);
    }
    Ok(fields)
}

/// The file with a profile: its list anew behind all else, with one field more, the last by its tag.
pub(super) fn with_profile(mut file: Vec<u8>, profile: &[u8]) -> Result<Vec<u8>, CodecError> {
    let count = match file.get(FIRST..FIRST + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => return Err(failed("it has no list of fields")),
    };
    let fields = file.get(FIRST + 2..FIRST + 2 + FIELD * usize::from(count));
    let fields = fields.ok_or_else(|| failed("its list of fields is cut off"))?.to_vec();
    file.resize(file.len().next_multiple_of(2), 0);
    let place = long(file.len())?;
    file.extend(profile);
    file.resize(file.len().next_multiple_of(2), 0);
    let list = long(file.len())?;
    file.extend((count + 1).to_le_bytes());
    file.extend(fields);
    // Of bytes that nobody but its reader understands.
    file.extend([tag::PROFILE, 7].into_iter().flat_map(u16::to_le_bytes));
    file.extend([long(profile.len())?, place, 0].into_iter().flat_map(u32::to_le_bytes));
    file[4..FIRST].copy_from_slice(&list.to_le_bytes());
    Ok(file)
}

/// Where what stands outside of the list begins.
fn outside(fields: &[Field]) -> usize {
    FIRST + 2 + FIELD * fields.len() + 4
}

/// Bytes of a value outside of the list, which begins at an even place.
fn room(field: &Field) -> usize {
    if field.value.len() > WITHIN { field.value.len().next_multiple_of(2) } else { 0 }
}

/// Where each strip begins.
fn offsets(fields: &[Field], lengths: &[u32]) -> Result<Vec<u32>, CodecError> {
    let mut place = long(outside(fields) + fields.iter().map(room).sum::<usize>())?;
    let next = |length: &u32| {
        let begins = place;
        place = place.checked_add(*length).ok_or_else(|| failed("more than 4 GiB"))?;
        Ok(begins)
    };
    lengths.iter().map(next).collect()
}

fn assemble(fields: Vec<Field>, strips: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"II*\0".to_vec();
    file.extend((FIRST as u32).to_le_bytes());
    file.extend((fields.len() as u16).to_le_bytes());
    let (mut place, mut values) = (outside(&fields), Vec::new());
    for field in fields {
        file.extend(field.tag.to_le_bytes());
        file.extend(field.kind.to_le_bytes());
        file.extend((field.count as u32).to_le_bytes());
        let room = room(&field);
        let mut value = field.value;
        if room == 0 {
            value.resize(WITHIN, 0);
            file.extend(value);
        } else {
            file.extend((place as u32).to_le_bytes());
            place += room;
            value.resize(room, 0);
            values.extend(value);
        }
    }
    // No other picture.
    file.extend([0; 4]);
    file.extend(values);
    strips.iter().for_each(|strip| file.extend(strip));
    file
}

fn long(number: usize) -> Result<u32, CodecError> {
    u32::try_from(number).map_err(|_| failed("more than 4 GiB"))
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Tiff, text)
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::Image;

    use super::*;
    use crate::convert::convert;
    use crate::samples::{decode_one, gradient};

    /// Several strips, of which the last has fewer rows.
    const SIZE: (u32, u32) = (700, 203);

    fn holey(format: PixelFormat, gray: bool) -> Image {
        let mut picture = convert(gradient(SIZE.0, SIZE.1, PixelFormat::Rgb8).as_ref(), format);
        if gray {
            picture = convert(convert(picture.as_ref(), PixelFormat::Gray8).as_ref(), format);
        }
        let bytes = format.bytes_per_pixel();
        let alpha = bytes - bytes / 4;
        picture.data_mut().chunks_exact_mut(bytes).enumerate().for_each(|(at, pixel)| {
            pixel[alpha] = (at * 7) as u8;
        });
        picture
    }

    #[test]
    fn each_kind_of_picture_takes_as_few_channels_as_hold_it_and_comes_back() {
        let gray = gradient(SIZE.0, SIZE.1, PixelFormat::Gray8);
        for (picture, channels) in [
            (gray.clone(), 1),
            (convert(gray.as_ref(), PixelFormat::Rgb8), 1),
            (convert(gray.as_ref(), PixelFormat::Rgba16), 1),
            (gradient(SIZE.0, SIZE.1, PixelFormat::Rgb8), 3),
            (gradient(SIZE.0, SIZE.1, PixelFormat::Rgba8), 3),
            (gradient(SIZE.0, SIZE.1, PixelFormat::Rgba16), 3),
            (holey(PixelFormat::Rgba8, true), 2),
            (holey(PixelFormat::Rgba16, true), 2),
            (holey(PixelFormat::Rgba8, false), 4),
            (holey(PixelFormat::Rgba16, false), 4),
        ] {
            let written = Samples::of(picture.as_ref());
            assert_eq!(written.channels.len(), channels, "{:?}", picture.format());
            let file = encode(picture.as_ref(), false).unwrap();
            let read = convert(decode_one(&file).as_ref(), picture.format());
            assert!(read == picture, "{:?} of {channels} channels", picture.format());
        }
    }

    #[test]
    fn others_read_it() {
        for picture in [holey(PixelFormat::Rgba8, false), holey(PixelFormat::Rgba16, false)] {
            let file = encode(picture.as_ref(), false).unwrap();
            let read = image::load_from_memory_with_format(&file, image::ImageFormat::Tiff).unwrap();
            let data: Vec<u8> = match picture.format() {
                PixelFormat::Rgba8 => read.into_rgba8().into_raw(),
                _ => read.into_rgba16().into_raw().into_iter().flat_map(u16::to_le_bytes).collect(),
            };
            assert!(data == picture.data(), "{:?}", picture.format());
        }
    }
}
