//! Walks a JPEG's marker segments (ITU-T T.81, annex B) as far as its first scan: the frame header, EXIF, XMP, Photoshop's resources,
//! the colour profile's pieces and Adobe's colour transform.

use std::ops::Range;

use super::beside::{PHOTOSHOP, XMP};

/// What the segments say.
#[derive(Clone, Debug, Default)]
pub(super) struct Markers {
    pub(super) frame: Option<Frame>,
    exif: Option<Range<usize>>,
    xmp: Option<Range<usize>>,
    resources: Option<Range<usize>>,
    /// The pieces of the ICC profile: number (from 1) and place.
    icc: Vec<(u8, Range<usize>)>,
    /// How many there are to be.
    icc_pieces: u8,
    /// Adobe's APP14 colour transform, if there is one.
    pub(super) adobe: Option<u8>,
    pub(super) jfif: bool,
    /// Whether the end-of-image marker was reached.
    pub(super) whole: bool,
}

/// The frame header, SOFn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// n of SOFn: 0 to 2 are decoded here.
    pub(super) process: u8,
    pub(super) precision: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    /// Identifier, horizontal and vertical sampling factor.
    pub(super) components: Vec<[u8; 3]>,
}

/// How far to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Frame,
    /// The first scan: everything but the picture has come by then.
    Scan,
}

impl Markers {
    /// Walks as far as asked and as the bytes go; the caller sees by `frame` and `whole` how far that was.
    ///
    /// # Errors
    /// A text, when a segment breaks the rules.
    pub(super) fn walk(bytes: &[u8], until: Until) -> Result<Self, &'static str> {
        let mut found = Self::default();
        let mut at = 2;
        while let Some((marker, after)) = next_marker(bytes, at) {
            at = after;
            match marker {
                0xD9 => {
                    found.whole = true;
                    break;
                }
                0x01 | 0xD0..=0xD8 => continue,
                _ => {}
            }
            let Some(body) = segment(bytes, at)? else { break };
            at = body.end;
            found.note(marker, bytes, body)?;
            if marker == 0xDA || until == Until::Frame && found.frame.is_some() {
                break;
            }
        }
        Ok(found)
    }

    fn note(&mut self, marker: u8, bytes: &[u8], body: Range<usize>) -> Result<(), &'static str> {
        let data = &bytes[body.clone()];
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                if self.frame.is_some() {
                    return Err("more than one frame header");
                }
                self.frame = Some(Frame::parse(marker & 0x0F, data).ok_or("bad frame header")?);
            }
            0xE0 if data.starts_with(b"JFIF\0") => self.jfif = true,
            0xE1 if data.starts_with(b"Exif\0") && self.exif.is_none() => self.exif = Some(body),
            0xE1 if data.starts_with(XMP) && self.xmp.is_none() => self.xmp = Some(body),
            0xED if data.starts_with(PHOTOSHOP) && self.resources.is_none() => self.resources = Some(body),
            0xE2 if data.starts_with(b"ICC_PROFILE\0") && data.len() > 14 => {
                self.icc.push((data[12], body.start + 14..body.end));
                self.icc_pieces = data[13];
            }
            0xEE if data.starts_with(b"Adobe") => self.adobe = data.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    /// The EXIF block, from `Exif\0\0` on.
    pub(super) fn exif<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.exif.clone()?)
    }

    /// The segment of XMP, from what marks it on.
    pub(super) fn xmp<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.xmp.clone()?)
    }

    /// The segment of Photoshop's resources, from what marks it on.
    pub(super) fn resources<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.resources.clone()?)
    }

    /// The colour profile put together (ICC.1, annex B.4), if there is one.
    ///
    /// # Errors
    /// A text, when a piece is missing or there twice.
    pub(super) fn icc(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let mut pieces = self.icc.clone();
        if pieces.is_empty() {
            return Ok(None);
        }
        pieces.sort_by_key(|(number, _)| *number);
        // Some writers count from 0.
        let from = pieces[0].0.min(1);
        let in_order = pieces.iter().zip(from..=255).all(|((number, _), wanted)| *number == wanted);
        if pieces.len() > 255 || !in_order || pieces.len() < usize::from(self.icc_pieces) {
            return Err("pieces of the colour profile are missing or there twice");
        }
        Ok(Some(pieces.into_iter().flat_map(|(_, range)| &bytes[range]).copied().collect()))
    }

    /// Whether three components are RGB rather than YCbCr, by libjpeg's rules: JFIF, then Adobe, then identifiers.
    pub(super) fn is_rgb(&self) -> bool {
        let identifiers = self.frame.iter().flat_map(|frame| &frame.components).map(|component| component[0]);
        match (self.jfif, self.adobe) {
            (true, _) => false,
            (false, Some(transform)) => transform == 0,
            (false, None) => identifiers.eq(*b"RGB"),
        }
    }
}

impl Frame {
    fn parse(process: u8, data: &[u8]) -> Option<Self> {
        let count = usize::from(*data.get(5)?);
        let (components, _) = data.get(6..6 + 3 * count)?.as_chunks::<3>();
        Some(Self {
            process,
            precision: data[0],
            height: u16::from_be_bytes([data[1], data[2]]),
            width: u16::from_be_bytes([data[3], data[4]]),
            components: components.iter().map(|&[id, factors, _]| [id, factors >> 4, factors & 15]).collect(),
        })
    }

    /// How many samples its components have together, padded to whole blocks.
    pub(super) fn samples(&self) -> u64 {
        let most =
            |index: usize| self.components.iter().map(|c| u64::from(c[index])).max().unwrap_or(1).max(1);
        let (h_most, v_most) = (most(1), most(2));
        let units = u64::from(self.width).div_ceil(8 * h_most) * u64::from(self.height).div_ceil(8 * v_most);
        let blocks: u64 = self.components.iter().map(|c| u64::from(c[1]) * u64::from(c[2])).sum();
        units * blocks * 64
    }
}

/// How many scans a file has, at most: what looks like one is one.
pub(super) fn scans(bytes: &[u8]) -> usize {
    bytes.array_windows().filter(|pair| **pair == [0xFF, 0xDA]).count()
}

/// The next marker's code and the place behind it. What stands before it is skipped, as every decoder does.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        let fill = bytes[at..].iter().take_while(|&&byte| byte == 0xFF).count();
        at += fill;
        match *bytes.get(at)? {
            0 => at += 1,
            marker => return Some((marker, at + 1)),
        }
    }
}

/// The place of a segment's content; `None` when the bytes end before it does.
fn segment(bytes: &[u8], at: usize) -> Result<Option<Range<usize>>, &'static str> {
    let Some(&[high, low]) = bytes.get(at..at + 2) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < 2 {
        return Err("a segment shorter than its own length field");
    }
    let end = at + length;
    Ok((end <= bytes.len()).then_some(at + 2..end))
}
