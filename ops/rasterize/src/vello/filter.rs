//! The one filter that is drawn here: a large Gaussian blur of what a group shows. Where it lies, as resvg reckons it.

use resvg::tiny_skia::{IntRect, Transform};
use resvg::usvg::Group;
use resvg::usvg::filter::{ColorInterpolation, Filter, GaussianBlur, Input, Kind};

use super::blur::{self, Curve};
use super::suits::Unsuited;

/// Whether the filters of `group` are a blur of what it shows and no more.
pub(super) fn is_blur(group: &Group) -> bool {
    single_blur(group).is_some()
}

fn single_blur(group: &Group) -> Option<(&Filter, &GaussianBlur)> {
    let [filter] = group.filters() else { return None };
    match filter.primitives() {
        [primitive] => match primitive.kind() {
            Kind::GaussianBlur(blur) if *blur.input() == Input::SourceGraphic => Some((filter, blur)),
            _ => None,
        },
        _ => None,
    }
}

/// A blur on a canvas, whose pixels its rectangles are in.
pub(super) struct Blur {
    /// The pixels that are blurred. What lies too far from the canvas to reach it is left out.
    pub(super) source: IntRect,
    /// The pixels that are shown of it.
    pub(super) shown: IntRect,
    linear: bool,
    across: [usize; 5],
    down: [usize; 5],
}

impl Blur {
    /// The blur of `group` under `transform`, its own included. `None` shows nothing.
    ///
    /// # Errors
    /// When it is turned or skewed, which resvg draws upright first, or small.
    pub(super) fn of(
        group: &Group,
        transform: Transform,
        canvas: (u16, u16),
    ) -> Result<Option<Self>, Unsuited> {
        let Some((filter, blur)) = single_blur(group) else { return Err(Unsuited::Filter) };
        if transform.has_skew() || transform.sx <= 0.0 || transform.sy <= 0.0 {
            return Err(Unsuited::Filter);
        }
        // Below 1/20 of a pixel resvg does not blur.
        let sigma = |deviation: f32| if deviation < 0.05 { 0.0 } else { deviation };
        let across = sigma(blur.std_dev_x().get() * transform.sx);
        let down = sigma(blur.std_dev_y().get() * transform.sy);
        if across.max(down) < blur::SMALLEST {
            return Err(Unsuited::Filter);
        }
        let primitive = &filter.primitives()[0];
        let linear = primitive.color_interpolation() == ColorInterpolation::LinearRGB;
        let (across, down) = (blur::radii(across), blur::radii(down));
        let reach = (across.iter().sum::<usize>(), down.iter().sum::<usize>());
        let pixels = |rect: resvg::tiny_skia::NonZeroRect| Some(rect.transform(transform)?.to_int_rect());
        let rectangles = || {
            let region = intersection(pixels(group.layer_bounding_box())?, pixels(filter.rect())?)?;
            let source = intersection(region, around(canvas, reach)?)?;
            let shown = intersection(pixels(primitive.rect())?, source)?;
            Some((source, intersection(shown, around(canvas, (0, 0))?)?))
        };
        Ok(rectangles().map(|(source, shown)| Self { source, shown, linear, across, down }))
    }

    /// Blurs `pixels`, which are `source`'s, premultiplied.
    pub(super) fn apply(&self, pixels: &mut [u8]) {
        if self.linear {
            Curve::to_linear().apply(pixels);
        }
        blur::blur(pixels, self.source.width() as usize, self.across, self.down);
        if self.linear {
            Curve::to_srgb().apply(pixels);
        }
    }
}

/// The canvas and `reach` pixels on all sides of it.
fn around((width, height): (u16, u16), (across, down): (usize, usize)) -> Option<IntRect> {
    let [across, down] = [across, down].map(|reach| i32::try_from(reach).ok());
    let (across, down) = (across?, down?);
    IntRect::from_ltrb(-across, -down, i32::from(width) + across, i32::from(height) + down)
}

fn intersection(one: IntRect, other: IntRect) -> Option<IntRect> {
    let (left, top) = (one.left().max(other.left()), one.top().max(other.top()));
    let (right, bottom) = (one.right().min(other.right()), one.bottom().min(other.bottom()));
    if left < right && top < bottom { IntRect::from_ltrb(left, top, right, bottom) } else { None }
}
