//! What a file is to show: its primary picture, which may be a grid of several, or an animation's; with alpha, colours, and how it is
//! turned and cut.

use std::borrow::Cow;

use imgserve_jpeg::Region;
use imgserve_sdk::PixelFormat;

use super::boxes::{Fields, Parts, too_short};
use super::meta::{Coding, Meta, Property};
use super::track::{Movie, Track};
use super::{malformed, unsupported};
use crate::error::CodecError;
use crate::orientation::Orientation;

/// What says that an auxiliary picture is alpha (MIAF, and as HEIF said it before).
const ALPHA: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// A file's one thing to show.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// As it is coded.
    pub(super) coded: (u32, u32),
    /// What of it is shown.
    pub(super) crop: Region,
    /// How that lies.
    pub(super) orientation: Orientation,
    pub(super) colors: Colors<'a>,
    /// Whether its colours are multiplied by its alpha.
    pub(super) premultiplied: bool,
    pub(super) course: Course<'a>,
    coding: Coding,
    alpha: bool,
}

/// What is told of the colours beside the pictures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Colors<'a> {
    /// By ITU-T H.273: primaries, transfer, matrix, and whether the range is full.
    pub(super) points: Option<([u16; 3], bool)>,
    pub(super) profile: Option<&'a [u8]>,
}

#[derive(Debug)]
pub(super) enum Course<'a> {
    Still { meta: Meta<'a>, color: Layer, alpha: Option<Layer> },
    Animation { color: Track<'a>, alpha: Option<Track<'a>>, forever: bool, times: u32 },
}

/// A still's colours, or its alpha.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The items that are decoded, row by row.
    pub(super) items: Vec<u32>,
    pub(super) columns: u32,
    /// The size of each.
    pub(super) tile: (u32, u32),
    /// Of all.
    size: (u32, u32),
    pub(super) operating_point: u8,
    coding: Coding,
}

impl<'a> File<'a> {
    /// None while what has to be known is not all there.
    pub(super) fn read(bytes: &'a [u8], complete: bool) -> Result<Option<Self>, CodecError> {
        let moves = bytes.get(8..12) == Some(b"avis");
        let wanted = if moves { *b"moov" } else { *b"meta" };
        let found = Iterator::find(&mut Parts(bytes), |part| part.kind == wanted);
        match found.filter(|part| part.whole && (complete || !part.open)) {
            Some(part) if moves => Self::animation(part.data, bytes).map(Some),
            Some(part) => Self::still(part.data, bytes),
            None if complete => Err(malformed("it does not say where its pictures are")),
            None => Ok(None),
        }
    }

    fn still(meta: &'a [u8], bytes: &'a [u8]) -> Result<Option<Self>, CodecError> {
        let meta = Meta::read(meta, bytes)?;
        let primary = meta.primary;
        let properties = meta.properties(primary)?;
        let Some(color) = Layer::read(&meta, primary)? else { return Ok(None) };
        let mut alpha = None;
        for item in meta.referring(b"auxl", primary) {
            let own = meta.properties(item)?;
            if own.iter().any(|own| matches!(own, Property::Auxiliary(what) if ALPHA.contains(what))) {
                let Some(layer) = Layer::read(&meta, item)? else { return Ok(None) };
                if layer.size != color.size {
                    return Err(unsupported("an alpha of another size than the picture's"));
                }
                alpha = Some((item, layer));
                break;
            }
        }
        let premultiplied =
            alpha.as_ref().is_some_and(|(item, _)| meta.referred(b"prem", primary).contains(item));
        let alpha = alpha.map(|(_, layer)| layer);
        // Of a grid, its first picture may say what the grid does not.
        let first = color.items.first().filter(|item| **item != primary);
        let colors = Colors::of(&properties);
        let colors = match first {
            Some(first) if colors.profile.is_none() && colors.points.is_none() => {
                Colors::of(&meta.properties(*first)?)
            }
            _ => colors,
        };
        Ok(Some(Self {
            coded: color.size,
            crop: crop(&properties, color.size),
            orientation: orientation(&properties),
            colors,
            premultiplied,
            coding: color.coding,
            alpha: alpha.is_some(),
            course: Course::Still { meta, color, alpha },
        }))
    }

    fn animation(moov: &'a [u8], bytes: &'a [u8]) -> Result<Self, CodecError> {
        let Movie { color, alpha, premultiplied, loops } = Movie::read(moov, bytes)?;
        if alpha.as_ref().is_some_and(|alpha| alpha.size != color.size) {
            return Err(unsupported("an alpha of another size than the picture's"));
        }
        let (forever, times) = loops.map_or((true, 0), |times| (false, times));
        Ok(Self {
            coded: color.size,
            crop: whole(color.size),
            orientation: Orientation::UPRIGHT,
            colors: color.colors,
            premultiplied,
            coding: color.coding,
            alpha: alpha.is_some(),
            course: Course::Animation { color, alpha, forever, times },
        })
    }

    /// What is delivered.
    pub(super) fn pixels(&self) -> PixelFormat {
        match (self.coding, self.alpha) {
            (Coding { wide: true, .. }, _) => PixelFormat::Rgba16,
            (_, true) => PixelFormat::Rgba8,
            (Coding { gray: true, .. }, _) => PixelFormat::Gray8,
            _ => PixelFormat::Rgb8,
        }
    }

    /// How many pictures it shows, at least 1.
    pub(super) fn frames(&self) -> u32 {
        match &self.course {
            Course::Still { .. } => 1,
            Course::Animation { color, .. } => color.count,
        }
    }
}

impl<'a> Colors<'a> {
    pub(super) fn of(properties: &[Property<'a>]) -> Self {
        let mut colors = Self::default();
        for property in properties {
            match *property {
                Property::Points(points, full) => colors.points = colors.points.or(Some((points, full))),
                Property::Profile(profile) => colors.profile = colors.profile.or(Some(profile)),
                _ => {}
            }
        }
        colors
    }
}

impl Layer {
    /// None while what makes up a grid is not there.
    fn read(meta: &Meta<'_>, item: u32) -> Result<Option<Self>, CodecError> {
        let properties = meta.properties(item)?;
        match meta.kind(item).as_ref() {
            Some(b"av01") => {
                let (size, coding) = (size(&properties)?, coding(&properties)?);
                let operating_point = properties.iter().find_map(|property| match property {
                    Property::OperatingPoint(point) => Some(*point),
                    _ => None,
                });
                let operating_point = operating_point.unwrap_or(0);
                Ok(Some(Self { items: vec![item], columns: 1, tile: size, size, operating_point, coding }))
            }
            Some(b"grid") => Self::grid(meta, item),
            Some(kind) => {
                let kind = String::from_utf8_lossy(kind).into_owned();
                Err(unsupported(format!("a picture of the kind {kind}, where av01 and grid are read")))
            }
            None => Err(malformed("its picture is none of its items")),
        }
    }

    /// ISO/IEC 23008-12, section 6.6.2.3.
    fn grid(meta: &Meta<'_>, item: u32) -> Result<Option<Self>, CodecError> {
        let (bytes, true) = meta.bytes(item)? else { return Ok(None) };
        let mut fields = Fields(&bytes);
        let mut read = || {
            let side = if fields.u16()? & 1 == 0 { 2 } else { 4 };
            let (rows, columns) = (u32::from(fields.u8()?) + 1, u32::from(fields.u8()?) + 1);
            Some((rows, columns, (fields.number(side)? as u32, fields.number(side)? as u32)))
        };
        let (rows, columns, size) = read().ok_or_else(too_short)?;
        let items = meta.referred(b"dimg", item).to_vec();
        let first = items.first().copied().filter(|first| meta.kind(*first) == Some(*b"av01"));
        let first = first.ok_or_else(|| unsupported("a grid of others than AV1's pictures"))?;
        let Some(first) = Self::read(meta, first)? else { return Ok(None) };
        let fits = |tile: u32, count: u32, all: u32| {
            let (tile, count, all) = (u64::from(tile), u64::from(count), u64::from(all));
            all > 0 && tile * (count - 1) < all && all <= tile * count
        };
        if items.len() as u64 != u64::from(rows) * u64::from(columns)
            || !fits(first.tile.0, columns, size.0)
            || !fits(first.tile.1, rows, size.1)
        {
            return Err(malformed("a grid whose pictures do not make it up"));
        }
        Ok(Some(Self { items, columns, size, ..first }))
    }

    /// The bytes of one of its pictures, as far as they are there, and whether that is all of them.
    pub(super) fn bytes<'a>(
        &self,
        meta: &Meta<'a>,
        index: usize,
    ) -> Result<(Cow<'a, [u8]>, bool), CodecError> {
        meta.bytes(*self.items.get(index).ok_or_else(|| malformed("a picture that is none"))?)
    }
}

fn size(properties: &[Property<'_>]) -> Result<(u32, u32), CodecError> {
    let size = properties.iter().find_map(|property| match property {
        Property::Size(width, height) => Some((*width, *height)),
        _ => None,
    });
    size.filter(|(width, height)| *width > 0 && *height > 0)
        .ok_or_else(|| malformed("a picture without size"))
}

fn coding(properties: &[Property<'_>]) -> Result<Coding, CodecError> {
    let coding = properties.iter().find_map(|property| match property {
        Property::Coding(coding) => Some(*coding),
        _ => None,
    });
    coding.ok_or_else(|| malformed("a picture that does not say how it is coded"))
}

fn whole((width, height): (u32, u32)) -> Region {
    Region { x: 0, y: 0, width, height }
}

/// What is shown, in whole pixels (ISO/IEC 14496-12, section 12.1.4.1): all of it, where what is asked for does not lie within.
fn crop(properties: &[Property<'_>], size: (u32, u32)) -> Region {
    let found = properties.iter().find_map(|property| match property {
        Property::Aperture(lengths, places) => Some((lengths, places)),
        _ => None,
    });
    let Some((lengths, places)) = found else { return whole(size) };
    let along = |all: u32, (above, below): (u32, u32), (off, of): (i32, u32)| {
        let length = (f64::from(above) / f64::from(below)).round();
        let start = (f64::from(off) / f64::from(of) + (f64::from(all) - length) / 2.0).round();
        (start >= 0.0 && length >= 1.0 && start + length <= f64::from(all))
            .then_some((start as u32, length as u32))
    };
    match (along(size.0, lengths[0], places[0]), along(size.1, lengths[1], places[1])) {
        (Some((x, width)), Some((y, height))) => Region { x, y, width, height },
        _ => whole(size),
    }
}

/// What turns and mirrors do, one after the other.
fn orientation(properties: &[Property<'_>]) -> Orientation {
    properties.iter().fold(Orientation::UPRIGHT, |lies, property| match property {
        Property::Turn(quarters) => (0..*quarters).fold(lies, |lies, _| Orientation {
            transpose: !lies.transpose,
            flip_x: lies.flip_y,
            flip_y: !lies.flip_x,
        }),
        Property::Mirror(true) => Orientation { flip_x: !lies.flip_x, ..lies },
        Property::Mirror(false) => Orientation { flip_y: !lies.flip_y, ..lies },
        _ => lies,
    })
}
