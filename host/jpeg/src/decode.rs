//! The decoder: a JPEG's pixels at 1/8, 1/4, 1/2 or 1/1 of its size, and of those no more than are wanted.
//!
//! # Layout
//! - `segments`: headers and tables; `huffman`, `runs`, `bits`: codes, several at once, and the bits they are read from
//! - `geometry`: which blocks are needed and what becomes of them
//! - `walk`: a scan's blocks in order; `sequential`, `progressive`: what is done with them
//! - `cursors`: a sequential scan's blocks, read at three places at once
//! - `kernel`, `exact`: the inverse DCT; `strong`: blocks that need all of it; `color`: from samples to pixels;
//!   `planes`: the samples themselves
//! - `scratch`: memory and tables kept from one picture to the next

mod bits;
mod color;
mod cursors;
mod error;
mod exact;
mod geometry;
mod huffman;
mod kernel;
mod planes;
mod progressive;
mod runs;
mod scratch;
mod segments;
mod sequential;
mod strong;
mod walk;

pub use cursors::Cursors;
pub use error::{Damage, DecodeError, Unsupported};
pub use planes::{Plane, Planes, decode_planes};
pub use scratch::Scratch;

use fearless_simd::{Level, Simd, dispatch};

use color::Meaning;
use cursors::{Prospect, Work};
use geometry::{Area, Geometry};
use huffman::Spec;
use kernel::Basis;
use progressive::{AcFirst, AcRefinement, DcFirst, DcRefinement, Plan};
use segments::{Frame, Scan, Segment, Segments, Tables};
use sequential::Unit;
use walk::{Place, Walk};

/// The size to decode at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// One pixel for 8 × 8.
    Eighth,
    /// One pixel for 4 × 4.
    Quarter,
    /// One pixel for 2 × 2.
    Half,
    /// All of them.
    #[default]
    Full,
}

impl Scale {
    /// Samples that a block's eight become.
    fn side(self) -> usize {
        match self {
            Self::Eighth => 1,
            Self::Quarter => 2,
            Self::Half => 4,
            Self::Full => 8,
        }
    }

    /// The scale as a number: 0.125, 0.25, 0.5 or 1.
    pub fn factor(self) -> f64 {
        self.side() as f64 / 8.0
    }

    /// A length of the whole picture at this scale, rounded up.
    pub fn apply(self, length: u32) -> u32 {
        u32::try_from(geometry::scaled(length as usize, self.side())).unwrap_or(u32::MAX)
    }
}

/// How several samples become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Each is the mean of those it stands for, as in libjpeg-turbo and identical to it.
    #[default]
    Mean,
    /// The lowest frequencies of each block alone, as in IJG's libjpeg from version 7 on. Sharper, and faster: most of the
    /// data is passed over. Blocks of stripes too narrow for the smaller picture, which would show a pattern that is not
    /// there, are averaged.
    Lowest,
}

/// A part of a picture, in pixels of the whole one at full size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Columns left of it.
    pub x: u32,
    /// Rows above it.
    pub y: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// What to decode, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// The size; full by default.
    pub scale: Scale,
    /// How several samples become one; their mean by default.
    pub reduction: Reduction,
    /// The part that is wanted; all by default. What lies outside of the picture is left out, but a pixel is always given.
    pub region: Option<Region>,
    /// Where a scan may be read at several places at once; where that is faster by default. Pictures and damage are the same.
    pub cursors: Cursors,
    /// Most scans of a file; 100 by default. Each costs a pass over all coefficients, and encoders write about ten.
    pub max_scans: u32,
    /// Most pixels of a whole picture at full size; 2^28 by default. They bound the memory: see the crate's front page.
    pub max_pixels: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            scale: Scale::Full,
            reduction: Reduction::Mean,
            region: None,
            cursors: Cursors::default(),
            max_scans: 100,
            max_pixels: 1 << 28,
        }
    }
}

impl DecodeOptions {
    /// All of the picture at this scale.
    pub fn at(scale: Scale) -> Self {
        Self { scale, ..Self::default() }
    }

    /// With another way of reduction.
    #[must_use]
    pub fn reduced_by(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// Only this part.
    #[must_use]
    pub fn within(self, region: Region) -> Self {
        Self { region: Some(region), ..self }
    }

    /// Which pixels of the scaled picture [`decode`] gives of a file of `width` × `height` pixels, each 1 to 65535.
    pub fn output(&self, width: u32, height: u32) -> Region {
        let Area { x, y } = geometry::output(self, (width as usize, height as usize));
        let [x, width, y, height] = [x.start, x.len(), y.start, y.len()].map(|number| number as u32);
        Region { x, y, width, height }
    }
}

/// What the channels of pixels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorModel {
    /// One channel.
    Gray,
    /// Three: red, green, blue. In sRGB unless the file has a profile, which is not looked at here.
    Rgb,
    /// Four amounts of ink, as the file has them: inverted if Adobe's marker is there ([`Picture::adobe`]).
    Cmyk,
}

/// A decoded picture, or the part of it that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Columns of the whole picture, at this scale, left of the part.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// What its channels are.
    pub color: ColorModel,
    /// Whether the file has Adobe's marker.
    pub adobe: bool,
    /// The pixels by rows, one byte a channel.
    pub data: Vec<u8>,
    /// What was wrong or missing; such parts are gray, as libjpeg shows them. What lies beyond the part that was asked for
    /// is not looked at.
    pub damage: Option<Damage>,
}

/// Decodes.
///
/// # Errors
/// [`DecodeError::Unsupported`] for what another decoder may read, [`DecodeError::Malformed`] when the file leaves nothing to
/// show.
pub fn decode(bytes: &[u8], options: &DecodeOptions, scratch: &mut Scratch) -> Result<Picture, DecodeError> {
    let Samples { geometry, meaning, adobe, damage } = samples(bytes, options, scratch)?;
    let planes = &scratch.planes;
    let data = dispatch!(Level::new(), simd => color::pixels(simd, &geometry, planes, meaning));
    let output = &geometry.output;
    // A picture has at most 65535 pixels a side.
    let [width, height, left, top] =
        [output.x.len(), output.y.len(), output.x.start, output.y.start].map(|number| number as u32);
    Ok(Picture { width, height, left, top, color: meaning.model(), adobe, data, damage })
}

/// A file whose samples are in a [`Scratch`].
struct Samples {
    geometry: Geometry,
    meaning: Meaning,
    adobe: bool,
    damage: Option<Damage>,
}

/// Decodes as far as the samples of each component.
fn samples(bytes: &[u8], options: &DecodeOptions, scratch: &mut Scratch) -> Result<Samples, DecodeError> {
    let mut segments = Segments::new(bytes)?;
    let mut tables = Tables::default();
    let frame = match segments.next(&mut tables, None)? {
        Segment::Frame(frame) => frame,
        _ => return Err(DecodeError::Malformed("no frame header")),
    };
    if frame.width as u64 * frame.height as u64 > options.max_pixels {
        return Err(DecodeError::TooLarge { width: frame.width, height: frame.height });
    }
    let geometry = Geometry::new(&frame, options)?;
    let level = Level::new();
    let mut decoder = Decoder { frame, geometry, options, tables, scratch, bases: Vec::new(), damage: None };
    decoder.bases.resize_with(decoder.frame.components.len(), || None);
    dispatch!(level, simd => decoder.run(simd, segments))?;
    let (meaning, adobe) = (decoder.meaning(), decoder.tables.adobe.is_some());
    Ok(Samples { geometry: decoder.geometry, meaning, adobe, damage: decoder.damage })
}

struct Decoder<'d> {
    frame: Frame,
    geometry: Geometry,
    options: &'d DecodeOptions,
    tables: Tables,
    scratch: &'d mut Scratch,
    /// By component, from the first scan on that has it: the quantisers may change between scans.
    bases: Vec<Option<Basis>>,
    damage: Option<Damage>,
}

impl Decoder<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S, mut segments: Segments<'_>) -> Result<(), DecodeError> {
        self.scratch.begin(&self.frame, &self.geometry, self.depths());
        if self.frame.progressive {
            self.progressive(simd, &mut segments)
        } else {
            self.sequential(simd, &mut segments)
        }
    }

    fn meaning(&self) -> Meaning {
        match self.frame.components.len() {
            1 => Meaning::Gray,
            3 if self.tables.is_rgb(&self.frame) => Meaning::Rgb,
            3 => Meaning::YCbCr,
            _ if self.tables.is_ycck() => Meaning::Ycck,
            _ => Meaning::Cmyk,
        }
    }

    /// Coefficients to keep of each block of each component; none for a sequential file.
    fn depths(&self) -> Vec<usize> {
        let depth = |side| match (self.frame.progressive, side) {
            (false, _) => 0,
            (true, 1) => 1,
            (true, _) => 64,
        };
        self.geometry.components.iter().map(|layout| depth(layout.side)).collect()
    }

    #[inline(always)]
    fn sequential<S: Simd>(&mut self, simd: S, segments: &mut Segments<'_>) -> Result<(), DecodeError> {
        let mut missing = self.frame.components.len();
        let mut scans = 0;
        while missing > 0 {
            let Some(scan) = self.next_scan(segments, &mut scans, false)? else { break };
            missing -= scan.components.iter().filter(|(index, ..)| self.bases[*index].is_none()).count();
            self.sequential_scan(simd, &scan, segments)?;
        }
        if missing == self.frame.components.len() {
            return Err(DecodeError::Malformed("no picture data"));
        }
        self.note((missing > 0).then_some(Damage::MissingScan));
        Ok(())
    }

    /// The next scan header; `None` at the end, which need not be marked if the picture is complete.
    fn next_scan(
        &mut self,
        segments: &mut Segments<'_>,
        scans: &mut u32,
        complete: bool,
    ) -> Result<Option<Scan>, DecodeError> {
        match segments.next(&mut self.tables, Some(&self.frame))? {
            Segment::Scan(scan) => {
                *scans += 1;
                if *scans > self.options.max_scans {
                    return Err(Unsupported::Scans.into());
                }
                Ok(Some(scan))
            }
            Segment::Frame(_) | Segment::End => Ok(None),
            Segment::CutOff => {
                self.note((!complete).then_some(Damage::CutOff));
                Ok(None)
            }
        }
    }

    #[inline(always)]
    fn sequential_scan<S: Simd>(
        &mut self,
        simd: S,
        scan: &Scan,
        segments: &mut Segments<'_>,
    ) -> Result<(), DecodeError> {
        self.latch(scan)?;
        let Scratch { planes, unstuffed, cache, cursors, .. } = &mut *self.scratch;
        let mut tables = Vec::with_capacity(scan.components.len());
        let (mut pairs, mut pair_of) = (Vec::new(), Vec::new());
        for &(_, dc, ac) in &scan.components {
            let (Some(dc), Some(ac)) = (&self.tables.dc[dc], &self.tables.ac[ac]) else {
                return Err(Unsupported::MissingTable.into());
            };
            tables.push((cache.dc(dc)?, cache.ac(ac), cache.skip(ac)));
            let known = pairs.iter().position(|pair: &(Spec, Spec)| (&pair.0, &pair.1) == (dc, ac));
            pair_of.push(known.unwrap_or(pairs.len()));
            if known.is_none() {
                pairs.push((dc.clone(), ac.clone()));
            }
        }
        let mut planes: Vec<Option<&mut Vec<u8>>> = planes.iter_mut().map(Some).collect();
        let mut units = Vec::with_capacity(scan.components.len());
        let blocks = walk::blocks_per_mcu(scan, &self.geometry);
        for ((&(index, ..), blocks), (dc, ac, skip)) in scan.components.iter().zip(blocks).zip(&tables) {
            let (Some(basis), Some(plane)) = (&self.bases[index], planes[index].take()) else {
                return Err(DecodeError::Malformed("bad scan header"));
            };
            let layout = &self.geometry.components[index];
            units.push(Unit { layout, blocks, dc, ac, skip, basis, plane, dc_before: 0 });
        }
        let walk = Walk::new(scan, &self.geometry, self.tables.restart_interval);
        segments.at += unstuffed.read(segments.rest(), walk.most());
        let prospect = Prospect {
            wish: self.options.cursors,
            scale: self.options.scale,
            reduction: self.options.reduction,
            missing: self.frame.components.len() - scan.components.len(),
            restart_interval: self.tables.restart_interval,
            side: units.iter().map(|unit| unit.layout.side).max().unwrap_or(8),
            pairs: pairs.len(),
            bytes: unstuffed.data.len(),
            mcus: (walk.needed.end, self.geometry.mcus.0 * self.geometry.mcus.1),
            blocks: walk.blocks,
        };
        let from = if prospect.is_good() {
            let codes = &cache.codes(&pairs);
            let data = &unstuffed.data;
            let work = Work { prospect: &prospect, codes, pairs: &pair_of, walk: &walk, data };
            cursors::begin(simd, cursors, work, &mut units)
        } else {
            Place::default()
        };
        let damage = sequential::run(simd, &walk, (unstuffed, from), &mut units);
        self.note_scan(damage, segments);
        Ok(())
    }

    /// Keeps the quantisers of the components whose first scan this is.
    fn latch(&mut self, scan: &Scan) -> Result<(), DecodeError> {
        for &(index, ..) in &scan.components {
            if self.bases[index].is_none() {
                let table = self.frame.components[index].quantization;
                let quantization = self.tables.quantization[table]
                    .as_ref()
                    .ok_or(DecodeError::Malformed("a quantisation table is missing"))?;
                let exact = self.options.reduction == Reduction::Mean;
                let side = self.geometry.components[index].side;
                self.bases[index] = Some(Basis::new(quantization, side, self.options.reduction, exact));
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn progressive<S: Simd>(&mut self, simd: S, segments: &mut Segments<'_>) -> Result<(), DecodeError> {
        let plan = self.plan(segments.clone())?;
        let mut scans = 0;
        while let Some(scan) = self.next_scan(segments, &mut scans, plan.complete)? {
            self.latch(&scan)?;
            if plan.needed.get(scans as usize - 1).is_some_and(|needed| *needed) {
                self.progressive_scan(&scan, segments)?;
            } else {
                segments.at += bits::data_length(segments.rest());
            }
        }
        if scans == 0 {
            return Err(DecodeError::Malformed("no picture data"));
        }
        for (index, basis) in self.bases.iter().enumerate() {
            let Some(basis) = basis else {
                self.damage = self.damage.or(Some(Damage::MissingScan));
                continue;
            };
            let Scratch { planes, coefficients, .. } = &mut *self.scratch;
            let layout = &self.geometry.components[index];
            progressive::transform(simd, &mut coefficients[index], layout, basis, &mut planes[index]);
        }
        Ok(())
    }

    /// Which scans must be parsed: all headers are looked at first.
    fn plan(&self, mut segments: Segments<'_>) -> Result<Plan, DecodeError> {
        let (mut scans, mut tables) = (Vec::new(), Tables::default());
        while let Segment::Scan(scan) = segments.next(&mut tables, Some(&self.frame))? {
            scans.push(scan);
            if scans.len() > self.options.max_scans as usize {
                return Err(Unsupported::Scans.into());
            }
            segments.at += bits::data_length(segments.rest());
        }
        // What is not drawn of the high frequencies must be known all the same: they may be too strong to be left out.
        let last = |layout: &geometry::Layout| if layout.side == 1 { 0 } else { 63 };
        let last: Vec<usize> = self.geometry.components.iter().map(last).collect();
        Ok(Plan::new(&scans, &last))
    }

    #[inline(always)]
    fn progressive_scan(&mut self, scan: &Scan, segments: &mut Segments<'_>) -> Result<(), DecodeError> {
        let Scratch { coefficients, unstuffed, cache, .. } = &mut *self.scratch;
        let walk = Walk::new(scan, &self.geometry, self.tables.restart_interval);
        segments.at += unstuffed.read(segments.rest(), walk.most());
        let (low, blocks) = (scan.low, walk::blocks_per_mcu(scan, &self.geometry));
        let (index, _, ac) = scan.components[0];
        let damage = if scan.start == 0 {
            let mut all: Vec<_> = coefficients.iter_mut().map(Some).collect();
            let mut each =
                scan.components.iter().filter_map(|&(index, dc, _)| Some((all[index].take()?, dc)));
            if scan.high == 0 {
                let unit = |(coefficients, dc): (_, usize)| {
                    let table = self.tables.dc[dc].as_ref().ok_or(Unsupported::MissingTable)?;
                    Ok((coefficients, cache.dc(table)?, 0))
                };
                let units = each.map(unit).collect::<Result<_, DecodeError>>()?;
                walk.run(unstuffed, Place::default(), &mut DcFirst { units, blocks, low })
            } else {
                let units = each.by_ref().map(|(coefficients, _)| coefficients).collect();
                walk.run(unstuffed, Place::default(), &mut DcRefinement { units, blocks, low })
            }
        } else {
            let spec = self.tables.ac[ac].as_ref().ok_or(Unsupported::MissingTable)?;
            let (coefficients, start, end) = (&mut coefficients[index], scan.start, scan.end);
            if scan.high == 0 {
                let table = cache.ac(spec);
                walk.run(
                    unstuffed,
                    Place::default(),
                    &mut AcFirst { coefficients, table, start, end, low, empty_blocks: 0 },
                )
            } else {
                let table = huffman::SymbolTable::new(spec);
                walk.run(
                    unstuffed,
                    Place::default(),
                    &mut AcRefinement { coefficients, table, start, end, low, empty_blocks: 0 },
                )
            }
        };
        self.note_scan(damage, segments);
        Ok(())
    }

    /// Notes a scan's damage; data that is missing at the end of the bytes was cut off.
    fn note_scan(&mut self, damage: Option<Damage>, segments: &Segments<'_>) {
        self.note(damage.map(|damage| match damage {
            Damage::MissingData if segments.rest().len() < 2 => Damage::CutOff,
            other => other,
        }));
    }

    /// The first damage is the one that is told.
    fn note(&mut self, damage: Option<Damage>) {
        self.damage = self.damage.or(damage);
    }
}
