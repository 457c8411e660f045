//! Rectangles in pixels, as the renderer rounds and cuts them.

use resvg::tiny_skia::{NonZeroRect, Rect, Transform};

/// A rectangle whose sides may be anything that single precision holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
}

impl Area {
    /// A canvas of this size, at its own origin.
    pub(super) fn canvas(width: f32, height: f32) -> Self {
        Self { left: 0.0, top: 0.0, right: width, bottom: height }
    }

    /// The canvas and twice as much around it: what no layer and no filter is larger than.
    pub(super) fn reach(self) -> Self {
        let (width, height) = (self.width(), self.height());
        Self { left: -2.0 * width, top: -2.0 * height, right: 3.0 * width, bottom: 3.0 * height }
    }

    /// The upright rectangle around `rect` under `transform`; `None` where that is nowhere.
    pub(super) fn of(rect: Rect, transform: Transform) -> Option<Self> {
        let rect = rect.transform(transform)?;
        Some(Self { left: rect.left(), top: rect.top(), right: rect.right(), bottom: rect.bottom() })
    }

    /// The same of a rectangle that has an area.
    pub(super) fn of_solid(rect: NonZeroRect, transform: Transform) -> Option<Self> {
        Self::of(rect.to_rect(), transform)
    }

    /// Grown by `by` on all sides.
    pub(super) fn grown(self, by: f32) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    /// What of it is in `other`; `None` for nothing.
    pub(super) fn within(self, other: Self) -> Option<Self> {
        let (left, top) = (self.left.max(other.left), self.top.max(other.top));
        let (right, bottom) = (self.right.min(other.right), self.bottom.min(other.bottom));
        (left < right && top < bottom).then_some(Self { left, top, right, bottom })
    }

    /// With each side moved into `other`, where it may have no breadth.
    pub(super) fn held_in(self, other: Self) -> Self {
        let across = |x: f32| x.max(other.left).min(other.right);
        let down = |y: f32| y.max(other.top).min(other.bottom);
        Self {
            left: across(self.left),
            top: down(self.top),
            right: across(self.right),
            bottom: down(self.bottom),
        }
    }

    pub(super) fn width(self) -> f32 {
        self.right - self.left
    }

    pub(super) fn height(self) -> f32 {
        self.bottom - self.top
    }

    /// Its pixels, those that it only touches included.
    pub(super) fn pixels(self) -> f64 {
        f64::from(self.width().ceil().max(1.0)) * f64::from(self.height().ceil().max(1.0))
    }
}
