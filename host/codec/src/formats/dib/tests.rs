//! Bitmaps of each kind, made here, as BMP files and as pictures of icons.

use imgserve_base::format::Format;
use imgserve_sdk::PixelFormat::{Rgb8, Rgba8};
use imgserve_sdk::{DecodeHint, Image, PixelFormat};

use crate::color::samples::swap;
use crate::samples::*;
use crate::{Bounds, CodecError, Decoder, convert};

const GREEN: [u8; 4] = [0, 255, 0, 255];

/// A Windows header: width, height, bits, compression, colours.
fn info(width: i32, height: i32, bits: u16, compression: u32, colors: u32) -> Vec<u8> {
    let mut header = [40_i32, width, height].map(i32::to_le_bytes).concat();
    header.extend([1, bits].map(u16::to_le_bytes).concat());
    header.extend([compression, 0, 0, 0, colors, 0].map(u32::to_le_bytes).concat());
    header
}

/// A file whose pixels are said to begin `data` bytes in.
fn bmp(data: usize, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let mut file = b"BM".to_vec();
    file.extend([14 + parts.len() as u32, 0, data as u32].map(u32::to_le_bytes).concat());
    file.extend(parts);
    file
}

fn rgb(file: &[u8]) -> Vec<[u8; 3]> {
    let image = decode_one(file);
    assert_eq!(image.format(), Rgb8);
    image.data().as_chunks::<3>().0.to_vec()
}

/// Blue, green, red and nothing.
const COLORS: [u8; 16] = [255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 9, 9, 9, 0];
const R: [u8; 3] = [255, 0, 0];
const G: [u8; 3] = [0, 255, 0];
const B: [u8; 3] = [0, 0, 255];
const X: [u8; 3] = [9, 9, 9];

#[test]
fn numbers_of_colours_of_any_width_are_looked_up() {
    for (bits, row) in [(1, [0b0100_0000_u8]), (2, [0b0001_0000]), (4, [0x01])] {
        let file = bmp(0, &[&info(2, 1, bits, 0, 4), &COLORS, &row, &[0; 3]]);
        assert_eq!(rgb(&file), [B, G], "{bits} bits");
    }
    // Bottom up, and top down; a number without a colour is black.
    let pixels = [0, 1, 9, 9, 2, 3, 9, 9];
    assert_eq!(rgb(&bmp(0, &[&info(2, 2, 8, 0, 4), &COLORS, &pixels])), [R, X, B, G]);
    assert_eq!(rgb(&bmp(70, &[&info(2, -2, 8, 0, 4), &COLORS, &pixels])), [B, G, R, X]);
    let lost = [7, 1, 9, 9];
    assert_eq!(rgb(&bmp(0, &[&info(2, 1, 8, 0, 4), &COLORS, &lost])), [[0; 3], G]);
}

#[test]
fn the_place_of_the_pixels_may_be_that_of_the_palette_or_none() {
    let pixels = [0, 1, 9, 9];
    for place in [0, 54, 70] {
        assert_eq!(rgb(&bmp(place, &[&info(2, 1, 8, 0, 4), &COLORS, &pixels])), [B, G], "{place}");
    }
    // A gap; and a palette of which only two colours fit before the pixels.
    assert_eq!(rgb(&bmp(72, &[&info(2, 1, 8, 0, 4), &COLORS, &[5, 5], &pixels])), [B, G]);
    assert_eq!(rgb(&bmp(62, &[&info(2, 1, 8, 0, 0), &COLORS[..8], &pixels])), [B, G]);
}

#[test]
fn what_is_reserved_and_what_os2_wrote_is_read() {
    let mut file = bmp(0, &[&info(1, 1, 24, 0, 0), &[0, 255, 0, 0]]);
    file[6..10].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(rgb(&file), [G]);
    // OS/2 1: sides in words, colours of three bytes.
    let core = [&[12, 0, 0, 0, 2, 0, 1, 0, 1, 0, 1, 0][..], &[255, 0, 0, 0, 255, 0], &[0b0100_0000, 0, 0, 0]]
        .concat();
    assert_eq!(rgb(&bmp(0, &[&core])), [B, G]);
    // OS/2 2 in its shortest form and in full, with runs of whole pixels.
    let short =
        [&[16, 0, 0, 0][..], &info(2, 1, 8, 0, 0)[4..16], &COLORS, &[0; 1008], &[0, 1, 0, 0]].concat();
    assert_eq!(rgb(&bmp(0, &[&short])), [B, G]);
    let mut full = info(3, 1, 24, 4, 0);
    full[0] = 64;
    full.resize(64, 0);
    assert_eq!(rgb(&bmp(0, &[&full, &[2, 0, 255, 0, 1, 255, 0, 0, 0, 1]])), [G, G, B]);
    let mut huffman = info(8, 1, 1, 3, 0);
    huffman[0] = 64;
    huffman.resize(100, 0);
    assert!(header(&bmp(0, &[&huffman])).unwrap_err().to_string().contains("Huffman"));
}

#[test]
fn masks_say_where_the_colours_are() {
    // 5, 6 and 5 bits behind the header; 5 each without any.
    let masks = [0xF800_u32, 0x07E0, 0x001F].map(u32::to_le_bytes).concat();
    let words = [0xF800_u16, 0x07E0].map(u16::to_le_bytes).concat();
    assert_eq!(rgb(&bmp(0, &[&info(2, 1, 16, 3, 0), &masks, &words])), [R, G]);
    let words = [0x7C00_u16, 0x03E0].map(u16::to_le_bytes).concat();
    assert_eq!(rgb(&bmp(0, &[&info(2, 1, 16, 0, 0), &words])), [R, G]);
    // The fourth byte of 32 bits means nothing, unless a mask says so.
    assert_eq!(rgb(&bmp(0, &[&info(1, 1, 32, 0, 0), &[0, 255, 0, 77]])), [G]);
    let long = |alpha: u8| {
        let mut header = info(1, 1, 32, 3, 0);
        header[0] = 124;
        header.extend([0xFF_0000_u32, 0xFF00, 0xFF, 0xFF00_0000].map(u32::to_le_bytes).concat());
        header.resize(124, 0);
        decode_one(&bmp(0, &[&header, &[0, 255, 0, alpha]]))
    };
    assert_eq!((long(77).format(), long(77).data()), (Rgba8, &[0, 255, 0, 77][..]));
    assert_eq!(long(0).data(), GREEN, "alpha that is zero everywhere is none");
}

/// A header of the newest kind with that much behind it, of one pixel of 24 bits; `space` and where the profile is.
fn newest(height: i32, space: u32, profile: (u32, u32)) -> Vec<u8> {
    let mut header = info(1, height, 24, 0, 0);
    header[0] = 124;
    header.resize(124, 0);
    header[56..60].copy_from_slice(&space.to_le_bytes());
    header[112..116].copy_from_slice(&profile.0.to_le_bytes());
    header[116..120].copy_from_slice(&profile.1.to_le_bytes());
    header
}

const EMBEDDED: u32 = u32::from_be_bytes(*b"MBED");

#[test]
fn a_profile_is_followed_in_a_file_and_in_an_icon() {
    let profile = swap();
    let place = |behind: u32| (124 + behind, profile.len() as u32);
    let red = [0, 0, 255, 0];
    assert_eq!(rgb(&bmp(0, &[&newest(1, EMBEDDED, place(4)), &red, &profile])), [G]);
    let picture = [&newest(2, EMBEDDED, place(8))[..], &red, &[0; 4], &profile].concat();
    assert_eq!(decode_one(&ico(&[(1, 1, 24, picture)])).data(), GREEN);
}

/// A header with end points, as x, y and z of red, green and blue, and one gamma.
fn calibrated(ends: [[f64; 3]; 3], gamma: f64) -> Vec<u8> {
    let mut header = newest(1, 0, (0, 0));
    let numbers = ends.into_iter().flatten().map(|end| (end * f64::from(1 << 30)) as u32);
    let numbers = numbers.chain([(gamma * 65_536.0) as u32; 3]);
    header[60..108].copy_from_slice(&numbers.flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    header
}

#[test]
fn end_points_and_gammas_are_followed() {
    let [red, green, blue] = [[0.64, 0.33, 0.03], [0.3, 0.6, 0.1], [0.15, 0.06, 0.79]];
    // As amounts of light, of which green has the most.
    let light = [green, red, blue].map(|[x, y, z]| [x * 1.2, y * 1.2, z * 1.2]);
    for (ends, gamma, pixel, wanted) in [
        ([green, red, blue], 2.2, R, G),
        ([green, red, blue], 0.0, R, G),
        (light, 2.2, G, R),
        ([red, green, blue], 1.0, [55; 3], [128; 3]),
        ([red, green, blue], 1.8, [128; 3], [146; 3]),
        ([red, green, blue], 2.2, [55, 99, 200], [55, 99, 200]),
        // What pixels were coded by.
        ([red, green, blue], 1.0 / 2.2, [55, 99, 200], [55, 99, 200]),
    ] {
        let [r, g, b] = pixel;
        let file = bmp(0, &[&calibrated(ends, gamma), &[b, g, r, 0]]);
        let (image, fault) = decode_with_fault(&file);
        let near = image.data().iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 2);
        assert!(near && fault.is_none(), "{ends:?} {gamma}: {:?} {fault:?}", image.data());
    }
}

#[test]
fn what_is_said_of_colours_and_not_followed_is_told() {
    assert_eq!(decode_with_fault(&bmp(0, &[&newest(1, 0, (0, 0)), &[0, 255, 0, 0]])).1, None);
    let mut calibrated = newest(1, 0, (0, 0));
    calibrated[60] = 1;
    let linked = newest(1, u32::from_be_bytes(*b"LINK"), (124, 9));
    let cut = newest(1, EMBEDDED, (124, 900));
    for (header, told) in [(calibrated, "end points"), (linked, "another file"), (cut, "cut off")] {
        let (image, fault) = decode_with_fault(&bmp(0, &[&header, &[0, 255, 0, 0]]));
        assert!(image.data() == G && fault.unwrap_or_default().contains(told), "{told}");
    }
}

#[test]
fn runs_are_unpacked_and_may_lack_their_end() {
    let runs = |bits: u16, compression, runs: &[u8]| {
        rgb(&bmp(0, &[&info(4, 2, bits, compression, 4), &COLORS, runs]))
    };
    let whole = [B, B, B, B, G, G, G, R];
    assert_eq!(runs(8, 1, &[3, 1, 1, 2, 0, 0, 4, 0, 0, 1]), whole);
    assert_eq!(runs(8, 1, &[3, 1, 1, 2, 0, 0, 4, 0]), whole, "no mark of the end");
    assert_eq!(runs(8, 1, &[0, 4, 1, 1, 1, 2, 0, 0, 9, 0, 0, 1]), whole, "a run beyond the row");
    assert_eq!(runs(4, 2, &[3, 0x11, 1, 0x20, 0, 0, 4, 0]), whole);
    assert_eq!(runs(4, 2, &[0, 4, 0x11, 0x12, 0, 0, 4, 0]), whole);
    // What is passed over has the first colour.
    assert_eq!(runs(8, 1, &[1, 1, 0, 2, 2, 0, 1, 2, 0, 1]), [B, B, B, B, G, B, B, R]);
}

#[test]
fn what_is_missing_is_an_error_or_gray() {
    let cut = bmp(0, &[&info(1, 3, 24, 0, 0), &[0, 255, 0, 0, 255, 0, 0]]);
    assert!(matches!(decode(&cut), Err(CodecError::Malformed { .. })));
    let bounds = Bounds { repair: true, ..BOUNDS };
    let mut decoder = Decoder::new(&cut, &header(&cut).unwrap(), &DecodeHint::default(), &bounds).unwrap();
    let image = decoder.next_frame().unwrap().unwrap().image;
    // From the bottom up; of the second row the padding alone is missing.
    assert_eq!(image.data(), [[128; 3], B, G].as_flattened());
    assert_eq!(decoder.damage(), Some("the pixels are cut off"));
}

/// Entries: width, height, bits, and the picture.
fn ico(entries: &[(u8, u8, u16, Vec<u8>)]) -> Vec<u8> {
    let mut file = [0, 1, entries.len() as u16].map(u16::to_le_bytes).concat();
    let mut at = 6 + 16 * entries.len();
    for (width, height, bits, picture) in entries {
        file.extend([*width, *height, 0, 0, 1, 0]);
        file.extend(bits.to_le_bytes());
        file.extend([picture.len() as u32, at as u32].map(u32::to_le_bytes).concat());
        at += picture.len();
    }
    entries.iter().for_each(|(.., picture)| file.extend(picture));
    file
}

/// A picture of an icon of one pixel of 32 bits, and its mask.
fn pixel(color: [u8; 4], mask: u8) -> Vec<u8> {
    [&info(1, 2, 32, 0, 0)[..], &[color[2], color[1], color[0], color[3]], &[mask, 0, 0, 0]].concat()
}

fn png(picture: &Image) -> Vec<u8> {
    encode(Format::Png, picture.as_ref(), 80)
}

#[test]
fn the_largest_picture_of_an_icon_is_shown_whatever_its_bits() {
    let small = pixel([255, 0, 0, 255], 0);
    let eight = [&info(2, 4, 8, 0, 4)[..], &COLORS, &[1, 1, 0, 0].repeat(2), &[0; 8]].concat();
    let image = decode_one(&ico(&[(2, 2, 8, eight), (1, 1, 32, small.clone())]));
    assert_eq!(image.data(), GREEN.repeat(4));
    // 0 is 256, and no bits are said of a PNG, which may be of any kind.
    for pixels in [PixelFormat::Gray8, Rgb8, Rgba8, PixelFormat::Rgba16] {
        let picture = gradient(256, 256, pixels);
        let image = decode_one(&ico(&[(1, 1, 32, small.clone()), (0, 0, 0, png(&picture))]));
        let wide = |image: &Image| convert(image.as_ref(), PixelFormat::Rgba16);
        assert!(wide(&image) == wide(&picture), "{pixels:?}");
    }
    // Of two of the same size the one with more bits.
    let gray = pixel([9, 9, 9, 255], 0);
    assert_eq!(decode_one(&ico(&[(1, 1, 8, gray.clone()), (1, 1, 32, small)])).data(), [255, 0, 0, 255]);
    // One that is not there is none.
    let mut two = ico(&[(1, 1, 32, gray)]);
    two[4] = 2;
    two.splice(22..22, [9, 9, 0, 0, 1, 0, 32, 0, 99, 0, 0, 0, 99, 0, 0, 1]);
    two[18] = 38;
    assert_eq!(decode_one(&two).data(), [9, 9, 9, 255]);
}

#[test]
fn the_mask_of_an_icon_counts_where_there_is_no_alpha() {
    let one = |bits, picture| decode_one(&ico(&[(1, 1, bits, picture)])).into_data();
    assert_eq!(
        one(8, pixel(GREEN, 0xFF)),
        GREEN,
        "its own header says 32 bits, and its alpha that it is opaque"
    );
    assert_eq!(one(32, pixel([0, 255, 0, 0], 0)), GREEN, "alpha 0 everywhere is none");
    assert_eq!(one(32, pixel([0, 255, 0, 0], 0xFF)), [0, 255, 0, 0]);
    assert_eq!(one(32, pixel([0, 255, 0, 99], 0xFF)), [0, 255, 0, 99]);
    let three = [&info(2, 2, 24, 0, 0)[..], &[0, 255, 0, 0, 255, 0, 0, 0], &[0b0100_0000, 0, 0, 0]].concat();
    assert_eq!(one(24, three.clone()), [[0, 255, 0, 255], [0, 255, 0, 0]].concat());
    assert_eq!(one(24, three[..three.len() - 4].to_vec()), GREEN.repeat(2), "without a mask");
}

#[test]
fn an_icon_as_dot_net_writes_it_is_one() {
    let mut file = ico(&[(1, 1, 32, pixel(GREEN, 0))]);
    file[9] = 255;
    assert_eq!(decode_one(&file).data(), GREEN);
}
