//! Files of each kind that is read, made here tag by tag; and what is refused.

use std::collections::BTreeMap;

use imgserve_sdk::PixelFormat::{Gray8, Rgb8, Rgba8, Rgba16};
use imgserve_sdk::{DecodeHint, Image, PixelFormat};
use moxcms::ColorProfile;

use super::layout::tag;
use crate::samples::*;
use crate::{Bounds, CodecError, Decoder, Orientation};

/// A TIFF in the making: tags with their type and values, and strips or tiles.
#[derive(Clone)]
struct File {
    big_endian: bool,
    big: bool,
    tags: BTreeMap<u16, (u16, Vec<u64>)>,
    chunks: Vec<Vec<u8>>,
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// One strip of these bytes.
fn file(size: (u64, u64), bits: u64, photometric: u64, samples: u64, data: &[u8]) -> File {
    let tags = [
        (tag::WIDTH, size.0),
        (tag::HEIGHT, size.1),
        (tag::PHOTOMETRIC, photometric),
        (tag::SAMPLES, samples),
        (tag::ROWS_PER_STRIP, size.1),
    ];
    let tags = tags.into_iter().map(|(tag, value)| (tag, (LONG, vec![value]))).collect();
    let file = File { big_endian: false, big: false, tags, chunks: vec![data.to_vec()] };
    file.with(tag::BITS, &vec![bits; samples as usize])
}

impl File {
    fn with(self, tag: u16, values: &[u64]) -> Self {
        self.typed(tag, SHORT, values)
    }

    fn typed(mut self, tag: u16, kind: u16, values: &[u64]) -> Self {
        self.tags.insert(tag, (kind, values.to_vec()));
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.tags.remove(&tag);
        self
    }

    fn tiles(mut self, width: u64, height: u64, chunks: Vec<Vec<u8>>) -> Self {
        self.tags.remove(&tag::ROWS_PER_STRIP);
        self.chunks = chunks;
        self.with(tag::TILE_WIDTH, &[width]).with(tag::TILE_HEIGHT, &[height])
    }

    fn strips(mut self, rows: u64, chunks: Vec<Vec<u8>>) -> Self {
        self.chunks = chunks;
        self.with(tag::ROWS_PER_STRIP, &[rows])
    }

    fn number(&self, value: u64, bytes: usize) -> Vec<u8> {
        let little = &value.to_le_bytes()[..bytes];
        if self.big_endian { little.iter().rev().copied().collect() } else { little.to_vec() }
    }

    /// First the strips or tiles, then the directory, then the values that do not fit in it.
    fn bytes(&self) -> Vec<u8> {
        let (head, width, counts, entry) = if self.big { (16, 8, 8, 20) } else { (8, 4, 2, 12) };
        let mut offsets = Vec::new();
        let mut data = Vec::new();
        for chunk in &self.chunks {
            offsets.push((head + data.len()) as u64);
            data.extend_from_slice(chunk);
        }
        data.resize(data.len().next_multiple_of(8), 0);
        let mut tags = self.tags.clone();
        let tiled = tags.contains_key(&tag::TILE_WIDTH);
        let (places, lengths) =
            if tiled { (tag::TILE_OFFSETS, tag::TILE_BYTES) } else { (tag::STRIP_OFFSETS, tag::STRIP_BYTES) };
        tags.insert(places, (LONG, offsets));
        let known = self.chunks.iter().map(|chunk| chunk.len() as u64).collect();
        tags.entry(lengths).or_insert((LONG, known));
        let directory = head + data.len();
        let mut values = Vec::new();
        let mut entries = Vec::new();
        let behind = directory + counts + tags.len() * entry + width;
        for (tag, (kind, list)) in &tags {
            let size = match kind {
                1 | 7 => 1,
                3 => 2,
                5 => 8,
                _ => 4,
            };
            let mut raw: Vec<u8> = match kind {
                5 => list
                    .iter()
                    .flat_map(|&value| [self.number(value, 4), self.number(1, 4)].concat())
                    .collect(),
                _ => list.iter().flat_map(|&value| self.number(value, size)).collect(),
            };
            entries.extend(self.number(u64::from(*tag), 2));
            entries.extend(self.number(u64::from(*kind), 2));
            entries.extend(self.number(list.len() as u64, width));
            if raw.len() <= width {
                raw.resize(width, 0);
                entries.extend(raw);
            } else {
                entries.extend(self.number((behind + values.len()) as u64, width));
                values.extend(raw);
            }
        }
        let mark: &[u8] = if self.big_endian { b"MM" } else { b"II" };
        let mut file = mark.to_vec();
        file.extend(self.number(if self.big { 43 } else { 42 }, 2));
        if self.big {
            file.extend(self.number(8, 2));
            file.extend([0, 0]);
        }
        file.extend(self.number(directory as u64, width));
        file.extend(data);
        file.extend(self.number(tags.len() as u64, counts));
        file.extend(entries);
        file.extend(vec![0; width]);
        file.extend(values);
        file
    }

    fn decoded(&self) -> Image {
        decode_one(&self.bytes())
    }

    /// The first pixel of a picture of this format.
    fn shows(&self, format: PixelFormat, pixel: &[u8]) {
        let image = self.decoded();
        assert_eq!(image.format(), format);
        let shown = &image.data()[..pixel.len()];
        let off = shown.iter().zip(pixel).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "{shown:?}, not {pixel:?}");
    }

    fn refused(&self) -> String {
        match header(&self.bytes()) {
            Err(CodecError::Unsupported { text, .. }) => text,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn gray_of_any_number_of_bits_is_read_both_ways_round() {
    file((2, 1), 1, 1, 1, &[0b1000_0000]).shows(Gray8, &[255, 0]);
    file((2, 1), 1, 0, 1, &[0b1000_0000]).shows(Gray8, &[0, 255]);
    file((3, 1), 2, 1, 1, &[0b0001_1000]).shows(Gray8, &[0, 85, 170]);
    file((2, 1), 4, 1, 1, &[0x8F]).shows(Gray8, &[136, 255]);
    file((2, 1), 5, 1, 1, &[0b1111_1000, 0]).shows(Gray8, &[255, 0]);
    file((2, 1), 8, 1, 1, &[7, 9]).shows(Gray8, &[7, 9]);
    file((2, 1), 12, 1, 1, &[0xFF, 0xF8, 0]).shows(Rgba16, &[255, 255, 255, 255, 255, 255, 255, 255, 8, 128]);
    file((1, 1), 16, 0, 1, &[0xFF, 0]).shows(Rgba16, &[0, 255, 0, 255, 0, 255, 255, 255]);
    file((1, 1), 24, 1, 1, &[1, 2, 3]).shows(Rgba16, &[2, 3, 2, 3, 2, 3, 255, 255]);
    file((1, 1), 32, 1, 1, &[0, 0, 2, 3]).shows(Rgba16, &[2, 3, 2, 3, 2, 3, 255, 255]);
    // Without a number of bits it is one; without an interpretation 0 is black.
    file((2, 1), 1, 1, 1, &[0x80]).without(tag::BITS).without(tag::PHOTOMETRIC).shows(Gray8, &[255, 0]);
}

#[test]
fn what_is_wide_is_whole_numbers_unless_it_says_otherwise() {
    let whole = [u32::MAX, 1 << 31, 0].map(u32::to_le_bytes).concat();
    file((1, 1), 32, 2, 3, &whole).shows(Rgba16, &[255, 255, 0, 128, 0, 0, 255, 255]);
    let float = [1.5_f32, 0.5, f32::NAN].map(f32::to_le_bytes).concat();
    let float = file((1, 1), 32, 2, 3, &float).with(tag::SAMPLE_FORMAT, &[3, 3, 3]);
    float.shows(Rgba16, &[255, 255, 0, 128, 0, 0, 255, 255]);
    // 1, 0.5 and −2 in 16 bits, and 0.5 in 24.
    let half = [0x3C00_u16, 0x3800, 0xC000].map(u16::to_le_bytes).concat();
    let half = file((1, 1), 16, 2, 3, &half).with(tag::SAMPLE_FORMAT, &[3]);
    half.shows(Rgba16, &[255, 255, 0, 128, 0, 0, 255, 255]);
    file((1, 1), 24, 1, 1, &[0, 0, 0x3E]).with(tag::SAMPLE_FORMAT, &[3]).shows(Rgba16, &[0, 128]);
    let double = 0.5_f64.to_le_bytes();
    file((1, 1), 64, 1, 1, &double).with(tag::SAMPLE_FORMAT, &[3]).shows(Rgba16, &[0, 128, 0, 128]);
}

#[test]
fn alpha_is_what_the_extra_samples_say() {
    let gray = file((1, 1), 8, 1, 2, &[128, 64]);
    gray.clone().with(tag::EXTRA_SAMPLES, &[2]).shows(Rgba8, &[128, 128, 128, 64]);
    gray.clone().with(tag::EXTRA_SAMPLES, &[0]).shows(Gray8, &[128]);
    let rgb = file((1, 1), 8, 2, 4, &[50, 25, 0, 100]);
    rgb.clone().with(tag::EXTRA_SAMPLES, &[2]).shows(Rgba8, &[50, 25, 0, 100]);
    rgb.clone().with(tag::EXTRA_SAMPLES, &[1]).shows(Rgba8, &[128, 64, 0, 100]);
    rgb.clone().with(tag::EXTRA_SAMPLES, &[0]).shows(Rgb8, &[50, 25, 0]);
    rgb.shows(Rgba8, &[50, 25, 0, 100]);
    let words = [1000_u16, 500, 0, 32768].map(u16::to_le_bytes).concat();
    let wide = file((1, 1), 16, 2, 4, &words).with(tag::EXTRA_SAMPLES, &[1]);
    wide.shows(Rgba16, &[[2000_u16, 1000, 0, 32768].map(u16::to_le_bytes).concat()].concat());
}

#[test]
fn a_palette_is_looked_up() {
    let mut colors = vec![0; 3 * 16];
    (colors[5], colors[16 + 5], colors[32 + 5]) = (65535, 257 * 100, 257 * 7);
    let words = file((2, 1), 4, 3, 1, &[0x50]).with(tag::COLORS, &colors);
    words.shows(Rgb8, &[255, 100, 7, 0, 0, 0]);
    // Some wrote bytes in its place.
    let bytes: Vec<u64> = colors.iter().map(|color| color / 257).collect();
    file((2, 1), 4, 3, 1, &[0x50]).with(tag::COLORS, &bytes).shows(Rgb8, &[255, 100, 7, 0, 0, 0]);
    let holey = file((1, 1), 8, 3, 2, &[5, 9]).with(tag::EXTRA_SAMPLES, &[2]);
    let mut long = vec![0; 768];
    long[5] = 65535;
    holey.with(tag::COLORS, &long).shows(Rgba8, &[255, 0, 0, 9]);
    assert!(decode(&file((1, 1), 8, 3, 1, &[5]).bytes()).unwrap_err().to_string().contains("no palette"));
}

#[test]
fn inks_luma_and_chroma_and_lab_become_rgb() {
    file((1, 1), 8, 5, 4, &[0, 255, 255, 0]).shows(Rgb8, &[255, 0, 0]);
    let words = [0_u16, 65535, 65535, 0].map(u16::to_le_bytes).concat();
    file((1, 1), 16, 5, 4, &words).shows(Rgb8, &[255, 0, 0]);
    file((1, 1), 8, 6, 3, &[76, 85, 255]).with(tag::SUBSAMPLING, &[1, 1]).shows(Rgb8, &[254, 0, 0]);
    // Four pixels of one colour; the picture is narrower than its unit.
    let shared = file((1, 2), 8, 6, 3, &[76, 0, 149, 0, 85, 255]);
    let tall = shared.decoded();
    assert_eq!((tall.data()[0], tall.data()[3]), (254, 255));
    let video = file((1, 1), 8, 6, 3, &[235, 128, 128]).with(tag::SUBSAMPLING, &[1, 1]);
    video.typed(tag::BLACK_WHITE, 5, &[16, 235, 128, 240, 128, 240]).shows(Rgb8, &[255, 255, 255]);
    // sRGB's red under D50 (ICC.1): L* 54.29, a* 80.80, b* 69.89.
    file((1, 1), 8, 8, 3, &[138, 81, 70]).shows(Rgb8, &[255, 0, 0]);
    file((1, 1), 8, 9, 3, &[138, 209, 198]).shows(Rgb8, &[255, 0, 0]);
    let words = [32768_u16, 0, 0].map(u16::to_le_bytes).concat();
    let gray = file((1, 1), 16, 8, 3, &words).decoded();
    assert!([1, 3, 5].iter().all(|&at| gray.data()[at].abs_diff(119) <= 1), "{gray:?}");
}

#[test]
fn planes_and_tiles_are_put_together_and_cut_at_the_edges() {
    // Three planes of two tiles each, the second of which ends beyond the picture.
    let plane = |left: u8, right: u8| [vec![left; 256], vec![right; 256]];
    let tiles = [plane(10, 20), plane(30, 40), plane(50, 60)].concat();
    let tiled = file((20, 14), 8, 2, 3, &[]).with(tag::PLANES, &[2]).tiles(16, 16, tiles).decoded();
    let row: Vec<[u8; 3]> = (0..20).map(|x| if x < 16 { [10, 30, 50] } else { [20, 40, 60] }).collect();
    assert_eq!(tiled.data(), row.as_flattened().repeat(14));
    let strips = (0..6).map(|at| vec![at * 10; 4]).collect();
    let strips = file((2, 3), 8, 2, 3, &[]).with(tag::PLANES, &[2]).strips(2, strips).decoded();
    assert_eq!(strips.data()[..3], [0, 20, 40]);
    assert_eq!(strips.data()[12..15], [10, 30, 50], "the third row, in the second strip of each plane");
    let wide = [[1_u16; 2], [2; 2], [3; 2]].map(|plane| plane.map(u16::to_le_bytes).concat()).to_vec();
    let wide = file((2, 1), 16, 2, 3, &[]).with(tag::PLANES, &[2]).strips(1, wide).decoded();
    assert_eq!(wide.data()[8..], [1, 0, 2, 0, 3, 0, 255, 255]);
}

#[test]
fn predictors_orders_and_orientations_are_undone() {
    let differences = file((3, 1), 8, 2, 3, &packed(&[1, 2, 3, 10, 10, 10, 246, 246, 246]));
    let differences = differences.with(tag::COMPRESSION, &[32946]).with(tag::PREDICTOR, &[2]);
    assert_eq!(differences.decoded().data(), [1, 2, 3, 11, 12, 13, 1, 2, 3]);
    let words = [1000_u16, 1].map(u16::to_be_bytes).concat();
    let mut wide =
        file((2, 1), 16, 1, 1, &packed(&words)).with(tag::COMPRESSION, &[8]).with(tag::PREDICTOR, &[2]);
    wide.big_endian = true;
    let expected = [1000_u16, 1001].map(u16::to_le_bytes);
    assert_eq!(
        (&wide.decoded().data()[..2], &wide.decoded().data()[8..10]),
        (&expected[0][..], &expected[1][..])
    );
    // Two numbers, 1 and 0.5: first their highest bytes, 3F 3F, then 80 00, then zeros; as differences.
    let woven = [0x3F, 0, 0x41, 0x80, 0, 0, 0, 0];
    let floats =
        file((2, 1), 32, 1, 1, &packed(&woven)).with(tag::COMPRESSION, &[8]).with(tag::PREDICTOR, &[3]);
    let floats = floats.with(tag::SAMPLE_FORMAT, &[3]).decoded();
    assert_eq!((floats.data()[1], floats.data()[9]), (255, 128));
    file((1, 1), 8, 1, 1, &[0b0000_0011]).with(tag::FILL_ORDER, &[2]).shows(Gray8, &[192]);
    let mut big = file((2, 1), 8, 1, 1, &[1, 2]);
    (big.big, big.big_endian) = (true, true);
    big.shows(Gray8, &[1, 2]);
    let turned = file((2, 1), 8, 1, 1, &[1, 2]).with(tag::ORIENTATION, &[6]);
    assert_eq!(header(&turned.bytes()).unwrap().orientation, Orientation::from_exif(6));
    assert_eq!((turned.decoded().height(), turned.decoded().data()), (2, &[1, 2][..]));
}

/// By zlib.
fn packed(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(100);
    let mut encoder = flate2::Compress::new(flate2::Compression::fast(), true);
    encoder.compress_vec(data, &mut packed, flate2::FlushCompress::Finish).unwrap();
    packed
}

#[test]
fn a_profile_of_any_type_is_applied_to_bytes_and_words() {
    let profile: Vec<u64> =
        ColorProfile::new_display_p3().encode().unwrap().into_iter().map(u64::from).collect();
    // sRGB's red in Display P3.
    for kind in [1, 7] {
        let red = file((1, 1), 8, 2, 3, &[234, 51, 35]).typed(tag::PROFILE, kind, &profile).decoded();
        assert!(red.data()[0] > 252 && red.data()[1] < 8, "{red:?}");
        let words = [234_u16, 51, 35].map(|byte| (byte * 257).to_le_bytes()).concat();
        let wide = file((1, 1), 16, 2, 3, &words).typed(tag::PROFILE, kind, &profile).decoded();
        assert!(wide.data()[1] > 252 && wide.data()[3] < 8 && wide.data()[7] == 255, "{wide:?}");
    }
}

#[test]
fn a_jpeg_within_it_has_the_colours_that_the_tiff_says() {
    let picture = Image::new(16, 16, Rgb8, [200, 30, 90].repeat(256)).unwrap();
    let jpeg = encode(imgserve_base::format::Format::Jpeg, picture.as_ref(), 95);
    let near = |image: &Image| {
        image.data()[..3].iter().zip([200, 30, 90]).map(|(a, b)| a.abs_diff(b)).max().unwrap() < 8
    };
    let plain = file((16, 16), 8, 6, 3, &jpeg).with(tag::COMPRESSION, &[7]);
    assert!(near(&plain.decoded()), "{:?}", &plain.decoded().data()[..3]);
    // Its tables apart: they end where the frame header begins.
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let tables: Vec<u64> = jpeg[..frame].iter().chain(&[0xFF, 0xD9]).map(|&byte| byte.into()).collect();
    let rest = [&[0xFF, 0xD8], &jpeg[frame..]].concat();
    let apart = file((16, 16), 8, 6, 3, &rest).with(tag::COMPRESSION, &[7]);
    assert!(near(&apart.typed(tag::JPEG_TABLES, 7, &tables).decoded()));
    // The same numbers as RGB: luma and chroma are then red, green and blue.
    let raw = file((16, 16), 8, 2, 3, &jpeg).with(tag::COMPRESSION, &[7]).decoded();
    let luma = (0.299 * 200.0 + 0.587 * 30.0 + 0.114 * 90.0) as u8;
    assert!(raw.data()[0].abs_diff(luma) < 4, "{:?}", &raw.data()[..3]);
    // A whole file, as TIFF 6.0 had it.
    let old = file((16, 16), 8, 6, 3, &jpeg).with(tag::COMPRESSION, &[6]);
    let old = old.typed(tag::JPEG_FILE, LONG, &[8]).typed(tag::JPEG_FILE_BYTES, LONG, &[jpeg.len() as u64]);
    assert!(near(&old.decoded()));
    // One that does not fill its place leaves nothing black.
    let narrow = file((20, 16), 8, 6, 3, &jpeg).with(tag::COMPRESSION, &[7]);
    assert!(decode(&narrow.bytes()).unwrap_err().to_string().contains("narrower"));
}

#[test]
fn fax_is_black_on_white() {
    // 4 white, 3 black, 9 white, in group 4.
    let packed = [0b0011_0111, 0b0101_0000];
    let fax = file((16, 1), 1, 0, 1, &packed).with(tag::COMPRESSION, &[4]).decoded();
    assert_eq!(fax.data()[3..8], [255, 0, 0, 0, 255]);
}

#[test]
fn a_webp_within_it_is_read() {
    for (format, samples) in [(Rgb8, 3), (Rgba8, 4)] {
        let picture = gradient(20, 16, format);
        let strip = |top: u32, rows: u32| {
            let row = 20 * format.bytes_per_pixel();
            let data = picture.data()[top as usize * row..][..rows as usize * row].to_vec();
            let part = Image::new(20, rows, format, data).unwrap();
            encode_bitmap(image::ImageFormat::WebP, &part)
        };
        let strips = vec![strip(0, 10), strip(10, 6)];
        let webp = file((20, 16), 8, 2, samples, &[]).strips(10, strips).with(tag::COMPRESSION, &[50001]);
        assert_eq!(webp.decoded(), picture);
        assert!(webp.with(tag::PHOTOMETRIC, &[6]).refused().contains("WebP of other"));
    }
}

#[test]
fn zstandard_is_unpacked_and_its_differences_undone() {
    // A frame of a single segment of 12 bytes (RFC 8878, section 3.1): a block of bytes as they are, and one that is repeated.
    let raw = [&[0x28, 0xB5, 0x2F, 0xFD, 0x20, 12][..], &[6 << 3, 0, 0], &[9, 8, 7, 1, 1, 1]].concat();
    let packed = [&raw[..], &[6 << 3 | 2 | 1, 0, 0], &[2]].concat();
    let zstandard = file((2, 2), 8, 2, 3, &packed).with(tag::COMPRESSION, &[50000]);
    assert_eq!(zstandard.decoded().data(), [9, 8, 7, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    let differences = zstandard.clone().with(tag::PREDICTOR, &[2]);
    assert_eq!(differences.decoded().data(), [9, 8, 7, 10, 9, 8, 2, 2, 2, 4, 4, 4]);
    let mut cut = zstandard;
    cut.chunks[0].truncate(15);
    assert!(decode(&cut.bytes()).unwrap_err().to_string().contains("broken"));
}

#[test]
fn how_many_samples_there_are_is_said_by_their_bits_where_nothing_else_does() {
    let rgb = file((1, 1), 8, 2, 3, &[1, 2, 3]).without(tag::SAMPLES);
    rgb.shows(Rgb8, &[1, 2, 3]);
}

#[test]
fn strips_that_are_nowhere_are_missing_all_at_once() {
    let first = |count: usize, mut file: File| {
        file.chunks.truncate(count);
        let bytes = file.bytes();
        assert!(decode(&bytes).unwrap_err().to_string().contains("missing"));
        let bounds = Bounds { repair: true, ..BOUNDS };
        let mut decoder =
            Decoder::new(&bytes, &header(&bytes).unwrap(), &DecodeHint::default(), &bounds).unwrap();
        decoder.next_frame().unwrap().unwrap().image.into_data()
    };
    let strips = || file((4, 4), 8, 1, 1, &[]).strips(1, vec![vec![7; 4]; 4]);
    assert_eq!(first(2, strips()), [[7; 8], [128; 8]].concat());
    let tiles = file((4, 4), 8, 1, 1, &[]).tiles(2, 2, vec![vec![7; 4]; 4]);
    assert_eq!(first(1, tiles), [[7, 7, 128, 128], [7, 7, 128, 128], [128; 4], [128; 4]].concat());
    // Of planes a pixel is there when the last one has it.
    let planes = |samples: u64| {
        let strips = (1..=samples as u8).flat_map(|value| [[value; 2]; 2].map(Vec::from)).collect();
        file((2, 2), 8, 2, samples, &[]).with(tag::PLANES, &[2]).strips(1, strips)
    };
    assert_eq!(first(5, planes(3)), [[1, 2, 3, 1, 2, 3], [128; 6]].concat());
    assert_eq!(first(3, planes(3)), [128; 12]);
    let mut more = planes(4).with(tag::EXTRA_SAMPLES, &[0]);
    more.chunks.truncate(6);
    assert_eq!(more.decoded().data(), [1, 2, 3].repeat(4), "what is not shown is not missing");
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    let plain = || file((2, 2), 8, 2, 3, &[0; 12]);
    for (tag, value, text) in [
        (tag::COMPRESSION, 34925, "LZMA"),
        (tag::COMPRESSION, 34712, "JPEG 2000"),
        (tag::COMPRESSION, 6, "without a JPEG file"),
        (tag::COMPRESSION, 77, "compression 77"),
        (tag::PHOTOMETRIC, 10, "ITU L*a*b*"),
        (tag::PHOTOMETRIC, 32803, "colour filter array"),
        (tag::PHOTOMETRIC, 99, "photometric interpretation 99"),
        (tag::SAMPLE_FORMAT, 6, "complex"),
        (tag::SAMPLES, 33, "33 samples a pixel"),
    ] {
        let refused = plain().with(tag, &[value]).refused();
        assert!(refused.contains(text), "{refused}, not {text}");
    }
    assert_eq!(plain().with(tag::BITS, &[8, 8, 8, 1]).decoded().data(), [0; 12], "one number too many");
    assert!(plain().with(tag::BITS, &[5, 6, 5]).refused().contains("different numbers of bits"));
    assert!(plain().with(tag::BITS, &[16; 3]).with(tag::SAMPLE_FORMAT, &[2]).refused().contains("signed"));
    assert!(file((1, 1), 16, 3, 1, &[0; 2]).refused().contains("a palette of 16 bits"));
    assert!(file((2, 2), 16, 6, 3, &[0; 24]).refused().contains("YCbCr of 16 bits"));
}

#[test]
fn what_is_missing_is_an_error_or_gray() {
    let mut cut = file((4, 4), 8, 2, 4, &[]).strips(2, vec![vec![1; 32], vec![2; 20]]);
    cut.chunks[1] = packed(&[2; 20]);
    cut.chunks[0] = packed(&[1; 32]);
    let bytes = cut.with(tag::COMPRESSION, &[8]).bytes();
    assert!(decode(&bytes).unwrap_err().to_string().contains("cut off"));
    let bounds = Bounds { repair: true, ..BOUNDS };
    let mut decoder =
        Decoder::new(&bytes, &header(&bytes).unwrap(), &DecodeHint::default(), &bounds).unwrap();
    let image = decoder.next_frame().unwrap().unwrap().image;
    assert_eq!(image.data()[32..], [[2; 16].as_slice(), &[128, 128, 128, 255].repeat(4)].concat());
    assert_eq!(decoder.damage(), Some("a strip or tile is cut off"));
}

#[test]
fn tiles_that_lie_over_each_other_take_no_longer_than_the_file_is_long() {
    let mut many = file((256, 256), 8, 1, 1, &[]).tiles(1, 1, vec![Vec::new(); 65_536]);
    many.chunks[0] = vec![0; 10];
    let bytes =
        many.with(tag::COMPRESSION, &[8]).typed(tag::TILE_BYTES, LONG, &vec![1 << 20; 65_536]).bytes();
    let error = decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("over each other"), "{error}");
}
