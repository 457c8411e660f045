//! The pictures of a file as items (ISO/IEC 23008-12, section 6; 14496-12, section 8.11): where their bytes lie, what they refer to,
//! and their properties.

use std::borrow::Cow;
use std::collections::HashMap;

use super::boxes::{Fields, Part, Parts, too_short};
use super::{malformed, unsupported};
use crate::error::CodecError;

/// Properties that say nothing of how a picture is shown, so that one may be essential and still be passed over.
const PASSED_OVER: [&[u8; 4]; 6] = [b"pasp", b"pixi", b"clli", b"mdcv", b"a1lx", b"cclv"];

/// Where an item's bytes lie.
#[derive(Debug, Default)]
struct Place {
    /// 0: in the file; 1: in the box of data; others are not read here.
    method: u8,
    /// Offset and length, of which 0 is all that is behind.
    extents: Vec<(u64, u64)>,
}

/// All that is told of the items.
#[derive(Debug, Default)]
pub(super) struct Meta<'a> {
    file: &'a [u8],
    data: &'a [u8],
    pub(super) primary: u32,
    kinds: HashMap<u32, [u8; 4]>,
    places: HashMap<u32, Place>,
    properties: Vec<Part<'a>>,
    /// Numbers of properties, from 1 on, in their order.
    of_items: HashMap<u32, Vec<u16>>,
    /// Kind, from, to.
    references: Vec<([u8; 4], u32, Vec<u32>)>,
}

impl<'a> Meta<'a> {
    /// By the content of the box, in the file that it is of.
    pub(super) fn read(meta: &'a [u8], file: &'a [u8]) -> Result<Self, CodecError> {
        let (.., inner) = Fields::versioned(meta)?;
        let parts = Parts(inner.0);
        let need = |kind: &[u8; 4]| {
            let name = String::from_utf8_lossy(kind).into_owned();
            parts.find(kind).ok_or_else(|| malformed(format!("no box {name} of its pictures")))
        };
        let mut read = Self { file, data: parts.find(b"idat").unwrap_or_default(), ..Self::default() };
        let (version, _, mut primary) = Fields::versioned(need(b"pitm")?)?;
        read.primary = primary.number(if version == 0 { 2 } else { 4 }).ok_or_else(too_short)? as u32;
        read.read_kinds(need(b"iinf")?)?;
        read.read_places(need(b"iloc")?)?;
        let properties = Parts(need(b"iprp")?);
        read.properties = Parts(properties.find(b"ipco").unwrap_or_default()).collect();
        for part in properties.filter(|part| part.kind == *b"ipma") {
            read.read_associations(part.data)?;
        }
        if let Some(references) = parts.find(b"iref") {
            read.read_references(references)?;
        }
        Ok(read)
    }

    fn read_kinds(&mut self, data: &'a [u8]) -> Result<(), CodecError> {
        let (version, _, mut fields) = Fields::versioned(data)?;
        fields.bytes(if version == 0 { 2 } else { 4 }).ok_or_else(too_short)?;
        for entry in Parts(fields.0).filter(|part| part.kind == *b"infe") {
            let (version, _, mut fields) = Fields::versioned(entry.data)?;
            let id = fields.number(if version < 3 { 2 } else { 4 }).ok_or_else(too_short)? as u32;
            // Behind the protection's index; earlier versions know no kinds.
            let kind = fields.bytes(6).and_then(|bytes| bytes.last_chunk::<4>().copied());
            if let Some(kind) = kind.filter(|_| version >= 2) {
                self.kinds.entry(id).or_insert(kind);
            }
        }
        Ok(())
    }

    fn read_places(&mut self, data: &'a [u8]) -> Result<(), CodecError> {
        let (version, _, mut fields) = Fields::versioned(data)?;
        let sizes = fields.u16().ok_or_else(too_short)?;
        let size = |shift: u16| usize::from(sizes >> shift & 15);
        let (offset, length, base, index) =
            (size(12), size(8), size(4), if version > 0 { size(0) } else { 0 });
        if offset.max(length).max(base).max(index) > 8 {
            return Err(malformed("numbers of more than 64 bits"));
        }
        let id = if version < 2 { 2 } else { 4 };
        let count = fields.number(id).ok_or_else(too_short)?;
        for _ in 0..count {
            let mut entry = || {
                let item = fields.number(id)? as u32;
                let method = if version > 0 { fields.u16()? as u8 & 15 } else { 0 };
                fields.u16()?;
                let start = fields.number(base)?;
                let count = fields.u16()?;
                let extent = |_| {
                    fields.number(index)?;
                    let from = fields.number(offset)?;
                    Some((start.checked_add(from)?, fields.number(length)?))
                };
                // An extent of no bytes is all there is; of such there can be one.
                let count = if offset + length + index == 0 { count.min(1) } else { count };
                let extents = (0..count).map(extent).collect::<Option<_>>()?;
                Some((item, Place { method, extents }))
            };
            let (item, place) = entry().ok_or_else(too_short)?;
            self.places.entry(item).or_insert(place);
        }
        Ok(())
    }

    fn read_associations(&mut self, data: &'a [u8]) -> Result<(), CodecError> {
        let (version, flags, mut fields) = Fields::versioned(data)?;
        let wide = flags & 1 != 0;
        let count = fields.u32().ok_or_else(too_short)?;
        for _ in 0..count {
            let item = fields.number(if version == 0 { 2 } else { 4 }).ok_or_else(too_short)? as u32;
            let own = fields.u8().ok_or_else(too_short)?;
            let numbers = (0..own).map(|_| {
                let number = if wide {
                    fields.u16()?
                } else {
                    let short = fields.u8()?;
                    // The highest bit says that it is essential.
                    u16::from(short & 0x7F) | u16::from(short & 0x80) << 8
                };
                Some(number)
            });
            let numbers: Vec<u16> = numbers.collect::<Option<_>>().ok_or_else(too_short)?;
            self.of_items.entry(item).or_insert(numbers);
        }
        Ok(())
    }

    fn read_references(&mut self, data: &'a [u8]) -> Result<(), CodecError> {
        let (version, _, fields) = Fields::versioned(data)?;
        let id = if version == 0 { 2 } else { 4 };
        for part in Parts(fields.0) {
            let mut fields = Fields(part.data);
            let mut entry = || {
                let from = fields.number(id)? as u32;
                let count = fields.u16()?;
                let to = (0..count).map(|_| fields.number(id).map(|to| to as u32)).collect::<Option<_>>()?;
                Some((from, to))
            };
            let (from, to) = entry().ok_or_else(too_short)?;
            self.references.push((part.kind, from, to));
        }
        Ok(())
    }

    /// All items in their order.
    pub(super) fn items(&self) -> Vec<u32> {
        let mut items: Vec<u32> = self.kinds.keys().copied().collect();
        items.sort_unstable();
        items
    }

    /// The numbers of an item's properties, from 1 on; the highest bit says that one is essential.
    pub(super) fn numbers(&self, item: u32) -> &[u16] {
        self.of_items.get(&item).map_or(&[], Vec::as_slice)
    }

    /// What kind of item it is.
    pub(super) fn kind(&self, item: u32) -> Option<[u8; 4]> {
        self.kinds.get(&item).copied()
    }

    /// The items that one refers to in this way.
    pub(super) fn referred(&self, kind: &[u8; 4], from: u32) -> &[u32] {
        let found = self.references.iter().find(|(of, item, _)| of == kind && *item == from);
        found.map_or(&[], |(_, _, to)| to)
    }

    /// The items that refer to one in this way.
    pub(super) fn referring(&self, kind: &[u8; 4], to: u32) -> impl Iterator<Item = u32> {
        self.references
            .iter()
            .filter(move |(of, _, items)| of == kind && items.contains(&to))
            .map(|(_, item, _)| *item)
    }

    /// The properties of an item in their order.
    ///
    /// # Errors
    /// That one has to be followed and is not known here.
    pub(super) fn properties(&self, item: u32) -> Result<Vec<Property<'a>>, CodecError> {
        let mut found = Vec::new();
        for number in self.of_items.get(&item).into_iter().flatten() {
            let (essential, index) = (number & 0x8000 != 0, usize::from(number & 0x7FFF));
            let Some(part) = index.checked_sub(1).and_then(|index| self.properties.get(index)) else {
                continue;
            };
            match Property::read(part)? {
                Some(property) => found.push(property),
                None if essential && !PASSED_OVER.contains(&&part.kind) => {
                    let name = String::from_utf8_lossy(&part.kind);
                    return Err(unsupported(format!("the essential property {name} is not known here")));
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// The bytes of an item, as far as they are there, and whether that is all of them.
    pub(super) fn bytes(&self, item: u32) -> Result<(Cow<'a, [u8]>, bool), CodecError> {
        let place = self.places.get(&item).ok_or_else(|| malformed("a picture that lies nowhere"))?;
        let from = match place.method {
            0 => self.file,
            1 => self.data,
            method => return Err(unsupported(format!("its bytes lie by method {method}"))),
        };
        let mut whole = true;
        let parts = place.extents.iter().map(|&(offset, length)| {
            let rest = usize::try_from(offset).ok().and_then(|at| from.get(at..)).unwrap_or_default();
            let part = match length {
                0 => rest,
                length => {
                    usize::try_from(length).ok().and_then(|length| rest.get(..length)).unwrap_or_else(|| {
                        whole = false;
                        rest
                    })
                }
            };
            whole &= !part.is_empty();
            part
        });
        let parts: Vec<&[u8]> = parts.collect();
        // Extents may overlap: all together are no longer than the file.
        if parts.iter().map(|part| part.len()).fold(0, usize::saturating_add) > self.file.len() {
            return Err(malformed("a picture of more bytes than the file has"));
        }
        let bytes = match parts[..] {
            [one] => Cow::Borrowed(one),
            _ => Cow::Owned(parts.concat()),
        };
        Ok((bytes, whole))
    }
}

/// What is told of a picture, of what counts here.
#[derive(Clone, Debug)]
pub(super) enum Property<'a> {
    /// Its width and height (ispe).
    Size(u32, u32),
    /// How it is coded (av1C).
    Coding(Coding),
    /// By numbers of ITU-T H.273: primaries, transfer and matrix, and whether the range is full (colr, nclx).
    Points([u16; 3], bool),
    /// A colour profile (colr, prof and rICC).
    Profile(&'a [u8]),
    /// What of it is shown (clap): width, height, and how far its centre is from the picture's, as fractions.
    Aperture([(u32, u32); 2], [(i32, u32); 2]),
    /// Quarters of a turn to the left (irot).
    Turn(u8),
    /// Whether left and right change places, and not top and bottom (imir).
    Mirror(bool),
    /// What it is, of what is no picture by itself (auxC).
    Auxiliary(&'a [u8]),
    /// Which of several ways to decode it is chosen (a1op).
    OperatingPoint(u8),
    /// That of its layers no one is chosen (lsel).
    AllLayers,
}

/// How a picture is coded (AV1 in ISOBMFF, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    /// More than 8 bits a sample.
    pub(super) wide: bool,
    pub(super) gray: bool,
}

impl Coding {
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let bits = *data.get(2)?;
        Some(Self { wide: bits & 0x40 != 0, gray: bits & 0x10 != 0 })
    }
}

impl<'a> Property<'a> {
    /// None for one that does not count here.
    pub(super) fn read(part: &Part<'a>) -> Result<Option<Self>, CodecError> {
        let mut fields = Fields(part.data);
        let read = match &part.kind {
            b"ispe" => fields.u32().and_then(|_| Some(Self::Size(fields.u32()?, fields.u32()?))),
            b"av1C" => Coding::read(part.data).map(Self::Coding),
            b"colr" => match fields.bytes(4) {
                Some(b"nclx") => (|| {
                    let points = [fields.u16()?, fields.u16()?, fields.u16()?];
                    Some(Self::Points(points, fields.u8()? & 0x80 != 0))
                })(),
                Some(b"prof" | b"rICC") => Some(Self::Profile(fields.0)),
                Some(_) => return Ok(None),
                None => None,
            },
            b"clap" => (|| {
                let mut fraction = || Some((fields.u32()?, fields.u32()?));
                let size = [fraction()?, fraction()?];
                let mut place = || fraction().map(|(above, below)| (above as i32, below));
                Some(Self::Aperture(size, [place()?, place()?]))
            })(),
            b"irot" => fields.u8().map(|turn| Self::Turn(turn & 3)),
            b"imir" => fields.u8().map(|axis| Self::Mirror(axis & 1 != 0)),
            b"auxC" => fields
                .u32()
                .map(|_| Self::Auxiliary(fields.0.split(|&byte| byte == 0).next().unwrap_or_default())),
            b"a1op" => fields.u8().map(Self::OperatingPoint),
            b"lsel" if fields.u16() == Some(u16::MAX) => Some(Self::AllLayers),
            _ => return Ok(None),
        };
        read.map(Some).ok_or_else(too_short)
    }
}
