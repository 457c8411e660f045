//! A beach ball with a soft shadow on nothing at all: colours, sharp edges, and every degree of transparency.

use imgserve_sdk::{Image, PixelFormat};

const SEGMENTS: [[f32; 3]; 6] = [
    [0.90, 0.22, 0.27],
    [0.98, 0.97, 0.93],
    [0.98, 0.76, 0.25],
    [0.98, 0.97, 0.93],
    [0.13, 0.50, 0.73],
    [0.98, 0.97, 0.93],
];
/// Radius and centre, in parts of the picture's side.
const RADIUS: f32 = 0.40;
const CENTRE: (f32, f32) = (0.50, 0.45);
/// Towards the light; a unit vector.
const LIGHT: [f32; 3] = [-0.48, -0.62, 0.62];

/// A square picture of `side` pixels, with transparency.
pub(super) fn paint(side: u32) -> Image {
    let mut data = Vec::with_capacity((side * side * 4) as usize);
    for y in 0..side {
        for x in 0..side {
            let at = |i: u32| (i as f32 + 0.5) / side as f32;
            let pixel = pixel(at(x), at(y), 1.0 / side as f32);
            data.extend(pixel.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8));
        }
    }
    Image::new(side, side, PixelFormat::Rgba8, data).expect("four bytes were written for each pixel")
}

/// Straight RGBA; `pixel` is a pixel's width, over which the ball's edge is blended.
fn pixel(x: f32, y: f32, pixel: f32) -> [f32; 4] {
    let (dx, dy) = ((x - CENTRE.0) / RADIUS, (y - CENTRE.1) / RADIUS);
    let distance = dx.hypot(dy);
    let cover = ((1.0 - distance) * RADIUS / pixel + 0.5).clamp(0.0, 1.0);
    let shadow = shadow(x, y);
    if cover == 0.0 {
        return [0.05, 0.07, 0.15, shadow];
    }
    let z = (1.0 - distance.min(1.0).powi(2)).sqrt();
    let [r, g, b] = shade([dx, dy, z]);
    [r, g, b, cover + (1.0 - cover) * shadow]
}

fn shadow(x: f32, y: f32) -> f32 {
    let (dx, dy) = ((x - 0.54) / 0.40, (y - 0.885) / 0.085);
    0.55 * (1.0 - dx.hypot(dy)).clamp(0.0, 1.0).powf(1.3)
}

/// The colour of the ball where its surface points towards `normal`.
fn shade(normal: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = tilt(normal);
    let turn = (x.atan2(z) / std::f32::consts::TAU + 0.5) * SEGMENTS.len() as f32;
    let cap = y.abs() > 0.96;
    let color = if cap { [0.98, 0.97, 0.93] } else { SEGMENTS[turn as usize % SEGMENTS.len()] };
    let facing = normal.iter().zip(LIGHT).map(|(a, b)| a * b).sum::<f32>();
    let diffuse = 0.42 + 0.62 * facing.max(0.0);
    let gloss = 0.75 * facing.max(0.0).powi(48);
    color.map(|value| value * diffuse + gloss)
}

/// Lays the ball's axis aslant, so that a pole is seen.
fn tilt([x, y, z]: [f32; 3]) -> [f32; 3] {
    let (sin, cos) = 0.75_f32.sin_cos();
    let (y, z) = (y * cos + z * sin, z * cos - y * sin);
    let (sin, cos) = 0.45_f32.sin_cos();
    [x * cos - y * sin, x * sin + y * cos, z]
}
