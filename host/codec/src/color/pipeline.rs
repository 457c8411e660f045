//! From a device's colours through a profile's curves and tables to sRGB, one at a time.

use super::curve::Curve;
use super::lattice::Lattice;

/// The white of the connection space, D50 (ICC.1:2022, section 7.2.16).
pub(super) const WHITE: [f32; 3] = [0.9642, 1.0, 0.8249];
/// XYZ under D50 to linear sRGB: the inverse of what sRGB's own profile has, by Bradford's adaptation.
pub(super) const TO_SRGB: [[f32; 3]; 3] = [
    [3.134_112, -1.617_392, -0.490_633],
    [-0.978_787, 1.916_28, 0.033_455],
    [0.071_983, -0.228_986, 1.405_385],
];
/// A black that is lighter than this (of 100) is no device's black.
const MAX_BLACK: f32 = 50.0;

/// From numbers between 0 and 1 to the connection space.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) stages: Vec<Stage>,
    pub(super) encoding: Encoding,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// One for each channel.
    Curves(Vec<Curve>),
    Table(Lattice),
    /// Rows, and what is added.
    Matrix([[f32; 3]; 3], [f32; 3]),
    /// Three numbers of one: what it is multiplied by, and what is added.
    Gray {
        one: [f32; 3],
        zero: [f32; 3],
    },
}

/// What three numbers of the connection space stand for (ICC.1:2022, section 6.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// XYZ as it is.
    Plain,
    /// XYZ, 1 standing for 1 + 32767/32768.
    Xyz,
    /// L*, 1 standing for 100, and a* and b* from -128 to 127.
    Lab,
    /// The same in 16 bits of old: 0xFF00 stands for 100.
    LegacyLab,
}

impl Pipeline {
    /// XYZ under D50, by the device's numbers, of which there are as many as its first stage wants, and the rest are 0.
    pub(super) fn xyz(&self, device: [f32; 4]) -> [f32; 3] {
        let mut values = device;
        for stage in &self.stages {
            match stage {
                Stage::Curves(curves) => {
                    values.iter_mut().zip(curves).for_each(|(value, curve)| *value = curve.at(*value));
                }
                Stage::Table(lattice) => values = lattice.at(&values[..lattice.dimensions()]),
                Stage::Matrix(rows, added) => {
                    let [x, y, z, _] = values;
                    for ((value, row), added) in values.iter_mut().zip(rows).zip(added) {
                        *value = row[0] * x + row[1] * y + row[2] * z + added;
                    }
                }
                Stage::Gray { one, zero } => {
                    let gray = values[0];
                    values = [gray * one[0] + zero[0], gray * one[1] + zero[1], gray * one[2] + zero[2], 0.0];
                }
            }
        }
        let [x, y, z, _] = values;
        match self.encoding {
            Encoding::Plain => [x, y, z],
            Encoding::Xyz => [x, y, z].map(|value| value * (65_535.0 / 32_768.0)),
            Encoding::Lab => lab_to_xyz([100.0 * x, 255.0 * y - 128.0, 255.0 * z - 128.0]),
            Encoding::LegacyLab => {
                let [l, a, b] = [x, y, z].map(|value| value * (65_535.0 / 65_280.0));
                lab_to_xyz([100.0 * l, 255.0 * a - 128.0, 255.0 * b - 128.0])
            }
        }
    }
}

/// A pipeline to sRGB. Of tables the darkest colour is made black, as a screen has it: black point compensation (ISO 18619).
#[derive(Clone, Debug)]
pub(super) struct ToSrgb {
    pipeline: Pipeline,
    /// What XYZ is multiplied by, and what is added.
    scale: [f32; 3],
    offset: [f32; 3],
}

impl ToSrgb {
    /// With black as it is.
    pub(super) fn plain(pipeline: Pipeline) -> Self {
        Self { pipeline, scale: [1.0; 3], offset: [0.0; 3] }
    }

    /// With the darkest colour made black, of a device of that many channels, each of which is at its lowest or its highest then.
    pub(super) fn with_black(pipeline: Pipeline, channels: usize) -> Self {
        let corner =
            |index: usize| std::array::from_fn(|i| if i < channels { (index >> i & 1) as f32 } else { 0.0 });
        let lightness = |index: usize| lightness(pipeline.xyz(corner(index))[1]);
        let darkest = (0..1 << channels).map(lightness).fold(MAX_BLACK, f32::min);
        let black = lab_to_xyz([darkest.max(0.0), 0.0, 0.0]);
        let scale = std::array::from_fn(|i| WHITE[i] / (WHITE[i] - black[i]));
        let offset = std::array::from_fn(|i| -black[i] * scale[i]);
        Self { pipeline, scale, offset }
    }

    /// The device's colour in sRGB, each number from 0 to 1.
    pub(super) fn color(&self, device: [f32; 4]) -> [f32; 3] {
        let xyz = self.pipeline.xyz(device);
        let xyz: [f32; 3] = std::array::from_fn(|i| xyz[i] * self.scale[i] + self.offset[i]);
        xyz_to_srgb(xyz)
    }

    /// How bright it is, as sRGB has it of gray.
    pub(super) fn gray(&self, device: [f32; 4]) -> f32 {
        encoded(self.pipeline.xyz(device)[1] * self.scale[1] + self.offset[1])
    }
}

/// L* of 0 to 100, a* and b* under D50 in sRGB, each number from 0 to 1.
pub(crate) fn lab_to_srgb(lab: [f32; 3]) -> [f32; 3] {
    xyz_to_srgb(lab_to_xyz(lab))
}

fn xyz_to_srgb(xyz: [f32; 3]) -> [f32; 3] {
    TO_SRGB.map(|row| encoded(row[0] * xyz[0] + row[1] * xyz[1] + row[2] * xyz[2]))
}

/// sRGB's curve (IEC 61966-2-1), of what it can show.
pub(super) fn encoded(linear: f32) -> f32 {
    if linear.is_nan() {
        return 0.0;
    }
    let linear = linear.clamp(0.0, 1.0);
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// CIE 15:2004, section 8.2.1, backwards.
fn lab_to_xyz([l, a, b]: [f32; 3]) -> [f32; 3] {
    let y = (l + 16.0) / 116.0;
    let cube = |f: f32| if f > 24.0 / 116.0 { f * f * f } else { (f - 16.0 / 116.0) * 108.0 / 841.0 };
    [WHITE[0] * cube(y + a / 500.0), WHITE[1] * cube(y), WHITE[2] * cube(y - b / 200.0)]
}

fn lightness(y: f32) -> f32 {
    let f = if y > 216.0 / 24_389.0 { y.cbrt() } else { (24_389.0 / 27.0 * y + 16.0) / 116.0 };
    116.0 * f - 16.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(encoding: Encoding) -> Pipeline {
        let stages = vec![Stage::Gray { one: [1.0, 0.0, 0.0], zero: [0.0, 128.0 / 255.0, 128.0 / 255.0] }];
        Pipeline { stages, encoding }
    }

    #[test]
    fn lightness_is_what_lab_says() {
        for (l, y) in [(0.0, 0.0), (0.5, 0.184_19), (0.08, 0.008_856), (1.0, 1.0)] {
            let [x, got, z] = gray(Encoding::Lab).xyz([l, 0.0, 0.0, 0.0]);
            assert!((got - y).abs() < 1e-4, "{l}: {got}");
            assert!((x - y * WHITE[0]).abs() < 1e-4 && (z - y * WHITE[2]).abs() < 1e-4, "gray has no colour");
            assert!((lightness(got) - 100.0 * l).abs() < 1e-3);
        }
    }

    #[test]
    fn the_darkest_colour_is_black_and_white_is_white() {
        let mut pipeline = gray(Encoding::Lab);
        pipeline.stages.insert(0, Stage::Curves(vec![Curve::table(vec![0.2, 1.0])]));
        let srgb = ToSrgb::with_black(pipeline, 1);
        let [black, white] = [0.0, 1.0].map(|gray| srgb.color([gray, 0.0, 0.0, 0.0]));
        assert!(black.iter().all(|value| *value < 0.002), "{black:?}");
        assert!(white.iter().all(|value| *value > 0.998), "{white:?}");
    }
}
