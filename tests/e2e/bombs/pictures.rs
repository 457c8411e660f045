//! AVIFs of few bytes and many pixels, or many pieces; JPEG XLs of many frames.

use std::time::Instant;

use image::ImageFormat;
use imgserve_peers::samples;

use super::{Bomb, MEMORY_KIB, MOST, call, peak_kib};
use crate::harness::{self, Server};

/// A box (ISO/IEC 14496-12, section 4.2).
fn boxed(kind: &[u8; 4], contents: &[&[u8]]) -> Vec<u8> {
    let data = contents.concat();
    [&(8 + data.len() as u32).to_be_bytes()[..], kind, &data].concat()
}

/// Part of an AVIF's picture: its side in pixels, how it is coded (av1C), and its data.
struct Piece<'a> {
    side: u32,
    coding: &'a [u8],
    data: &'a [u8],
}

/// An AVIF of `side` × `side` pieces, each the same one. One alone says that it has `told` pixels a side.
fn avif(piece: &Piece<'_>, side: u8, told: u32) -> Vec<u8> {
    let size = |side: u32| boxed(b"ispe", &[&[0; 4], &side.to_be_bytes(), &side.to_be_bytes()]);
    let properties = [size(told), size(piece.side), boxed(b"av1C", &[piece.coding])].concat();
    // The grid has the first property, the piece the others.
    let of_items = [&[0, 0, 0, 0, 0, 0, 0, 2][..], &[0, 1, 1, 1], &[0, 2, 2, 2, 0x83]].concat();
    let info = |id: u8, kind: &[u8; 4]| boxed(b"infe", &[&[2, 0, 0, 0, 0, id, 0, 0], kind, &[0]]);
    let grid = [&[0, 1, side - 1, side - 1][..], &told.to_be_bytes(), &told.to_be_bytes()].concat();
    let pieces = usize::from(side) * usize::from(side);
    let of_grid = boxed(b"dimg", &[&[0, 1], &(pieces as u16).to_be_bytes(), &[0, 2].repeat(pieces)]);
    let start = boxed(b"ftyp", &[b"avif\0\0\0\0avifmif1"]);
    let file = |from: u32| {
        let place = |id: u8, from: u32, length: usize| {
            [&[0, id, 0, 0, 0, 1][..], &from.to_be_bytes(), &(length as u32).to_be_bytes()].concat()
        };
        let places =
            [place(1, from, grid.len()), place(2, from + grid.len() as u32, piece.data.len())].concat();
        let meta = boxed(
            b"meta",
            &[
                &[0; 4],
                &boxed(b"hdlr", &[&[0; 8], b"pict", &[0; 13]]),
                &boxed(b"pitm", &[&[0, 0, 0, 0, 0, 1]]),
                &boxed(b"iloc", &[&[0, 0, 0, 0, 0x44, 0, 0, 2], &places]),
                &boxed(b"iinf", &[&[0, 0, 0, 0, 0, 2], &info(1, b"grid"), &info(2, b"av01")]),
                &boxed(b"iref", &[&[0; 4], &of_grid]),
                &boxed(b"iprp", &[&boxed(b"ipco", &[&properties]), &boxed(b"ipma", &[&of_items])]),
            ],
        );
        [start.clone(), meta].concat()
    };
    let from = file(0).len() as u32 + 8;
    [file(from), boxed(b"mdat", &[&grid, piece.data])].concat()
}

/// Bits from the lowest on, as JPEG XL has them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// How many of them are in use.
    used: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: usize) -> &mut Self {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.used / 8] |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
        self
    }

    /// Goes on at the next byte.
    fn align(&mut self) -> &mut Self {
        self.used = 8 * self.bytes.len();
        self
    }
}

/// A square JPEG XL (ISO/IEC 18181-1) of `frames` frames of one pixel each, laid upon one another; those of an animation are shown
/// for a hundredth of a second each.
fn jxl(side: u32, frames: u32, animated: bool) -> Vec<u8> {
    let mut file = Bits { bytes: vec![0xff, 0x0a], used: 16 };
    // SizeHeader: not small, a height of 13 bits, and as wide as high.
    file.put(0, 1).put(1, 2).put(side - 1, 13).put(1, 3);
    if animated {
        // ImageMetadata: a hundred ticks a second, for ever, without timecodes; 8 bits, no extra channels, all else as it usually is.
        file.put(0, 1).put(1, 1).put(0, 3).put(0, 2).put(1, 1).put(0, 2).put(0, 2).put(0, 2).put(0, 1);
        file.put(0, 1).put(0, 2).put(1, 1).put(0, 2).put(1, 1).put(1, 1).put(1, 1).put(0, 2);
    } else {
        file.put(1, 1);
    }
    file.put(1, 1);
    for frame in 1..=frames {
        file.align();
        // FrameHeader: a regular frame in modular coding, of one pixel at the corner, which replaces what is there.
        file.put(0, 1).put(0, 2).put(1, 1).put(0, 2).put(0, 2).put(1, 2).put(0, 2);
        file.put(1, 1).put(0, 10).put(0, 10).put(1 << 2, 10).put(1 << 2, 10).put(0, 2).put(0, 2);
        if animated {
            file.put(1, 2);
        }
        let is_last = frame == frames;
        file.put(is_last.into(), 1).put(0, if is_last { 0 } else { 2 }).put(0, 2).put(1, 1).put(0, 2);
        // TOC: one section, of three bytes.
        file.put(0, 1).align().put(3 << 2, 12).align();
        // The section: a tree of one leaf, which predicts 0, and codes that are no bits long.
        file.put(0b1001, 6).put(0b1_0010, 10).put(0b10, 7);
    }
    file.bytes
}

/// Those that their headers give away.
pub(super) fn all() -> Vec<Bomb> {
    let bomb = |name, bytes| Bomb { name, operation: "resize", bytes, refused: Some("pixels") };
    let nothing = Piece { side: 1000, coding: &[0x81, 0, 0, 0], data: &[0; 8] };
    vec![
        bomb("avif of 200x200 pieces of 1000x1000", avif(&nothing, 200, 200_000)),
        bomb("jxl of 8000x8000", jxl(8000, 1, false)),
        // Of an animation the first picture is taken where the result has one, as here.
        Bomb {
            refused: Some("memory_limit_mb"),
            ..bomb("jxl of 1,000 frames on 7000x7000", jxl(7000, 1000, true))
        },
        Bomb { refused: None, ..bomb("jxl of 300 frames on 1000x1000", jxl(1000, 300, true)) },
    ]
}

#[tokio::test]
async fn an_animation_counts_as_all_its_frames_where_all_are_wanted() {
    let server = Server::start("");
    let (status, _, said) =
        harness::call(&server, "resize?width=64&height=64&format=webp", &jxl(1000, 300, true)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status == 422 && said.contains("limit-exceeded") && said.contains("pixels"), "{status} {said}");
}

/// What a file draws in layers is not known from its headers.
#[tokio::test]
async fn a_picture_of_many_layers_is_ended_by_its_time_limit() {
    let server = Server::start("[workers]\nrun_timeout_ms = 3000");
    let (status, said) = call(&server, "resize", 64, &jxl(1000, 100, false)).await;
    assert_eq!(status, 200, "{said}");
    let began = Instant::now();
    let (status, said) = call(&server, "resize", 64, &jxl(3000, 1000, false)).await;
    assert!(status == 422 && said.starts_with("limit-exceeded"), "{status} {said}");
    assert!(said.contains("run_timeout_ms") && began.elapsed() < MOST, "{said} after {:?}", began.elapsed());
    assert_eq!(call(&server, "resize", 64, &jxl(64, 3, false)).await.0, 200, "nothing works after it");
}

#[tokio::test]
async fn a_grid_of_many_pieces_is_answered_in_time() {
    let server = Server::start("[workers]\ncount = 2");
    let picture = samples::encoded(64, 64, ImageFormat::Png);
    let (status, _, file) = harness::call(&server, "resize?format=avif", &picture).await;
    assert_eq!(status, 200);
    let behind = |name: &[u8; 4]| file.windows(4).position(|four| four == name).unwrap() + 4;
    let (coding, data) = (behind(b"av1C"), behind(b"mdat"));
    let piece = Piece { side: 64, coding: &file[coding..coding + 4], data: &file[data..] };
    for (side, told) in [(2, 128), (50, 3200)] {
        let bomb = avif(&piece, side, told);
        let began = Instant::now();
        let (status, said) = call(&server, "resize", 64, &bomb).await;
        println!(
            "{side}x{side} pieces: {status} {said:.150} after {:?}, {} KiB",
            began.elapsed(),
            peak_kib(&server)
        );
        assert_eq!(status, 200, "{side}: {said}");
        assert!(began.elapsed() < MOST && peak_kib(&server) < MEMORY_KIB, "{side}");
    }
    assert_eq!(server.restarts().await, 0, "workers were ended over it");
}
