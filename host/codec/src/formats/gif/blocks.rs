//! The blocks of a GIF (GIF89a, sections 15 to 26), of any bytes: what stands between them is passed over, and a file may end
//! anywhere.

use crate::codec::Loops;

/// Where the first block may begin, if there are no colours before it.
const SCREEN_END: usize = 13;

/// The logical screen.
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) height: u32,
    flags: u8,
}

impl Screen {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[w0, w1, h0, h1, flags] = bytes.get(6..11)?.first_chunk::<5>()?;
        let side = |low, high| u32::from(u16::from_le_bytes([low, high]));
        Some(Self { width: side(w0, w1), height: side(h0, h1), flags })
    }
}

/// A frame, as its blocks describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) interlaced: bool,
    /// Red, green and blue of each; may be cut off.
    pub(super) colors: &'a [u8],
    pub(super) transparent: Option<u8>,
    /// What becomes of it before the next one is drawn: 2 clears its place, 3 brings back what was there, all else leaves it.
    pub(super) disposal: u8,
    /// In hundredths of a second.
    pub(super) delay: u16,
    /// Of the compression.
    pub(super) code_size: u8,
    /// The compressed pixels: sub-blocks, each behind its length.
    data: &'a [u8],
    /// Whether the mark of their end is there.
    ended: bool,
    /// Whether the last of them is all there.
    whole: bool,
}

impl<'a> Frame<'a> {
    /// Whether it is shown: the first, those that may be whole, and what is there of another if damaged files are repaired.
    pub(super) fn is_shown(&self, first: bool, repair: bool) -> bool {
        first || repair || self.ended || self.whole && !self.data.is_empty()
    }

    /// The compressed pixels, as far as they are there.
    pub(super) fn data(&self) -> impl Iterator<Item = &'a [u8]> {
        pieces(self.data)
    }
}

/// What is in sub-blocks, as far as they are there.
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (block, left) = after.split_at(after.len().min(usize::from(length)));
        rest = left;
        Some(block)
    })
}

/// The frames that begin before the end of the bytes.
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The colours of frames that have none of their own.
    colors: &'a [u8],
    control: Control,
    /// As the blocks so far say it.
    pub(super) loops: Loops,
    /// The sub-blocks of the colour profile.
    profile: Option<&'a [u8]>,
}

/// What a graphic control extension says of the frame behind it.
#[derive(Clone, Copy, Default)]
struct Control {
    disposal: u8,
    delay: u16,
    transparent: Option<u8>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let flags = Screen::read(bytes).map_or(0, |screen| screen.flags);
        let (colors, at) = table(bytes, SCREEN_END, flags);
        Self { bytes, at, colors, control: Control::default(), loops: Loops::Times(1), profile: None }
    }

    /// The colour profile that the blocks so far have (ICC.1:2022, annex B.6).
    pub(super) fn icc(&self) -> Option<Vec<u8>> {
        self.profile.map(|blocks| pieces(blocks).flatten().copied().collect())
    }

    fn extension(&mut self) {
        let label = self.bytes.get(self.at).copied();
        let start = self.at + 1;
        let (end, ..) = sub_blocks(self.bytes, start);
        let data = self.bytes.get(start..end).unwrap_or_default();
        match (label, data) {
            (Some(0xF9), &[(4..), flags, low, high, index, ..]) => {
                let transparent = (flags & 1 == 1).then_some(index);
                self.control =
                    Control { disposal: flags >> 2 & 7, delay: u16::from_le_bytes([low, high]), transparent };
            }
            (Some(0xFF), [11, name @ ..])
                if name.starts_with(b"NETSCAPE2.0") || name.starts_with(b"ANIMEXTS1.0") =>
            {
                if let Some(&[(3..), 1, low, high]) = name.get(11..).and_then(|rest| rest.first_chunk::<4>())
                {
                    // How often it is repeated, which is once less than it is played.
                    self.loops = match u16::from_le_bytes([low, high]) {
                        0 => Loops::Forever,
                        repeated => Loops::Times(u32::from(repeated) + 1),
                    };
                }
            }
            (Some(0xFF), [11, name @ ..]) if name.starts_with(b"ICCRGBG1") => {
                self.profile = self.profile.or(name.get(11..));
            }
            _ => {}
        }
        self.at = end;
    }

    fn frame(&mut self) -> Option<Frame<'a>> {
        let &[x0, x1, y0, y1, w0, w1, h0, h1, flags] = self.bytes.get(self.at..)?.first_chunk::<9>()?;
        let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let (own, at) = table(self.bytes, self.at + 9, flags);
        let start = at.saturating_add(1);
        let (end, ended, whole) = sub_blocks(self.bytes, start);
        let Control { disposal, delay, transparent } = std::mem::take(&mut self.control);
        self.at = end;
        Some(Frame {
            left: number(x0, x1),
            top: number(y0, y1),
            width: number(w0, w1),
            height: number(h0, h1),
            interlaced: flags & 0x40 != 0,
            colors: if flags & 0x80 != 0 { own } else { self.colors },
            transparent,
            disposal,
            delay,
            code_size: self.bytes.get(at).copied().unwrap_or(0),
            data: self.bytes.get(start..end).unwrap_or_default(),
            ended,
            whole,
        })
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        loop {
            let kind = *self.bytes.get(self.at)?;
            self.at += 1;
            match kind {
                0x21 => self.extension(),
                0x2C => return self.frame(),
                0x3B => {
                    self.at = self.bytes.len();
                    return None;
                }
                // Zeros and worse stand between blocks; all that shows GIFs passes over them.
                _ => {}
            }
        }
    }
}

/// The colour table at a place, if the flags announce one, and where it ends.
fn table(bytes: &[u8], at: usize, flags: u8) -> (&[u8], usize) {
    let length = if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let rest = bytes.get(at..).unwrap_or_default();
    (&rest[..rest.len().min(length)], at + length)
}

/// The end of the sub-blocks from a place on, whether the one of length 0 that ends them is there, and whether the last is whole.
fn sub_blocks(bytes: &[u8], mut at: usize) -> (usize, bool, bool) {
    loop {
        match bytes.get(at).map(|&length| usize::from(length)) {
            Some(0) => return (at + 1, true, true),
            Some(length) => at += 1 + length,
            None => return (bytes.len(), false, at == bytes.len()),
        }
    }
}
