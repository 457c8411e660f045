//! The marker segments (T.81, annex B): frame and scan headers, tables, Adobe's and JFIF's marks. What they say is
//! checked here, so that later code may rely on it.

use super::error::{DecodeError, Unsupported};
use super::huffman::Spec;

/// One colour component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub(super) h: usize,
    /// Vertical sampling factor, 1 to 4.
    pub(super) v: usize,
    /// Its quantisation table, 0 to 3.
    pub(super) quantization: usize,
}

/// The frame header, SOF0 to SOF2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    /// In pixels, at least 1.
    pub(super) width: usize,
    /// In pixels, at least 1.
    pub(super) height: usize,
    /// One, three or four.
    pub(super) components: Vec<Component>,
    /// The largest horizontal sampling factor.
    pub(super) h_max: usize,
    /// The largest vertical one.
    pub(super) v_max: usize,
}

/// A scan header, SOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Index into the frame's components, DC table, AC table.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// First coefficient in zigzag order, 0 to 63.
    pub(super) start: usize,
    /// Last coefficient.
    pub(super) end: usize,
    /// Bits that earlier scans have left out; 0 in the first scan of a band.
    pub(super) high: u32,
    /// Bits that this one leaves out.
    pub(super) low: u32,
}

/// Quantisers in zigzag order.
pub(super) type Quantization = [u16; 64];

/// What the segments so far have set.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) quantization: [Option<Quantization>; 4],
    pub(super) dc: [Option<Spec>; 4],
    pub(super) ac: [Option<Spec>; 4],
    /// MCUs between restart markers; 0 means none.
    pub(super) restart_interval: usize,
    pub(super) jfif: bool,
    /// Adobe's colour transform.
    pub(super) adobe: Option<u8>,
}

/// A reader of segments.
#[derive(Clone, Debug)]
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

/// What a segment was, as far as it matters to the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Frame(Frame),
    Scan(Scan),
    /// The end-of-image marker.
    End,
    /// The bytes have ended without one.
    CutOff,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes {
            [0xFF, 0xD8, ..] => Ok(Self { bytes, at: 2 }),
            _ => Err(DecodeError::Malformed("not a JPEG")),
        }
    }

    /// Reads on to the next frame or scan header or the end, taking in the tables on the way.
    pub(super) fn next(
        &mut self,
        tables: &mut Tables,
        frame: Option<&Frame>,
    ) -> Result<Segment, DecodeError> {
        while let Some(marker) = self.marker() {
            match marker {
                0xD9 => return Ok(Segment::End),
                0x01 | 0xD0..=0xD8 => continue,
                _ => {}
            }
            let Some(body) = self.body()? else { break };
            match marker {
                0xC0..=0xC2 if frame.is_some() => {
                    return Err(DecodeError::Malformed("more than one frame header"));
                }
                0xC0..=0xC2 => return Frame::parse(marker == 0xC2, body).map(Segment::Frame),
                0xC3 => return Err(Unsupported::Lossless.into()),
                0xC5..=0xC7 => return Err(Unsupported::Hierarchical.into()),
                0xC9..=0xCB | 0xCD..=0xCF => return Err(Unsupported::Arithmetic.into()),
                0xDA => {
                    let frame = frame.ok_or(DecodeError::Malformed("a scan before the frame header"))?;
                    return Scan::parse(body, frame).map(Segment::Scan);
                }
                _ => tables.note(marker, body)?,
            }
        }
        Ok(Segment::CutOff)
    }

    /// The bytes from here on: entropy-coded data after a scan header.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next marker's code. What stands before it is skipped, as every decoder does.
    fn marker(&mut self) -> Option<u8> {
        loop {
            self.at += memchr::memchr(0xFF, self.rest())?;
            self.at += self.rest().iter().take_while(|&&byte| byte == 0xFF).count();
            let code = *self.bytes.get(self.at)?;
            self.at += 1;
            if code != 0 {
                return Some(code);
            }
        }
    }

    /// The segment's content; `None` when the bytes end before it does.
    fn body(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let Some(&[high, low]) = self.bytes.get(self.at..self.at + 2) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(DecodeError::Malformed("a segment shorter than its own length field"));
        }
        let Some(body) = self.bytes.get(self.at + 2..self.at + length) else { return Ok(None) };
        self.at += length;
        Ok(Some(body))
    }
}

impl Tables {
    fn note(&mut self, marker: u8, body: &[u8]) -> Result<(), DecodeError> {
        match marker {
            0xC4 => self.huffman(body),
            0xDB => self.quantization(body),
            0xDD => {
                let &[high, low] = body else { return Err(DecodeError::Malformed("bad restart interval")) };
                self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
                Ok(())
            }
            0xE0 => {
                self.jfif |= body.starts_with(b"JFIF\0") && body.len() >= 14;
                Ok(())
            }
            0xEE => {
                if body.starts_with(b"Adobe") && body.len() >= 12 {
                    self.adobe = Some(body[11]);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        while let Some((&class, rest)) = body.split_first() {
            let bad = DecodeError::Malformed("bad Huffman table");
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
            let (values, rest) = rest.split_at_checked(total).ok_or(bad)?;
            let (place, index) = match class >> 4 {
                0 => (&mut self.dc, class & 15),
                1 => (&mut self.ac, class & 15),
                _ => return Err(bad),
            };
            *place.get_mut(usize::from(index)).ok_or(bad)? = Some(Spec::new(counts, values)?);
            body = rest;
        }
        Ok(())
    }

    fn quantization(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        while let Some((&head, rest)) = body.split_first() {
            let bad = DecodeError::Malformed("bad quantisation table");
            let mut table = [0; 64];
            let bytes = if head >> 4 == 0 { 64 } else { 128 };
            let (values, rest) = rest.split_at_checked(bytes).ok_or(bad)?;
            if bytes == 64 {
                table.iter_mut().zip(values).for_each(|(to, &from)| *to = u16::from(from));
            } else {
                let (pairs, _) = values.as_chunks::<2>();
                table.iter_mut().zip(pairs).for_each(|(to, &from)| *to = u16::from_be_bytes(from));
            }
            *self.quantization.get_mut(usize::from(head & 15)).ok_or(bad)? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// Whether three components are RGB rather than YCbCr, by libjpeg's rules: JFIF, then Adobe, then identifiers.
    pub(super) fn is_rgb(&self, frame: &Frame) -> bool {
        match (self.jfif, self.adobe) {
            (true, _) => false,
            (false, Some(transform)) => transform == 0,
            (false, None) => frame.components.iter().map(|component| component.id).eq(*b"RGB"),
        }
    }

    /// Whether four components are YCCK rather than CMYK.
    pub(super) fn is_ycck(&self) -> bool {
        self.adobe.is_some_and(|transform| transform != 0)
    }
}

impl Frame {
    fn parse(progressive: bool, body: &[u8]) -> Result<Self, DecodeError> {
        let bad = DecodeError::Malformed("bad frame header");
        let (&[precision, h1, h0, w1, w0, count], rest) = body.split_first_chunk::<6>().ok_or(bad)?;
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if precision != 8 {
            return Err(Unsupported::Precision(precision).into());
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Unsupported::Components(count).into());
        }
        if width == 0 {
            return Err(DecodeError::Malformed("a width of 0"));
        }
        if height == 0 {
            return Err(Unsupported::LateHeight.into());
        }
        let (triples, _) = rest.get(..3 * usize::from(count)).ok_or(bad)?.as_chunks::<3>();
        let mut components = Vec::with_capacity(4);
        for &[id, factors, table] in triples {
            let (h, v) = (usize::from(factors >> 4), usize::from(factors & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || table > 3 {
                return Err(bad);
            }
            components.push(Component { id, h, v, quantization: usize::from(table) });
        }
        // A lone component is its own measure: its blocks come one by one (T.81, A.2.2).
        if let [component] = &mut components[..] {
            (component.h, component.v) = (1, 1);
        }
        let most = |factor: fn(&Component) -> usize| components.iter().map(factor).max().unwrap_or(1);
        let (h_max, v_max) = (most(|component| component.h), most(|component| component.v));
        Ok(Self { progressive, width: width.into(), height: height.into(), components, h_max, v_max })
    }
}

impl Scan {
    fn parse(body: &[u8], frame: &Frame) -> Result<Self, DecodeError> {
        let bad = DecodeError::Malformed("bad scan header");
        let (&count, rest) = body.split_first().ok_or(bad)?;
        let (pairs, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(bad)?;
        let (&[start, end, bits], _) = rest.split_first_chunk::<3>().ok_or(bad)?;
        let mut components = Vec::<(usize, usize, usize)>::with_capacity(4);
        for pair in pairs.chunks_exact(2) {
            // Some files give all components the same identifier: then they come in order, as libjpeg-turbo takes them.
            let is_next = |&index: &usize| {
                frame.components[index].id == pair[0] && components.iter().all(|&(other, ..)| other != index)
            };
            let index = (0..frame.components.len()).find(is_next).ok_or(bad)?;
            let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
            if dc > 3 || ac > 3 {
                return Err(bad);
            }
            components.push((index, dc, ac));
        }
        let mut scan = Self {
            components,
            start: start.into(),
            end: end.into(),
            high: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        };
        scan.check(frame).ok_or(bad)?;
        Ok(scan)
    }

    fn check(&mut self, frame: &Frame) -> Option<()> {
        let blocks = self.components.iter().map(|&(index, ..)| {
            let component = frame.components[index];
            component.h * component.v
        });
        let blocks: usize = blocks.sum();
        // T.81, B.2.3: an MCU has at most ten blocks.
        if self.components.is_empty() || self.components.len() > 1 && blocks > 10 {
            return None;
        }
        if !frame.progressive {
            // Decoders ignore these numbers, and some encoders write nonsense there.
            (self.start, self.end, self.high, self.low) = (0, 63, 0, 0);
            return Some(());
        }
        let dc_alone = self.start == 0 && self.end == 0;
        let one_band =
            self.start > 0 && self.start <= self.end && self.end < 64 && self.components.len() == 1;
        let refines = self.high == 0 || self.high == self.low + 1;
        ((dc_alone || one_band) && refines && self.low <= 13).then_some(())
    }
}
