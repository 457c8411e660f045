//! Pixels into a JPEG file: the steps and what they share.
//!
//! One pass over the picture, a row of MCUs (T.81, section A.2) at a time, makes tokens of it: a symbol of the
//! Huffman code and the bits that follow it. Counting the symbols gives the best code for this very picture, and a
//! second pass over the tokens, far fewer than the pixels, writes them.
//!
//! # Layout
//! - `layout`: what pixels are, and how a picture is divided
//! - `color`: RGB rows into planes of Y, Cb, Cr
//! - `dct`: blocks of a plane into quantised coefficients
//! - `quant`: what a quality means: the divisors
//! - `tokens`: coefficients into tokens
//! - `progressive`: the same, scan by scan
//! - `huffman`: counts of symbols into the best code
//! - `bits`: tokens into the bytes of a scan
//! - `markers`: the headers between the scans

mod bits;
mod color;
mod dct;
mod huffman;
mod layout;
mod markers;
mod progressive;
mod quant;
mod tokens;

use fearless_simd::{Level, Simd, dispatch};

use bits::Writer;
use color::Stripe;
use dct::Block;
use layout::Layout;
use progressive::Coefficients;
use quant::Quantizer;
use tokens::{Slot, Tokens};

pub use layout::Color;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// 1 (smallest) to 100 (best) on the scale of libjpeg; out of range is clamped.
    pub quality: u8,
    /// Colour at half the width and half the height (4:2:0) instead of all of it (4:4:4).
    pub subsample_chroma: bool,
    /// Several scans, each refining the picture: some per cent smaller, and twice the time.
    pub progressive: bool,
}

impl Default for EncodeOptions {
    /// Quality 80, 4:2:0, baseline.
    fn default() -> Self {
        Self { quality: 80, subsample_chroma: true, progressive: false }
    }
}

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A side is 0.
    #[error("a picture without area")]
    Empty,
    /// The pixels do not fill the picture, or more than fill it.
    #[error("{got} bytes of pixels where the size asks for {expected}")]
    PixelBytes {
        /// Width × height × bytes per pixel.
        expected: usize,
        /// What was given.
        got: usize,
    },
}

/// Memory kept from one call of [`encode`] to the next: fresh pages cost as much time as the encoding.
#[derive(Debug, Default)]
pub struct EncodeScratch {
    stripe: Stripe,
    tokens: Tokens,
    writer: Writer,
    coefficients: [Coefficients; 3],
}

impl EncodeScratch {
    /// The bytes that are kept.
    pub fn bytes(&self) -> usize {
        let coefficients: usize = self.coefficients.iter().map(Coefficients::bytes).sum();
        self.stripe.bytes() + self.tokens.bytes() + self.writer.bytes() + coefficients
    }
}

/// Appends a JPEG file of `width` × `height` pixels to `out`: rows from the top, without padding between them.
///
/// # Errors
/// [`EncodeError`] when a side is 0 or `pixels` are not as many bytes as the picture has.
pub fn encode(
    pixels: &[u8],
    width: u16,
    height: u16,
    color: Color,
    options: &EncodeOptions,
    scratch: &mut EncodeScratch,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if width == 0 || height == 0 {
        return Err(EncodeError::Empty);
    }
    let layout = Layout::new(width, height, color, options.subsample_chroma);
    let expected = layout.width * layout.height * color.bytes_per_pixel();
    if pixels.len() != expected {
        return Err(EncodeError::PixelBytes { expected, got: pixels.len() });
    }
    write(layout, &mut Pixels(pixels), options, scratch, out);
    Ok(())
}

/// Appends a JPEG file of `width` × `height` pixels to `out`, whose samples `fill` makes: eight rows at a time of the component
/// that it is told, 0 luminance, 1 Cb, 2 Cr, from the row that it is told on. It is given the rows, one after the other, all
/// of the same length, and fills them with numbers from -128 to 127; what lies beyond the component's own size should repeat
/// its edge. Colours have half the picture's width and height, rounded up, where
/// [`subsample_chroma`](EncodeOptions::subsample_chroma) says so.
///
/// # Errors
/// [`EncodeError`] when a side is 0.
pub fn encode_planes(
    (width, height): (u16, u16),
    color: Color,
    options: &EncodeOptions,
    scratch: &mut EncodeScratch,
    out: &mut Vec<u8>,
    fill: impl FnMut(usize, usize, &mut [f32]),
) -> Result<(), EncodeError> {
    if width == 0 || height == 0 {
        return Err(EncodeError::Empty);
    }
    let layout = Layout::new(width, height, color, options.subsample_chroma);
    write(layout, &mut Planes(fill), options, scratch, out);
    Ok(())
}

fn write(
    layout: Layout,
    source: &mut impl Source,
    options: &EncodeOptions,
    scratch: &mut EncodeScratch,
    out: &mut Vec<u8>,
) {
    let quantizers =
        [Quantizer::luma(options.quality), Quantizer::chroma(options.quality, options.subsample_chroma)];
    markers::write_head(out, &layout, &quantizers, options.progressive);
    let picture = Picture { layout, quantizers };
    let level = Level::new();
    if options.progressive {
        dispatch!(level, simd => picture.transform(simd, source, scratch));
        let EncodeScratch { tokens, writer, coefficients, .. } = scratch;
        progressive::write_scans(&picture.layout, coefficients, (tokens, writer), out);
    } else {
        scratch.tokens.clear();
        dispatch!(level, simd => picture.tokenize(simd, source, scratch));
        let slots = if layout.color == Color::Gray { &Slot::ALL[..2] } else { &Slot::ALL[..] };
        let codes = scratch.tokens.codes(slots);
        markers::write_codes(out, slots.iter().zip(&codes).map(|(&slot, code)| (slot, code)));
        markers::write_scan_head(out, &markers::Scan::sequential(&picture.layout));
        scratch.writer.set_codes(slots.iter().copied().zip(&codes));
        scratch.writer.write(&scratch.tokens, out);
    }
    markers::write_end(out);
}

/// Where the samples of a row of MCUs come from.
trait Source {
    fn fill<S: Simd>(&mut self, simd: S, stripe: &mut Stripe, layout: &Layout, row: usize);
}

/// Pixels of the whole picture.
struct Pixels<'p>(&'p [u8]);

impl Source for Pixels<'_> {
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, stripe: &mut Stripe, layout: &Layout, row: usize) {
        simd.vectorize(
            #[inline(always)]
            || stripe.fill(self.0, layout, row),
        );
    }
}

/// Who makes eight rows of a component when they are wanted.
struct Planes<F>(F);

impl<F: FnMut(usize, usize, &mut [f32])> Source for Planes<F> {
    fn fill<S: Simd>(&mut self, _: S, stripe: &mut Stripe, layout: &Layout, row: usize) {
        stripe.fill_by(layout, row, &mut self.0);
    }
}

/// What is being encoded.
struct Picture {
    layout: Layout,
    /// Of luma and of chroma.
    quantizers: [Quantizer; 2],
}

impl Picture {
    fn quantizer(&self, component: usize) -> &Quantizer {
        &self.quantizers[component.min(1)]
    }

    /// All tokens of one interleaved sequential scan.
    #[inline(always)]
    fn tokenize<S: Simd>(&self, simd: S, source: &mut impl Source, scratch: &mut EncodeScratch) {
        let EncodeScratch { stripe, tokens, .. } = scratch;
        let mut dc = [0; 3];
        for row in 0..self.layout.mcus_down {
            source.fill(simd, stripe, &self.layout, row);
            simd.vectorize(
                #[inline(always)]
                || self.tokenize_stripe(simd, stripe, row, tokens, &mut dc),
            );
        }
    }

    #[inline(always)]
    fn tokenize_stripe<S: Simd>(
        &self,
        simd: S,
        stripe: &Stripe,
        row: usize,
        tokens: &mut Tokens,
        dc: &mut [i32; 3],
    ) {
        for mcu in 0..self.layout.mcus_across {
            for (component, dc) in dc[..self.layout.components()].iter_mut().enumerate() {
                let blocks = self.layout.blocks(component);
                let (across, down) = self.layout.shown_blocks(component);
                for (y, x) in (0..blocks).flat_map(|y| (0..blocks).map(move |x| (y, x))) {
                    let slots = Slot::of(component);
                    if mcu * blocks + x < across && row * blocks + y < down {
                        let rows = stripe.block(component, mcu * blocks + x, y);
                        let block = dct::transform(simd, rows, self.quantizer(component));
                        tokens.push_block(&block, slots, dc);
                    } else {
                        tokens.push_empty_block(slots);
                    }
                }
            }
        }
    }

    /// All coefficients, for the scans of a progressive file.
    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, source: &mut impl Source, scratch: &mut EncodeScratch) {
        let EncodeScratch { stripe, coefficients, .. } = scratch;
        for (component, coefficients) in coefficients.iter_mut().enumerate().take(self.layout.components()) {
            let down = self.layout.mcus_down * self.layout.blocks(component);
            coefficients.reset(self.layout.mcus_across * self.layout.blocks(component), down);
        }
        for row in 0..self.layout.mcus_down {
            source.fill(simd, stripe, &self.layout, row);
            simd.vectorize(
                #[inline(always)]
                || self.transform_stripe(simd, stripe, row, coefficients),
            );
        }
    }

    #[inline(always)]
    fn transform_stripe<S: Simd>(
        &self,
        simd: S,
        stripe: &Stripe,
        row: usize,
        coefficients: &mut [Coefficients; 3],
    ) {
        for (component, coefficients) in coefficients[..self.layout.components()].iter_mut().enumerate() {
            let blocks = self.layout.blocks(component);
            let (across, down) = self.layout.shown_blocks(component);
            for y in 0..blocks {
                let row = row * blocks + y;
                let mut last = 0;
                for x in 0..self.layout.mcus_across * blocks {
                    let block = if x < across && row < down {
                        dct::transform(simd, stripe.block(component, x, y), self.quantizer(component))
                    } else {
                        // Not shown: the same mean as the block before it costs least.
                        Block::flat(last)
                    };
                    last = block.dc();
                    coefficients.set(x, row, block);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
