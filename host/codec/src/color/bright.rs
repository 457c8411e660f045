//! Pictures of high dynamic range (ITU-R BT.2100, PQ and HLG) on a screen without: what is up to a mid gray is as bright as it was,
//! and what is above is drawn together, so that the brightest is the screen's white and nothing is cut off.

use imgserve_sdk::{Image, PixelFormat};
use moxcms::{Chromaticity, ColorPrimaries, ColorProfile};

use super::described::narrow;
use super::pipeline::{TO_SRGB, encoded};

/// What a picture's white is, in candelas a square metre (ITU-R BT.2408, table 1): what paper would be.
const WHITE: f32 = 203.0;
/// What its lights are at most, on the display that such pictures are made on (ITU-R BT.2100, note 5f; BT.2408, 2.2). What is
/// brighter counts as that.
const PEAK: f32 = 1000.0;
/// Of the exponent of an HLG display of that peak, what is above 1 (ITU-R BT.2100, note 5f).
const HLG_GAMMA: f32 = 0.2;
/// Entries of the table of how much darker a light becomes, and of that from light to values.
const ENTRIES: usize = 4096;

/// How values stand for light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Perceptual quantisation (SMPTE ST 2084): the light of the screen.
    Pq,
    /// Hybrid log-gamma: the light of the scene.
    Hlg,
}

/// One such kind of colours.
pub(super) struct Bright {
    signal: Signal,
    full: bool,
    /// Rows from its linear light to sRGB's.
    matrix: [[f32; 3]; 3],
    /// What each primary adds to the luminance.
    luminance: [f32; 3],
    /// By the fourth root of a light, 1 being the peak: what it is multiplied by, to sRGB's light.
    gain: Vec<f32>,
    /// By the square root of a light of sRGB: its value.
    values: Vec<f32>,
}

impl Bright {
    /// None for colours that span nothing.
    pub(super) fn new(
        signal: Signal,
        primaries: ColorPrimaries,
        white: Chromaticity,
        full: bool,
    ) -> Option<Self> {
        let xyz =
            ColorProfile::colorants_matrix(white.to_xyyb(), primaries).v.map(|row| row.map(|v| v as f32));
        let column = |j: usize| [xyz[0][j], xyz[1][j], xyz[2][j]];
        let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let matrix = TO_SRGB.map(|row| [0, 1, 2].map(|j| dot(row, column(j))));
        let finite = matrix.as_flattened().iter().all(|value| value.is_finite());
        let parts = |count: usize| (0..count).map(move |at| at as f32 / (count - 1) as f32);
        let gain = parts(ENTRIES).map(|root| {
            let light = (root * root * root * root).max(1e-9);
            mapped(light * PEAK) / WHITE / light
        });
        let values = parts(ENTRIES).map(|root| encoded(root * root));
        let (gain, values) = (gain.collect(), values.collect());
        finite.then_some(Self { signal, full, matrix, luminance: xyz[1], gain, values })
    }

    /// Makes the picture sRGB's.
    pub(super) fn apply(&self, image: &mut Image) {
        match image.format() {
            PixelFormat::Gray8 => {
                let lights = self.lights(256);
                let grays: Vec<u8> = lights.iter().map(|&light| byte(self.color([light; 3])[1])).collect();
                image.data_mut().iter_mut().for_each(|gray| *gray = grays[usize::from(*gray)]);
            }
            PixelFormat::Rgb8 | PixelFormat::Rgba8 => {
                let (lights, width) = (self.lights(256), image.format().bytes_per_pixel());
                for pixel in image.data_mut().chunks_exact_mut(width) {
                    let color = self.color([0, 1, 2].map(|i| lights[usize::from(pixel[i])]));
                    pixel.iter_mut().zip(color).for_each(|(value, new)| *value = byte(new));
                }
            }
            PixelFormat::Rgba16 => {
                let lights = self.lights(65_536);
                for pixel in image.data_mut().as_chunks_mut::<8>().0 {
                    let (words, _) = pixel.as_chunks_mut::<2>();
                    let color =
                        self.color([0, 1, 2].map(|i| lights[usize::from(u16::from_le_bytes(words[i]))]));
                    words.iter_mut().zip(color).for_each(|(word, new)| {
                        *word = ((new * 65_535.0 + 0.5) as u16).to_le_bytes();
                    });
                }
            }
        }
    }

    /// The light that each of a sample's values stands for, 1 being the peak; of HLG, the scene's.
    fn lights(&self, count: usize) -> Vec<f32> {
        let light = |at: usize| {
            let value = at as f32 / (count - 1) as f32;
            let value = if self.full { value } else { narrow(value) }.clamp(0.0, 1.0);
            match self.signal {
                Signal::Pq => (pq_light(value) / PEAK).min(1.0),
                Signal::Hlg => hlg_light(value),
            }
        };
        (0..count).map(light).collect()
    }

    /// Values of sRGB, from 0 to 1.
    #[inline]
    fn color(&self, light: [f32; 3]) -> [f32; 3] {
        let sum = |weights: [f32; 3]| weights[0] * light[0] + weights[1] * light[1] + weights[2] * light[2];
        let shown = match self.signal {
            Signal::Pq => 1.0,
            Signal::Hlg => sum(self.luminance).max(0.0).powf(HLG_GAMMA),
        };
        let color = self.matrix.map(|row| (sum(row) * shown).max(0.0));
        // The brightest of the three decides for all, so that no hue is changed.
        let gain = between(&self.gain, color[0].max(color[1]).max(color[2]).min(1.0).sqrt().sqrt());
        color.map(|light| between(&self.values, (light * gain).min(1.0).sqrt()))
    }
}

/// At a place from 0 to 1.
fn between(table: &[f32], place: f32) -> f32 {
    let place = place * (ENTRIES - 1) as f32;
    let index = (place as usize).min(ENTRIES - 2);
    table[index] + (table[index + 1] - table[index]) * (place - index as f32)
}

fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// Candelas of a display whose white is its peak, for those of one of the high peak (ITU-R BT.2390, section 5.4.1, EETF): on the
/// scale of what is seen, a straight line, and from its knee on Hermite's spline to the peak.
fn mapped(candelas: f32) -> f32 {
    let peak = pq_value(PEAK);
    let most = pq_value(WHITE) / peak;
    let knee = 1.5 * most - 0.5;
    let seen = (pq_value(candelas) / peak).min(1.0);
    if seen < knee {
        return candelas;
    }
    let t = (seen - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let spline = (2.0 * t3 - 3.0 * t2 + 1.0) * knee
        + (t3 - 2.0 * t2 + t) * (1.0 - knee)
        + (3.0 * t2 - 2.0 * t3) * most;
    pq_light(spline * peak)
}

const PQ_M1: f32 = 1305.0 / 8192.0;
const PQ_M2: f32 = 2523.0 / 32.0;
const PQ_C1: f32 = 107.0 / 128.0;
const PQ_C2: f32 = 2413.0 / 128.0;
const PQ_C3: f32 = 2392.0 / 128.0;

/// SMPTE ST 2084: candelas a square metre, up to 10,000.
fn pq_light(value: f32) -> f32 {
    let root = value.powf(1.0 / PQ_M2);
    10_000.0 * ((root - PQ_C1).max(0.0) / (PQ_C2 - PQ_C3 * root)).powf(1.0 / PQ_M1)
}

/// The same backwards.
fn pq_value(candelas: f32) -> f32 {
    let power = (candelas / 10_000.0).powf(PQ_M1);
    ((PQ_C1 + PQ_C2 * power) / (1.0 + PQ_C3 * power)).powf(PQ_M2)
}

/// ITU-R BT.2100, table 5, backwards: the scene's light, from 0 to 1.
fn hlg_light(x: f32) -> f32 {
    if x <= 0.5 { x * x / 3.0 } else { (((x - 0.559_910_7) / 0.178_832_77).exp() + 0.284_668_92) / 12.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(signal: Signal, value: f32) -> f32 {
        let bright = Bright::new(signal, ColorPrimaries::BT_2020, Chromaticity::D65, true).unwrap();
        let light = bright.lights(65_536)[(value * 65_535.0).round() as usize];
        bright.color([light; 3])[0]
    }

    #[test]
    fn the_dark_is_as_it_was_and_the_peak_is_white() {
        for (signal, peak) in [(Signal::Pq, pq_value(PEAK)), (Signal::Hlg, 1.0)] {
            assert!(gray(signal, 0.0) < 0.01 && (gray(signal, peak) - 1.0).abs() < 0.01, "{signal:?}");
            let rising: Vec<f32> = (0..=100).map(|at| gray(signal, peak * at as f32 / 100.0)).collect();
            assert!(rising.is_sorted(), "{signal:?}: {rising:?}");
        }
        // 26 candelas are a gray card's under a white of 203 (BT.2408, table 1): 38 % of PQ, and of HLG.
        let card = encoded(26.0 / WHITE);
        assert!((gray(Signal::Pq, 0.38) - card).abs() < 0.02, "{}", gray(Signal::Pq, 0.38));
        assert!((gray(Signal::Hlg, 0.38) - card).abs() < 0.03, "{}", gray(Signal::Hlg, 0.38));
    }

    #[test]
    fn both_signals_show_the_same_white_and_leave_room_above_it() {
        // 58 % of PQ and 75 % of HLG are 203 candelas.
        let [pq, hlg] = [(Signal::Pq, 0.58), (Signal::Hlg, 0.75)].map(|(signal, value)| gray(signal, value));
        assert!((pq - hlg).abs() < 0.01 && (0.8..0.9).contains(&pq), "{pq} {hlg}");
    }

    #[test]
    fn a_bright_colour_keeps_its_hue() {
        let bright = Bright::new(Signal::Pq, ColorPrimaries::BT_709, Chromaticity::D65, true).unwrap();
        let [r, g, b] = bright.color([1.0, 0.25, 0.25]);
        assert!(r > 0.99 && (g - encoded(0.25)).abs() < 0.01 && (g - b).abs() < 0.01, "{r} {g} {b}");
    }
}
