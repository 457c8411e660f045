//! Where everything goes: from the source's size and the request to the result's size, the part of the source
//! that is shown and its place in the result. Pure functions of numbers; no pixel is seen here.

use imgserve_sdk::{DecodeHint, Rect};

use crate::args::{Fit, Gravity};

/// A width and a height in pixels, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// The result's size.
    pub(crate) output: Size,
    /// The part of the source that is shown, in source pixels.
    pub(crate) crop: Rect,
    /// The size it is shown at; at most `output`.
    pub(crate) shown: Size,
    /// Columns of `background` left of it.
    pub(crate) left: u32,
    /// Rows of `background` above it.
    pub(crate) top: u32,
}

impl Geometry {
    /// The geometry of bringing `source` to `target`. A side of the result is at most `u32::MAX`; only `outside`
    /// gets anywhere near.
    pub(crate) fn new(source: Size, target: Size, fit: Fit, gravity: Gravity) -> Self {
        let whole = Rect { x: 0.0, y: 0.0, width: source.width.into(), height: source.height.into() };
        let plain = |size| Self { output: size, crop: whole, shown: size, left: 0, top: 0 };
        match fit {
            Fit::Fill => plain(target),
            Fit::Inside => plain(scaled(source, target, is_wider(source, target))),
            Fit::Outside => plain(scaled(source, target, !is_wider(source, target))),
            Fit::Cover => Self { crop: cover_crop(source, target, gravity), ..plain(target) },
            Fit::Contain => {
                let shown = scaled(source, target, is_wider(source, target));
                let (x, y) = gravity.shares();
                let before = |space: u32, share: f64| (f64::from(space) * share).round() as u32;
                let left = before(target.width - shown.width, x);
                let top = before(target.height - shown.height, y);
                Self { output: target, crop: whole, shown, left, top }
            }
        }
    }

    /// Whether some of the result is not covered by the source.
    pub(crate) fn has_bars(&self) -> bool {
        self.shown != self.output
    }

    /// What must be decoded of `source`: the crop and what its edge pixels are averaged from, and for each pixel of the
    /// result at least one pixel.
    pub(crate) fn decode_hint(&self, source: Size) -> DecodeHint {
        let across = f64::from(self.shown.width) / self.crop.width;
        let down = f64::from(self.shown.height) / self.crop.height;
        let scale = across.max(down);
        let is_crop = self.crop.width < source.width.into() || self.crop.height < source.height.into();
        let region = widened(self.crop, FILTER_REACH / across.min(1.0), FILTER_REACH / down.min(1.0), source);
        DecodeHint { min_scale: (scale < 1.0).then_some(scale), region: is_crop.then_some(region) }
    }
}

/// How far the widest filter, Lanczos with three lobes, reaches: so many pixels of the result, or of the source when enlarging.
const FILTER_REACH: f64 = 3.0;

/// `part` with so much more on each side, as far as `source` goes.
fn widened(part: Rect, across: f64, down: f64, source: Size) -> Rect {
    let side = |start: f64, length: f64, more: f64, limit: u32| {
        let from = (start - more).max(0.0);
        (from, (start + length + more).min(limit.into()) - from)
    };
    let ((x, width), (y, height)) =
        (side(part.x, part.width, across, source.width), side(part.y, part.height, down, source.height));
    Rect { x, y, width, height }
}

/// Whether `source` is wider for its height than `target`, or as wide. In integers, so that a source of the very
/// shape is never cropped by a rounding error.
fn is_wider(source: Size, target: Size) -> bool {
    u64::from(source.width) * u64::from(target.height) >= u64::from(target.width) * u64::from(source.height)
}

/// `source` scaled to have exactly `target`'s width (or else its height), the other side rounded, at least 1.
fn scaled(source: Size, target: Size, by_width: bool) -> Size {
    if by_width {
        Size { width: target.width, height: proportion(source.height, target.width, source.width) }
    } else {
        Size { width: proportion(source.width, target.height, source.height), height: target.height }
    }
}

/// `value` × `numerator` ÷ `denominator`, rounded half up, from 1 to `u32::MAX`.
fn proportion(value: u32, numerator: u32, denominator: u32) -> u32 {
    let (value, numerator, denominator) = (u128::from(value), u128::from(numerator), u128::from(denominator));
    let rounded = (2 * value * numerator + denominator) / (2 * denominator);
    rounded.clamp(1, u32::MAX.into()) as u32
}

/// The largest part of `source` that has `target`'s shape.
fn cover_crop(source: Size, target: Size, gravity: Gravity) -> Rect {
    let (source_width, source_height) = (f64::from(source.width), f64::from(source.height));
    let aspect = f64::from(target.width) / f64::from(target.height);
    let (width, height) = if is_wider(source, target) {
        ((source_height * aspect).min(source_width), source_height)
    } else {
        (source_width, (source_width / aspect).min(source_height))
    };
    let (x, y) = gravity.shares();
    Rect { x: (source_width - width) * x, y: (source_height - height) * y, width, height }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn geometry(source: (u32, u32), target: (u32, u32), fit: Fit, gravity: Gravity) -> Geometry {
        Geometry::new(size(source.0, source.1), size(target.0, target.1), fit, gravity)
    }

    #[test]
    fn cover_crops_both_sides_alike_and_one_third_off_the_top() {
        let wide = geometry((300, 100), (50, 50), Fit::Cover, Gravity::Upper);
        assert_eq!(wide.crop, Rect { x: 100.0, y: 0.0, width: 100.0, height: 100.0 });
        let tall = geometry((100, 400), (50, 50), Fit::Cover, Gravity::Upper);
        assert_eq!(tall.crop, Rect { x: 0.0, y: 100.0, width: 100.0, height: 100.0 });
        assert_eq!(tall.output, size(50, 50));
    }

    #[test]
    fn gravity_says_what_is_kept() {
        for (gravity, x, y) in [
            (Gravity::Center, 100.0, 150.0),
            (Gravity::North, 100.0, 0.0),
            (Gravity::Northeast, 200.0, 0.0),
            (Gravity::East, 200.0, 150.0),
            (Gravity::Southeast, 200.0, 300.0),
            (Gravity::South, 100.0, 300.0),
            (Gravity::Southwest, 0.0, 300.0),
            (Gravity::West, 0.0, 150.0),
            (Gravity::Northwest, 0.0, 0.0),
        ] {
            assert_eq!(geometry((300, 100), (50, 50), Fit::Cover, gravity).crop.x, x, "{gravity:?}");
            assert_eq!(geometry((100, 400), (50, 50), Fit::Cover, gravity).crop.y, y, "{gravity:?}");
        }
    }

    #[test]
    fn contain_centres_the_picture_between_bars() {
        let wide = geometry((200, 100), (100, 90), Fit::Contain, Gravity::Center);
        assert_eq!((wide.output, wide.shown, wide.left, wide.top), (size(100, 90), size(100, 50), 0, 20));
        let upper = geometry((200, 100), (100, 80), Fit::Contain, Gravity::Upper);
        assert_eq!((upper.left, upper.top), (0, 10));
        let right = geometry((100, 200), (100, 100), Fit::Contain, Gravity::East);
        assert_eq!((right.shown, right.left, right.top), (size(50, 100), 50, 0));
        assert!(!geometry((200, 100), (100, 50), Fit::Contain, Gravity::Upper).has_bars());
    }

    #[test]
    fn inside_and_outside_keep_the_aspect() {
        assert_eq!(geometry((300, 200), (150, 150), Fit::Inside, Gravity::Upper).output, size(150, 100));
        assert_eq!(geometry((300, 200), (150, 150), Fit::Outside, Gravity::Upper).output, size(225, 150));
        assert_eq!(geometry((60_000, 1), (100, 100), Fit::Inside, Gravity::Upper).output, size(100, 1));
        let endless = geometry((u32::MAX, 1), (65_535, 65_535), Fit::Outside, Gravity::Upper);
        assert_eq!(endless.output, size(u32::MAX, 65_535));
    }

    #[test]
    fn the_hint_asks_for_no_more_than_is_needed() {
        let source = size(3000, 2000);
        let hint = geometry((3000, 2000), (200, 200), Fit::Cover, Gravity::Center).decode_hint(source);
        assert_eq!(hint.min_scale, Some(0.1));
        // Three pixels of the result more on each side, as far as there are any.
        assert_eq!(hint.region, Some(Rect { x: 470.0, y: 0.0, width: 2060.0, height: 2000.0 }));
        let hint = geometry((3000, 2000), (300, 1000), Fit::Fill, Gravity::Center).decode_hint(source);
        assert_eq!(hint, DecodeHint { min_scale: Some(0.5), region: None });
        let hint = geometry((3000, 2000), (6000, 4000), Fit::Cover, Gravity::Center).decode_hint(source);
        assert_eq!(hint, DecodeHint::default());
    }

    fn sides() -> impl Strategy<Value = u32> {
        prop_oneof![1..=20u32, 1..=5000u32, 1..=65_535u32]
    }

    fn fits() -> impl Strategy<Value = Fit> {
        prop::sample::select(vec![Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside, Fit::Outside])
    }

    fn gravities() -> impl Strategy<Value = Gravity> {
        prop::sample::select(vec![Gravity::Upper, Gravity::Center, Gravity::Northwest, Gravity::Southeast])
    }

    proptest! {
        #[test]
        fn everything_stays_inside(
            source in (sides(), sides()), target in (sides(), sides()), fit in fits(), gravity in gravities(),
        ) {
            let g = geometry(source, target, fit, gravity);
            prop_assert!(g.crop.x >= 0.0 && g.crop.y >= 0.0 && g.crop.width > 0.0 && g.crop.height > 0.0);
            prop_assert!(g.crop.x + g.crop.width <= f64::from(source.0) + 1e-9);
            prop_assert!(g.crop.y + g.crop.height <= f64::from(source.1) + 1e-9);
            prop_assert!(g.shown.width >= 1 && g.shown.height >= 1);
            prop_assert!(u64::from(g.left) + u64::from(g.shown.width) <= g.output.width.into());
            prop_assert!(u64::from(g.top) + u64::from(g.shown.height) <= g.output.height.into());
        }

        #[test]
        fn the_size_is_what_the_fit_promises(
            source in (sides(), sides()), target in (sides(), sides()), fit in fits(),
        ) {
            let output = geometry(source, target, fit, Gravity::Upper).output;
            let exact = output.width == target.0 || output.height == target.1;
            match fit {
                Fit::Cover | Fit::Contain | Fit::Fill => prop_assert_eq!(output, size(target.0, target.1)),
                Fit::Inside => {
                    prop_assert!(exact && output.width <= target.0 && output.height <= target.1);
                }
                Fit::Outside => {
                    prop_assert!(exact && output.width >= target.0 && output.height >= target.1);
                }
            }
        }

        #[test]
        fn the_aspect_is_kept_within_a_pixel(
            source in (sides(), sides()), target in (sides(), sides()),
            fit in prop::sample::select(vec![Fit::Cover, Fit::Contain, Fit::Inside, Fit::Outside]),
        ) {
            let g = geometry(source, target, fit, Gravity::Upper);
            let across = g.crop.width * f64::from(g.shown.height) / g.crop.height;
            let down = g.crop.height * f64::from(g.shown.width) / g.crop.width;
            // One of the two sides is exact; the other is that far from what it should be.
            let off = (across - f64::from(g.shown.width)).abs().min((down - f64::from(g.shown.height)).abs());
            prop_assert!(off <= 1.0, "off by {} pixels", off);
        }

        #[test]
        fn the_surplus_is_split_as_0_2_split_it(source in (sides(), sides()), target in (sides(), sides())) {
            let crop = geometry(source, target, Fit::Cover, Gravity::Upper).crop;
            let right = f64::from(source.0) - crop.x - crop.width;
            let below = f64::from(source.1) - crop.y - crop.height;
            prop_assert!((crop.x - right).abs() < 1e-6);
            prop_assert!((crop.y * 2.0 - below).abs() < 1e-6);
        }

        #[test]
        fn the_hinted_decode_suffices(
            source in (sides(), sides()), target in (sides(), sides()), fit in fits(),
        ) {
            let g = geometry(source, target, fit, Gravity::Upper);
            let scale = g.decode_hint(size(source.0, source.1)).min_scale.unwrap_or(1.0);
            prop_assert!(scale > 0.0 && scale <= 1.0);
            if scale < 1.0 {
                prop_assert!(g.crop.width * scale >= f64::from(g.shown.width) - 1e-6);
                prop_assert!(g.crop.height * scale >= f64::from(g.shown.height) - 1e-6);
            }
        }
    }
}
