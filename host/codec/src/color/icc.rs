//! Reads a colour profile (ICC.1:2022) as far as it tells from a device's colours to others: its header, and the tags that are
//! asked for. Whatever else is in it, broken or not, is not looked at.

use super::curve::Curve;
use super::lattice::Lattice;
use super::pipeline::{Encoding, Pipeline, Stage, WHITE};

/// Nodes of a table: 65 steps of three colours, 23 of four; printers' have 9 to 17.
const MAX_NODES: usize = 300_000;
/// Zero of a* and b* as 8 bits say it.
const NEUTRAL: f32 = 128.0 / 255.0;

/// The colours that a profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Gray,
    Rgb,
    Cmyk,
}

impl Space {
    /// How many numbers a colour is.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gray => "gray",
            Self::Rgb => "RGB",
            Self::Cmyk => "CMYK",
        }
    }
}

/// A profile whose header has been read.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    bytes: &'a [u8],
    pub(super) space: Space,
    /// Whether the connection space is Lab, and not XYZ.
    lab: bool,
    /// The rendering intent it asks for: 0 perceptual, 1 relative, 2 saturation, 3 absolute.
    intent: u32,
}

/// How its colours are told.
#[derive(Debug)]
pub(super) enum Model {
    /// Three curves and the colours that full red, green and blue are.
    Shaper([Curve; 3], [[f32; 3]; 3]),
    /// One curve, of gray.
    Gray(Pipeline),
    /// Tables.
    Table(Pipeline),
}

impl<'a> Profile<'a> {
    /// # Errors
    /// A text: what is wrong with its header, or why it tells nothing of a picture's colours.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.get(36..40) != Some(b"acsp") {
            return Err("it is no ICC profile".to_owned());
        }
        // What is told goes into a header field.
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
        let name = |at: usize| bytes.get(at..at + 4).map(|name| name.iter().map(shown).collect::<String>());
        let space = match bytes.get(16..20) {
            Some(b"GRAY") => Space::Gray,
            Some(b"RGB ") => Space::Rgb,
            Some(b"CMYK") => Space::Cmyk,
            _ => return Err(format!("it is for the colours `{}`", name(16).unwrap_or_default())),
        };
        if matches!(bytes.get(12..16), Some(b"link" | b"abst" | b"nmcl")) {
            return Err(format!("it is of class `{}`, for no device", name(12).unwrap_or_default()));
        }
        let lab = match bytes.get(20..24) {
            Some(b"Lab ") => true,
            Some(b"XYZ ") => false,
            _ => return Err(format!("it leads to the colours `{}`", name(20).unwrap_or_default())),
        };
        let intent = number(bytes, 64)?;
        Ok(Self { bytes, space, lab, intent })
    }

    /// From the device's colours to the connection space, by the table of the intent that it asks for, else any table, else
    /// curves. (On a screen white is white: the absolute intent is the relative one.)
    ///
    /// # Errors
    /// A text: there is nothing of the kind, or what of it is wrong.
    pub(super) fn model(&self) -> Result<Model, String> {
        let tables: [&[u8; 4]; 3] = match self.intent {
            1 | 3 => [b"A2B1", b"A2B0", b"A2B2"],
            2 => [b"A2B2", b"A2B0", b"A2B1"],
            _ => [b"A2B0", b"A2B1", b"A2B2"],
        };
        let mut wrong = None;
        for name in tables {
            match self.tag(name).map(|tag| self.table(tag)) {
                Some(Ok(pipeline)) => return Ok(Model::Table(pipeline)),
                Some(Err(error)) => wrong = wrong.or(Some(error)),
                None => {}
            }
        }
        let curves = match self.space {
            Space::Gray => self.gray(),
            Space::Rgb => self.shaper(),
            Space::Cmyk => Err("it has no table from inks to colours".to_owned()),
        };
        curves.map_err(|error| wrong.unwrap_or(error))
    }

    /// A tag's data, its type first.
    fn tag(&self, wanted: &[u8; 4]) -> Option<&'a [u8]> {
        let count = usize::try_from(number(self.bytes, 128).ok()?).ok()?;
        let (entries, _) = self.bytes.get(132..)?.as_chunks::<12>();
        let entry = entries.iter().take(count).find(|entry| &entry[..4] == wanted)?;
        let place = |at: usize| usize::try_from(number(entry, at).ok()?).ok();
        let (start, length) = (place(4)?, place(8)?);
        // A length that is a little too long is a frequent mistake.
        self.bytes.get(start..start.saturating_add(length).min(self.bytes.len()))
    }

    fn required(&self, name: &[u8; 4]) -> Result<&'a [u8], String> {
        self.tag(name).ok_or_else(|| format!("its tag `{}` is missing", String::from_utf8_lossy(name)))
    }

    fn gray(&self) -> Result<Model, String> {
        let (curve, _) = Curve::parse(self.required(b"kTRC")?)?;
        let (one, zero) = match self.lab {
            true => ([1.0, 0.0, 0.0], [0.0, NEUTRAL, NEUTRAL]),
            false => (WHITE, [0.0; 3]),
        };
        let encoding = if self.lab { Encoding::Lab } else { Encoding::Plain };
        let stages = vec![Stage::Curves(vec![curve]), Stage::Gray { one, zero }];
        Ok(Model::Gray(Pipeline { stages, encoding }))
    }

    fn shaper(&self) -> Result<Model, String> {
        if self.lab {
            return Err("it has no table to Lab".to_owned());
        }
        let curve = |name| Ok::<_, String>(Curve::parse(self.required(name)?)?.0);
        let color = |name| xyz(self.required(name)?);
        let curves = [curve(b"rTRC")?, curve(b"gTRC")?, curve(b"bTRC")?];
        Ok(Model::Shaper(curves, [color(b"rXYZ")?, color(b"gXYZ")?, color(b"bXYZ")?]))
    }

    fn table(&self, tag: &[u8]) -> Result<Pipeline, String> {
        let pipeline = match tag.get(..4) {
            Some(b"mft1") => self.lut(tag, 1)?,
            Some(b"mft2") => self.lut(tag, 2)?,
            Some(b"mAB ") => self.lut_a_to_b(tag)?,
            _ => return Err("its table is of no known type".to_owned()),
        };
        Ok(pipeline)
    }

    /// lut8Type and lut16Type (sections 10.10 and 10.11). Their matrix is for XYZ alone, which is no device's.
    fn lut(&self, tag: &[u8], width: usize) -> Result<Pipeline, String> {
        let (inputs, side) = (self.channels(tag)?, usize::from(*tag.get(10).ok_or_else(cut_off)?));
        let ([before, after], start) = match width {
            1 => ([256; 2], 48),
            _ => ([half(tag, 48)?, half(tag, 50)?], 52),
        };
        let mut rest = Samples { data: tag.get(start..).ok_or_else(cut_off)?, width };
        let curves = |rest: &mut Samples<'_>, count: usize, entries: usize| {
            if entries < 2 {
                return Err("a curve of its table has less than two entries".to_owned());
            }
            (0..count).map(|_| Ok(Curve::table(rest.take(entries)?))).collect::<Result<Vec<_>, String>>()
        };
        let stages = vec![
            Stage::Curves(curves(&mut rest, inputs, before)?),
            Stage::Table(rest.lattice(&vec![side; inputs])?),
            Stage::Curves(curves(&mut rest, 3, after)?),
        ];
        let encoding = match (self.lab, width) {
            (true, 1) => Encoding::Lab,
            (true, _) => Encoding::LegacyLab,
            (false, _) => Encoding::Xyz,
        };
        Ok(Pipeline { stages, encoding })
    }

    /// lutAToBType (section 10.12): curves "A", table, curves "M", matrix, curves "B", of which some may be absent.
    fn lut_a_to_b(&self, tag: &[u8]) -> Result<Pipeline, String> {
        let inputs = self.channels(tag)?;
        let part = |at: usize| match number(tag, at)? {
            0 => Ok(None),
            offset => tag.get(offset as usize..).map(Some).ok_or_else(cut_off),
        };
        let [b, matrix, m, table, a] = [part(12)?, part(16)?, part(20)?, part(24)?, part(28)?];
        let mut stages = Vec::with_capacity(5);
        if let Some(table) = table {
            if let Some(curves) = a {
                stages.push(Stage::Curves(curve_row(curves, inputs)?));
            }
            let sides: Vec<usize> = table.iter().take(inputs).map(|&side| side.into()).collect();
            let width = usize::from(*table.get(16).ok_or_else(cut_off)?);
            if !matches!(width, 1 | 2) {
                return Err("its table is of neither bytes nor words".to_owned());
            }
            let mut rest = Samples { data: table.get(20..).ok_or_else(cut_off)?, width };
            stages.push(Stage::Table(rest.lattice(&sides)?));
        } else if inputs != 3 {
            return Err("it has no table from its channels to three".to_owned());
        }
        if let Some(curves) = m {
            stages.push(Stage::Curves(curve_row(curves, 3)?));
        }
        if let Some(matrix) = matrix {
            let mut cells = [0.0; 12];
            for (index, cell) in cells.iter_mut().enumerate() {
                *cell = fixed(matrix, 4 * index)?;
            }
            let row = |row: usize| [cells[3 * row], cells[3 * row + 1], cells[3 * row + 2]];
            stages.push(Stage::Matrix([row(0), row(1), row(2)], [cells[9], cells[10], cells[11]]));
        }
        stages.push(Stage::Curves(curve_row(b.ok_or_else(cut_off)?, 3)?));
        Ok(Pipeline { stages, encoding: if self.lab { Encoding::Lab } else { Encoding::Xyz } })
    }

    /// The channels that a table is for, which are those of the profile, and lead to three.
    fn channels(&self, tag: &[u8]) -> Result<usize, String> {
        let &[inputs, outputs] = tag.get(8..10).and_then(|pair| pair.first_chunk()).ok_or_else(cut_off)?;
        if usize::from(inputs) != self.space.channels() || outputs != 3 {
            return Err(format!("its table leads from {inputs} to {outputs} channels"));
        }
        Ok(inputs.into())
    }
}

/// Numbers between 0 and 1, each of one or two bytes.
struct Samples<'a> {
    data: &'a [u8],
    width: usize,
}

impl Samples<'_> {
    fn take(&mut self, count: usize) -> Result<Vec<f32>, String> {
        let length = count.checked_mul(self.width).ok_or_else(cut_off)?;
        let (taken, rest) = self.data.split_at_checked(length).ok_or_else(cut_off)?;
        self.data = rest;
        Ok(match self.width {
            1 => taken.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            _ => taken
                .as_chunks()
                .0
                .iter()
                .map(|&word| f32::from(u16::from_be_bytes(word)) / 65_535.0)
                .collect(),
        })
    }

    /// Nodes of three numbers, the last of `sides` running fastest.
    fn lattice(&mut self, sides: &[usize]) -> Result<Lattice, String> {
        let nodes =
            sides.iter().try_fold(1_usize, |nodes, &side| nodes.checked_mul(side)).unwrap_or(usize::MAX);
        if nodes == 0 || nodes > MAX_NODES {
            return Err(format!("its table has {nodes} nodes, which are not between 1 and {MAX_NODES}"));
        }
        let numbers = self.take(3 * nodes)?;
        let nodes = numbers.as_chunks().0.iter().map(|&[x, y, z]| [x, y, z, 0.0]).collect();
        Ok(Lattice::new(sides, nodes))
    }
}

/// Curves one behind the other, each from a multiple of four bytes on.
fn curve_row(mut data: &[u8], count: usize) -> Result<Vec<Curve>, String> {
    let mut curves = Vec::with_capacity(count);
    for _ in 0..count {
        let (curve, length) = Curve::parse(data)?;
        curves.push(curve);
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(curves)
}

/// The first color of an XYZType (section 10.31).
fn xyz(tag: &[u8]) -> Result<[f32; 3], String> {
    match tag.get(..4) {
        Some(b"XYZ ") => Ok([fixed(tag, 8)?, fixed(tag, 12)?, fixed(tag, 16)?]),
        _ => Err("a primary colour is not in XYZ".to_owned()),
    }
}

/// An s15Fixed16Number.
pub(super) fn fixed(data: &[u8], at: usize) -> Result<f32, String> {
    Ok(number(data, at)?.cast_signed() as f32 / 65_536.0)
}

pub(super) fn number(data: &[u8], at: usize) -> Result<u32, String> {
    let bytes = data.get(at..).and_then(|data| data.first_chunk()).ok_or_else(cut_off)?;
    Ok(u32::from_be_bytes(*bytes))
}

pub(super) fn half(data: &[u8], at: usize) -> Result<usize, String> {
    let bytes = data.get(at..).and_then(|data| data.first_chunk()).ok_or_else(cut_off)?;
    Ok(u16::from_be_bytes(*bytes).into())
}

pub(super) fn cut_off() -> String {
    "it ends too early".to_owned()
}
