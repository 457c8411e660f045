//! The headers of a file (T.81, section B.2; JFIF, ITU-T T.871, section 10).

use super::huffman::Code;
use super::layout::{Color, Layout};
use super::quant::Quantizer;
use super::tokens::Slot;

/// A scan's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// Its first component, and how many.
    pub component: usize,
    pub components: usize,
    /// Its first coefficient and its last one, as zigzag positions.
    pub band: (u8, u8),
    /// How many low bits are missing before this scan (0: all) and after it.
    pub bits: (u8, u8),
}

impl Scan {
    /// The one scan of a sequential file.
    pub(super) fn sequential(layout: &Layout) -> Self {
        Self { component: 0, components: layout.components(), band: (0, 63), bits: (0, 0) }
    }
}

/// From the beginning of the file to the frame header.
pub(super) fn write_head(out: &mut Vec<u8>, layout: &Layout, quantizers: &[Quantizer; 2], progressive: bool) {
    out.extend([0xFF, 0xD8]);
    // Version 1.01, square pixels, no preview.
    write_segment(out, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let tables = if layout.color == Color::Gray { 1 } else { 2 };
    let mut segment = Vec::new();
    for (table, quantizer) in quantizers[..tables].iter().enumerate() {
        segment.push(table as u8);
        segment.extend(quantizer.divisors);
    }
    write_segment(out, 0xDB, &segment);
    let [height, width] = [layout.height, layout.width].map(|side| (side as u16).to_be_bytes());
    let mut frame = vec![8, height[0], height[1], width[0], width[1], layout.components() as u8];
    for component in 0..layout.components() {
        let blocks = layout.blocks(component) as u8;
        frame.extend([component as u8 + 1, blocks << 4 | blocks, component.min(1) as u8]);
    }
    write_segment(out, if progressive { 0xC2 } else { 0xC0 }, &frame);
}

pub(super) fn write_codes<'a>(out: &mut Vec<u8>, codes: impl Iterator<Item = (Slot, &'a Code)>) {
    let mut segment = Vec::new();
    for (slot, code) in codes {
        segment.push(u8::from(slot.ac) << 4 | u8::from(slot.chroma));
        segment.extend(code.lengths);
        segment.extend(&code.symbols);
    }
    if !segment.is_empty() {
        write_segment(out, 0xC4, &segment);
    }
}

pub(super) fn write_scan_head(out: &mut Vec<u8>, scan: &Scan) {
    let mut segment = vec![scan.components as u8];
    for component in scan.component..scan.component + scan.components {
        segment.extend([component as u8 + 1, component.min(1) as u8 * 0x11]);
    }
    segment.extend([scan.band.0, scan.band.1, scan.bits.0 << 4 | scan.bits.1]);
    write_segment(out, 0xDA, &segment);
}

pub(super) fn write_end(out: &mut Vec<u8>) {
    out.extend([0xFF, 0xD9]);
}

fn write_segment(out: &mut Vec<u8>, marker: u8, data: &[u8]) {
    out.extend([0xFF, marker]);
    out.extend((data.len() as u16 + 2).to_be_bytes());
    out.extend(data);
}
