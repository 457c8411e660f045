//! A device's colours in sRGB at the nodes of a lattice, which a picture's pixels are looked up in: a profile's own table has too
//! few nodes for what bends between them, and its curves take long.

use super::lattice::Lattice;
use super::pipeline::ToSrgb;

/// Nodes along a side, of three channels and of four.
const SIDES: [usize; 2] = [33, 17];
/// Steps of the shape.
const STEPS: usize = 1024;
/// How much of the shape is a straight line, so that it always rises.
const STRAIGHT: f32 = 0.1;

/// A sample of 8 or 16 bits.
pub(crate) trait Sample: Copy {
    /// How many values it has.
    const LEVELS: usize;
    fn level(self) -> usize;
    /// The nearest to a part of the whole.
    fn nearest(part: f32) -> Self;
}

impl Sample for u8 {
    const LEVELS: usize = 1 << 8;

    fn level(self) -> usize {
        self.into()
    }

    fn nearest(part: f32) -> Self {
        (part * 255.0 + 0.5) as Self
    }
}

impl Sample for u16 {
    const LEVELS: usize = 1 << 16;

    fn level(self) -> usize {
        self.into()
    }

    fn nearest(part: f32) -> Self {
        (part * 65_535.0 + 0.5) as Self
    }
}

/// The part of the whole that each value of a sample is.
pub(super) fn parts<T: Sample>() -> impl Iterator<Item = f32> {
    (0..T::LEVELS).map(|level| level as f32 / (T::LEVELS - 1) as f32)
}

#[derive(Debug)]
pub(super) struct Grid {
    lattice: Lattice,
    /// Where between the first node and the last a channel's value lies, at even steps of the value.
    shape: Vec<f32>,
}

impl Grid {
    /// Of a device of three or four channels.
    pub(super) fn new(srgb: &ToSrgb, channels: usize) -> Self {
        let side = SIDES[usize::from(channels == 4)];
        let shape = if channels == 3 { shape(srgb) } else { straight() };
        let values: Vec<f32> = (0..side).map(|node| value(&shape, node as f32 / (side - 1) as f32)).collect();
        let nodes = (0..side.pow(channels as u32)).map(|node| {
            // The last channel runs fastest.
            let device = std::array::from_fn(|channel| match channels.checked_sub(channel + 1) {
                Some(later) => values[node / side.pow(later as u32) % side],
                None => 0.0,
            });
            let [r, g, b] = srgb.color(device);
            [r, g, b, 0.0]
        });
        Self { lattice: Lattice::new(&vec![side; channels], nodes.collect()), shape }
    }

    /// For samples of one kind.
    pub(super) fn lookup<T: Sample>(&self) -> Lookup<'_> {
        Lookup {
            lattice: &self.lattice,
            places: parts::<T>().map(|part| between(&self.shape, part)).collect(),
        }
    }
}

/// A grid with the place of each value of a sample.
pub(super) struct Lookup<'g> {
    lattice: &'g Lattice,
    places: Vec<f32>,
}

impl Lookup<'_> {
    /// A pixel's red, green and blue.
    #[inline(always)]
    pub(super) fn color<T: Sample, const N: usize>(&self, pixel: [T; N]) -> [T; 3] {
        let [r, g, b, _] = self.lattice.between(pixel.map(|sample| self.places[sample.level()]));
        [r, g, b].map(T::nearest)
    }
}

/// Even steps of a device are not even steps of brightness: linear light has half of what is seen in its lowest fifth. The
/// nodes are where gray has even ones, if it rises at all.
fn shape(srgb: &ToSrgb) -> Vec<f32> {
    let gray: Vec<f32> = straight().into_iter().map(|part| srgb.gray([part, part, part, 0.0])).collect();
    let (first, last) = (gray[0], gray[STEPS]);
    if last - first < STRAIGHT {
        return straight();
    }
    let mut highest = 0.0_f32;
    let risen = gray.iter().zip(straight()).map(|(gray, part)| {
        highest = highest.max((gray - first) / (last - first)).min(1.0);
        (1.0 - STRAIGHT) * highest + STRAIGHT * part
    });
    risen.collect()
}

fn straight() -> Vec<f32> {
    (0..=STEPS).map(|step| step as f32 / STEPS as f32).collect()
}

/// The shape at `part` of its length.
fn between(shape: &[f32], part: f32) -> f32 {
    let place = part * STEPS as f32;
    let step = (place as usize).min(STEPS - 1);
    shape[step] + (shape[step + 1] - shape[step]) * (place - step as f32)
}

/// Where the shape is `place`, backwards.
fn value(shape: &[f32], place: f32) -> f32 {
    let after = shape.partition_point(|&shaped| shaped < place).clamp(1, STEPS);
    let (low, high) = (shape[after - 1], shape[after]);
    let part = if high > low { ((place - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    ((after - 1) as f32 + part) / STEPS as f32
}

#[cfg(test)]
mod tests {
    use super::super::curve::Curve;
    use super::super::pipeline::{Encoding, Pipeline, Stage};
    use super::*;

    /// Gray of linear light, as if it were a table's.
    fn linear() -> ToSrgb {
        let matrix = [[0.964_2, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.824_9]];
        let stages = vec![Stage::Curves(vec![Curve::gamma(1.0); 3]), Stage::Matrix(matrix, [0.0; 3])];
        ToSrgb::plain(Pipeline { stages, encoding: Encoding::Plain })
    }

    #[test]
    fn linear_light_is_met_in_the_dark_as_well() {
        let srgb = linear();
        let grid = Grid::new(&srgb, 3);
        let (bytes, words) = (grid.lookup::<u8>(), grid.lookup::<u16>());
        for level in 0..=255_u8 {
            let part = f32::from(level) / 255.0;
            let wanted = u8::nearest(srgb.gray([part, part, part, 0.0]));
            let [_, green, _] = bytes.color([level; 3]);
            assert!(green.abs_diff(wanted) <= 1, "{level}: {green}, not {wanted}");
            let [_, wide, _] = words.color([u16::from(level) * 257; 3]);
            assert!((wide / 257).abs_diff(u16::from(wanted)) <= 1, "{level}: {wide}");
        }
    }

    #[test]
    fn a_shape_is_found_again_backwards() {
        let shape = shape(&linear());
        for part in [0.0, 0.001, 0.02, 0.3, 0.77, 1.0] {
            assert!((value(&shape, between(&shape, part)) - part).abs() < 1e-4, "{part}");
        }
    }
}
