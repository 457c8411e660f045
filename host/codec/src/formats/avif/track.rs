//! An animation's pictures as samples of tracks (ISO/IEC 14496-12, section 8): of colours, and of alpha beside them.

use super::boxes::{Fields, Parts, too_short};
use super::file::Colors;
use super::malformed;
use super::meta::{Coding, Property};
use crate::error::CodecError;

/// Bytes of a sample's description before the boxes within it.
const DESCRIPTION: usize = 78;

/// What is shown of a file of tracks.
pub(super) struct Movie<'a> {
    pub(super) color: Track<'a>,
    pub(super) alpha: Option<Track<'a>>,
    pub(super) premultiplied: bool,
    /// How often it is played; none for ever, and where nothing is said.
    pub(super) loops: Option<u32>,
}

/// One track.
#[derive(Clone, Debug)]
pub(super) struct Track<'a> {
    file: &'a [u8],
    pub(super) size: (u32, u32),
    pub(super) coding: Coding,
    pub(super) colors: Colors<'a>,
    /// How many samples there are, at least 1.
    pub(super) count: u32,
    table: &'a [u8],
    /// Units of time in a second.
    scale: u32,
}

/// One picture's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// As much as there is.
    pub(super) bytes: &'a [u8],
    pub(super) whole: bool,
    /// How long it is shown, in milliseconds.
    pub(super) delay_ms: u32,
}

/// What a track's header says.
struct Head {
    id: u32,
    duration: Option<u64>,
}

impl<'a> Movie<'a> {
    pub(super) fn read(moov: &'a [u8], file: &'a [u8]) -> Result<Self, CodecError> {
        let mut color = None;
        let mut others = Vec::new();
        for part in Parts(moov).filter(|part| part.kind == *b"trak") {
            let head = head(part.data)?;
            let kind = Parts(part.data)
                .find_in(&[b"mdia", b"hdlr"])
                .and_then(|handler| handler.get(8..12))
                .ok_or_else(|| malformed("a track that does not say what it is of"))?;
            match kind {
                b"pict" if color.is_none() => color = Some((head, part.data)),
                b"auxv" => others.push((head, part.data)),
                _ => {}
            }
        }
        let (head, trak) = color.ok_or_else(|| malformed("no track of pictures"))?;
        let alpha = others.into_iter().find(|(_, trak)| refers(trak, b"auxl", head.id));
        let premultiplied = alpha.as_ref().is_some_and(|(alpha, _)| refers(trak, b"prem", alpha.id));
        let alpha = alpha.map(|(_, trak)| Track::read(trak, file)).transpose()?;
        Ok(Self { color: Track::read(trak, file)?, alpha, premultiplied, loops: loops(trak, &head) })
    }
}

fn head(trak: &[u8]) -> Result<Head, CodecError> {
    let data = Parts(trak).find(b"tkhd").ok_or_else(|| malformed("a track without header"))?;
    let (version, _, mut fields) = Fields::versioned(data)?;
    let wide = if version == 0 { 4 } else { 8 };
    let mut read = || {
        fields.bytes(2 * wide)?;
        let id = fields.u32()?;
        fields.u32()?;
        let duration = fields.number(wide)?;
        let unknown = if wide == 4 { u64::from(u32::MAX) } else { u64::MAX };
        Some(Head { id, duration: (duration != unknown).then_some(duration) })
    };
    read().ok_or_else(too_short)
}

/// Whether a track refers to another one in this way.
fn refers(trak: &[u8], kind: &[u8; 4], id: u32) -> bool {
    let to = Parts(trak).find(b"tref").and_then(|references| Parts(references).find(kind));
    to.is_some_and(|to| to.as_chunks().0.iter().any(|to| u32::from_be_bytes(*to) == id))
}

/// By the list of edits, which is repeated to the end of the track if it says so (section 8.6.6).
fn loops(trak: &[u8], head: &Head) -> Option<u32> {
    let data = Parts(trak).find_in(&[b"edts", b"elst"])?;
    let (version, flags, mut fields) = Fields::versioned(data).ok()?;
    if flags & 1 == 0 {
        return Some(1);
    }
    fields.u32()?;
    let once = fields.number(if version == 0 { 4 } else { 8 }).filter(|once| *once > 0)?;
    Some(u32::try_from(head.duration?.div_ceil(once)).unwrap_or(u32::MAX).max(1))
}

impl<'a> Track<'a> {
    fn read(trak: &'a [u8], file: &'a [u8]) -> Result<Self, CodecError> {
        let media = Parts(Parts(trak).find(b"mdia").ok_or_else(too_short)?);
        let (version, _, mut fields) = Fields::versioned(media.find(b"mdhd").ok_or_else(too_short)?)?;
        fields.bytes(if version == 0 { 8 } else { 16 }).ok_or_else(too_short)?;
        let scale = fields.u32().ok_or_else(too_short)?.max(1);
        let table = media.find_in(&[b"minf", b"stbl"]).ok_or_else(|| malformed("a track without samples"))?;
        let description = Parts(table).find(b"stsd").ok_or_else(too_short)?.get(8..).ok_or_else(too_short)?;
        let description = Parts(description).find(b"av01");
        let description = description.ok_or_else(|| malformed("a track of other pictures than AV1's"))?;
        let mut fields = Fields(description.get(24..).ok_or_else(too_short)?);
        let side = |side: Option<u16>| side.filter(|side| *side > 0).map(u32::from).ok_or_else(too_short);
        let size = (side(fields.u16())?, side(fields.u16())?);
        let inner = Parts(description.get(DESCRIPTION..).ok_or_else(too_short)?);
        let mut properties = Vec::new();
        for part in inner {
            properties.extend(Property::read(&part)?);
        }
        let coding = properties.iter().find_map(|property| match property {
            Property::Coding(coding) => Some(*coding),
            _ => None,
        });
        let coding = coding.ok_or_else(|| malformed("a track that does not say how it is coded"))?;
        let count = sizes(table)?.0;
        if count == 0 {
            return Err(malformed("no frame"));
        }
        Ok(Self { file, size, coding, colors: Colors::of(&properties), count, table, scale })
    }

    /// Its samples, of which there are as many as the header says.
    pub(super) fn samples(&self) -> Result<Vec<Sample<'a>>, CodecError> {
        let (count, constant, mut lengths) = sizes(self.table)?;
        let mut durations = self.durations()?;
        let mut places = self.chunks()?;
        let mut samples = Vec::new();
        let (mut at, mut left) = (0_u64, 0_u32);
        for _ in 0..count {
            while left == 0 {
                (at, left) = places.next().ok_or_else(|| malformed("samples that lie nowhere"))?;
            }
            let length = if constant > 0 { constant } else { lengths.u32().ok_or_else(too_short)? };
            let rest = usize::try_from(at).ok().and_then(|at| self.file.get(at..)).unwrap_or_default();
            let whole = rest.get(..length as usize);
            let bytes = whole.unwrap_or(rest);
            let delay_ms = durations.next().unwrap_or(0);
            samples.push(Sample { bytes, whole: whole.is_some() && length > 0, delay_ms });
            (at, left) = (at.saturating_add(length.into()), left - 1);
        }
        Ok(samples)
    }

    /// How long each sample is shown, in milliseconds.
    fn durations(&self) -> Result<impl Iterator<Item = u32> + use<'a>, CodecError> {
        let (.., mut fields) = Fields::versioned(Parts(self.table).find(b"stts").ok_or_else(too_short)?)?;
        fields.u32().ok_or_else(too_short)?;
        let scale = u64::from(self.scale);
        let (entries, _) = fields.0.as_chunks::<8>();
        Ok(entries.iter().flat_map(move |[a, b, c, d, e, f, g, h]| {
            let ticks = u64::from(u32::from_be_bytes([*e, *f, *g, *h]));
            let delay = u32::try_from((ticks * 1000 + scale / 2) / scale).unwrap_or(u32::MAX);
            std::iter::repeat_n(delay, u32::from_be_bytes([*a, *b, *c, *d]) as usize)
        }))
    }

    /// Where each chunk begins, and how many samples are in it.
    fn chunks(&self) -> Result<impl Iterator<Item = (u64, u32)> + use<'a>, CodecError> {
        let parts = Parts(self.table);
        let (offsets, bytes) = match parts.find(b"co64") {
            Some(offsets) => (offsets, 8),
            None => (parts.find(b"stco").ok_or_else(too_short)?, 4),
        };
        let offsets = offsets.get(8..).ok_or_else(too_short)?.chunks_exact(bytes);
        let runs = parts.find(b"stsc").and_then(|runs| runs.get(8..)).ok_or_else(too_short)?;
        let number = |bytes: &[u8]| Fields(bytes).u32().unwrap_or(0);
        let (runs, _) = runs.as_chunks::<12>();
        let mut run = 0;
        Ok(offsets.zip(1_u32..).map_while(move |(offset, chunk)| {
            while runs.get(run + 1).is_some_and(|next| number(&next[..4]) <= chunk) {
                run += 1;
            }
            let samples = number(&runs.get(run)?[4..8]);
            Some((Fields(offset).number(bytes)?, samples))
        }))
    }
}

/// How many samples there are, the size that each has, if that is one, and else their sizes.
fn sizes(table: &[u8]) -> Result<(u32, u32, Fields<'_>), CodecError> {
    let (.., mut fields) = Fields::versioned(Parts(table).find(b"stsz").ok_or_else(too_short)?)?;
    let (constant, count) = (fields.u32().ok_or_else(too_short)?, fields.u32().ok_or_else(too_short)?);
    if constant == 0 && fields.0.len() / 4 < count as usize {
        return Err(too_short());
    }
    Ok((count, constant, fields))
}
