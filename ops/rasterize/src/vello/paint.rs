//! Paints: usvg's colours and gradients as vello_cpu has them, and blend modes.

use resvg::tiny_skia::Transform;
use resvg::usvg::{self, BaseGradient, Opacity, Paint, SpreadMethod};
use vello_cpu::PaintType;
use vello_cpu::color::{AlphaColor, Srgb};
use vello_cpu::kurbo::{Affine, Point};
use vello_cpu::peniko::{
    BlendMode, ColorStop, ColorStops, Compose, Extend, Gradient, GradientKind, InterpolationAlphaSpace,
    LinearGradientPosition, Mix, RadialGradientPosition,
};

/// A gradient shorter than this, in its own units, is one colour to tiny-skia (its threshold); to vello_cpu another.
const DEGENERATE: f32 = 1.0 / 32_768.0;

/// Whether `paint` is a gradient from a place to itself.
pub(super) fn is_degenerate(paint: &Paint) -> bool {
    match paint {
        Paint::LinearGradient(of) => length(of.x2() - of.x1(), of.y2() - of.y1()) <= DEGENERATE,
        Paint::RadialGradient(of) => {
            length(of.cx() - of.fx(), of.cy() - of.fy()) <= DEGENERATE
                && (of.r().get() - of.fr().get()).abs() <= DEGENERATE
        }
        Paint::Color(_) | Paint::Pattern(_) => false,
    }
}

fn length(across: f32, down: f32) -> f32 {
    across.hypot(down)
}

/// A paint, and how it lies in the coordinates of what is painted. A pattern is none, as [`super::suits`] has said.
pub(super) fn convert(paint: &Paint, opacity: Opacity) -> Option<(PaintType, Transform)> {
    match paint {
        Paint::Color(color) => Some((self::color(*color, opacity).into(), Transform::identity())),
        Paint::LinearGradient(of) => {
            let kind =
                LinearGradientPosition { start: point(of.x1(), of.y1()), end: point(of.x2(), of.y2()) };
            Some((ramp(of, kind.into(), opacity), of.transform()))
        }
        Paint::RadialGradient(of) => {
            let kind = RadialGradientPosition {
                start_center: point(of.fx(), of.fy()),
                start_radius: of.fr().get(),
                end_center: point(of.cx(), of.cy()),
                end_radius: of.r().get(),
            };
            Some((ramp(of, kind.into(), opacity), of.transform()))
        }
        Paint::Pattern(_) => None,
    }
}

fn color(color: usvg::Color, opacity: Opacity) -> AlphaColor<Srgb> {
    AlphaColor::from_rgba8(color.red, color.green, color.blue, opacity.to_u8())
}

fn point(x: f32, y: f32) -> Point {
    Point::new(x.into(), y.into())
}

/// The colours of a gradient. They are mixed with straight alpha, as tiny-skia does it.
fn ramp(gradient: &BaseGradient, kind: GradientKind, opacity: Opacity) -> PaintType {
    let stops = gradient.stops().iter().map(|stop| ColorStop {
        offset: stop.offset().get(),
        color: color(stop.color(), stop.opacity() * opacity).into(),
    });
    let extend = match gradient.spread_method() {
        SpreadMethod::Pad => Extend::Pad,
        SpreadMethod::Reflect => Extend::Reflect,
        SpreadMethod::Repeat => Extend::Repeat,
    };
    let stops = ColorStops(stops.collect());
    let interpolation_alpha_space = InterpolationAlphaSpace::Unpremultiplied;
    Gradient { kind, extend, stops, interpolation_alpha_space, ..Gradient::default() }.into()
}

pub(super) fn affine(transform: Transform) -> Affine {
    let Transform { sx, ky, kx, sy, tx, ty } = transform;
    Affine::new([sx, ky, kx, sy, tx, ty].map(f64::from))
}

pub(super) fn blend_mode(mode: usvg::BlendMode) -> BlendMode {
    let mix = match mode {
        usvg::BlendMode::PlusLighter => return Compose::PlusLighter.into(),
        usvg::BlendMode::Normal => Mix::Normal,
        usvg::BlendMode::Multiply => Mix::Multiply,
        usvg::BlendMode::Screen => Mix::Screen,
        usvg::BlendMode::Overlay => Mix::Overlay,
        usvg::BlendMode::Darken => Mix::Darken,
        usvg::BlendMode::Lighten => Mix::Lighten,
        usvg::BlendMode::ColorDodge => Mix::ColorDodge,
        usvg::BlendMode::ColorBurn => Mix::ColorBurn,
        usvg::BlendMode::HardLight => Mix::HardLight,
        usvg::BlendMode::SoftLight => Mix::SoftLight,
        usvg::BlendMode::Difference => Mix::Difference,
        usvg::BlendMode::Exclusion => Mix::Exclusion,
        usvg::BlendMode::Hue => Mix::Hue,
        usvg::BlendMode::Saturation => Mix::Saturation,
        usvg::BlendMode::Color => Mix::Color,
        usvg::BlendMode::Luminosity => Mix::Luminosity,
    };
    mix.into()
}
