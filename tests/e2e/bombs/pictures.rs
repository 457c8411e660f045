//! AVIFs of few bytes and many pixels, or many pieces.

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

/// One that its header gives away.
pub(super) fn all() -> Vec<Bomb> {
    let bomb = |name, bytes| Bomb { name, operation: "resize", bytes, refused: Some("pixels") };
    let nothing = Piece { side: 1000, coding: &[0x81, 0, 0, 0], data: &[0; 8] };
    vec![bomb("avif of 200x200 pieces of 1000x1000", avif(&nothing, 200, 200_000))]
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
