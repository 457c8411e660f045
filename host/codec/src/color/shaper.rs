//! RGB that is told by three curves and three primary colours, as most profiles tell it, to sRGB by moxcms, which takes a
//! nanosecond or two a pixel.

use std::cell::OnceCell;

use imgserve_sdk::{Image, PixelFormat};
use moxcms::{
    ColorProfile, Layout, RenderingIntent, ToneReprCurve, TransformExecutor, TransformOptions, Xyzd,
};

use super::curve::Curve;
use super::pipeline::{Encoding, Pipeline, Stage};

/// Pixels per call of the transform: what the copy beside them takes stays in the cache.
const CHUNK_PIXELS: usize = 4096;

/// Curves to linear light, and what full red, green and blue are in XYZ under D50.
#[derive(Clone, Debug)]
pub(crate) struct Shaper {
    curves: [Curve; 3],
    primaries: [[f32; 3]; 3],
    /// Whether 8-bit colours stay as they are, once that is known: a profile is kept, and most are sRGB's.
    is_srgb: OnceCell<bool>,
}

impl Shaper {
    pub(crate) fn new(curves: [Curve; 3], primaries: [[f32; 3]; 3]) -> Self {
        Self { curves, primaries, is_srgb: OnceCell::new() }
    }

    /// The same, number by number.
    pub(super) fn pipeline(&self) -> Pipeline {
        let row = |i: usize| self.primaries.map(|primary| primary[i]);
        let matrix = Stage::Matrix([row(0), row(1), row(2)], [0.0; 3]);
        Pipeline { stages: vec![Stage::Curves(self.curves.to_vec()), matrix], encoding: Encoding::Plain }
    }

    fn profile(&self) -> ColorProfile {
        let mut profile = ColorProfile::new_srgb();
        profile.cicp = None;
        let [red, green, blue] = self.primaries.map(|primary| {
            let [x, y, z] = primary.map(f64::from);
            Xyzd { x, y, z }
        });
        (profile.red_colorant, profile.green_colorant, profile.blue_colorant) = (red, green, blue);
        let [red, green, blue] = self.curves.each_ref().map(|curve| Some(ToneReprCurve::from(curve)));
        (profile.red_trc, profile.green_trc, profile.blue_trc) = (red, green, blue);
        profile
    }

    /// Whether 8-bit colours stay as they are.
    pub(super) fn is_srgb(&self) -> bool {
        *self.is_srgb.get_or_init(|| self.is(&ColorProfile::new_srgb()))
    }

    /// Whether 8-bit colours are those of Display P3.
    pub(super) fn is_display_p3(&self) -> bool {
        self.is(&ColorProfile::new_display_p3())
    }

    fn is(&self, other: &ColorProfile) -> bool {
        let transform = self.profile().create_transform_8bit(Layout::Rgb, other, Layout::Rgb, options());
        transform.is_ok_and(|transform| is_identity(transform.as_ref(), 3).unwrap_or(false))
    }

    /// Changes the pixels of a picture in colour.
    ///
    /// # Errors
    /// A text: why that is not possible; the pixels are then as they were.
    pub(super) fn apply(&self, image: &mut Image) -> Result<(), String> {
        if image.format() != PixelFormat::Rgba16 && self.is_srgb.get() == Some(&true) {
            return Ok(());
        }
        let (profile, srgb) = (self.profile(), ColorProfile::new_srgb());
        let by_8 = |layout| profile.create_transform_8bit(layout, &srgb, layout, options()).map_err(text);
        match image.format() {
            PixelFormat::Rgb8 => self.bytes(image.data_mut(), by_8(Layout::Rgb)?.as_ref(), 3),
            PixelFormat::Rgba8 => self.bytes(image.data_mut(), by_8(Layout::Rgba)?.as_ref(), 4),
            PixelFormat::Rgba16 => {
                let layout = Layout::Rgba;
                let transform =
                    profile.create_transform_16bit(layout, &srgb, layout, options()).map_err(text)?;
                words(image.data_mut(), transform.as_ref())
            }
            PixelFormat::Gray8 => Ok(()),
        }
    }

    fn bytes(
        &self,
        data: &mut [u8],
        transform: &dyn TransformExecutor<u8>,
        channels: usize,
    ) -> Result<(), String> {
        let is_srgb = match self.is_srgb.get() {
            Some(&known) => known,
            None => is_identity(transform, channels)?,
        };
        if *self.is_srgb.get_or_init(|| is_srgb) {
            return Ok(());
        }
        let mut copy = Vec::with_capacity(CHUNK_PIXELS * channels);
        for chunk in data.chunks_mut(CHUNK_PIXELS * channels) {
            copy.clear();
            copy.extend_from_slice(chunk);
            transform.transform(&copy, chunk).map_err(text)?;
        }
        Ok(())
    }
}

fn options() -> TransformOptions {
    TransformOptions {
        rendering_intent: RenderingIntent::RelativeColorimetric,
        ..TransformOptions::default()
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Whether no colour of a coarse grid changes by more than rounding: true for sRGB under any of its many names.
fn is_identity(transform: &dyn TransformExecutor<u8>, channels: usize) -> Result<bool, String> {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let mut grid = Vec::with_capacity(216 * channels);
    for (r, g, b) in
        STEPS.iter().flat_map(|r| STEPS.iter().flat_map(move |g| STEPS.iter().map(move |b| (r, g, b))))
    {
        grid.extend_from_slice(&[*r, *g, *b, 255][..channels]);
    }
    let mut changed = vec![0; grid.len()];
    transform.transform(&grid, &mut changed).map_err(text)?;
    Ok(grid.iter().zip(&changed).all(|(a, b)| a.abs_diff(*b) <= 2))
}

fn words(data: &mut [u8], transform: &dyn TransformExecutor<u16>) -> Result<(), String> {
    let (words, _) = data.as_chunks_mut::<2>();
    let mut changed = [0; CHUNK_PIXELS * 4];
    for chunk in words.chunks_mut(CHUNK_PIXELS * 4) {
        let copy: Vec<u16> = chunk.iter().map(|word| u16::from_le_bytes(*word)).collect();
        let changed = &mut changed[..copy.len()];
        transform.transform(&copy, changed).map_err(text)?;
        chunk.iter_mut().zip(changed).for_each(|(word, value)| *word = value.to_le_bytes());
    }
    Ok(())
}
