//! Where everything goes: from the source's size and the request to the result's size, the part of the source
//! that is shown and its place in the result. Pure functions of numbers; no pixel is seen here.

use imgserve_sdk::{DecodeHint, Rect};

use crate::args::{Enlarge, Fit, Gravity, Pad};

/// A width and a height in pixels, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Size {
    /// Whether it has fewer pixels than `other` in either direction.
    pub(crate) fn is_less_than(self, other: Self) -> bool {
        self.width < other.width || self.height < other.height
    }

    /// Each side at most `other`'s.
    fn within(self, other: Self) -> Self {
        Self { width: self.width.min(other.width), height: self.height.min(other.height) }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// In pixels, at least 1; where only one side is given the aspect is kept, where none is the picture keeps its size.
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) fit: Fit,
    pub(crate) gravity: Gravity,
    pub(crate) enlarge: Enlarge,
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
    /// The geometry of bringing `source` to `target`. A side of the result is at most `u32::MAX`; only `outside` and a side
    /// that is not given get anywhere near.
    pub(crate) fn new(source: Size, target: Target) -> Self {
        let Target { fit, gravity, enlarge, .. } = target;
        let whole = Rect { x: 0.0, y: 0.0, width: source.width.into(), height: source.height.into() };
        let plain = |size| Self { output: size, crop: whole, shown: size, left: 0, top: 0 };
        // Not shown larger than it is, where that is asked for: with the aspect kept, or each side by itself.
        let capped =
            |size: Size| if enlarge == Enlarge::Never && source.is_less_than(size) { source } else { size };
        let wanted = match (target.width, target.height) {
            (None, None) => return plain(source),
            (Some(width), None) => return plain(capped(scaled(source, Size { width, height: 1 }, true))),
            (None, Some(height)) => return plain(capped(scaled(source, Size { width: 1, height }, false))),
            (Some(width), Some(height)) => Size { width, height },
        };
        match fit {
            Fit::Fill if enlarge == Enlarge::Never => plain(wanted.within(source)),
            Fit::Fill => plain(wanted),
            Fit::Inside => plain(capped(scaled(source, wanted, is_wider(source, wanted)))),
            Fit::Outside => plain(capped(scaled(source, wanted, !is_wider(source, wanted)))),
            Fit::Cover if enlarge == Enlarge::Never && source.is_less_than(wanted) => {
                let size = wanted.within(source);
                Self { crop: whole_pixels(source, size, gravity), ..plain(size) }
            }
            Fit::Cover => Self { crop: cover_crop(source, wanted, gravity), ..plain(wanted) },
            Fit::Contain => {
                let shown = capped(scaled(source, wanted, is_wider(source, wanted)));
                let (x, y) = gravity.shares();
                let before = |space: u32, share: f64| (f64::from(space) * share).round() as u32;
                let left = before(wanted.width - shown.width, x);
                let top = before(wanted.height - shown.height, y);
                Self { output: wanted, crop: whole, shown, left, top }
            }
        }
    }

    /// Adds so many pixels of background around it all.
    pub(crate) fn surround(&mut self, pad: Pad) {
        let Size { width, height } = self.output;
        self.output = Size {
            width: width.saturating_add(pad.left).saturating_add(pad.right),
            height: height.saturating_add(pad.top).saturating_add(pad.bottom),
        };
        self.left += pad.left;
        self.top += pad.top;
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
    let (x, y) = gravity.place((source_width, source_height), (width, height));
    Rect { x, y, width, height }
}

/// A part of `source` of this size, pixel by pixel.
fn whole_pixels(source: Size, size: Size, gravity: Gravity) -> Rect {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let (x, y) = gravity.place((source.width.into(), source.height.into()), (width, height));
    Rect { x: x.floor(), y: y.floor(), width, height }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::args::Anchor;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn target(width: u32, height: u32, fit: Fit, enlarge: Enlarge) -> Target {
        Target { width: Some(width), height: Some(height), fit, gravity: Gravity::default(), enlarge }
    }

    fn geometry(source: (u32, u32), wanted: (u32, u32), fit: Fit, anchor: Anchor) -> Geometry {
        let target = target(wanted.0, wanted.1, fit, Enlarge::Always);
        Geometry::new(size(source.0, source.1), Target { gravity: Gravity::At(anchor), ..target })
    }

    #[test]
    fn cover_crops_both_sides_alike_and_one_third_off_the_top() {
        let wide = geometry((300, 100), (50, 50), Fit::Cover, Anchor::Upper);
        assert_eq!(wide.crop, Rect { x: 100.0, y: 0.0, width: 100.0, height: 100.0 });
        let tall = geometry((100, 400), (50, 50), Fit::Cover, Anchor::Upper);
        assert_eq!(tall.crop, Rect { x: 0.0, y: 100.0, width: 100.0, height: 100.0 });
        assert_eq!(tall.output, size(50, 50));
    }

    #[test]
    fn gravity_says_what_is_kept() {
        for (gravity, x, y) in [
            (Anchor::Center, 100.0, 150.0),
            (Anchor::North, 100.0, 0.0),
            (Anchor::Northeast, 200.0, 0.0),
            (Anchor::East, 200.0, 150.0),
            (Anchor::Southeast, 200.0, 300.0),
            (Anchor::South, 100.0, 300.0),
            (Anchor::Southwest, 0.0, 300.0),
            (Anchor::West, 0.0, 150.0),
            (Anchor::Northwest, 0.0, 0.0),
        ] {
            assert_eq!(geometry((300, 100), (50, 50), Fit::Cover, gravity).crop.x, x, "{gravity:?}");
            assert_eq!(geometry((100, 400), (50, 50), Fit::Cover, gravity).crop.y, y, "{gravity:?}");
        }
    }

    #[test]
    fn contain_centres_the_picture_between_bars() {
        let wide = geometry((200, 100), (100, 90), Fit::Contain, Anchor::Center);
        assert_eq!((wide.output, wide.shown, wide.left, wide.top), (size(100, 90), size(100, 50), 0, 20));
        let upper = geometry((200, 100), (100, 80), Fit::Contain, Anchor::Upper);
        assert_eq!((upper.left, upper.top), (0, 10));
        let right = geometry((100, 200), (100, 100), Fit::Contain, Anchor::East);
        assert_eq!((right.shown, right.left, right.top), (size(50, 100), 50, 0));
        assert!(!geometry((200, 100), (100, 50), Fit::Contain, Anchor::Upper).has_bars());
    }

    #[test]
    fn inside_and_outside_keep_the_aspect() {
        assert_eq!(geometry((300, 200), (150, 150), Fit::Inside, Anchor::Upper).output, size(150, 100));
        assert_eq!(geometry((300, 200), (150, 150), Fit::Outside, Anchor::Upper).output, size(225, 150));
        assert_eq!(geometry((60_000, 1), (100, 100), Fit::Inside, Anchor::Upper).output, size(100, 1));
        let endless = geometry((u32::MAX, 1), (65_535, 65_535), Fit::Outside, Anchor::Upper);
        assert_eq!(endless.output, size(u32::MAX, 65_535));
    }

    #[test]
    fn one_side_keeps_the_aspect_and_none_the_size() {
        let one = |source: Size, width, height, enlarge| {
            Geometry::new(source, Target { width, height, ..target(1, 1, Fit::Cover, enlarge) })
        };
        let source = size(3000, 2000);
        for (width, height, wanted) in [
            (Some(1600), None, size(1600, 1067)),
            (None, Some(500), size(750, 500)),
            (Some(1), None, size(1, 1)),
            (None, None, source),
        ] {
            let geometry = one(source, width, height, Enlarge::Never);
            assert_eq!((geometry.output, geometry.shown), (wanted, wanted), "{width:?} {height:?}");
            assert_eq!((geometry.crop.width, geometry.crop.height), (3000.0, 2000.0));
        }
        assert_eq!(one(source, Some(6000), None, Enlarge::Never).output, source);
        assert_eq!(one(source, Some(6000), None, Enlarge::Always).output, size(6000, 4000));
        assert_eq!(one(size(1, u32::MAX), Some(7), None, Enlarge::Always).output, size(7, u32::MAX));
    }

    #[test]
    fn what_is_never_enlarged_keeps_its_size() {
        let never = |source: (u32, u32), wanted: (u32, u32), fit| {
            Geometry::new(size(source.0, source.1), target(wanted.0, wanted.1, fit, Enlarge::Never))
        };
        for (source, wanted, fit, output) in [
            ((100, 60), (200, 200), Fit::Cover, (100, 60)),
            ((100, 60), (200, 50), Fit::Cover, (100, 50)),
            ((100, 60), (50, 200), Fit::Cover, (50, 60)),
            ((100, 60), (50, 50), Fit::Cover, (50, 50)),
            ((100, 60), (200, 50), Fit::Fill, (100, 50)),
            ((100, 60), (200, 200), Fit::Inside, (100, 60)),
            ((100, 60), (50, 200), Fit::Inside, (50, 30)),
            ((100, 60), (90, 90), Fit::Outside, (100, 60)),
            ((100, 60), (20, 30), Fit::Outside, (50, 30)),
            ((100, 60), (200, 200), Fit::Contain, (200, 200)),
        ] {
            let geometry = never(source, wanted, fit);
            assert_eq!(geometry.output, size(output.0, output.1), "{source:?} {wanted:?} {fit:?}");
            assert!(
                f64::from(geometry.shown.width) <= geometry.crop.width
                    && f64::from(geometry.shown.height) <= geometry.crop.height
            );
        }
        let small = never((100, 60), (200, 200), Fit::Contain);
        assert_eq!((small.shown, small.left, small.top), (size(100, 60), 50, 47));
        // Cropped pixel by pixel: nothing is averaged where nothing is scaled.
        let cropped = never((101, 60), (50, 200), Fit::Cover);
        assert_eq!(cropped.crop, Rect { x: 25.0, y: 0.0, width: 50.0, height: 60.0 });
    }

    #[test]
    fn the_hint_asks_for_no_more_than_is_needed() {
        let source = size(3000, 2000);
        let hint = geometry((3000, 2000), (200, 200), Fit::Cover, Anchor::Center).decode_hint(source);
        assert_eq!(hint.min_scale, Some(0.1));
        // Three pixels of the result more on each side, as far as there are any.
        assert_eq!(hint.region, Some(Rect { x: 470.0, y: 0.0, width: 2060.0, height: 2000.0 }));
        let hint = geometry((3000, 2000), (300, 1000), Fit::Fill, Anchor::Center).decode_hint(source);
        assert_eq!(hint, DecodeHint { min_scale: Some(0.5), region: None });
        let hint = geometry((3000, 2000), (6000, 4000), Fit::Cover, Anchor::Center).decode_hint(source);
        assert_eq!(hint, DecodeHint::default());
    }

    fn sides() -> impl Strategy<Value = u32> {
        prop_oneof![1..=20u32, 1..=5000u32, 1..=65_535u32]
    }

    fn fits() -> impl Strategy<Value = Fit> {
        prop::sample::select(vec![Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside, Fit::Outside])
    }

    fn gravities() -> impl Strategy<Value = Anchor> {
        prop::sample::select(vec![Anchor::Upper, Anchor::Center, Anchor::Northwest, Anchor::Southeast])
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
            let output = geometry(source, target, fit, Anchor::Upper).output;
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
            let g = geometry(source, target, fit, Anchor::Upper);
            let across = g.crop.width * f64::from(g.shown.height) / g.crop.height;
            let down = g.crop.height * f64::from(g.shown.width) / g.crop.width;
            // One of the two sides is exact; the other is that far from what it should be.
            let off = (across - f64::from(g.shown.width)).abs().min((down - f64::from(g.shown.height)).abs());
            prop_assert!(off <= 1.0, "off by {} pixels", off);
        }

        #[test]
        fn the_surplus_is_split_as_0_2_split_it(source in (sides(), sides()), target in (sides(), sides())) {
            let crop = geometry(source, target, Fit::Cover, Anchor::Upper).crop;
            let right = f64::from(source.0) - crop.x - crop.width;
            let below = f64::from(source.1) - crop.y - crop.height;
            prop_assert!((crop.x - right).abs() < 1e-6);
            prop_assert!((crop.y * 2.0 - below).abs() < 1e-6);
        }

        #[test]
        fn the_hinted_decode_suffices(
            source in (sides(), sides()), target in (sides(), sides()), fit in fits(),
        ) {
            let g = geometry(source, target, fit, Anchor::Upper);
            let scale = g.decode_hint(size(source.0, source.1)).min_scale.unwrap_or(1.0);
            prop_assert!(scale > 0.0 && scale <= 1.0);
            if scale < 1.0 {
                prop_assert!(g.crop.width * scale >= f64::from(g.shown.width) - 1e-6);
                prop_assert!(g.crop.height * scale >= f64::from(g.shown.height) - 1e-6);
            }
        }
    }
}
