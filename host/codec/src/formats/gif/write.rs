//! A GIF being written: of each frame only what has changed, in colours that frames share.
//!
//! - A frame is cut to the pixels that differ from what is shown before it; those within that do not differ are transparent.
//! - Where a frame has holes that the one before has not, the one before is cleared: nothing else makes a pixel transparent.
//! - The first frame's colours are those of all, and new ones join them while there is room. A frame for which they do not do
//!   has a table of its own.

mod colors;

use std::mem;

use imgserve_sdk::{ImageRef, PixelFormat};
use weezl::BitOrder;

use crate::codec::{self, Loops};
use crate::convert::convert;
use crate::error::CodecError;
use colors::{Colors, Numbers, Table};

/// From here on a pixel is opaque: GIF knows no half transparency.
const ALPHA_THRESHOLD: u8 = 128;
/// One value for all that is transparent.
const CLEAR: [u8; 4] = [0; 4];

pub(super) struct Sink {
    size: (u16, u16),
    loops: Loops,
    /// What is shown when the next frame is drawn, as it was given and not in the colours that it is written in.
    shown: Vec<[u8; 4]>,
    colors: Colors,
    /// The last frame: how it is disposed of depends on the next one.
    last: Last,
    /// The frames before it.
    written: Vec<u8>,
}

enum Last {
    None,
    /// The first, of which nobody knows yet whether it is the only one.
    First {
        delay: u16,
    },
    Frame(Frame),
}

/// A frame that is ready to be written.
struct Frame {
    part: Part,
    /// For each pixel of its part.
    numbers: Numbers,
    delay: u16,
}

/// A part of the screen that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Part {
    /// The smallest one around all places for which `is_in` is true.
    fn around(width: usize, height: usize, is_in: impl Fn(usize) -> bool) -> Option<Self> {
        let row = |y: usize| y * width..(y + 1) * width;
        let top = (0..height).find(|&y| row(y).any(&is_in))?;
        let bottom = (top..height).rev().find(|&y| row(y).any(&is_in))? + 1;
        let column = |x: usize| (top..bottom).map(move |y| y * width + x);
        let left = (0..width).find(|&x| column(x).any(&is_in))?;
        let right = (left..width).rev().find(|&x| column(x).any(&is_in))? + 1;
        Some(Self { left, top, right, bottom })
    }

    /// The smallest one around both.
    fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The places of its pixels on a screen of that width.
    fn places(self, width: usize) -> impl Iterator<Item = usize> + Clone {
        (self.top..self.bottom).flat_map(move |y| (self.left..self.right).map(move |x| y * width + x))
    }
}

impl Sink {
    pub(super) fn new(loops: Loops, width: u32, height: u32) -> Result<Self, CodecError> {
        let side = |side: u32| u16::try_from(side).map_err(error);
        let size = (side(width)?, side(height)?);
        Ok(Self {
            size,
            loops,
            shown: Vec::new(),
            colors: Colors::default(),
            last: Last::None,
            written: Vec::new(),
        })
    }

    fn width(&self) -> usize {
        usize::from(self.size.0)
    }

    fn screen(&self) -> Part {
        Part { left: 0, top: 0, right: self.width(), bottom: usize::from(self.size.1) }
    }

    /// Writes the frame before one of these pixels, and leaves as shown what is then on the screen.
    fn write_last(&mut self, next: Option<&[[u8; 4]]>) -> Result<(), CodecError> {
        let mut frame = match mem::replace(&mut self.last, Last::None) {
            Last::None => return Ok(()),
            Last::Frame(frame) => frame,
            Last::First { delay } => {
                let part = self.screen();
                let numbers = self.colors.first(&self.shown, next.is_some());
                Frame { part, numbers, delay }
            }
        };
        let holes = next.and_then(|next| {
            let is_hole = |at: usize| next[at] == CLEAR && self.shown[at] != CLEAR;
            Part::around(self.width(), usize::from(self.size.1), is_hole)
        });
        if let Some(holes) = holes {
            frame = self.widened(frame, holes);
            for at in frame.part.places(self.width()) {
                self.shown[at] = CLEAR;
            }
        }
        let block = self.block(&frame, holes.is_some())?;
        self.written.extend(block);
        Ok(())
    }

    /// The same frame on a part that holds the other one too, where it changes nothing.
    fn widened(&self, frame: Frame, other: Part) -> Frame {
        let part = frame.part.with(other);
        if part == frame.part {
            return frame;
        }
        let Part { left, top, right, bottom } = frame.part;
        let mut own = frame.numbers.list.into_iter();
        let list = (part.top..part.bottom)
            .flat_map(|y| (part.left..part.right).map(move |x| (x, y)))
            .map(|(x, y)| {
                let within = (left..right).contains(&x) && (top..bottom).contains(&y);
                if within { own.next() } else { None }.unwrap_or(colors::TRANSPARENT)
            })
            .collect();
        Frame { part, numbers: Numbers { list, ..frame.numbers }, ..frame }
    }

    /// A frame's blocks: its control, its descriptor, its colours, its pixels.
    fn block(&self, frame: &Frame, cleared: bool) -> Result<Vec<u8>, CodecError> {
        let Frame { part, numbers, delay } = frame;
        let [low, high] = delay.to_le_bytes();
        // What is cleared becomes the transparent colour, so there must be one.
        let transparent = u8::from(numbers.transparent);
        let disposal = if cleared { 2 } else { 1 };
        let mut block =
            vec![0x21, 0xF9, 4, disposal << 2 | transparent, low, high, colors::TRANSPARENT, 0, 0x2C];
        for side in [part.left, part.top, part.right - part.left, part.bottom - part.top] {
            block.extend_from_slice(&u16::try_from(side).map_err(error)?.to_le_bytes());
        }
        let count = match &numbers.table {
            Table::Shared => {
                block.push(0);
                numbers.count
            }
            Table::Own(colors) => {
                block.push(0x80 | table_flags(colors.len()));
                push_table(&mut block, colors);
                colors.len()
            }
        };
        let code_size = bits(count).max(2);
        block.push(code_size);
        let packed =
            weezl::encode::Encoder::new(BitOrder::Lsb, code_size).encode(&numbers.list).map_err(error)?;
        for piece in packed.chunks(255) {
            block.push(piece.len() as u8);
            block.extend_from_slice(piece);
        }
        block.push(0);
        Ok(block)
    }
}

impl codec::Sink for Sink {
    fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), CodecError> {
        let delay = u16::try_from(delay_ms.saturating_add(5) / 10).unwrap_or(u16::MAX);
        let data = convert(image, PixelFormat::Rgba8).into_data();
        let opaque =
            |&[r, g, b, alpha]: &[u8; 4]| if alpha < ALPHA_THRESHOLD { CLEAR } else { [r, g, b, 0xFF] };
        let pixels: Vec<[u8; 4]> = data.as_chunks::<4>().0.iter().map(opaque).collect();
        drop(data);
        if matches!(self.last, Last::None) {
            self.shown = pixels;
            self.last = Last::First { delay };
            return Ok(());
        }
        self.write_last(Some(&pixels))?;
        let changed = |at: usize| pixels[at] != self.shown[at];
        // Of a frame that changes nothing one pixel is drawn, which changes nothing either.
        let part = Part::around(self.width(), usize::from(self.size.1), changed);
        let part = part.unwrap_or(Part { left: 0, top: 0, right: 1, bottom: 1 });
        let drawn = part.places(self.width()).map(|at| if changed(at) { pixels[at] } else { CLEAR });
        let numbers = self.colors.of(drawn);
        self.shown = pixels;
        self.last = Last::Frame(Frame { part, numbers, delay });
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Option<Vec<u8>>, CodecError> {
        if matches!(self.last, Last::None) {
            return Ok(None);
        }
        self.write_last(None)?;
        let mut file = b"GIF89a".to_vec();
        file.extend_from_slice(&self.size.0.to_le_bytes());
        file.extend_from_slice(&self.size.1.to_le_bytes());
        let shared = self.colors.shared();
        file.extend_from_slice(&[0xF0 | table_flags(shared.len()), 0, 0]);
        push_table(&mut file, shared);
        // Nothing is said of a GIF that is played once: that is what its absence means.
        let repeated = match self.loops {
            Loops::Forever => Some(0),
            Loops::Times(0 | 1) => None,
            Loops::Times(times) => Some(u16::try_from(times - 1).unwrap_or(u16::MAX)),
        };
        if let Some(repeated) = repeated {
            file.extend_from_slice(b"\x21\xFF\x0BNETSCAPE2.0\x03\x01");
            file.extend_from_slice(&repeated.to_le_bytes());
            file.push(0);
        }
        file.extend_from_slice(&self.written);
        file.push(0x3B);
        Ok(Some(file))
    }
}

/// Bits that hold the numbers of so many colours; one at least.
fn bits(count: usize) -> u8 {
    (count.max(2) - 1).ilog2() as u8 + 1
}

/// How a table of so many colours announces its size: a power of two.
fn table_flags(count: usize) -> u8 {
    bits(count) - 1
}

fn push_table(file: &mut Vec<u8>, colors: &[[u8; 3]]) {
    file.extend_from_slice(colors.as_flattened());
    let missing = (1 << bits(colors.len())) - colors.len();
    file.resize(file.len() + 3 * missing, 0);
}

fn error(error: impl std::fmt::Display) -> CodecError {
    CodecError::encode(imgserve_base::format::Format::Gif, error)
}
