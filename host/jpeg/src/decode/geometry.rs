//! Where everything lies: blocks, MCUs, the part of them that is needed, and the samples they become. Numbers alone.

use std::ops::Range;

use super::error::{DecodeError, Unsupported};
use super::segments::Frame;
use super::{DecodeOptions, Region};

/// A rectangle of whole things: blocks, samples or pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: Range<usize>,
    pub(super) y: Range<usize>,
}

/// One component's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blocks per MCU.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Samples that a side of a block becomes: 1, 2, 4 or 8.
    pub(super) side: usize,
    /// Blocks in all, across and down, as a scan of this component alone has them.
    pub(super) blocks: (usize, usize),
    /// The blocks that are needed, in whole MCUs.
    pub(super) window: Area,
    /// Samples that the picture has of it, padding not counted.
    pub(super) samples: (usize, usize),
    /// Pixels that a sample stands for, across and down: 1, 2, 3 or 4.
    pub(super) step: (usize, usize),
}

/// The whole picture's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    /// The needed ones.
    pub(super) window: Area,
    /// The pixels that are given, in pixels of the scaled picture.
    pub(super) output: Area,
    pub(super) components: Vec<Layout>,
}

impl Layout {
    /// Samples per row of its plane.
    pub(super) fn stride(&self) -> usize {
        self.window.x.len() * self.side
    }

    /// Rows of its plane.
    pub(super) fn rows(&self) -> usize {
        self.window.y.len() * self.side
    }

    /// Whether its samples are fewer than the pixels.
    pub(super) fn is_upsampled(&self) -> bool {
        self.step != (1, 1)
    }
}

impl Geometry {
    pub(super) fn new(frame: &Frame, options: &DecodeOptions) -> Result<Self, DecodeError> {
        let side = options.scale.side();
        let output = output(options, (frame.width, frame.height));
        let mcus = (frame.width.div_ceil(8 * frame.h_max), frame.height.div_ceil(8 * frame.v_max));
        let sides = sides(frame, options);
        // Upsampling looks at the neighbours.
        let upsamples = frame
            .components
            .iter()
            .zip(&sides)
            .any(|(c, own)| (c.h * own, c.v * own) != (frame.h_max * side, frame.v_max * side));
        let margin = usize::from(upsamples);
        let window = Area {
            x: units(&output.x, frame.h_max * side, margin, mcus.0),
            y: units(&output.y, frame.v_max * side, margin, mcus.1),
        };
        let mut components = Vec::with_capacity(frame.components.len());
        for (component, own) in frame.components.iter().zip(sides) {
            let (across, down) = (frame.h_max * side, frame.v_max * side);
            if across % (component.h * own) != 0 || down % (component.v * own) != 0 {
                return Err(Unsupported::FractionalSampling.into());
            }
            let of = |length: usize, factor: usize, most: usize| (length * factor).div_ceil(most);
            components.push(Layout {
                h: component.h,
                v: component.v,
                side: own,
                blocks: (
                    of(frame.width, component.h, 8 * frame.h_max),
                    of(frame.height, component.v, 8 * frame.v_max),
                ),
                window: Area {
                    x: window.x.start * component.h..window.x.end * component.h,
                    y: window.y.start * component.v..window.y.end * component.v,
                },
                samples: (
                    of(frame.width, component.h * own, 8 * frame.h_max),
                    of(frame.height, component.v * own, 8 * frame.v_max),
                ),
                step: (across / (component.h * own), down / (component.v * own)),
            });
        }
        Ok(Self { mcus, window, output, components })
    }
}

/// The samples that a side of each component's blocks becomes. As in libjpeg, a component that is sampled more coarsely is
/// reduced less, so that little or nothing is left to upsample.
fn sides(frame: &Frame, options: &DecodeOptions) -> Vec<usize> {
    let side = options.scale.side();
    let own = |h: usize, v: usize| {
        let mut own = side;
        while own < 8
            && (frame.h_max * side).is_multiple_of(2 * h * own)
            && (frame.v_max * side).is_multiple_of(2 * v * own)
        {
            own *= 2;
        }
        own
    };
    frame.components.iter().map(|c| own(c.h, c.v)).collect()
}

/// A length in pixels of the scaled picture, rounded up.
pub(super) fn scaled(length: usize, side: usize) -> usize {
    (length * side).div_ceil(8)
}

/// The pixels of the scaled picture that are wanted of one of this size.
pub(super) fn output(options: &DecodeOptions, (width, height): (usize, usize)) -> Area {
    let side = options.scale.side();
    let size = (scaled(width, side), scaled(height, side));
    options.region.map_or(Area { x: 0..size.0, y: 0..size.1 }, |region| area(region, side, size))
}

/// The pixels of the scaled picture that show some of `region`, at least one each way.
fn area(region: Region, side: usize, size: (usize, usize)) -> Area {
    let range = |start: u32, length: u32, most: usize| {
        // No picture is larger, so that nothing overflows.
        let end = start.saturating_add(length).min(1 << 16) as usize;
        let first = (start.min(1 << 16) as usize * side / 8).min(most - 1);
        first..scaled(end, side).clamp(first + 1, most)
    };
    Area { x: range(region.x, region.width, size.0), y: range(region.y, region.height, size.1) }
}

/// The MCUs that hold `pixels`.
fn units(pixels: &Range<usize>, unit: usize, margin: usize, most: usize) -> Range<usize> {
    (pixels.start / unit).saturating_sub(margin)..(pixels.end.div_ceil(unit) + margin).min(most)
}
