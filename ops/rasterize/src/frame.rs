//! Which part of its plane a drawing shows: what its root element says, or else the box of what is drawn.

use imgserve_drawing::Shape;
use resvg::tiny_skia::Transform;
use resvg::usvg::Tree;

/// A part of the plane, in the units of the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    left: f32,
    top: f32,
    /// More than 0.
    pub(crate) width: f32,
    /// More than 0.
    pub(crate) height: f32,
}

impl Frame {
    /// What `tree` shows. Of a side that is not given it is from the origin, or from what lies before that, to the end of the box
    /// that is drawn, as resvg has it.
    pub(crate) fn of(tree: &Tree, shape: &Shape) -> Self {
        let size = tree.size();
        let given = Self { left: 0.0, top: 0.0, width: size.width(), height: size.height() };
        if shape.sides().is_some() {
            return given;
        }
        let (filled, stroked) = (tree.root().abs_bounding_box(), tree.root().abs_stroke_bounding_box());
        // The box of a line has no inside.
        let shown = if filled.width() > 0.0 && filled.height() > 0.0 { filled } else { stroked };
        let (left, width) = side(shape.width, [shown.left(), shown.right()]).unwrap_or((0.0, given.width));
        let (top, height) = side(shape.height, [shown.top(), shown.bottom()]).unwrap_or((0.0, given.height));
        Self { left, top, width, height }
    }

    /// Brings it to a canvas of this size.
    pub(crate) fn stretched_to(&self, width: f32, height: f32) -> Transform {
        Transform::from_scale(width / self.width, height / self.height).pre_translate(-self.left, -self.top)
    }

    /// Scales it and puts its corner at a place.
    pub(crate) fn scaled_at(&self, scale: f32, left: f32, top: f32) -> Transform {
        Transform::from_row(scale, 0.0, 0.0, scale, left, top).pre_translate(-self.left, -self.top)
    }

    /// Width and height.
    pub(crate) fn sides(&self) -> (f64, f64) {
        (f64::from(self.width), f64::from(self.height))
    }
}

/// Where one side begins and how long it is; none if there is nothing to show.
fn side(given: Option<f64>, [start, end]: [f32; 2]) -> Option<(f32, f32)> {
    let (start, length) = match given {
        Some(length) => (0.0, length as f32),
        None => (start.min(0.0), end - start.min(0.0)),
    };
    (length > 0.0 && length.is_finite()).then_some((start, length))
}
