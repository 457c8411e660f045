//! A lake among mountains, painted pixel by pixel: gradients and haze, texture everywhere, and the sharp edges of firs
//! and of a sail. A picture that looks enough like a photo to judge a resizer by.

use imgserve_sdk::{Image, PixelFormat};

type Color = [f32; 3];

/// Where the shore is, in parts of the height; so are all lengths here.
const SHORE: f32 = 0.62;
/// Where the valley lies in which the sun sets, in parts of the width.
const VALLEY: f32 = 0.62;
/// The ranges, the farthest first.
const RANGES: [Range; 4] = [
    Range { seed: 11, frequency: 2.1, rise: 0.36, foot: 0.03, haze: 0.62 },
    Range { seed: 23, frequency: 2.9, rise: 0.25, foot: 0.02, haze: 0.42 },
    Range { seed: 37, frequency: 3.7, rise: 0.15, foot: 0.01, haze: 0.20 },
    Range { seed: 53, frequency: 4.3, rise: 0.075, foot: 0.004, haze: 0.05 },
];
const ROCK: [Color; 4] = [[0.36, 0.37, 0.46], [0.24, 0.27, 0.36], [0.13, 0.19, 0.22], [0.045, 0.085, 0.085]];

struct Range {
    seed: i32,
    frequency: f32,
    rise: f32,
    foot: f32,
    /// How much of the sky's colour lies over it.
    haze: f32,
}

/// The landscape with the sun at `elevation`: 1 is noon, 0 sunset, below it gets dark.
pub(super) fn paint(width: u32, height: u32, elevation: f32) -> Image {
    let scene = Scene::new(width, height, elevation);
    let mut data = vec![0; (width * height * 3) as usize];
    let row = (width * 3) as usize;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let rows = (height as usize).div_ceil(threads);
    std::thread::scope(|scope| {
        for (part, lines) in data.chunks_mut(rows * row).enumerate() {
            let scene = &scene;
            scope.spawn(move || {
                for (y, line) in lines.chunks_mut(row).enumerate() {
                    scene.line((part * rows + y) as u32, line);
                }
            });
        }
    });
    Image::new(width, height, PixelFormat::Rgb8, data).expect("three bytes are there for each pixel")
}

struct Scene {
    /// Pixels.
    height: f32,
    aspect: f32,
    sun: (f32, f32),
    /// 0 at night, 1 when the sun is up.
    light: f32,
    zenith: Color,
    horizon: Color,
    glow: Color,
    /// The ridge's y above each column, for each range.
    ridges: [Vec<f32>; 4],
}

impl Scene {
    fn new(width: u32, height: u32, elevation: f32) -> Self {
        let day = smooth(0.08, 0.65, elevation);
        let dusk = smooth(-0.22, 0.06, elevation);
        let sky = |night: Color, evening: Color, noon: Color| mix(mix(night, evening, dusk), noon, day);
        let aspect = width as f32 / height as f32;
        Self {
            height: height as f32,
            aspect,
            sun: (aspect * (VALLEY - 0.16 * elevation), SHORE - 0.07 - 0.52 * elevation),
            light: 0.25 + 0.75 * dusk,
            zenith: sky([0.015, 0.025, 0.09], [0.17, 0.22, 0.46], [0.17, 0.41, 0.76]),
            horizon: sky([0.10, 0.11, 0.26], [0.98, 0.60, 0.38], [0.78, 0.88, 0.96]),
            glow: sky([0.10, 0.08, 0.16], [1.0, 0.62, 0.28], [1.0, 0.95, 0.80]),
            ridges: std::array::from_fn(|i| (0..width).map(|x| ridge(i, x, height, aspect)).collect()),
        }
    }

    fn line(&self, y: u32, line: &mut [u8]) {
        let v = (y as f32 + 0.5) / self.height;
        for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let u = (x as f32 + 0.5) / self.height;
            let color = if v < SHORE { self.land(u, v) } else { self.lake(u, v) };
            let color = self.boat(u, v).unwrap_or(color);
            let corner = ((u / self.aspect - 0.5).powi(2) + (v - 0.5).powi(2)) * 0.55;
            let grain = (hash(x as i32, y as i32) - 0.5) * 0.022;
            *pixel = color.map(|value| ((value * (1.0 - corner) + grain).clamp(0.0, 1.0) * 255.0) as u8);
        }
    }

    /// Whatever stands above the shore: the nearest range, or the sky.
    fn land(&self, u: f32, v: f32) -> Color {
        let column = (u * self.height).max(0.0) as usize;
        for (i, range) in RANGES.iter().enumerate().rev() {
            let ridge = &self.ridges[i];
            let depth = v - ridge[column.min(ridge.len() - 1)];
            if depth > 0.0 {
                return self.slope(i, range, u, v, depth);
            }
        }
        self.sky(u, v)
    }

    fn slope(&self, i: usize, range: &Range, u: f32, v: f32, depth: f32) -> Color {
        let texture = fbm(u * 26.0 + depth * 30.0, v * 34.0, range.seed, 4);
        let mut color = scale(ROCK[i], (0.55 + 0.9 * texture) * self.light);
        if i < 2 {
            // Snow lies near the ridges, and longer in the gullies.
            let line = 0.035 + 0.11 * fbm(u * 13.0, v * 5.0, range.seed + 1, 3) - 0.35 * (v - 0.27).max(0.0);
            let snow = smooth(0.012, -0.012, depth - line) * smooth(0.30, 0.55, texture + 0.12);
            color = mix(color, scale(mix([0.92, 0.94, 1.0], self.glow, 0.30), self.light), snow);
        }
        let haze = range.haze + 0.25 * smooth(0.0, 0.2, depth) * (1.0 - range.haze);
        mix(color, mix(self.horizon, self.zenith, 0.25), haze.min(0.9))
    }

    fn sky(&self, u: f32, v: f32) -> Color {
        let mut color = mix(self.zenith, self.horizon, (v / SHORE).powf(1.5));
        let distance = (u - self.sun.0).hypot(v - self.sun.1);
        color = add(color, scale(self.glow, 0.45 * (-distance * 4.5).exp()));
        let cloud = fbm(u * 2.3 + 3.0, v * 9.5, 5, 5);
        let lit = mix(scale(self.horizon, 0.78), self.glow, (-distance * 1.7).exp());
        color = mix(color, add(lit, scale(self.glow, 0.1)), smooth(0.50, 0.78, cloud) * 0.85);
        if self.light < 0.7 {
            let star = hash((u * 260.0) as i32, (v * 260.0) as i32);
            color = add(color, [smooth(0.9965, 1.0, star) * (0.7 - self.light) * 2.0; 3]);
        }
        let disc = smooth(0.0445, 0.043, distance) * smooth(0.26, 0.5, self.light);
        mix(color, mix([1.0, 0.97, 0.86], self.glow, 0.12), disc)
    }

    /// The land upside down, bent by waves that shrink towards the shore, and the sun's path.
    fn lake(&self, u: f32, v: f32) -> Color {
        let near = (v - SHORE) / (1.0 - SHORE);
        let far = 1.0 / (near + 0.06);
        let wave = fbm(u * (1.5 + 2.2 * far), far * 7.0, 71, 3) - 0.5;
        let mirrored = SHORE - (v - SHORE) * 0.94 + wave * (0.012 + 0.14 * near);
        let seen = self.land(u + wave * 0.05 * near, mirrored.min(SHORE - 0.001));
        let deep = scale(mix([0.03, 0.10, 0.15], self.zenith, 0.35), self.light);
        // What is bright outshines the water's own colour.
        let clear = 1.0 - 0.8 * smooth(0.5, 1.0, seen[1]);
        let color = mix(seen, deep, (0.22 + 0.38 * near) * clear);
        let path = (-((u - self.sun.0) / (0.035 + 0.16 * near)).powi(2)).exp();
        let glitter = smooth(0.06, 0.20, wave) * path * smooth(0.25, 0.6, self.light);
        add(color, scale(self.glow, 0.75 * glitter))
    }

    /// A small boat: two sails and a hull.
    fn boat(&self, u: f32, v: f32) -> Option<Color> {
        let (x, y) = ((u - self.aspect * 0.30) / 0.075, (v - 0.735) / 0.075);
        let main = (-1.9..0.0).contains(&y) && x > 0.04 && x < 0.62 * (1.9 + y) / 1.9;
        let jib = (-1.55..-0.12).contains(&y) && x < -0.03 && x > -0.5 * (1.55 + y) / 1.43;
        let hull = (0.06..0.30).contains(&y) && x.abs() < 0.85 - 1.2 * (y - 0.06);
        let mast = (-2.0..0.06).contains(&y) && x.abs() < 0.018;
        let sail = mix([0.97, 0.94, 0.88], self.glow, 0.25);
        let color = match () {
            () if main => scale(sail, 0.86 + 0.14 * x),
            () if jib => scale(sail, 0.74),
            () if hull => [0.45, 0.13, 0.11],
            () if mast => [0.16, 0.11, 0.09],
            () => return None,
        };
        Some(scale(color, self.light))
    }
}

/// The y of range `i`'s ridge above column `x`.
fn ridge(i: usize, x: u32, height: u32, aspect: f32) -> f32 {
    let range = &RANGES[i];
    let u = x as f32 / height as f32;
    let valley = 0.30 + 0.70 * smooth(0.02, 0.48, (u / aspect - VALLEY).abs());
    let octaves = 7;
    let rough = (0..octaves).map(|octave| {
        let frequency = range.frequency * 2.0_f32.powi(octave);
        // Folded noise has peaks where plain noise has hills.
        let folded = 1.0 - (2.0 * noise(u * frequency, 0.5, range.seed + octave) - 1.0).abs();
        folded * 0.5_f32.powi(octave)
    });
    let mountain = rough.sum::<f32>() / 2.0;
    let firs = if i == 3 { fir(u) } else { 0.0 };
    SHORE - range.foot - range.rise * valley * mountain - firs
}

/// The height of the firs along the near shore: pointed, each of its own height.
fn fir(u: f32) -> f32 {
    let tree = |place: f32, shift: i32| {
        let slot = place.floor();
        let tall = 0.3 + 0.7 * hash(slot as i32, shift);
        let side = (place - slot - 0.5).abs() * 2.0;
        // Branches make the outline a staircase.
        let stairs = ((1.0 - side) * 7.0).floor() / 7.0 + 0.4 * ((1.0 - side) * 7.0).fract() / 7.0;
        tall * stairs.max(0.0)
    };
    0.036 * tree(u * 62.0, 91).max(tree(u * 47.0 + 0.37, 92))
}

/// Octaves of noise, 0 to 1, around 0.5.
fn fbm(x: f32, y: f32, seed: i32, octaves: i32) -> f32 {
    let (mut sum, mut total, mut weight, mut scale) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        sum += weight * noise(x * scale, y * scale, seed + octave);
        total += weight;
        weight *= 0.5;
        scale *= 2.03;
    }
    sum / total
}

/// Value noise, 0 to 1: random at whole numbers, smooth between them.
fn noise(x: f32, y: f32, seed: i32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(x - left), ease(y - top));
    let (column, row) = (left as i32, (top as i32).wrapping_add(seed.wrapping_mul(1013)));
    let [a, b] = [hash(column, row), hash(column + 1, row)];
    let [c, d] = [hash(column, row + 1), hash(column + 1, row + 1)];
    let (upper, lower) = (a + (b - a) * tx, c + (d - c) * tx);
    upper + (lower - upper) * ty
}

/// A number from 0 to 1 that looks random and is not.
fn hash(x: i32, y: i32) -> f32 {
    let mut bits = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    ((bits ^ (bits >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// 0 before `from`, 1 after `to`, smooth between; `from` may be the greater one.
fn smooth(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

// Written out, because a debug build does these for millions of pixels.

fn mix([r, g, b]: Color, [to_r, to_g, to_b]: Color, share: f32) -> Color {
    [r + (to_r - r) * share, g + (to_g - g) * share, b + (to_b - b) * share]
}

fn add([r, g, b]: Color, [more_r, more_g, more_b]: Color) -> Color {
    [r + more_r, g + more_g, b + more_b]
}

fn scale([r, g, b]: Color, factor: f32) -> Color {
    [r * factor, g * factor, b * factor]
}
