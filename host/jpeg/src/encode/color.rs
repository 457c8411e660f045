//! Rows of pixels into planes of luminance and chrominance (ITU-T T.871, section 7), a row of MCUs at a time. The
//! values are kept as they are computed, not rounded to bytes; what is not in the picture repeats its edge.

use super::layout::{Color, Layout};

/// A row of MCUs: the samples of each component, 0 their middle.
#[derive(Debug, Default)]
pub(super) struct Stripe {
    planes: [Vec<f32>; 3],
    /// Samples in a row of each plane: whole MCUs.
    strides: [usize; 3],
    /// Two rows of pixels, their colours apart.
    rows: [Channels; 2],
}

#[derive(Debug, Default)]
struct Channels {
    red: Vec<u8>,
    green: Vec<u8>,
    blue: Vec<u8>,
}

impl Stripe {
    pub(super) fn bytes(&self) -> usize {
        let planes: usize = self.planes.iter().map(|plane| 4 * plane.capacity()).sum();
        planes + self.rows.iter().map(|row| 3 * row.red.capacity()).sum::<usize>()
    }

    /// A block of a component, `x` blocks from the left and `y` from the top: from its first sample on, and how far
    /// its rows are apart.
    #[inline(always)]
    pub(super) fn block(&self, component: usize, x: usize, y: usize) -> (&[f32], usize) {
        let stride = self.strides[component];
        (&self.planes[component][y * 8 * stride + x * 8..], stride)
    }

    /// Takes row `row` of MCUs.
    #[inline(always)]
    pub(super) fn fill(&mut self, pixels: &[u8], layout: &Layout, row: usize) {
        self.resize(layout);
        let lines = 8 * layout.luma_blocks;
        let bytes = layout.width * layout.components();
        let line = |at: usize| {
            let at = (row * lines + at).min(layout.height - 1);
            &pixels[at * bytes..][..bytes]
        };
        if layout.color == Color::Gray {
            for (at, out) in self.planes[0].chunks_exact_mut(self.strides[0]).enumerate() {
                level_shift(line(at), out);
            }
            return;
        }
        let [luma, blue, red] = &mut self.planes;
        let chroma = blue.chunks_exact_mut(self.strides[1]).zip(red.chunks_exact_mut(self.strides[2]));
        let luma = luma.chunks_exact_mut(self.strides[0] * layout.luma_blocks);
        for (at, (luma, (blue, red))) in luma.zip(chroma).enumerate() {
            for (n, (luma, row)) in luma.chunks_exact_mut(self.strides[0]).zip(&mut self.rows).enumerate() {
                row.fill(line(at * layout.luma_blocks + n));
                row.luma(luma);
            }
            match layout.luma_blocks {
                1 => self.rows[0].chroma(blue, red),
                _ => chroma_of_two(&self.rows, blue, red),
            }
        }
    }

    /// Takes row `row` of MCUs from who makes eight rows of a component's samples: which component, from which row of it on.
    pub(super) fn fill_by(
        &mut self,
        layout: &Layout,
        row: usize,
        fill: &mut impl FnMut(usize, usize, &mut [f32]),
    ) {
        self.resize(layout);
        for component in 0..layout.components() {
            let (eight, blocks) = (8 * self.strides[component], layout.blocks(component));
            for (block, rows) in self.planes[component].chunks_exact_mut(eight).enumerate() {
                fill(component, 8 * (row * blocks + block), rows);
            }
        }
    }

    fn resize(&mut self, layout: &Layout) {
        for component in 0..layout.components() {
            let blocks = layout.blocks(component);
            self.strides[component] = layout.mcus_across * blocks * 8;
            self.planes[component].resize(self.strides[component] * blocks * 8, 0.0);
        }
        for row in &mut self.rows {
            for channel in [&mut row.red, &mut row.green, &mut row.blue] {
                channel.resize(self.strides[0], 0);
            }
        }
    }
}

#[inline(always)]
fn level_shift(line: &[u8], out: &mut [f32]) {
    let (shown, beyond) = out.split_at_mut(line.len());
    for (out, &gray) in shown.iter_mut().zip(line) {
        *out = f32::from(gray) - 128.0;
    }
    beyond.fill(shown.last().copied().unwrap_or_default());
}

impl Channels {
    #[inline(always)]
    fn fill(&mut self, line: &[u8]) {
        let (pixels, _) = line.as_chunks::<3>();
        let channels = self.red.iter_mut().zip(&mut self.green).zip(&mut self.blue);
        for (&[r, g, b], ((red, green), blue)) in pixels.iter().zip(channels) {
            (*red, *green, *blue) = (r, g, b);
        }
        if let Some(&[red, green, blue]) = pixels.last() {
            self.red[pixels.len()..].fill(red);
            self.green[pixels.len()..].fill(green);
            self.blue[pixels.len()..].fill(blue);
        }
    }

    #[inline(always)]
    fn pixels(&self) -> impl Iterator<Item = (f32, f32, f32)> {
        let green_blue = self.green.iter().zip(&self.blue);
        self.red.iter().zip(green_blue).map(|(&r, (&g, &b))| (f32::from(r), f32::from(g), f32::from(b)))
    }

    #[inline(always)]
    fn luma(&self, out: &mut [f32]) {
        for (out, (red, green, blue)) in out.iter_mut().zip(self.pixels()) {
            *out = 0.299 * red + 0.587 * green + (0.114 * blue - 128.0);
        }
    }

    #[inline(always)]
    fn chroma(&self, blue: &mut [f32], red: &mut [f32]) {
        for ((blue, red), (r, g, b)) in blue.iter_mut().zip(red).zip(self.pixels()) {
            (*blue, *red) = to_chroma(r, g, b);
        }
    }
}

/// Cb and Cr.
#[inline(always)]
fn to_chroma(red: f32, green: f32, blue: f32) -> (f32, f32) {
    let cb = 0.5 * blue - 0.168_735_9 * red - 0.331_264_1 * green;
    let cr = 0.5 * red - 0.418_687_6 * green - 0.081_312_4 * blue;
    (cb, cr)
}

/// Of the mean of two by two pixels.
#[inline(always)]
fn chroma_of_two(rows: &[Channels; 2], blue: &mut [f32], red: &mut [f32]) {
    let [r, g, b] = [
        sums(&rows[0].red, &rows[1].red),
        sums(&rows[0].green, &rows[1].green),
        sums(&rows[0].blue, &rows[1].blue),
    ];
    for ((blue, red), (r, (g, b))) in blue.iter_mut().zip(red).zip(r.zip(g.zip(b))) {
        (*blue, *red) = to_chroma(0.25 * r, 0.25 * g, 0.25 * b);
    }
}

/// Of two by two neighbours each.
#[inline(always)]
fn sums(upper: &[u8], lower: &[u8]) -> impl Iterator<Item = f32> {
    let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
    upper
        .iter()
        .zip(lower)
        .map(|(&[a, b], &[c, d])| f32::from(u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d)))
}
