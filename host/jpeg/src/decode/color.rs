//! From planes of samples to rows of pixels: upsampling where a component has fewer samples than the picture, and YCbCr to
//! RGB, both as libjpeg-turbo does them, to the last bit.

use fearless_simd::{Simd, prelude::*, u8x16};

use super::ColorModel;
use super::geometry::{Geometry, Layout};

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

impl Meaning {
    pub(super) fn model(self) -> ColorModel {
        match self {
            Self::Gray => ColorModel::Gray,
            Self::Rgb | Self::YCbCr => ColorModel::Rgb,
            Self::Cmyk | Self::Ycck => ColorModel::Cmyk,
        }
    }
}

/// One component's samples, and room for a row of them brought to the picture's width.
struct Plane<'p> {
    layout: &'p Layout,
    samples: &'p [u8],
    row: Vec<u8>,
    sums: Vec<u16>,
    /// Whether neighbours are interpolated.
    smooth: bool,
}

/// The picture's pixels, interleaved.
#[inline(always)]
pub(super) fn pixels<S: Simd>(simd: S, geometry: &Geometry, planes: &[Vec<u8>], meaning: Meaning) -> Vec<u8> {
    let (width, height) = (geometry.output.x.len(), geometry.output.y.len());
    let channels = geometry.components.len();
    let mut pixels = vec![0; width * height * channels];
    // libjpeg interpolates unless a block becomes a single sample.
    let finest = geometry.components.iter().map(|layout| layout.side).min().unwrap_or(1);
    let mut planes: Vec<Plane<'_>> = geometry
        .components
        .iter()
        .zip(planes)
        .map(|(layout, samples)| Plane {
            layout,
            samples,
            row: Vec::new(),
            sums: Vec::new(),
            smooth: finest > 1,
        })
        .collect();
    for (y, to) in geometry.output.y.clone().zip(pixels.chunks_exact_mut(width * channels)) {
        planes.iter_mut().for_each(|plane| plane.upsample(y));
        let row = |index: usize| planes[index].row(y, geometry.output.x.start, width);
        match meaning {
            Meaning::Gray => to.copy_from_slice(row(0)),
            Meaning::Rgb => interleave(simd, [row(0), row(1), row(2)], to),
            Meaning::YCbCr => ycbcr(simd, [row(0), row(1), row(2)], to),
            Meaning::Cmyk => four([row(0), row(1), row(2), row(3)], to),
            Meaning::Ycck => ycck([row(0), row(1), row(2), row(3)], to),
        }
    }
    pixels
}

impl Plane<'_> {
    /// A row of samples by its number in the picture; beyond the picture's edge, the edge's.
    fn samples(&self, y: usize) -> &[u8] {
        let layout = self.layout;
        let y = y.min(layout.samples.1 - 1) - layout.window.y.start * layout.side;
        let first = layout.window.x.start * layout.side;
        let length = layout.stride().min(layout.samples.0 - first);
        &self.samples[y * layout.stride()..][..length]
    }

    /// Makes the row of pixels `y`, if samples must become more.
    #[inline(always)]
    fn upsample(&mut self, y: usize) {
        if !self.layout.is_upsampled() {
            return;
        }
        let (across, down) = self.layout.step;
        let (mut row, mut sums) = (std::mem::take(&mut self.row), std::mem::take(&mut self.sums));
        let near = self.samples(y / down);
        row.resize(near.len() * across, 0);
        // As libjpeg: what is too narrow is only repeated.
        let wide = self.layout.samples.0 > 2 && near.len() > 1;
        match (across, down) {
            (2, 1) if self.smooth && wide => twice_across(near, &mut row),
            (1, 2) if self.smooth => {
                let far = self.samples(neighbour(y, self.layout));
                let bias = 1 + (y % 2) as u16;
                for ((to, &near), &far) in row.iter_mut().zip(near).zip(far) {
                    *to = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.smooth && wide => {
                twice_both(near, self.samples(neighbour(y, self.layout)), &mut sums, &mut row);
            }
            _ => row.chunks_exact_mut(across).zip(near).for_each(|(to, &sample)| to.fill(sample)),
        }
        (self.row, self.sums) = (row, sums);
    }

    /// `width` pixels of row `y` from pixel `start` on.
    fn row(&self, y: usize, start: usize, width: usize) -> &[u8] {
        let first = self.layout.window.x.start * self.layout.side;
        if self.layout.is_upsampled() {
            return &self.row[start - first * self.layout.step.0..][..width];
        }
        &self.samples(y)[start - first..][..width]
    }
}

/// The row of samples that is the second nearest to the row of pixels `y`, two of which each sample spans.
fn neighbour(y: usize, layout: &Layout) -> usize {
    let near = y / 2;
    if y.is_multiple_of(2) {
        near.saturating_sub(1).max(layout.window.y.start * layout.side)
    } else {
        near + 1
    }
}

/// libjpeg's `h2v1_fancy_upsample`: three quarters of the nearer sample, one of the farther.
#[inline(always)]
fn twice_across(near: &[u8], to: &mut [u8]) {
    let at = |sample: u8| u16::from(sample);
    let last = near.len() - 1;
    let (pairs, _) = to.as_chunks_mut::<2>();
    for (pair, three) in pairs[1..].iter_mut().zip(near.windows(3)) {
        let here = 3 * at(three[1]);
        *pair = [((here + at(three[0]) + 1) >> 2) as u8, ((here + at(three[2]) + 2) >> 2) as u8];
    }
    pairs[0] = [near[0], ((3 * at(near[0]) + at(near[1]) + 2) >> 2) as u8];
    pairs[last] = [((3 * at(near[last]) + at(near[last - 1]) + 1) >> 2) as u8, near[last]];
}

/// libjpeg's `h2v2_fancy_upsample`: the same both ways.
#[inline(always)]
fn twice_both(near: &[u8], far: &[u8], sums: &mut Vec<u16>, to: &mut [u8]) {
    sums.clear();
    sums.extend(near.iter().zip(far).map(|(&near, &far)| 3 * u16::from(near) + u16::from(far)));
    let last = sums.len() - 1;
    let (pairs, _) = to.as_chunks_mut::<2>();
    for (pair, three) in pairs[1..].iter_mut().zip(sums.windows(3)) {
        let here = 3 * three[1];
        *pair = [((here + three[0] + 8) >> 4) as u8, ((here + three[2] + 7) >> 4) as u8];
    }
    pairs[0] = [((4 * sums[0] + 8) >> 4) as u8, ((3 * sums[0] + sums[1] + 7) >> 4) as u8];
    pairs[last] = [((3 * sums[last] + sums[last - 1] + 8) >> 4) as u8, ((4 * sums[last] + 7) >> 4) as u8];
}

/// Pixels converted at a time.
const STEP: usize = 16;

#[inline(always)]
fn ycbcr<S: Simd>(simd: S, [y, cb, cr]: [&[u8]; 3], to: &mut [u8]) {
    let (ys, y_rest) = y.as_chunks::<STEP>();
    let (cbs, cb_rest) = cb.as_chunks::<STEP>();
    let (crs, cr_rest) = cr.as_chunks::<STEP>();
    let (tos, to_rest) = to.as_chunks_mut::<{ 3 * STEP }>();
    for (((y, cb), cr), to) in ys.iter().zip(cbs).zip(crs).zip(tos) {
        let [r, g, b] = rgb(y, cb, cr);
        weave(simd, [&r, &g, &b], to);
    }
    let mut padded = [[0; STEP]; 3];
    for (padded, rest) in padded.iter_mut().zip([y_rest, cb_rest, cr_rest]) {
        padded[..rest.len()].copy_from_slice(rest);
    }
    let [r, g, b] = rgb(&padded[0], &padded[1], &padded[2]);
    for (i, pixel) in to_rest.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[r[i], g[i], b[i]]);
    }
}

/// JFIF's YCbCr to RGB in libjpeg's fixed point (jdcolor.c).
#[inline(always)]
fn rgb(y: &[u8; STEP], cb: &[u8; STEP], cr: &[u8; STEP]) -> [[u8; STEP]; 3] {
    const HALF: i32 = 1 << 15;
    let mut rgb = [[0; STEP]; 3];
    for i in 0..STEP {
        let (y, cb, cr) = (i32::from(y[i]), i32::from(cb[i]) - 128, i32::from(cr[i]) - 128);
        let red = y + ((91_881 * cr + HALF) >> 16);
        let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
        let blue = y + ((116_130 * cb + HALF) >> 16);
        rgb[0][i] = red.clamp(0, 255) as u8;
        rgb[1][i] = green.clamp(0, 255) as u8;
        rgb[2][i] = blue.clamp(0, 255) as u8;
    }
    rgb
}

#[inline(always)]
fn interleave<S: Simd>(simd: S, [r, g, b]: [&[u8]; 3], to: &mut [u8]) {
    let (rs, _) = r.as_chunks::<STEP>();
    let (gs, _) = g.as_chunks::<STEP>();
    let (bs, _) = b.as_chunks::<STEP>();
    let done = STEP * rs.len();
    let (tos, to_rest) = to.as_chunks_mut::<{ 3 * STEP }>();
    for (((r, g), b), to) in rs.iter().zip(gs).zip(bs).zip(tos) {
        weave(simd, [r, g, b], to);
    }
    for (i, pixel) in to_rest.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[r[done + i], g[done + i], b[done + i]]);
    }
}

/// Where each byte of three channels' sixteen pixels comes from, for each third of the result and each channel; 255 is zero.
const WEAVE: [[[u8; 16]; 3]; 3] = {
    let mut weave = [[[255; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        weave[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    weave
};

#[inline(always)]
fn weave<S: Simd>(simd: S, channels: [&[u8; STEP]; 3], to: &mut [u8; 3 * STEP]) {
    let [r, g, b] = channels.map(|channel| u8x16::from_slice(simd, channel));
    for (third, to) in WEAVE.iter().zip(to.as_chunks_mut::<16>().0) {
        let part = |channel: u8x16<S>, index: usize| {
            channel.swizzle_dyn_precise(u8x16::from_slice(simd, &third[index]))
        };
        (part(r, 0) | part(g, 1) | part(b, 2)).store_slice(to);
    }
}

fn four(rows: [&[u8]; 4], to: &mut [u8]) {
    for (i, pixel) in to.chunks_exact_mut(4).enumerate() {
        pixel.copy_from_slice(&rows.map(|row| row[i]));
    }
}

/// Inks from their complement in YCbCr; black is as it was.
fn ycck([y, cb, cr, k]: [&[u8]; 4], to: &mut [u8]) {
    for (i, pixel) in to.chunks_exact_mut(4).enumerate() {
        let [r, g, b] = rgb(&[y[i]; STEP], &[cb[i]; STEP], &[cr[i]; STEP]);
        pixel.copy_from_slice(&[255 - r[0], 255 - g[0], 255 - b[0], k[i]]);
    }
}
