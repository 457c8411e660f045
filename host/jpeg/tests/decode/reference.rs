//! What a file of the tests' writer must look like, computed slowly: the inverse DCT from its definition, libjpeg's 2×2
//! transform and its interpolation from their descriptions.

use super::writer::{Block, Component, Frame};
use imgserve_jpeg::Scale;

/// Zigzag position → row and column, by walking the diagonals.
pub(crate) fn places() -> [(usize, usize); 64] {
    let mut places = Vec::new();
    for diagonal in 0..15_usize {
        let mut cells: Vec<(usize, usize)> = (0..8)
            .filter_map(|row| Some((row, diagonal.checked_sub(row)?)))
            .filter(|cell| cell.1 < 8)
            .collect();
        if diagonal % 2 == 0 {
            cells.reverse();
        }
        places.append(&mut cells);
    }
    places.try_into().unwrap()
}

pub(crate) fn side(scale: Scale) -> usize {
    (scale.factor() * 8.0) as usize
}

/// The components at the size of the picture's pixels, by rows; each exact before it is rounded.
pub(crate) fn components(frame: &Frame, scale: Scale) -> Vec<Vec<u8>> {
    let side = side(scale);
    let most = |of: fn(&Component) -> usize| frame.components.iter().map(of).max().unwrap();
    let alone = frame.components.len() == 1;
    let (h_max, v_max) = (most(|c| c.h), most(|c| c.v));
    let own = |c: &Component| {
        let mut own = side;
        while own < 8
            && (h_max * side).is_multiple_of(2 * c.h * own)
            && (v_max * side).is_multiple_of(2 * c.v * own)
        {
            own *= 2;
        }
        own
    };
    let smooth = frame.components.iter().map(own).min().unwrap() > 1;
    let size = ((frame.width * side).div_ceil(8), (frame.height * side).div_ceil(8));
    let component = |c: &Component| {
        let own = if alone { side } else { own(c) };
        let samples = Samples {
            data: samples(frame, c, own, scale),
            stride: c.across * own,
            width: (frame.width * c.h * own).div_ceil(8 * h_max),
            height: (frame.height * c.v * own).div_ceil(8 * v_max),
            step: (h_max * side / (c.h * own), v_max * side / (c.v * own)),
            smooth,
        };
        (0..size.0 * size.1).map(|at| samples.pixel(at % size.0, at / size.0)).collect()
    };
    frame.components.iter().map(component).collect()
}

struct Samples {
    data: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    step: (usize, usize),
    smooth: bool,
}

impl Samples {
    /// A sample; beyond the edges the nearest.
    fn at(&self, x: isize, y: isize) -> u32 {
        let inside = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
        self.data[inside(y, self.height) * self.stride + inside(x, self.width)].into()
    }

    /// jdsample.c: a triangle filter where twice as many are wanted, else repetition.
    fn pixel(&self, x: usize, y: usize) -> u8 {
        let near = ((x / self.step.0) as isize, (y / self.step.1) as isize);
        let far = (
            if x.is_multiple_of(2) { near.0 - 1 } else { near.0 + 1 },
            if y.is_multiple_of(2) { near.1 - 1 } else { near.1 + 1 },
        );
        let wide = self.width > 2;
        let value = match self.step {
            (2, 1) if self.smooth && wide => {
                (3 * self.at(near.0, near.1) + self.at(far.0, near.1) + 1 + x as u32 % 2) / 4
            }
            (1, 2) if self.smooth => {
                (3 * self.at(near.0, near.1) + self.at(near.0, far.1) + 1 + y as u32 % 2) / 4
            }
            (2, 2) if self.smooth && wide => {
                let column = |x: isize| 3 * self.at(x, near.1) + self.at(x, far.1);
                (3 * column(near.0) + column(far.0) + 8 - x as u32 % 2) / 16
            }
            _ => self.at(near.0, near.1),
        };
        value as u8
    }
}

/// A component's samples, `side` × `side` for each block.
fn samples(frame: &Frame, component: &Component, side: usize, scale: Scale) -> Vec<u8> {
    let stride = component.across * side;
    let mut samples = vec![0; component.blocks.len() * side * side];
    for (number, block) in component.blocks.iter().enumerate() {
        let quantization = &frame.quantization[component.table];
        let values = match (scale, side) {
            (_, 1) => vec![(i32::from(block[0]) * i32::from(quantization[0]) + 4) >> 3],
            (Scale::Eighth, 2) => two(block, quantization).to_vec(),
            _ => means(block, quantization, side),
        };
        let (x, y) = (number % component.across * side, number / component.across * side);
        for (at, value) in values.iter().enumerate() {
            samples[(y + at / side) * stride + x + at % side] = (value + 128).clamp(0, 255) as u8;
        }
    }
    samples
}

/// Means of the inverse DCT's results (T.81, A.3.3), rounded, before 128 is added.
fn means(block: &Block, quantization: &[u16; 64], side: usize) -> Vec<i32> {
    let places = places();
    let wide = 8 / side;
    let weight = |u: usize| if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let wave = |u: usize, x: usize| {
        let mean =
            |i: usize| ((2 * (x * wide + i) + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos();
        weight(u) / 2.0 * (0..wide).map(mean).sum::<f64>() / wide as f64
    };
    let mean = |at: usize| {
        let term = |k: usize| {
            let (v, u) = places[k];
            f64::from(block[k]) * f64::from(quantization[k]) * wave(u, at % side) * wave(v, at / side)
        };
        ((0..64).map(term).sum::<f64>() + 0.5).floor() as i32
    };
    (0..side * side).map(mean).collect()
}

/// `jpeg_idct_2x2` of libjpeg's jidctred.c: columns, then rows, in fixed point.
fn two(block: &Block, quantization: &[u16; 64]) -> [i32; 4] {
    const WEIGHTS: [(usize, i32); 4] = [(7, -5906), (5, 6967), (3, -10426), (1, 29692)];
    let mut square = [[0_i32; 8]; 8];
    for (k, (row, column)) in places().into_iter().enumerate() {
        square[row][column] = i32::from(block[k]) * i32::from(quantization[k]);
    }
    let descale = |value: i32, bits: u32| (value + (1 << (bits - 1))) >> bits;
    let mut rows = [[0_i32; 8]; 2];
    for column in [0, 1, 3, 5, 7] {
        let odd: i32 = WEIGHTS.iter().map(|&(row, weight)| square[row][column] * weight).sum();
        let even = square[0][column] << 15;
        (rows[0][column], rows[1][column]) = (descale(even + odd, 13), descale(even - odd, 13));
    }
    let pair = |row: [i32; 8]| {
        let odd: i32 = WEIGHTS.iter().map(|&(column, weight)| row[column] * weight).sum();
        [descale((row[0] << 15) + odd, 20), descale((row[0] << 15) - odd, 20)]
    };
    let [upper, lower] = rows.map(pair);
    [upper[0], upper[1], lower[0], lower[1]]
}
